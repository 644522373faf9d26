"""Look after a store between runs: list its games, verify it, export it, prune it.

No function here makes a file that does not exist. A file of schema version 1 is converted to the
present version first, just as when :class:`~interplay.ablation.store.Store` opens it.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.database import connect, error_code, explained, transaction
from interplay.ablation.store import Owner
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
    path = Path(path)
    with explained(path), closing(connect(path, create=False)) as db:
        return list(_games(db).values())


def _games(db: sqlite3.Connection) -> dict[int, StoredGame]:
    rows = db.execute(
        "SELECT id, fingerprint, n_players, n_outputs, (SELECT count(*) FROM ablation WHERE "
        "game = game.id), created, updated, description FROM game ORDER BY id"
    )
    stored = {}
    for id_, fingerprint, players, outputs, count, created, updated, text in rows:
        description = _description(text) or {}
        stored[id_] = StoredGame(
            fingerprint, players, outputs, count, created, updated, description
        )
    return stored


def _description(text: object) -> Json | None:
    try:
        description = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return description if isinstance(description, dict) else None


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


def verify(path: str | Path) -> list[str]:
    """Look for damage, both of the file and of its contents.

    This reads the whole store once, in bounded memory. Other processes may write to it meanwhile.

    Returns:
        The problems, one line each. An empty list means that the store is sound.

    Raises:
        StoreError: there is no such file, or it is not a store.
    """
    path = Path(path)
    problems: list[str] = []
    try:
        with explained(path), closing(connect(path, create=False)) as db:
            for (line,) in db.execute("PRAGMA integrity_check"):
                if line != "ok":
                    problems.append(f"SQLite's integrity check: {line}")
            with transaction(db, "DEFERRED"):
                problems += _orphans(db) + _contradictions(db)
    except StoreError as error:
        # a file too damaged to be read is a problem to report here, not a reason to stop
        if error_code(error.__cause__) != sqlite3.SQLITE_CORRUPT:
            raise
        problems.append(str(error.__cause__))
    return problems


def _orphans(db: sqlite3.Connection) -> list[str]:
    counts = Counter(row[0] for row in db.execute("PRAGMA foreign_key_check"))
    return [
        f"{count} rows of the table {table} belong to no game"
        for table, count in sorted(counts.items())
    ]


def _contradictions(db: sqlite3.Connection) -> list[str]:
    """Rows that contradict their game's entry: each kind of contradiction once, with a count."""
    problems = []
    for game, fingerprint, n_players, n_outputs, text in db.execute(
        "SELECT id, fingerprint, n_players, n_outputs, description FROM game ORDER BY id"
    ):
        if _description(text) is None:
            problems.append(f"game {fingerprint!r}: its description is not a JSON object")
        counts: Counter[str] = Counter()
        example: dict[str, str] = {}
        for rows in _blocks(db, game):
            for mask, value in rows:
                for kind in _wrong(mask, value, n_players, n_outputs):
                    counts[kind] += 1
                    example.setdefault(kind, mask.hex() if isinstance(mask, bytes) else repr(mask))
        problems += [
            f"game {fingerprint!r}: {count} ablations {kind} (mask {example[kind]}...)"
            for kind, count in counts.items()
        ]
    return problems


def _wrong(mask: object, value: object, n_players: int, n_outputs: int | None) -> Iterator[str]:
    """What is wrong with one row, if anything."""
    n_bytes = (n_players + 7) // 8
    if not isinstance(mask, bytes) or len(mask) != n_bytes:
        yield f"have a mask that is not the {n_bytes} bytes of {n_players} players"
    elif n_players % 8 and mask[-1] >> n_players % 8:
        yield f"have a mask with bits beyond the {n_players} players"
    if n_outputs is None:
        yield "have a value, but the game has no number of outputs"
        return
    n_bytes = 8 * (n_outputs or 1)
    if not isinstance(value, bytes) or len(value) != n_bytes:
        yield f"have a value that is not the {n_bytes} bytes of {n_outputs or 1} outputs"
    elif not all(map(math.isfinite, np.frombuffer(value, dtype="<f8").tolist())):
        yield "have a value that is not finite"


