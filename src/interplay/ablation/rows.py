"""The rows of a store: what each must hold, and a checksum over it.

A disk, a copy or a hand may change a file without SQLite noticing. Each row therefore carries 8
bytes of BLAKE2b over everything that it says. A row that does not fit its checksum is never used.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from sqlite3 import Connection
from typing import Any

from interplay._types import Json

CHECKSUM_BYTES = 8
_ROWS_AT_ONCE = 4096
_LATEST = 2.5e11
MOST_PLAYERS = 1_000_000
"""The most players of a game in a store, and the most outputs, repeats included."""
MOST_DESCRIPTION = 4 << 20
"""The most characters of a game's description, as JSON."""
UNCHECKED_VERSIONS = (1, 2)
"""The schema versions whose rows have no checksum."""


@dataclass(frozen=True)
class Entry:
    """A row of the table ``game``.

    Attributes:
        id: by which the table ``ablation`` refers to it.
        fingerprint: the game's fingerprint.
        n_players: its number of players.
        n_outputs: ``None``: no values yet; 0: one number per mask; k: a row of k numbers.
        description: JSON, for people.
        created: when the game was added to the store, in seconds since 1970.
        updated: when the last values were stored, in seconds since 1970.
        checksum: as in the file; ``None`` in a file whose schema version has none.
    """

    id: int
    fingerprint: str
    n_players: int
    n_outputs: int | None
    description: str
    created: float
    updated: float
    checksum: bytes | None

    def computed(self) -> bytes:
        """The checksum that the row should have."""
        # the id is left out, since it is not known before the row is written
        fields = (self.fingerprint, self.n_players, self.n_outputs, self.description)
        text = ascii((*fields, self.created, self.updated))
        return blake2b(text.encode(), digest_size=CHECKSUM_BYTES).digest()

    def with_checksum(self) -> Entry:
        """The same row with the checksum that it should have."""
        return replace(self, checksum=self.computed())

    def wrong(self, *, checked: bool = True) -> str | None:
        """What is wrong with the row; ``None`` if nothing is.

        Args:
            checked: the row must have a checksum.
        """
        # in a damaged file the fields may be of any type
        fingerprint: object = self.fingerprint
        if not isinstance(fingerprint, str):
            return "its fingerprint is not text"
        if not _is_count(self.n_players):
            return f"its number of players {self.n_players!r} is none from 0 to {MOST_PLAYERS}"
        if self.n_outputs is not None and not _is_count(self.n_outputs):
            return f"its number of outputs {self.n_outputs!r} is none from 0 to {MOST_PLAYERS}"
        if parsed(self.description) is None:
            return f"its description is not a JSON object of at most {MOST_DESCRIPTION} characters"
        times = (self.created, self.updated)
        if not all(isinstance(time, float) and 0 <= time <= _LATEST for time in times):
            return "its times are none from 1970 to 9999"
        if checked and self.checksum != self.computed():
            return "its entry does not fit its checksum"
        return None

    def rows(self, *, checked: bool = True) -> RowCheck:
        """The check on the game's ablations."""
        return RowCheck(self.fingerprint, self.n_players, self.n_outputs, checked)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST_PLAYERS


def parsed(description: object) -> Json | None:
    """A game's description; ``None`` if it is not a JSON object of bounded size."""
    if not isinstance(description, str) or len(description) > MOST_DESCRIPTION:
        return None
    try:
        value = json.loads(description)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class RowCheck:
    """The check on the ablations of one game.

    Attributes:
        fingerprint: the game's fingerprint.
        n_players: its number of players.
        n_outputs: as in :class:`Entry`.
        checked: rows must have a checksum.
    """

    fingerprint: str
    n_players: int
    n_outputs: int | None
    checked: bool = True

    @cached_property
    def _began(self) -> Any:
        began = f"{self.fingerprint}\0{self.n_players}\0{self.n_outputs}\0"
        return blake2b(began.encode("utf-8", "surrogatepass"), digest_size=CHECKSUM_BYTES)

    @cached_property
    def _numbers(self) -> struct.Struct:
        return struct.Struct(f"<{self.n_outputs or 1}d")

    def checksum(self, mask: bytes, value: bytes) -> bytes:
        """The checksum over the game, the mask and the value."""
        state = self._began.copy()
        state.update(mask)
        state.update(value)
        return bytes(state.digest())

    def wrong(self, mask: object, value: object, checksum: object) -> str | None:
        """What is wrong with a row; ``None`` if nothing is.

        Args:
            mask: as in the file, of whatever type it has there, like the others.
            value: see there.
            checksum: see there.
        """
        n_bytes = (self.n_players + 7) // 8
        if not isinstance(mask, bytes) or len(mask) != n_bytes:
            return f"have a mask that is not the {n_bytes} bytes of {self.n_players} players"
        if self.n_players % 8 and mask[-1] >> self.n_players % 8:
            return f"have a mask with bits beyond the {self.n_players} players"
        if self.n_outputs is None:
            return "have a value, but the game has no number of outputs"
        numbers = self._numbers
        if not isinstance(value, bytes) or len(value) != numbers.size:
            n_outputs = self.n_outputs or 1
            return f"have a value that is not the {numbers.size} bytes of {n_outputs} outputs"
        if not all(map(math.isfinite, numbers.unpack(value))):
            return "have a value that is not finite"
        if self.checked and checksum != self.checksum(mask, value):
            return "do not fit their checksum"
        return None

    def computed(self, mask: Any, value: Any) -> bytes:
        """The checksum for a row of an older file; empty, which fits nothing, if it is damaged."""
        unchecked = replace(self, checked=False)
        if unchecked.wrong(mask, value, None) is not None:
            return b""
        return self.checksum(bytes(mask), bytes(value))


def entries(db: Connection, version: int, where: str = "", *values: object) -> Iterator[Entry]:
    """The rows of the table ``game`` of a file of any schema version, oldest first."""
    columns = {
        1: "'{}', strftime('%s') + 0.0, strftime('%s') + 0.0, NULL",  # its values have no times
        2: "description, created, updated, NULL",
    }.get(version, "description, created, updated, checksum")
    for row in db.execute(
        f"SELECT id, fingerprint, n_players, n_outputs, {columns} FROM game {where} ORDER BY id",
        values,
    ):
        yield Entry(*row)


def checksum_column(version: int) -> str:
    """The column of checksums in the table ``ablation``; NULL in a file that has none."""
    return "NULL" if version in UNCHECKED_VERSIONS else "checksum"


def blocks(db: Connection, version: int, game: int) -> Iterator[list[tuple[Any, Any, Any]]]:
    """Blocks of a game's rows of mask, value and checksum, in the order of the masks' bytes."""
    cursor = db.execute(
        f"SELECT mask, value, {checksum_column(version)} FROM ablation WHERE game = ? "
        "ORDER BY mask",
        (game,),
    )
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield rows
