"""The kernel against sums over all subsets, and its gradient against finite differences."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from interplay._types import BoolArray, FloatArray
from interplay.decoders.gaussian.inputs import REACH, Inputs, neighbours, panels
from interplay.decoders.gaussian.kernel import Kernel
from interplay.decoders.gaussian.learn import factor, inverse, learn, likelihood
from interplay.fourier.characters import characters
from interplay.fourier.masks import every_mask, uniform
from interplay.fourier.sets import members, pack_sets
from tests.conftest import subsets


def plain_kernel(n_players: int, degree: int) -> Kernel:
    """All players alike, low orders stronger."""
    weights, shared = [0.4, 0.3, 0.1, 0.03][:degree], [0.02, 0.1, 0.6, 0.05]
    return Kernel(n_players, np.log([1.0] * n_players + weights + shared))


def some_kernel(n_players: int, degree: int, rng: np.random.Generator) -> Kernel:
    start = plain_kernel(n_players, degree)
    return replace(start, theta=start.theta + rng.normal(0, 0.5, len(start.theta)))


def brute_force(kernel: Kernel, a: BoolArray, b: BoolArray) -> FloatArray:
    """The definition, set by set and pair by pair."""
    n, theta = kernel.n_players, kernel.theta
    r = np.exp(theta[:n]) / np.exp(theta[:n]).mean()
    total = np.full((len(a), len(b)), np.exp(theta[n + kernel.degree]))
    for players in subsets(n, min(kernel.degree, n)):
        if players:
            variance = np.exp(theta[n + len(players) - 1]) / comb(n, len(players))
            chi = [(-1.0) ** masks[:, players].sum(axis=1) for masks in (a, b)]
            total += variance * np.prod(r[list(players)]) * np.outer(*chi)
    size, decay = np.exp(theta[n + kernel.degree + 1 : n + kernel.degree + 3])
    for i in range(n):
        for j in range(i + 1, min(n, i + REACH + 1)):
            met = [m[:, i] & m[:, j] & ~m[:, i + 1 : j].any(axis=1) for m in (a, b)]
            strength = size * np.exp(-decay * (j - i - 1)) * np.sqrt(r[i] * r[j]) * 4 / n
            total += strength * np.outer(*met)
    return total


@pytest.mark.parametrize(
    ("n_players", "degree"),
    [(1, 1), (2, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 1), (6, 3), (6, 4)],
)
def test_the_kernel_is_its_sum_over_all_subsets(n_players: int, degree: int) -> None:
    rng = np.random.default_rng(degree)
    kernel, masks = some_kernel(n_players, degree, rng), every_mask(n_players)
    a, b = masks, masks[rng.permutation(len(masks))[: max(1, len(masks) // 2)]]
    np.testing.assert_allclose(
        kernel(Inputs.of(a), Inputs.of(b)), brute_force(kernel, a, b), rtol=1e-9, atol=1e-9
    )


def test_more_players_than_reach_have_neighbours_within_it() -> None:
    pairs = neighbours(9)
    gaps = pairs[:, 1] - pairs[:, 0]
    assert gaps.tolist() == [1] * 8 + [2] * 7 + [3] * 6 + [4] * 5
    masks = every_mask(9)
    adjacent = Inputs.of(masks).adjacent.toarray()
    for (i, j), column in zip(pairs.tolist(), adjacent.T, strict=True):
        met = masks[:, i] & masks[:, j] & ~masks[:, i + 1 : j].any(axis=1)
        np.testing.assert_array_equal(column, met)
    rows = np.array([5, 300])
    selected = Inputs.of(masks)[rows]
    assert len(selected) == 2
    np.testing.assert_array_equal(selected.adjacent.toarray(), adjacent[rows])


def test_the_prior_is_the_kernels_variance_of_each_coefficient() -> None:
    """Without the adjacency: F(S) = 2^-n sum_m f(m) chi_S(m), of the covariance of all masks."""
    rng = np.random.default_rng(0)
    kernel = some_kernel(5, 3, rng)
    kernel = replace(kernel, theta=np.where(np.arange(12) == 9, -40.0, kernel.theta))  # no b
    masks = every_mask(5)
    chi = characters(masks, pack_sets(subsets(5), 5)) / 32
    covariance = chi.T @ kernel(Inputs.of(masks), Inputs.of(masks)) @ chi
    sets = members(pack_sets(subsets(5), 5), 5)
    prior = kernel.prior((sets < 5).sum(axis=1), sets)
    np.testing.assert_allclose(covariance, np.diag(prior), atol=1e-12)
    assert (prior[(sets < 5).sum(axis=1) > 3] == 0).all()


def loss(kernel: Kernel, inputs: Inputs, values: FloatArray) -> float:
    """The negative log marginal likelihood by its definition."""
    covariance = kernel(inputs, inputs) + kernel.noise * np.eye(len(inputs))
    sign, volume = np.linalg.slogdet(covariance)
    assert sign > 0
    fit = float((values * np.linalg.solve(covariance, values)).sum())
    return 0.5 * (fit + values.shape[1] * float(volume))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("n_players", "degree"), [(2, 1), (2, 2), (7, 1), (7, 2), (7, 3), (7, 4)])
def test_the_gradient_against_finite_differences(
    n_players: int, degree: int, single: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several panels, of which the last is narrower."""
    monkeypatch.setattr("interplay.decoders.gaussian.inputs._PANEL", 12)
    rng = np.random.default_rng(degree)
    masks = every_mask(n_players) if n_players == 2 else uniform(40, n_players, rng)
    inputs, values = Inputs.of(masks), rng.normal(size=(len(masks), 2))
    kernel = some_kernel(n_players, degree, rng)
    rounding = 100.0 if single else 1.0
    parts = list(panels(inputs.single() if single else inputs))
    value, found = likelihood(kernel, parts, values)
    assert value == pytest.approx(loss(kernel, inputs, values), rel=1e-6 * rounding)
    step = 1e-5
    for number in range(len(kernel.theta)):
        nudge = step * (np.arange(len(kernel.theta)) == number)
        up, down = (
            loss(replace(kernel, theta=kernel.theta + sign * nudge), inputs, values)
            for sign in (1, -1)
        )
        expected = (up - down) / (2 * step)
        assert found[number] == pytest.approx(expected, rel=1e-4, abs=1e-5 * rounding)


