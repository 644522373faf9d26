from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import r2_score

from interplay import Spectrum
from interplay.explanation.faithfulness import Faithfulness, faithfulness, r2
from interplay.fourier.masks import uniform
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
def test_the_interval_covers_the_true_score() -> None:
    """Over many held-out sets, the 95 % interval holds the R2 on the whole population."""
    rng = np.random.default_rng(1)
    truth = planted(30, 20, rng)
    guess = truth.truncate(n_terms=12)
    population = uniform(50_000, 30, rng)
    true_r2 = r2(truth.predict(population), guess.predict(population))[0]
    hits = 0
    for _ in range(100):
        masks = uniform(150, 30, rng)
        score = faithfulness(guess, masks, truth.predict(masks), rng)
        assert score.low <= score.r2 <= score.high
        hits += score.low <= true_r2 <= score.high
    assert 85 <= hits <= 100


def test_a_constant_has_no_score_and_null_is_written_for_it() -> None:
    masks = np.random.default_rng(0).integers(0, 2, size=(30, 5)).astype(bool)
    spectrum = Spectrum.from_dict(5, {(): [0.1, 0.5], (0,): [0.0, 0.2]})
    rng = np.random.default_rng(0)
    both = faithfulness(spectrum, masks, spectrum.predict(masks), rng)
    assert (both.varies, both.known, both.r2) == (True, True, 1.0)  # of the one that varies
    assert np.isnan(both.by_output).tolist() == [True, False]
    none = faithfulness(spectrum.output(0), masks, np.full(30, 0.1), rng)
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
        spectrum, masks, spectrum.predict(masks), np.random.default_rng(0), exact=True
    )
    assert (score.r2, score.low, score.high, score.n_masks) == (1.0, 1.0, 1.0, 4)
    assert str(score) == "R2 = 1.000 on all 4 masks"


def test_the_interval_of_values_that_hardly_vary() -> None:
    """Resamples without the one value that differs say nothing, instead of minus infinity."""
    values = np.zeros(10)
    values[3] = 1.0
    masks = np.random.default_rng(0).integers(0, 2, size=(10, 5)).astype(bool)
    score = faithfulness(Spectrum.from_dict(5, {(): 0.1}), masks, values, np.random.default_rng(0))
    assert score.r2 == pytest.approx(0.0, abs=0.2)
    assert -10 < score.low <= score.high <= 0.2
