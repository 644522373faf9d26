"""Players: units and groups of them, checked against a model and described."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from interplay._types import Json
from interplay.components.architecture import Architecture
from interplay.components.dictionaries import Dictionary
from interplay.components.units import Group, Player, Unit, check_unit


def check_players(architecture: Architecture, players: Sequence[Player]) -> tuple[Player, ...]:
    """Check that a model has the players.

    Raises:
        ValueError: there are no players, something is not a unit, a group is empty, the model lacks
            a unit, a unit belongs to two players, or two players have one name.
    """
    if not players:
        raise ValueError("there are no players; give units such as heads(model, layers=[0, 1])")
    owner: dict[Unit, str] = {}
    names: set[str] = set()
    for player in players:
        if not isinstance(player, Unit | Group):
            raise ValueError(
                f"{player!r} is no unit; give what heads, mlps and layers return, or Groups of it"
            )
        if not player.units:
            raise ValueError(f"the group {player.name!r} is empty; give it units")
        for unit in player.units:
            check_unit(architecture, unit)
            if unit in owner:
                raise ValueError(
                    f"{unit.name} belongs to two players, {owner[unit]!r} and {player.name!r}; "
                    "give each unit to one"
                )
            owner[unit] = player.name
        if player.name in names:
            raise ValueError(
                f"two players have the name {player.name!r}, so that what is found would not say "
                "which; give each group a name of its own"
            )
        names.add(player.name)
    for unit in owner:
        for whole in _wholes(unit):
            if whole in owner:
                raise ValueError(
                    f"{unit.name} is a part of {whole.name}, and both are players' "
                    f"({owner[unit]!r} and {owner[whole]!r}); give each unit to one"
                )
    _check_dictionaries(owner)
    return tuple(players)


def _wholes(unit: Unit) -> Iterator[Unit]:
    """The units that a unit is a part of."""
    of_mlp = unit.kind == "neuron"
    if unit.dictionary is not None:
        if unit.dictionary.at == "layer":
            return  # a part of the hidden states, to which all layers below have added
        of_mlp = True
    if of_mlp:
        yield Unit(unit.layer, "mlp")
    if unit.kind != "layer":
        yield Unit(unit.layer, "layer")


def _check_dictionaries(units: Iterable[Unit]) -> None:
    """Refuse two ways to divide one thing into parts: what they remove would overlap."""
    divided: dict[tuple[int, bool], Unit] = {}
    for unit in units:
        if unit.kind not in ("neuron", "latent"):
            continue
        is_state = unit.dictionary is not None and unit.dictionary.at == "layer"
        first = divided.setdefault((unit.layer, is_state), unit)
        if first.dictionary != unit.dictionary:
            what = "the hidden states after" if is_state else "the MLP in"
            raise ValueError(
                f"{first.name} and {unit.name} are parts of {what} layer {unit.layer} divided in "
                "two ways, which overlap; take neurons, or the latents of one dictionary"
            )


def describe_players(players: Sequence[Player]) -> Json:
    """Describe players as JSON.

    ``units`` lists each player's, as layer, kind and number. Neurons that follow each other are one
    entry, by their first, and ``neurons`` counts them. ``dictionaries`` are those of latents, and
    ``dictionary`` says which one each unit is of, if any.
    """
    runs = [_runs(player) for player in players]
    description: Json = {
        "units": [[[unit.layer, unit.kind, unit.head] for unit, _ in of_one] for of_one in runs]
    }
    if any(count > 1 for of_one in runs for _, count in of_one):
        description["neurons"] = [[count for _, count in of_one] for of_one in runs]
    dictionaries = dictionaries_of(players)
    if dictionaries:
        description["dictionaries"] = [dictionary.describe() for dictionary in dictionaries]
        description["dictionary"] = [
            [
                None if unit.dictionary is None else dictionaries.index(unit.dictionary)
                for unit, _ in of_one
            ]
            for of_one in runs
        ]
    return description


def dictionaries_of(players: Iterable[Player]) -> list[Dictionary]:
    """List the dictionaries whose latents are players, each once, in the players' order."""
    listed = (unit.dictionary for player in players for unit in player.units)
    return list(dict.fromkeys(dictionary for dictionary in listed if dictionary is not None))


def _runs(player: Player) -> list[tuple[Unit, int]]:
    """A player's units in few words: each with the number of neurons that it stands for.

    Neurons of one layer that follow each other are one entry, their first with their count; any
    other unit is an entry with 1.
    """
    result: list[tuple[Unit, int]] = []
    for unit in player.units:
        if result and unit.kind == "neuron":
            first, count = result[-1]
            if unit == replace(first, head=first.head + count):
                result[-1] = first, count + 1
                continue
        result.append((unit, 1))
    return result
