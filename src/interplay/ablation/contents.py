"""The tables of a store, row by row, within a transaction of somebody else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from sqlite3 import Connection
from typing import Any

from interplay.ablation.claims import Owner
from interplay.ablation.database import Database
from interplay.ablation.rows import MOST_PLAYERS, Entry, checksum_column, entries
from interplay.errors import StoreError

_KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class Contents:
    """The rows of an open store.

    Attributes:
        database: the file.
    """

    database: Database
    _checked: dict[str, Entry] = field(default_factory=dict, repr=False)
    """Rows of games as they were when they were last checked: most are read again and again."""

    @property
    def _db(self) -> Connection:
        return self.database.connection

    def game(self, fingerprint: str, n_players: int) -> Entry | None:
        """A game's row in the store; ``None`` if the store does not know the game.

        Raises:
            StoreError: the row is damaged, or has another number of players.
        """
        path, db, version = self.database.path, self._db, self.database.version
        entry = next(entries(db, version, "WHERE fingerprint = ?", fingerprint), None)
        if entry is None:
            return None
        if entry == self._checked.get(fingerprint):
            problem = None
        else:
            problem = entry.wrong(checked=self.database.checked)
        if entry.fingerprint != fingerprint:  # the index led to another game's row
            problem = "its fingerprint is another one"
        if problem is not None:
            raise StoreError(
                f"the store {path} is damaged at the game {fingerprint!r}: {problem}; put "
                "back a copy, or give another path (interplay store verify lists all damage)"
            )
        self._checked[fingerprint] = entry
        if entry.n_players != n_players:
            raise StoreError(
                f"the store {path} holds {entry.n_players} players under the fingerprint "
                f"{fingerprint!r}, but the game has {n_players}; a fingerprint must identify "
                "everything that is computed"
            )
        return entry

    def known(self, fingerprint: str, n_players: int) -> Entry:
        """As :meth:`game`, but a game that the store does not know is added to it."""
        entry = self.game(fingerprint, n_players)
        if entry is None:
            if not 0 <= n_players <= MOST_PLAYERS:
                raise ValueError(
                    f"the game has {n_players} players, but a store takes at most {MOST_PLAYERS}"
                )
            now = time.time()
            entry = Entry(0, fingerprint, n_players, None, "{}", now, now, None).with_checksum()
            cursor = self._db.execute(
                "INSERT INTO game (fingerprint, n_players, description, created, updated, checksum)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (fingerprint, n_players, "{}", now, now, entry.checksum),
            )
            entry = replace(entry, id=int(cursor.lastrowid or 0))
        return entry

    def rewrite(self, entry: Entry) -> None:
        """Write the fields of a game's row that may change, with the checksum that fits them."""
        entry = entry.with_checksum()
        self._checked[entry.fingerprint] = entry
        self._db.execute(
            "UPDATE game SET n_outputs = ?, description = ?, updated = ?, checksum = ? "
            "WHERE id = ?",
            (entry.n_outputs, entry.description, entry.updated, entry.checksum, entry.id),
        )

    def sound(
        self, entry: Entry, mask_keys: Sequence[bytes]
    ) -> tuple[dict[bytes, bytes], list[bytes]]:
        """The values of those masks that are stored, and the masks whose rows are damaged."""
        check = entry.rows(checked=self.database.checked)
        values, damaged = {}, []
        columns = f"mask, value, {checksum_column(self.database.version)}"
        for mask, value, checksum in self._among("ablation", columns, entry.id, mask_keys):
            if check.wrong(mask, value, checksum) is None:
                values[mask] = value
            else:
                damaged.append(mask)
        return values, damaged

    def insert(self, entry: Entry, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Write rows of mask and value. Those that are there already stay, unless damaged."""
        check = entry.rows()
        new = [(entry.id, mask, value, check.checksum(mask, value)) for mask, value in values]
        into = "INTO ablation (game, mask, value, checksum) VALUES (?, ?, ?, ?)"
        inserted = self._db.executemany(f"INSERT OR IGNORE {into}", new).rowcount
        if inserted < len(new):
            damaged = set(self.sound(entry, [mask for mask, _ in values])[1])
            self._db.executemany(
                f"INSERT OR REPLACE {into}", [row for row in new if row[1] in damaged]
            )

    def claims(
        self, entry: Entry, mask_keys: Sequence[bytes], owner_id: str
    ) -> dict[Owner, dict[bytes, float]]:
        """The claims of owners that live: their masks, and when each was claimed.

        Args:
            entry: the game's row.
            mask_keys: the masks.
            owner_id: whose claims are left out.
        """
        columns = "mask, claimed, owner, host, pid, started"
        claims: dict[Owner, dict[bytes, float]] = {}
        for key, claimed, *fields in self._among("claim", columns, entry.id, mask_keys):
            owner = Owner(*fields)
            if owner.id != owner_id and owner.can_have_claimed(claimed):
                claims.setdefault(owner, {})[key] = claimed
        return {owner: theirs for owner, theirs in claims.items() if owner.is_alive()}

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
