"""Decisive sets: few players without which an answer changes, or which alone suffice for it.

They are what ``Explanation.necessary`` and ``.sufficient`` return, as a saved explanation holds
them and a page shows them; :mod:`interplay.explanation.deciding` finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Literal, TypeAlias

from interplay._types import Count, Json, Players, plain, shown, visible
from interplay.explanation.removal import Removal

Kind: TypeAlias = Literal["necessary", "sufficient"]
Rule: TypeAlias = Literal["sign", "half", "given"]
_RULES = {
    "sign": "where its sign changes",
    "half": "half of the way from everything to nothing",
    "given": "as given",
}
ROUNDING = 1e-9
"""A value that is nearer to the threshold than this share of the way to ``full`` is at it."""
_MOST = 1_000
"""The most sets that an explanation holds, and the most that each of them tried."""


@dataclass(frozen=True)
class Tried:
    """A set of players that the game was asked about.

    Attributes:
        players: the set.
        predicted: the value that the explanation predicts, without it or with it alone.
        measured: the game's value.
    """

    players: Players
    predicted: float
    measured: float


@dataclass(frozen=True)
class DecisiveSet:
    """The smallest set of players that was found to decide an answer.

    The answer stands while the value is on the side of the threshold where that of the whole input
    is; at the threshold it has changed.

    Attributes:
        kind: ``"necessary"``: without the set the answer changes; ``"sufficient"``: with the set
            alone it stands.
        output: the number of the output, if there are several.
        threshold: the value at which the answer changes.
        rule: where the threshold comes from: ``"sign"``, ``"half"`` or ``"given"``.
        full: the value of the whole input.
        baseline: the value of nothing.
        players: the set; ``None``: none was found.
        labels: the players' names.
        predicted: the value that the explanation predicts, without the set or with it alone.
        measured: the game's value; NaN: the game was not asked.
        predicted_size: how many players the smallest set has by the explanation; ``None``: it
            predicts that none is enough, or was not asked.
        proven: whether the optimiser proved that no smaller set is enough by the explanation.
        needed: whether each player of the set is needed: left out of it alone, it is not enough
            any more, by the game. ``None``: not all of that was measured.
        tried: all sets that the game was asked about, or had been during the run.
        n_evaluated: how many of them were evaluated for this, beyond those of the run.
        budget: the most that might have been.
        reason: why there is none, why it is not measured, or what to beware of; else empty.
    """

    kind: Kind
    output: int
    threshold: float
    rule: Rule
    full: float
    baseline: float
    players: Players | None
    labels: tuple[str, ...]
    predicted: float
    measured: float
    predicted_size: int | None
    proven: bool
    needed: bool | None
    tried: tuple[Tried, ...]
    n_evaluated: int
    budget: int
    reason: str

    @property
    def is_measured(self) -> bool:
        """Whether there is a set, and the game was asked about it."""
        return self.players is not None and isfinite(self.measured)

    def enough(self, value: float) -> bool:
        """Whether a value, without a set or with it alone, makes the set one of this kind."""
        return enough(self.kind, value, self.threshold, self.full)

    @property
    def exchanged(self) -> tuple[Tried, ...]:
        """The measured sets that differ from this one by one player exchanged for another."""
        chosen = set(self.players or ())
        return tuple(
            tried
            for tried in self.tried
            if len(tried.players) == len(chosen) and len(chosen - set(tried.players)) == 1
        )

    @property
    def question(self) -> str:
        """What was looked for, in a line."""
        return self.question_of(Removal())

    def question_of(self, removal: Removal) -> str:
        """The same, where players that are not kept may be swapped."""
        if self.kind == "sufficient":
            return "Sufficient: these players alone keep the answer"
        before, after = removal.without(self.players or ())
        return f"Necessary: {before}these players{after} the answer changes"

    @property
    def values(self) -> str:
        """The measured and the predicted value and the threshold, in a sentence."""
        return self.values_of(Removal())

    def values_of(self, removal: Removal) -> str:
        """The same, where players that are not kept may be swapped."""
        whole, nothing = removal.ends
        rule = _RULES[self.rule]
        if self.rule == "half" and removal.swapped:
            rule = f"half of the way from the input as it is to that {nothing}"
        where = f"the threshold is {self.threshold:.4g} ({rule})"
        if not isfinite(self.threshold):
            return ""
        if self.players is None:
            return f"{whole.capitalize()} {self.full:.4g}; {where}."
        before, after = removal.without(self.players)
        what = (
            f"{before}them{after}".capitalize() if self.kind == "necessary" else "With them alone"
        )
        if not self.is_measured:
            return f"{what} {self.predicted:.4g} is predicted, not measured; {where}."
        return (
            f"{what} {self.measured:.4g} was measured ({self.predicted:.4g} predicted); "
            f"{whole} {self.full:.4g}; {where}."
        )

    @property
    def evidence(self) -> str:
        """What is proven, what was measured, and at what cost, in sentences."""
        parts = [] if not self.reason else [self.reason]
        if self.predicted_size is not None:
            proof = "proven" if self.proven else "not proven"
            parts.append(
                f"The smallest set by the explanation has {_players(self.predicted_size)} "
                f"({proof})."
            )
        if self.is_measured and self.players:
            parts += [*self._need, self._alternatives]
        if self.tried:
            parts.append(
                f"{len(self.tried)} set{'s' * (len(self.tried) != 1)} measured: "
                f"{self.n_evaluated} evaluated for this (at most {self.budget}), the "
                "others known from the run."
            )
        return " ".join(parts)

    @property
    def _need(self) -> list[str]:
        """Whether each player is needed, in a sentence; of one player or none that is plain."""
        if len(self.players or ()) < 2:
            return []
        if self.needed:
            return ["Each of them is needed, as measured."]
        return ["Whether each of them is needed was not all measured."]

    @property
    def needed_as_tried(self) -> bool | None:
        """What :attr:`needed` is by the sets that were tried."""
        if not self.is_measured:
            return None
        chosen = set(self.players or ())
        without = [
            tried
            for tried in self.tried
            if chosen > {*tried.players} and len(tried.players) == len(chosen) - 1
        ]
        if any(self.enough(tried.measured) for tried in without):
            return False
        return True if len(without) == len(chosen) else None

    @property
    def _alternatives(self) -> str:
        """How many sets with one player exchanged were measured, and which are enough too."""
        enough_too = [tried for tried in self.exchanged if self.enough(tried.measured)]
        named = ", ".join(" × ".join(map(str, tried.players)) for tried in enough_too)
        if not self.exchanged:
            return "No set with one player exchanged was measured."
        return f"Of {len(self.exchanged)} measured sets with one player exchanged " + (
            f"{len(enough_too)} would do as well: {named}." if named else "none would do."
        )

    def __str__(self) -> str:
        return self.told(Removal())

    def told(self, removal: Removal) -> str:
        """The set in words, where players that are not kept may be swapped."""
        if self.players is None:
            named = "none found"
        else:
            numbered = zip(self.players, self.labels, strict=True)
            named = "; ".join(
                str(number) if name == str(number) else f"{number} {name}"
                for number, name in numbered
            )
            named = named or "nothing; no player is needed"
        lines = [f"{self.question_of(removal)}: {named}", self.values_of(removal), self.evidence]
        return visible("\n  ".join(line for line in lines if line))

    def to_json(self) -> Json:
        """The set as JSON; numbers that are not known are null."""
        record: Json = plain(asdict(self))
        return record

    @classmethod
    def from_json(cls, record: Json) -> DecisiveSet:
        """What :meth:`to_json` gave."""
        numbers = {
            name: nan if record[name] is None else float(record[name])
            for name in ("threshold", "full", "baseline", "predicted", "measured")
        }
        players = record["players"]
        tried = tuple(
            Tried(tuple(one["players"]), one["predicted"], one["measured"])
            for one in record["tried"]
        )
        read = {"players": None if players is None else tuple(players), "tried": tried}
        return cls(**{**record, **numbers, **read, "labels": tuple(record["labels"])})


@dataclass(frozen=True)
class DecisiveJson:
    """A :class:`DecisiveSet` as JSON."""

    kind: Kind
    output: Count
    threshold: float | None
    rule: Rule
    full: float | None
    baseline: float | None
    players: list[Count] | None
    labels: list[str]
    predicted: float | None
    measured: float | None
    predicted_size: Count | None
    proven: bool
    needed: bool | None
    tried: list[TriedJson]
    n_evaluated: Count
    budget: Count
    reason: str


@dataclass(frozen=True)
class TriedJson:
    """A :class:`Tried` as JSON."""

    players: list[Count]
    predicted: float
    measured: float


def enough(kind: Kind, value: float, threshold: float, full: float) -> bool:
    """Whether a value changes the answer, or keeps it."""
    side = 1.0 if full > threshold else -1.0
    stands = side * (value - threshold) > ROUNDING * abs(full - threshold)
    return not stands if kind == "necessary" else stands


def _players(count: int) -> str:
    return f"{count} player{'s' * (count != 1)}"


def check_decisive(records: Sequence[Json], names: Sequence[str], n_outputs: int) -> None:
    """Check decisive sets in a document, whose types are right.

    Args:
        records: the sets.
        names: the players'.
        n_outputs: how many outputs there are.

    Raises:
        ValueError: what is wrong, where, and what is expected.
    """
    if len(records) > _MOST:
        raise ValueError(f"decisive has {len(records)} entries; at most {_MOST} are expected")
    for number, record in enumerate(records):
        where = f"decisive[{number}]"
        if record["output"] >= n_outputs:
            raise ValueError(
                f"{where}.output is {record['output']}; one of {n_outputs} outputs is expected, "
                "counted from 0"
            )
        if len(record["tried"]) > _MOST:
            raise ValueError(
                f"{where}.tried has {len(record['tried'])} entries; at most {_MOST} are expected"
            )
        sets = [
            (f"{where}.tried[{row}]", one["players"]) for row, one in enumerate(record["tried"])
        ]
        for place, players in [(where, record["players"] or []), *sets]:
            if players != sorted({*players}) or (players and players[-1] >= len(names)):
                raise ValueError(
                    f"{place}.players is {shown(players[:10])}; ascending numbers of players from "
                    f"0 to {len(names) - 1} are expected"
                )
        if record["rule"] == "given" and record["threshold"] is None:
            raise ValueError(f"{where}.threshold is null; the number that was given is expected")
        _check_found(record, names, where)


def _check_found(record: Json, names: Sequence[str], where: str) -> None:
    """Check that a set has its names and values, and that a measured one is among the tried."""
    players, measured = record["players"], record["measured"]
    if record["labels"] != [names[player] for player in players or ()]:
        raise ValueError(f"{where}.labels are not the names of its players, which are expected")
    needs = ("threshold", "full", "baseline", "predicted") if players is not None else ()
    for name in needs:
        if record[name] is None:
            raise ValueError(f"{where}.{name} is null; a number is expected with its players")
    if players is None or measured is None:
        if measured is not None or record["needed"] is not None:
            raise ValueError(f"{where} has a measured value, but no players; both are expected")
        return
    if not any(
        one["players"] == players and one["measured"] == measured for one in record["tried"]
    ):
        raise ValueError(f"{where}.measured is not among those of its tried sets, as is expected")
    if not enough(record["kind"], measured, record["threshold"], record["full"]):
        raise ValueError(
            f"{where}.measured is {measured}, on the wrong side of its threshold "
            f"{record['threshold']}; a set that is {record['kind']} is expected"
        )
