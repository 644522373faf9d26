"""Bands of size: how well masks are predicted by the share of players that they keep.

One R2 over masks of many sizes may hide that small or large masks are predicted badly, or that the
size is all that is predicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json, Positive

EDGES = (0.0, 0.1, 0.25, 0.75, 0.9, 1.0)
"""The shares of players at which bands begin and end. Nearly all uniform masks of 20 players and
more are in the middle one."""
MIDDLE = 2
_FEWEST = 10
"""The fewest masks of a band; one with fewer is joined to its neighbour towards the middle."""
_CHANCE = 0.01
"""Bands differ beyond chance if differences as large are rarer than this among equal ones."""
_LARGE, _TIMES = 0.1, 2.0
"""And if one misses this share of the variance, and so many times as much as another."""


@dataclass(frozen=True)
class Band:
    """The score of the masks that keep between two shares of the players.

    Attributes:
        low: the smallest share.
        high: the largest share.
        n_masks: how many masks there are.
        error: their mean squared error, in units of the variance of all masks of the score, the
            mean over outputs that vary. Weighted by the numbers of masks, the errors of all bands
            add up to 1 - R2.
        r2: R2 among these masks alone, the mean over outputs that vary among them; ``None`` if none
            does.
    """

    low: float
    high: float
    n_masks: Positive
    error: float
    r2: float | None

    def __str__(self) -> str:
        span = f"{self.low:.0%} to {self.high:.0%}"
        return f"{self.error:.2f} where {span} are kept ({self.n_masks} masks)"


def bands_of(
    masks: BoolArray, values: FloatArray, squares: FloatArray
) -> tuple[tuple[Band, ...], bool]:
    """The bands of the masks of a score, none if all are in one, and whether they differ.

    Args:
        masks: ``(m, n)``.
        values: of the outputs that vary, ``(m, k)``.
        squares: squared errors of their predictions, in the same units, ``(m, k)``.
    """
    variance = values.var(axis=0)
    bands = []
    for first, last, rows in _grouped(masks):
        inside, errors = values[rows], squares[rows].mean(axis=0)
        spread = inside.var(axis=0)
        varies = spread > 1e-12 * variance
        bands.append(
            Band(
                EDGES[first],
                EDGES[last + 1],
                len(rows),
                float((errors / variance).mean()),
                float((1.0 - errors[varies] / spread[varies]).mean()) if varies.any() else None,
            )
        )
    if len(bands) < 2:
        return (), False
    return tuple(bands), _differ(bands, masks, squares / variance)


def _differ(bands: Sequence[Band], masks: BoolArray, squares: FloatArray) -> bool:
    """Whether errors differ between bands beyond chance, and by much.

    The test is that of Kruskal and Wallis (1952) on the ranks of the errors, since a few masks may
    have most of the error.

    Args:
        bands: those of the masks.
        masks: ``(m, n)``.
        squares: squared errors in units of the variance, ``(m, k)``.
    """
    from scipy.stats import kruskal

    errors = [band.error for band in bands]
    if max(errors) < _LARGE or max(errors) < _TIMES * min(errors):
        return False
    sizes = squares.mean(axis=1)
    groups = [sizes[rows] for _, _, rows in _grouped(masks)]
    return bool(np.ptp(sizes) > 0 and kruskal(*groups).pvalue < _CHANCE)


def check_bands(bands: Sequence[Json], n_masks: int) -> None:
    """Check what the bands of a score must have in common.

    Raises:
        ValueError: they do not ascend, or have other masks than the score.
    """
    ends = [end for band in bands for end in (band["low"], band["high"])]
    ascending = len(bands) > 1 and [0.0, *ends, 1.0] == sorted([0.0, *ends, 1.0])
    total = sum(band["n_masks"] for band in bands)
    if not ascending or total != n_masks:
        raise ValueError(
            f"faithfulness.bands has {len(bands)} bands of {total} masks; several are expected, "
            f"with ascending shares of players and {n_masks} masks in all (faithfulness.n_masks)"
        )


def _grouped(masks: BoolArray) -> Iterator[tuple[int, int, IntArray]]:
    """The first and the last of the bands that are joined, and the rows of their masks."""
    share = masks.mean(axis=1)
    inner = np.array(EDGES[1:-1])
    # what lies on an edge belongs to the side of the middle
    place = np.where(
        share <= 0.5, np.searchsorted(inner, share, "right"), np.searchsorted(inner, share, "left")
    )
    counts = np.bincount(place, minlength=len(EDGES) - 1)
    runs = [(band, band) for band in range(len(counts))]
    few = _few(runs, counts)
    while few and len(runs) > 1:
        # the outermost first, towards the middle; the middle itself joins what there is
        at = max(few, key=lambda row: abs(sum(runs[row]) / 2 - MIDDLE))
        above = runs[at][0] > MIDDLE or at == len(runs) - 1
        at = at - 1 if above else at
        runs[at : at + 2] = [(runs[at][0], runs[at + 1][1])]
        few = _few(runs, counts)
    for low, high in runs:
        yield low, high, np.flatnonzero((place >= low) & (place <= high))


def _few(runs: list[tuple[int, int]], counts: IntArray) -> list[int]:
    """The places of the runs of bands that have too few masks."""
    return [row for row, (low, high) in enumerate(runs) if counts[low : high + 1].sum() < _FEWEST]
