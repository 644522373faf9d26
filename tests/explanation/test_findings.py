"""Findings as sentences: patterns of truth tables, and what is claimed of an explanation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.audit.stored import Stored, check_asked
from interplay.explanation.findings import findings
from interplay.explanation.sentences import pattern
from interplay.explanation.truth import truth_tables
from interplay.explanation.wording import question, score_of, unit_of_score
from tests.report import pages

Score = Callable[[BoolArray], FloatArray]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 1.0, 1.0, 0.0), "either"),
        ((-1.0, -1.0, -1.0, 3.0), "either"),
        ((1.0, 0.9, 0.8, 0.0), "either"),
        ((1.0, 0.7, 0.6, 0.0), "repeat"),
        ((1.0, 0.0, 0.0, 0.0), "both"),
        ((1.0, 0.25, -0.1, 0.0), "both"),
        ((1.0, 0.0, 1.0, 1.0), "cancels"),  # the first counters the second
        ((1.0, 1.0, 0.0, 1.0), "cancels"),
        ((0.0, 1.0, 1.0, 0.0), "cancels"),  # exclusive or
        ((1.0, 0.5, 0.5, 0.0), "together"),  # each adds its part
        ((1.0, 0.0, 1.0, 0.0), "together"),  # one alone matters
        ((1.0, 1.4, 0.2, 0.0), "together"),
        ((1.0, 1.0, 1.0, 1.0), "together"),
    ],
)
def test_the_pattern_of_a_truth_table(
    values: tuple[float, float, float, float], expected: str
) -> None:
    assert pattern(*values) == expected
    whole, one, other, none = values
    assert pattern(whole, other, one, none) == expected  # whichever is the first
    scaled = [7.0 - 3.0 * value for value in values]
    assert pattern(*scaled) == expected  # in any unit, of either sign


def explained(score: Score, players: tuple[str, ...] = ("sun", "rain", "wind")) -> ip.Explanation:
    return ip.explain(ip.FunctionGame(score, len(players), players=players))


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (
            lambda m: 0.02 + 0.76 * (m[:, 0] | m[:, 2]),
            "Either of 0 'sun' and 2 'wind' suffices: without both the score falls from 0.78 to "
            "0.02, without one it is 0.78.",
        ),
        (
            lambda m: 1.0 * (m[:, 0] & m[:, 1]),
            "Both 0 'sun' and 1 'rain' are needed: without the first the score falls from 1 to 0, "
            "without the second it is 0, without both 0.",
        ),
        (
            lambda m: 1.0 - 1.0 * (m[:, 1] & ~m[:, 0]),
            "0 'sun' counters 1 'rain': without the first the score falls from 1 to 0, without "
            "both it is 1.",
        ),
        (
            lambda m: -2.0 * m[:, 1],
            "Without 1 'rain' the score rises from -2 to 0.",
        ),
        (
            lambda m: 1.0 * (m[:, 0] & m[:, 1] & m[:, 2]),
            "All of 0 'sun', 1 'rain' and 2 'wind' are needed: without one of them the score falls "
            "from 1 to 0.",
        ),
    ],
)
def test_sentences(score: Score, expected: str) -> None:
    told = findings(explained(score))
    assert str(told[0]) == expected
    assert told[0].doubt is None
    assert len(told) <= 3
    assert len({finding.players for finding in told}) == len(told)


def test_a_small_share_of_the_way_is_no_need() -> None:
    """Of a pair that moves the score a little nothing is said to suffice or to be needed."""
    told = findings(explained(lambda m: 10.0 * m[:, 0] + 3.0 * (m[:, 1] & m[:, 2])))
    kinds = {finding.players: finding.kind for finding in told}
    assert kinds[1, 2] == "only together"


def test_a_pair_of_which_one_does_all_is_told_as_that_one() -> None:
    told = findings(explained(lambda m: 10.0 * m[:, 0] + 0.8 * (m[:, 0] & m[:, 1])))
    assert (told[0].kind, told[0].players) == ("alone", (0,))


def noisy(n: int = 12) -> ip.FunctionGame:
    """Two witnesses of whom either suffices, and players of no use, with a little noise."""

    def score(masks: BoolArray) -> FloatArray:
        weights = np.random.default_rng(0).normal(size=n)
        return 1.0 * (masks[:, 2] | masks[:, 5]) + 0.01 * np.sin(masks @ weights * 50)

    return ip.FunctionGame(score, n, fingerprint="two witnesses")


def test_truth_tables_ask_for_what_they_lack(tmp_path: Path) -> None:
    game = noisy()
    store = tmp_path / "s.db"
    before = ip.explain(game, budget=100, store=store, decoder="gp")
    assert not truth_tables(before)[0].is_measured
    after = before.with_truth_tables(store=store)
    assert after.asked is not None
    assert 3 <= len(after.asked) <= 12
    table = truth_tables(after)[0]
    assert table.players == (2, 5)
    assert table.is_measured
    masks = np.array([[i not in gone for i in range(12)] for gone in ((5,), (2,), (2, 5))])
    assert [entry.measured for entry in table.entries][1:] == pytest.approx(game(masks))
    told = findings(after)[0]
    assert told.kind == "either"
    assert told.doubt is None
    # it is saved, audited, and in the page's recorded ablations
    loaded = ip.load(after.save(tmp_path / "a.interplay"))
    assert loaded.asked is not None
    assert (loaded.asked.masks == after.asked.masks).all()
    assert (loaded.asked.values == after.asked.values).all()
    assert findings(loaded) == findings(after)
    nothing = np.zeros(len(after.asked), dtype=bool)
    (check,) = check_asked(loaded, lambda masks: Stored(nothing, game(masks), None))
    assert check.status == "not checked"
    for off, status in ((0.0, "match"), (1.0, "mismatch")):
        everything = np.ones(len(after.asked), dtype=bool)
        stored = Stored(everything, after.asked.values + off, None)
        (check,) = check_asked(loaded, lambda masks, stored=stored: stored)  # type: ignore[misc]
        assert check.status == status
    # nothing more is asked, and what does not fit a budget is left out whole
    assert after.with_truth_tables().asked is after.asked
    assert before.with_truth_tables(budget=0).asked is None


def test_what_is_predicted_says_so() -> None:
    told = findings(ip.explain(noisy(), budget=100, decoder="gp"))
    assert told[0].doubt is not None
    assert "(predicted, ± " in str(told[0])
    assert told[0].to_json()["measured"] is False


def test_an_explanation_that_is_not_usable_has_no_findings() -> None:
    rng = np.random.default_rng(0)
    game = ip.FunctionGame(lambda m: rng.normal(size=len(m)), 30)
    explanation = ip.explain(game, budget=60)
    assert explanation.verdict.level == "not usable"
    assert findings(explanation) == ()
    assert explanation.with_truth_tables(game=game).asked is None
    constant = ip.explain(ip.FunctionGame(lambda m: np.ones(len(m)), 4))
    assert findings(constant) == ()


def test_decisive_sets_are_told() -> None:
    explanation = explained(lambda m: 1.0 * m[:, 0] + 0.1 * m[:, 1])
    sets = (explanation.necessary(), explanation.sufficient())
    told = findings(replace(explanation, decisive=sets))
    assert told[0].kind == "necessary"
    assert str(told[0]) == "Without 0 'sun' the score falls from 1.1 to 0.1."
    assert all(finding.kind != "sufficient" or finding.players != (0,) for finding in told)


def test_what_was_asked_in_words() -> None:
    text = pages.text_description(("It rained.", "Mrs Hill is ill."))
    text["text"] += "\n\nTherefore: Mrs Hill is"
    assert question(text, "a") == "Probability of ' penicillin' after 'Therefore: Mrs Hill is'"
    assert (score_of(text), unit_of_score(text)) == ("probability", "")
    chat = text | {"view": {"turns": [["user", 0, 10]]}}
    assert question(chat, "a") == "Probability of ' penicillin' in answer to 'It rained.'"
    contrast = {"kind": "Contrast", "positive": " no", "negative": " yes"}
    two = text | {"targets": [contrast]}
    assert question(two, "a").startswith("' no' rather than ' yes' after ")
    assert (score_of(two), unit_of_score(two)) == ("margin", "nats")
    heads = pages.components().provenance["game"]["description"]
    assert question(heads, "a") == "Margin of planted on its task, by its components"
    assert question({"lens": None}, "Game of 3 players") == "Game of 3 players"
    for hostile in pages.HOSTILE:
        target = {"kind": "Response", "text": hostile, "score": hostile}
        assert question(text | {"targets": [target], "text": hostile}, "a")
