"""Ridge: least squares onto the classes, hundreds of subsets in one solve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData
from interplay.training.trainers.axes import Axes, blocks, check_penalty, principal_axes

_BATCH = 256
_BLOCK_BYTES = 2**27
_MOMENT_BYTES = 2**29  # what the moments of all players may take
_CONDITION = 1e10


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of one-hot classes on the features as they are, nothing standardised.

    For the rows i that a mask keeps, with their one-hot classes y_i, it minimises over W and b::

        sum_i ||y_i - W x_i - b||^2 + penalty ||W||^2

    which is scikit-learn's ``Ridge(alpha=penalty)``; its predictions are the logits. They are exact
    but for rounding: a mask alone and among others give the same to 1e-6 of the largest logit, as
    a rule to 1e-12. A subset without rows has logits of zero; with an intercept, one of a single
    class has W = 0, the logit 1 for this class and 0 for the others. Nothing is random.

    Attributes:
        penalty: above 0, and at least 1e-10 of the square of the features' largest singular value.
        intercept: whether there is b, which has no penalty.

    Raises:
        ValueError: a penalty that is not a finite number above 0.
    """

    penalty: float = 1.0
    intercept: bool = True

    def __post_init__(self) -> None:
        check_penalty(self.penalty)

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have."""
        return _BATCH

    def begin(self, data: TrainingData) -> Retraining:
        """Rotate the features and sum up each player's rows.

        Raises:
            ValueError: the penalty is so small beside the features that rounding would show.
        """
        axes = principal_axes(data, self.intercept)
        least = axes.largest**2 / _CONDITION
        if self.penalty < least:
            raise ValueError(
                f"penalty={self.penalty:g} is below {least:.3g}, {1 / _CONDITION:g} of the square "
                f"of the features' largest singular value, {axes.largest:.3g}: rounding would "
                f"show in the logits. Use {1.01 * least:.3g} or more, or scale the features down"
            )
        n_rows, p = axes.rows.shape
        targets = np.eye(len(data.classes))[data.labels]
        lower = np.tril_indices(p)
        n_moments = len(lower[0]) + p * targets.shape[1]
        # otherwise the rows themselves are no more than their sums, and only those kept are read
        by_player = n_rows >= 2 * data.n_players
        moments = None
        if by_player and (data.n_players + 1) * n_moments * 8 <= _MOMENT_BYTES:
            moments = np.empty((data.n_players + 1, n_moments))
            for player in range(-1, data.n_players):
                own = data.owners == player
                rows = axes.rows[own]
                moments[player, : len(lower[0])] = (rows.T @ rows)[lower]
                moments[player, len(lower[0]) :] = (rows.T @ targets[own]).ravel()
        return Retraining(self, data, axes, targets, moments)

    def describe(self) -> Json:
        """The settings, as JSON."""
        return {"kind": "ridge", "penalty": self.penalty, "intercept": self.intercept}


@dataclass(frozen=True, eq=False)
class Retraining:
    """Ridge regression on subsets of some data.

    Attributes:
        settings: the penalty, and whether there is an intercept.
        data: the rows and their players.
        axes: their p coordinates.
        targets: the rows' one-hot classes, ``(rows, classes)``.
        moments: for each player, and last for the rows that are always kept, the lower triangle of
            X^T X, row by row, and then X^T Y; ``None``: made from the rows that a mask keeps.
    """

    settings: Ridge
    data: TrainingData
    axes: Axes
    targets: FloatArray
    moments: FloatArray | None

    def __call__(self, masks: BoolArray, seeds: IntArray) -> FloatArray:
        """The logits of the retrained models, ``(m, k, classes)``."""
        n_rows, p = self.axes.rows.shape
        logits = np.empty((len(masks), len(self.axes.tests), self.targets.shape[1]))
        each = 8 * p * (3 * p + (n_rows if self.moments is None else 0))
        for part in blocks(len(masks), each, _BLOCK_BYTES):
            gram, right = self._sums(masks[part])
            diagonal = np.einsum("mpp->mp", gram)  # a view
            if self.settings.intercept:
                diagonal[:, :-1] += self.settings.penalty
                # without rows there is nothing to solve for: the intercept is then 0
                diagonal[:, -1] = np.maximum(diagonal[:, -1], 1)
            else:
                diagonal += self.settings.penalty
            logits[part] = self.axes.tests @ np.linalg.solve(gram, right)
        return logits

    def _sums(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        """X^T X ``(m, p, p)`` and X^T Y ``(m, p, classes)`` of the rows that are kept."""
        p, n_classes = self.axes.rows.shape[1], self.targets.shape[1]
        if self.moments is not None:
            sums = masks.astype(np.float64) @ self.moments[:-1] + self.moments[-1]
            n_lower = p * (p + 1) // 2
            gram = np.empty((len(masks), p, p))
            for row in range(p):
                first = row * (row + 1) // 2
                gram[:, row, : row + 1] = sums[:, first : first + row + 1]
                gram[:, : row + 1, row] = gram[:, row, : row + 1]
            return gram, sums[:, n_lower:].reshape(len(masks), p, n_classes)
        kept = self.data.rows(masks)
        counts = kept.sum(axis=1)
        # each mask's rows, filled up with a row of zeros to the longest of them
        chosen = np.argsort(~kept, axis=1, kind="stable")[:, : counts.max()]
        chosen[np.arange(chosen.shape[1]) >= counts[:, None]] = len(self.targets)
        rows, targets = (
            np.vstack([array, np.zeros(array.shape[1])])[chosen]
            for array in (self.axes.rows, self.targets)
        )
        across = rows.swapaxes(1, 2)
        return across @ rows, across @ targets
