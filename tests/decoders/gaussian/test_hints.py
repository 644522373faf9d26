"""Hints as the prior of the relevances: what they gain, what a useless one costs, its weight."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from interplay._types import FloatArray
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.decoders.gaussian import learn as module
from interplay.decoders.gaussian.inputs import Inputs
from interplay.decoders.gaussian.learn import Prior, learn, standardised
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform
from interplay.fourier.spectrum import Spectrum

N_PLAYERS = 40
RELEVANT = 8


def planted(rng: np.random.Generator) -> Spectrum:
    """Eight of forty players matter, alone and in pairs."""
    terms: dict[tuple[int, ...], float] = {(i,): float(rng.normal()) for i in range(RELEVANT)}
    while len(terms) < 3 * RELEVANT:
        i, j = sorted(rng.choice(RELEVANT, 2, replace=False).tolist())
        terms[i, j] = float(rng.normal())
    return Spectrum.from_dict(N_PLAYERS, terms)


def score(hints: FloatArray | None, seed: int, n_masks: int = 70) -> tuple[float, float | None]:
    """R2 on other masks, and the hints' weight."""
    rng = np.random.default_rng(seed)
    truth, masks = planted(rng), uniform(n_masks + 500, N_PLAYERS, rng)
    values = truth.predict(masks)
    decoded = run_decoder(
        get_decoder("gp"),
        PlainDesign("uniform", masks[:n_masks]),
        values[:n_masks],
        3,
        np.random.default_rng(0),
        {} if hints is None else {"hints": hints},
    )
    assert decoded.surrogate is not None
    predicted = decoded.surrogate.predict(masks[n_masks:])
    return float(r2(values[n_masks:], predicted)[0]), decoded.settings.get("weight_of_hints")


GOOD = np.where(np.arange(N_PLAYERS) < RELEVANT, 4.0, 1.0)


def test_good_hints_gain_and_useless_ones_cost_little() -> None:
    seeds = range(4)
    without = np.array([score(None, seed)[0] for seed in seeds])
    good, weights = np.array([score(GOOD, seed) for seed in seeds], dtype=float).T
    assert (good - without).mean() > 0.1
    assert weights.min() > 0.8
    shuffled = [np.random.default_rng(seed).permutation(GOOD) for seed in seeds]
    useless, useless_weights = np.array(
        [score(hints, seed) for hints, seed in zip(shuffled, seeds, strict=True)], dtype=float
    ).T
    assert (useless - without).mean() > -0.05
    assert useless_weights.mean() < 0.4
    inverse = np.array([score(1 / GOOD, seed)[1] for seed in seeds], dtype=float)
    assert inverse.mean() < 0.1


def test_only_ratios_count() -> None:
    assert score(GOOD, 0) == pytest.approx(score(1e-12 * GOOD, 0))
    assert score(np.full(N_PLAYERS, 3.0), 0)[0] == score(None, 0)[0]
    assert score(np.zeros(N_PLAYERS), 0)[0] == score(None, 0)[0]


def test_standardised() -> None:
    z = standardised(np.array([1.0, 2.0, 4.0, 8.0]))
    np.testing.assert_allclose(z, (np.arange(4) - 1.5) / np.sqrt(1.25))
    np.testing.assert_array_equal(standardised(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(standardised(np.full(3, 7.0)), np.zeros(3))
    with_zero = standardised(np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(with_zero).all()
    unusual = standardised(np.where(np.arange(100) == 5, 2.0, 1.0))
    assert unusual[5] < 3.1
    assert abs(unusual.mean()) < 1e-12


def test_the_prior_is_that_of_a_random_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ablations' say the optimum is the prior mean, and its curvature the covariance."""
    rng = np.random.default_rng(1)
    n = 5
    z = standardised(rng.lognormal(size=n))
    inputs = Inputs.of(uniform(8, n, rng))
    objectives = []

    def record(objective, start, **options):  # type: ignore[no-untyped-def]
        objectives.append((objective, start))
        return type("Optimum", (), {"x": start})

    def silent(kernel, parts, values):  # type: ignore[no-untyped-def]
        return 0.0, np.zeros(len(kernel.theta))

    monkeypatch.setattr("scipy.optimize.minimize", record)
    monkeypatch.setattr(module, "likelihood", silent)
    prior = Prior.plain(n, z)
    kernel = learn(inputs, np.zeros((8, 1)), 2, prior=prior)
    ((objective, start),) = objectives
    value, gradient = objective(start)
    assert value == pytest.approx(0.0)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)
    assert prior.weight_in(kernel) == pytest.approx(module._WEIGHT_MEAN)
    moved = start + rng.normal(size=len(start))
    numeric = approx_fprime(moved, lambda theta: objective(theta)[0])
    np.testing.assert_allclose(objective(moved)[1], numeric, atol=1e-4)
    # on contrasts of players the penalty is that of N(g z, I + s^2 z z^T)
    covariance = np.eye(n) + module._WEIGHT_DEVIATION**2 * np.outer(z, z)
    d = moved[:n] - moved[:n].mean() - module._WEIGHT_MEAN * z
    rest = np.concatenate([np.full(n, moved[:n].mean()) + module._WEIGHT_MEAN * z, moved[n:]])
    expected = 0.5 * d @ np.linalg.solve(covariance, d)
    assert objective(moved)[0] - objective(rest)[0] == pytest.approx(expected)
