"""The SQLite database of a store: opening and closing it, its errors, its transactions."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from interplay.ablation.files import exists, in_use, let_go, log_of, to_read, to_write
from interplay.ablation.rows import UNCHECKED_VERSIONS
from interplay.ablation.schema import SCHEMA_VERSION, make_current, version_of
from interplay.errors import StoreError

_WAIT_SECONDS = 60.0
_TRIES = 5
_APART_SECONDS = 0.05
_FRESH_SECONDS = 0.1
"""Within this time after a change of a file, another process may be about to open or close it."""

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
    except UnicodeDecodeError as error:  # SQLite's message quotes what it cannot read
        advice = _ADVICE[sqlite3.SQLITE_CORRUPT]
        raise StoreError(f"the store {path or 'in memory'} cannot be read; {advice}") from error


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


@dataclass(frozen=True)
class Database:
    """An open file of a store.

    Attributes:
        connection: SQLite's, in autocommit mode.
        path: the file; ``None``: in memory.
        version: the schema version of the file.
        read_only: it cannot be changed.
        in_memory: the connection reads a copy in memory.
        log_missing: it has the look of a file that was copied without its log.
    """

    connection: sqlite3.Connection
    path: Path | None
    version: int
    read_only: bool
    in_memory: bool
    log_missing: bool

    @property
    def checked(self) -> bool:
        """Whether its rows have checksums."""
        return self.version not in UNCHECKED_VERSIONS

    def close(self) -> None:
        """Close the file. Whoever closes it last leaves it complete, without a log beside it."""
        if self.path is None or self.in_memory:
            self.connection.close()
            return
        ended = self.read_only or _end_log(self.connection)
        self.connection.close()
        let_go(self.path)
        # two that close at once see each other, and neither ends the log
        for _ in range(_TRIES):
            if ended or in_use(self.path) or not self.path.exists():
                return
            time.sleep(random.uniform(0.0, _APART_SECONDS))  # else both see each other again
            with suppress(sqlite3.Error):
                db = to_write(self.path, _WAIT_SECONDS, create=False)
                ended = _end_log(db)
                db.close()
                let_go(self.path)


def connect(path: Path | None, *, create: bool = False, read_only: bool = False) -> Database:
    """Open the file of a store in autocommit mode, and check its version and tables.

    A file of an older schema version is converted to the present version in one transaction, unless
    it is opened to be read only. Any number of processes may do this to the same file at the same
    time.

    Args:
        path: the file. ``None``: a store in memory.
        create: make the folder, the file and the tables if they are missing.
        read_only: change nothing, neither the file nor its folder.

    Raises:
        StoreError: the file cannot be opened, is not a store, or has another version.
    """
    if path is None:
        db = sqlite3.connect(":memory:", isolation_level=None)
        _prepare(db, path, create)
        return Database(db, path, SCHEMA_VERSION, False, True, False)
    if read_only:
        with explained(path):
            unchanged = to_read(path, _WAIT_SECONDS)
            db = unchanged.connection
            try:
                db.execute("PRAGMA query_only = ON")
                version = _inspect(db, path)
                if version == 0:
                    raise StoreError(f"{path} is an SQLite file but not a store; give another path")
            except BaseException:
                db.close()
                if not unchanged.in_memory:
                    let_go(path)
                raise
        lost = unchanged.log_missing and version not in UNCHECKED_VERSIONS
        return Database(db, path, version, True, unchanged.in_memory, lost)
    try:
        if not exists(path):
            if not create:
                raise StoreError(f"there is no store {path}; give the path of one that exists")
            path.parent.mkdir(parents=True, exist_ok=True)
        before = _Look.at(path)
    except OSError as error:
        raise StoreError(
            f"the store {path}: {error}; change the permissions of its folder, or give another path"
        ) from error
    with explained(path):
        db = to_write(path, _WAIT_SECONDS, create=create)
        try:
            lost = _prepare(db, path, create, before)
        except BaseException:
            db.close()
            let_go(path)
            raise
    return Database(db, path, SCHEMA_VERSION, False, False, lost)


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """Open the file of a store to read it without changing anything, all in one transaction."""
    with (
        closing(connect(path, read_only=True)) as database,
        explained(path),
        transaction(database.connection, "DEFERRED"),
    ):
        yield database


@dataclass(frozen=True)
class _Look:
    """What a file looked like just before it was opened.

    Attributes:
        logged: there was a log.
        changed: when the file was changed last, in nanoseconds since 1970.
    """

    logged: bool
    changed: int

    @classmethod
    def at(cls, path: Path) -> _Look:
        logged = log_of(path).exists()
        return cls(logged, path.stat().st_mtime_ns if path.exists() else time.time_ns())

    def lost_log(self, db: sqlite3.Connection, path: Path) -> bool:
        """Whether an open file says that it has a log, and came without one.

        Of a file that another process has open, or may just have opened or closed, nothing is said.
        """
        if self.logged or time.time_ns() - self.changed < _FRESH_SECONDS * 1e9:
            return False
        if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            return False
        return path.stat().st_mtime_ns == self.changed and _end_log(db)


def _prepare(
    db: sqlite3.Connection, path: Path | None, create: bool, before: _Look | None = None
) -> bool:
    """Make or convert the tables, and switch to a log. Returns whether the log was missing."""
    version = _inspect(db, path)
    if version == 0 and not create:
        raise StoreError(f"{path} is an empty file and not a store; give another path")
    lost = version == SCHEMA_VERSION and (
        before is not None and path is not None and before.lost_log(db, path)
    )
    if version != SCHEMA_VERSION:
        with transaction(db):
            make_current(db, path)  # or nothing: another process may have been faster
    journal = _write_ahead(db)
    # with a write-ahead log, NORMAL is safe even if the machine crashes; without one it is not
    db.execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")
    db.execute("SELECT count(*) FROM game").fetchone()  # the log's file is made now, not later
    return lost


def _inspect(db: sqlite3.Connection, path: Path | None) -> int:
    """Make the connection wary of its file, and read the version (see :func:`version_of`)."""
    # a damaged row may be text, and need not be UTF-8
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    with transaction(db, "DEFERRED"):
        return version_of(db, path)


def _end_log(db: sqlite3.Connection) -> bool:
    """Move the log into the file and note there that it is complete.

    Returns:
        ``False`` if another connection has the file open, which will do it then.
    """
    try:
        return str(db.execute("PRAGMA journal_mode = DELETE").fetchone()[0]) == "delete"
    except sqlite3.Error:
        return False


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
