"""Learning across prompts: what it is learned from, when, and what it may not touch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.audit.lessons import UNLIKE, Segments, alone, is_bounded
from interplay.decoders.gaussian.across import Lesson, evidence, learn_across
from interplay.decoders.gaussian.learn import Prior
from interplay.designs.measures import SHAPLEY

WORDS = (
    "the",
    "film",
    "was",
    "not",
    "very",
    "good",
    "but",
    "great",
    "cast",
    "never",
    "saves",
    "dull",
)
STRONG = {"not", "good", "great", "never", "dull", "saves"}
N = 11
SETTINGS: dict[str, Any] = {
    "budget": 36,
    "decoder": "gp",
    "measure": "uniform",  # one decoding, not one for each part that is held out
    "progress": False,
}


def function(number: int, odd: bool = False) -> tuple[list[str], Any]:
    """A prompt in which some words matter; in an odd one all the others do."""
    rng = np.random.default_rng(number)
    names = rng.choice(WORDS, N, replace=False).tolist()
    matters = np.array([(name in STRONG) != odd for name in names])
    singles = np.where(matters, 2.0, 0.1) * rng.normal(size=N)
    both = np.outer(matters, matters) * rng.normal(size=(N, N)) * 0.5

    def value(masks: BoolArray) -> FloatArray:
        kept = masks - 0.5
        return np.asarray(kept @ singles + np.einsum("mi,ij,mj->m", kept, both, kept))

    return names, value


def games(n_prompts: int, odd: tuple[int, ...] = (), stop: int | None = None) -> Iterator[ip.Game]:
    for number in range(n_prompts):
        if number == stop:
            raise KeyboardInterrupt
        names, value = function(number, number in odd)
        yield ip.FunctionGame(value, N, players=names, fingerprint=f"{number} {number in odd}")


def lesson(number: int, odd: bool = False, n_masks: int = 60) -> Lesson:
    names, value = function(number, odd)
    masks = SHAPLEY.draw(n_masks, N, np.random.default_rng(number))
    features = np.array([[float(name in STRONG), len(name)] for name in names])
    return Lesson(features, masks, value(masks))


def test_relevant_features_are_found_and_odd_games_are_unlike() -> None:
    learned = learn_across([lesson(number) for number in range(8)])
    assert learned.relevance[0] > 3 * abs(learned.relevance[1])
    plain = Prior.plain(N)
    usual = [evidence(one, learned.prior(one.features), plain) for one in map(lesson, range(8, 16))]
    odd = [
        evidence(one, learned.prior(one.features), plain)
        for one in (lesson(number, odd=True) for number in range(8, 16))
    ]
    assert np.mean([u > o for u in usual for o in odd]) > 0.9
    assert np.median(usual) > 0 > np.median(odd)


def test_effects_have_a_sign() -> None:
    rng = np.random.default_rng(0)
    lessons = []
    for _ in range(6):
        features = rng.normal(size=(8, 2))
        masks = rng.random((50, 8)) < 0.5
        lessons.append(Lesson(features, masks, (1.0 - 2.0 * masks) @ features[:, 0]))
    learned = learn_across(lessons, effects=True)
    expected = learned.prior(lessons[0].features).effects
    assert np.corrcoef(expected, lessons[0].features[:, 0])[0, 1] > 0.99
    assert not learn_across(lessons).prior(lessons[0].features).effects.any()


def test_nothing_is_learned_from_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        learn_across([])


def test_the_prior_is_of_earlier_prompts_only_and_interruption_changes_nothing(
    tmp_path: Path,
) -> None:
    whole = ip.audit_prompts(games(6), folder=tmp_path / "whole", **SETTINGS)
    assert [one.learned_from for one in whole.prompts] == [0] * 4 + [4] * 2
    part = ip.audit_prompts(games(6, stop=5), folder=tmp_path / "part", **SETTINGS)
    assert part.interrupted
    rest = ip.audit_prompts(games(6), folder=tmp_path / "part", **SETTINGS)
    assert rest.n_evaluated == 1
    assert rest.results == whole.results
    one, other = whole.explanation(5), rest.explanation(5)  # the same to the last bit
    np.testing.assert_array_equal(one.spectrum.coefficients, other.spectrum.coefficients)
    assert one.provenance["prior"] == other.provenance["prior"]


def test_a_stored_explanation_is_derived_again_with_its_prior(tmp_path: Path) -> None:
    audit = ip.audit_prompts(games(5), folder=tmp_path, learn="effects", **SETTINGS)
    explanation = audit.explanation(4)
    assert any(explanation.provenance["prior"]["effects"])
    checked = ip.verify(explanation, list(games(5))[4], store=tmp_path / "ablations.db")
    assert {check.status for check in checked.checks} == {"match"}
    assert "prior: " in str(checked)
    changed = explanation.provenance["prior"] | {"weight": 0.0}
    explanation.provenance["prior"] = changed
    assert "mismatch" in {check.status for check in ip.verify(explanation).checks}


def test_findings_are_made_without_the_prior(tmp_path: Path) -> None:
    audit = ip.audit_prompts(games(5), folder=tmp_path, **SETTINGS)
    primed = audit.explanation(4)
    game = list(games(5))[4]
    plain = ip.explain(game, **SETTINGS)
    unprimed = alone(primed)
    np.testing.assert_array_equal(unprimed.spectrum.coefficients, plain.spectrum.coefficients)
    assert unprimed.faithfulness == plain.faithfulness != primed.faithfulness
    assert "prior" not in unprimed.provenance
    assert alone(plain) is plain


def test_it_can_be_turned_off_and_is_not_used_where_it_gains_nothing() -> None:
    off = ip.audit_prompts(games(5), learn=False, **SETTINGS)
    assert [one.evidence for one in off.prompts] == [None] * 5
    rich = ip.audit_prompts(games(5), **SETTINGS | {"budget": 60})
    assert [one.learned_from for one in rich.prompts] == [0] * 5
    assert rich.prompts[4].evidence is not None
    with pytest.raises(ValueError, match="learn='all' is unknown"):
        ip.audit_prompts(games(5), learn="all")  # type: ignore[arg-type]


def test_a_prompt_unlike_the_others_is_named_and_explained_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("interplay.audit.lessons.Expected.evidence", lambda *of: UNLIKE - 1.0)
    audit = ip.audit_prompts(games(5), **SETTINGS)
    assert [one.number for one in audit.unlike] == [4]
    assert audit.prompts[4].learned_from == 0
    assert "1 are unlike the prompts before them" in str(audit)


def test_a_probability_has_ends() -> None:
    bounded = {"targets": [{"kind": "Response", "score": "prob"}]}
    assert is_bounded(bounded, 0)
    assert not is_bounded({"targets": [{"kind": "LogitDifference"}]}, 0)
    assert not is_bounded({}, 0)


def test_features_of_segments() -> None:
    roles = [["fact"], ["note"], ["fact"]]
    segments = Segments(("Not good,", "it isn't", "so.”"), roles, None)
    surface = segments.surface()
    np.testing.assert_array_equal(surface[:, 2], [1, 1, 0])  # negations
    np.testing.assert_array_equal(surface[:, 7], [0, 0, 1])  # ends of sentences
    np.testing.assert_array_equal(surface[:, 8], [1, 0, 0])  # of clauses
    np.testing.assert_array_equal(segments.features(["fact"])[:, -1], [1, 0, 1])


class Bounded:
    """A game that is scored by a probability, with hints that take a while."""

    n_players, measure = N, SHAPLEY

    def __init__(self, number: int, score: str) -> None:
        self.players, self._value = function(number)
        self.score, self.fingerprint, self.n_hinted = score, f"{score} {number}", 0

    def __call__(self, masks: BoolArray) -> FloatArray:
        values = self._value(masks)
        return np.asarray(1 / (1 + np.exp(-values)) if self.score == "prob" else values)

    def hints(self) -> ip.game.Hints:
        self.n_hinted += 1
        return ip.game.Hints("gradient", np.arange(1.0, N + 1), 5.0)

    def cost(self, masks: BoolArray) -> FloatArray:
        return np.ones(len(masks))

    def arrange(self, masks: BoolArray) -> Any:
        return np.arange(len(masks))

    batch_size = 64

    def describe(self) -> dict[str, Any]:
        return {"lens": None, "targets": [{"kind": "Response", "score": self.score}]}


def test_a_score_with_ends_is_warned_of_once_and_hints_are_asked_for_once() -> None:
    prompts = [Bounded(number, "prob") for number in range(5)]
    with pytest.warns(UserWarning, match="log-odds") as told:
        audit = ip.audit_prompts(prompts, **SETTINGS)
    assert len(told) == 1
    assert 'nothing is learned across prompts (learn="relevance")' in str(told[0].message)
    assert not any(prompt.learned_from for prompt in audit.prompts)
    assert [prompt.n_hinted for prompt in prompts] == [1] * 5
    # neither of log-odds, nor where nothing would be learned, is anything said
    ip.audit_prompts([Bounded(0, "logit")], **SETTINGS)
    ip.audit_prompts([Bounded(0, "prob")], learn=False, **SETTINGS)
    ip.audit_prompts([Bounded(0, "prob")], **{**SETTINGS, "budget": 60})
