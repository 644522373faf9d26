"""``--swap``: read, refused where it does not fit, on the page and in exports, and audited."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from interplay.cli.prompts import read_swap
from tests.cli.running import run

TEXT = "Ms Reed has a high debt. She works at the library."


def test_a_file_of_swaps(tmp_path: Path) -> None:
    path = tmp_path / "swap.json"
    path.write_text('{"g": {"regex:(\\\\d+) years": "\\\\1 months", "a": ["b", "c"]}, "x": "y"}')
    assert read_swap(path) == {
        "g": {re.compile(r"(\d+) years"): r"\1 months", "a": ["b", "c"]},
        "x": "y",
    }
    path.write_text("[1]")
    with pytest.raises(ValueError, match="no object of texts"):
        read_swap(path)


@pytest.mark.model
def test_a_run_with_a_swap(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(TEXT)
    (tmp_path / "gender.json").write_text('{"gender": {"Ms": "Mr", "she": "he"}}')
    out = tmp_path / "out"
    usual = ["text", "--model", "smollm2", "--file", tmp_path / "note.txt",
             "--response", " declined", "--target", "prob", "--question", "Ms Reed is"]  # fmt: skip
    swap = ["--swap", tmp_path / "gender.json"]
    printed = run(*usual, *swap, "--budget", "8", "--out", out)
    assert "3 players by sentence and swap" in printed
    page = (out / "explanation.html").read_text(encoding="utf-8")
    assert "Ms → Mr" in page
    run("report", out, "-o", tmp_path / "report.json")
    (exported,) = json.loads((tmp_path / "report.json").read_text())["explanations"]
    assert exported["players"][-1] == "gender: Ms → Mr, She → He"
    assert "MATCH" in run("verify", out, "--sample", "2")
    refused = run(*usual, "--swap-only", code=2)
    assert "--swap-only was given without --swap" in " ".join(refused.split())
    refused = run(*usual, *swap, "--masking", "attention", code=2)
    assert "does not fit a swap" in " ".join(refused.split())
