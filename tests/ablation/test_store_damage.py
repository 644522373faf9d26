"""Stores that are damaged, made up, copied in part, or may only be read."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay import FunctionGame, StoreError
from interplay._types import BoolArray, FloatArray
from interplay.ablation import evaluator as evaluator_module
from interplay.ablation import progress
from interplay.ablation.claims import LEASE_SECONDS
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.maintenance import export, games, prunable
from interplay.ablation.rows import MOST_DESCRIPTION, entries
from interplay.ablation.schema import SCHEMA_VERSION
from interplay.ablation.soundness import has_checksums, verify
from interplay.ablation.store import Store
from interplay.fourier.masks import every_mask, keys, uniform
from tests.ablation.test_store import exit_code, fork, sql, version_1
from tests.conftest import replaced

pytestmark = pytest.mark.slow

MASKS = uniform(120, 20, np.random.default_rng(0))
VALUES = np.random.default_rng(1).normal(size=(len(MASKS), 2))
N_FLIPS = 1500


def make(path: Path) -> Path:
    """A small store of two games, 200 ablations in all."""
    with Store(path) as store:
        store.register("two", 20, {"model": "m", "note": "of two outputs"})
        store.put("two", MASKS, VALUES)
        store.put("one", MASKS[:80, :17], VALUES[:80, 0])
    return path


def truth(fingerprint: str) -> tuple[BoolArray, FloatArray]:
    return (MASKS, VALUES) if fingerprint == "two" else (MASKS[:80, :17], VALUES[:80, 0])


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def damage(path: Path, row: int = 0, value: bytes = np.ones(2).tobytes()) -> None:
    sql(path, "UPDATE ablation SET value = ? WHERE mask = ?", value, keys(MASKS)[row])


def read_again(path: Path, read_only: bool) -> tuple[int, bool]:
    """Read everything. Returns how many values are missing, and whether damage was reported."""
    n_missing, reported = 0, False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with Store(path, read_only=read_only) as store:
                for fingerprint in ("two", "one"):
                    masks, values = truth(fingerprint)
                    try:
                        stored, numbers = store.get(fingerprint, masks)
                    except StoreError:
                        reported = True
                        continue
                    if stored.any():
                        np.testing.assert_array_equal(numbers, values[stored])
                    n_missing += int((~stored).sum())
        except StoreError:
            reported = True
    return n_missing, reported or bool(caught)


@pytest.mark.parametrize(
    ("read_only", "every"), [(True, 1), pytest.param(False, 6, marks=pytest.mark.slow)]
)
def test_no_flipped_bit_gives_a_wrong_number(tmp_path: Path, read_only: bool, every: int) -> None:
    """A value that is read is right, or the damage is reported; what is lost, ``verify`` finds."""
    sound = make(tmp_path / "sound.db").read_bytes()
    chance = random.Random(0)
    path = tmp_path / "a.db"
    # the header and the beginning of every page, where SQLite's own numbers are, and a sample
    starts = range(0, len(sound), 4096)
    positions = [*range(100), *(start + i for start in starts for i in range(0, 16, 2))]
    positions += [chance.randrange(len(sound)) for _ in range(N_FLIPS - len(positions))]
    positions = positions[::every]
    outcomes: Counter[str] = Counter()
    for position in positions:
        bit = chance.randrange(8)
        flipped = bytearray(sound)
        flipped[position] ^= 1 << bit
        path.write_bytes(flipped)
        n_missing, reported = read_again(path, read_only)
        if reported:
            outcomes["reported"] += 1
        elif n_missing:
            path.write_bytes(flipped)  # a store that was opened to be written is another one now
            try:
                problems = verify(path)
            except StoreError as error:
                problems = [str(error)]
            assert problems, f"bit {bit} of byte {position} lost {n_missing} values in silence"
            outcomes["found by verify"] += 1
        else:
            outcomes["all right"] += 1
    assert sum(outcomes.values()) == len(positions)
    assert outcomes["reported"] > len(positions) / 20, "the flips hit nothing"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sound") / "sound.db")


@settings(max_examples=150, deadline=None)
@given(
    length=st.none() | st.integers(0, 60_000),
    changes=st.lists(
        st.tuples(st.integers(0, 300) | st.integers(0, 60_000), st.binary(min_size=1, max_size=40)),
        max_size=4,
    ),
)
def test_any_file_gives_values_or_an_error_of_our_own(
    sound: Path, length: int | None, changes: list[tuple[int, bytes]]
) -> None:
    """Nothing but a StoreError is raised, and a value that is read is right."""
    content = bytearray(sound.read_bytes())[:length]
    for start, written in changes:
        content[start : start + len(written)] = written
    path = sound.with_name("changed.db")
    path.write_bytes(content)
    uses: tuple[Callable[[], object], ...] = (
        lambda: verify(path),
        lambda: games(path),
        lambda: prunable(path, older_than_days=0),
        lambda: export(path, "two", sound.with_name("out.npz")),
    )
    for use in uses:
        with suppress(StoreError):
            use()
    read_again(path, read_only=True)


def test_every_bit_of_a_row_counts(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    sound = path.read_bytes()
    key, value = keys(MASKS)[5], VALUES[5].astype("<f8").tobytes()
    assert sound.count(value) == 1
    start = sound.index(value) - len(key)
    assert sound[start : start + len(key)] == key
    for bit in range(8 * (len(key) + len(value) + 8)):  # the mask, the value and the checksum
        flipped = bytearray(sound)
        flipped[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert verify(path), bit
        n_missing, reported = read_again(path, read_only=True)
        assert n_missing or reported
    path.write_bytes(sound)
    assert verify(path) == []


def test_a_damaged_row_is_missing_and_made_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    for row in range(3):
        damage(path, row)
    calls: list[int] = []

    def f(masks: BoolArray) -> FloatArray:
        calls.append(len(masks))
        places = {key: row for row, key in enumerate(keys(MASKS))}
        return VALUES[[places[key] for key in keys(masks)]]

    game = FunctionGame(f, 20, fingerprint="two")
    with (
        Evaluator.of(game, store=path, progress=False) as evaluator,
        pytest.warns(UserWarning, match=r"a\.db: 3 of the stored ablations of the game 'two'"),
    ):
        evaluated = evaluator(MASKS)
    np.testing.assert_array_equal(evaluated.values, VALUES)
    assert sum(calls) == evaluated.n_new == 3
    assert verify(path) == [], "the new values took the place of the damaged ones"
    assert read_again(path, read_only=True) == (0, False)


def test_an_audit_refuses_a_damaged_row(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    damage(path, 7)
    with Store(path, read_only=True) as store:
        stored, _ = store.get("two", MASKS[:7])
        assert stored.all(), "the other rows are sound"
        with pytest.raises(
            StoreError, match=r"a\.db: 1 of the stored ablations .* put back a copy"
        ):
            store.get("two", MASKS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n_players", 19),
        ("n_players", 1 << 62),
        ("n_players", "many"),
        ("n_outputs", 0),
        ("n_outputs", -2),
        ("n_outputs", 1 << 62),
        ("description", "no JSON"),
        ("description", "[" * 100_000),
        ("description", json.dumps({"model": "another"})),
        ("description", json.dumps("x" * MOST_DESCRIPTION)),
        ("updated", float("inf")),
        ("created", "yesterday"),
        ("checksum", b""),
    ],
)
def test_a_damaged_game(tmp_path: Path, column: str, value: object) -> None:
    path = make(tmp_path / "a.db")
    sql(path, f"UPDATE game SET {column} = ? WHERE fingerprint = 'two'", value)
    for read_only in (True, False):
        with (
            Store(path, read_only=read_only) as store,
            pytest.raises(StoreError, match=r"is damaged at the game 'two': its .*put back a copy"),
        ):
            store.get("two", MASKS)
    assert any(line.startswith("game 'two': its ") for line in verify(path))
    with pytest.raises(StoreError, match="damaged"):
        export(path, "two", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_a_game_whose_index_leads_to_another(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    sql(path, "UPDATE game SET fingerprint = CASE id WHEN 1 THEN 'x' WHEN 2 THEN 'two' END")
    sql(path, "UPDATE game SET fingerprint = 'one' WHERE id = 1")
    with pytest.raises(StoreError, match="damaged at the game 'two'"):
        Store(path, read_only=True).get("two", MASKS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_finite_values_are_stored_or_read(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:
        store.put("two", MASKS[:1], VALUES[:1])
        with pytest.raises(ValueError, match=r"of the mask .* is not finite"):
            store.put("two", MASKS[1:3], np.array([[1.0, 2.0], [3.0, value]]))
        assert store.count("two") == 1
    with closing(sqlite3.connect(path)) as db, db:  # by somebody who knows how
        (entry,) = entries(db, SCHEMA_VERSION)
        key, blob = keys(MASKS)[0], np.array([1.0, value]).tobytes()
        checksum = entry.rows().checksum(key, blob)
        db.execute("UPDATE ablation SET value = ?, checksum = ?", (blob, checksum))
    assert "not finite" in verify(path)[0]
    with Store(path) as store, pytest.warns(UserWarning, match="1 of the stored ablations"):
        assert not store.get("two", MASKS[:1])[0].any()


def test_a_description_is_bounded() -> None:
    with Store() as store, pytest.raises(ValueError, match="a store takes at most 4194304; descr"):
        store.register("two", 20, {"note": "x" * MOST_DESCRIPTION})


def version_2(path: Path) -> None:
    """A store as the version before checksums left it, with its log mode set."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            CREATE TABLE game (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE,
                n_players INTEGER NOT NULL, n_outputs INTEGER,
                description TEXT NOT NULL DEFAULT '{}',
                created REAL NOT NULL, updated REAL NOT NULL);
            CREATE TABLE ablation (game INTEGER NOT NULL REFERENCES game (id), mask BLOB NOT NULL,
                value BLOB NOT NULL, PRIMARY KEY (game, mask)) WITHOUT ROWID;
            CREATE TABLE claim (game INTEGER NOT NULL REFERENCES game (id), mask BLOB NOT NULL,
                owner TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
                started REAL NOT NULL, claimed REAL NOT NULL, PRIMARY KEY (game, mask))
                WITHOUT ROWID;
            INSERT INTO game VALUES (3, 'two', 20, 2, '{"model": "m"}', 10.5, 20.5);
            PRAGMA application_id = 27781402;
            PRAGMA user_version = 2;
            PRAGMA journal_mode = WAL;
            """
        )
        db.executemany(
            "INSERT INTO ablation VALUES (3, ?, ?)",
            ((key, row.tobytes()) for key, row in zip(keys(MASKS), VALUES, strict=True)),
        )
        db.commit()


def test_older_versions_are_read_without_being_changed(tmp_path: Path) -> None:
    for old, fingerprint in ((version_1, "one"), (version_2, "two")):
        folder = tmp_path / fingerprint
        folder.mkdir()
        path = folder / "a.db"
        old(path)
        before = files_of(folder)
        assert list(before) == ["a.db"]
        with Store(path, read_only=True) as store:
            (caveat,) = store.caveats
            assert "a.db are unchecked: schema version" in caveat
            assert "has no checksums" in caveat
            assert store.count(fingerprint) in (600, 120)
            if old is version_2:
                np.testing.assert_array_equal(store.get("two", MASKS)[1], VALUES)
        assert verify(path) == []
        assert not has_checksums(path)
        assert games(path)[0].fingerprint == fingerprint
        assert files_of(folder) == before
        with Store(path) as store:
            assert store.caveats == ()
        assert has_checksums(path)
        assert verify(path) == []


def test_version_2_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    version_2(path)
    damage(path, 4, b"short")
    sql(path, "INSERT INTO ablation VALUES (99, X'00', X'00')")
    with Store(path) as store:
        with pytest.warns(UserWarning, match="1 of the stored ablations"):
            stored, values = store.get("two", MASKS)
        assert np.flatnonzero(~stored).tolist() == [4]
        np.testing.assert_array_equal(values, VALUES[stored])
    (game,) = games(path)
    assert (game.created, game.updated, game.description) == (10.5, 20.5, {"model": "m"})
    assert sql(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    problems = verify(path)
    assert len(problems) == 2
    assert "1 rows of the table ablation belong to no game" in problems[0]
    assert "1 ablations have a value that is not the 16 bytes" in problems[1]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE ablation RENAME TO hidden; CREATE VIEW ablation AS WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS game, X'00' AS mask, X'00' AS value, "
        "X'00' AS checksum FROM c",
        "CREATE TRIGGER t AFTER INSERT ON claim BEGIN DELETE FROM ablation; END",
        "DROP TABLE claim",
        "ALTER TABLE ablation ADD COLUMN more",
        "ALTER TABLE game ADD COLUMN more AS (n_players + 1)",
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 1",
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_other_tables_than_a_stores_are_refused(
    tmp_path: Path, statement: str, read_only: bool
) -> None:
    path = make(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statement)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="are not those of schema version"):
        Store(path, read_only=read_only)
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match="are not those of schema version"):
        verify(path)


@pytest.mark.parametrize("open_it", [Store, partial(Store, read_only=True), verify, games])
def test_only_regular_files_are_opened(tmp_path: Path, open_it: Callable[[Path], object]) -> None:
    fifo, link, folder = tmp_path / "fifo", tmp_path / "link", tmp_path / "folder"
    os.mkfifo(fifo)
    link.symlink_to("/dev/zero")
    folder.mkdir()
    for path, kind in ((fifo, "a named pipe"), (link, "a device"), (folder, "a folder")):
        with pytest.raises(StoreError, match=f"{path.name} is {kind}; give the path of a regular"):
            open_it(path)
    link.unlink()
    link.symlink_to(make(tmp_path / "real.db"))
    opened = open_it(link)
    if isinstance(opened, Store):
        with opened:
            assert opened.count("two") == 120


@pytest.mark.parametrize("content", [b"", b"SQLite", b"not a database " * 100])
def test_reading_makes_no_database_of_another_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"not a (store|database); give another path"):
        Store(path, read_only=True)
    assert files_of(tmp_path)["a.db"][0] == content
    with pytest.raises(StoreError, match=r"there is no store .*none; give the path of one"):
        Store(tmp_path / "none", read_only=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
    with pytest.raises(ValueError, match="path=None holds nothing to read"):
        Store(read_only=True)


def test_what_is_read_only_cannot_be_changed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    before = files_of(tmp_path)
    with Store(path, read_only=True) as store:
        for change in (
            lambda: store.register("new", 20),
            lambda: store.put("two", MASKS, VALUES),
            lambda: store.claim("two", MASKS),
            lambda: store.give_back("two", MASKS),
        ):
            with pytest.raises(StoreError, match="was opened to be read only; open it without"):
                change()
        assert store.get("unknown", MASKS)[0].sum() == 0
        assert store.caveats == ()
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("state", ["closed", "version 2", "a log that nobody uses"])
def test_evidence_is_read_only(tmp_path: Path, state: str) -> None:
    """A read-only file in a read-only folder is read, by one who may not change that."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    path = folder / "a.db"
    if state == "version 2":
        version_2(path)
    elif state == "closed":
        make(path)
    else:
        with Store(tmp_path / "live.db") as store:
            store.put("two", MASKS, VALUES)
            for name in ("a.db", "a.db-wal"):
                shutil.copy(tmp_path / name.replace("a.db", "live.db"), folder / name)
    before = files_of(folder)
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)

    def work() -> None:
        if os.getuid() == 0:  # root may write what is read-only
            for parent in (tmp_path, *tmp_path.parents[:3]):
                parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
            os.setgid(65534)
            os.setuid(65534)
        with Store(path, read_only=True) as store:
            np.testing.assert_array_equal(store.get("two", MASKS)[1], VALUES)
        assert verify(path) == []
        assert len(games(path)) in (1, 2)
        assert len(prunable(path, older_than_days=0)) in (1, 2)

    try:
        assert exit_code(fork(work)) == 0
        assert files_of(folder) == before
    finally:
        folder.chmod(0o755)


