from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import r2_score

from interplay import Spectrum
from interplay.explanation.faithfulness import (
    Faithfulness,
    _in_units,
    _unexplained,
    faithfulness,
    r2,
)
from interplay.fourier.masks import uniform
from interplay.fourier.spectrum import join_outputs
from tests.conftest import planted


def test_r2_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    actual, predicted = rng.normal(5, 1, size=(50, 3)), rng.normal(5, 1, size=(50, 3))
    wanted = r2_score(actual, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2(actual, predicted), wanted)
    np.testing.assert_allclose(r2(actual[:, 0], predicted[:, 0]), wanted[:1])


def test_r2_of_a_constant() -> None:
    constant = np.full(10, 3.3)
    for predicted in (constant, constant + 1):
        assert np.isnan(r2(constant, predicted)).tolist() == [True]
    assert np.isnan(r2(np.zeros(10), np.full(10, -2.6e-12))).tolist() == [True]
    # a large offset must not eat the variance
    values = 1e6 + np.arange(10.0)
    assert r2(values, values + 0.5)[0] == pytest.approx(1 - 10 * 0.25 / 82.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_held_out", "kind", "least"),
    [
        (10, "sparse", 0.9),
        (16, "sparse", 0.9),
        (50, "sparse", 0.9),
        (150, "sparse", 0.9),
        (10, "heavy", 0.85),
        (20, "heavy", 0.87),
        (20, "useless", 0.9),
        (20, "two outputs", 0.9),
    ],
)
def test_the_interval_covers_the_true_score(n_held_out: int, kind: str, least: float) -> None:
    """Over many held-out sets, the 95 % interval holds the R2 on the whole population."""
    rng = np.random.default_rng(1)
    truth = planted(30, 20, rng)
    guess = truth.truncate(n_terms=12)
    population = uniform(20_000, 30, rng)
    values = truth.predict(population)
    if kind == "heavy":  # some errors are ten times as large as the others
        values += 3.0 * rng.normal(size=len(values)) * (rng.random(len(values)) < 0.1)
    elif kind == "useless":
        guess = Spectrum.from_dict(30, {(): float(values.mean()) + 0.5})
    elif kind == "two outputs":
        values = np.stack([values, 100.0 * population[:, 0] + 10 * rng.normal(size=20_000)], axis=1)
        both = Spectrum.from_dict(30, {(): [0.0, 50.0], (0,): [0.0, -45.0]})
        pairs = [guess, Spectrum.from_dict(30, {(): 0.0})]
        guess = join_outputs(pairs) + both
    true_r2 = r2(values, guess.predict(population)).mean()
    covered, widths = [], []
    for _ in range(400 if n_held_out < 50 else 150):
        rows = rng.choice(len(values), n_held_out, replace=False)
        score = faithfulness(population[rows], values[rows], guess.predict(population[rows]), rng)
        assert score.low <= score.r2 <= score.high <= 1.0
        covered.append(score.low <= true_r2 <= score.high)
        widths.append(score.high - score.low)
    assert least <= np.mean(covered) <= 0.995
    if n_held_out >= 50:  # no wider than the spread of R2 makes necessary
        assert np.median(widths) < 2.4 / np.sqrt(n_held_out)


def test_the_standard_error_is_that_of_the_log_of_the_unexplained_share() -> None:
    rng = np.random.default_rng(0)
    values, errors = rng.normal(size=(4000, 60, 2)), 0.5 * rng.normal(size=(4000, 60, 2))
    made = [
        _unexplained(np.ones((1, 60)), *_in_units(actual, actual + error))
        for actual, error in zip(values, errors, strict=True)
    ]
    spread = np.std([sample.log[0] for sample in made])
    told = np.sqrt(np.mean([sample.error[0] ** 2 for sample in made]))
    assert told == pytest.approx(spread, rel=0.05)


def test_exact_predictions_and_the_mean_have_a_point() -> None:
    masks = uniform(30, 5, np.random.default_rng(0))
    spectrum = Spectrum.from_dict(5, {(0,): 1.0, (1, 2): 0.5})
    values = spectrum.predict(masks)
    rng = np.random.default_rng(0)
    exact = faithfulness(masks, values, spectrum.predict(masks), rng)
    assert (exact.low, exact.r2, exact.high) == (1.0, 1.0, 1.0)
    mean = faithfulness(masks, values, np.full(len(masks), values.mean()), rng)
    assert mean.low <= mean.r2 <= mean.high
    assert abs(mean.low) < 1e-6


def test_errors_of_one_mask_only_leave_a_finite_interval() -> None:
    masks = uniform(12, 5, np.random.default_rng(0))
    spectrum = Spectrum.from_dict(5, {(0,): 1.0, (1, 2): 0.5})
    values = spectrum.predict(masks)
    values[3] += 1.0
    score = faithfulness(masks, values, spectrum.predict(masks), np.random.default_rng(0))
    assert -1e6 <= score.low < score.r2 < score.high <= 1.0


def test_a_constant_has_no_score_and_null_is_written_for_it() -> None:
    masks = np.random.default_rng(0).integers(0, 2, size=(30, 5)).astype(bool)
    spectrum = Spectrum.from_dict(5, {(): [0.1, 0.5], (0,): [0.0, 0.2]})
    rng = np.random.default_rng(0)
    both = faithfulness(masks, spectrum.predict(masks), spectrum.predict(masks), rng)
    assert (both.varies, both.known, both.r2) == (True, True, 1.0)  # of the one that varies
    assert np.isnan(both.by_output).tolist() == [True, False]
    none = faithfulness(masks, np.full(30, 0.1), spectrum.output(0).predict(masks), rng)
    assert (none.varies, none.known) == (False, False)
    assert np.isnan([none.r2, none.low, none.high]).all()
    for score in (both, none):
        written = json.dumps(score.to_json(), allow_nan=False)
        again = Faithfulness.from_json(json.loads(written))
        np.testing.assert_equal(asdict(again), asdict(score))
    assert none.to_json()["r2"] is None


def test_exact_faithfulness_is_a_point() -> None:
    spectrum = Spectrum.from_dict(2, {(0,): 1.0})
    masks = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=bool)
    score = faithfulness(
        masks,
        spectrum.predict(masks),
        spectrum.predict(masks),
        np.random.default_rng(0),
        exact=True,
    )
    assert (score.r2, score.low, score.high, score.n_masks) == (1.0, 1.0, 1.0, 4)
    assert str(score) == "R2 = 1.000 on all 4 masks"


def test_the_interval_of_values_that_hardly_vary() -> None:
    """Resamples without the one value that differs say nothing, instead of minus infinity."""
    values = np.zeros(10)
    values[3] = 1.0
    masks = np.random.default_rng(0).integers(0, 2, size=(10, 5)).astype(bool)
    score = faithfulness(masks, values, np.full(len(masks), 0.1), np.random.default_rng(0))
    assert score.r2 == pytest.approx(0.0, abs=0.2)
    assert -10 < score.low <= score.high <= 0.2
