"""Whether a store is sound: the file, its tables, each row."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from interplay.ablation.database import Database, error_code, reading
from interplay.ablation.files import missing_log_message
from interplay.ablation.rows import Entry, blocks, entries
from interplay.errors import StoreError


def has_checksums(path: str | Path) -> bool:
    """Whether the rows of a store have checksums: not where its schema version is 1 or 2.

    Raises:
        StoreError: there is no such file, or it is not a store.
    """
    with reading(Path(path)) as database:
        return database.checked


def verify(path: str | Path) -> list[str]:
    """Look for damage, both of the file and of its contents.

    This reads the whole store once, in bounded memory, and changes nothing. Each row must fit its
    checksum (if the file has any, see :func:`has_checksums`), its game and its place in the file.
    Other processes may write to the store meanwhile.

    Returns:
        The problems, one line each. An empty list means that the store is sound.

    Raises:
        StoreError: there is no such file, or it is not a store.
    """
    path = Path(path)
    problems: list[str] = []
    try:
        with reading(path) as database:
            if database.log_missing:
                problems.append(missing_log_message(path))
            for (line,) in database.connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    problems.append(f"SQLite's integrity check: {line}")
            problems += _orphans(database) + _contradictions(database)
    except StoreError as error:
        # a file too damaged to be read is a problem to report here, not a reason to stop
        if error_code(error.__cause__) != sqlite3.SQLITE_CORRUPT:
            raise
        problems.append(str(error.__cause__))
    return problems


def _orphans(database: Database) -> list[str]:
    db = database.connection
    counts = Counter(row[0] for row in db.execute("PRAGMA foreign_key_check"))
    return [
        f"{count} rows of the table {table} belong to no game"
        for table, count in sorted(counts.items())
    ]


def _contradictions(database: Database) -> list[str]:
    """Rows that contradict themselves or their game: each kind once, with a count."""
    db = database.connection
    problems = []
    n_read = 0
    for entry in entries(db, database.version):
        problem = entry.wrong(checked=database.checked)
        if problem is not None:
            problems.append(f"game {entry.fingerprint!r}: {problem}")
        n_rows, wrong = _wrong_rows(database, entry, checked=database.checked and problem is None)
        n_read += n_rows
        problems += [f"game {entry.fingerprint!r}: {line}" for line in wrong]
    (n_stored,) = db.execute("SELECT count(*) FROM ablation").fetchone()
    (n_orphans,) = db.execute(
        "SELECT count(*) FROM ablation WHERE game NOT IN (SELECT id FROM game)"
    ).fetchone()
    if n_stored != n_read + n_orphans:
        problems.append(f"{n_stored - n_read - n_orphans} ablations are not where they belong")
    return problems


def _wrong_rows(database: Database, entry: Entry, *, checked: bool) -> tuple[int, list[str]]:
    """How many ablations a game has, and what is wrong with some: each kind once, with a count.

    Args:
        database: the store.
        entry: the game's row.
        checked: hold the rows against their checksums. None fits if the game's own row is damaged.
    """
    plausible = entry.wrong(checked=False) is None
    check = entry.rows(checked=checked)
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    n_rows = 0
    before: bytes | None = None
    for rows in blocks(database.connection, database.version, entry.id):
        n_rows += len(rows)
        for mask, value, checksum in rows if plausible else ():
            kind = check.wrong(mask, value, checksum)
            if kind is None and before is not None and mask <= before:
                kind = "are not in the order of their masks"
            before = mask if isinstance(mask, bytes) else None
            if kind is not None:
                counts[kind] += 1
                example.setdefault(kind, mask.hex() if isinstance(mask, bytes) else repr(mask))
    return n_rows, [
        f"{count} ablations {kind} (mask {example[kind]}...)" for kind, count in counts.items()
    ]
