"""Look after a store between runs: list its games, export it, prune it.

No function here makes a file that does not exist, and only :func:`prune` changes one. It converts
a file of an older schema version first, just as when :class:`~interplay.ablation.store.Store`
opens it; the others read it as it is.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.claims import Claimed, Owner
from interplay.ablation.database import Database, connect, explained, reading, transaction
from interplay.ablation.rows import Entry, blocks, entries, parsed
from interplay.errors import StoreError
from interplay.fourier.masks import from_keys

_ROWS_AT_ONCE = 4096
_DAY = 86_400.0


@dataclass(frozen=True)
class StoredGame:
    """What a store knows about one game.

    Attributes:
        fingerprint: the game's fingerprint.
        n_players: its number of players.
        n_outputs: ``None``: no values yet; 0: one number per mask; k: a row of k numbers.
        n_ablations: how many masks have a value.
        created: when the game was added to the store, in seconds since 1970.
        updated: when the last values were stored, in seconds since 1970.
        description: the registered description. It is empty if there is none that can be read.
    """

    fingerprint: str
    n_players: int
    n_outputs: int | None
    n_ablations: int
    created: float
    updated: float
    description: Json


def games(path: str | Path) -> list[StoredGame]:
    """The games of a store, oldest first.

    Raises:
        StoreError: there is no such file, or it is not a store.
    """
    with reading(Path(path)) as database:
        return list(_games(database).values())


def _games(database: Database) -> dict[int, StoredGame]:
    counts = dict(
        database.connection.execute("SELECT game, count(*) FROM ablation GROUP BY game").fetchall()
    )
    return {
        entry.id: StoredGame(
            entry.fingerprint,
            entry.n_players,
            entry.n_outputs,
            counts.get(entry.id, 0),
            entry.created,
            entry.updated,
            parsed(entry.description) or {},
        )
        for entry in entries(database.connection, database.version)
    }


def _matching(
    stored: dict[int, StoredGame], path: Path, fingerprint_prefix: str | None
) -> dict[int, StoredGame]:
    """The one game whose fingerprint starts with a prefix; without a prefix, all games."""
    if fingerprint_prefix is None:
        return stored
    matching = {
        id_: game for id_, game in stored.items() if game.fingerprint.startswith(fingerprint_prefix)
    }
    equal = {id_: game for id_, game in matching.items() if game.fingerprint == fingerprint_prefix}
    if len(equal or matching) == 1:
        return equal or matching
    listed = "".join(
        f"\n  {game.fingerprint} ({game.n_ablations} ablations)"
        for game in (matching or stored).values()
    )
    raise StoreError(
        f"the fingerprint prefix {fingerprint_prefix!r} fits {len(matching)} games of the store "
        f"{path}; give one that fits a single game of these:{listed or ' (it holds none)'}"
    )


def export(path: str | Path, fingerprint_prefix: str | None, out: str | Path) -> StoredGame:
    """Write the ablations of one game to a file that other tools can read.

    * ``.npz``: ``masks (m, n) bool``, ``values (m,)`` or ``(m, k)``, ``fingerprint`` and
      ``description`` (JSON) as strings; no pickled objects.
    * ``.csv``: a column of 0 and 1 for each player (``player_0, ...``), then ``value`` or
      ``value_0, ...``. The numbers are written with all digits: they read back bit for bit.

    Args:
        path: the store.
        fingerprint_prefix: the start of the game's fingerprint. ``None``: the store's only game.
        out: the file to write. Its folder is made if it is missing. The file appears complete or
            not at all.

    Returns:
        The game that was written.

    Raises:
        StoreError: there is no such store, the prefix does not fit one game, or its rows are
            damaged.
        ValueError: ``out`` ends in neither ``.npz`` nor ``.csv``.
    """
    path, out = Path(path), Path(out)
    if out.suffix not in (".npz", ".csv"):
        raise ValueError(f"out={str(out)!r} ends in {out.suffix!r}; give a name in .npz or .csv")
    with reading(path) as database:
        ((id_, game),) = _matching(_games(database), path, fingerprint_prefix or "").items()
        (entry,) = entries(database.connection, database.version, "WHERE id = ?", id_)
        problem = entry.wrong(checked=database.checked)
        if problem is not None:
            raise _damaged(game, problem)
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(out.name + ".part")
        try:
            with part.open("wb") as file:
                write = _write_npz if out.suffix == ".npz" else _write_csv
                write(file, game, _arrays(database, entry, game))
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return game


def _damaged(game: StoredGame, problem: str) -> StoreError:
    return StoreError(
        f"rows of the game {game.fingerprint!r} are damaged ({problem}); interplay store verify "
        "lists what is wrong"
    )


def _arrays(
    database: Database, entry: Entry, game: StoredGame
) -> Iterator[tuple[BoolArray, FloatArray]]:
    shape = (game.n_outputs,) if game.n_outputs else ()
    check = entry.rows(checked=database.checked)
    for rows in blocks(database.connection, database.version, entry.id):
        for row in rows:
            problem = check.wrong(*row)
            if problem is not None:
                raise _damaged(game, f"some {problem}")
        masks = from_keys([mask for mask, _, _ in rows], game.n_players)
        values = np.frombuffer(b"".join(value for _, value, _ in rows), dtype="<f8")
        yield masks, values.reshape(len(rows), *shape).astype(np.float64)


_Arrays: TypeAlias = Iterator[tuple[BoolArray, FloatArray]]


def _write_npz(file: IO[bytes], game: StoredGame, arrays: _Arrays) -> None:
    shape = (game.n_outputs,) if game.n_outputs else ()
    blocks = [(np.empty((0, game.n_players), dtype=np.bool_), np.empty((0, *shape))), *arrays]
    np.savez_compressed(
        file,
        masks=np.concatenate([masks for masks, _ in blocks]),
        values=np.concatenate([values for _, values in blocks]),
        fingerprint=np.array(game.fingerprint),
        description=np.array(json.dumps(game.description)),
    )


def _write_csv(file: IO[bytes], game: StoredGame, arrays: _Arrays) -> None:
    outputs = [f"value_{output}" for output in range(game.n_outputs or 0)] or ["value"]
    header = [*(f"player_{player}" for player in range(game.n_players)), *outputs]
    file.write((",".join(header) + "\n").encode())
    for masks, values in arrays:
        numbers = values.reshape(len(masks), -1).tolist()
        for mask, row in zip(masks.astype(np.uint8).tolist(), numbers, strict=True):
            file.write((",".join([*map(str, mask), *map(repr, row)]) + "\n").encode())


def prunable(
    path: str | Path, fingerprint_prefix: str | None = None, older_than_days: float | None = None
) -> list[StoredGame]:
    """The games that :func:`prune` with the same arguments would remove.

    Raises:
        StoreError: there is no such store, or the prefix does not fit one game.
        ValueError: there is no criterion, or the number of days is negative.
    """
    path = Path(path)
    with reading(path) as database:
        return list(_prunable(database, path, fingerprint_prefix, older_than_days).values())


def _prunable(
    database: Database, path: Path, prefix: str | None, days: float | None
) -> dict[int, StoredGame]:
    if prefix is None and days is None:
        raise ValueError(
            "neither a fingerprint nor an age says what to prune; give fingerprint_prefix, "
            "older_than_days or both"
        )
    if days is not None and not days >= 0:
        raise ValueError(f"older_than_days={days} is below 0; give 0 or more")
    matching = _matching(_games(database), path, prefix)
    latest = math.inf if days is None else time.time() - days * _DAY
    return {id_: game for id_, game in matching.items() if game.updated <= latest}


def prune(
    path: str | Path, fingerprint_prefix: str | None = None, older_than_days: float | None = None
) -> int:
    """Remove games with all their ablations, and free their space on the disk.

    Args:
        path: the store.
        fingerprint_prefix: the start of the fingerprint of the one game to remove.
        older_than_days: remove only games whose last values were stored at least so long ago.

    Returns:
        How many ablations were removed.

    Raises:
        StoreError: there is no such store, the prefix does not fit exactly one game, or a living
            process is evaluating a game that would be removed. Nothing is removed then.
        ValueError: there is no criterion, or the number of days is negative.
    """
    path = Path(path)
    with closing(connect(path)) as database, explained(path):
        db = database.connection
        with transaction(db):
            removed = _prunable(database, path, fingerprint_prefix, older_than_days)
            for id_, game in removed.items():
                _refuse_in_use(db, path, id_, game)
                for table, key in (("claim", "game"), ("ablation", "game"), ("game", "id")):
                    db.execute(f"DELETE FROM {table} WHERE {key} = ?", (id_,))
        db.execute("VACUUM")
    return sum(game.n_ablations for game in removed.values())


def _refuse_in_use(db: sqlite3.Connection, path: Path, id_: int, game: StoredGame) -> None:
    for claimed, n_masks, *fields in db.execute(
        "SELECT max(claimed), count(*), owner, host, pid, started FROM claim WHERE game = ? "
        "GROUP BY owner",
        (id_,),
    ):
        owner = Owner(*fields)
        if owner.lives(claimed):
            raise StoreError(
                f"the game {game.fingerprint!r} of the store {path} is being evaluated by "
                f"{Claimed(owner, claimed, n_masks)}; wait for it, or end it, and prune again"
            )
