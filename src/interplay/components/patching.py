"""Patching: hooks that remove units from a forward pass, and passes that start at a later layer.

Each row of a pass may have other units removed. Everything here lasts for one ``with`` block and
leaves the model as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import IntArray
from interplay.components.architecture import (
    Architecture,
    Layer,
    hidden_states,
    with_hidden_states,
)
from interplay.components.units import Kind, Player

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Site:
    """A place where units of one kind and layer are removed.

    Attributes:
        layer: the layer's number.
        kind: the kind of the units.
        module: where the hook goes.
        owners: the number of each unit's player, or n for a unit that no player has, which is
            always kept; ``(heads,)``, or ``(1,)`` for the other kinds.
    """

    layer: int
    kind: Kind
    module: torch.nn.Module
    owners: IntArray


class _Stop(Exception):  # noqa: N818
    """Raised to end a pass from which nothing more is needed."""


def sites_of(architecture: Architecture, players: Sequence[Player]) -> tuple[Site, ...]:
    """List the places of all players' units, by layer."""
    owner = {unit: number for number, player in enumerate(players) for unit in player.units}
    sites = []
    for layer, kind in sorted({(unit.layer, unit.kind) for unit in owner}):
        modules = architecture.layers[layer]
        module, n_units = {
            "head": (modules.projection, modules.n_heads),
            "mlp": (modules.mlp, 1),
            "layer": (modules.module, 1),
        }[kind]
        owners = np.full(n_units, len(players), dtype=np.int64)
        for unit, number in owner.items():
            if (unit.layer, unit.kind) == (layer, kind):
                owners[unit.head] = number
        assert module is not None
        sites.append(Site(layer, kind, module, owners))
    return tuple(sites)


@contextmanager
def recording(sites: Sequence[Site], n_rows: int) -> Iterator[dict[Site, torch.Tensor]]:
    """Record what units add in the pass within, ``(rows, tokens, width)`` at each site.

    At a site of heads, this is the input of the output projection.
    """
    recorded: dict[Site, torch.Tensor] = {}

    def record(site: Site) -> Any:
        def store(added: torch.Tensor) -> None:
            recorded[site] = added.reshape(n_rows, -1, added.shape[-1])

        if site.kind == "head":
            return site.module.register_forward_pre_hook(lambda _, args: store(args[0]))
        if site.kind == "mlp":
            return site.module.register_forward_hook(lambda _, args, output: store(_states(output)))
        return site.module.register_forward_hook(
            lambda _, args, kwargs, output: store(_states(output) - hidden_states(args, kwargs)),
            with_kwargs=True,
        )

    with _hooked(record(site) for site in sites):
        yield recorded


