"""Indices of functions that pass through the measured ends, against exact tables."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest

import interplay as ip
from interplay.fourier.ends import LISTED, of_indicators, through_ends
from interplay.fourier.masks import end_masks, every_mask
from tests.fourier.efficiency import efficiency_gap

INDICES = ("SV", "SII", "k-SII", "STII", "FSII")


def exact(values: np.ndarray) -> ip.Spectrum:
    n_players = int(np.log2(len(values)))
    return ip.decode(every_mask(n_players), values, decoder="exact", order=n_players)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("n_players", [2, 3, 5, 7])
def test_the_indices_of_the_indicators(index: str, n_players: int) -> None:
    for order in range(1, n_players):
        tables = of_indicators(index, n_players, 1 if index == "SV" else order)
        assert tables is not None
        for row, table in zip((-1, 0), tables, strict=True):
            indicator = np.zeros(1 << n_players)
            indicator[row] = 1.0
            found = exact(indicator).to(index, order=order)  # type: ignore[arg-type]
            for players in ([], [0], [1], [0, 1], list(range(order))):
                if len(players) > found.order or (index == "SV" and not players):
                    continue
                assert found[players] == pytest.approx(table[len(players)], abs=1e-12)


@pytest.mark.parametrize("index", INDICES)
def test_a_function_through_its_ends_is_exact(index: str) -> None:
    rng = np.random.default_rng(0)
    n_players, order = 6, 3
    spectrum = ip.Spectrum.from_dict(
        n_players, {(): 0.4, (0,): 1.0, (2, 3): -0.5, (1, 4, 5): 0.25, (0, 1, 2, 3): 0.125}
    )
    masks = every_mask(n_players)
    values = spectrum.predict(masks)
    full, empty = rng.normal(size=2)
    truth = values.copy()
    truth[-1] += full
    truth[0] += empty
    through = through_ends(spectrum.to(index, order=order), np.array(full), np.array(empty))  # type: ignore[arg-type]
    wanted = exact(truth).to(index, order=order)  # type: ignore[arg-type]
    assert len(through) >= len(wanted)
    for players, value in wanted:
        assert through[players] == pytest.approx(value, abs=1e-12)
    if index != "SII":
        gap = efficiency_gap(through, truth[-1], truth[0])
        assert gap == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("index", ["SV", "k-SII", "STII", "FSII"])
def test_what_is_not_listed_counts(index: str) -> None:
    """With a hundred players and order 3 not all sets are listed; the values still add up."""
    n_players = 100
    spectrum = ip.Spectrum.from_dict(n_players, {(): 0.4, (0,): 1.0, (2, 3): -0.5, (7, 8, 9): 1.0})
    ends = spectrum.predict(np.array([[False] * n_players, [True] * n_players]))
    measured = np.array([[0.3, -1.0], [2.0, 5.0]])  # of two outputs: none, all
    two = ip.Spectrum(n_players, spectrum.supports, np.repeat(spectrum.coefficients[:, None], 2, 1))
    through = through_ends(two.to(index, order=3), measured[1] - ends[1], measured[0] - ends[0])  # type: ignore[arg-type]
    gap = efficiency_gap(through, measured[1], measured[0])
    np.testing.assert_allclose(gap, 0, atol=1e-9)
    if index != "SV":
        assert sum(comb(n_players, s) for s in range(4)) > LISTED
        assert through.rest is not None
        np.testing.assert_array_equal(through[50, 51], through.rest[2])
        assert through.output(1)[50, 51] == through.rest[2, 1]
        assert through.top(3).rest is None
    else:
        assert len(through) == n_players


def test_indices_of_uniform_masks_are_left_alone() -> None:
    spectrum = ip.Spectrum.from_dict(5, {(): 0.4, (0,): 1.0})
    for index in ("BII", "BV", "Fourier", "FBII", "Moebius", "Co-Moebius"):
        interactions = spectrum.to(index, order=2)  # type: ignore[arg-type]
        assert through_ends(interactions, np.array(1.0), np.array(1.0)) is interactions


@pytest.mark.parametrize("index", INDICES)
def test_ends_that_are_predicted_add_nothing(index: str) -> None:
    """Such as those of a constant game: no set is listed that has the value zero."""
    spectrum = ip.Spectrum.from_dict(6, {(): 3.0, (0, 2): 1.0})
    spectrum = replace(spectrum, deviations=np.eye(2))
    through = replace(spectrum, ends=spectrum.predict(end_masks(6)))
    plain, found = (one.to(index, order=2) for one in (spectrum, through))  # type: ignore[arg-type]
    assert found.sets == plain.sets
    assert found.deviations is not None
    assert found.deviations.shape == found.values.shape
