"""Every index against its definition over all 2^n subsets, and against shapiq's exact computer."""

from __future__ import annotations

import warnings
from math import comb, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay import INDICES, Spectrum
from interplay._types import FloatArray, IntArray, Players
from interplay.decoders.decode import decode
from interplay.fourier.masks import every_mask
from tests.conftest import subsets

Values = dict[Players, float]


def number(players: Players) -> int:
    """The row of a mask in a table over all masks."""
    return sum(1 << player for player in players)


def numbers_within(players: Players) -> IntArray:
    """The rows of all subsets of a set."""
    return np.array([number(part) for part in subsets_of(players)], dtype=np.int64)


def subsets_of(players: Players) -> list[Players]:
    return [tuple(players[i] for i in chosen) for chosen in subsets(len(players))]


def derivatives(v: FloatArray, s: Players, at: IntArray) -> FloatArray:
    """The discrete derivatives of v with respect to S at each of several sets outside S."""
    return sum(
        ((-1) ** (len(s) - len(part)) * v[at + number(part)] for part in subsets_of(s)),
        np.zeros(len(at)),
    )


def moebius(v: FloatArray, n: int) -> Values:
    return {s: float(derivatives(v, s, np.zeros(1, dtype=np.int64))[0]) for s in subsets(n)}


def averaged_derivative(v: FloatArray, n: int, k: int, shapley: bool) -> Values:
    """SII and BII by their definitions: weighted means of discrete derivatives."""
    result = {}
    for s in subsets(n, k):
        at = numbers_within(tuple(i for i in range(n) if i not in s))
        free = n - len(s)
        weight = [
            factorial(free - t) * factorial(t) / factorial(free + 1) if shapley else 2.0**-free
            for t in np.bitwise_count(at).tolist()
        ]
        result[s] = float(weight @ derivatives(v, s, at))
    return result


def k_sii(v: FloatArray, n: int, k: int) -> Values:
    """Bord and von Luxburg's recursion, order by order."""
    bernoulli = [1.0]
    for j in range(1, k + 1):
        bernoulli.append(-sum(comb(j + 1, i) * bernoulli[i] for i in range(j)) / (j + 1))
    sii = averaged_derivative(v, n, k, shapley=True)
    result: Values = {}
    for order in range(1, k + 1):
        for s in subsets(n, order):
            if len(s) == order:
                result[s] = sii[s]
            elif s:
                result[s] += bernoulli[order - len(s)] * sum(
                    sii[t] for t in subsets(n, order) if len(t) == order and set(s) <= set(t)
                )
    result[()] = float(v[0])
    return result


def stii(v: FloatArray, n: int, k: int) -> Values:
    """Discrete derivatives at the empty set below order k, averaged over orderings at order k."""
    result = {}
    for s in subsets(n, k):
        at = numbers_within(tuple(i for i in range(n) if i not in s))
        values = derivatives(v, s, at)
        if len(s) < k:
            result[s] = float(values[at == 0][0])
        else:
            weight = [k / n / comb(n - 1, t) for t in np.bitwise_count(at).tolist()]
            result[s] = float(weight @ values)
    return result


def faithful(v: FloatArray, n: int, k: int, shapley: bool) -> Values:
    """FSII and FBII by their definitions: weighted least squares on unanimity games."""
    sets = list(subsets(n, k))
    masks = every_mask(n)
    x = np.stack([masks[:, list(s)].all(axis=1).astype(float) for s in sets], axis=1)
    if not shapley:
        return dict(zip(sets, np.linalg.lstsq(x, v, rcond=None)[0], strict=True))
    size = masks.sum(axis=1)
    inner = (size > 0) & (size < n)
    weight = np.array([(n - 1) / (comb(n, z) * z * (n - z)) for z in size[inner]])
    # the empty and the full mask are exact constraints: solve the KKT system
    constraints = x[~inner]
    scaled = x[inner] * weight[:, None]
    system = np.block(
        [
            [scaled.T @ x[inner], constraints.T],
            [constraints, np.zeros((len(constraints), len(constraints)))],
        ]
    )
    right = np.concatenate([scaled.T @ v[inner], v[~inner]])
    solution = np.linalg.lstsq(system, right, rcond=None)[0]
    return dict(zip(sets, solution, strict=False))


def fourier(v: FloatArray, n: int) -> Values:
    masks = every_mask(n)
    return {s: float(np.mean(v * (-1.0) ** masks[:, list(s)].sum(axis=1))) for s in subsets(n)}


def brute_force(index: str, v: FloatArray, n: int, k: int) -> Values:
    if index == "Fourier":
        return fourier(v, n)
    if index == "Moebius":
        return moebius(v, n)
    if index == "Co-Moebius":  # g(R) = f(all without R), with the sign of keeping players
        removed = moebius(v[::-1], n)
        return {s: (-1) ** len(s) * value for s, value in removed.items()}
    if index in ("SII", "BII"):
        return averaged_derivative(v, n, k, shapley=index == "SII")
    if index in ("SV", "BV"):
        singles = averaged_derivative(v, n, 1, shapley=index == "SV")
        return {s: value for s, value in singles.items() if s}
    if index == "k-SII":
        return k_sii(v, n, k)
    if index == "STII":
        return stii(v, n, k)
    return faithful(v, n, k, shapley=index == "FSII")


