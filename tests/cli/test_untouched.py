"""An untouched run of each lens: MATCH, and everything is checked or listed as taken on trust."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from interplay.audit.trusted import CHECKED
from interplay.report.document import document, shown_terms
from tests.cli.test_hostile_lenses import runs
from tests.cli.test_hostile_recipes import call
from tests.text.servers import Reply, serving, truthful

pytestmark = pytest.mark.slow
__all__ = ["runs"]  # the fixture

ALWAYS = {"files", "inputs", "page", "ablations", "store", "masks", "spectrum", "faithfulness",
          "record", "game", "model"}  # fmt: skip
"""The checks of every run. Some decoders have more."""
MORE = {"surrogate", "uncertainty", "confirmation", "stopping rule", "decisive sets", "asked"}


def matches(folder: Path, record: Path, *more: object) -> None:
    """An audit of a folder matches, and each entry of what was saved is in one of its lists."""
    code, said = call("verify", folder, "--sample", 3, "--record", record, *more)
    assert code == 0, said
    assert re.search(r"MATCH \(\d+ match, 0 mismatch, 0 not checked\)$", said), said
    for result in json.loads(record.read_text(encoding="utf-8")):
        names = {check["name"] for check in result["checks"]}
        assert names >= ALWAYS
        assert names <= ALWAYS | MORE
        assert {check["status"] for check in result["checks"]} == {"match"}
        listed = {word.split(".")[0] for entry in result["trusted"]
                  for word in entry["what"].split(", ")}  # fmt: skip
        path = folder / "explanation.interplay"
        if path.exists():
            explanation = ip.load(path)
            assert explanation.provenance.keys() <= {*CHECKED, *listed}
            assert ("confirmation" in names) == (explanation.confirmation is not None)


@pytest.mark.parametrize("lens", ["text", "components", "training"])
def test_an_untouched_run_matches(runs: Path, tmp_path: Path, lens: str) -> None:
    matches(runs / lens, tmp_path / "record.json")


@pytest.mark.parametrize(
    "more", [("--confirm", 1), ("--until", 0.5), ("--by", "line", "--drill", "word")]
)
def test_an_untouched_run_with_more_to_it_matches(
    runs: Path, tmp_path: Path, more: tuple[object, ...]
) -> None:
    model = runs / "text" / "model"
    out = tmp_path / "run"
    code, said = call("text", "--model", model, "--file", runs / "text.txt", "--by", "word",
                      "--question", "w9", "--response", " w5", "--threads", 1, *more,
                      "--out", out)  # fmt: skip
    assert code == 0, said
    matches(out, tmp_path / "record.json", "--allow-outside")


def test_an_untouched_run_at_a_server_matches(runs: Path, tmp_path: Path) -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        code, said = call("text", "--model", "m", "--file", runs / "text.txt", "--by", "line",
                          "--question", "It is", "--response", " good", "--base-url", server.url,
                          "--out", tmp_path / "run")  # fmt: skip
        assert code == 0, said
        matches(tmp_path / "run", tmp_path / "record.json", "--allow-server", server.url)


@pytest.mark.model
def test_an_untouched_demo_matches(smollm: tuple[Any, Any], tmp_path: Path) -> None:
    """Each case of the demo, with fewer ablations, written as the demo writes it."""
    from interplay.cli.demo import CASES
    from interplay.cli.folders import write

    store = tmp_path / "ablations.db"
    for case in CASES:
        game = case.game(*smollm)
        explanation = ip.explain(game, decoder="lasso", budget=32, store=store, progress=False)
        folder = tmp_path / case.name
        write(explanation, folder, "demo", {"name": case.name}, store=store)
        code, said = call("verify", folder, "--sample", 2, "--allow-outside")
        assert code == 0, said
        assert "MATCH (" in said
        assert " 0 not checked)" in said
        assert "model: match (2 of 2)" in said


def test_the_ends_are_recorded_and_checked(runs: Path, tmp_path: Path) -> None:
    """The page has the full and the empty input as recorded; an audit compares them."""
    out = tmp_path / "run"
    code, said = call("text", "--model", runs / "text" / "model", "--file", runs / "text.txt",
                      "--by", "word", "--question", "w9", "--response", " w5", "--threads", 1,
                      "--out", out)  # fmt: skip
    assert code == 0, said
    explanation = ip.load(out / "explanation.interplay")
    ends, known = explanation.ends, explanation.ablations
    assert ends is not None
    assert f"whole input: {ends[0]:.4g}; empty input: {ends[1]:.4g}" in said
    assert [explanation.full, explanation.baseline] == ends.tolist()
    recorded = document(explanation, shown_terms(explanation.spectrum))["ablations"]
    further = 0 if explanation.asked is None else len(explanation.asked)  # of the truth tables
    assert recorded["total"] == len(known) + further
    store = out / "ablations.db"
    assert ip.verify(explanation, store=store).verdict != "mismatch"
    for row in (0, 1):
        other = ends.copy()
        other[row] += 0.5
        forged = replace(explanation, spectrum=replace(explanation.spectrum, ends=other))
        assert ip.verify(forged, store=store).verdict == "mismatch", row
        assert ip.verify(forged).verdict == "mismatch", row


@pytest.mark.model
def test_the_demo_is_one_document_for_programs(
    smollm: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interplay.cli import demo

    monkeypatch.setattr(demo, "CASES", tuple(replace(case, budget=40) for case in demo.CASES[:1]))
    monkeypatch.setattr(demo, "demo_model", lambda: smollm)
    code, said = call("demo", "--out", tmp_path / "demo", "--json", "--quiet", "--index", "sii")
    assert code == 0, said
    (document,) = json.loads(said)["explanations"]
    assert document["title"] == demo.CASES[0].title
    saved = ip.load(tmp_path / "demo" / "review" / "explanation.interplay")
    assert saved.index == "SII"
