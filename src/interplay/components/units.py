"""Units: the parts of a transformer that can be removed, and groups of them as players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias

from interplay.components.architecture import Architecture, find_architecture

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kind: TypeAlias = Literal["head", "mlp", "layer"]


@dataclass(frozen=True, order=True)
class Unit:
    """One part of a transformer.

    Attributes:
        layer: the number of its layer, from 0.
        kind: ``"head"``: what one attention head adds; ``"mlp"``: what the MLP adds; ``"layer"``:
            all that the layer adds to the hidden states.
        head: the number of the (query) head, from 0; 0 for the other kinds.
    """

    layer: int
    kind: Kind
    head: int = 0

    @property
    def name(self) -> str:
        """Its name, such as ``L14.H3``, ``L14.MLP`` or ``L14``."""
        return f"L{self.layer}" + {"head": f".H{self.head}", "mlp": ".MLP", "layer": ""}[self.kind]

    @property
    def units(self) -> tuple[Unit, ...]:
        """Itself: a player of one unit."""
        return (self,)


@dataclass(frozen=True)
class Group:
    """Units that are removed together.

    Attributes:
        name: for people to read.
        units: one or more.
    """

    name: str
    units: tuple[Unit, ...]


Player: TypeAlias = Unit | Group


def heads(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Unit, ...]:
    """List the attention heads of some layers; each (query) head is a unit.

    Args:
        model: the transformer.
        layers: numbers of layers, from 0, negative ones from the end; by default all with
            heads.

    Raises:
        ValueError: a layer that does not exist or has no attention.
    """
    architecture = find_architecture(model)
    numbers = _layer_numbers(architecture, layers)
    for number in numbers:
        if layers is not None and not architecture.layers[number].n_heads:
            raise ValueError(
                f"no attention was found in layer {number} of {type(model).__name__}; take its "
                "MLP, or the whole layer"
            )
    return tuple(
        Unit(number, "head", head)
        for number in numbers
        for head in range(architecture.layers[number].n_heads)
    )


def mlps(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Unit, ...]:
    """List the MLPs of some layers; see :func:`heads`.

    Raises:
        ValueError: as for :func:`heads`, or a layer has no MLP that can be found.
    """
    architecture = find_architecture(model)
    numbers = _layer_numbers(architecture, layers)
    for number in numbers:
        if layers is not None and architecture.layers[number].mlp is None:
            raise ValueError(
                f"no MLP was found in layer {number} of {type(model).__name__}; take its heads, "
                "or the whole layer"
            )
    return tuple(
        Unit(number, "mlp") for number in numbers if architecture.layers[number].mlp is not None
    )


def layers(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Unit, ...]:
    """List whole layers; see :func:`heads`. Without a layer, hidden states bypass it."""
    numbers = _layer_numbers(find_architecture(model), layers)
    return tuple(Unit(number, "layer") for number in numbers)


def by_layers(units: Iterable[Unit], size: int = 1) -> tuple[Group, ...]:
    """Group units by consecutive layers; each group is a player.

    Args:
        units: units of any kinds.
        size: how many layers a group spans, counted from layer 0: the boundaries of the groups do
            not depend on ``units``.

    Raises:
        ValueError: ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"size={size} is below 1; give a number of layers")
    result = []
    for block, members in groupby(sorted(units), lambda unit: unit.layer // size):
        block_units = tuple(members)
        first, last = block_units[0].layer, block_units[-1].layer
        name = f"L{block * size}" if size == 1 else f"L{first}-{last}"
        kinds = "+".join(sorted({unit.kind for unit in block_units}))
        result.append(Group(f"{name} {kinds}" if kinds != "layer" else name, block_units))
    return tuple(result)


def check_players(architecture: Architecture, players: Sequence[Player]) -> tuple[Player, ...]:
    """Check that a model has the players.

    Raises:
        ValueError: there are no players, something is not a unit, a group is empty, the model lacks
            a unit, or a unit belongs to two players.
    """
    if not players:
        raise ValueError("there are no players; give units such as heads(model, layers=[0, 1])")
    owner: dict[Unit, str] = {}
    for player in players:
        if not isinstance(player, Unit | Group):
            raise ValueError(
                f"{player!r} is no unit; give what heads, mlps and layers return, or Groups of it"
            )
        if not player.units:
            raise ValueError(f"the group {player.name!r} is empty; give it units")
        for unit in player.units:
            _check_unit(architecture, unit)
            if unit in owner:
                raise ValueError(
                    f"{unit.name} belongs to two players, {owner[unit]!r} and {player.name!r}; "
                    "give each unit to one"
                )
            owner[unit] = player.name
    for unit in owner:
        whole = Unit(unit.layer, "layer")
        if unit.kind != "layer" and whole in owner:
            raise ValueError(
                f"{unit.name} is a part of {whole.name}, and both are players' "
                f"({owner[unit]!r} and {owner[whole]!r}); give each unit to one"
            )
    return tuple(players)


def _check_unit(architecture: Architecture, unit: Unit) -> None:
    if not 0 <= unit.layer < len(architecture.layers):
        raise _no_layer(unit.layer, len(architecture.layers))
    layer = architecture.layers[unit.layer]
    if unit.kind == "head" and not 0 <= unit.head < layer.n_heads:
        raise ValueError(
            f"{unit.name} does not exist: layer {unit.layer} has {layer.n_heads} heads, "
            "counted from 0"
        )
    if unit.kind == "mlp" and layer.mlp is None:
        raise ValueError(f"{unit.name} does not exist: no MLP was found in layer {unit.layer}")


def _layer_numbers(architecture: Architecture, layers: Iterable[int] | None) -> list[int]:
    """Check layers' numbers and count them from the first; sorted, each once."""
    count = len(architecture.layers)
    numbers = range(count) if layers is None else [int(layer) for layer in layers]
    for number in numbers:
        if not -count <= number < count:
            raise _no_layer(number, count)
    return sorted({number % count for number in numbers})


def _no_layer(number: int, count: int) -> ValueError:
    return ValueError(
        f"layer {number} does not exist: the model has {count} layers, counted from 0 to "
        f"{count - 1}"
    )
