"""Explanation cards: every fact is in the record, nothing acts, nothing is claimed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.report.card import as_card, as_card_page, card_of
from interplay.report.governance import ABSENT
from tests.cli.running import run
from tests.report.hostile import HOSTILE, hostile_game


class Described:
    """A game that describes itself as a text game does, in markup."""

    n_players = 12
    players = (*HOSTILE, *map(str, range(8)))
    fingerprint = "f" * 64
    batch_size = 100

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        noise = (masks @ (1 << np.arange(12)) % 97) / 97
        return masks[:, 0] * 3.0 + 2.0 * (masks[:, 1] & masks[:, 2]) + 0.5 * noise

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {
            "lens": "text",
            "by": "word",
            "model": "<b>m</b>",
            "text": "a `b` <i> " * 60,
            "masking": {"kind": "delete"},
            "targets": [{"kind": "Response", "text": "<u>"}],
        }


@pytest.fixture(scope="module")
def sampled() -> ip.Explanation:
    return ip.explain(Described(), budget=120, decoder="gp")


@pytest.fixture(scope="module")
def unusable() -> ip.Explanation:
    rng = np.random.default_rng(0)
    return ip.explain(
        ip.FunctionGame(lambda masks: rng.normal(size=len(masks)), 12), budget=60, decoder="gp"
    )


def shown(explanation: ip.Explanation) -> str:
    """The Markdown of a card, without the back slashes that keep it from acting."""
    return re.sub(r"\\(.)", r"\1", as_card([(explanation.title, explanation)]))


def test_every_entry_of_a_card_is_in_the_record(
    sampled: ip.Explanation, unusable: ip.Explanation, tmp_path: Path
) -> None:
    confirmed = replace(sampled, confirmation=sampled.confirm(1))
    for explanation in (sampled, unusable, confirmed, ip.explain(hostile_game())):
        path = explanation.to_json(tmp_path / "a.json")
        (record,) = json.loads(path.read_text(encoding="utf-8"))["explanations"]
        texts = card_of("a", explanation).texts
        assert len(texts) == 4
        for fact in (fact for text in texts for fact in text.facts):
            for entry in fact.entries:
                value = record
                for name in entry.split("."):
                    value = value[name]
    digest = sampled.provenance["ablations"]["sha256"]
    assert f"SHA-256 of masks and values {digest}" in shown(sampled)
    assert f"fingerprint: {'f' * 64}" in shown(sampled)
    assert f"R2 {sampled.faithfulness.r2:.3f} on {sampled.faithfulness.n_masks}" in shown(sampled)
    assert "1 interactions tested: 1 holds | `confirmation.tested`" in shown(confirmed)


def test_what_must_not_be_concluded_follows_from_the_record(
    sampled: ip.Explanation, unusable: ip.Explanation
) -> None:
    text = shown(sampled).partition("## What must not be concluded")[2].partition("\n## ")[0]
    assert "Anything:" not in text
    assert "cannot be told from zero, which does not show that they are zero" in text
    assert "reads texts that nobody wrote" in text
    assert "That the interactions were tested one by one" in text
    text = shown(unusable).partition("## What must not be concluded")[2].partition("\n## ")[0]
    assert f"Anything: the explanation is {unusable.verdict.level}" in text
    assert "no fingerprint was recorded" in text
    assert "None found" in shown(unusable)
    exact = ip.explain(ip.FunctionGame(lambda masks: masks[:, 0] * 1.0, 2))
    text = shown(exact)
    assert "tested one by one" not in text
    assert "interval is taken by itself" not in text.partition("not be concluded")[2]
    # an index that looks where the masks do not
    game = ip.FunctionGame(lambda masks: (masks.sum(axis=1) == 10) * 5.0 + masks[:, 0], 10)
    near = ip.explain(game, budget=200, measure="uniform")
    assert near.extrapolated("SV") is not None
    assert "- By SV: " in shown(near)


def test_nothing_of_a_card_acts(sampled: ip.Explanation, tmp_path: Path) -> None:
    parts = [("<script>", sampled), ("two\x1b[31m", ip.explain(hostile_game()))]
    for text in (as_card(parts), as_card_page(parts)):
        assert not re.search(r"(?<!\\)<(script|img|b|i|u)\b", text)
        assert "\x1b" not in text
        assert text.count("Explanation card: ") in (2, 3)
    markdown = as_card(parts)
    for name in HOSTILE:
        assert name not in markdown
    assert "a `b`" not in markdown  # back quotes of a text would hide what follows
    page = as_card_page(parts)
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "no legal advice" in page
    assert ABSENT in page
    assert (
        sampled.to_card(tmp_path / "a.HTML")
        .read_text(encoding="utf-8")
        .startswith("<!doctype html>")
    )
    assert sampled.to_card(tmp_path / "a.md").read_text(encoding="utf-8").startswith("# Expl")


def test_the_command(sampled: ip.Explanation, tmp_path: Path) -> None:
    saved = sampled.save(tmp_path / "one.interplay")
    card = tmp_path / "card.md"
    assert "1 explanation: " in run("report", saved, "--card", "-o", card)
    text = card.read_text(encoding="utf-8")
    assert text.startswith("# Explanation card: one: Text of 12 players by word\n")
    run("report", saved, saved, "--card", "-o", tmp_path / "card.html")
    assert (tmp_path / "card.html").read_text(encoding="utf-8").count("<article>") == 2
    said = run("report", saved, "--card", "-o", tmp_path / "card.json", code=2)
    assert "let a card end in .md or .html" in said
    said = run("report", saved, "--card", "--format", "md", "-o", card, code=2)
    assert "--card and --format md were both given" in said
