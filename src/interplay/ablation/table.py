"""The values of masks: while they come in, and when all are there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.ablation.retry import check_outputs
from interplay.game import Game


@dataclass(frozen=True)
class Evaluated:
    """The values of masks, and where they came from.

    Attributes:
        values: ``(m,)`` or ``(m, k)``. A row is NaN if its mask failed and was skipped, or if the
            run was interrupted before it.
        noise: for a game with repeats, the variance of each value, in the shape of ``values``. (A
            value is the mean of the repeats; this is the variance of that mean.) Otherwise
            ``None``.
        n_new: distinct masks that this evaluator evaluated, in this call or an earlier one.
        n_stored: distinct masks that came from the store.
        n_skipped: distinct masks that failed.
        interrupted: some masks were not evaluated, because the user stopped the run, or because
            other processes are still evaluating them and the call does not wait for those.
    """

    values: FloatArray
    noise: FloatArray | None
    n_new: int
    n_stored: int
    n_skipped: int
    interrupted: bool


@dataclass
class Table:
    """The values of distinct masks that are known so far, held in memory beside the store."""

    masks: BoolArray
    known: BoolArray
    values: FloatArray | None = None
    failures: dict[int, str] = field(default_factory=dict)
    n_unstored: int = 0

    def add(self, game: Game, rows: IntArray, values: FloatArray) -> None:
        """Write the values of rows into the table."""
        if self.values is None:
            self.values = np.full((len(self.masks), *values.shape[1:]), np.nan)
        check_outputs(game, self.values, values)
        self.values[rows] = values
        self.known[rows] = True

    def so_far(self, n_repeats: int) -> tuple[BoolArray, FloatArray]:
        """The masks that have a value, and their values: the means of the repeats."""
        if self.values is None:
            return self.masks[:0], np.zeros(0)
        return self.masks[self.known], over_repeats(self.values[self.known], n_repeats)[0]


def over_repeats(values: FloatArray, n_repeats: int) -> tuple[FloatArray, FloatArray | None]:
    """The mean over repeats, and the variance of that mean.

    Args:
        values: in the form in which a store has them: ``(m, r * k)`` for r repeats of k outputs,
            ``(m,)`` or ``(m, k)`` without repeats.
        n_repeats: r.

    Returns:
        The mean and its variance, each ``(m,)`` or ``(m, k)``. Without repeats (r = 1), the values
        unchanged and ``None``.
    """
    if n_repeats == 1:
        return values, None
    single = values.shape[1] == n_repeats
    repeats = values.reshape(len(values), n_repeats, -1)
    mean, noise = repeats.mean(axis=1), repeats.var(axis=1, ddof=1) / n_repeats
    return (mean[:, 0], noise[:, 0]) if single else (mean, noise)
