"""JSON by its schema, and Markdown in which nothing acts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import interplay as ip
from interplay.report.export import SCHEMA, cell, schema
from tests.report.hostile import HOSTILE, hostile_game

VALIDATOR = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())


@pytest.fixture(scope="module")
def hostile() -> ip.Explanation:
    return ip.explain(hostile_game())


@pytest.fixture(scope="module")
def several() -> ip.Explanation:
    game = ip.FunctionGame(
        lambda masks: np.stack([masks[:, 0] & masks[:, 1], masks[:, 2]], axis=1), 12
    )
    return ip.explain(game, budget=120, measure="uniform")


def written(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$id"] == schema()["properties"]["schema"]["const"] == SCHEMA


def test_json_follows_the_schema_and_says_what_was_found(
    several: ip.Explanation, tmp_path: Path
) -> None:
    document = written(several.to_json(tmp_path / "new" / "a.json"))
    VALIDATOR.validate(document)
    (one,) = document["explanations"]
    assert one["outputs"] == ["0", "1"]
    terms = {tuple(term["players"]): term["values"] for term in one["interactions"]["terms"]}
    found = several.interactions("FSII", order=3)
    assert terms.keys() == {members for members in found.sets if members}
    assert terms[(0, 1)] == pytest.approx([1.0, 0.0], abs=1e-3)
    again = ip.Spectrum.from_terms(
        12,
        [term["players"] for term in one["spectrum"]["terms"]],
        [term["coefficients"] for term in one["spectrum"]["terms"]],
    )
    masks = several.held_out.masks
    np.testing.assert_allclose(again.predict(masks), several.spectrum.predict(masks))
    assert one["provenance"] == several.provenance
    assert one["faithfulness"]["r2"] == several.faithfulness.r2
    assert "low" not in one["interactions"]["terms"][0]


def test_json_with_intervals_and_a_confirmation(hostile: ip.Explanation, tmp_path: Path) -> None:
    spectrum = hostile.spectrum
    deviations = np.full((*spectrum.coefficients.shape, 2), 0.1)
    certain = replace(hostile, spectrum=replace(spectrum, deviations=deviations))
    whole = replace(certain, confirmation=hostile.confirm(1))
    document = written(whole.to_json(tmp_path / "a.json"))
    VALIDATOR.validate(document)
    (one,) = document["explanations"]
    for term in one["interactions"]["terms"]:
        assert term["low"][0] < term["values"][0] < term["high"][0]
    assert one["confirmation"]["tested"][0]["verdict"] == "holds"
    said = whole.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    assert "### Confirmed by ablations made for it" in said
    assert "| holds |" in said
    assert "### Interactions (FSII, order 3, 90% intervals in brackets)" in said
    assert re.search(r"\| \+2 \(\+\d\.\d+ to \+\d\.\d+\) \|", said)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema",), "urn:interplay:explanations:2"),
        (("explanations",), []),
        (("explanations", 0, "players"), []),
        (("explanations", 0, "interactions", "terms", 0, "players"), [1, 1]),
        (("explanations", 0, "interactions", "index"), "SHAP"),
        (("explanations", 0, "provenance", "ablations", "sha256"), "0"),
        (("explanations", 0, "faithfulness", "r2"), 2),
        (("explanations", 0, "more"), 1),
    ],
)
def test_the_schema_refuses(
    hostile: ip.Explanation, tmp_path: Path, where: tuple[Any, ...], value: Any
) -> None:
    document = written(hostile.to_json(tmp_path / "a.json"))
    inside = document
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


def test_markdown_says_what_was_found(several: ip.Explanation, tmp_path: Path) -> None:
    said = several.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    assert str(several.faithfulness) in said
    assert re.search(r"\| \+1 \| \(zero\?\) [-+]\S+ \| 0 0 × 1 1 \|", said)
    assert f'"sha256": "{several.provenance["ablations"]["sha256"]}"' in said
    share = several.spectrum.output(0).energy_by_order()[1:]
    assert f"| 0 | {share[0] / share.sum():.1%} |" in said


def test_in_markdown_nothing_acts(hostile: ip.Explanation, tmp_path: Path) -> None:
    ticks = replace(hostile, players=("```\n# no heading", "| a | b |", "[x](y)", "<b>"))
    said = ticks.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    head, fence, provenance = said.partition("\n```json\n")
    assert fence
    for piece in HOSTILE:
        assert piece not in head
    assert not re.search(r"(?<!\\)[<>`\[]", head)
    assert re.findall(r"^#+ .*", head, re.M)[0] == "# What acts together"
    assert "no heading" not in "".join(re.findall(r"^#+ .*", head, re.M))
    for line in head.splitlines():
        if line.startswith("|") and "---" not in line:
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5)
    assert json.loads(provenance.partition("\n```\n")[0]) == hostile.provenance


@pytest.mark.parametrize(
    "name", ["=cmd()", "+1", "-2 + 3", "@SUM(A1)", "\t=1", "\r=1", "\n", " =1", "\uff1d1", "--"]
)
def test_a_cell_is_no_formula(name: str) -> None:
    assert cell(name).startswith("'")
    assert cell("a" + name).startswith("a")


def test_nothing_of_a_cell_steers_a_terminal() -> None:
    assert cell("a\x1b]0;b\x07\u202e") == "a⟨U+001B⟩]0;b⟨U+0007⟩⟨U+202E⟩"
    assert cell(1) == "1"


def test_several_have_an_index(
    hostile: ip.Explanation, several: ip.Explanation, tmp_path: Path
) -> None:
    parts = [("one", hostile), ("two", several)]
    said = ip.export(parts, tmp_path / "a.md").read_text(encoding="utf-8")
    assert re.findall(r"^1\. one: usable\. Faithfulness: R2 = 1.000 on all 16 masks$", said, re.M)
    assert re.findall(r"^## (.*)", said, re.M) == ["1. one", "2. two"]
    document = written(ip.export(parts, tmp_path / "a.json"))
    VALIDATOR.validate(document)
    assert [each["title"] for each in document["explanations"]] == ["one", "two"]
