"""The verdict on the console, and the exit status of ``--fail-under``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.cli.status import EXIT_BELOW
from interplay.explanation.explanation import Explanation
from interplay.fourier.masks import keys
from tests.cli.running import run

N = 12
WEIGHTS = np.linspace(-1.0, 2.0, N)


def f(masks: BoolArray) -> FloatArray:
    unpredictable = [int.from_bytes(key, "little") * 2654435761 % 10007 for key in keys(masks)]
    return masks @ WEIGHTS + 2.0 * (masks[:, 0] & masks[:, 1]) + np.array(unpredictable) / 1e5


@pytest.fixture(scope="module")
def good() -> Explanation:
    return ip.explain(ip.FunctionGame(f, N), decoder="gp", budget=300)


def saved(explanation: Explanation, folder: Path, **score: object) -> Path:
    changed = replace(explanation.faithfulness, **score)  # type: ignore[arg-type]
    return replace(explanation, faithfulness=changed).save(folder / "a.interplay")


def test_the_verdict_comes_first_and_tables_have_findings(
    good: Explanation, tmp_path: Path
) -> None:
    path = saved(good, tmp_path)
    printed = run("show", path, "--order", 2)
    assert printed.startswith("Usable. It predicts 9")
    interactions = good.interactions("FSII", order=2)
    shown, left_out = good.verdict.strongest(interactions, 10, min_order=2)
    assert (0, 1) in shown.sets
    assert left_out > 30
    assert f"{left_out} interactions are not distinguishable from zero and left out" in " ".join(
        printed.split()
    )
    assert "(zero?)" not in printed
    assert "(zero?)" in run("show", path, "--all", "--top", 60, "--order", 2)


def test_below_chance_prints_no_table(good: Explanation, tmp_path: Path) -> None:
    path = saved(good, tmp_path, r2=-3.6, low=-9.0, high=-0.1, by_output=(-3.6,))
    printed = run("show", path, "--order", 2)
    assert printed.startswith(
        "Not usable. It predicts held-out ablations no better than their mean"
    )
    assert "below_chance: " in printed
    assert "Strongest" not in printed
    assert "No interactions to report: " in printed
    assert "No single players to report: " in printed
    everything = run("show", path, "--all", "--order", 2)
    assert "No findings, but fitted: interactions" in everything
    assert "Strongest" not in everything


@pytest.mark.parametrize(
    ("score", "code"),
    [
        ({"r2": 0.95, "low": 0.8}, 0),
        ({"r2": 0.95, "low": 0.79}, EXIT_BELOW),
        ({"r2": -3.6, "low": -9.0}, EXIT_BELOW),
        ({"r2": np.nan, "low": np.nan, "high": np.nan, "varies": False}, EXIT_BELOW),
    ],
)
def test_fail_under(good: Explanation, tmp_path: Path, score: dict[str, float], code: int) -> None:
    path = saved(good, tmp_path, **score, by_output=(score["r2"],))
    printed = run("show", path, "--fail-under", 0.8, code=code)
    assert ("--fail-under 0.8: the lower end of R2's interval is" in printed) == (code != 0)
    run("show", path)
    assert EXIT_BELOW == 4  # as documented


def test_a_training_run_writes_everything_before_it_fails(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["a,b,label"]
    for _ in range(40):
        a, b = rng.normal(size=2)
        lines.append(f"{a:.3f},{b:.3f},{'yes' if a + b + rng.normal() > 0 else 'no'}")
    table = tmp_path / "rows.csv"
    table.write_text("\n".join(lines))
    printed = run(
        "training", "--table", table, "--label", "label", "--players", 8, "--trainer", "ridge",
        "--points", 4, "--budget", 40, "--fail-under", 1.0, "--out", tmp_path / "out",
        code=EXIT_BELOW,
    )  # fmt: skip
    assert "page: " in printed
    assert (tmp_path / "out" / "explanation.interplay").exists()
    assert (tmp_path / "out" / "explanation.html").exists()
