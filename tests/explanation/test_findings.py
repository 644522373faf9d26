"""Findings as sentences: patterns of truth tables, and what is claimed of an explanation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.audit.stored import Stored, check_asked
from interplay.explanation import findings as findings_module
from interplay.explanation.findings import findings
from interplay.explanation.reading import Ablations
from interplay.explanation.sentences import Words, pattern, spread_of
from interplay.explanation.titles import apart, question
from interplay.explanation.truth import truth_tables
from interplay.explanation.wording import (
    against_scored,
    named,
    score_of,
    sides,
    signs,
    unit_of_score,
)
from interplay.report import head as head_module
from interplay.report.compact import compact
from interplay.report.document import document
from interplay.report.export import record_of
from interplay.report.head import head
from tests.report import pages

Score = Callable[[BoolArray], FloatArray]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 1.0, 1.0, 0.0), "either"),
        ((-1.0, -1.0, -1.0, 3.0), "either"),
        ((1.0, 0.9, 0.8, 0.0), "either"),
        ((1.0, 0.7, 0.6, 0.0), "repeat"),
        ((-3.2, -3.23, -0.13, 6.26), "repeat"),  # the first hides what the second does
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
            "the second it is 1, without both 1.",
        ),
        (
            lambda m: 1.0 * (m[:, 0] ^ m[:, 1]),
            "0 'sun' and 1 'rain' offset each other: without one the score rises from 0 to 1, "
            "without both it is 0.",
        ),
        (
            lambda m: 0.6 * m[:, 0] + 0.3 * m[:, 1] + 0.1 * (m[:, 0] & m[:, 1]),
            "Without 0 'sun' the score falls from 1 to 0.3, without 1 'rain' it is 0.6, without "
            "both 0.",
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


def three(
    whole: float, one: tuple[float, float, float], two: tuple[float, float, float], none: float
) -> Score:
    """Of three players the values of all eight patterns: none, one, two and three removed."""
    removed = [whole, *one, *two, none]
    patterns = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    by = {
        tuple(i not in gone for i in range(3)): v for gone, v in zip(patterns, removed, strict=True)
    }

    def score(masks: BoolArray) -> FloatArray:
        return np.array([by[tuple(row)] for row in masks[:, :3].tolist()])

    return score


def test_a_card_says_what_the_sentence_says() -> None:
    """Two without either of which the value falls alike, and without both it does not."""
    both = explained(lambda m: 3.0 * (m[:, 0] == m[:, 1]) + 0.3 * m[:, 2])
    assert " offset each other: " in str(findings(both)[0])
    assert head("a", both)["cards"][0]["name"] == "they offset each other"
    one = explained(lambda m: 3.0 * (m[:, 0] | ~m[:, 1]) + 0.3 * m[:, 2])
    assert " counters " in str(findings(one)[0])
    assert head("a", one)["cards"][0]["name"] == "one counters the other"


def test_two_of_three_that_change_more_than_the_three_are_told() -> None:
    """Without the third one, what is lost without the other two comes back in part."""
    explanation = explained(three(5.0, (4.5, 4.6, 5.0), (0.0, 4.5, 4.6), 3.0), ("a", "b", "c"))
    (table,) = (one for one in truth_tables(explanation) if len(one.players) == 3)
    told = str(Words(explanation).of_table(table))
    assert told.startswith("Without 0 'a', 1 'b' and 2 'c' the score falls from 5 to 3, without 0 ")
    assert "without 0 and 1 only it is 0; with only the first removed it is 4.5" in told
    level = explained(three(5.0, (4.5, 4.6, 5.0), (3.0, 4.5, 4.6), 1.0), ("a", "b", "c"))
    (same,) = (one for one in truth_tables(level, 7) if len(one.players) == 3)
    assert "only it is" not in str(Words(level).of_table(same))


def test_three_pairs_of_three_players_are_one_sentence() -> None:
    """As heads that back each other up; what else is told has other players."""
    overlap = three(3.0, (2.8, 2.7, 2.75), (2.1, 2.0, 2.2), 1.0)
    explanation = explained(lambda m: overlap(m) + 0.4 * m[:, 3], ("a", "b", "c", "d"))
    assert [len(table.players) for table in truth_tables(explanation)] == [2, 2, 2]
    told = findings(explanation)
    assert [finding.players for finding in told] == [(0, 1, 2), (3,)]
    assert str(told[0]) == (
        "0 'a', 1 'b' and 2 'c' repeat each other in part: without all three the score falls from "
        "3.4 to 1.4, without two it is 2.4, 2.5 or 2.6, without one 3.2, 3.1 or 3.15."
    )


def test_three_pairs_of_several_kinds_are_one_sentence() -> None:
    """The strongest pair, and that the third player has to do with both."""
    score = three(4.0, (3.0, 3.0, 2.0), (0.0, 3.5, 3.5), 3.0)
    explanation = explained(score)
    assert {len(table.players) for table in truth_tables(explanation)} == {2}
    told = findings(explanation)
    assert [finding.players for finding in told] == [(0, 1, 2)]
    assert told[0].kind == "cancels"
    assert str(told[0]).endswith("without both 3.5. 1 'rain' interacts with each of them.")


def test_the_largest_changes_are_told_first() -> None:
    """A player that does more than a pair comes before it, and no weaker one in its place."""
    names = tuple("abcdef")
    told = findings(
        explained(
            lambda m: 10.0 * m[:, 0] + 2.0 * (m[:, 1] & m[:, 2]) + 4.0 * m[:, 3] + 3.0 * m[:, 4],
            names,
        )
    )
    # the pair is told in any case
    assert [finding.players for finding in told] == [(0,), (3,), (1, 2)]


def test_a_player_of_whom_nothing_is_sure_is_not_passed_over_for_a_weaker_one() -> None:
    """What follows one whose change is only predicted may be weaker than that."""
    spectrum = ip.Spectrum.from_dict(20, {(): 2.0, (0,): -0.5, (1,): -0.25})
    made = pages.explanation(pages.uncertain(spectrum), {"lens": None}, noise=0.3)
    whole = np.ones((3, 20), dtype=bool)
    whole[1, 0] = whole[2, 1] = False
    weaker = replace(made, asked=Ablations(whole[::2], spectrum.predict(whole[::2])))
    assert findings(weaker) == ()
    both = findings(replace(made, asked=Ablations(whole, spectrum.predict(whole))))
    assert [finding.players for finding in both] == [(0,), (1,)]
    assert str(both[0]) == "Without 0 the score falls from 2.75 to 1.75."


def test_a_set_of_which_one_does_all_is_told_as_that_one() -> None:
    told = findings(explained(three(4.0, (0.5, 4.0, 3.8), (0.5, 0.4, 3.2), 0.0)))
    assert told[0].players == (0,)
    assert told[0].kind == "alone"
    assert all(0 not in finding.players for finding in told[1:])


def test_values_of_a_random_game_are_means_with_a_spread() -> None:
    def score(masks: BoolArray, seeds: IntArray) -> FloatArray:
        noise = np.array([np.random.default_rng(seed).normal() for seed in seeds.tolist()])
        return 1.0 * (masks[:, 0] | masks[:, 1]) + 0.05 * noise

    explanation = ip.explain(ip.FunctionGame(score, 4, n_repeats=5))
    told = findings(explanation)
    assert [finding.players for finding in told] == [(0, 1)]
    spread, words = spread_of(explanation)
    assert spread == pytest.approx(0.05 / np.sqrt(5), rel=0.5)
    assert words == f"mean of 5 values, ± {spread:.2g}"
    assert str(told[0]).endswith(f"(measured, {words})")
    # a change that the noise may make is none
    alone = ip.FunctionGame(
        lambda masks, seeds: score(masks, seeds) + 0.06 * masks[:, 2], 4, n_repeats=5
    )
    assert [finding.players for finding in findings(ip.explain(alone))] == [(0, 1)]


def test_probabilities_are_from_0_to_1() -> None:
    """A prediction beyond is shown at the end, on the page as in sentences."""
    explanation = pages.text()
    beyond = explanation.spectrum.predict(np.arange(8)[None] % 6 != 0)
    assert beyond < 0
    table = truth_tables(explanation)[0]
    assert table.players == (0, 6)
    assert table.entries[-1].value == 0
    assert "without both 0. (pred" in str(findings(explanation)[0])
    assert head("a", explanation)["cards"][0]["entries"][-1]["value"] == "0"


def test_an_interrupted_run_says_so_first() -> None:
    made = pages.text()
    budget = made.provenance["budget"] | {"planned": 900, "interrupted": True}
    interrupted = replace(made, provenance=made.provenance | {"budget": budget})
    assert head("a", interrupted)["interrupted"].startswith(
        "Interrupted after 180 of 900 ablations."
    )
    assert "Interrupted after 180 of 900 ablations." in str(interrupted)
    assert head("a", made)["interrupted"] == ""


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


@pytest.mark.parametrize("order", [1, 2, 3, None])
def test_reports_follow_the_order_that_was_shown(order: int | None) -> None:
    made = pages.text()
    if order is not None:
        made = replace(made, provenance=made.provenance | {"shown": {"order": order}})
    shown = order or 3
    assert made.shown_order == shown
    record = record_of("a", made)
    assert record["interactions"]["order"] == shown
    assert max(len(term["players"]) for term in record["interactions"]["terms"]) <= shown
    assert f", order {shown}" in compact([("a", made)])
    assert document(made, made.spectrum)["order"] == shown
    values = dict(made.interactions(order=shown))
    for table in truth_tables(made):
        assert table.value == pytest.approx(float(values[table.players]))
    assert (len(truth_tables(made)) > 0) == (shown > 1)


def test_a_page_makes_its_truth_tables_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(explanation: Any, *given: Any) -> Any:
        calls.append(explanation)
        return truth_tables(explanation, *given)

    for module in (findings_module, head_module):
        monkeypatch.setattr(module, "truth_tables", counted)
    made = pages.text()
    shown = head(made.title, made)
    assert len(calls) == 1
    assert shown["findings"]
    told = [str(one) for one in findings(made)]
    assert [str(one) for one in findings(made, tables=truth_tables(made))] == told


def test_titles_name_the_question_of_a_long_answer() -> None:
    text = pages.text_description(("It rained.", "Mrs Hill is ill."))
    said = "The museum lost a large part of its collection. The cellar was flooded in 1954."
    answer = {"kind": "Response", "text": said, "score": "logprob", "reduction": "sentence"}
    turns = {"turns": [["user", 0, len(text["text"])]]}
    each = "Log-probability of each sentence of 'The museum lost a large part of its…'"
    long = text | {"view": turns, "targets": [answer]}
    assert question(long, "a") == f"{each} in answer to 'It rained. Mrs Hill is ill.'"
    why = {"kind": "Contrast", "positive": " 1954", "negative": " 1987", "given": said[:60]}
    several = long | {"targets": [answer, why]}
    assert (
        question(several, "a") == f"{each} and 1 more, in answer to 'It rained. Mrs Hill is ill.'"
    )
    claim = answer | {"reduction": "sum", "part": [48, 79]}
    told = (
        "Log-probability of 'The cellar was flooded in 1954.' after 'It rained. Mrs Hill is ill.'"
    )
    assert question(text | {"targets": [claim]}, "a") == told
    options = {"kind": "Options", "texts": [" a", " b", " c", " d"], "score": "share"}
    assert question(text | {"targets": [options]}, "a").startswith(
        "Share of ' a', ' b', ' c' or 1 "
    )
    own = {"kind": "A function of the user's"}
    assert question(text | {"targets": [own]}, "a") == "Score after 'It rained. Mrs Hill is ill.'"
    assert question({"lens": "images", "targets": [own] * 2}, "a") == "Score, by the image"


def test_titles_of_components_name_the_task_and_a_question() -> None:
    heads = pages.components().provenance["game"]["description"]
    example = {"prompt": "The keys to the cabinet", "role": None, "answer": " are"}
    example |= {"wrong": [" is"]}
    task = {"name": "agreement_of-verbs", "n_items": 25, "predicts": "next", "example": example}

    def title(**changed: Any) -> str:
        parts = {name: changed.pop(name) for name in ("scores",) if name in changed}
        inner = task | {"example": example | changed.pop("example", {})} | changed
        return question(heads | {"task": inner} | parts, "a")

    asked = "margin of ' are' over ' is' after 'The keys to the cabinet'"
    assert title() == f"Agreement of verbs: {asked} (the first of 25 questions)"
    assert title(n_items=1) == f"Agreement of verbs: {asked}"
    assert title(n_items=1, name="") == f"M{asked[1:]}"
    assert "accuracy of choosing ' are' over ' is' after" in title(scores=["correct"])
    assert "log-probability of ' are' after 'The" in title(scores=["logprob"])
    many = title(example={"wrong": [" is", " be", " was", " am", " were"]})
    assert "over ' is', ' be', ' was' or 2 others after" in many
    assert "' is' in answer to 'The keys" in title(example={"role": "user"})
    assert "' is' in 'The keys" in title(predicts="mask")
    assert "of the label ' are' over ' is' for 'The keys" in title(predicts="label")
    for hostile in pages.HOSTILE:
        assert title(name=hostile, example={"prompt": hostile, "answer": hostile})
    for wrong in ({}, None, {**task, "n_items": -1}, {**task, "example": 3}):
        assert question(heads | {"task": wrong}, "a").endswith("on its task, by its components")


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
    assert sides(two) == ("'no'", "'yes'")
    assert signs(two) == "above 0 speaks for 'no', below 0 for 'yes'"
    spaced = text | {"targets": [contrast | {"negative": "no"}]}
    assert sides(spaced) == ("' no'", "'no'")
    heads = pages.components().provenance["game"]["description"]
    assert question(heads, "a") == "Margin of planted on its task, by its components"
    rows = pages.training().provenance["game"]["description"]
    logistic = rows | {"trainer": {"kind": "logistic"}, "outputs": ["a", "b"]}
    assert question(logistic, "a") == (
        "Margin at 2 test points after training a logistic regression, by its training data"
    )
    asked = {"prompt": "The capital is", "answer": " Lutz", "against": None}
    tuned = {"lens": "training", "model": "small", "outputs": ["a", "b"], "questions": [asked] * 2}
    tuned |= {"score": "logprob", "scores": ["log p(answer)"], "trainer": {"kind": "fine-tuning"}}
    assert question(tuned, "a") == (
        "Log-probability at 2 questions after fine-tuning small, by its examples"
    )
    compared = text | {"compared": {"names": ["old", "new"], "descriptions": [text, text]}}
    assert question(compared, "a") == f"old and new compared: {question(text, 'a')}"
    assert apart(compared) is None
    other = text | {"text": text["text"][:-1] + "as", "dtype": "torch.bfloat16", "masking": None}
    reworded = {"compared": {"names": ["old", "new"], "descriptions": [text, other]}}
    assert question(reworded, "a") == "old and new compared: Probability of ' penicillin'"
    assert apart(reworded) == (
        "after 'Therefore: Mrs Hill is', masking delete",
        "after 'Therefore: Mrs Hill ias', bfloat16",
    )
    assert question({"lens": None}, "Game of 3 players") == "Game of 3 players"
    assert sides(heads) == ("the right answers", "wrong answers")
    assert sides(text) is None
    log_odds = text | {"targets": [{"kind": "Response", "text": " tea", "score": "logit"}]}
    assert (score_of(log_odds), unit_of_score(log_odds)) == ("log-odds", "nats")
    assert sides(log_odds) == ("'tea'", "all other answers together")
    for against, name in ((" no", "margin"), (None, "log-probability")):
        asked = [{"answer": " yes", "against": against}]
        tuned = {"lens": "training", "score": "auto", "questions": asked}
        assert score_of(tuned) == name
        assert (sides(tuned) is None) == (against is None)
    for hostile in pages.HOSTILE:
        target = {"kind": "Response", "text": hostile, "score": hostile}
        assert question(text | {"targets": [target], "text": hostile}, "a")


@pytest.mark.parametrize(
    ("full", "own", "expected"),
    [
        (2.0, "", ""),
        (2.0, " No, not here.", ""),
        (-2.0, " Yes", "With everything the score speaks for 'yes', not for 'no'."),
        (-2.0, "", "With everything the score speaks for 'yes', not for 'no'."),
        (2.0, "Nobody knows", "The score is of two other answers."),
        (None, "Nobody knows", "The score is of two other answers."),
    ],
)
def test_what_the_model_would_not_answer(full: float | None, own: str, expected: str) -> None:
    contrast = {"targets": [{"kind": "Contrast", "positive": " no", "negative": " yes"}]}
    assert against_scored(contrast, full, own) == expected


def test_the_answer_that_is_scored_and_another_one() -> None:
    of = {"targets": [{"kind": "Response", "text": " penicillin and more", "score": "prob"}]}
    assert against_scored(of, 0.1, "penicillin") == ""  # as far as the model was asked
    assert against_scored(of, 0.1, "It is Penicillin and\nmore.") == ""
    said = "The score is of another answer, 'penicillin and more'."
    assert against_scored(of, 0.1, "aspirin") == said


def test_a_margin_names_the_answers_where_its_sign_changes() -> None:
    contrast = {"targets": [{"kind": "Contrast", "positive": " no", "negative": " yes"}]}
    game = explained(lambda m: np.where(m[:, 0], 2.0, -1.0))
    provenance = game.provenance | {"game": game.provenance["game"] | {"description": contrast}}
    (told,) = findings(replace(game, provenance=provenance))
    assert str(told) == ("Without 0 'sun' the margin falls from 2 (for 'no') to -1 (for 'yes').")
    assert "above 0 speaks for 'no'" in str(replace(game, provenance=provenance))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("debts[0].amount: 9000", "debts[0].amount: 9000"),
        ("applicant.household.debts[0].amount: 9000", "…t.household.debts[0].amount: 9000"),
        (
            "patient.notes[12].author.name: a text that goes on",
            "…notes[12].author.name: a text th…",
        ),
        ("Note: a sentence that is too long to be shown", "Note: a sentence that is too long…"),
    ],
)
def test_the_key_of_a_long_path_is_kept(name: str, told: str) -> None:
    assert len(named(name)) <= 34
    assert named(name) == told
