"""``interplay training`` on tables and on a folder of images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import interplay as ip
from tests.cli.test_cli import run


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


def test_a_table_with_groups(table: Path, tmp_path: Path) -> None:
    given = ("training", "--table", table, "--label", "digit", "--group", "source")
    given = (*given, "--points", 3, "--budget", 200, "--out", tmp_path / "out")
    said = run(*given, "--remove", 2)
    assert "10 players of 147 rows, 3 test points" in said
    assert "LDS of the spectrum: " in said
    assert "redundancies, mixed classes: " in said
    assert "Without the players that hurt most" in said
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    assert explanation.players == tuple(f"s{n}" for n in range(10))
    assert "(200 made, 0 from the store)" in said
    assert "(0 made, 200 from the store)" in run(*given)
    assert "--out" in run(*given, "--score", "loss", code=2)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label", "class"), "has no column 'class'; it has p0, p1"),
        (("--label", "digit"), "'s0' in column 'source' is no number"),
        (("--label", "digit", "--group", "source", "--players", "5"), "choose one of them"),
        (("--label", "digit", "--group", "source", "--trainer", "tree"), "--trainer tree is"),
        (("--label", "digit", "--group", "source", "--points", "150"), "takes all 150 rows"),
        (("--label", "digit", "--group", "source", "--points", "0"), "--points 0 is below 1"),
        (("--label", "digit", "--group", "source", "--score", "auc"), "score='auc' is unknown"),
    ],
)
def test_bad_options_are_one_line(
    table: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in run("training", "--table", table, *options, "--out", tmp_path, code=2)