@pytest.mark.slow
def test_reading_beside_one_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as writer:
        for rows in (slice(0, 60), slice(60, 120)):
            writer.put("two", MASKS[rows], VALUES[rows])
            with Store(path, read_only=True) as reader:  # in this process
                assert reader.count("two") == rows.stop
                assert reader.caveats == ()
        done = subprocess.run(  # and in another one
            [sys.executable, "-m", "tests.ablation.count_rows", str(path)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == "120 ()"
        assert writer.claim("two", MASKS[:1]).tolist() == [False], "the writer is undisturbed"
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


def test_a_copy_without_its_log_says_so(tmp_path: Path) -> None:
    live, copy = tmp_path / "live.db", tmp_path / "copy" / "a.db"
    copy.parent.mkdir()
    with Store(live) as store:
        store.put("two", MASKS, VALUES)
        shutil.copy(live, copy)
        assert verify(live) == [], "the store itself has its log"
    past = time.time() - 60
    os.utime(copy, (past, past))
    before = files_of(copy.parent)
    with Store(copy, read_only=True) as store:
        (caveat,) = store.caveats
        assert "its log a.db-wal is not beside it" in caveat
        assert "copy both files" in caveat
    assert "its log a.db-wal is not beside it" in verify(copy)[0]
    assert files_of(copy.parent) == before
    with pytest.warns(UserWarning, match=r"its log a\.db-wal is not beside it"):
        store = Store(copy)
    with store:
        assert store.caveats != ()
        store.put("two", MASKS, VALUES)
    assert verify(copy) == [], "told once, and complete from now on"
    # what was closed is whole
    shutil.copy(live, copy)
    assert verify(copy) == []
    assert read_again(live, read_only=True)[0] == 80


def test_a_store_that_nobody_closed_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = Store(path)
    store.put("two", MASKS, VALUES)
    del store
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
    assert verify(path) == []


def test_two_that_close_one_after_the_other_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    one, two = Store(path), Store(path)
    one.put("two", MASKS[:60], VALUES[:60])
    two.put("two", MASKS[60:], VALUES[60:])
    one.close()
    two.close()
    assert verify(path) == []
    assert sql(path, "PRAGMA journal_mode") == [("delete",)]


@pytest.mark.parametrize(
    "claim",
    [
        {"host": "elsewhere", "claimed": time.time() + 1e6},
        {"host": "elsewhere", "claimed": time.time() - LEASE_SECONDS - 60},
        {"host": "elsewhere", "claimed": float("inf")},
        {"host": "elsewhere", "claimed": b"now"},
        {"host": "elsewhere", "claimed": -1.0},
        {"claimed": time.time() + 1e6},
        {"claimed": 0.0},
        {"pid": -1},
        {"pid": 1 << 62},
        {"pid": b"init"},
        {"started": "then"},
        {"host": b"\xff"},
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_is_none(tmp_path: Path, claim: dict[str, object]) -> None:
    path = tmp_path / "a.db"
    with Store(path) as one, Store(path) as two:
        assert one.claim("two", MASKS[:2]).all()
        assert not two.claim("two", MASKS[:2]).any()
        for column, value in claim.items():
            sql(path, f"UPDATE claim SET {column} = ?", value)
        assert two.holders("two", MASKS) == []
        assert two.claim("two", MASKS[:2]).all()


def test_holders_say_who_since_when(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as one, Store(path) as two:
        one.claim("two", MASKS[:3])
        (holder,) = two.holders("two", MASKS)
        assert (holder.owner.pid, holder.n_masks) == (os.getpid(), 3)
        assert abs(holder.since - time.time()) < 60
        sql(path, "UPDATE claim SET host = ?, pid = 77", "evil\x1b[31m[bold] host")
        (holder,) = two.holders("two", MASKS[:2])
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
        assert str(holder) == f"process 77 on evil??31m?bold? (since {since}, 2 masks)"
        assert one.holders("two", MASKS) == []
        assert two.holders("other", MASKS) == []


def test_a_wait_says_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.db"
    game = FunctionGame(lambda rows: rows.sum(axis=1), 20, fingerprint="held")
    monkeypatch.setattr(progress, "SAY_AFTER_SECONDS", 0.0)
    with Store(path) as other:
        other.claim("held", MASKS[:40])
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime())
        polls: list[float] = []

        def sleep(seconds: float) -> None:
            polls.append(seconds)
            if len(polls) == 3:
                other.release()

        monkeypatch.setattr(evaluator_module, "time", replaced(time, sleep=sleep))
        with Evaluator.of(game, store=path, progress=False) as evaluator:
            evaluated = evaluator(MASKS)
    assert evaluated.n_new == 120
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("Waiting for 40 ablations") == 1
    assert f"process {os.getpid()} on " in said
    assert f"(since {since[:10]}" in said
    assert "40 masks)" in said
    with progress.progress_bar(False, np.ones(3), np.zeros(3, dtype=bool)) as bar:
        bar.waiting(2, "process 7 on there (since then, 2 masks)")
        (task,) = bar._progress.tasks
        assert task.description == "waiting for 2 of process 7 on there (since then, 2 masks)"


def test_the_full_disk_of_an_evaluation(tmp_path: Path) -> None:
    """What a full disk refused is told apart from what is stored."""
    masks = every_mask(12)[:4000]
    game = FunctionGame(lambda rows: rows.sum(axis=1), 12, fingerprint="full")
    path = tmp_path / "a.db"
    evaluator = Evaluator.of(game, store=path, batch_size=100, progress=False)
    with evaluator:
        evaluator.store._db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match="disk is full") as caught:
            evaluator(masks)
        n_stored = evaluator.store.count("full")
        assert 0 < n_stored < 4000
        assert len(evaluator.evaluated) == n_stored
    assert caught.value.masks is not None
    assert caught.value.values is not None
    assert len(caught.value.masks) == n_stored + 100
    np.testing.assert_array_equal(caught.value.values, caught.value.masks.sum(axis=1))
    assert (
        f"{n_stored + 100} of 4000 masks are evaluated, 100 of them are not stored; the error "
        "carries their values"
    ) in str(caught.value)
    with Evaluator.of(game, store=path, progress=False) as evaluator:
        evaluated = evaluator(masks)
    assert (evaluated.n_stored, evaluated.n_new) == (n_stored, 4000 - n_stored)


def test_interrupted_on_a_full_disk(tmp_path: Path) -> None:
    """Values that a game hands over with its interruption are not lost if they cannot be stored."""

    def f(rows: BoolArray) -> FloatArray:
        (pages,) = evaluator.store._db.execute("PRAGMA page_count").fetchone()
        evaluator.store._db.execute(f"PRAGMA max_page_count = {pages}")
        interrupt = KeyboardInterrupt()
        interrupt.masks, interrupt.values = rows, rows.sum(axis=1) + 0.0  # type: ignore[attr-defined]
        raise interrupt

    masks = every_mask(12)[:2000]
    game = FunctionGame(f, 12, fingerprint="full")
    with Evaluator.of(game, store=tmp_path / "a.db", batch_size=2000, progress=False) as evaluator:
        with pytest.raises(KeyboardInterrupt) as caught:
            evaluator(masks)
        assert evaluator.store.count("full") == 0
        assert not evaluator.evaluated
    assert len(caught.value.values) == 2000  # type: ignore[attr-defined]
    assert "stored if a store was given but for 2000 of them" in caught.value.__notes__[0]


def test_a_game_row_is_what_its_checksum_says() -> None:
    with Store() as store:
        store.register("two", 20, {"note": "é"})
        store.put("two", MASKS, VALUES)
        (entry,) = entries(store._db, SCHEMA_VERSION)
        assert entry.wrong() is None
        for change in ({"fingerprint": "one"}, {"n_outputs": 3}, {"updated": entry.updated + 1}):
            assert replace(entry, **change).wrong() == "its entry does not fit its checksum"
