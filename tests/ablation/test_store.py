from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from interplay import StoreError
from interplay.ablation.store import SCHEMA_VERSION, Store
from interplay.masks import uniform

MASKS = uniform(1200, 70, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_values_come_back_bit_for_bit(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(size=(len(MASKS), *shape))
    with Store(tmp_path / "a.db") as store:
        store.put("game", MASKS[:700], values[:700])
    with Store(tmp_path / "a.db") as store:
        found, kept = store.get("game", MASKS[::-1])
        assert found.tolist() == ([False] * 500 + [True] * 700)
        np.testing.assert_array_equal(kept, values[:700][::-1])
        assert store.count("game") == 700
        assert store.get("other game", MASKS)[0].sum() == 0


def test_a_value_is_never_overwritten() -> None:
    with Store() as store:
        store.put("game", MASKS[:1], np.array([1.0]))
        store.put("game", MASKS[:2], np.array([5.0, 6.0]))
        assert store.get("game", MASKS[:2])[1].tolist() == [1.0, 6.0]


def test_two_processes_worth_of_connections(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as one, Store(tmp_path / "a.db") as two:
        one.put("game", MASKS[:1], np.array([1.0]))
        two.put("game", MASKS[1:2], np.array([2.0]))
        assert one.get("game", MASKS[:2])[1].tolist() == [1.0, 2.0]


def test_a_fingerprint_belongs_to_one_game(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        store.put("game", MASKS[:1], np.array([1.0]))
        with pytest.raises(StoreError, match="holds 70 players under the fingerprint 'game'"):
            store.get("game", MASKS[:1, :9])
        with pytest.raises(StoreError, match="holds 0 outputs per mask"):
            store.put("game", MASKS[1:2], np.array([[1.0, 2.0]]))


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 6}")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match=rf"has schema version {SCHEMA_VERSION + 6}, but this"):
        Store(path)


def test_files_that_are_no_store(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Store(text)
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="is an SQLite file but not a store"):
        Store(other)
    assert sqlite3.connect(other).execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
