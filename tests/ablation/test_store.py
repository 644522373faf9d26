from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from interplay import StoreError
from interplay.ablation import claims as claims_module
from interplay.ablation import database
from interplay.ablation.claims import LEASE_SECONDS
from interplay.ablation.schema import SCHEMA_VERSION
from interplay.ablation.soundness import verify
from interplay.ablation.store import Store
from interplay.fourier.masks import keys, uniform
from tests.conftest import replaced

MASKS = uniform(1200, 70, np.random.default_rng(0))
VALUES = np.random.default_rng(1).normal(size=len(MASKS))

VERSION_1 = """
CREATE TABLE game (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    n_players INTEGER NOT NULL,
    n_outputs INTEGER NOT NULL  -- 0: one number per mask; k: a row of k numbers
);
CREATE TABLE ablation (
    game INTEGER NOT NULL REFERENCES game (id),
    mask BLOB NOT NULL,    -- packed bits, little-endian
    value BLOB NOT NULL,   -- little-endian float64
    PRIMARY KEY (game, mask)
) WITHOUT ROWID;
PRAGMA application_id = 27781402;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


def fork(work: Callable[[], None]) -> int:
    """Run work in a forked child, which exits with 0, or 1 where it raises."""
    with warnings.catch_warnings():
        # later Pythons warn of the threads of numerical libraries, which the child leaves alone
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sql(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(statement, values).fetchall()


def version_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO game VALUES (4, 'one', 70, 0), (9, 'three', 70, 3)")
        for game, values in ((4, VALUES[:600, None]), (9, VALUES[:1200].reshape(400, 3))):
            rows = zip(keys(MASKS), values, strict=False)
            db.executemany(
                "INSERT INTO ablation VALUES (?, ?, ?)",
                ((game, key, row.astype("<f8").tobytes()) for key, row in rows),
            )
        db.commit()


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
        with pytest.raises(StoreError, match=r"holds 70 players .* but the game has 9;"):
            store.register("game", 9)
        with pytest.raises(StoreError, match="holds 70 players"):
            store.claim("game", MASKS[:1, :9])
        with pytest.raises(StoreError, match="holds 0 outputs per mask"):
            store.put("game", MASKS[1:2], np.array([[1.0, 2.0]]))
        assert store.count("game") == 1


def test_a_registered_game_takes_the_outputs_that_come_first(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    began = time.time()
    with Store(path) as store:
        store.register("game", 70)
        store.register("game", 70, {"model": "é"})
        store.register("game", 70, {"model": "later"})
        assert store.get("game", MASKS[:3])[0].tolist() == [False] * 3
        assert store.count("game") == 0
        store.put("game", MASKS[:0], np.zeros(0))
        store.put("game", MASKS[:2], np.ones((2, 5)))
        assert store.get("game", MASKS[:3])[1].shape == (2, 5)
        with pytest.raises(StoreError, match=r"holds 5 outputs .* but 0 came"):
            store.put("game", MASKS[2:3], np.ones(1))
        with pytest.raises(ValueError, match="description of the game 'game' is not JSON"):
            store.register("game", 70, {"model": object()})
    ((text, created, updated),) = sql(path, "SELECT description, created, updated FROM game")
    assert text == '{"model": "\\u00e9"}'
    assert began <= float(str(created)) < float(str(updated)) <= time.time()


def test_a_store_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    version_1(path)
    for _ in range(2):
        with Store(path) as store:
            np.testing.assert_array_equal(store.get("one", MASKS)[1], VALUES[:600])
            np.testing.assert_array_equal(store.get("three", MASKS)[1], VALUES.reshape(400, 3))
            assert store.claim("one", MASKS[598:602]).tolist() == [False, False, True, True]
    assert verify(path) == []
    assert sql(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    (columns,) = sql(path, "SELECT sql FROM sqlite_master WHERE name = 'ablation'")
    assert "REFERENCES game (id)" in str(columns[0])


def test_a_broken_migration_leaves_version_1(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    version_1(path)
    sql(path, "CREATE TABLE claim (x)")  # in the way of the new one, which is made last
    with pytest.raises(StoreError, match="table claim already exists"):
        Store(path)
    assert sql(path, "PRAGMA user_version") == [(1,)]
    assert sql(path, "SELECT count(*) FROM ablation JOIN game ON game = id") == [(1000,)]


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, SCHEMA_VERSION + 6])
def test_a_store_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    sql(path, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=rf"has schema version {version}, but this"):
        Store(path)
    assert sql(path, "PRAGMA user_version") == [(version,)]


def test_files_that_are_no_store(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="file is not a database; the file is not a store; give"):
        Store(text)
    other = tmp_path / "other.db"
    sql(other, "CREATE TABLE t (x)")
    before = other.read_bytes()
    with pytest.raises(StoreError, match="is an SQLite file but not a store"):
        Store(other)
    assert other.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda path: None, version_1], ids=["new", "version 1"])
def test_many_processes_open_one_file_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}" / "a?b#c %20.db"  # a name that an URI must quote
        path.parent.mkdir()
        make(path)
        waiting, go = os.pipe()

        def work(path: Path = path, waiting: int = waiting, go: int = go) -> None:
            os.close(go)
            os.read(waiting, 1)  # returns in all children when the parent closes its end
            with Store(path) as store:
                store.put("one", MASKS[:1], VALUES[:1])

        children = [fork(work) for _ in range(6)]
        os.close(waiting)
        os.close(go)
        codes = [exit_code(child) for child in children]
        assert codes == [0] * 6
        assert verify(path) == []
        assert sql(path, "PRAGMA journal_mode") == [("delete",)]
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_opening_waits_for_one_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    sql(path, "PRAGMA journal_mode = DELETE")  # as between the making of a file and its log
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE game SET n_players = 1")
        waited: list[float] = []

        def commit(seconds: float) -> None:
            waited.append(seconds)
            other.commit()

        monkeypatch.setattr(database, "time", replaced(time, sleep=commit))
        with Store(path) as store:
            store.put("game", MASKS[:1], VALUES[:1])
    assert len(waited) == 1
    assert sql(path, "PRAGMA journal_mode") == [("delete",)]


def test_no_two_stores_are_given_one_mask(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as one, Store(tmp_path / "a.db") as two:
        assert one.claim("game", MASKS[:700]).all()
        assert one.claim("game", MASKS[:2]).all(), "what is claimed already is still its own"
        assert two.claim("game", MASKS[600:800]).tolist() == [False] * 100 + [True] * 100
        assert two.claim("other", MASKS[:1]).all(), "a claim is for one game"
        one.put("game", MASKS[:650], VALUES[:650])
        assert two.claim("game", MASKS[640:660]).sum() == 0
        assert one.claim("game", MASKS[640:660]).tolist() == [False] * 10 + [True] * 10
        one.release()
        assert two.claim("game", MASKS[640:660]).tolist() == [False] * 10 + [True] * 10
        two.close()
        assert one.claim("game", MASKS[650:800]).all(), "closing releases"


def test_claims_end_with_the_values(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as one, Store(path) as two:
        one.claim("game", MASKS[:10])
        two.put("game", MASKS[:4], VALUES[:4])
        assert sql(path, "SELECT count(*) FROM claim") == [(6,)]
        one.put("game", MASKS[:10], -VALUES[:10])
        assert sql(path, "SELECT count(*) FROM claim") == [(0,)]
        np.testing.assert_array_equal(one.get("game", MASKS[:4])[1], VALUES[:4])


def test_claims_in_memory() -> None:
    with Store() as one, Store() as two:
        assert one.claim("game", MASKS[:3]).all()
        assert two.claim("game", MASKS[:3]).all()
        one.put("game", MASKS[:1], VALUES[:1])
        assert one.claim("game", MASKS[:3]).tolist() == [False, True, True]


@pytest.mark.parametrize("reaped", [True, False])
def test_the_claims_of_a_killed_process_are_taken_over(tmp_path: Path, reaped: bool) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    reading, writing = os.pipe()

    def work() -> None:
        store = Store(path)
        store.claim("game", MASKS[:5])
        os.write(writing, b"claimed")
        signal.pause()

    child = fork(work)
    assert os.read(reading, 7) == b"claimed"
    with Store(path) as store:
        assert store.claim("game", MASKS[:7]).tolist() == [False] * 5 + [True] * 2
        os.kill(child, signal.SIGKILL)
        if reaped:
            os.waitpid(child, 0)
        else:
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
        assert store.claim("game", MASKS[:7]).all()
    if not reaped:
        os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def test_a_process_id_that_came_back_is_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as one, Store(path) as two:
        one.claim("game", MASKS[:2])
        sql(path, "UPDATE claim SET started = started - 60, pid = ?", os.getppid())
        assert two.claim("game", MASKS[:2]).all()


def test_a_store_that_was_not_closed_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as one, Store(path) as two:
        one.claim("game", MASKS[:2])
        claims = sql(path, "SELECT * FROM claim")
        one.close()
        for claim in claims:  # as if the disk had been full when they were to be removed
            sql(path, "INSERT INTO claim VALUES (?, ?, ?, ?, ?, ?, ?)", *claim)
        assert two.claim("game", MASKS[:2]).all()


def test_another_host_is_believed_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "a.db", time.time()
    monkeypatch.setattr(claims_module, "time", replaced(time, time=lambda: now))
    with Store(path) as one, Store(path) as two:
        one.claim("game", MASKS[:2])
        age = LEASE_SECONDS - 30
        sql(path, "UPDATE claim SET host = 'elsewhere', pid = 1, claimed = claimed - ?", age)
        assert not two.claim("game", MASKS[:2]).any()
        sql(path, "UPDATE claim SET claimed = claimed - 60")
        assert two.claim("game", MASKS[:2]).all()
        assert not one.claim("game", MASKS[:2]).any()


def test_processes_share_the_masks_out(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    masks = MASKS[:400]
    waiting, go = os.pipe()

    def work(number: int) -> None:
        os.close(go)
        os.read(waiting, 1)
        order = np.random.default_rng(number).permutation(len(masks))
        with Store(path) as store:
            for rows in order.reshape(-1, 8):
                mine = rows[store.claim("game", masks[rows])]
                time.sleep(0.001)  # the evaluation, in which the others come for the same masks
                store.put("game", masks[mine], np.full(len(mine), float(number)))
                (tmp_path / f"{number} is here").touch()
                while len(list(tmp_path.glob("* is here"))) < 4:  # each has had its first
                    time.sleep(0.001)
                with (tmp_path / f"{number}").open("a") as file:
                    file.write("".join(f"{row}\n" for row in mine))

    children = [fork(partial(work, number)) for number in range(4)]
    os.close(waiting)
    os.close(go)
    codes = [exit_code(child) for child in children]
    assert codes == [0] * 4
    shares = [
        [int(row) for row in (tmp_path / f"{number}").read_text().split()] for number in range(4)
    ]
    assert sorted(itertools.chain(*shares)) == list(range(400)), "each mask went to one process"
    assert all(shares), "a process had none"
    with Store(path) as store:
        found, values = store.get("game", masks)
        assert found.all()
        for number, rows in enumerate(shares):
            assert (values[rows] == number).all()
    assert sql(path, "SELECT count(*) FROM claim") == [(0,)]


def test_a_store_does_not_cross_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:

        def work() -> None:
            with pytest.raises(StoreError, match="cannot be used in its fork"):
                store.count("game")
            with pytest.raises(StoreError, match="close it before the fork"):
                Store(path)
            with Store(tmp_path / "b.db") as other:
                other.put("game", MASKS[:1], VALUES[:1])

        assert exit_code(fork(work)) == 0
        store.put("game", MASKS[:1], VALUES[:1])


def test_a_locked_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.05)
    path = tmp_path / "a.db"
    with Store(path) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"a\.db: database is locked; another process"):
            store.put("game", MASKS[:1], VALUES[:1])
        other.rollback()
        store.put("game", MASKS[:1], VALUES[:1])


def test_values_of_the_wrong_length_change_nothing() -> None:
    with Store() as store:
        store.put("game", MASKS[:1], VALUES[:1])
        with pytest.raises(ValueError, match="zip"):
            store.put("game", MASKS[1:9], VALUES[1:5])
        assert store.count("game") == 1


def fill(store: Store) -> None:
    for start in range(0, len(MASKS), 10):
        rows = slice(start, start + 10)
        store.claim("game", MASKS[rows])
        store.put("game", MASKS[rows], VALUES[rows])


def check_full(store: Store) -> int:
    """Fill the store up; what went in before stays readable. Returns how many masks did."""
    with pytest.raises(StoreError, match="disk is full; what was stored before is still there"):
        fill(store)
    n_stored = store.count("game")
    assert n_stored >= 10
    found, values = store.get("game", MASKS)
    assert found.tolist() == [True] * n_stored + [False] * (len(MASKS) - n_stored)
    np.testing.assert_array_equal(values, VALUES[:n_stored])
    return n_stored


def test_a_full_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:
        store._db.execute("PRAGMA max_page_count = 12")
        n_stored = check_full(store)
    assert verify(path) == []
    with Store(path) as store:  # without the limit, as with space again
        assert store.count("game") == n_stored
        assert store.claim("game", MASKS[n_stored:]).all()
        store.put("game", MASKS, VALUES)
        np.testing.assert_array_equal(store.get("game", MASKS)[1], VALUES)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no command to mount a small disk: {error}")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        path = disk / "a.db"
        (disk / "ballast").write_bytes(b"\0" * 16_384)
        with Store(path) as store:
            n_stored = check_full(store)
        with Store(path) as store:
            assert store.count("game") == n_stored
        (disk / "ballast").unlink()
        assert verify(path) == []
        with Store(path) as store:
            assert store.claim("game", MASKS[n_stored:][:5]).all()
            store.put("game", MASKS[n_stored:][:5], VALUES[n_stored:][:5])
            np.testing.assert_array_equal(store.get("game", MASKS)[1], VALUES[: n_stored + 5])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
@pytest.mark.parametrize("path", ["/proc/a.db", "/proc/none/a.db", "/proc/version/a.db"])
def test_a_folder_that_cannot_be_written(path: str) -> None:
    with pytest.raises(StoreError, match=f"the store {path}: .*; .*give another path"):
        Store(path)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_that_may_only_be_read(tmp_path: Path, what: str) -> None:
    path = tmp_path / "folder" / "a.db"
    with Store(path) as store:
        store.put("game", MASKS[:5], VALUES[:5])
    for place in (path, path.parent):
        place.chmod(0o777)
    (path if what == "file" else path.parent).chmod(0o555)
    message = tmp_path / "message"
    message.touch()
    message.chmod(0o666)

    def work() -> None:
        if os.getuid() == 0:  # root may write what is read-only
            for folder in (tmp_path, *tmp_path.parents[:3]):
                folder.chmod(folder.stat().st_mode | 0o111)
            os.setgid(65534)
            os.setuid(65534)
        try:
            with Store(path) as store:
                store.put("game", MASKS[5:6], VALUES[5:6])
        except StoreError as error:
            message.write_text(str(error))

    assert exit_code(fork(work)) == 0
    assert "a.db: " in message.read_text()
    assert "must" in message.read_text()
    assert "be writable" in message.read_text()
    path.parent.chmod(0o777)
    with Store(path) as store:
        assert store.count("game") == 5


def test_closing_what_is_gone_is_quiet(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = Store(path)
    store.claim("game", MASKS[:3])
    sql(path, "DROP TABLE claim")
    with pytest.raises(StoreError, match="no such table: claim"):
        store.release()
    store.close()
    store.close()


def test_threads_open_and_close_stores_meanwhile() -> None:
    """As a server does: one thread evaluates, others read what is stored."""
    others = [Store() for _ in range(300)]  # so that looking at all of them takes a while
    failures: list[BaseException] = []
    go_on = threading.Event()
    go_on.set()

    def work() -> None:
        try:
            while go_on.is_set():
                with Store() as store:
                    assert store._owner.is_alive()
                assert not store._owner.is_alive()
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        go_on.clear()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
        for store in others:
            store.close()
    assert failures == []
