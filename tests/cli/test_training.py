"""``interplay training`` on tables and on a folder of images."""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import interplay as ip
from interplay.cli.rows import read_rows
from tests.cli.running import run


def written(path: Path, header: list[str], rows: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, labels = load_digits(n_class=3, return_X_y=True)
    header = [*(f"p{n}" for n in range(64)), "digit", "source"]
    rows = (
        [*image / 16, f"d{label}", f"s{n % 10}"]
        for n, (image, label) in enumerate(zip(images[:150], labels, strict=False))
    )
    return written(tmp_path_factory.mktemp("training") / "digits.csv", header, rows)


@pytest.mark.slow
def test_a_table_with_groups(table: Path, tmp_path: Path) -> None:
    given = ("training", "--table", table, "--label", "digit", "--group", "source")
    given = (*given, "--points", 3, "--budget", 200, "--out", tmp_path / "out", "--point", 1)
    said = run(*given, "--remove", 2)
    assert "10 players of 147 rows, 3 test points" in said
    assert "LDS (rank correlation" in said
    assert "pairs: redundancies, mixed classes" in said
    assert "Mean score without the players that hurt most" in said
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    assert explanation.players == tuple(f"s{n}" for n in range(10))
    assert "(200 evaluated, 0 from the store)" in said
    assert "(0 evaluated, 200 from the store)" in run(*given)
    told = explanation.provenance["game"]["description"]
    assert all(name in said for name in told["test_points"][1:2])
    assert told["test_points"][1] in run("show", tmp_path / "out", "--point", 1)
    assert "--out" in run(*given, "--score", "loss", code=2)


@pytest.mark.slow
def test_until_it_is_good_enough(table: Path, tmp_path: Path) -> None:
    given = ("training", "--table", table, "--label", "digit", "--group", "source", "--points", 2)
    said = run(*given, "--until", 0.5, "--out", tmp_path / "out")
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    until = explanation.provenance["until"]
    assert until["stopped_since"] == "the goal was reached"
    assert "Stopped since the goal was reached; the goal was a cross-validated R2 of 0.5" in said
    assert f"{until['steps'][0]['ablations']}: {until['steps'][0]['cv_r2']:.3f}" in said
    assert explanation.provenance["budget"]["spent"] < 1024
    wrong = run(*given, "--until", 1.5, "--out", tmp_path / "other", code=2)
    assert "until=1.5 is not an R2 in (0, 1]" in wrong


def test_images_and_a_file_of_test_points(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    images, labels = load_digits(n_class=2, return_X_y=True)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(60):
        grey = np.uint8(images[number].reshape(8, 8) * 15)
        image.fromarray(grey).save(folder / f"{number}.png")
    rows = [[f"{n}.png", labels[n]] for n in range(60)]
    train = written(tmp_path / "train.csv", ["file", "class"], rows[:50])
    test = written(tmp_path / "test.csv", ["file", "class"], rows[50:])
    said = run(
        *("training", "--table", train, "--images", folder, "--label", "class", "--test", test),
        *("--players", 6, "--points", 2, "--out", tmp_path / "out"),
    )
    assert "6 players of 50 rows, 2 test points" in said
    assert "R2 = " in said
    told = ip.load(tmp_path / "out" / "explanation.interplay").provenance["game"]["description"]
    assert all(".png (" in name for name in told["test_points"])
    thumbnails = [base64.b64decode(each) for each in told["thumbnails"]]
    assert len(thumbnails) == 6
    assert all(image.open(io.BytesIO(each)).size == (28, 28) for each in thumbnails)


def test_each_row_a_player_with_a_note(tmp_path: Path) -> None:
    rows = [[n % 2, "yes" if n % 2 else "no", f"about {n}"] for n in range(8)]
    train = written(tmp_path / "train.csv", ["size", "class", "text"], rows)
    given = ("training", "--table", train, "--label", "class", "--note", "text", "--points", 2)
    run(*given, "--out", tmp_path / "out")
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    lines = [int(name.removeprefix("line ")) for name in explanation.players]
    told = explanation.provenance["game"]["description"]
    assert told["snippets"] == [f"about {line - 2}" for line in lines]
    judged = {int(name.split()[1]) for name in told["test_points"]}
    assert sorted([*judged, *lines]) == list(range(2, 10))


def test_test_points_are_read_by_the_names_of_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [[x, 1000 * y, "a" if x > 0 else "b"] for x, y in rng.normal(size=(40, 2))]
    train = written(tmp_path / "train.csv", ["x", "y", "class"], rows)
    test = [[label, "not read", y, x] for x, y, label in rows[:4]]
    turned = written(tmp_path / "test.csv", ["class", "source", "y", "x"], test)
    given = ("training", "--table", train, "--label", "class", "--players", 4, "--points", 4)
    run(*given, "--test", turned, "--out", tmp_path / "out")
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    whole = explanation.spectrum.predict(np.ones((1, 4), dtype=bool))
    assert (whole > 0).all()  # x decides, however wide y is
    short = written(tmp_path / "short.csv", ["class", "x"], [["a", 1]])
    said = run(*given, "--test", short, "--out", tmp_path / "other", code=2)
    assert "short.csv has no column 'y'; it has class, x" in said


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["nan", "a", "s"], "line 3: 'nan' in column 'x' is no finite number"),
        (["", "a", "s"], "line 3: '' in column 'x' is no finite number"),
        ([1, "", "s"], "line 3: column 'class' is empty"),
        ([1, "a"], "line 3: column 'source' is empty"),
    ],
)
def test_cells_that_say_nothing_are_named(tmp_path: Path, row: list[Any], message: str) -> None:
    rows = [[1, "a", "s"], row, [2, "b", "t"]]
    table = written(tmp_path / "t.csv", ["x", "class", "source"], rows)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_rows(table, "class", "source")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label", "class"), "has no column 'class'; it has p0, p1"),
        (("--label", "digt"), ", ... (did you mean 'digit'?)"),
        (("--label", "digit"), "'s0' in column 'source' is no finite number"),
        (("--label", "digit", "--group", "source", "--players", "5"), "choose one of them"),
        (("--label", "digit", "--group", "source", "--trainer", "tree"), "--trainer tree is"),
        (("--label", "digit", "--group", "source", "--points", "150"), "takes all 150 rows"),
        (("--label", "digit", "--group", "source", "--points", "0"), "--points 0 is below 1"),
        (("--label", "digit", "--group", "source", "--point", "20"), "--point 20 is not one of"),
        (("--label", "digit", "--group", "source", "--score", "auc"), "score='auc' is unknown"),
    ],
)
def test_bad_options_are_one_line(
    table: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    said = run("training", "--table", table, *options, "--out", tmp_path, code=2)
    assert message in " ".join(said.split())
