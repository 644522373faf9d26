"""What the race of indices keeps, so that an interrupted one goes on: one file of SQLite.

Peers: estimates, by the function's digest, the method, index, budget and seed. Ours: numbers
(errors, coverage, R2), by the same and a digest of the code that made them. Needs NumPy only.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_SCHEMA = """
CREATE TABLE IF NOT EXISTS peers (
    game TEXT, digest TEXT, method TEXT, measured TEXT, budget INTEGER, seed INTEGER,
    estimate BLOB, evaluated INTEGER, seconds REAL, failure TEXT,
    PRIMARY KEY (digest, method, measured, budget, seed));
CREATE TABLE IF NOT EXISTS ours (
    game TEXT, digest TEXT, code TEXT, measure TEXT, budget INTEGER, seed INTEGER,
    numbers TEXT, seconds REAL, failure TEXT,
    PRIMARY KEY (digest, code, measure, budget, seed));
"""


@dataclass(frozen=True)
class PeerRun:
    """One estimate of a peer, or why there is none.

    Attributes:
        game: the function's name.
        method: the peer's.
        index: what is estimated.
        budget: the evaluations that it was given.
        seed: its seed.
        estimate: the values, float32, or ``None``.
        evaluated: the distinct evaluations that it made.
        seconds: CPU time.
        failure: why there is no estimate, or ``None``.
    """

    game: str
    method: str
    index: str
    budget: int
    seed: int
    estimate: Any
    evaluated: int
    seconds: float
    failure: str | None


class Cache:
    """The file, opened."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._connection.executescript(_SCHEMA)

    def has_peer(self, digest: str, method: str, index: str, budget: int, seed: int) -> bool:
        """Whether this was run before, with or without success."""
        query = (
            "SELECT 1 FROM peers WHERE digest=? AND method=? AND measured=? AND budget=? AND seed=?"
        )
        row = self._connection.execute(query, (digest, method, index, budget, seed)).fetchone()
        return row is not None

    def too_slow(self, digest: str, method: str, index: str, budget: int) -> int | None:
        """The smallest budget up to this one at which the method ran out of time."""
        query = (
            "SELECT MIN(budget) FROM peers WHERE digest=? AND method=? AND measured=? "
            "AND budget<=? AND failure LIKE 'over %'"
        )
        row = self._connection.execute(query, (digest, method, index, budget)).fetchone()
        return None if row is None else row[0]

    def add_peer(self, digest: str, run: PeerRun) -> None:
        """Keep a run."""
        packed = (
            None
            if run.estimate is None
            else zlib.compress(np.asarray(run.estimate, dtype="<f4").tobytes())
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO peers VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                run.game,
                digest,
                run.method,
                run.index,
                run.budget,
                run.seed,
                packed,
                run.evaluated,
                run.seconds,
                run.failure,
            ),
        )

    def peers(self, digest: str, budget: int) -> Iterator[PeerRun]:
        """All runs of the peers on a function with a budget."""
        query = (
            "SELECT game, method, measured, budget, seed, estimate, evaluated, seconds, failure "
            "FROM peers WHERE digest=? AND budget=? ORDER BY method, measured, seed"
        )
        for *before, packed, evaluated, seconds, failure in self._connection.execute(
            query, (digest, budget)
        ):
            estimate = packed and np.frombuffer(zlib.decompress(packed), dtype="<f4")
            yield PeerRun(*before, estimate, evaluated, seconds, failure)

    def ours(
        self, digest: str, code: str, measure: str, budget: int, seed: int
    ) -> dict[str, Any] | None:
        """The numbers of a run of ours."""
        query = (
            "SELECT numbers FROM ours "
            "WHERE digest=? AND code=? AND measure=? AND budget=? AND seed=?"
        )
        row = self._connection.execute(query, (digest, code, measure, budget, seed)).fetchone()
        return None if row is None else json.loads(row[0])

    def add_ours(
        self,
        game: str,
        digest: str,
        code: str,
        measure: str,
        budget: int,
        seed: int,
        numbers: dict[str, Any],
    ) -> None:
        """Keep the numbers of a run of ours."""
        self._connection.execute(
            "INSERT OR REPLACE INTO ours VALUES (?,?,?,?,?,?,?,?,?)",
            (
                game,
                digest,
                code,
                measure,
                budget,
                seed,
                json.dumps(numbers),
                numbers.get("seconds"),
                numbers.get("failure"),
            ),
        )
