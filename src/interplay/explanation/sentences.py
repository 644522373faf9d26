"""Sentences about what players do together, from truth tables.

A sentence names a pattern only where a truth table shows it. Values in it are measured, unless it
says that they are predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

import numpy as np

from interplay._types import Json, Players, visible
from interplay.explanation.reading import Reading
from interplay.explanation.truth import (
    Entry,
    TruthTable,
    column_of,
    is_of_mean,
)
from interplay.explanation.verdict import ROUNDING
from interplay.explanation.wording import named, number, score_of

Pattern: TypeAlias = Literal["either", "both", "cancels", "repeat", "together"]
Kind: TypeAlias = Literal[Pattern, "stand in", "only together", "necessary", "sufficient", "alone"]
Part: TypeAlias = str | int
"""Of a sentence: words, or the number of a player."""
_LITTLE, _MUCH = 0.25, 0.75
"""Of what a set changes: shares up to and from which a part of it changes little or nearly all."""
_LEAST = 0.05
"""Of the range of all values: a change below this share is none to speak of."""


@dataclass(frozen=True)
class Finding:
    """A finding in a sentence.

    Attributes:
        kind: what it says.
        parts: its words, and the numbers of the players among them.
        players: the set that it is about.
        doubt: by how much predictions are off, if some of its values are predicted; ``None``: all
            are measured.
        labels: the names of the players in ``parts``, by number.
    """

    kind: Kind
    parts: tuple[Part, ...]
    players: Players
    doubt: float | None
    labels: dict[int, str]

    def __str__(self) -> str:
        words, told = list[str](), set[int]()
        for part in self.parts:
            is_new = isinstance(part, int) and part not in told
            words.append(self.name(part) if is_new and isinstance(part, int) else str(part))
            if isinstance(part, int):
                told.add(part)
        if self.doubt is not None:
            words.append(f" (predicted, ± {number(self.doubt)})")
        return visible("".join(words))

    def name(self, player: int) -> str:
        """A player as sentences name it: its number, and its name if that is another."""
        label = named(self.labels[player])
        return str(player) if label in ("", str(player)) else f"{player} '{label}'"

    def to_json(self) -> Json:
        """The finding as JSON."""
        return {
            "kind": self.kind,
            "sentence": str(self),
            "players": list(self.players),
            "measured": self.doubt is None,
        }


def pattern(full: float, one: float, other: float, none: float) -> Pattern:
    """What two players do together, by a truth table of measured values.

    Example:
        >>> pattern(1.0, 1.0, 1.0, 0.0), pattern(1.0, 0.0, 0.0, 0.0), pattern(1.0, 0.0, 1.0, 1.0)
        ('either', 'both', 'cancels')

    Args:
        full: the value with both.
        one: the value without the first one.
        other: the value without the second one.
        none: the value without both.

    Returns:
        ``"cancels"``: without both the value changes at most half as much as without one of them;
        ``"either"``: without one it changes by at most a quarter of what it does without both;
        ``"both"``: without either it changes by at least three quarters of that; ``"repeat"``:
        without one and without the other it changes by three quarters of that, added up;
        ``"together"``: none of these.
    """
    first, second, both = full - one, full - other, full - none
    if abs(both) <= 0.5 * max(abs(first), abs(second)):
        return "cancels" if first or second else "together"
    shares = first / both, second / both
    if max(map(abs, shares)) <= _LITTLE:
        return "either"
    if min(shares) >= _MUCH:
        return "both"
    if min(shares) >= 0 and sum(shares) <= _MUCH:
        return "repeat"
    return "together"


def one_alone(table: TruthTable) -> bool:
    """Whether of a pair without a pattern one player alone does nearly all."""
    if len(table.players) != 2:
        return False
    whole, without_second, without_first, none = (entry.value for entry in table.entries)
    if pattern(whole, without_first, without_second, none) != "together" or whole == none:
        return False
    shares = sorted(
        abs((whole - value) / (whole - none)) for value in (without_first, without_second)
    )
    return shares[0] <= _LITTLE and shares[1] >= _MUCH


class Words:
    """Makes sentences about one explanation.

    Args:
        explanation: of the game.
    """

    def __init__(self, explanation: Reading) -> None:
        name = score_of(explanation.provenance["game"]["description"])
        is_mean = is_of_mean(explanation)
        self.score = f"the mean {name}" if is_mean else f"the {name}"
        self._players = explanation.players
        ends = explanation.ends
        self._way = inf if ends is None else abs(float(np.ptp(column_of(explanation, ends))))
        self._bounded = name == "probability"
        self._range = float(np.ptp(column_of(explanation, explanation.ablations.values)))
        self._error = error_of(explanation)

    def is_clear(self, table: TruthTable) -> bool:
        """Whether something changes, and by more than predictions are off if they are needed."""
        values = [entry.value for entry in table.entries]
        change = max(values) - min(values)
        doubt = 0.0 if table.is_measured else self._error / _LITTLE
        return change > max(_LEAST * self._range, doubt)

    def finding(
        self, kind: Kind, parts: Sequence[Part], players: Players, measured: bool = True
    ) -> Finding:
        """A finding of these words."""
        shown = [part for part in parts if part != ""]
        labels = {part: self._players[part] for part in shown if isinstance(part, int)}
        return Finding(kind, tuple(shown), players, None if measured else self._error, labels)

    def change(self, before: float, after: float) -> str:
        """From one value to another, in words."""
        first, last = self.number(before), self.number(after)
        if abs(after - before) <= 0.01 * self._range or first == last:
            return f"{self.score} stays at {last}"
        verb = "falls" if after < before else "rises"
        return f"{self.score} {verb} from {first} to {last}"

    def number(self, value: float) -> str:
        """A value; a probability that is predicted outside of 0 to 1 is at the end."""
        if abs(value) <= ROUNDING * self._range:
            return "0"
        return number(min(max(value, 0.0), 1.0) if self._bounded else value)

    def alone(self, players: Players, entries: Sequence[Entry]) -> Finding:
        """What one player does."""
        whole, without = (entry.value for entry in entries)
        measured = all(entry.is_measured for entry in entries)
        parts = ("Without ", players[0], f" {self.change(whole, without)}.")
        return self.finding("alone", parts, players, measured)

    def of_table(self, table: TruthTable) -> Finding:
        """What a truth table shows."""
        whole, none = table.entries[0].value, table.entries[-1].value
        if len(table.players) != 2:
            values = [table.without(player) for player in table.players]
            one_out = _or([self.number(value) for value in values])
            members = listed(table.players)
            change = self.change(whole, none)
            needed = all(abs(whole - value) >= _MUCH * abs(whole - none) for value in values)
            if needed and abs(whole - none) >= 0.5 * self._way:
                verb = "falls" if none < whole else "rises"
                words = f" are needed: without one of them {self.score} {verb} from "
                tail = f"{self.number(whole)} to {one_out}."
                parts: tuple[Part, ...] = ("All of ", *members, words, tail)
                return self.finding("both", parts, table.players, table.is_measured)
            parts = ("Without ", *members, f" {change}; without one of them it is {one_out}.")
            return self.finding("together", parts, table.players, table.is_measured)
        first, second = table.players
        one, other = table.without(first), table.without(second)
        kind = pattern(whole, one, other, none)
        if kind == "cancels" and abs(whole - other) > abs(whole - one):
            first, second, one, other = second, first, other, one
        if not table.is_measured and not table.agrees:
            kind = "together"  # a prediction that the average speaks against
        told, parts = self._told(kind, (first, second), (whole, one, other, none))
        return self.finding(told, parts, table.players, table.is_measured)

    def _told(
        self, kind: Pattern, pair: tuple[int, int], values: tuple[float, float, float, float]
    ) -> tuple[Kind, tuple[Part, ...]]:
        """A pattern in words, and what it is called where it does not decide the answer."""
        (first, second), (whole, one, other, none) = pair, values
        decides = abs(whole - none) >= 0.5 * self._way  # half of the way, as decisive sets have it
        both: tuple[Part, ...] = (first, " and ", second)
        without_both = self.change(whole, none)
        without_first = self.change(whole, one)
        left = self.number(none)
        if kind == "cancels":
            words = f"{without_first}, without both it is {left}."
            return kind, (first, " counters ", second, ": without the first ", words)
        if kind == "either":
            kept = _or([self.number(one), self.number(other)])
            words = f": without both {without_both}, without one it is {kept}."
            if decides:
                return kind, ("Either of ", *both, " suffices", words)
            return "stand in", (*both, " stand in for each other", words)
        if kind == "both":
            words = f": without the first {without_first}, without the second it is "
            tail = f"{self.number(other)}, without both {left}."
            if decides:
                return kind, ("Both ", *both, " are needed", words, tail)
            return "only together", (*both, " act only together", words, tail)
        each = (
            *("; without ", first, f" alone it is {self.number(one)}, without ", second),
            f" alone {self.number(other)}.",
        )
        if kind == "repeat":
            return kind, (*both, f" repeat each other in part: without both {without_both}", *each)
        return kind, ("Without ", *both, f" {without_both}", *each)


def error_of(explanation: Reading) -> float:
    """By how much predictions of held-out masks are off (root mean square); 0 if all are known."""
    if explanation.faithfulness.exact:
        return 0.0
    off = explanation.predict_held_out() - explanation.held_out.values
    return float(np.sqrt((column_of(explanation, off) ** 2).mean()))


def listed(players: Players) -> list[Part]:
    """Players with commas and an "and" between them."""
    parts: list[Part] = []
    for place, player in enumerate(players):
        if place:
            parts.append(" and " if place == len(players) - 1 else ", ")
        parts.append(player)
    return parts


def _or(values: Sequence[str]) -> str:
    """Different values with an "or" between them."""
    distinct = list(dict.fromkeys(values))
    return (
        " or ".join(distinct)
        if len(distinct) < 3
        else f"{', '.join(distinct[:-1])} or {distinct[-1]}"
    )
