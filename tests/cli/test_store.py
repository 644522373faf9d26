from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from interplay import StoreError
from interplay.ablation.maintenance import export, games, prunable, prune
from interplay.ablation.rows import entries
from interplay.ablation.schema import SCHEMA_VERSION
from interplay.ablation.soundness import verify
from interplay.ablation.store import Store
from interplay.cli.store import store_app
from interplay.fourier.masks import keys, uniform
from tests.ablation.test_store import version_1

DAY = 86_400
BEGAN = time.time()
MASKS = uniform(5000, 21, np.random.default_rng(0))
VALUES = np.random.default_rng(1).normal(size=(5000, 2))


def sql(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


def age(path: Path, fingerprint: str, seconds: float) -> None:
    """As if a game's values had been stored so long ago."""
    with closing(sqlite3.connect(path)) as db, db:
        (entry,) = entries(db, SCHEMA_VERSION, "WHERE fingerprint = ?", fingerprint)
        entry = replace(entry, updated=entry.updated - seconds).with_checksum()
        db.execute(
            "UPDATE game SET updated = ?, checksum = ? WHERE id = ?",
            (entry.updated, entry.checksum, entry.id),
        )


def run(*arguments: object, code: int = 0, answer: str = "") -> str:
    done = CliRunner(env={"COLUMNS": "160"}).invoke(store_app, [*map(str, arguments)], input=answer)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three games: of 5,000 ablations with two outputs, of 3 with one, and without any."""
    path = tmp_path / "a.db"
    with Store(path) as store:
        store.register("sha-aaaa1", 21, {"model": "[bold]m[/bold]", "note": "two\nlines"})
        store.put("sha-aaaa1", MASKS, VALUES)
        store.put("sha-aaaa2", MASKS[:3, :16], VALUES[:3, 0])
        store.register("sha-b", 4)
    age(path, "sha-aaaa2", 10 * DAY)
    return path


def test_games(path: Path) -> None:
    one, two, three = games(path)
    assert (one.fingerprint, one.n_players, one.n_outputs, one.n_ablations) == (
        "sha-aaaa1", 21, 2, 5000,
    )  # fmt: skip
    assert one.description == {"model": "[bold]m[/bold]", "note": "two\nlines"}
    assert BEGAN <= one.updated <= time.time()
    assert BEGAN <= two.updated + 10 * DAY <= time.time()
    assert (two.n_outputs, two.n_ablations, two.description) == (0, 3, {})
    assert (three.n_outputs, three.n_ablations) == (None, 0)


@pytest.mark.parametrize(
    "use",
    [
        games,
        verify,
        lambda path: export(path, None, path.with_suffix(".npz")),
        lambda path: prune(path, older_than_days=0),
        lambda path: prunable(path, older_than_days=0),
    ],
)
def test_a_missing_file_is_not_made(tmp_path: Path, use: Callable[[Path], object]) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        use(tmp_path / "none" / "a.db")
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StoreError, match="is an empty file and not a store"):
        use(empty)
    text = tmp_path / "text"
    text.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        use(text)
    assert sorted(tmp_path.iterdir()) == [empty, text]
    assert empty.stat().st_size == 0


def test_a_sound_store_has_no_problems(path: Path) -> None:
    before = path.read_bytes()
    assert verify(path) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "value", "problem"),
    [
        ("UPDATE ablation SET value = ? WHERE game = 1 AND mask = {0}", b"1234567", "16 bytes"),
        ("UPDATE ablation SET value = ? WHERE game = 2", np.ones(2).tobytes(), "8 bytes of 1 out"),
        ("UPDATE ablation SET value = ? WHERE mask = {0}", "text", "not the 16 bytes"),
        ("UPDATE ablation SET value = ? WHERE mask = {0}", np.array([1, np.nan]).tobytes(),
         "1 ablations have a value that is not finite"),
        ("UPDATE ablation SET value = ? WHERE mask = {0}", np.array([np.inf, 1]).tobytes(),
         "not finite"),
        ("UPDATE ablation SET mask = ? WHERE mask = {0}", b"12", "not the 3 bytes of 21 players"),
        ("UPDATE ablation SET mask = ? WHERE mask = {0}", b"\0\0\x20", "beyond the 21 players"),
        ("UPDATE ablation SET game = ? WHERE game = 2", 77, "3 rows of the table ablation belong"),
        ("UPDATE game SET n_outputs = ? WHERE id = 2", None, "has no number of outputs"),
        ("UPDATE game SET description = ? WHERE id = 2", "{", "is not a JSON object"),
        ("UPDATE game SET description = ? WHERE id = 2", "[" * 9999, "is not a JSON object"),
        ("UPDATE game SET description = ? WHERE id = 2", '{"a": 1}', "does not fit its checksum"),
        ("UPDATE game SET updated = ? WHERE id = 2", 9e999, "its times are none from 1970"),
        ("UPDATE game SET n_players = ? WHERE id = 2", 1 << 60, "is none from 0 to 1000000"),
        ("UPDATE game SET n_players = ? WHERE id = 2", "many", "players 'many' is none"),
        ("UPDATE ablation SET value = ? WHERE mask = {0}", np.ones(2).tobytes(),
         "1 ablations do not fit their checksum"),
        ("UPDATE ablation SET checksum = ? WHERE mask = {0}", b"12345678", "their checksum"),
    ],
)  # fmt: skip
def test_contradictions_are_found(path: Path, statement: str, value: object, problem: str) -> None:
    sql(path, statement.format(f"X'{keys(MASKS)[4321].hex()}'"), value)
    problems = verify(path)
    assert problem in problems[-1]
    # what is wrong in a game's own row is told of the row too
    assert len(problems) == 1 + ("n_outputs" in statement)


def test_a_damaged_file_is_found(path: Path) -> None:
    sound = path.read_bytes()
    middle = len(sound) // 2
    path.write_bytes(sound[:middle] + b"\xff" * 5000 + sound[middle + 5000 :])
    assert any("malformed" in line or "integrity" in line for line in verify(path))
    path.write_bytes(sound[: middle // 4096 * 4096])
    assert verify(path) != []
    assert "problem in" in run("verify", path, code=1)


def test_export_to_arrays(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.npz"
    assert export(path, "sha-aaaa1", out).n_ablations == 5000
    with np.load(out, allow_pickle=False) as found:
        assert found["masks"].dtype == bool
        order = np.argsort(keys(MASKS))
        np.testing.assert_array_equal(found["masks"], MASKS[order])
        np.testing.assert_array_equal(found["values"], VALUES[order])
        assert str(found["fingerprint"]) == "sha-aaaa1"
        assert json.loads(str(found["description"])) == games(path)[0].description
    export(path, "sha-b", out)
    with np.load(out, allow_pickle=False) as found:
        assert (found["masks"].shape, found["values"].shape) == ((0, 4), (0,))
    assert [file.name for file in out.parent.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("game", "players", "values", "header"),
    [("sha-aaaa1", 21, VALUES, "value_0,value_1"), ("sha-aaaa2", 16, VALUES[:3, :1], "value")],
)
def test_export_to_text(
    path: Path, tmp_path: Path, game: str, players: int, values: Any, header: str
) -> None:
    out = tmp_path / "a.csv"
    export(path, game, out)
    lines = out.read_text().splitlines()
    assert lines[0] == ",".join(f"player_{i}" for i in range(players)) + "," + header
    table = np.loadtxt(lines[1:], delimiter=",")
    masks = MASKS[: len(values), :players]
    order = np.argsort(keys(masks))
    np.testing.assert_array_equal(table[:, :players], masks[order])
    np.testing.assert_array_equal(table[:, players:], values[order])


def test_export_asks_for_one_game_and_a_known_form(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in '\.pkl'; give a name in \.npz or \.csv"):
        export(path, "sha-b", tmp_path / "a.pkl")
    with pytest.raises(StoreError, match=r"fits 2 games(.|\n)*aaaa1 \(5000 ablations\)\n.*aaaa2"):
        export(path, "sha-aaaa", tmp_path / "a.npz")
    with pytest.raises(StoreError, match=r"'x' fits 0 games of the store(.|\n)*sha-aaaa1(.|\n)*b"):
        export(path, "x", tmp_path / "a.npz")
    with pytest.raises(StoreError, match="'' fits 3 games"):
        export(path, None, tmp_path / "a.npz")
    with Store(path) as store:
        store.register("sha", 4)
    assert export(path, "sha", tmp_path / "a.npz").fingerprint == "sha", "a whole name is enough"


def test_an_export_that_fails_leaves_the_file_that_was_there(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    out.write_text("before")
    sql(path, "UPDATE ablation SET value = X'00' WHERE game = 2")
    with pytest.raises(StoreError, match=r"are damaged .*; interplay store verify"):
        export(path, "sha-aaaa2", out)
    assert out.read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.db", "a.npz"]


def test_prune(path: Path) -> None:
    with pytest.raises(ValueError, match="neither a fingerprint nor an age"):
        prune(path)
    with pytest.raises(ValueError, match="older_than_days=-1 is below 0"):
        prune(path, older_than_days=-1)
    with pytest.raises(StoreError, match="fits 2 games"):
        prune(path, "sha-aaaa")
    assert prune(path, "sha-aaaa1", older_than_days=5) == 0
    assert prune(path, older_than_days=11) == 0
    assert [game.n_ablations for game in games(path)] == [5000, 3, 0]
    assert prune(path, older_than_days=9) == 3
    assert [game.fingerprint for game in games(path)] == ["sha-aaaa1", "sha-b"]
    size = path.stat().st_size
    assert prune(path, "sha-aaaa1") == 5000
    assert path.stat().st_size < size / 4
    assert [game.fingerprint for game in games(path)] == ["sha-b"]
    assert verify(path) == []


def test_prune_spares_a_game_that_is_being_evaluated(path: Path) -> None:
    with Store(path) as store:
        store.claim("sha-b", np.ones((1, 4), dtype=bool))
        with pytest.raises(StoreError, match=rf"is being evaluated by process {os.getpid()} on"):
            prune(path, older_than_days=0)
        assert len(games(path)) == 3
        assert prune(path, "sha-aaaa1") == 5000
    assert prune(path, older_than_days=0) == 3
    assert games(path) == []


def test_ls(path: Path) -> None:
    shown = run("ls", path)
    assert "sha-aaaa1 │ 21 │ 2 │ 5,000 │ 20" in shown
    assert "sha-aaaa2 │ 16 │ 1 │ 3 │" in shown
    assert "sha-b │ 4 │ - │ 0 │" in shown
    assert '"[bold]m[/bold]"' in shown
    assert r"two\nlines" in shown
    assert "does not exist" in run("ls", path.with_name("none"), code=2)


def test_ls_tells_long_fingerprints_apart(path: Path) -> None:
    with Store(path) as store:
        store.register("f" * 20 + "1" + "0" * 40, 4, {"text": "x" * 1000})
        store.register("f" * 20 + "2" + "0" * 40, 4)
    shown = run("ls", path)
    assert "f" * 20 + "1 │" in shown
    assert "f" * 20 + "2 │" in shown
    assert shown.count("x") < 100


def test_nothing_of_a_file_steers_the_terminal(path: Path) -> None:
    evil = "\x1b]0;title\x07\x9b31m\u202e[red]"
    with Store(path) as store:
        store.register(evil, 4, {evil: evil})
    sql(path, "UPDATE game SET n_players = 9, description = ? WHERE id = 4", f"{{{evil}")
    for shown in (run("ls", path), run("verify", path, code=1)):
        assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert "[red]': its description is not a JSON object" in shown


def test_a_store_without_checksums_says_so(tmp_path: Path) -> None:
    version_1(tmp_path / "old.db")
    before = (tmp_path / "old.db").read_bytes()
    shown = run("verify", tmp_path / "old.db")
    assert "sound: 1,000 ablations of 2 games" in shown
    assert "whose rows have no checksums" in shown
    assert "three │ 70 │ 3 │ 400 │ 20" in run("ls", tmp_path / "old.db")
    assert len(prunable(tmp_path / "old.db", older_than_days=0)) == 2
    assert prunable(tmp_path / "old.db", older_than_days=1) == []
    assert (tmp_path / "old.db").read_bytes() == before


def test_verify_command(path: Path) -> None:
    assert "sound: 5,003 ablations of 3 games" in run("verify", path)
    sql(path, "UPDATE ablation SET value = X'00' WHERE game = 2")
    shown = run("verify", path, code=1)
    assert "problem: game 'sha-aaaa2': 3 ablations have a value that is not the 8 bytes" in shown
    assert "1 problem in" in shown


def test_export_command(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    with pytest.raises(StoreError, match="fits 3 games"):
        run("export", path, "--out", out)
    assert "3 ablations written to" in run(
        "export", path, "--out", out, "--fingerprint", "sha-aaaa2"
    )
    prune(path, "sha-aaaa2")
    prune(path, "sha-b")
    assert "5,000 ablations written to" in run("export", path, "--out", out)
    assert len(out.read_text().splitlines()) == 5001


def test_prune_command(path: Path) -> None:
    with pytest.raises(ValueError, match="neither a fingerprint nor an age"):
        run("prune", path)
    assert "nothing to prune" in run("prune", path, "--older-than", 11)
    asked = run("prune", path, "--fingerprint", "sha-aaaa1", answer="n\n", code=1)
    assert "Remove 5,000 ablations of 1 game for good?" in asked
    assert "sha-aaaa1" in asked
    assert len(games(path)) == 3
    assert "3 ablations removed" in run("prune", path, "--older-than", 9, answer="y\n")
    shown = run("prune", path, "--older-than", 0, "--yes")
    assert "5,000 ablations removed" in shown
    assert "Remove" not in shown
    assert games(path) == []
