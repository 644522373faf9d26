"""Patching: hooks that remove units from a pass, each row its own, and passes that start late.

Everything here lasts for one ``with`` block and leaves the model as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import IntArray
from interplay.components.anatomy import Anatomy, hidden_states, with_hidden_states
from interplay.components.units import Kind, Player

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Site:
    """A place where units of one kind and layer are removed.

    Attributes:
        layer: the layer's number.
        kind: of the units.
        module: where the hook goes.
        owners: whose each unit is, ``(heads,)``, or ``(1,)`` for the other kinds: a player's
            number, or n, who is always there.
    """

    layer: int
    kind: Kind
    module: torch.nn.Module
    owners: IntArray


class _Stop(Exception):  # noqa: N818
    """Ends a pass from which nothing more is needed."""


def sites_of(found: Anatomy, players: Sequence[Player]) -> tuple[Site, ...]:
    """The places of all players' units, by layer."""
    owner = {unit: number for number, player in enumerate(players) for unit in player.units}
    sites = []
    for layer, kind in sorted({(unit.layer, unit.kind) for unit in owner}):
        own = found.layers[layer]
        module, count = {
            "head": (own.projection, own.n_heads),
            "mlp": (own.mlp, 1),
            "layer": (own.module, 1),
        }[kind]
        owners = np.full(count, len(players), dtype=np.int64)
        for unit, number in owner.items():
            if (unit.layer, unit.kind) == (layer, kind):
                owners[unit.head] = number
        assert module is not None
        sites.append(Site(layer, kind, module, owners))
    return tuple(sites)


@contextmanager
def recording(sites: Sequence[Site], n_rows: int) -> Iterator[dict[Site, torch.Tensor]]:
    """What units add in the pass within, ``(rows, tokens, width)`` at each site."""
    recorded: dict[Site, torch.Tensor] = {}

    def record(site: Site) -> Any:
        def keep(added: torch.Tensor) -> None:
            recorded[site] = added.reshape(n_rows, -1, added.shape[-1])

        if site.kind == "head":
            return site.module.register_forward_pre_hook(lambda _, args: keep(args[0]))
        if site.kind == "mlp":
            return site.module.register_forward_hook(lambda _, args, output: keep(_first(output)))
        return site.module.register_forward_hook(
            lambda _, args, kwargs, output: keep(_first(output) - hidden_states(args, kwargs)),
            with_kwargs=True,
        )

    with _hooked(record(site) for site in sites):
        yield recorded


@contextmanager
def removing(
    sites: Sequence[Site],
    kept: torch.Tensor,
    stand_ins: Mapping[Site, torch.Tensor],
    rescale: bool = False,
) -> Iterator[None]:
    """Remove units from the pass within.

    Args:
        sites: where.
        kept: which players are there, ``(rows, n + 1) bool``; the last one always is.
        stand_ins: for each site what takes a unit's place, in a shape that broadcasts to
            ``(rows, tokens, width)``; zero where there is none.
        rescale: multiply the heads that stay in a layer by their share's inverse.
    """

    def remove(site: Site) -> Any:
        present = kept[:, site.owners]
        stand_in = stand_ins.get(site)
        if site.kind == "head":
            return site.module.register_forward_pre_hook(
                lambda _, args: (_heads(args[0], present, stand_in, rescale), *args[1:])
            )
        if site.kind == "mlp":
            return site.module.register_forward_hook(
                lambda _, args, output: _replaced(output, _whole(_first(output), present, stand_in))
            )

        def around(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
            before, after = hidden_states(args, kwargs), _first(output)
            by = before if stand_in is None else before + stand_in
            return _replaced(output, _whole(after, present, by))

        return site.module.register_forward_hook(around, with_kwargs=True)

    with _hooked(remove(site) for site in sites):
        yield


@contextmanager
def starting_at(found: Anatomy, layer: int, states: torch.Tensor) -> Iterator[None]:
    """Let the pass within begin at a layer.

    Args:
        found: the model's anatomy.
        layer: the first layer that computes anything.
        states: what it reads, ``(rows, tokens, width)``.
    """

    def begin(_: Any, args: Any, kwargs: Any) -> Any:
        return with_hidden_states(states, args, kwargs)

    skipped = found.layers[:layer]
    # a layer may have a forward of its own already: accelerate puts its hooks there
    before = [each.module.__dict__.get("forward") for each in skipped]
    handle = found.layers[layer].module.register_forward_pre_hook(begin, with_kwargs=True)
    try:
        for each in skipped:
            each.module.forward = _passing(each.n_returned)
        yield
    finally:
        handle.remove()
        for each, forward in zip(skipped, before, strict=True):
            each.module.__dict__.pop("forward", None)
            if forward is not None:
                each.module.__dict__["forward"] = forward


@contextmanager
def ending_before(found: Anatomy, layer: int) -> Iterator[list[torch.Tensor]]:
    """Let the pass within end before a layer; what this one would have read is in the list."""
    read: list[torch.Tensor] = []

    def end(_: Any, args: Any, kwargs: Any) -> None:
        read.append(hidden_states(args, kwargs))
        raise _Stop

    handle = found.layers[layer].module.register_forward_pre_hook(end, with_kwargs=True)
    try:
        yield read
    except _Stop:
        pass
    finally:
        handle.remove()


@contextmanager
def _hooked(handles: Iterator[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


def _passing(n_returned: int | None) -> Any:
    """A layer that returns the hidden states that it is given."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        states = hidden_states(args, kwargs)
        return states if n_returned is None else (states, *[None] * (n_returned - 1))

    return forward


def _first(output: Any) -> torch.Tensor:
    states: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return states


def _replaced(output: Any, states: torch.Tensor) -> Any:
    return (states, *output[1:]) if isinstance(output, tuple) else states


def _heads(
    given: torch.Tensor, present: torch.Tensor, stand_in: torch.Tensor | None, rescale: bool
) -> torch.Tensor:
    """The projection's input without some heads; ``present`` is ``(rows, heads)``."""
    n_rows, n_heads = present.shape
    split = given.reshape(n_rows, -1, n_heads, given.shape[-1] // n_heads)
    here = present[:, None, :, None]
    if stand_in is None:
        split = split.masked_fill(~here, 0)
    else:
        split = split.where(here, stand_in.reshape(*stand_in.shape[:-1], *split.shape[2:]))
    if rescale:
        n_kept = present.sum(dim=1).clamp(min=1)
        split = split * (n_heads / n_kept).to(split.dtype)[:, None, None, None]
    return split.reshape(given.shape)


def _whole(
    added: torch.Tensor, present: torch.Tensor, stand_in: torch.Tensor | None
) -> torch.Tensor:
    """What one unit adds, in the rows where it is there; ``present`` is ``(rows, 1)``."""
    rows = added.reshape(len(present), -1, added.shape[-1])
    here = present[:, :, None]
    if stand_in is None:
        return rows.masked_fill(~here, 0).reshape(added.shape)
    return rows.where(here, stand_in).reshape(added.shape)
