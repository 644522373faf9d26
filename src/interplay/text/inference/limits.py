"""How many tokens a model can be given at a time, by its memory and by its attention.

torch is imported in the functions that need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CPU_TOKENS = 1024
_GPU_TOKENS = 32768
"""Tokens per forward pass to begin with. On a CPU more tokens gain nothing."""
_CPU_BYTES = 2**30
_GPU_SHARE = 0.5
"""What keys and values, or hidden states, may take: this many bytes on a CPU, this share of a GPU's
free memory."""
_WINDOWS = (
    "sliding_window",
    "attention_chunk_size",
    "window_size",
    "attention_window_size",
    "local_attention",
)
"""The names under which configurations give the reach of their attention."""
_CHANGING = ("dynamic", "longrope")
"""Types of rotary position embeddings (RoPE) whose frequencies, at all positions, depend on the
length of the text."""


def tokens_per_pass(model: PreTrainedModel) -> int:
    """How many tokens to give one forward pass, to begin with."""
    return _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS


def max_cached_tokens(model: PreTrainedModel, per_token: int) -> int:
    """The most tokens whose keys and values may be cached at a time, at so many bytes each."""
    return max(1, int(_bytes(model) / per_token))


def cached_bytes_per_token(model: PreTrainedModel) -> int:
    """How many bytes the keys and values of a token take.

    The memory of one token is found by a pass over one token, because configurations name the
    numbers of heads and their widths under many different names.
    """
    import torch

    with torch.inference_mode():
        ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        cache = getattr(model(input_ids=ids, use_cache=True), "past_key_values", None)
    cached = [
        getattr(layer, name, None)
        for layer in getattr(cache, "layers", ())
        for name in ("keys", "values")
    ]
    per_token = sum(states.nbytes for states in cached if states is not None)
    if not per_token:  # no keys and values, or a cache in a form of the model's own
        config = model.config.get_text_config(decoder=True)
        per_token = 2 * config.num_hidden_layers * config.hidden_size * model.dtype.itemsize
    return int(per_token)


def max_held_tokens(model: PreTrainedModel) -> int:
    """The most tokens whose hidden states, before one layer, may be held at a time."""
    config = model.config.get_text_config(decoder=True)
    return max(1, int(_bytes(model) / (config.hidden_size * model.dtype.itemsize)))


def _bytes(model: PreTrainedModel) -> float:
    import torch

    if model.device.type != "cuda":
        return float(_CPU_BYTES)
    unused = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    return _GPU_SHARE * (torch.cuda.mem_get_info(model.device)[0] + unused)


def window(model: PreTrainedModel) -> float:
    """How many tokens back the model's attention reaches; infinity if it has no limit."""
    config = model.config.get_text_config(decoder=True)
    limits = [getattr(config, name, None) for name in _WINDOWS]
    return min((limit for limit in limits if limit), default=float("inf"))


def stable_length(model: PreTrainedModel) -> float:
    """The longest text, in tokens, in which a prefix's keys do not depend on what follows it."""
    config = model.config.get_text_config(decoder=True)
    rope: dict[str, Any] = (
        getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    )
    # some models have several settings, one for each type of layer
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return min(
        (
            kind.get("original_max_position_embeddings")
            or getattr(config, "original_max_position_embeddings", None)
            or config.max_position_embeddings
            for kind in kinds
            if kind.get("rope_type", kind.get("type")) in _CHANGING
        ),
        default=float("inf"),
    )
