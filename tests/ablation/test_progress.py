"""Progress where there is no terminal: lines now and then, and none that says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.ablation import progress
from interplay.ablation.evaluator import Evaluator

MASKS = np.eye(40, dtype=np.bool_)


def value(masks: BoolArray) -> FloatArray:
    return np.asarray(masks[:, 0] * 1.0)


def evaluated(store: str | None = None, *, shown: bool, masks: BoolArray = MASKS) -> None:
    game = ip.FunctionGame(value, 40, fingerprint="f")
    with Evaluator.of(game, store=store, batch_size=10, progress=shown) as evaluator:
        evaluator(masks)


def test_a_log_has_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    evaluated(shown=True)
    said = capfd.readouterr().err
    assert "\r" not in said
    assert "\x1b" not in said
    lines = said.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("10 of 40 ablations, ")
    assert lines[-1].endswith("0:00 left")
    evaluated(shown=False)
    assert capfd.readouterr().err == ""


def test_short_runs_say_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    evaluated(shown=True)
    assert capfd.readouterr().err == ""


def test_what_is_in_the_store_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "a.db")
    evaluated(store, shown=False, masks=MASKS[:1])
    evaluated(store, shown=True, masks=MASKS[:20])
    assert capfd.readouterr().err == ""  # one in twenty is not worth a line
    evaluated(store, shown=True)
    assert capfd.readouterr().err == "20 of 40 ablations are in the store already.\n"
