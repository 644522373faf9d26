"""A store of ablations: SQLite, keyed by (the game's fingerprint, the mask).

Values are committed as they arrive, so that a killed run loses at most the batch in flight and a
second run of the same explanation asks the model nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.errors import StoreError
from interplay.masks import keys

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x1A7E9_1A
_KEYS_AT_ONCE = 500

_SCHEMA = """
CREATE TABLE game (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    n_players INTEGER NOT NULL,
    n_outputs INTEGER NOT NULL  -- 0: one number per mask; k: a row of k numbers
);
CREATE TABLE ablation (
    game INTEGER NOT NULL REFERENCES game (id),
    mask BLOB NOT NULL,    -- packed bits, little-endian
    value BLOB NOT NULL,   -- little-endian float64
    PRIMARY KEY (game, mask)
) WITHOUT ROWID;
"""


class Store:
    """Ablations already made. Use as a context manager, or call :meth:`close`.

    Args:
        path: a file, made where it does not exist; ``None`` keeps the values in memory.

    Raises:
        StoreError: the file is no store, or was made by another version of the schema.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            self._db = sqlite3.connect(self.path or ":memory:", timeout=60, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _open(self) -> None:
        with self._transaction():
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif application != _APPLICATION_ID:
                raise StoreError(
                    f"{self.path} is an SQLite file but not a store; give another path"
                )
            elif version != SCHEMA_VERSION:
                raise StoreError(
                    f"the store {self.path} has schema version {version}, but this version of "
                    f"interplay reads and writes {SCHEMA_VERSION}; use the version that made it, "
                    "or give another path"
                )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the store {self.path or 'in memory'}: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _game(self, fingerprint: str, n_players: int) -> tuple[int, int] | None:
        row = self._db.execute(
            "SELECT id, n_outputs, n_players FROM game WHERE fingerprint = ?", (fingerprint,)
        ).fetchone()
        if row is None:
            return None
        if row[2] != n_players:
            raise StoreError(
                f"the store {self.path} holds {row[2]} players under the fingerprint "
                f"{fingerprint!r}, but the game has {n_players}; a fingerprint must identify "
                "everything that is computed"
            )
        return row[0], row[1]

    def get(self, fingerprint: str, masks: BoolArray) -> tuple[BoolArray, FloatArray]:
        """Look up masks.

        Args:
            fingerprint: the game's.
            masks: ``(m, n)``.

        Returns:
            Which were found, ``(m,) bool``, and their values in the same order, ``(found,)`` or
            ``(found, k)``.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players.
        """
        found = np.zeros(len(masks), dtype=np.bool_)
        with self._explained():
            known = self._game(fingerprint, masks.shape[1])
            if known is None:
                return found, np.zeros(0)
            game, n_outputs = known
            wanted = keys(masks)
            values: dict[bytes, bytes] = {}
            for start in range(0, len(wanted), _KEYS_AT_ONCE):
                some = wanted[start : start + _KEYS_AT_ONCE]
                values.update(
                    self._db.execute(
                        "SELECT mask, value FROM ablation WHERE game = ? AND mask IN "
                        f"({','.join('?' * len(some))})",
                        (game, *some),
                    )
                )
        rows = []
        for row, key in enumerate(wanted):
            if key in values:
                found[row] = True
                rows.append(values[key])
        numbers = np.frombuffer(b"".join(rows), dtype="<f8").astype(np.float64)
        return found, numbers.reshape(len(rows), n_outputs) if n_outputs else numbers

    def put(self, fingerprint: str, masks: BoolArray, values: FloatArray) -> None:
        """Keep values; they are on disk, atomically, when this returns.

        Args:
            fingerprint: the game's.
            masks: ``(m, n)``.
            values: ``(m,)`` or ``(m, k)``. A mask that is already there keeps its value.

        Raises:
            StoreError: the game is known with another number of players or outputs, or the file
                cannot be written.
        """
        n_outputs = 0 if values.ndim == 1 else values.shape[1]
        rows = np.ascontiguousarray(values, dtype="<f8")
        with self._explained(), self._transaction():
            known = self._game(fingerprint, masks.shape[1])
            if known is None:
                cursor = self._db.execute(
                    "INSERT INTO game (fingerprint, n_players, n_outputs) VALUES (?, ?, ?)",
                    (fingerprint, masks.shape[1], n_outputs),
                )
                known = (int(cursor.lastrowid or 0), n_outputs)
            if known[1] != n_outputs:
                raise StoreError(
                    f"the store {self.path} holds {known[1]} outputs per mask under the "
                    f"fingerprint {fingerprint!r}, but {n_outputs} came (0: a single number)"
                )
            self._db.executemany(
                "INSERT OR IGNORE INTO ablation (game, mask, value) VALUES (?, ?, ?)",
                [
                    (known[0], key, row.tobytes())
                    for key, row in zip(keys(masks), rows, strict=True)
                ],
            )

    def count(self, fingerprint: str) -> int:
        """How many masks are kept for a game."""
        with self._explained():
            (count,) = self._db.execute(
                "SELECT count(*) FROM ablation JOIN game ON game = id WHERE fingerprint = ?",
                (fingerprint,),
            ).fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file; what was put is on disk already."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
