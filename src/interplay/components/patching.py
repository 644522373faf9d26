"""Patching: hooks that remove units from a forward pass, and passes that start at a later layer.

Each row of a pass may have other units removed. Everything here lasts for one ``with`` block and
leaves the model as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import IntArray
from interplay.components.architecture import (
    Architecture,
    Layer,
    hidden_states,
    with_hidden_states,
)
from interplay.components.dictionaries import Dictionary
from interplay.components.units import Kind, Player, Unit

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
            always kept; ``(heads,)``, ``(neurons,)``, ``(latents,)`` for those that players have,
            or ``(1,)`` for the other kinds.
        dictionary: of latents, the dictionary that they belong to.
        latents: of latents, their numbers in it, ``(latents,)``.
        reads: of latents, the module whose input the dictionary reads; ``None``: it reads the
            output of ``module``.
    """

    layer: int
    kind: Kind
    module: torch.nn.Module
    owners: IntArray
    dictionary: Dictionary | None = None
    latents: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    reads: torch.nn.Module | None = None


class _Stop(Exception):  # noqa: N818
    """Raised to end a pass from which nothing more is needed."""


def sites_of(architecture: Architecture, players: Sequence[Player]) -> tuple[Site, ...]:
    """List the places of all players' units, by layer."""
    owner = {unit: number for number, player in enumerate(players) for unit in player.units}
    by_place: dict[tuple[int, Kind, Dictionary | None], list[Unit]] = {}
    for unit in owner:
        by_place.setdefault((unit.layer, unit.kind, unit.dictionary), []).append(unit)
    # latents last: they are parts of what the other units have made of the hidden states
    places = sorted(by_place, key=lambda place: (place[0], place[1] == "latent", place[1]))
    sites = []
    for place in places:
        layer, kind, dictionary = place
        units = sorted(by_place[place], key=lambda unit: unit.head)
        modules = architecture.layers[layer]
        if dictionary is not None:
            owners = np.array([owner[unit] for unit in units])
            numbers = np.array([unit.head for unit in units])
            reads, writes = dictionary.modules(modules)
            sites.append(Site(layer, kind, writes, owners, dictionary, numbers, reads))
            continue
        module, n_units = {
            "head": (modules.projection, modules.n_heads),
            "neuron": (modules.mlp, modules.n_neurons),
            "mlp": (modules.mlp, 1),
            "layer": (modules.module, 1),
        }[kind]
        owners = np.full(n_units, len(players), dtype=np.int64)
        for unit in units:
            owners[unit.head] = owner[unit]
        assert module is not None
        sites.append(Site(layer, kind, module, owners))
    return tuple(sites)


@contextmanager
def recording(sites: Sequence[Site], n_rows: int) -> Iterator[dict[Site, torch.Tensor]]:
    """Record what units add in the pass within, ``(rows, tokens, width)`` at each site.

    At a site of heads or neurons, this is the input of the linear map that writes what they add; at
    a site of latents, their activations.
    """
    recorded: dict[Site, torch.Tensor] = {}

    def record(site: Site) -> Any:
        def store(added: torch.Tensor) -> None:
            recorded[site] = added.reshape(n_rows, -1, added.shape[-1])

        if site.dictionary is not None:
            activations = site.dictionary.activations
            return _on_latents(site, lambda read, _: store(activations(read, site.latents)))
        if site.kind in ("head", "neuron"):
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
        if site.dictionary is not None:
            of_latents = partial(_mask_latents, site.dictionary, site.latents)
            return _on_latents(
                site, lambda read, written: of_latents(read, written, present, replacement)
            )
        if site.kind in ("head", "neuron"):
            scaled = rescale and site.kind == "head"
            return site.module.register_forward_pre_hook(
                lambda _, args: (_mask_heads(args[0], present, replacement, scaled), *args[1:])
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
            removed = removed.reshape(len(present), -1, removed.shape[-1])
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
    """Remove heads, or neurons, from a map's input; ``present``, or gates: ``(rows, heads)``."""
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


class _Handles(tuple[Any, ...]):
    """Several hooks that are removed together."""

    def remove(self) -> None:
        for handle in self:
            handle.remove()


def _on_latents(
    site: Site, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor | None]
) -> Any:
    """Give a function what a dictionary reads and what it explains.

    What it returns, if anything, goes to the place of the latter.
    """
    inputs: list[torch.Tensor] = []

    def read(_: Any, args: Any, kwargs: Any) -> None:
        inputs[:] = [hidden_states(args, kwargs)]

    def write(_: Any, args: Any, output: Any) -> Any:
        written = _states(output)
        changed = change(inputs[0] if inputs else written, written)
        return None if changed is None else _with_states(output, changed)

    if site.reads is None:
        return site.module.register_forward_hook(write)
    first = site.reads.register_forward_pre_hook(read, with_kwargs=True)
    return _Handles((first, site.module.register_forward_hook(write)))


def _mask_latents(
    dictionary: Dictionary,
    numbers: IntArray,
    read: torch.Tensor,
    written: torch.Tensor,
    present: torch.Tensor,
    replacement: torch.Tensor | None,
) -> torch.Tensor:
    """Take removed latents out of what their dictionary explains; ``present``: ``(rows, k)``."""
    flat = read.reshape(-1, read.shape[-1])
    n_rows, n_latents = present.shape
    shape = (n_rows, len(flat) // n_rows, n_latents)
    gates = present[:, None].expand(shape).reshape(-1, n_latents)
    stand_in = None if replacement is None else replacement.expand(shape).reshape(-1, n_latents)

    def change(latents: torch.Tensor, part: slice) -> torch.Tensor:
        here = None if stand_in is None else stand_in[part].to(latents)
        return _gated(latents, gates[part].to(latents.device), here)

    difference = dictionary.difference(flat, numbers, change)
    return written + difference.reshape(written.shape)


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
