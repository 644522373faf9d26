"""The SQLite file of a store: its tables, its schema versions, its errors, its transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interplay.errors import StoreError

SCHEMA_VERSION = 2
_WAIT_SECONDS = 60.0
_APPLICATION_ID = 0x1A7E9_1A

_GAME = """
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    n_players INTEGER NOT NULL,
    n_outputs INTEGER,     -- NULL: no values yet; 0: one number per mask; k: a row of k numbers
    description TEXT NOT NULL DEFAULT '{}',  -- JSON, for people
    created REAL NOT NULL, -- seconds since 1970, as all times here
    updated REAL NOT NULL
"""
_ABLATION = """CREATE TABLE ablation (
    game INTEGER NOT NULL REFERENCES game (id),
    mask BLOB NOT NULL,    -- packed bits, little-endian
    value BLOB NOT NULL,   -- little-endian float64
    PRIMARY KEY (game, mask)
) WITHOUT ROWID"""
_CLAIM = """CREATE TABLE claim (
    game INTEGER NOT NULL REFERENCES game (id),
    mask BLOB NOT NULL,
    owner TEXT NOT NULL,   -- one Store object
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started REAL NOT NULL, -- when that process was created, since process ids come back
    claimed REAL NOT NULL,
    PRIMARY KEY (game, mask)
) WITHOUT ROWID"""
_CREATE = (f"CREATE TABLE game ({_GAME})", _ABLATION, _CLAIM)
_FROM_1 = (
    f"CREATE TABLE game_2 ({_GAME})",
    "INSERT INTO game_2 (id, fingerprint, n_players, n_outputs, created, updated) SELECT "
    "id, fingerprint, n_players, n_outputs, strftime('%s', 'now'), strftime('%s', 'now') FROM game",
    "DROP TABLE game",
    "ALTER TABLE game_2 RENAME TO game",
    _CLAIM,
)

_ADVICE = {
    sqlite3.SQLITE_FULL: "what was stored before is still there; free space and run again, or "
    "give another path",
    sqlite3.SQLITE_IOERR: "the disk failed or is full; what was stored before is still there; free "
    "space and run again, or give another path",
    sqlite3.SQLITE_READONLY: "the file and its folder must both be writable; change their "
    "permissions, or give another path",
    sqlite3.SQLITE_CANTOPEN: "the file and its folder must exist, be writable and have space left; "
    "change that, or give another path",
    sqlite3.SQLITE_PERM: "change the permissions of the file and its folder, or give another path",
    sqlite3.SQLITE_BUSY: f"another process has locked it for {_WAIT_SECONDS:.0f} s; wait for that "
    "process or end it, and run again",
    sqlite3.SQLITE_NOTADB: "the file is not a store; give another path",
    sqlite3.SQLITE_CORRUPT: "the file is damaged (interplay store verify lists how); put back a "
    "copy, or give another path",
}


@contextmanager
def explained(path: Path | None) -> Iterator[None]:
    """Turn an error of SQLite into a :class:`StoreError` that gives the path and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        advice = _ADVICE.get(error_code(error))
        raise StoreError(
            f"the store {path or 'in memory'}: {error}{'; ' + advice if advice else ''}"
        ) from error


def error_code(error: BaseException | None) -> int:
    """SQLite's primary result code of an error; 0 if it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Run a transaction: all of it takes effect, or nothing.

    A ``DEFERRED`` transaction that only reads sees one state of the file from beginning to end.
    """
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # on a full disk SQLite has rolled back by itself, and would refuse to do so again
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def connect(path: Path | None, *, create: bool) -> sqlite3.Connection:
    """Open the file of a store in autocommit mode, and check its version.

    A file of schema version 1 is converted to the present version in one transaction. Any number
    of processes may do this to the same file at the same time.

    Args:
        path: the file. ``None``: a store in memory.
        create: make the folder, the file and the tables if they are missing.

    Raises:
        StoreError: the file cannot be opened, is not a store, or has another version.
    """
    location = ":memory:"
    if path is not None:
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.exists():
                raise StoreError(f"there is no store {path}; give the path of one that exists")
        except OSError as error:
            raise StoreError(
                f"the store {path}: {error}; change the permissions of its folder, or give "
                "another path"
            ) from error
        location = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    with explained(path):
        db = sqlite3.connect(location, timeout=_WAIT_SECONDS, isolation_level=None, uri=True)
        try:
            _prepare(db, path, create)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: sqlite3.Connection, path: Path | None, create: bool) -> None:
    with transaction(db, "DEFERRED"):
        version = _version(db, path)
    if version == 0 and not create:
        raise StoreError(f"{path} is an empty file and not a store; give another path")
    if version != SCHEMA_VERSION:
        with transaction(db):
            version = _version(db, path)  # again: another process may have been faster
            if version != SCHEMA_VERSION:
                for statement in _FROM_1 if version else _CREATE:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    journal = _write_ahead(db)
    # with a write-ahead log, NORMAL is safe even if the machine crashes; without one it is not
    db.execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")


def _version(db: sqlite3.Connection, path: Path | None) -> int:
    """The schema version; 0 for a file without tables. Refuses a file that must not be changed."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0:
        return 0
    if application != _APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file but not a store; give another path")
    if version not in (1, SCHEMA_VERSION):
        raise StoreError(
            f"the store {path} has schema version {version}, but this version of interplay reads "
            f"and writes {SCHEMA_VERSION} (and converts 1 to it); use the version that made it, "
            "or give another path"
        )
    return int(version)


def _write_ahead(db: sqlite3.Connection) -> str:
    """Switch to a write-ahead log if the file system allows it. Returns the journal mode."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return str(db.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            # if two connections switch at once, both fail without SQLite's usual wait
            if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
