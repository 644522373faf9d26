"""The documents for regulated use: what is checked in hangs together, and the model says it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import interplay as ip

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "regulated"


def text(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("regenerate", FOLDER / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["regenerate"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


def test_the_page_on_auditing_quotes_what_is_checked_in() -> None:
    page = text(ROOT / "docs" / "auditing.md").partition("## Two documents")[2]
    report, removals = text(FOLDER / "report.md"), text(FOLDER / "removals.md")
    rows = re.findall(r"\| [-+]0\.\d+ \([^|]+\) \| [^|]+ \|", page)
    assert len(rows) == 10  # five of each
    for row in rows:
        assert row in report
    scores = re.findall(r"R2 = (\S+) \((\S+) to (\S+)\)", page)
    assert len(scores) == 2
    for score, low, high in scores:
        assert f"R2 = {score} (95% interval {low} to {high})" in report
    lines = (ROOT / "docs" / "auditing.md").read_text(encoding="utf-8").splitlines()
    lines = lines[lines.index("## Two documents, worked through") :]
    prose = " ".join(line for line in lines if not line.startswith("|"))
    quoted = set(re.findall(r"\b0\.\d{3}\b", prose)) - {end for each in scores for end in each}
    assert len(quoted) > 8
    for value in quoted:
        assert f"| {value} |" in removals
    assert report.count("| holds |") == 5
    assert report.count("| unclear |") == 5


@pytest.mark.parametrize("name", ["loan", "triage"])
def test_the_pages_are_small_and_of_the_documents(name: str) -> None:
    page = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 400_000
    (r2,) = re.findall(rf"{name}: Text of .*?R2 = (\S+)", text(FOLDER / "report.md"))[:1]
    assert f"R2 = {r2}" in page
    for sentence in re.findall(r"\w[^.]+\.", text(FOLDER / f"{name}.txt")):
        assert sentence in page


@pytest.mark.model
def test_the_model_says_what_is_checked_in(example: Any, smollm: tuple[Any, Any]) -> None:
    checked_in = (FOLDER / "removals.md").read_text(encoding="utf-8")
    for case in example.CASES:
        game = ip.text.TextGame(
            *smollm,
            case.file.read_text(encoding="utf-8").strip(),
            ip.text.Response(case.response, score="prob"),
            prompt=f"{{text}}\n\n{case.question}",
        )
        part = checked_in.partition(f"## {case.name}\n")[2].partition("\n## ")[0]
        then, now = (
            [float(value) for value in re.findall(r"^\| (0\.\d{3}) \|", lines, re.M)]
            for lines in (part, "\n".join(example.removals(game, case.removed)))
        )
        assert len(now) == sum(2 ** len(players) for players in case.removed)
        assert now == pytest.approx(then, abs=0.002)
