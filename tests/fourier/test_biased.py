"""p-biased bases by their definition over all masks, and variances by direct averages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay import Keep, Spectrum
from interplay.decoders.decode import decode
from interplay.designs.measures import SHAPLEY, UNIFORM, Measure, get_measure
from interplay.fourier import biased
from interplay.fourier.biased import CO_MOEBIUS, FOURIER, MOEBIUS, Basis, rebase, truncate
from interplay.fourier.masks import every_mask
from tests.conftest import planted, subsets

N = 7
MEASURES = (UNIFORM, SHAPLEY, Keep(0.9), Keep(0.5, 0.97), get_measure(("uniform", Keep(0.9))))
probabilities = st.floats(0.02, 0.98)


def table(seed: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=1 << n)


def exact(values: np.ndarray, n: int = N) -> Spectrum:
    return decode(every_mask(n), values, decoder="exact", order=n)


def biased_law(p: float, n: int = N) -> np.ndarray:
    kept = every_mask(n).sum(axis=1)
    return np.asarray(p**kept * (1 - p) ** (n - kept))


def characters(p: float, n: int = N) -> dict[tuple[int, ...], np.ndarray]:
    single = (p - every_mask(n)) / np.sqrt(p * (1 - p))
    return {players: single[:, list(players)].prod(axis=1) for players in subsets(n)}


@given(probabilities, st.integers(0, 1000))
def test_coefficients_are_those_of_the_definition(p: float, seed: int) -> None:
    values, law = table(seed), biased_law(p)
    spectrum = exact(values)
    sets, coefficients = rebase(
        spectrum.members, spectrum.coefficients, N, FOURIER, biased.biased(p)
    )
    in_basis = Spectrum.from_members(N, sets, coefficients)
    for players, function in characters(p).items():
        assert in_basis[players] == pytest.approx(law @ (values * function), abs=1e-10)


@given(probabilities, probabilities, st.integers(0, 1000))
def test_there_and_back(p: float, q: float, seed: int) -> None:
    """Supports that are closed under subsets: the same sets, and coefficients to 1e-14."""
    rng = np.random.default_rng(seed)
    sparse = planted(40, 20, rng)
    closed = sparse + 0.1 * sparse
    sets, values = rebase(closed.members, closed.coefficients, 40, FOURIER, FOURIER)
    for basis in (biased.biased(0.3 + 0.4 * p), biased.biased(0.9), MOEBIUS, CO_MOEBIUS):
        there, coefficients = rebase(sets, values, 40, FOURIER, basis)
        np.testing.assert_array_equal(there, sets)
        back, again = rebase(there, coefficients, 40, basis, FOURIER)
        np.testing.assert_array_equal(back, sets)
        # relative to the largest coefficient in either basis: they may be of different sizes
        size = max(np.abs(values).max(), np.abs(coefficients).max())
        np.testing.assert_allclose(again / size, values / size, rtol=0, atol=2e-14)
        by_way, direct = (
            rebase(*rebase(sets, values, 40, FOURIER, basis), 40, basis, biased.biased(q)),
            rebase(sets, values, 40, FOURIER, biased.biased(q)),
        )
        np.testing.assert_allclose(by_way[1] / size, direct[1] / size, rtol=0, atol=2e-14)


@pytest.mark.parametrize(
    ("index", "basis"),
    [("Fourier", FOURIER), ("Moebius", MOEBIUS), ("Co-Moebius", CO_MOEBIUS)],
)
def test_two_ways_to_the_same_transforms(index: str, basis: Basis) -> None:
    spectrum = planted(30, 20, np.random.default_rng(1))
    sets, values = rebase(spectrum.members, spectrum.coefficients, 30, FOURIER, basis)
    transform = Spectrum.from_members(30, sets, values)
    for players, value in spectrum.to(index):
        assert transform[players] == pytest.approx(value, abs=1e-13)


def mixed_law(measure: Measure, n: int = N) -> np.ndarray:
    """The probability of each mask, both ends included, by many values of p."""
    parts = []
    for low, high in measure.ranges:
        nodes, weights = np.polynomial.legendre.leggauss(30)
        points = low + (high - low) * (1 + nodes) / 2
        parts.append(sum(w / 2 * biased_law(q, n) for q, w in zip(points, weights, strict=True)))
    return np.asarray(np.mean(parts, axis=0))


@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_variances_add_up_and_are_covariances(measure: Measure) -> None:
    values, law = np.column_stack([table(3), table(4)]), mixed_law(measure)
    spectrum = decode(every_mask(N), values, decoder="exact", order=N)
    centred = values - law @ values
    sets, parts = measure.variances(spectrum)
    np.testing.assert_allclose(parts.sum(axis=0), law @ centred**2, rtol=1e-10)
    by_order = measure.variance_by_order(spectrum)
    assert by_order.shape == (N + 1, 2)
    np.testing.assert_allclose(by_order.sum(axis=0), parts.sum(axis=0))
    p = measure.mean
    functions = characters(p)
    in_basis = rebase(spectrum.members, spectrum.coefficients, N, FOURIER, biased.biased(p))[1]
    for row, members in enumerate(sets):
        players = tuple(int(player) for player in members if player < N)
        own = in_basis[row] * functions[players][:, None]
        covariance = law @ ((own - law @ own) * centred)
        np.testing.assert_allclose(parts[row], covariance, atol=1e-10)


@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_a_linear_function_is_all_of_order_one(measure: Measure) -> None:
    linear = Spectrum.from_dict(9, {(): 5.0, (0,): 1.0, (4,): 2.0})
    by_order = measure.variance_by_order(linear)[:, 0]
    assert by_order[1] > 0
    assert by_order[0] == pytest.approx(0, abs=1e-12)
    assert np.abs(by_order[2:]).sum() == 0
    nothing = Spectrum.from_dict(9, {})
    assert not measure.variance_by_order(nothing).any()
    assert not measure.variance_by_order(Spectrum.from_dict(9, {(): 3.0})).any()


def test_uniform_variances_are_energies() -> None:
    spectrum = planted(50, 30, np.random.default_rng(2))
    np.testing.assert_array_equal(
        UNIFORM.variance_by_order(spectrum)[1:, 0], spectrum.energy_by_order()[1:]
    )
    assert truncate(spectrum, 0.5, 5).sets == spectrum.truncate(n_terms=5).sets


def test_truncation_near_the_intact_input() -> None:
    """Of a function with all pairs, what is left predicts masks of that measure."""
    rng = np.random.default_rng(0)
    pairs = Spectrum.from_terms(
        40, [s for s in subsets(40, 2) if s], [0.0] * 40 + rng.normal(size=780).tolist()
    )
    masks = Keep(0.95).design(400, 40, rng).masks
    values = pairs.predict(masks)
    missed = [
        np.square(values - spectrum.predict(masks)).mean() / values.var()
        for spectrum in (pairs.truncate(n_terms=100), truncate(pairs, 0.95, 100))
    ]
    assert missed[1] < 0.15
    assert missed[0] > 0.5


def test_very_many_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    spectrum = exact(table(0))
    whole = SHAPLEY.variance_by_order(spectrum).sum()
    monkeypatch.setattr(biased, "MAX_PAIRS", 1500)  # all 7 players have 3^7 = 2,187
    part = SHAPLEY.variance_by_order(spectrum).sum()
    assert 0.5 * whole < part < whole
