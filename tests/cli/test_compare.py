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
    said = run("compare", runs / "old", runs / "new", *options, code=4)
    assert "not met: the values agree within 0.02" in said
    margin = ("--margin", 0.02, "--out", tmp_path / "out")
    assert "Different: " in run("compare", runs / "old", runs / "new", *margin, code=4)


def test_folders_that_are_no_runs_are_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = run("compare", runs / "old", tmp_path / "empty", code=2)
    assert "holds no explanation" in said
    assert "did you mean" in run("compare", runs / "old", runs / "nww", code=2)
