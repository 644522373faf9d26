"""The smallest number of players to remove, or to keep, so that a prediction passes a level."""

from __future__ import annotations

import numpy as np
import pytest

from interplay import Spectrum
from interplay.fourier.masks import every_mask
from interplay.optimize.smallest import Few, smallest_subset


def random_spectrum(n_players: int, seed: int, n_terms: int = 25) -> Spectrum:
    rng = np.random.default_rng(seed)
    sets = {tuple(np.flatnonzero(rng.random(n_players) < 3 / n_players)) for _ in range(n_terms)}
    return Spectrum.from_dict(n_players, {players: rng.normal() for players in sets})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("few", ["removed", "kept"])
@pytest.mark.parametrize("below", [True, False])
def test_it_is_the_smallest_of_all(seed: int, few: Few, below: bool) -> None:
    spectrum = random_spectrum(9, seed)
    masks = every_mask(9)
    values = spectrum.predict(masks)
    level = float(np.quantile(values, 0.04 if below else 0.96))
    sizes = (masks != (few == "removed")).sum(axis=1)
    expected = sizes[values <= level if below else values > level].min()
    smallest = smallest_subset(spectrum, level, below=below, few=few)
    assert smallest.size == expected
    assert smallest.proven
    assert smallest.value == pytest.approx(float(spectrum.predict(smallest.mask)))
    assert (smallest.mask != (few == "removed")).sum() == expected


def test_none_of_the_allowed_sizes() -> None:
    spectrum = Spectrum.from_dict(4, {(): 2.0, (0,): -1.0, (1,): -1.0})  # 2 a player of these two
    smallest = smallest_subset(spectrum, 0.5, below=True, few="removed", most=1)
    assert smallest.size is None
    assert smallest.proven
    assert smallest.value == pytest.approx(2.0)
    assert smallest_subset(spectrum, 0.5, below=True, few="removed").size == 2


def test_it_is_proven_with_many_players() -> None:
    """The program's bound proves it where not all subsets are tried."""
    spectrum = random_spectrum(30, 1, n_terms=40)
    full = float(spectrum.predict(np.ones(30, dtype=bool)))
    smallest = smallest_subset(spectrum, full - 4.0, below=True, few="removed")
    assert smallest.proven
    assert smallest.size is not None
    assert smallest.size >= 1


def test_more_than_all_are_refused() -> None:
    with pytest.raises(ValueError, match="most=5 is above 4, the number of players"):
        smallest_subset(random_spectrum(4, 0), 0.0, below=True, few="kept", most=5)
