"""The prompts of a set: what an audit asks of each, and what it keeps of each explanation.

What is kept is a line of JSON in a file, not an object in memory, so that a set may be large and
an audit can go on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np

from interplay._arrays import as_columns
from interplay._types import Json, check, plain
from interplay.audit.lessons import alone
from interplay.explanation.explanation import Explanation
from interplay.game import Game, players_of

_VERSION = 2
"""Part of the key of a record. It is raised when records are made otherwise."""


class Prompt(Protocol):
    """One prompt of a set, whose game is made when it is its turn.

    Attributes:
        title: what it is called.
        line: its line in the file that it is from; ``None``: it is from no file.
        columns: what else is known of it, to look at a part of the set.
    """

    @property
    def title(self) -> str:
        """See above."""
        ...

    @property
    def line(self) -> int | None:
        """See above."""
        ...

    @property
    def columns(self) -> Mapping[str, str]:
        """See above."""
        ...

    def game(self) -> Game:
        """Its game.

        Raises:
            ValueError: it cannot be asked.
        """
        ...

    def roles(self, game: Game) -> Sequence[Sequence[str]]:
        """What each player of its game is in the set, none or several roles."""
        ...


@dataclass(frozen=True)
class GivenGame:
    """A game as a prompt of a set. The roles of its players are their names.

    Attributes:
        given: the game.
        title: its number.
        line: none.
        columns: none.
    """

    given: Game
    title: str
    line: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def game(self) -> Game:
        """The game."""
        return self.given

    def roles(self, game: Game) -> Sequence[Sequence[str]]:
        """The names of its players."""
        return [[name] for name in players_of(game)]


class Record(TypedDict):
    """What is kept of an explanation; single players' values and those of pairs that are not 0.

    A pair is ``[player, player, value, finding]``. ``counts``: whether anything may be concluded
    from it about the set. ``learned_from`` and
    ``evidence``: see :class:`FromOthers`. ``error`` and ``spread`` are sums of squares
    over the held-out masks: of the errors, and of the deviations from their mean.
    """

    key: str
    level: str
    counts: bool
    reason: str
    r2: float | None
    low: float | None
    high: float | None
    exact: bool
    n_held_out: int
    error: float
    spread: float
    n_ablations: int
    range: float
    index: str
    roles: list[list[str]]
    singles: list[float]
    single_findings: list[bool]
    pairs: list[list[float]]
    learned_from: int
    evidence: float | None


@dataclass(frozen=True)
class FromOthers:
    """What an explanation has from other prompts of its set.

    Attributes:
        learned_from: from how many prompts its prior was learned; 0: it is of its own alone.
        evidence: how much likelier the prompt's values are by that prior, as a logarithm; ``None``:
            there was none.
    """

    learned_from: int = 0
    evidence: float | None = None


def key_of(fingerprint: str, roles: Sequence[Sequence[str]], settings: Json) -> str:
    """What a record is known by: all that it depends on."""
    parts = [_VERSION, fingerprint, [list(given) for given in roles], settings]
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def record_of(
    explanation: Explanation,
    roles: Sequence[Sequence[str]],
    key: str,
    output: int,
    learned: FromOthers,
) -> Record:
    """What is kept of an explanation.

    Values, findings and whether they count are of the same ablations without what was learned from
    other prompts. The score and the verdict are of the explanation.

    Raises:
        ValueError: there is no such output, or not a list of roles for each player.
    """
    n_players = len(explanation.players)
    if len(roles) != n_players:
        raise ValueError(f"{len(roles)} lists of roles were given for {n_players} players")
    n_outputs = explanation.spectrum.n_outputs or 1
    if not 0 <= output < n_outputs:
        raise ValueError(f"output={output}, but the game has {n_outputs}; give one from 0 on")
    verdict, score = explanation.verdict, explanation.faithfulness
    unprimed = alone(explanation)
    verdict_alone = unprimed.verdict
    spectrum = unprimed.spectrum.output(output)
    interactions = spectrum.to(unprimed.index, order=min(2, n_players))
    findings = verdict_alone.findings(interactions, output)
    singles, certain = [0.0] * n_players, [False] * n_players
    pairs: list[list[float]] = []
    for members, value, finding in zip(
        interactions.sets, interactions.values.tolist(), findings.tolist(), strict=True
    ):
        if len(members) == 1:
            singles[members[0]], certain[members[0]] = value, finding
        elif len(members) == 2 and value:
            pairs.append([*members, value, float(finding)])
    error = spread = 0.0
    if not score.exact and len(explanation.held_out):
        held = as_columns(explanation.held_out.values)[:, output]
        predicted = as_columns(explanation.predict_held_out())[:, output]
        error = float(((held - predicted) ** 2).sum())
        spread = float(((held - held.mean()) ** 2).sum())
    known = score.known
    record: Any = plain(
        {
            "key": key,
            "level": verdict.level,
            # of a score that never varies it is known that nothing matters
            "counts": verdict_alone.level in ("usable", "weak")
            or "constant" in verdict_alone.codes,
            "reason": verdict.sentence,
            "r2": score.r2 if known else None,
            "low": score.low if known else None,
            "high": score.high if known else None,
            "exact": score.exact,
            "n_held_out": len(explanation.held_out),
            "error": error,
            "spread": spread,
            "n_ablations": int(explanation.provenance["budget"]["spent"]),
            "range": float(np.array(verdict_alone.ranges)[output]),
            "index": explanation.index,
            "roles": [list(dict.fromkeys(given)) for given in roles],
            "singles": singles,
            "single_findings": certain,
            "pairs": pairs,
            "learned_from": learned.learned_from,
            "evidence": learned.evidence,
        }
    )
    return record  # type: ignore[no-any-return]


class Records:
    """The file of an audit's records, to which lines are only appended.

    A line that a killed run left unfinished is passed over.

    Args:
        path: the file; it is made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._places: dict[str, int] = {}
        self._file.seek(0)
        place, last = 0, b"\n"
        for line in self._file:
            with suppress(ValueError):
                self._places[read_record(line)["key"]] = place
            place, last = place + len(line), line
        if not last.endswith(b"\n"):
            self._file.write(b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def find(self, key: str) -> tuple[Record, int] | None:
        """A record by its key, with its place."""
        place = self._places.get(key)
        return None if place is None else (self.at(place), place)

    def at(self, place: int) -> Record:
        """The record at a place."""
        self._file.seek(place)
        return read_record(self._file.readline())

    def append(self, record: Record) -> int:
        """Append a record, and return its place."""
        place = self._file.seek(0, 2)
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()
        self._places[record["key"]] = place
        return place


def read_record(line: bytes) -> Record:
    """A line of the file.

    Raises:
        ValueError: it is no record.
    """
    record: Any = json.loads(line)
    check(record, Record, "a record")
    return record  # type: ignore[no-any-return]
