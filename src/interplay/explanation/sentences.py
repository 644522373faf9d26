"""Sentences about what players do together, from truth tables.

A sentence names a pattern only where a truth table shows it. Values in it are measured, unless it
says that they are predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
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
from interplay.explanation.wording import leaning, named, number, score_of

Pattern: TypeAlias = Literal["either", "both", "cancels", "repeat", "together"]
Changed: TypeAlias = Literal["appeared", "vanished", "reversed", "stronger", "weaker"]
"""What a comparison says of a set in the second game."""
Kind: TypeAlias = Literal[
    Pattern, Changed, "stand in", "only together", "necessary", "sufficient", "alone"
]
Part: TypeAlias = str | int
"""Of a sentence: words, or the number of a player."""
_LITTLE, _MUCH = 0.25, 0.75
"""Of what a set changes: shares up to and from which a part of it changes little or nearly all."""
_LEAST = 0.05
"""Of the range of all values: a change below this share is none to speak of."""
_NOISE = 6.0
"""Noise alone makes eight values differ by so many standard errors once in a thousand times."""
_REDUNDANT, _NEEDED = {"either", "stand in", "repeat"}, {"both", "only together"}
"""Kinds of which three pairs of three players make one."""
_ANSWERS = {"text": "answers", "training": "trainings"}
"""Of what a value is a mean, by lens."""


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
        repeats: how measured values of a random game were made, such as "mean of 5 answers, ±
            0.02"; else empty.
        tested: of a change, whether fresh ablations confirm it, in words; else empty.
    """

    kind: Kind
    parts: tuple[Part, ...]
    players: Players
    doubt: float | None
    labels: dict[int, str]
    repeats: str = ""
    tested: str = ""

    @property
    def evidence(self) -> str:
        """Where its values come from, in words."""
        if self.tested:
            return self.tested
        if self.doubt is not None:
            return f"predicted, ± {number(self.doubt)}"
        return f"measured, {self.repeats}" if self.repeats else "measured"

    def __str__(self) -> str:
        words, told = list[str](), set[int]()
        for part in self.parts:
            is_new = isinstance(part, int) and part not in told
            words.append(self.name(part) if is_new and isinstance(part, int) else str(part))
            if isinstance(part, int):
                told.add(part)
        if self.doubt is not None or self.repeats or self.tested:
            words.append(f" ({self.evidence})")
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
            "measured": self.doubt is None and not self.tested,
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
        without one and without the other it changes by at most three quarters of that, added up;
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
    if min(shares) >= -_LEAST and sum(shares) <= _MUCH:
        return "repeat"
    return "together"


def one_alone(table: TruthTable) -> bool:
    """Whether one player of a set does nearly all that the set does, and the others little."""
    whole, none = table.entries[0].value, table.entries[-1].value
    if whole == none:
        return False
    *others, largest = sorted(
        abs((whole - table.without(player)) / (whole - none)) for player in table.players
    )
    return largest >= _MUCH and max(others) <= _LITTLE and not _is_cancelled(table)


def _is_cancelled(table: TruthTable) -> bool:
    """Whether without all players the value changes at most half as much as without some."""
    whole, *rest = (entry.value for entry in table.entries)
    return abs(whole - rest[-1]) <= 0.5 * max(abs(whole - value) for value in rest)