@contextmanager
def removing(
    sites: Sequence[Site],
    kept: torch.Tensor,
    replacements: Mapping[Site, torch.Tensor],
    rescale: bool = False,
) -> Iterator[None]:
    """Remove units from the pass within.

    Args:
        sites: where the units are.
        kept: which players each row keeps, ``(rows, n + 1) bool``; the last column is true. Or
            gates of floats: with gate g a unit adds g times what it adds, and 1 - g times what
            stands in for it.
        replacements: for each site what removed units add instead, in a shape that broadcasts to
            ``(rows, tokens, width)``; at sites without one they add zero.
        rescale: multiply the heads kept in a layer by the layer's number of heads over the number
            kept.
    """

    def remove(site: Site) -> Any:
        present = kept[:, site.owners]
        replacement = replacements.get(site)
        if site.kind == "head":
            return site.module.register_forward_pre_hook(
                lambda _, args: (_mask_heads(args[0], present, replacement, rescale), *args[1:])
            )
        if site.kind == "mlp":
            return site.module.register_forward_hook(
                lambda _, args, output: _with_states(
                    output, _mask_unit(_states(output), present, replacement)
                )
            )

        def mask_layer(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
            before = hidden_states(args, kwargs)
            removed = before if replacement is None else before + replacement
            return _with_states(output, _mask_unit(_states(output), present, removed))

        return site.module.register_forward_hook(mask_layer, with_kwargs=True)

    with _hooked(remove(site) for site in sites):
        yield


@contextmanager
def starting_at(architecture: Architecture, layer: int, states: torch.Tensor) -> Iterator[None]:
    """Let the pass within begin at a layer.

    Args:
        architecture: the model's layers.
        layer: the first layer that computes anything.
        states: what it reads, ``(rows, tokens, width)``.
    """

    def begin(_: Any, args: Any, kwargs: Any) -> Any:
        return with_hidden_states(states, args, kwargs)

    skipped = architecture.layers[:layer]
    # an instance may have a forward of its own already: accelerate puts its hooks there
    forwards = [lower.module.__dict__.get("forward") for lower in skipped]
    handle = architecture.layers[layer].module.register_forward_pre_hook(begin, with_kwargs=True)
    try:
        for lower in skipped:
            lower.module.forward = _identity(lower)
        yield
    finally:
        handle.remove()
        for lower, forward in zip(skipped, forwards, strict=True):
            lower.module.__dict__.pop("forward", None)
            if forward is not None:
                lower.module.__dict__["forward"] = forward


@contextmanager
def ending_before(architecture: Architecture, layer: int) -> Iterator[list[torch.Tensor]]:
    """Let the pass within end before a layer; the list then holds what the layer would read."""
    states: list[torch.Tensor] = []

    def end(_: Any, args: Any, kwargs: Any) -> None:
        states.append(hidden_states(args, kwargs))
        raise _Stop

    handle = architecture.layers[layer].module.register_forward_pre_hook(end, with_kwargs=True)
    try:
        yield states
    except _Stop:
        pass
    finally:
        handle.remove()


@contextmanager
def _hooked(handles: Iterator[Any]) -> Iterator[None]:
    """Remove hooks at the end of the block, also if one of them cannot be registered."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


def _identity(layer: Layer) -> Any:
    """Make a forward for a layer that returns its hidden states unchanged."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        states = hidden_states(args, kwargs)
        if layer.n_returned is None:
            return states
        return (states, *[None] * (layer.n_returned - 1))

    return forward


def _states(output: Any) -> torch.Tensor:
    states: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return states


def _with_states(output: Any, states: torch.Tensor) -> Any:
    return (states, *output[1:]) if isinstance(output, tuple) else states


def _mask_heads(
    states: torch.Tensor, present: torch.Tensor, replacement: torch.Tensor | None, rescale: bool
) -> torch.Tensor:
    """Remove heads from the projection's input; ``present``, or gates, are ``(rows, heads)``."""
    n_rows, n_heads = present.shape
    split = states.reshape(n_rows, -1, n_heads, states.shape[-1] // n_heads)
    if replacement is not None:
        replacement = replacement.reshape(*replacement.shape[:-1], *split.shape[2:])
    split = _gated(split, present[:, None, :, None], replacement)
    if rescale:
        n_kept = present.sum(dim=1).clamp(min=1)
        split = split * (n_heads / n_kept).to(split.dtype)[:, None, None, None]
    return split.reshape(states.shape)


def _mask_unit(
    states: torch.Tensor, present: torch.Tensor, replacement: torch.Tensor | None
) -> torch.Tensor:
    """Replace a unit's output in the rows that remove it; ``present``, or gates: ``(rows, 1)``."""
    rows = states.reshape(len(present), -1, states.shape[-1])
    return _gated(rows, present[:, :, None], replacement).reshape(states.shape)


def _gated(
    states: torch.Tensor, gates: torch.Tensor, replacement: torch.Tensor | None
) -> torch.Tensor:
    """Choose states or their replacement by booleans; mix them by gates of floats."""
    if not gates.is_floating_point():
        if replacement is None:
            return states.masked_fill(~gates, 0)
        return states.where(gates, replacement)
    gates = gates.to(states.dtype)
    kept = gates * states
    return kept if replacement is None else kept + (1 - gates) * replacement
