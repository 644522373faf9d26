"""A store of ablations: SQLite, keyed by (the game's fingerprint, the mask).

Values are committed as they arrive: a run that is killed loses at most the batch in flight, and a
second run of the same explanation evaluates nothing. Several processes may fill one store at the
same time. Each of them claims the masks that it is about to evaluate. While the owner of a claim
lives, no other process gets these masks.
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
"""How long a claim from another host is valid, since this host cannot see if its owner lives."""
_KEYS_AT_ONCE = 500
_CLOCK_SECONDS = 2.0
"""Creation times closer than this belong to one process: they are derived from the wall clock."""


@dataclass(frozen=True)
class Owner:
    """Who claims masks: one :class:`Store` object in one process.

    Attributes:
        id: identifies the object.
        host: the machine and, on Linux, its namespace of process ids.
        pid: the id of the process.
        started: when that process was created, in seconds since 1970.
    """

    id: str
    host: str
    pid: int
    started: float

    @classmethod
    def new(cls) -> Owner:
        """Make an owner in this process."""
        return cls(uuid.uuid4().hex, _host(), os.getpid(), psutil.Process().create_time())

    def lives(self, claimed: float) -> bool:
        """Whether a claim that this owner made at the time ``claimed`` is still valid."""
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
    """A store of ablations. Use it in a ``with`` statement, or call :meth:`close`.

    What a method has written survives the death of the process. A power cut may lose the last
    moments, but nothing before them. A store belongs to the thread and the process that opened it.
    A forked child cannot open the same file while the store is open in its parent.

    Args:
        path: the file; it is made if it does not exist. ``None`` holds the values in memory.

    Raises:
        StoreError: the file is not a store, cannot be opened or made, or has another schema
            version. A file of version 1 is converted to the present version.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._owner = Owner.new()
        for store in list(_open.values()):
            if store._owner.pid != self._owner.pid and store._shares(self.path):
                # SQLite would mistake the parent's locks for those of this process
                raise StoreError(
                    f"the store {self.path} was open when process {store._owner.pid} forked this "
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
        """A game's id and number of outputs; ``None`` if the store does not know the game."""
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
        """As :meth:`_game`, but a game that the store does not know is added to it."""
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
        self, table: str, columns: str, game: int, mask_keys: Sequence[bytes]
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a table that belong to these masks, in any order."""
        for start in range(0, len(mask_keys), _KEYS_AT_ONCE):
            chunk = mask_keys[start : start + _KEYS_AT_ONCE]
            yield from self._db.execute(
                f"SELECT {columns} FROM {table} WHERE game = ? AND mask IN "
                f"({','.join('?' * len(chunk))})",
                (game, *chunk),
            )

    def register(self, fingerprint: str, n_players: int, description: Json | None = None) -> None:
        """Add a game to the store before it has values. Doing so again changes nothing.

        Args:
            fingerprint: the game's fingerprint.
            n_players: its number of players.
            description: its description, for people. The store holds the first that is not empty.

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
            fingerprint: the game's fingerprint.
            masks: ``(m, n)``.

        Returns:
            Which masks have a value, ``(m,) bool``, and the s values of these masks in the same
            order, ``(s,)`` or ``(s, k)``.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players.
        """
        stored = np.zeros(len(masks), dtype=np.bool_)
        mask_keys = keys(masks)
        # one transaction: the number of outputs must belong to the values
        with self._transaction("DEFERRED"):
            known = self._game(fingerprint, masks.shape[1])
            if known is None:
                return stored, np.zeros(0)
            game, n_outputs = known
            values = dict(self._among("ablation", "mask, value", game, mask_keys))
        blobs = []
        for row, key in enumerate(mask_keys):
            if key in values:
                stored[row] = True
                blobs.append(values[key])
        numbers = np.frombuffer(b"".join(blobs), dtype="<f8").astype(np.float64)
        return stored, numbers.reshape(len(blobs), n_outputs) if n_outputs else numbers

    def claim(self, fingerprint: str, masks: BoolArray) -> BoolArray:
        """Claim masks for evaluation: no other store object gets them until the claim ends.

        A claim ends when the values are put, when its owner releases it or closes the store, and
        when its owner is dead. The owner is dead if its process is gone or, on another host, if the
        claim is older than :data:`LEASE_SECONDS`. Claiming the masks again renews the claim.

        Args:
            fingerprint: the game's fingerprint. A game that the store does not know is added.
            masks: ``(m, n)``.

        Returns:
            ``(m,) bool``: ``True`` for the masks that now belong to this object, ``False`` for
            those that are stored already or that another object has claimed.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players, or the
                file cannot be written.
        """
        mask_keys = keys(masks)
        with self._transaction():
            game, _ = self._known(fingerprint, masks.shape[1])
            taken = {key for (key,) in self._among("ablation", "mask", game, mask_keys)}
            claims: dict[Owner, dict[bytes, float]] = {}
            for key, claimed, *fields in self._among(
                "claim", "mask, claimed, owner, host, pid, started", game, mask_keys
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
                    for key in mask_keys
                    if key not in taken
                ),
            )
        self._has_claims = True
        return np.array([key not in taken for key in mask_keys], dtype=np.bool_)

    def put(self, fingerprint: str, masks: BoolArray, values: FloatArray) -> None:
        """Store values, all or none of them, and end all claims on their masks.

        Args:
            fingerprint: the game's fingerprint. A game that the store does not know is added.
            masks: ``(m, n)``.
            values: ``(m,)`` or ``(m, k)``. If a mask has a stored value already, that one stays.

        Raises:
            StoreError: the store knows the game with another number of players or outputs, or the
                file cannot be written.
        """
        if not len(masks):
            return
        n_outputs = 0 if values.ndim == 1 else values.shape[1]
        rows = np.ascontiguousarray(values, dtype="<f8")
        mask_keys = keys(masks)
        with self._transaction():
            game, n_stored_outputs = self._known(fingerprint, masks.shape[1])
            if n_stored_outputs not in (None, n_outputs):
                raise StoreError(
                    f"the store {self.path} holds {n_stored_outputs} outputs per mask under the "
                    f"fingerprint {fingerprint!r}, but {n_outputs} came (0: a single number)"
                )
            self._db.execute(
                "UPDATE game SET n_outputs = ?, updated = ? WHERE id = ?",
                (n_outputs, time.time(), game),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO ablation (game, mask, value) VALUES (?, ?, ?)",
                [(game, key, row.tobytes()) for key, row in zip(mask_keys, rows, strict=True)],
            )
            self._db.executemany(
                "DELETE FROM claim WHERE game = ? AND mask = ?", ((game, key) for key in mask_keys)
            )

    def give_back(self, fingerprint: str, masks: BoolArray) -> None:
        """End this object's claims on some masks: other objects may claim them then."""
        with self._transaction():
            game, _ = self._known(fingerprint, masks.shape[1])
            self._db.executemany(
                "DELETE FROM claim WHERE game = ? AND mask = ? AND owner = ?",
                ((game, key, self._owner.id) for key in keys(masks)),
            )

    def release(self) -> None:
        """End all claims of this object."""
        if self._has_claims:
            with self._transaction():
                self._db.execute("DELETE FROM claim WHERE owner = ?", (self._owner.id,))
            self._has_claims = False

    def count(self, fingerprint: str) -> int:
        """How many masks of a game have a stored value."""
        with self._transaction("DEFERRED"):
            (count,) = self._db.execute(
                "SELECT count(*) FROM ablation JOIN game ON game = id WHERE fingerprint = ?",
                (fingerprint,),
            ).fetchone()
        return int(count)

    def close(self) -> None:
        """Release all claims and close the file. All values are in the file already."""
        # claims that cannot be removed now are void anyway once their owner is closed
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
"""The open stores of this process, by owner. A claim of this process by any other is void."""
