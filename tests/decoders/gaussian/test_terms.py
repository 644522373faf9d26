"""Coefficients, covariance and leave-one-out predictions against the dense Gaussian posterior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interplay._types import FloatArray
from interplay.decoders.gaussian.inputs import REACH, Inputs
from interplay.decoders.gaussian.terms import Family, Posterior, candidates
from interplay.fourier.characters import characters
from interplay.fourier.masks import every_mask, uniform
from interplay.fourier.sets import members, pack_sets, tuples
from tests.conftest import subsets
from tests.decoders.gaussian.test_kernel import plain_kernel, some_kernel


def posterior(n_players: int, degree: int, n_masks: int = 40) -> tuple[Posterior, FloatArray]:
    """The posterior of two random outputs, and their values."""
    rng = np.random.default_rng(degree)
    masks = uniform(min(n_masks, 1 << n_players), n_players, rng)
    values = rng.normal(size=(len(masks), 2))
    return Posterior.of(some_kernel(n_players, degree, rng), Inputs.of(masks), values), values


def masks_of(fit: Posterior) -> np.ndarray:
    return fit.inputs.signs < 0


def dense(fit: Posterior, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The posterior's mean and covariance at all 2^n masks."""
    kernel, everywhere = fit.kernel, Inputs.of(every_mask(fit.kernel.n_players))
    cross = kernel(everywhere, fit.inputs)
    known = kernel(fit.inputs, fit.inputs) + kernel.noise * np.eye(len(fit.inputs))
    solved = np.linalg.solve(known, np.hstack([values, cross.T]))
    return cross @ solved[:, :2], kernel(everywhere, everywhere) - cross @ solved[:, 2:]


@pytest.mark.parametrize(("n_players", "degree"), [(1, 1), (2, 2), (5, 3), (8, 2), (8, 4)])
def test_means_and_covariance_are_the_transform_of_the_dense_posterior(
    n_players: int, degree: int
) -> None:
    fit, values = posterior(n_players, degree)
    packed = pack_sets(subsets(n_players), n_players)
    chi = characters(every_mask(n_players), packed) / 2**n_players
    mean, covariance = dense(fit, values)
    family = Family(members(packed, n_players), n_players)
    (found,) = family.means(masks_of(fit), [fit])
    np.testing.assert_allclose(found, chi.T @ mean, atol=1e-6)
    np.testing.assert_allclose(
        family.covariance(masks_of(fit), fit), chi.T @ covariance @ chi, atol=1e-6
    )


def test_a_part_of_a_family_has_the_same_coefficients() -> None:
    """With the sets in any order, and beside a second posterior."""
    fit, values = posterior(7, 3)
    other = Posterior.of(plain_kernel(7, 3), fit.inputs, values)
    all_sets = Family(members(pack_sets(subsets(7), 7), 7), 7)
    rows = np.array([100, 3, 0, 64, 29])
    few_sets = Family(all_sets.members[rows], 7)
    masks = masks_of(fit)
    for mean, part in zip(
        all_sets.means(masks, [fit, other]), few_sets.means(masks, [fit, other]), strict=True
    ):
        np.testing.assert_allclose(part, mean[rows], atol=1e-12)
    np.testing.assert_allclose(
        few_sets.covariance(masks, fit),
        all_sets.covariance(masks, fit)[np.ix_(rows, rows)],
        atol=1e-12,
    )


@pytest.mark.parametrize("degree", [1, 4])
def test_leave_one_out_is_what_a_fit_without_a_mask_and_its_complement_predicts(
    degree: int,
) -> None:
    fit, values = posterior(8, degree, n_masks=25)
    predicted, variance = fit.leave_one_out(values)
    kernel, masks = fit.kernel, masks_of(fit)
    n_with_complement = 0
    for row in range(25):
        is_complement = (masks == ~masks[row]).all(axis=1)
        n_with_complement += int(is_complement.sum())
        others = np.flatnonzero(~is_complement & (np.arange(25) != row))
        refit = Posterior.of(kernel, fit.inputs[others], values[others])
        left_out = fit.inputs[np.array([row])]
        cross = kernel(left_out, refit.inputs)
        np.testing.assert_allclose(predicted[row], (cross @ refit.weights)[0], atol=1e-5)
        known = kernel(refit.inputs, refit.inputs) + kernel.noise * np.eye(len(others))
        prior = kernel(left_out, left_out) + kernel.noise
        expected = prior - cross @ np.linalg.solve(known, cross.T)
        assert variance[row] == pytest.approx(expected.item(), rel=1e-4)
    assert 0 < n_with_complement < 25


def test_leave_one_out_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, values = posterior(8, 4, n_masks=200)
    exact = fit.leave_one_out(values)
    monkeypatch.setattr("interplay.decoders.gaussian.kernel._MOST_IN_DOUBLE", 0)
    again = Posterior.of(fit.kernel, fit.inputs, values)
    for rounded, expected in zip(again.leave_one_out(values), exact, strict=True):
        np.testing.assert_allclose(rounded, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("degree", [1, 4])
def test_the_variance_of_a_value_is_that_of_the_dense_posterior(degree: int) -> None:
    fit, values = posterior(6, degree)
    _, covariance = dense(fit, values)
    expected = np.diagonal(covariance) + fit.kernel.noise
    np.testing.assert_allclose(fit.variance(Inputs.of(every_mask(6))), expected, atol=1e-6)


@pytest.mark.parametrize("n_players", [1, 2, 3, 12])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_candidates_are_distinct_and_hold_what_they_must(n_players: int, order: int) -> None:
    degree = min(order, n_players, 4)
    fit, _ = posterior(n_players, degree)
    found = tuples(candidates(masks_of(fit), [fit], min(order, n_players)), n_players)
    assert len(found) == len(set(found))
    assert max(map(len, found)) <= order
    required = set(subsets(n_players, min(order, n_players, 2)))
    required |= {
        players
        for players in subsets(n_players, min(order, n_players))
        if players and players[-1] - players[0] <= REACH
    }
    if order >= 3:
        required |= set(subsets(n_players, min(3, n_players)))
    assert required <= set(found)


def test_quadruples_are_grown_where_they_matter() -> None:
    """Four players far from each other; their subsets matter too."""
    rng = np.random.default_rng(0)
    masks = uniform(600, 24, rng)
    target = 1.0 * masks[:, [0, 7, 14, 21]].all(axis=1)
    target = ((target - target.mean()) / target.std())[:, None]
    kernel = plain_kernel(24, 4)
    theta = kernel.theta.copy()
    theta[[0, 7, 14, 21]] += 1.0
    fit = Posterior.of(replace(kernel, theta=theta), Inputs.of(masks), target)
    assert (0, 7, 14, 21) in tuples(candidates(masks, [fit], 4), 24)
    assert (0, 7, 14, 21) not in tuples(candidates(masks, [fit], 3), 24)
