"""The file of a store as a file: what it is, and how to read it without changing anything.

While a store is open, its last transactions are in a second file, ``NAME-wal``, the log. Whoever
closes the store last moves them into the first one and notes there that it is complete. A file that
says that it has a log, and has none beside it, was therefore copied without it (or a process was
killed at the moment of opening or closing it).
"""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from interplay.errors import StoreError

_MAGIC = b"SQLite format 3\0"
_LOOKS = 5
_LOOK_SECONDS = 0.02


def exists(path: Path) -> bool:
    """Whether there is a regular file.

    Raises:
        StoreError: there is something else, or one cannot see what there is.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(
            f"the store {path}: {error}; change the permissions of its folder, or give another path"
        ) from error
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise StoreError(f"the store {path} is {kind}; give the path of a regular file")
    return True


def log_of(path: Path) -> Path:
    """The file of the last transactions. It lies beside the file, not beside a link to it."""
    real = path.resolve()
    return real.with_name(real.name + "-wal")


def missing_log_message(path: Path) -> str:
    """What a missing log means and what to do."""
    return (
        f"the store {path} was not closed, and its log {log_of(path).name} is not beside it: what "
        "was stored last is missing if the file was copied without it; copy both files, or copy "
        "the store when no process has it open"
    )


def to_write(path: Path, seconds: float, *, create: bool) -> sqlite3.Connection:
    """Open a file to read and write it, in autocommit mode.

    Args:
        path: the file.
        seconds: how long to wait for a process that has locked it.
        create: make it if it is missing.
    """
    _in_use[path.resolve()] += 1
    try:
        return _open(path, f"mode={'rwc' if create else 'rw'}", seconds)
    except BaseException:
        let_go(path)
        raise


def let_go(path: Path) -> None:
    """Note that a connection to a file is closed."""
    _in_use[path.resolve()] -= 1


def in_use(path: Path) -> bool:
    """Whether this process has a connection to a file, whose end will be the end of the log."""
    return _in_use[path.resolve()] > 0


@dataclass(frozen=True)
class Unchanged:
    """A file that is read and not changed.

    Attributes:
        connection: SQLite's.
        in_memory: it reads a copy in memory.
        log_missing: the file says that it has a log, but there is none.
    """

    connection: sqlite3.Connection
    in_memory: bool
    log_missing: bool


def to_read(path: Path, seconds: float) -> Unchanged:
    """Open a file so that neither it nor its folder changes.

    A file without a log is read in place; a read-only folder will do. So is one whose log another
    process uses, or seems to: then SQLite keeps its locks in ``NAME-shm``, which holds no data.
    Otherwise a copy of the file and its log is read into memory, since to read it in place SQLite
    would have to make that file.

    Args:
        path: the file.
        seconds: how long to wait for a process that has locked it.

    Raises:
        StoreError: it is missing, empty, not a regular file, or not an SQLite file.
        sqlite3.Error: it cannot be opened.
    """
    if not exists(path):
        raise StoreError(f"there is no store {path}; give the path of one that exists")
    real = path.resolve()
    log, shared, journal = (real.with_name(real.name + end) for end in ("-wal", "-shm", "-journal"))
    # where this process has it open, closing it after a look would end SQLite's locks (POSIX)
    if _in_use[real] == 0:
        logged = _looked_at(path)
        # another process may open or close it at this moment
        for _ in range(_LOOKS):
            if not logged or log.exists():
                break
            time.sleep(_LOOK_SECONDS)
            logged = _looked_at(path)
        if not shared.exists() and (logged or _has_content(journal)):
            return Unchanged(_copied(real, (log, journal), seconds), True, not log.exists())
    _in_use[real] += 1
    try:
        return Unchanged(_open(path, "mode=ro", seconds), False, False)
    except BaseException:
        let_go(path)
        raise


def _looked_at(path: Path) -> bool:
    """Check that a file may be a store. Returns whether its header says that it has a log."""
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise StoreError(f"the store {path}: {error}; change its permissions") from error
    if not header:
        raise StoreError(f"{path} is an empty file and not a store; give another path")
    if header[:16] != _MAGIC:
        raise StoreError(f"the store {path}: file is not a database; give another path")
    return header[18:20] == b"\2\2"


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _copied(real: Path, beside: Sequence[Path], seconds: float) -> sqlite3.Connection:
    """A copy of a file in memory, with what the files beside it say."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "store"
        try:
            shutil.copyfile(real, copy)
            for file in beside:
                if file.exists():
                    shutil.copyfile(file, copy.with_name(copy.name + file.name[len(real.name) :]))
        except OSError as error:
            raise StoreError(
                f"the store {real} cannot be copied to be read: {error}; free space in the folder "
                "of temporary files, or change the permissions"
            ) from error
        memory = sqlite3.connect(":memory:", isolation_level=None)
        try:
            with closing(_open(copy, "mode=rw", seconds)) as db:
                db.backup(memory)
        except BaseException:
            memory.close()
            raise
    return memory


def _open(path: Path, options: str, seconds: float) -> sqlite3.Connection:
    location = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(location, timeout=seconds, isolation_level=None, uri=True)


_in_use: Counter[Path] = Counter()
"""How many connections this process has to each file."""