def _blocks(db: sqlite3.Connection, game: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Blocks of a game's rows of mask and value, in the order of the masks' bytes."""
    cursor = db.execute("SELECT mask, value FROM ablation WHERE game = ? ORDER BY mask", (game,))
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield rows


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
    with explained(path), closing(connect(path, create=False)) as db, transaction(db, "DEFERRED"):
        ((id_, game),) = _matching(_games(db), path, fingerprint_prefix or "").items()
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(out.name + ".part")
        try:
            with part.open("wb") as file:
                (_write_npz if out.suffix == ".npz" else _write_csv)(file, db, id_, game)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return game


def _arrays(
    db: sqlite3.Connection, id_: int, game: StoredGame
) -> Iterator[tuple[BoolArray, FloatArray]]:
    shape = (game.n_outputs,) if game.n_outputs else ()
    for rows in _blocks(db, id_):
        try:
            masks = from_keys([mask for mask, _ in rows], game.n_players)
            values = np.frombuffer(b"".join(value for _, value in rows), dtype="<f8")
            yield masks, values.reshape(len(rows), *shape).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"rows of the game {game.fingerprint!r} are damaged ({error}); interplay store "
                "verify lists what is wrong"
            ) from error


def _write_npz(file: IO[bytes], db: sqlite3.Connection, id_: int, game: StoredGame) -> None:
    shape = (game.n_outputs,) if game.n_outputs else ()
    masks = np.empty((game.n_ablations, game.n_players), dtype=np.bool_)
    values = np.empty((game.n_ablations, *shape))
    start = 0
    for block_masks, block_values in _arrays(db, id_, game):
        stop = start + len(block_masks)
        masks[start:stop], values[start:stop] = block_masks, block_values
        start = stop
    np.savez_compressed(
        file,
        masks=masks,
        values=values,
        fingerprint=np.array(game.fingerprint),
        description=np.array(json.dumps(game.description)),
    )


def _write_csv(file: IO[bytes], db: sqlite3.Connection, id_: int, game: StoredGame) -> None:
    outputs = [f"value_{output}" for output in range(game.n_outputs or 0)] or ["value"]
    header = [*(f"player_{player}" for player in range(game.n_players)), *outputs]
    file.write((",".join(header) + "\n").encode())
    for masks, values in _arrays(db, id_, game):
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
    with explained(path), closing(connect(path, create=False)) as db:
        return list(_prunable(db, path, fingerprint_prefix, older_than_days).values())


def _prunable(
    db: sqlite3.Connection, path: Path, prefix: str | None, days: float | None
) -> dict[int, StoredGame]:
    if prefix is None and days is None:
        raise ValueError(
            "neither a fingerprint nor an age says what to prune; give fingerprint_prefix, "
            "older_than_days or both"
        )
    if days is not None and not days >= 0:
        raise ValueError(f"older_than_days={days} is below 0; give 0 or more")
    matching = _matching(_games(db), path, prefix)
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
    with explained(path), closing(connect(path, create=False)) as db:
        with transaction(db):
            removed = _prunable(db, path, fingerprint_prefix, older_than_days)
            for id_, game in removed.items():
                _refuse_in_use(db, path, id_, game)
                for table, key in (("claim", "game"), ("ablation", "game"), ("game", "id")):
                    db.execute(f"DELETE FROM {table} WHERE {key} = ?", (id_,))
        db.execute("VACUUM")
    return sum(game.n_ablations for game in removed.values())


def _refuse_in_use(db: sqlite3.Connection, path: Path, id_: int, game: StoredGame) -> None:
    for claimed, *fields in db.execute(
        "SELECT max(claimed), owner, host, pid, started FROM claim WHERE game = ? GROUP BY owner",
        (id_,),
    ):
        owner = Owner(*fields)
        if owner.lives(claimed):
            raise StoreError(
                f"the game {game.fingerprint!r} of the store {path} is being evaluated by process "
                f"{owner.pid} on {owner.host}; wait for it, or end it, and prune again"
            )
