"""Adapters of PEFT (LoRA and its kind) that are not merged into a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from interplay._types import Json
from interplay.errors import out_of_memory
from interplay.text.inference.batches import relative_tolerance

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_NO_SETTINGS = ("kwargs", "_caches", "_dora_cache", "ephemeral_gpu_offload")
"""What PEFT's modules hold besides: how they were loaded, and results that they keep."""

_PROBE = 64
"""The most tokens that two models are compared on."""


def without_wrapper(model: PreTrainedModel, ids: Sequence[int]) -> PreTrainedModel:
    """The model inside a wrapper of PEFT (``PeftModel``), which holds the adapters' layers.

    What a wrapper's own ``forward`` takes and does differs between kinds of adapters. The model
    inside is used where it computes the same.

    Args:
        model: any model; one without a wrapper is returned as it is.
        ids: the tokens of a prompt, for the comparison.

    Raises:
        ValueError: the two compute something else, as where a prompt is learned.
    """
    if not (_is_of_peft(model) and hasattr(model, "get_base_model")):
        return model
    inner = cast("PreTrainedModel", model.get_base_model())
    reason = _difference(model, inner, ids)
    if reason:
        raise ValueError(
            f"{type(model).__name__} computes something else than the {type(inner).__name__} in it "
            f"({reason}), as with learned prompts; only adapters that are layers of the model can "
            "be used: LoRA and its kind"
        )
    return inner


def settings_of_adapters(model: torch.nn.Module) -> dict[str, Json]:
    """What the layers of adapters hold besides weights: what is active, scales, variants."""
    import torch

    usual = {*vars(torch.nn.Module()), *_NO_SETTINGS}
    return {
        name: {key: _plain(value) for key, value in vars(module).items() if key not in usual}
        for name, module in model.named_modules()
        if _is_of_peft(module)
    }


def active_adapters(model: torch.nn.Module) -> list[str] | None:
    """The names of the adapters that are in use; ``None`` if the model has none at all."""
    modules = [module for module in model.modules() if _is_of_peft(module)]
    names = {name for module in modules for name in _active(module)}
    return sorted(names) if modules else None


def _active(module: Any) -> Iterator[str]:
    active = getattr(module, "_active_adapter", ())
    if not getattr(module, "_disable_adapters", True):
        yield from [active] if isinstance(active, str) else active


def _is_of_peft(module: object) -> bool:
    return type(module).__module__.startswith("peft.")


def _plain(value: Any) -> Any:
    """A value as JSON; of an object only what it is."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return type(value).__qualname__


def _difference(outer: PreTrainedModel, inner: PreTrainedModel, ids: Sequence[int]) -> str:
    """Describe how the outputs of two models differ; an empty string if they do not."""
    import torch

    probe = torch.tensor([list(ids[:_PROBE])], device=inner.device)
    inputs: dict[str, Any] = {"input_ids": probe}
    if inner.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = probe[:, :2]

    def output(model: PreTrainedModel) -> torch.Tensor:
        with torch.inference_mode():
            made = model(**inputs)
        read: torch.Tensor = made.logits if "logits" in made else made.last_hidden_state
        return read.float()

    expected = output(inner)
    try:
        given = output(outer)
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return f"{type(error).__name__}: {error}"
    if given.shape != expected.shape:
        return f"outputs of shape {tuple(given.shape)}, not {tuple(expected.shape)}"
    difference = float((given - expected).abs().max() / expected.abs().max())
    # a comparison by ">" would let NaN pass
    if difference <= relative_tolerance(inner):
        return ""
    return f"outputs differ by {difference:.1%} of the largest"