class Words:
    """Makes sentences about one explanation.

    Args:
        explanation: of the game.

    Attributes:
        score: what the score is called, with its article.
        error: by how much predictions are off.
        repeats: how measured values of a random game were made; else empty.
        removal: what players are that are not kept.
    """

    def __init__(self, explanation: Reading) -> None:
        self._description = explanation.provenance["game"]["description"]
        name = score_of(self._description)
        is_mean = is_of_mean(explanation)
        self.score = f"the mean {name}" if is_mean else f"the {name}"
        self._players = explanation.players
        self.removal = explanation.removal
        ends = explanation.ends
        self._way = inf if ends is None else abs(float(np.ptp(column_of(explanation, ends))))
        self._range = float(np.ptp(column_of(explanation, explanation.ablations.values)))
        self.error = error_of(explanation)
        self._spread, self.repeats = spread_of(explanation)

    def is_clear(self, table: TruthTable) -> bool:
        """Whether something changes, and by more than its values are off."""
        doubt = _NOISE * self._spread if table.is_measured else self.error / _LITTLE
        return self.change_of(table) > max(_LEAST * self._range, doubt)

    def sure(self, table: TruthTable) -> float:
        """By how much the values of a table differ at least."""
        return self.change_of(table) - (self._spread if table.is_measured else self.error)

    def singly(self, table: TruthTable) -> dict[int, float]:
        """By how much the value changes at least without each player alone."""
        whole, doubt = table.entries[0].value, self.change_of(table) - self.sure(table)
        return {one: abs(whole - table.without(one)) - doubt for one in table.players}

    @staticmethod
    def change_of(table: TruthTable) -> float:
        """By how much the values of a table differ."""
        values = [entry.value for entry in table.entries]
        return max(values) - min(values)

    def finding(
        self, kind: Kind, parts: Sequence[Part], players: Players, measured: bool = True
    ) -> Finding:
        """A finding of these words."""
        shown = [part for part in parts if part != ""]
        labels = {part: self._players[part] for part in shown if isinstance(part, int)}
        doubt, repeats = (None, self.repeats) if measured else (self.error, "")
        return Finding(kind, tuple(shown), players, doubt, labels, repeats)

    def change(self, before: float, after: float) -> str:
        """From one value to another, in words."""
        first, last = self.number(before), self.number(after)
        if abs(after - before) <= 0.01 * self._range or first == last:
            return f"{self.score} stays at {last}"
        verb = "falls" if after < before else "rises"
        first, last = self._leaning(before, after, first), self._leaning(after, before, last)
        return f"{self.score} {verb} from {first} to {last}"

    def _leaning(self, value: float, other: float, shown: str) -> str:
        """A value with the answer that it speaks for, if another one speaks for another."""
        answer = leaning(self._description, value)
        is_other = answer and leaning(self._description, other) not in (answer, "")
        return f"{shown} (for {answer})" if is_other else shown

    def number(self, value: float) -> str:
        """A value, without rounding errors."""
        return "0" if abs(value) <= ROUNDING * self._range else number(value)

    def out(self, players: Players, *named: Part) -> tuple[Part, ...]:
        """The words for an input without some players, which are named as given."""
        before, after = self.removal.without(players)
        return before, *named, after

    def begun(self, players: Players, *named: Part) -> tuple[Part, ...]:
        """The same at the beginning of a sentence."""
        before, *rest = self.out(players, *named)
        return str(before).capitalize(), *rest

    def alone(self, players: Players, entries: Sequence[Entry]) -> Finding:
        """What one player does."""
        whole, without = (entry.value for entry in entries)
        measured = all(entry.is_measured for entry in entries)
        parts = (*self.begun(players, players[0]), f" {self.change(whole, without)}.")
        return self.finding("alone", parts, players, measured)

    def of_table(self, table: TruthTable) -> Finding:
        """What a truth table shows."""
        if len(table.players) != 2:
            return self._of_three(table)
        kind, (first, second) = self._pattern(table)
        whole, none = table.entries[0].value, table.entries[-1].value
        one, other = table.without(first), table.without(second)
        # half of the way, as decisive sets have it
        decides = abs(whole - none) >= 0.5 * self._way
        both: tuple[Part, ...] = (first, " and ", second)
        two = table.players
        without_both, without_one = self._out(two, "both"), self._out(two, "one")
        the_first, the_second = self._out((first,), "the first"), self._out((second,), "the second")
        after_both = f"{without_both} {self.number(none)}."
        begun = f": {the_first} {self.change(whole, one)}, {the_second} it is "
        singly = f"{begun}{self.number(other)}, {after_both}"
        shown = self.number(one), self.number(other)
        # "without the first it is 1, without the second 2"
        each = (
            f"{without_one} it is {shown[0]}."
            if shown[0] == shown[1]
            else f"{the_first} it is {shown[0]}, {the_second} {shown[1]}."
        )
        jointly = f": {without_both} {self.change(whole, none)}, {each}"
        told: Kind = kind
        parts: tuple[Part, ...]
        if kind == "cancels" and is_alike(whole, one, other):
            change = self.change(whole, one)
            words = f" offset each other: {without_one} {change}, {without_both} it is "
            parts = (*both, f"{words}{self.number(none)}.")
        elif kind == "cancels":
            parts = (first, " counters ", second, singly)
        elif kind == "either" and decides:
            parts = ("Either of ", *both, f" suffices{jointly}")
        elif kind == "either":
            told, parts = "stand in", (*both, f" stand in for each other{jointly}")
        elif kind == "both" and decides:
            parts = ("Both ", *both, f" are needed{singly}")
        elif kind == "both":
            told, parts = "only together", (*both, f" act only together{singly}")
        elif kind == "repeat":
            parts = (*both, f" repeat each other in part{jointly}")
        else:
            change = f" {self.change(whole, one)}, "
            tail = f" it is {self.number(other)}, {after_both}"
            parts = (*self.begun((first,), first), change, *self.out((second,), second), tail)
        return self.finding(told, parts, table.players, table.is_measured)

    def _out(self, players: Players, named: str) -> str:
        """:meth:`out` as a text."""
        return "".join(map(str, self.out(players, named)))

    def _pattern(self, table: TruthTable) -> tuple[Pattern, tuple[int, int]]:
        """What two players do together, and the two, the one that is told first before the other.

        That is the one without which the score changes most, where the two do different things.
        """
        first, second = table.players
        whole, none = table.entries[0].value, table.entries[-1].value
        one, other = table.without(first), table.without(second)
        kind = pattern(whole, one, other, none)
        if not table.is_measured and not table.agrees:
            kind = "together"  # a prediction that the average speaks against
        if kind in ("cancels", "together") and abs(whole - other) > abs(whole - one):
            first, second = second, first
        return kind, (first, second)

    def _of_three(self, table: TruthTable) -> Finding:
        """What a truth table of three players shows."""
        whole, none = table.entries[0].value, table.entries[-1].value
        values = [table.without(player) for player in table.players]
        members = listed(table.players)
        needed = all(abs(whole - value) >= _MUCH * abs(whole - none) for value in values)
        if needed and abs(whole - none) >= 0.5 * self._way:
            verb = "falls" if none < whole else "rises"
            one = self._out(table.players, "one of them")
            words = f" are needed: {one} {self.score} {verb} from "
            tail = f"{self.number(whole)} to {_or([self.number(value) for value in values])}."
            parts: tuple[Part, ...] = ("All of ", *members, words, tail)
            return self.finding("both", parts, table.players, table.is_measured)
        change = self.change(whole, none)
        more = self._two_out(table)
        begun = self.begun(table.players, *members)
        parts = (*begun, f" {change}", *more, f"; {self._one_out(table)}.")
        return self.finding("together", parts, table.players, table.is_measured)

    def _two_out(self, table: TruthTable) -> tuple[Part, ...]:
        """The value without two of three players, if it is further off than without all three."""
        whole, none = table.entries[0].value, table.entries[-1].value
        two = max(
            combinations(table.players, 2), key=lambda pair: abs(whole - table.without(*pair))
        )
        value = table.without(*two)
        doubt = _NOISE * self._spread if table.is_measured else self.error
        if abs(whole - value) - abs(whole - none) <= max(_LEAST * self._range, doubt):
            return ()
        out = self.out(two, two[0], " and ", two[1])
        return (", ", *out, f" only it is {self.number(value)}")

    def _one_out(self, table: TruthTable) -> str:
        """The values without one of three players."""
        shown = [self.number(table.without(player)) for player in table.players]
        done = [self.removal.done((player,)) for player in table.players]
        if len(set(shown)) == 1:
            return f"with only one of them {self.removal.done(table.players)} it is {shown[0]}"
        # the verb is told again only where it is another one
        verbs = ["" if n and one == done[n - 1] else f" {one}" for n, one in enumerate(done)]
        which = zip(("first", "second", "third"), verbs, shown, strict=True)
        listed = [f"with only the {name}{verb} {value}" for name, verb, value in which]
        return f"with only the first{verbs[0]} it is {shown[0]}, {', '.join(listed[1:])}"

    def of_trio(self, pairs: Sequence[TruthTable], trio: TruthTable) -> Finding:
        """Three players all of whose pairs are interactions, in one sentence.

        Args:
            pairs: the truth tables of the pairs, the strongest first.
            trio: that of the three.
        """
        strongest = self.of_table(pairs[0])
        kinds = {self.of_table(pair).kind for pair in pairs}
        if not (kinds <= _REDUNDANT or kinds <= _NEEDED):
            (third,) = set(trio.players) - set(pairs[0].players)
            parts: tuple[Part, ...] = (
                *strongest.parts,
                " ",
                third,
                " interacts with each of them.",
            )
            return self.finding(strongest.kind, parts, trio.players, pairs[0].is_measured)
        told: Kind = "only together" if kinds <= _NEEDED else "stand in"
        told = "repeat" if "repeat" in kinds else told
        words = {
            "only together": "act only together",
            "stand in": "stand in for each other",
            "repeat": "repeat each other in part",
        }[told]
        whole, none = trio.entries[0].value, trio.entries[-1].value
        twos = [self.number(pair.entries[-1].value) for pair in pairs]
        three, two, one = (self._out(trio.players, n) for n in ("all three", "two", "one"))
        change = f": {three} {self.change(whole, none)}, {two} it is {_or(twos)}, "
        ones = _or([self.number(trio.without(player)) for player in trio.players])
        parts = (*listed(trio.players), f" {words}{change}{one} {ones}.")
        return self.finding(told, parts, trio.players, trio.is_measured)


def is_alike(whole: float, one: float, other: float) -> bool:
    """Whether without one player the value changes nearly as without another."""
    first, second = whole - one, whole - other
    return first * second > 0 and min(abs(first), abs(second)) >= _MUCH * max(
        abs(first), abs(second)
    )


def spread_of(explanation: Reading) -> tuple[float, str]:
    """How far a measured value of a random game is off (standard error), and how it was made.

    Of a game that is not random 0 and an empty text. Of a mean over outputs, whose noise may go
    together, the error is not known, and 0.
    """
    game, noise = explanation.provenance["game"], explanation.faithfulness.noise
    repeats = game["n_repeats"]
    if repeats == 1:
        return 0.0, ""
    words = f"mean of {repeats} {_ANSWERS.get(game['description'].get('lens'), 'values')}"
    if noise is None or len(explanation.outputs) > 1:
        return 0.0, words
    judged = explanation.fit if explanation.faithfulness.exact else explanation.held_out
    spread = float(np.sqrt(noise * column_of(explanation, judged.values).var()))
    return spread, f"{words}, ± {number(spread)}" if spread else words


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
