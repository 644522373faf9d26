"""The smallest number of players to remove, or to keep, so that a prediction passes a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from interplay._types import BoolArray, whole
from interplay.fourier.spectrum import Spectrum
from interplay.optimize.subset import BestSubset, best_subset

Few: TypeAlias = Literal["removed", "kept"]
"""Which players are to be few."""


@dataclass(frozen=True, eq=False)
class SmallestSubset:
    """The smallest change that is predicted to be enough.

    Attributes:
        mask: the players kept, ``(n,) bool``. If none is enough, the one that comes nearest.
        size: how many players it removes (or keeps). ``None``: none of the sizes that were allowed
            is predicted to be enough.
        value: what the spectrum predicts for the mask.
        proven: whether the optimiser proved that no smaller one is enough by the spectrum; without
            a size, that none is.
    """

    mask: BoolArray
    size: int | None
    value: float
    proven: bool


def smallest_subset(
    spectrum: Spectrum,
    level: float,
    *,
    below: bool,
    few: Few,
    most: int | None = None,
    time_limit: float = 10.0,
) -> SmallestSubset:
    """Find the fewest players to remove, or to keep, so that the prediction passes a level.

    What up to k players can reach only grows with k. The smallest k is therefore found by
    bisection, with one call of :func:`~interplay.optimize.best_subset` for each k.

    Example:
        >>> from interplay import Spectrum
        >>> either = Spectrum.from_dict(2, {(): 0.75, (0,): -0.25, (1,): -0.25, (0, 1): -0.25})
        >>> smallest_subset(either, 0.5, below=True, few="removed").size
        2
        >>> smallest_subset(either, 0.5, below=False, few="kept").size
        1

    Args:
        spectrum: predicts the values; of one output.
        level: what is to be passed.
        below: whether the value is to be at or below the level; otherwise it is to be above.
        few: whether few players are to be removed, or kept.
        most: the most of them; by default all.
        time_limit: seconds for each k.

    Raises:
        ValueError: ``most`` is not from 0 to n, or a coefficient is not finite.
    """
    n_players = spectrum.n_players
    most = n_players if most is None else whole("most", most, 0)
    if most > n_players:
        raise ValueError(f"most={most} is above {n_players}, the number of players; give at most n")

    def best(size: int) -> BestSubset:
        return best_subset(
            spectrum,
            at_least=n_players - size if few == "removed" else None,
            at_most=size if few == "kept" else None,
            maximize=not below,
            time_limit=time_limit,
        )

    def passes(value: float) -> bool:
        return value <= level if below else value > level

    enough, proven = best(most), True
    if not passes(enough.value):
        return SmallestSubset(enough.mask, None, enough.value, not passes(enough.bound))

    def size_of(subset: BestSubset) -> int:
        return int(np.count_nonzero(subset.mask != (few == "removed")))

    low, high = -1, size_of(enough)  # low is not enough, as far as is known; high is
    while high - low > 1:
        middle = (low + high) // 2
        subset = best(middle)
        if passes(subset.value):
            enough, high = subset, size_of(subset)
        else:
            low, proven = middle, not passes(subset.bound)
    return SmallestSubset(enough.mask, high, enough.value, proven)
