"""What may be expected of a game: the keys of a file of expectations, read and checked.

All of it is checked before anything is evaluated. A gate with a key that is misspelt, or with
nothing in it, would open whatever the model does; so neither is accepted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from math import ceil, inf, log
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from interplay._types import Count, Players, check, shown
from interplay.confirmation.changes import ALPHA

SHARE = 0.95
"""The share of masks or backgrounds that must be within a margin, unless another is asked for."""
_LARGEST = 1 << 20
_MOST = 200
_MOST_PLAYERS = 6
"""Players of a set that matters: all on/off patterns of them are evaluated."""
_MOST_SHARE = 0.999
"""The largest share that can be asked for: it takes 2,996 backgrounds without an exception."""


class Matters(TypedDict):
    """Players that must act together, or one that must act alone."""

    players: list[str | Count]
    at_least: NotRequired[float]


class Indifferent(TypedDict):
    """Players each of which must change next to nothing."""

    players: list[str | Count]
    margin: float
    share: NotRequired[float]


class Unchanged(TypedDict):
    """How much the values of two games may differ."""

    margin: float
    share: NotRequired[float]


class Expectations(TypedDict, total=False):
    """What may be expected; the keys of a file of expectations.

    Attributes:
        r2: the least R2: the lower end of its interval.
        matters: for each its ``players``, by name or number, which must act together (or alone, if
            it is one): the mean of their joint effect is away from zero, by at least ``at_least``
            if this is given.
        indifferent: for each its ``players``, of which each one must change the value by less than
            ``margin``, whatever else is removed: on a ``share`` of 0.95 or another of backgrounds.
        unchanged: of a comparison: its ``margin`` and ``share``, as for ``interplay.compare``.
    """

    r2: float
    matters: list[Matters]
    indifferent: list[Indifferent]
    unchanged: Unchanged


def expectations_of(given: Expectations | str | Path) -> Expectations:
    """Expectations as they are, or read from a file; checked in either case.

    Raises:
        ValueError: they are none.
        OSError: the file cannot be read.
    """
    return checked_expectations(given) if isinstance(given, dict) else read_expectations(given)


def read_expectations(path: str | Path) -> Expectations:
    """Read a file of expectations, in TOML.

    Raises:
        ValueError: it is no TOML, is too large, or holds something that is no expectation.
        OSError: it cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    return checked_expectations(document, str(path))


def checked_expectations(document: Any, where: str = "the expectations") -> Expectations:
    """Check expectations, before anything is evaluated.

    Raises:
        ValueError: what is wrong, where, and what is expected.
    """
    check(document, Expectations, where)
    _no_others(document, Expectations, where)
    if not any(document.values()) and "r2" not in document:
        known_keys = ", ".join(Expectations.__annotations__)
        raise ValueError(f"{where} is empty; at least one of {known_keys} is expected")
    if not document.get("r2", 0.0) <= 1.0 or document.get("r2") == -inf:
        raise ValueError(f"{where}.r2 is {document['r2']}; a number up to 1 is expected")
    matters, indifferent = document.get("matters", ()), document.get("indifferent", ())
    if len(matters) + len(indifferent) > _MOST:
        raise ValueError(
            f"{where} has {len(matters) + len(indifferent)} entries; at most {_MOST} are expected"
        )
    for number, entry in enumerate(matters):
        named = f"{where}.matters[{number}]"
        _no_others(entry, Matters, named)
        _some_players(entry["players"], named, _MOST_PLAYERS)
        least = entry.get("at_least", 0.0)
        if not 0.0 <= least < inf:
            raise ValueError(f"{named}.at_least is {least}; a number from 0 on is expected")
    for number, entry in enumerate(indifferent):
        named = f"{where}.indifferent[{number}]"
        _no_others(entry, Indifferent, named)
        _some_players(entry["players"], named)
        check_within(entry["margin"], entry.get("share", SHARE), named)
    if "unchanged" in document:
        entry, named = document["unchanged"], f"{where}.unchanged"
        _no_others(entry, Unchanged, named)
        check_within(entry["margin"], entry.get("share", SHARE), named)
    known: Expectations = document
    return known


def _no_others(table: Any, kind: Any, where: str) -> None:
    """Refuse a key that is not known: a gate with a key that is misspelt would open for nothing."""
    unknown, known = table.keys() - kind.__annotations__.keys(), ", ".join(kind.__annotations__)
    if unknown:
        raise ValueError(f"{where} has {shown(min(unknown, key=str))}; {known} are known")


def _some_players(players: Sequence[str | int], where: str, most: int = _MOST) -> None:
    if not players:
        raise ValueError(f"{where} is an entry without players; name at least one")
    if len(players) > most:
        raise ValueError(f"{where} has {len(players)} players; at most {most} are expected")


def check_within(margin: float, share: float, where: str) -> None:
    """Check a margin and the share that must be within it.

    Raises:
        ValueError: one of them is out of range.
    """
    if not (0 < margin < inf and 0 < share <= _MOST_SHARE):
        raise ValueError(
            f"{where} has margin = {margin}, share = {share}; a margin above 0 and a share above 0 "
            f"and up to {_MOST_SHARE} are expected"
        )


def check_players(wanted: Expectations, names: Sequence[str]) -> None:
    """Check that the players of expectations are there, before anything is evaluated.

    Args:
        wanted: checked expectations.
        names: of the players.

    Raises:
        ValueError: a player is not there, is not the only one of its name, or is named twice.
    """
    for entry in [*wanted.get("matters", ()), *wanted.get("indifferent", ())]:
        players_named(names, entry["players"])


def players_named(names: Sequence[str], given: Sequence[str | int]) -> Players:
    """Players as :func:`player_named` has them, ascending.

    Raises:
        ValueError: one is not there, or is named twice.
    """
    numbers = [player_named(names, player) for player in given]
    for player, number in zip(given, numbers, strict=True):
        if numbers.count(number) > 1:
            raise ValueError(
                f"{shown(names[number][:40])} is named twice, once by {shown(player)}; name each "
                "player of an entry once"
            )
    return tuple(sorted(numbers))


def player_named(names: Sequence[str], player: str | int) -> int:
    """A player, by its number, by its name, or by a text that only one name contains.

    Raises:
        ValueError: there is none, or there are several.
    """
    if isinstance(player, int):
        if not 0 <= player < len(names):
            raise ValueError(f"there is no player {player}; there are {len(names)}, from 0 on")
        return player
    candidates = [number for number, name in enumerate(names) if name.strip() == player.strip()]
    candidates = candidates or [
        number for number, name in enumerate(names) if player.lower() in name.lower()
    ]
    if len(candidates) != 1:
        of_them = ", ".join(shown(names[number][:40]) for number in candidates[:5])
        raise ValueError(
            f"{len(candidates)} players are named or contain {shown(player)}"
            f"{f' ({of_them})' if of_them else ''}; give a text of exactly one, or its number"
        )
    return candidates[0]


def enough_masks(share: float) -> int:
    """How many random masks can show a share: one exception more would be one too many."""
    return ceil(log(ALPHA) / log(share)) + 1
