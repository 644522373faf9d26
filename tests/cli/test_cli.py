from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from tests.conftest import planted


def run(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "interplay.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**__import__("os").environ, "COLUMNS": "160"},
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", [(), ("demo",), ("text",), ("show",)])
def test_help(command: tuple[str, ...]) -> None:
    out = run(*command, "--help")
    assert "Usage" in out


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    truth = planted(12, 5, np.random.default_rng(0), max_order=2)
    game = ip.FunctionGame(truth.predict, 12, players=[f"[word {i}]" for i in range(12)])
    return ip.explain(game, budget=300).save(
        tmp_path_factory.mktemp("cli") / "explanation.interplay"
    )


def test_show(saved: Path) -> None:
    out = run("show", saved.parent, "--index", "SII", "--order", 2, "--top", 3)
    assert "Strongest interactions (SII, order 2)" in out
    assert "[word " in out
    assert "Held-out faithfulness: R2 = " in out
    assert run("show", saved, "--index", "SII", "--order", 2, "--top", 3) == out


def test_errors_are_one_line(saved: Path, tmp_path: Path) -> None:
    assert "error: index='SHAP' is unknown" in run("show", saved, "--index", "SHAP", code=2)
    junk = tmp_path / "junk"
    junk.write_text("junk")
    assert "is not a saved explanation" in run("show", junk, code=2)
    assert "does not exist" in run("show", tmp_path / "none", code=2)


@pytest.mark.model
def test_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Anna has the red key. It rains. The key opens the garden door. Ben sleeps.\n")
    arguments = (
        "text", "--model", "smollm2", "--file", text, "--by", "sentence", "--question",
        "Therefore: The red key opens the", "--response", " garden", "--target", "prob",
        "--budget", 16, "--threads", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    first = run(*arguments)
    assert "4 players by sentence" in first
    assert "16 evaluated, 0 from the store" in first
    assert "The budget covers all 2^n masks, so that proxyspex was not needed." in first
    assert "0 evaluated, 16 from the store" in run(*arguments)
    assert (tmp_path / "out" / "explanation.html").stat().st_size > 4000
    shown = run("show", tmp_path / "out", "--index", "SV", "--order", 1)
    assert "The key opens the garden door." in shown


@pytest.mark.model
def test_text_refuses_bad_input(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("A b c d e f g h i j k l m n.")
    base = ("text", "--model", "smollm2", "--file", text, "--by", "word", "--out", tmp_path / "out")
    out = run(*base, "--response", " x", "--question", "So", "--budget", 12, code=2)
    assert "error: budget=12 leaves 2 ablations for the fit" in out
    assert "needs two answers" in run(*base, "--target", "logit-difference", code=2)
    empty = tmp_path / "empty.txt"
    empty.write_text(" ")
    assert "is empty; give a text" in run(
        "text", "--model", "smollm2", "--file", empty, "--response", " x", code=2
    )
