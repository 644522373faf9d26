"""A store of ablations: SQLite, keyed by (the game's fingerprint, the mask).

Values are committed as they arrive: a run that is killed loses at most the batch in flight, and a
second run of the same explanation evaluates nothing. Several processes may fill one store at the
same time. Each of them claims the masks that it is about to evaluate. While the owner of a claim
lives, no other process gets these masks.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from weakref import WeakValueDictionary, finalize

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.claims import Claimed, Owner, open_owners
from interplay.ablation.contents import Contents
from interplay.ablation.database import Database, connect, explained, transaction
from interplay.ablation.files import missing_log_message
from interplay.ablation.rows import (
    MOST_DESCRIPTION,
    MOST_PLAYERS,
)
from interplay.errors import StoreError
from interplay.fourier.masks import describe, keys

_KEYS_AT_ONCE = 500


class Store:
    """A store of ablations. Use it in a ``with`` statement, or call :meth:`close`.

    What a method has written survives the death of the process. A power cut may lose the last
    moments, but nothing before them. A store belongs to the thread and the process that opened it.
    A forked child cannot open the same file while the store is open in its parent.

    Each row has a checksum. A row that does not fit it, or whose value is not finite numbers of the
    right length, is never used: it counts as missing, with a warning, and new values take its
    place. In a store that is only read it is an error.

    Args:
        path: the file; it is made if it does not exist. ``None`` holds the values in memory.
        read_only: change nothing, neither the file nor its folder. Only :meth:`get`, :meth:`count`
            and :meth:`close` can be called then.

    Raises:
        StoreError: the file is not a store or no regular file, cannot be opened or made, or has
            another schema version. A file of an older version is converted to the present version,
            but not where it is only read.
        ValueError: there is no file that could be only read.

    Warns:
        UserWarning: the file was copied without its log (see :attr:`caveats`).
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        if read_only and path is None:
            raise ValueError("path=None holds nothing to read; give a file, or read_only=False")
        self.path = None if path is None else Path(path)
        self._owner = Owner.new()
        # not values(): that is a loop of Python, which fails where another thread opens a store
        for store in [reference() for reference in _open.valuerefs()]:
            if store is None:
                continue
            if store._owner.pid != self._owner.pid and store._shares(self.path):
                # SQLite would mistake the parent's locks for those of this process
                raise StoreError(
                    f"the store {self.path} was open when process {store._owner.pid} forked this "
                    f"one ({self._owner.pid}); close it before the fork, or start processes by "
                    "spawn"
                )
        self._database = connect(self.path, create=True, read_only=read_only)
        self._db = self._database.connection
        self._contents = Contents(self._database)
        self._has_claims = False
        self._reported: set[tuple[str, bytes]] = set()
        self._ended = finalize(self, _end, self._database, self._owner.pid)
        _open[self._owner.id] = self
        open_owners.add(self._owner)
        if self.path is not None and self._database.log_missing and not read_only:
            warnings.warn(missing_log_message(self.path), stacklevel=2)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What an audit of this store cannot tell, in words; mostly nothing.

        Rows of a file of schema version 1 or 2, which is only read, have no checksums. A file that
        was not closed and has no log beside it was probably copied without it.
        """
        caveats = []
        if not self._database.checked:
            caveats.append(
                f"the rows of {self.path} are unchecked: schema version {self._database.version} "
                "has no checksums"
            )
        if self.path is not None and self._database.log_missing:
            caveats.append(missing_log_message(self.path))
        return tuple(caveats)

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
        if self._database.read_only and kind == "IMMEDIATE":
            raise StoreError(
                f"the store {self.path} was opened to be read only; open it without read_only=True "
                "to change it"
            )
        with explained(self.path), transaction(self._db, kind):
            yield

    def _report(self, fingerprint: str, damaged: Sequence[bytes]) -> None:
        """Refuse damaged rows where the store is only read; otherwise warn once of each."""
        new = {(fingerprint, mask) for mask in damaged} - self._reported
        if not new:
            return
        count = f"{len(damaged)} of the stored ablations of the game {fingerprint!r} are damaged"
        if self._database.read_only:
            raise StoreError(
                f"the store {self.path}: {count} (interplay store verify lists how); put back a "
                "copy of the file"
            )
        self._reported |= new
        warnings.warn(
            f"the store {self.path}: {count} and are not used; they count as missing, and are "
            "evaluated again if they are needed (interplay store verify lists all damage)",
            stacklevel=4,
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
        if len(text) > MOST_DESCRIPTION:
            raise ValueError(
                f"the description of the game {fingerprint!r} has {len(text)} characters as JSON, "
                f"but a store takes at most {MOST_DESCRIPTION}; describe the game by less"
            )
        with self._transaction():
            entry = self._contents.known(fingerprint, n_players)
            if entry.description == "{}" and text != "{}":
                self._contents.rewrite(replace(entry, description=text))

    def get(self, fingerprint: str, masks: BoolArray) -> tuple[BoolArray, FloatArray]:
        """Look up masks.

        Args:
            fingerprint: the game's fingerprint.
            masks: ``(m, n)``.

        Returns:
            Which masks have a value, ``(m,) bool``, and the s values of these masks in the same
            order, ``(s,)`` or ``(s, k)``.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players, or the
                game's row is damaged, or the store is only read and one of the masks' rows is.

        Warns:
            UserWarning: some rows are damaged; they count as missing.
        """
        stored = np.zeros(len(masks), dtype=np.bool_)
        mask_keys = keys(masks)
        # one transaction: the number of outputs must belong to the values
        with self._transaction("DEFERRED"):
            entry = self._contents.game(fingerprint, masks.shape[1])
            if entry is None:
                return stored, np.zeros(0)
            values, damaged = self._contents.sound(entry, mask_keys)
        self._report(fingerprint, damaged)
        blobs = []
        for row, key in enumerate(mask_keys):
            if key in values:
                stored[row] = True
                blobs.append(values[key])
        numbers = np.frombuffer(b"".join(blobs), dtype="<f8").astype(np.float64)
        k = entry.n_outputs
        return stored, numbers.reshape(len(blobs), k) if k else numbers

    def claim(self, fingerprint: str, masks: BoolArray) -> BoolArray:
        """Claim masks for evaluation: no other store object gets them until the claim ends.

        A claim ends when the values are put, when its owner releases it or closes the store, and
        when its owner is dead. The owner is dead if its process is gone or, on another host, if the
        claim is older than :data:`~interplay.ablation.claims.LEASE_SECONDS`. A claim whose time
        cannot be right, such as one of the future, is none. Claiming the masks again renews the
        claim.

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
            entry = self._contents.known(fingerprint, masks.shape[1])
            taken = set(self._contents.sound(entry, mask_keys)[0])
            ours = self._owner
            for theirs in self._contents.claims(entry, mask_keys, ours.id).values():
                taken.update(theirs)
            now = time.time()
            self._db.executemany(
                "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (entry.id, key, ours.id, ours.host, ours.pid, ours.started, now)
                    for key in mask_keys
                    if key not in taken
                ),
            )
        self._has_claims = True
        return np.array([key not in taken for key in mask_keys], dtype=np.bool_)

    def holders(self, fingerprint: str, masks: BoolArray) -> list[Claimed]:
        """Who else has claimed masks at this moment.

        Args:
            fingerprint: the game's fingerprint.
            masks: ``(m, n)``.

        Raises:
            StoreError: the fingerprint belongs to a game with another number of players.
        """
        with self._transaction("DEFERRED"):
            entry = self._contents.game(fingerprint, masks.shape[1])
            if entry is None:
                return []
            claims = self._contents.claims(entry, keys(masks), self._owner.id)
        return [
            Claimed(owner, max(theirs.values()), len(theirs)) for owner, theirs in claims.items()
        ]

    def put(self, fingerprint: str, masks: BoolArray, values: FloatArray) -> None:
        """Store values, all or none of them, and end all claims on their masks.

        Args:
            fingerprint: the game's fingerprint. A game that the store does not know is added.
            masks: ``(m, n)``.
            values: ``(m,)`` or ``(m, k)``. If a mask has a stored value already, that one stays,
                unless its row is damaged.

        Raises:
            StoreError: the store knows the game with another number of players or outputs, or the
                file cannot be written.
            ValueError: a value is not finite, or there are too many outputs.
        """
        if not len(masks):
            return
        n_outputs = 0 if values.ndim == 1 else values.shape[1]
        if n_outputs > MOST_PLAYERS:
            raise ValueError(f"{n_outputs} outputs came, but a store takes at most {MOST_PLAYERS}")
        rows = np.ascontiguousarray(values, dtype="<f8")
        finite = np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(
                f"the value {rows[row]} of the mask {describe(masks[row])} is not finite; a store "
                "takes finite numbers only"
            )
        mask_keys = keys(masks)
        with self._transaction():
            entry = self._contents.known(fingerprint, masks.shape[1])
            if entry.n_outputs not in (None, n_outputs):
                raise StoreError(
                    f"the store {self.path} holds {entry.n_outputs} outputs per mask under the "
                    f"fingerprint {fingerprint!r}, but {n_outputs} came (0: a single number)"
                )
            entry = replace(entry, n_outputs=n_outputs, updated=time.time())
            self._contents.rewrite(entry)
            values_of = [row.tobytes() for row in rows]
            self._contents.insert(entry, list(zip(mask_keys, values_of, strict=True)))
            self._db.executemany(
                "DELETE FROM claim WHERE game = ? AND mask = ?",
                ((entry.id, key) for key in mask_keys),
            )

    def give_back(self, fingerprint: str, masks: BoolArray) -> None:
        """End this object's claims on some masks: other objects may claim them then."""
        with self._transaction():
            entry = self._contents.known(fingerprint, masks.shape[1])
            self._db.executemany(
                "DELETE FROM claim WHERE game = ? AND mask = ? AND owner = ?",
                ((entry.id, key, self._owner.id) for key in keys(masks)),
            )

    def release(self) -> None:
        """End all claims of this object."""
        if self._has_claims:
            with self._transaction():
                self._db.execute("DELETE FROM claim WHERE owner = ?", (self._owner.id,))
            self._has_claims = False

    def count(self, fingerprint: str) -> int:
        """How many masks of a game have a row in the store. The rows are not checked."""
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
        open_owners.discard(self._owner)
        self._ended()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _end(database: Database, pid: int) -> None:
    """Close the file of a store that was closed or is no longer used."""
    if os.getpid() == pid:
        database.close()
    else:  # SQLite's locks are the parent's
        database.connection.close()


_open: WeakValueDictionary[str, Store] = WeakValueDictionary()
"""The open stores of this process and of those that forked it, by the id of their owner."""
