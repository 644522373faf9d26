"""The values of masks: as they come in, and what came of all of them."""

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
        values: ``(m,)`` or ``(m, k)``; NaN in rows that have none, because they failed and were
            skipped, or because the run was interrupted.
        noise: for a game with repeats the variance of each value, the mean of its repeats, in the
            shape of ``values``; else ``None``.
        n_new: distinct masks that this evaluator evaluated, in this call or an earlier one.
        n_stored: distinct masks that came from the store.
        n_skipped: distinct masks that failed.
        interrupted: the user asked to stop before all was evaluated; or, without ``wait``, other
            processes are still at it.
    """

    values: FloatArray
    noise: FloatArray | None
    n_new: int
    n_stored: int
    n_skipped: int
    interrupted: bool


@dataclass
class Table:
    """The values known so far of distinct masks; kept in memory beside the store."""

    masks: BoolArray
    known: BoolArray
    values: FloatArray | None = None
    failures: dict[int, str] = field(default_factory=dict)

    def add(self, game: Game, rows: IntArray, values: FloatArray) -> None:
        """Fill rows in."""
        if self.values is None:
            self.values = np.full((len(self.masks), *values.shape[1:]), np.nan)
        check_outputs(game, self.values, values)
        self.values[rows] = values
        self.known[rows] = True

    def so_far(self, n_repeats: int) -> tuple[BoolArray, FloatArray]:
        """The masks that are known, and their values."""
        if self.values is None:
            return self.masks[:0], np.zeros(0)
        return self.masks[self.known], over_repeats(self.values[self.known], n_repeats)[0]


def over_repeats(values: FloatArray, n_repeats: int) -> tuple[FloatArray, FloatArray | None]:
    """The mean of repeats, and the variance of that mean.

    Args:
        values: as a store keeps them, ``(m, r * k)``; without repeats ``(m,)`` or ``(m, k)``.
        n_repeats: r.

    Returns:
        Each ``(m,)`` or ``(m, k)``; without repeats the values as they are, and ``None``.
    """
    if n_repeats == 1:
        return values, None
    single = values.shape[1] == n_repeats
    repeats = values.reshape(len(values), n_repeats, -1)
    mean, noise = repeats.mean(axis=1), repeats.var(axis=1, ddof=1) / n_repeats
    return (mean[:, 0], noise[:, 0]) if single else (mean, noise)