@st.composite
def games(draw: st.DrawFn, max_players: int) -> tuple[int, FloatArray]:
    n = draw(st.integers(1, max_players))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    table = rng.normal(size=1 << n)
    if draw(st.booleans()):  # a sparse game has supports with holes
        table = np.where(rng.random(1 << n) < 0.3, np.round(table), 0.0)
    return n, table


def exact(n: int, table: FloatArray) -> Spectrum:
    return decode(every_mask(n), table, decoder="exact", order=n)


@pytest.mark.parametrize("index", INDICES)
@settings(max_examples=30)
@given(game=games(max_players=10), k=st.integers(1, 4))
def test_equals_definition(index: str, game: tuple[int, FloatArray], k: int) -> None:
    n, table = game
    k = min(k, n)
    found = exact(n, table).to(index, order=k)
    expected = brute_force(index, table, n, k)
    limit = 1 if index in ("SV", "BV") else k
    for s, value in expected.items():
        if len(s) <= limit:
            assert found[s] == pytest.approx(value, abs=1e-9), (s, index)
    assert all(len(s) <= limit for s in found.sets)


@pytest.mark.parametrize(
    "index", ["SII", "k-SII", "STII", "FBII", "BII", "SV", "BV", "Moebius", "Co-Moebius"]
)
@pytest.mark.parametrize(("n", "k"), [(3, 2), (7, 3), (10, 2)])
def test_equals_shapiq(index: str, n: int, k: int) -> None:
    _compare_with_shapiq(index, n, k, tolerance=1e-9)


@pytest.mark.parametrize(("n", "k"), [(3, 2), (7, 3), (10, 2)])
def test_equals_shapiq_faithful_shapley(n: int, k: int) -> None:
    # shapiq replaces the two exact constraints by a large finite weight, which costs it digits;
    # against the exact solution (above) the tolerance is 1e-9
    _compare_with_shapiq("FSII", n, k, tolerance=1e-6)


def _compare_with_shapiq(index: str, n: int, k: int, tolerance: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shapiq

    table = np.random.default_rng(n).normal(size=1 << n)
    numbers = 1 << np.arange(n)

    class TableGame(shapiq.Game):
        def __init__(self) -> None:
            super().__init__(n_players=n, normalize=False)

        def value_function(self, coalitions: FloatArray) -> FloatArray:
            return table[coalitions.astype(int) @ numbers]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = shapiq.ExactComputer(TableGame(), n_players=n)(index, order=k)
    ours = exact(n, table).to(index, order=None if index.endswith("Moebius") else k)
    compared = 0
    for players, row in theirs.interaction_lookup.items():
        # () is a baseline of shapiq's own for the indices that do not define it
        if players:
            assert ours[players] == pytest.approx(theirs.values[row], abs=tolerance)
            compared += 1
    assert compared >= n


@given(game=games(max_players=7), k=st.integers(1, 7))
def test_efficient_indices_add_up_to_the_game(game: tuple[int, FloatArray], k: int) -> None:
    n, table = game
    for index in ("k-SII", "STII", "FSII", "Moebius"):
        found = exact(n, table).to(index, order=n if index == "Moebius" else min(k, n))
        assert float(np.sum(found.values)) == pytest.approx(float(table[-1]), abs=1e-8)


def test_converts_a_large_spectrum_with_several_outputs() -> None:
    rng = np.random.default_rng(0)
    sets = [rng.choice(1000, rng.integers(1, 6), replace=False).tolist() for _ in range(10_000)]
    coefficients = rng.normal(size=(10_000, 2))
    both = Spectrum.from_terms(1000, sets, coefficients)
    for index in INDICES:
        found = both.to(index, order=3)
        alone = both.output(1).to(index, order=3)
        np.testing.assert_allclose(found.values[:, 1], alone.values, atol=1e-12)


@pytest.mark.parametrize(
    ("spelt", "index"),
    [
        ("fsii", "FSII"),
        ("ksii", "k-SII"),
        ("K_SII", "k-SII"),
        ("shapley", "SV"),
        ("Shapley Values", "SV"),
        ("banzhaf", "BV"),
        ("Möbius", "Moebius"),
        ("CO-MOBIUS", "Co-Moebius"),
        ("faith-shap", "FSII"),
    ],
)
def test_names_in_any_case_and_their_aliases(spelt: str, index: str) -> None:
    assert INDICES.named(spelt) == index
    spectrum = Spectrum.from_dict(3, {(0,): 1.0, (0, 1): 2.0})
    named, meant = spectrum.to(spelt, order=2), spectrum.to(index, order=2)
    assert named.index == index
    np.testing.assert_array_equal(named.values, meant.values)


def test_no_two_names_are_spelt_alike() -> None:
    spellings = [*INDICES, *(alias for others in INDICES.aliases.values() for alias in others)]
    letters = ["".join(filter(str.isalnum, spelt.casefold())) for spelt in spellings]
    assert len(set(letters)) == len(letters)
    assert set(INDICES.aliases) == set(INDICES.own)


def test_bad_requests() -> None:
    spectrum = Spectrum.from_dict(40, {tuple(range(40)): 1.0})
    with pytest.raises(ValueError, match="'XYZ' is unknown; choose one of Fourier"):
        spectrum.to("XYZ")
    with pytest.raises(ValueError, match="order=0 is below 1"):
        spectrum.to("SII", order=0)
    with pytest.raises(ValueError, match="ask for a smaller order"):
        spectrum.to("Moebius")
    assert len(spectrum.to("Moebius", order=2)) == 1 + 40 + 40 * 39 // 2
