"""Maps: the linear maps of the tuned layers, found by what a probing pass calls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interplay.components.architecture import (
    Architecture,
    is_linear,
    lock_of,
    probing_tokens,
    unpadded,
    without_cache,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class Map:
    """A linear map.

    Attributes:
        name: its name in the model.
        module: its module.
        weight: ``(out, in)``.
        bias: ``(out,)``, or ``None``.
    """

    name: str
    module: torch.nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None


def find_maps(
    model: PreTrainedModel, architecture: Architecture, first: int, targets: Sequence[str] | None
) -> tuple[Map, ...]:
    """Find the maps to tune, in the order in which a pass calls them.

    Args:
        model: the model.
        architecture: its layers.
        first: the first tuned layer.
        targets: the last parts of the maps' names, as peft's ``target_modules``; ``None``: all
            linear maps of the layers.

    Raises:
        ValueError: a target matches nothing, or a weight is not float32.
    """
    import torch

    names = {module: name for name, module in model.named_modules()}
    called: dict[torch.nn.Module, int] = {}
    tokens = probing_tokens(model, 1)
    layers = architecture.layers[first:]

    def note(module: torch.nn.Module, args: Any) -> None:
        # an expert of a mixture sees some of the tokens only
        whole = args[0].shape[:-1].numel() == tokens.numel()
        called[module] = called.get(module, 0) + (1 if whole else 2)

    with lock_of(model), ExitStack() as stack, torch.inference_mode(), unpadded(model):
        for layer in layers:
            for module in layer.module.modules():
                if is_linear(module):
                    stack.callback(module.register_forward_pre_hook(note).remove)
        model(input_ids=tokens, **without_cache(model))
    linear = [module for module, times in called.items() if times == 1]
    if targets is not None:
        known = sorted({names[module].rpartition(".")[2] for module in linear})
        for target in targets:
            if not any(_matches(names[module], target) for module in linear):
                raise ValueError(
                    f"targets={list(targets)}: no linear map of the tuned layers is called "
                    f"{target!r}; there are {', '.join(known)}"
                )
        linear = [m for m in linear if any(_matches(names[m], target) for target in targets)]
    if not linear:
        raise ValueError(
            f"the tuned layers of {type(model).__name__} have no linear map that reads every token"
        )
    return tuple(_map(names[module], module) for module in linear)


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _map(name: str, module: Any) -> Map:
    import torch

    weight = module.weight
    if weight.dtype != torch.float32:
        raise ValueError(
            f"the weights of {name} are {str(weight.dtype).removeprefix('torch.')}; fine-tuning "
            'takes float32: load the model with dtype="float32"'
        )
    bias = getattr(module, "bias", None)
    return Map(
        name,
        module,
        (weight if isinstance(module, torch.nn.Linear) else weight.T).detach(),
        None if bias is None else bias.detach(),
    )
