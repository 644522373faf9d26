"""``interplay compare``: two runs on the same masks, a gate, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import interplay as ip
from tests.cli.running import run

skops = pytest.importorskip("skops.io")
N = 10


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two models; the second takes more of ``x3`` and is else the first."""
    path = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(N)]
    table = pd.DataFrame(rng.normal(size=(80, N)), columns=names)
    target = (table.sum(axis=1) > 0).astype(int)
    table.to_csv(path / "data.csv", index=False)
    for name in ("old", "new"):
        model = LogisticRegression().fit(table, target)
        if name == "new":
            model.coef_[0, 3] += 1.5
        skops.dump(model, path / f"{name}.skops")
        files = ("--data", path / "data.csv", "--background", path / "data.csv", "--row", 3)
        options = ("--output", "1", "--budget", 120, "--out", path / name)
        run("table", "--model", path / f"{name}.skops", *files, *options)
    return path


def test_what_changed_between_two_runs(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("compare", runs / "old", runs / "new", "--out", out, "--allow-outside")
    explanation = ip.load(out / "explanation.interplay")
    assert explanation.outputs == ("old", "new", "new less old")
    record = json.loads((out / "comparison.json").read_text())
    first = record["changes"][0][0]
    assert first["labels"][0].startswith("x3")
    assert first["confirmed"]
    assert first["labels"][0] in said
    assert "page: " in said
    stored = explanation.provenance["budget"]
    assert stored["limit"] == 120
    audited = run("verify", out, "--sample", 0)
    assert "MISMATCH" not in audited
    assert "MATCH" in audited


def test_the_gate_opens_for_the_same_model_and_not_for_the_other(
    runs: Path, tmp_path: Path
) -> None:
    wanted = tmp_path / "checks.toml"
    wanted.write_text('r2 = 0.5\n[[matters]]\nplayers = ["x3"]\n[unchanged]\nmargin = 0.02\n')
    options = ("--expect", wanted, "--out", tmp_path / "out", "--names", "before", "after")
    said = run("compare", runs / "old", runs / "old", *options)
    assert "same value on every mask" in said
    assert said.count("met: ") == 3
    options = ("--expect", wanted, "--out", tmp_path / "other", "--names", "before", "after")
    said = run("compare", runs / "old", runs / "new", *options, code=4)
    assert "not met: the values agree within 0.02" in said
    margin = ("--margin", 0.02, "--out", tmp_path / "other")
    assert "Different: " in run("compare", runs / "old", runs / "new", *margin, code=4)


def test_no_folder_of_another_run_is_written_over(runs: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (runs / "old").rglob("*") if path.is_file()}
    said = run("compare", runs / "old", runs / "new", "--out", runs / "old", code=2)
    assert "holds the explanation of another game" in said
    assert {path: path.read_bytes() for path in before} == before


def test_what_cannot_be_checked_is_told_before_anything_is_written(
    runs: Path, tmp_path: Path
) -> None:
    wanted, out = tmp_path / "checks.toml", tmp_path / "out"
    for text, message in (
        ('[[matters]]\nplayers = ["x3"]\nat_lest = 9\n', "'at_lest'"),
        ('[[matters]]\nplayers = ["nobody"]\n', "0 players are named"),
        ("[unchanged]\nmargin = nan\n", "margin = nan"),
    ):
        wanted.write_text(text)
        options = ("--expect", wanted, "--out", out)
        assert message in run("compare", runs / "old", runs / "new", *options, code=2)
    options = ("--out", out, "--margin", "nan")
    assert "margin = nan" in run("compare", runs / "old", runs / "new", *options, code=2)
    assert "give two by --names" in " ".join(
        run("compare", runs / "old", runs / "old", "--out", out, code=2).split()
    )
    assert not out.exists() or not list(out.iterdir())


def test_a_run_says_before_it_starts_that_a_player_is_not_there(runs: Path, tmp_path: Path) -> None:
    wanted, out = tmp_path / "checks.toml", tmp_path / "out"
    wanted.write_text('[[matters]]\nplayers = ["nobody"]\n')
    files = ("--data", runs / "data.csv", "--background", runs / "data.csv", "--row", 3)
    options = ("--output", "1", "--budget", 120, "--out", out, "--expect", wanted)
    said = run("table", "--model", runs / "old.skops", *files, *options, code=2)
    assert "0 players are named or contain 'nobody'" in said
    assert not (out / "explanation.interplay").exists()
    assert not (out / "ablations.db").exists()


def test_folders_that_are_no_runs_are_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = run("compare", runs / "old", tmp_path / "empty", code=2)
    assert "holds no explanation" in said
    assert "did you mean" in run("compare", runs / "old", runs / "nww", code=2)
