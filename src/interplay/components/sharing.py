"""Sharing: which query heads of a layer read the same keys and values, found by what they read.

With grouped-query attention several query heads share one key-value head. Models say so in settings
of many names, or fuse the projections. So it is measured: the gradient of a head at the last token
with respect to what the layer's linear maps give at earlier tokens is zero outside the head's own
keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from interplay.components.architecture import (
    Architecture,
    Layer,
    is_linear,
    lock_of,
    probing_tokens,
    unpadded,
    without_cache,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def shared_key_values(
    model: PreTrainedModel, architecture: Architecture, layers: Sequence[int]
) -> dict[int, tuple[tuple[int, ...], ...]]:
    """Group the query heads of layers by the keys and values that they read.

    Args:
        model: the transformer.
        architecture: its layers.
        layers: the numbers of layers that have heads.

    Returns:
        For each layer its groups of heads, by their first heads. A head that shares nothing is a
        group of its own.
    """
    import torch

    outputs: dict[int, list[torch.Tensor]] = {number: [] for number in layers}
    heads: dict[int, torch.Tensor] = {}
    with lock_of(model), unpadded(model), torch.enable_grad(), ExitStack() as hooks:
        for number in layers:
            layer = architecture.layers[number]
            for module in layer.module.modules():
                if is_linear(module):
                    handle = module.register_forward_hook(_leaf(outputs[number]))
                    hooks.callback(handle.remove)
            assert layer.projection is not None
            handle = layer.projection.register_forward_pre_hook(_read(heads, number))
            hooks.callback(handle.remove)
        model(input_ids=probing_tokens(model, 1), **without_cache(model))
        return {
            number: _groups(architecture.layers[number], heads[number], outputs[number])
            for number in layers
        }


def _leaf(outputs: list[torch.Tensor]) -> Any:
    """Make a hook that cuts a linear map's output off what is below it, and lists it."""

    def hook(module: torch.nn.Module, args: Any, output: Any) -> Any:
        leaf = output.detach().requires_grad_()
        outputs.append(leaf)
        return leaf.clone()  # an operation may change it in place, which a leaf forbids

    return hook


def _read(heads: dict[int, torch.Tensor], number: int) -> Any:
    def hook(module: torch.nn.Module, args: Any) -> None:
        heads[number] = args[0]

    return hook


def _groups(
    layer: Layer, heads: torch.Tensor, outputs: Sequence[torch.Tensor]
) -> tuple[tuple[int, ...], ...]:
    import torch

    last = heads.reshape(-1, heads.shape[-1])[-1].reshape(layer.n_heads, -1)
    # no sum over a head alone, which a normalisation would make constant
    weights = torch.linspace(0.5, 1.5, last.shape[1], dtype=last.dtype, device=last.device)
    read = []  # for each head, which numbers of each map it reads at earlier tokens
    for head in last @ weights:
        gradients = torch.autograd.grad(head, outputs, retain_graph=True, allow_unused=True)
        read.append(
            [
                None if slope is None else slope.reshape(-1, slope.shape[-1])[:-1].any(dim=0)
                for slope in gradients
            ]
        )

    def shares(head: int, other: int) -> bool:
        pairs = [
            (mine, its)
            for mine, its in zip(read[head], read[other], strict=True)
            if mine is not None and its is not None and (mine.any() or its.any())
        ]
        return bool(pairs) and all(bool((mine & its).any()) for mine, its in pairs)

    groups: list[list[int]] = []
    for head in range(layer.n_heads):
        for group in groups:
            if shares(group[0], head):
                group.append(head)
                break
        else:
            groups.append([head])
    return tuple(map(tuple, groups))
