"""The results of the case study of circuits: its file, its medians, and what it refuses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.components import Comparison, Ranking, compare_circuits

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "case_circuits.py"
N = 20


class Items:
    """Forty items of a margin, an accuracy and a divergence, of which the weights are known."""

    n_players = N
    players = tuple(f"p{n}" for n in range(N))

    def __init__(self, seed: int) -> None:
        self.weights = np.linspace(2, 0.1, N) + np.random.default_rng(seed).normal(size=(40, N)) / 5

    batch_size = 64

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Json:
        return {"scores": ["margin", "correct", "divergence"]}

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        margins = masks @ self.weights.T - 5.0
        return np.stack([margins, margins > 0, (~masks).sum(axis=1)[:, None] + 0 * margins], axis=2)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        return np.asarray(self.item_scores(masks).mean(axis=1))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("case_circuits", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["case_circuits"] = module
    spec.loader.exec_module(module)
    return module


def told(seed: int, *names: str) -> Comparison:
    weights = {"interplay": -np.arange(N), "single": np.arange(N), "random": np.cos(np.arange(N))}
    rankings = {name: Ranking(1.0 * weights[name], 7) for name in names}
    return compare_circuits(Items(seed), rankings)


def draw(script: ModuleType, seed: int, budget: int = 390) -> object:
    return script.Draw("heads", "zero", "bfloat16", 32, 64, budget, "facts", seed)


def test_draws_are_kept_and_replaced(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "draws.csv"
    script.record(path, draw(script, 0), told(0, "single"))
    script.record(path, draw(script, 1), told(1, "single", "interplay"))
    script.record(path, draw(script, 0), told(0, "single", "random", "interplay"))
    script.record(path, draw(script, 0, budget=500), told(0, "single"))
    rows = script.recorded(path)
    assert [(row["budget"], row["seed"], row["method"]) for row in rows] == [
        ("390", "1", "single"),
        ("390", "1", "interplay"),
        ("390", "0", "single"),
        ("390", "0", "random"),
        ("390", "0", "interplay"),
        ("500", "0", "single"),
    ]
    more = told(0, "single", "random", "interplay").difference("interplay", "single", "cpr")
    assert float(rows[2]["interplay less: cpr"]) == pytest.approx(more.value, abs=5e-4)
    assert float(rows[2]["interplay less: cpr high"]) == pytest.approx(more.high, abs=5e-4)
    script.print_medians(rows)
    printed = capsys.readouterr().out
    first, second = printed.split("units heads, ablation zero, dtype bfloat16")[1:]
    values = [told(seed, "interplay").of("interplay").cpr.value for seed in (0, 1)]
    assert f"\ninterplay {np.median(values):22.2f}" in first
    assert "cpr: interplay better than the best other in 2 of 2 draws, beyond chance in 2" in first
    assert first.index("facts, 0: ") < first.index("facts, 1: ")
    assert "better than" not in second


def test_the_results_of_the_case_study_can_be_read(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    script.print_medians(script.recorded(ROOT / "docs" / "case-studies" / "circuits.csv"))
    assert "median of tasks: 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--medians", "nowhere.csv"), "No such file"),
        (("--medians", str(SCRIPT)), "has no column 'units'"),
        (("--budget", "10"), "--budget is 10; --units heads takes at least 86"),
        (("--explain", "1000"), "leaves less than 2 of the 134 items of agreement"),
        (("--workers", "0"), "--workers is 0; give at least 1"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
