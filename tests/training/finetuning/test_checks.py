"""What is checked of a fine-tuning: whether it learned, another seed, full depth, the scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import interplay as ip
from interplay.training import FineTuningGame
from interplay.training.finetuning.checks import TuningChecks, agreement, random_subsets
from tests.training.finetuning.tiny import QUESTIONS, tuning


def test_an_agreement_is_a_mean_of_rank_correlations_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(20, 3))
    other = one + rng.normal(size=(20, 3))
    found = agreement(one, other)
    each = [spearmanr(a, b).statistic for a, b in zip(one.T, other.T, strict=True)]
    assert found.spearman == pytest.approx(np.mean(each))
    assert -1 < found.low < found.spearman < found.high < 1
    assert found.n_subsets == 20
    assert "over 20 random subsets, which are few" in str(found)
    # more questions of the same trainings do not make it surer; more subsets do
    assert agreement(np.tile(one, 9), np.tile(other, 9)) == found
    doubled = agreement(np.tile(one, (2, 1)), np.tile(other, (2, 1)))
    assert doubled.high - doubled.low < found.high - found.low
    same = agreement(one, one)
    assert same.spearman == pytest.approx(1)
    constant = agreement(one * 0, other)
    assert np.isnan(constant.spearman)
    assert "no score varies" in str(constant)


def test_subsets_are_neither_full_nor_empty() -> None:
    masks = random_subsets(200, 2, 0)
    assert (masks.sum(axis=1) == 1).all()
    with pytest.raises(ValueError, match="4 subsets are too few to see whether two trainings"):
        random_subsets(4, 10, 0)


def test_the_checks_of_a_run() -> None:
    game = FineTuningGame(tuning(layers=1, vocabulary=20), QUESTIONS)
    game.check(n_subsets=8)
    checks = game.check(n_subsets=0, n_full_depth=8)  # with what is known already
    assert checks.learned
    assert checks.base == pytest.approx(game(np.zeros((1, 6), dtype=bool))[0], abs=1e-4)
    assert checks.tuned == pytest.approx(game(np.ones((1, 6), dtype=bool))[0], abs=1e-4)
    masks = random_subsets(8, 6, 0)
    seeds = [FineTuningGame(tuning(layers=1, vocabulary=20, seed=n), QUESTIONS) for n in (0, 1)]
    assert checks.seed == agreement(*(one(masks) for one in seeds))
    whole = tuning(layers="all", adapt="all", learning_rate=None)
    full = FineTuningGame(whole, QUESTIONS)
    assert checks.depth is not None
    wanted = agreement(game(masks), full(masks))
    assert checks.depth.spearman == pytest.approx(wanted.spearman, abs=0.1)
    text = str(checks)
    assert "learned        mean log-probability of the examples' responses a token: -" in text
    assert "only the last layer of 3 tuned" in text
    assert "trained with another seed: Spearman's correlation" in text
    assert "trained in all layers, without approximations: Spearman's correlation" in text
    assert "(base), " in text
    observed = ip.explain(game, budget=64, progress=False).provenance["observed"]
    assert observed == checks.to_json()
    assert [line["name"] for line in observed["checks"]] == [
        *("learned", "approximations", "another seed", "full depth", "score"),
    ]


def test_a_model_that_does_not_learn_is_told() -> None:
    game = FineTuningGame(tuning(learning_rate=1e-7), QUESTIONS)
    message = r"leaves their responses at a mean log-probability of -\d.*; give a larger learning"
    with pytest.warns(UserWarning, match=message):
        checks = game.check(n_subsets=0)
    assert not checks.learned
    assert "it did not learn, so there is little to explain" in str(checks)
    # a run that nobody checked beforehand says so too
    unchecked = FineTuningGame(tuning(learning_rate=1e-7), QUESTIONS)
    with pytest.warns(UserWarning, match="it did not learn"):
        observed = ip.explain(unchecked, budget=64, progress=False).provenance["observed"]
    assert observed["checks"][0]["warning"]


def test_probabilities_and_disagreement_are_warnings() -> None:
    checks = TuningChecks(("a",), (-5.0,), (-0.1,), (-4.0, -0.2), "prob")
    assert [(name, bad) for name, _, bad in checks.lines] == [
        ("learned", False),
        ("another seed", False),
        ("full depth", False),
        ("score", True),
    ]
    rng = np.random.default_rng(0)
    low = agreement(rng.normal(size=(8, 2)), rng.normal(size=(8, 2)))
    disagreeing = TuningChecks(("a",), (-5.0,), (-0.1,), (-4.0, -0.2), "logprob", seed=low)
    assert disagreeing.lines[1][2]
    diverged = TuningChecks(("a",), (-5.0,), (np.nan,), (-4.0, np.nan), "logprob")
    assert not diverged.learned
    assert "smaller learning rate" in diverged.advice
    too_far = TuningChecks(("a",), (-5.0,), (0.0,), (-4.0, -10.8), "margin")
    assert "smaller learning rate" in too_far.advice
    assert diverged.to_json()["questions"] == [{"name": "a", "base": -5.0, "tuned": None}]
