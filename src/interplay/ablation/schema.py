"""The tables of a store: what they are in each schema version, and the way to the present one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from interplay.ablation.rows import UNCHECKED_VERSIONS, entries
from interplay.errors import StoreError

SCHEMA_VERSION = 3
_APPLICATION_ID = 0x1A7E9_1A

_GAME = """
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    n_players INTEGER NOT NULL,
    n_outputs INTEGER,     -- NULL: no values yet; 0: one number per mask; k: a row of k numbers
    description TEXT NOT NULL DEFAULT '{}',  -- JSON, for people
    created REAL NOT NULL, -- seconds since 1970, as all times here
    updated REAL NOT NULL,
    checksum BLOB NOT NULL -- see rows.py, as for the next table
"""
_ABLATION = """
    game INTEGER NOT NULL REFERENCES game (id),
    mask BLOB NOT NULL,    -- packed bits, little-endian
    value BLOB NOT NULL,   -- little-endian float64
    checksum BLOB NOT NULL,
    PRIMARY KEY (game, mask)
"""
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
_CREATE = (
    f"CREATE TABLE game ({_GAME})",
    f"CREATE TABLE ablation ({_ABLATION}) WITHOUT ROWID",
    _CLAIM,
)
_COLUMNS = {
    "game": ["id", "fingerprint", "n_players", "n_outputs", "description", "created", "updated"],
    "ablation": ["game", "mask", "value"],
    "claim": ["game", "mask", "owner", "host", "pid", "started", "claimed"],
}
"""The columns of the tables in schema version 2."""


def make_current(db: sqlite3.Connection, path: Path | None) -> None:
    """Make the tables, or convert those of an older version, within a transaction."""
    version = version_of(db, path)
    if version == 0:
        for statement in _CREATE:
            db.execute(statement)
    elif version != SCHEMA_VERSION:
        _convert(db, version)
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def version_of(db: sqlite3.Connection, path: Path | None) -> int:
    """The schema version; 0 for a file without tables. Refuses a file that must not be changed."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    if not tables:
        return 0
    if application != _APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file but not a store; give another path")
    if version not in (*UNCHECKED_VERSIONS, SCHEMA_VERSION):
        raise StoreError(
            f"the store {path} has schema version {version}, but this version of interplay reads "
            f"and writes {SCHEMA_VERSION} (and converts 1 and 2 to it); use the version that made "
            "it, or give another path"
        )
    # a view, a trigger or a virtual table would run what whoever made the file likes
    made = {name for kind, name, sql in tables if kind == "table" and _is_plain(sql)}
    strange = any(kind not in ("table", "index") for kind, _, _ in tables)
    if strange or not all(
        name in made and _columns(db, name) == columns for name, columns in _layout(version).items()
    ):
        raise StoreError(
            f"the tables of the store {path} are not those of schema version {version}; the file "
            "is damaged or not a store; put back a copy, or give another path"
        )
    return int(version)


def _is_plain(sql: object) -> bool:
    return isinstance(sql, str) and sql.startswith("CREATE TABLE")


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table, without any if one of them is computed."""
    rows = db.execute(f"PRAGMA table_xinfo({table})").fetchall()
    return [] if any(row[6] for row in rows) else [row[1] for row in rows]


def _layout(version: int) -> dict[str, list[str]]:
    """The columns of each table of a schema version."""
    if version == 1:
        return {"game": _COLUMNS["game"][:4], "ablation": _COLUMNS["ablation"]}
    checksum = [] if version in UNCHECKED_VERSIONS else ["checksum"]
    return {
        table: columns if table == "claim" else columns + checksum
        for table, columns in _COLUMNS.items()
    }


def _convert(db: sqlite3.Connection, version: int) -> None:
    """Convert a file of an older version within a transaction.

    Nothing vouches for the old rows but SQLite. Those that cannot be right get a checksum that fits
    nothing, so that they are reported and never used.
    """
    db.execute(f"CREATE TABLE new_game ({_GAME})")
    db.execute(f"CREATE TABLE new_ablation ({_ABLATION}) WITHOUT ROWID")
    for entry in list(entries(db, version)):
        sound = entry.wrong(checked=False) is None
        row = (entry.id, entry.fingerprint, entry.n_players, entry.n_outputs, entry.description)
        db.execute(
            "INSERT INTO new_game VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, entry.created, entry.updated, entry.computed() if sound else b""),
        )
        db.create_function("computed", 2, entry.rows().computed if sound else lambda *_: b"")
        db.execute(
            "INSERT INTO new_ablation SELECT game, mask, value, computed(mask, value) FROM "
            "ablation WHERE game = ?",
            (entry.id,),
        )
    db.execute(
        "INSERT INTO new_ablation SELECT game, mask, value, X'' FROM ablation "
        "WHERE game NOT IN (SELECT id FROM game)"
    )
    for table in ("ablation", "game"):
        db.execute(f"DROP TABLE {table}")
        db.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    if version == 1:
        db.execute(_CLAIM)
