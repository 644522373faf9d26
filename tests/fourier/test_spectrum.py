from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay import Spectrum
from interplay.fourier.characters import characters
from tests.conftest import planted


@given(n=st.integers(1, 70), m=st.integers(1, 130), s=st.integers(1, 12), seed=st.integers(0, 99))
def test_predict_and_characters_equal_the_definition(n: int, m: int, s: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [tuple(np.flatnonzero(rng.random(n) < 0.2).tolist()) for _ in range(s)]
    spectrum = Spectrum.from_terms(n, sets, rng.normal(size=(s, 2)))
    masks = rng.random((m, n)) < 0.5
    chi = np.array(
        [[(-1.0) ** int(mask[list(members)].sum()) for members in spectrum.sets] for mask in masks]
    )
    np.testing.assert_array_equal(characters(masks, spectrum.supports), chi)
    np.testing.assert_allclose(spectrum.predict(masks), chi @ spectrum.coefficients, atol=1e-12)
    np.testing.assert_allclose(spectrum.predict(masks[0]), spectrum.predict(masks)[0], atol=1e-12)
    np.testing.assert_allclose(spectrum.output(1).predict(masks), spectrum.predict(masks)[:, 1])


def test_predict_in_blocks_of_bounded_memory() -> None:
    rng = np.random.default_rng(0)
    spectrum = planted(1000, 5000, rng, max_order=5)
    masks = rng.random((9000, 1000)) < 0.5
    tracemalloc.start()
    values = spectrum.predict(masks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80e6  # the dense matrix of characters would be 360 MB
    rows = [0, 4095, 4096, 8999]
    np.testing.assert_allclose(values[rows], spectrum.predict(masks[rows]), atol=1e-9)


def test_terms_are_sorted_summed_and_looked_up() -> None:
    spectrum = Spectrum.from_terms(5, [(3, 1), (), (2,), (1, 3)], [1.0, 2.0, 3.0, 4.0])
    assert spectrum.sets == [(), (2,), (1, 3)]
    assert spectrum.coefficients.tolist() == [2.0, 3.0, 5.0]
    assert spectrum[(3, 1)] == 5.0
    assert spectrum[(0,)] == 0.0
    assert spectrum.orders.tolist() == [0, 1, 2]


@given(seed=st.integers(0, 99))
def test_arithmetic_is_that_of_functions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = planted(12, 8, rng, max_order=2), planted(12, 8, rng, max_order=5)
    masks = rng.random((50, 12)) < 0.5
    both = (2.0 * a - b / 4.0).predict(masks)
    np.testing.assert_allclose(both, 2.0 * a.predict(masks) - b.predict(masks) / 4.0, atol=1e-12)


def test_energy_is_the_variance() -> None:
    rng = np.random.default_rng(0)
    spectrum = planted(10, 20, rng)
    masks = (np.arange(1024)[:, None] >> np.arange(10)) & 1 == 1
    energy = spectrum.energy_by_order()
    assert energy[1:].sum() == pytest.approx(spectrum.predict(masks).var())
    assert energy[0] == pytest.approx(spectrum.predict(masks).mean() ** 2)


def test_truncation_keeps_the_crossing_term_and_the_empty_set() -> None:
    spectrum = Spectrum.from_dict(4, {(): 100.0, (0,): 3.0, (1,): -2.0, (0, 1): 1.0, (2,): 0.1})
    # energies 9, 4, 1, 0.01: 95 % is reached by the third term only
    assert spectrum.truncate(energy=0.95).sets == [(), (0,), (1,), (0, 1)]
    assert spectrum.truncate(energy=1.0).sets == spectrum.sets
    assert spectrum.truncate(n_terms=1).sets == [(), (0,)]
    assert spectrum.truncate(order=1).sets == [(), (0,), (1,), (2,)]
    assert spectrum.truncate(n_terms=0).sets == [()]
    only = Spectrum.from_dict(4, {(0,): 1.0})
    assert only.truncate(energy=0.5).sets == [(0,)]


def test_bad_spectra() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        Spectrum.from_dict(3, {(3,): 1.0})
    with pytest.raises(ValueError, match="names a player twice"):
        Spectrum.from_dict(3, {(1, 1): 1.0})
    with pytest.raises(ValueError, match="1 supports came with 2"):
        Spectrum.from_terms(3, [(0,)], [1.0, 2.0])
    with pytest.raises(ValueError, match="not a share"):
        Spectrum.from_dict(3, {(0,): 1.0}).truncate(energy=1.5)
    with pytest.raises(ValueError, match="do not add"):
        Spectrum.from_dict(3, {(0,): 1.0}) + Spectrum.from_dict(4, {(0,): 1.0})
    with pytest.raises(ValueError, match="4 players wide, but there are 3"):
        Spectrum.from_dict(3, {(0,): 1.0}).predict(np.ones((2, 4), dtype=bool))


def test_interactions() -> None:
    spectrum = Spectrum.from_dict(3, {(): 1.0, (0,): -1.0, (1,): 0.5, (0, 2): 2.0})
    found = spectrum.to("Fourier", players=["the", "cat", "the"])
    assert [players for players, _ in found.top(2)] == [(0, 2), (0,)]
    assert found.label((0, 2)) == "the × the"
    assert found[(2, 0)] == 2.0
    assert found[(0, 1, 2)] == 0.0
    assert (0,) in found
    assert (0, 1) not in found
    assert found.filter(max_order=1).sets == [(0,), (1,)]
    assert found.filter(min_order=2).sets == [(0, 2)]
    frame = found.to_frame()
    assert frame["players"].tolist() == [(), (0,), (1,), (0, 2)]
    assert frame["order"].tolist() == [0, 1, 1, 2]
    assert frame["value"].tolist() == [1.0, -1.0, 0.5, 2.0]
    assert "+2.  the × the" in str(found)
    with pytest.raises(ValueError, match="2 names were given for 3 players"):
        spectrum.to("SV", players=["a", "b"])


def test_interactions_by_name() -> None:
    spectrum = Spectrum.from_dict(4, {(1,): 0.5, (0, 2): 2.0})
    found = spectrum.to("Fourier", players=["mean radius", "worst area", "cat", "cat"])
    assert found[2, "mean radius"] == found["mean radius", 2] == 2.0
    assert found["worst area"] == 0.5
    assert found["worst area", "mean radius"] == 0.0
    assert ("mean radius", 2) in found
    assert "mean radius" not in found
    with pytest.raises(ValueError, match=r"'mean radus' \(did you mean 'mean radius'\?\); give"):
        found["mean radus", "worst area"]
    with pytest.raises(ValueError, match="players 2, 3 are all named 'cat'; give the number"):
        found["cat", "worst area"]
    with pytest.raises(ValueError, match="names a player twice"):
        found["worst area", 1]


def test_interactions_of_several_outputs() -> None:
    spectrum = Spectrum.from_dict(2, {(0,): [3.0, 0.0], (1,): [0.0, -4.0]})
    found = spectrum.to("Fourier")
    assert found.top(1).sets == [(1,)]
    assert found.output(0).top(1).sets == [(0,)]
    assert found[(0,)].tolist() == [3.0, 0.0]
    assert list(found.to_frame().columns) == ["players", "label", "order", "value_0", "value_1"]


def test_containers_and_numpy_numbers() -> None:
    spectrum = Spectrum.from_dict(3, {(): 1.0, (0, 2): 2.0})
    assert (2, 0) in spectrum
    assert (1,) not in spectrum
    assert dict(spectrum) == {(): 1.0, (0, 2): 2.0}
    assert (np.float64(2) * spectrum)[(0, 2)] == 4.0
    with pytest.raises(TypeError):
        spectrum * np.array([1.0, 2.0])  # type: ignore[operator]
    with pytest.raises(TypeError):
        spectrum * spectrum  # type: ignore[operator]
    found = spectrum.to("Fourier")
    assert (2, 0) in found
    assert found.filter(min_order=0, max_order=0).sets == [()]
    with pytest.raises(ValueError, match="count=-1 is below 0"):
        found.top(-1)


def test_uncertainty_goes_through_every_index() -> None:
    rng = np.random.default_rng(0)
    sets = [(), (0,), (1,), (2,), (0, 1), (0, 1, 2), (1, 3)]
    factor = rng.normal(size=(len(sets), 70))
    plain = Spectrum.from_terms(4, sets, rng.normal(size=len(sets)))
    spectrum = replace(plain, deviations=factor)
    draws = rng.normal(size=(70, 20_000))
    for index in ("Fourier", "FSII", "SII", "Moebius"):
        found = spectrum.to(index, order=2)
        sampled = replace(plain, coefficients=factor @ draws).to(index, order=2)
        assert found.deviations is not None
        np.testing.assert_allclose(found.deviations, sampled.values.std(axis=1), rtol=0.03)
        low, high = found.low, found.high
        assert low is not None
        assert high is not None
        inside = ((low < found.values) & (found.values < high))[found.deviations > 0]
        assert inside.all()


def test_uncertainty_stays_with_its_terms() -> None:
    rng = np.random.default_rng(0)
    sets = [(), (0,), (1,), (0, 1)]
    factor = rng.normal(size=(4, 2, 3))
    spectrum = replace(
        Spectrum.from_terms(2, sets, [[0.0, 0.0], [1.0, 4.0], [3.0, 1.0], [2.0, 2.0]]),
        deviations=factor,
    )
    np.testing.assert_array_equal(spectrum.output(1).deviations, factor[:, 1])
    np.testing.assert_array_equal(spectrum.truncate(n_terms=1).deviations, factor[[0, 1]])
    np.testing.assert_array_equal((spectrum * -2.0).deviations, factor * 2.0)
    top = spectrum.to("BII").output(0).top(1)
    assert top.sets == [(0, 1)]
    np.testing.assert_allclose(top.deviations, 4 * np.linalg.norm(factor[3, 0]))
    with pytest.raises(ValueError, match="deviations of shape"):
        replace(spectrum, deviations=factor[:, 0])
