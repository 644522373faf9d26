"""A store of ablations: SQLite, keyed by (the game's fingerprint, the mask).

Values are committed as they arrive, so that a killed run loses at most the batch in flight and a
second run of the same explanation asks the model nothing. Several processes may fill one store at
once: each claims the masks that it is about to evaluate, and nobody else is given them while their
owner lives.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import psutil

from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.database import connect, explained, transaction
from interplay.errors import StoreError
from interplay.fourier.masks import keys

LEASE_SECONDS = 15 * 60.0
"""For so long a claim from another host is respected: whether its owner lives cannot be seen."""
_KEYS_AT_ONCE = 500
_CLOCK_SECONDS = 2.0
"""Creation times closer than this are one process: the system reckons them from the wall clock."""


@dataclass(frozen=True)
class Owner:
    """Who claims masks: one :class:`Store` object in one process.

    Attributes:
        id: of the object.
        host: the machine and, on Linux, its namespace of process ids.
        pid: of the process.
        started: when that process was created.
    """

    id: str
    host: str
    pid: int
    started: float

    @classmethod
    def new(cls) -> Owner:
        """An owner in this process."""
        return cls(uuid.uuid4().hex, _host(), os.getpid(), psutil.Process().create_time())

    def lives(self, claimed: float) -> bool:
        """Whether a claim of this owner, made at ``claimed``, is to be respected."""
        if self.host != _host():
            return time.time() - claimed <= LEASE_SECONDS
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _CLOCK_SECONDS:
                return False
            if self.pid == os.getpid():
                return self.id in _open
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def _host() -> str:
    # containers may share the host's name, but not its process ids
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


class Store:
    """Ablations already made. Use as a context manager, or call :meth:`close`.

    What a method has written survives the death of the process; a power cut may take the last
    moments, never what came before. A store belongs to the thread and to the process that opened
    it: after a fork, it must not be open in the parent where the child opens the same file.

    Args:
        path: a file, made where it does not exist; ``None`` keeps the values in memory.

    Raises:
        StoreError: the file is no store, cannot be opened or made, or was made by another version
            of the schema. Files of version 1 are brought up to this one.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._owner = Owner.new()
        for other in list(_open.values()):
            if other._owner.pid != self._owner.pid and other._shares(self.path):
                # SQLite would take the parent's locks for this process's own
                raise StoreError(
                    f"the store {self.path} was open when process {other._owner.pid} forked this "
                    f"one ({self._owner.pid}); close it before the fork, or start processes by "
                    "spawn"
                )
        self._db = connect(self.path, create=True)
        self._has_claims = False
        _open[self._owner.id] = self

    def _shares(self, path: Path | None) -> bool:
        if path is None or self.path is None:
            return False
        return path.resolve() == self.path.resolve()

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        if os.getpid() != self._owner.pid:
            raise StoreError(
                f"the store {self.path or 'in memory'} was opened by process {self._owner.pid} and "
                f"cannot be used in its fork {os.getpid()}; open it there anew"
            )
        with explained(self.path), transaction(self._db, kind):
            yield

    def _game(self, fingerprint: str, n_players: int) -> tuple[int, int | None] | None:
        """A game's id and number of outputs."""
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

    def _known(self, fingerprint: str, n_players: int) -> tuple[int, int | None]:
        """As :meth:`_game`, making the game known where it is not."""
        known = self._game(fingerprint, n_players)
        if known is None:
            now = time.time()
            cursor = self._db.execute(
                "INSERT INTO game (fingerprint, n_players, created, updated) VALUES (?, ?, ?, ?)",
                (fingerprint, n_players, now, now),
            )
            known = (int(cursor.lastrowid or 0), None)
        return known

    def _among(
        self, table: str, columns: str, game: int, wanted: Sequence[bytes]
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of a table whose mask is wanted, in any order."""
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            some = wanted[start : start + _KEYS_AT_ONCE]
            yield from self._db.execute(
                f"SELECT {columns} FROM {table} WHERE game = ? AND mask IN "
                f"({','.join('?' * len(some))})",
                (game, *some),
            )

    def register(self, fingerprint: str, n_players: int, description: Json | None = None) -> None:
        """Make a game known, before it has values. Doing so again changes nothing.

        Args:
            fingerprint: the game's.
            n_players: of the game.
            description: what people are shown of the game; the first that is not empty is kept.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players, or the
                file cannot be written.
            ValueError: the description cannot be written as JSON.
        """
        try:
            text = json.dumps(description or {})
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the description of the game {fingerprint!r} is not JSON ({error}); give a dict "
                "of strings, numbers, lists and dicts"
            ) from error
        with self._transaction():
            game, _ = self._known(fingerprint, n_players)
            self._db.execute(
                "UPDATE game SET description = ? WHERE id = ? AND description = '{}'", (text, game)
            )

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
        wanted = keys(masks)
        # one transaction: the number of outputs must belong to the values
        with self._transaction("DEFERRED"):
            known = self._game(fingerprint, masks.shape[1])
            if known is None:
                return found, np.zeros(0)
            game, n_outputs = known
            values = dict(self._among("ablation", "mask, value", game, wanted))
        rows = []
        for row, key in enumerate(wanted):
            if key in values:
                found[row] = True
                rows.append(values[key])
        numbers = np.frombuffer(b"".join(rows), dtype="<f8").astype(np.float64)
        return found, numbers.reshape(len(rows), n_outputs) if n_outputs else numbers

    def claim(self, fingerprint: str, masks: BoolArray) -> BoolArray:
        """Take masks for evaluation, so that no other store object is given them meanwhile.

        A claim ends when its values are put, when its owner releases it or closes, and when its
        owner is dead: its process is gone or, on another host, claimed longer ago than
        :data:`LEASE_SECONDS`. Claiming again renews.

        Args:
            fingerprint: the game's; made known where it is not.
            masks: ``(m, n)``.

        Returns:
            ``(m,) bool``: ``True`` for the masks that are now this object's, ``False`` for those
            that are stored already or are another's.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players, or the
                file cannot be written.
        """
        wanted = keys(masks)
        with self._transaction():
            game, _ = self._known(fingerprint, masks.shape[1])
            taken = {key for (key,) in self._among("ablation", "mask", game, wanted)}
            claims: dict[Owner, dict[bytes, float]] = {}
            for key, claimed, *fields in self._among(
                "claim", "mask, claimed, owner, host, pid, started", game, wanted
            ):
                claims.setdefault(Owner(*fields), {})[key] = claimed
            ours = self._owner
            for owner, theirs in claims.items():
                if owner.id != ours.id and owner.lives(max(theirs.values())):
                    taken.update(theirs)
            now = time.time()
            self._db.executemany(
                "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (game, key, ours.id, ours.host, ours.pid, ours.started, now)
                    for key in wanted
                    if key not in taken
                ),
            )
        self._has_claims = True
        return np.array([key not in taken for key in wanted], dtype=np.bool_)

    def put(self, fingerprint: str, masks: BoolArray, values: FloatArray) -> None:
        """Keep values, all or none of them, and end all claims on their masks.

        Args:
            fingerprint: the game's; made known where it is not.
            masks: ``(m, n)``.
            values: ``(m,)`` or ``(m, k)``. A mask that is already there keeps its value.

        Raises:
            StoreError: the game is known with another number of players or outputs, or the file
                cannot be written.
        """
        if not len(masks):
            return
        n_outputs = 0 if values.ndim == 1 else values.shape[1]
        rows = np.ascontiguousarray(values, dtype="<f8")
        wanted = keys(masks)
        with self._transaction():
            game, fixed = self._known(fingerprint, masks.shape[1])
            if fixed not in (None, n_outputs):
                raise StoreError(
                    f"the store {self.path} holds {fixed} outputs per mask under the "
                    f"fingerprint {fingerprint!r}, but {n_outputs} came (0: a single number)"
                )
            self._db.execute(
                "UPDATE game SET n_outputs = ?, updated = ? WHERE id = ?",
                (n_outputs, time.time(), game),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO ablation (game, mask, value) VALUES (?, ?, ?)",
                [(game, key, row.tobytes()) for key, row in zip(wanted, rows, strict=True)],
            )
            self._db.executemany(
                "DELETE FROM claim WHERE game = ? AND mask = ?", ((game, key) for key in wanted)
            )

    def give_back(self, fingerprint: str, masks: BoolArray) -> None:
        """Give back some of the masks that this object has claimed: others may try them."""
        with self._transaction():
            game, _ = self._known(fingerprint, masks.shape[1])
            self._db.executemany(
                "DELETE FROM claim WHERE game = ? AND mask = ? AND owner = ?",
                ((game, key, self._owner.id) for key in keys(masks)),
            )

    def release(self) -> None:
        """Give back all masks that this object has claimed and not put."""
        if self._has_claims:
            with self._transaction():
                self._db.execute("DELETE FROM claim WHERE owner = ?", (self._owner.id,))
            self._has_claims = False

    def count(self, fingerprint: str) -> int:
        """How many masks are kept for a game."""
        with self._transaction("DEFERRED"):
            (count,) = self._db.execute(
                "SELECT count(*) FROM ablation JOIN game ON game = id WHERE fingerprint = ?",
                (fingerprint,),
            ).fetchone()
        return int(count)

    def close(self) -> None:
        """Release all claims and close the file; what was put is there already."""
        # claims that cannot be removed now are void in any case, once their owner is not open
        with suppress(StoreError):
            self.release()
        _open.pop(self._owner.id, None)
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


_open: WeakValueDictionary[str, Store] = WeakValueDictionary()
"""The stores open in this process, by owner: a claim of this process by any other is void."""