def test_factor_and_inverse() -> None:
    """Of a matrix whose upper half is not read."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(20, 20))
    covariance = half @ half.T
    total = covariance + 0.3 * np.eye(20)
    lower = factor(np.where(np.tri(20, dtype=np.bool_), covariance, np.nan), 0.3)
    np.testing.assert_allclose(lower @ lower.T, total, rtol=1e-5)
    precision = inverse(lower.copy())
    np.testing.assert_array_equal(np.triu(precision, 1), 0.0)
    np.testing.assert_allclose(
        (precision + np.tril(precision, -1).T) @ total, np.eye(20), atol=1e-5
    )


def test_double_precision_where_there_is_next_to_no_noise() -> None:
    kernel = plain_kernel(5, 2)
    assert kernel.suits_single(400)
    assert not kernel.suits_single(100)
    at_noise = np.arange(len(kernel.theta)) == len(kernel.theta) - 1
    assert not replace(kernel, theta=np.where(at_noise, -8.0, kernel.theta)).suits_single(400)
    assert not replace(kernel, theta=kernel.theta + 5.0 * ~at_noise).suits_single(400)


def test_the_covariances_in_panels_are_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interplay.decoders.gaussian.inputs._PANEL", 12)
    rng = np.random.default_rng(0)
    inputs = Inputs.of(uniform(40, 9, rng))
    kernel = some_kernel(9, 4, rng)
    np.testing.assert_allclose(
        np.tril(kernel.lower(inputs)), np.tril(kernel(inputs, inputs)), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("n_masks", [150, 400])
def test_learning_finds_who_matters_and_lowers_the_loss(n_masks: int) -> None:
    """Without noise; with many masks it begins in single precision and cannot end there."""
    rng = np.random.default_rng(0)
    masks = uniform(n_masks, 12, rng)
    signs = np.where(masks, -1.0, 1.0)
    values = signs[:, 2] + signs[:, 5] + signs[:, 2] * signs[:, 5]
    values = ((values - values.mean()) / values.std())[:, None]
    inputs, start = Inputs.of(masks), plain_kernel(12, 3)
    kernel = learn(inputs, values, 3)
    assert start.suits_single(400)
    assert not kernel.suits_single(400)
    assert loss(kernel, inputs, values) < loss(start, inputs, values) - 50
    others = np.delete(kernel.relevances, [2, 5])
    assert kernel.relevances[[2, 5]].min() > 2 * others.max()
    assert kernel.relevances.mean() == pytest.approx(1.0)
