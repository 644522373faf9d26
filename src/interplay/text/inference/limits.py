"""How much a model can be given at a time: what memory allows, and what its attention allows.

torch is imported in the functions that need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CPU_TOKENS = 512
_GPU_TOKENS = 32768
"""Tokens per forward pass to begin with: on a CPU more gains nothing."""
_CPU_BYTES = 2**30
_GPU_SHARE = 0.5
"""What keys and values may take: so many bytes, or this share of what a GPU has free."""
_WINDOWS = (
    "sliding_window",
    "attention_chunk_size",
    "window_size",
    "attention_window_size",
    "local_attention",
)
"""Names under which configurations have the reach of their attention."""
_CHANGING = ("dynamic", "longrope")
"""Rotary embeddings whose frequencies, for all positions, depend on how long the text is."""


def tokens_per_pass(model: PreTrainedModel) -> int:
    """How many tokens to give one forward pass, to begin with."""
    return _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS


def tokens_at_once(model: PreTrainedModel) -> int:
    """Of how many tokens the keys and values may be held at a time.

    What one token takes is read off a pass of one: configurations name the numbers of heads and
    their widths in too many ways.
    """
    import torch

    with torch.inference_mode():
        one = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        cache = getattr(model(input_ids=one, use_cache=True), "past_key_values", None)
    held = [
        getattr(layer, name, None)
        for layer in getattr(cache, "layers", ())
        for name in ("keys", "values")
    ]
    per_token = sum(states.nbytes for states in held if states is not None)
    if not per_token:  # no keys and values, or kept in a form of the model's own
        config = model.config.get_text_config(decoder=True)
        per_token = 2 * config.num_hidden_layers * config.hidden_size * model.dtype.itemsize
    limit = float(_CPU_BYTES)
    if model.device.type == "cuda":
        unused = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(
            model.device
        )
        limit = _GPU_SHARE * (torch.cuda.mem_get_info(model.device)[0] + unused)
    return max(1, int(limit / per_token))


def window(model: PreTrainedModel) -> float:
    """How many tokens back the model's attention reaches, where that is limited."""
    config = model.config.get_text_config(decoder=True)
    limits = [getattr(config, name, None) for name in _WINDOWS]
    return min((limit for limit in limits if limit), default=float("inf"))


def unchanging(model: PreTrainedModel) -> float:
    """Up to how many tokens a prefix's keys are the same whatever follows it."""
    config = model.config.get_text_config(decoder=True)
    rope: dict[str, Any] = (
        getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    )
    # some models have several, by the type of their layers
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
