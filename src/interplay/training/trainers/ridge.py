"""Ridge: penalised least squares onto the classes, hundreds of subsets in one solve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData
from interplay.training.trainers.axes import Axes, blocks, check_penalty, principal_axes

_BATCH = 256
_BLOCK_BYTES = 2**27
_MOMENT_BYTES = 2**29  # the limit on the moments of all players
_CONDITION = 1e10


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of one-hot classes on the features as they are; nothing is standardised.

    A mask keeps rows x_i with one-hot classes y_i. The weights W and the intercepts b minimise::

        sum_i ||y_i - W x_i - b||^2 + penalty ||W||^2

    This is scikit-learn's ``Ridge(alpha=penalty)``. Its predictions are the logits. They are exact
    except for rounding: a mask has the same logits alone and among others, to 1e-6 of the largest
    logit and as a rule to 1e-12. A subset without rows has logits of zero. With an intercept, a
    subset of one class has W = 0, the logit 1 for this class and 0 for the others. Nothing is
    random.

    Attributes:
        penalty: above 0, and at least 1e-10 of the square of the features' largest singular value.
        intercept: whether to fit b, which has no penalty.

    Raises:
        ValueError: the penalty is not a finite number above 0.
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
        """Rotate the features and sum the moments of each player's rows.

        Raises:
            ValueError: the penalty is so small next to the features that rounding would show.
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
        # with few rows per player the rows take no more space than the sums, and a mask reads only
        # the rows that it keeps
        by_player = n_rows >= 2 * data.n_players
        moments = None
        if by_player and (data.n_players + 1) * n_moments * 8 <= _MOMENT_BYTES:
            moments = np.empty((data.n_players + 1, n_moments))
            for player in range(-1, data.n_players):
                owned = data.owners == player
                rows = axes.rows[owned]
                moments[player, : len(lower[0])] = (rows.T @ rows)[lower]
                moments[player, len(lower[0]) :] = (rows.T @ targets[owned]).ravel()
        return Retraining(self, data, axes, targets, moments)

    def describe(self) -> Json:
        """Return the settings as JSON."""
        return {"kind": "ridge", "penalty": self.penalty, "intercept": self.intercept}


@dataclass(frozen=True, eq=False)
class Retraining:
    """Ridge regression on subsets of the data.

    Attributes:
        settings: the penalty, and whether there is an intercept.
        data: the rows and their players.
        axes: the rows and test points in p coordinates.
        targets: the rows' one-hot classes, ``(rows, classes)``.
        moments: one row for each player, and a last one for the rows that are always kept: the
            lower triangle of X^T X, row by row, then X^T Y. ``None``: computed for each mask from
            the rows that it keeps.
    """

    settings: Ridge
    data: TrainingData
    axes: Axes
    targets: FloatArray
    moments: FloatArray | None

    def __call__(self, masks: BoolArray, seeds: IntArray) -> FloatArray:
        """Return the retrained models' logits, ``(m, k, classes)``."""
        n_rows, p = self.axes.rows.shape
        logits = np.empty((len(masks), len(self.axes.tests), self.targets.shape[1]))
        bytes_per_mask = 8 * p * (3 * p + (n_rows if self.moments is None else 0))
        for block in blocks(len(masks), bytes_per_mask, _BLOCK_BYTES):
            gram, right = self._moments(masks[block])
            diagonal = np.einsum("mpp->mp", gram)  # a view
            if self.settings.intercept:
                diagonal[:, :-1] += self.settings.penalty
                # without rows the diagonal is 0: with 1 the solution is an intercept of 0
                diagonal[:, -1] = np.maximum(diagonal[:, -1], 1)
            else:
                diagonal += self.settings.penalty
            logits[block] = self.axes.tests @ np.linalg.solve(gram, right)
        return logits

    def _moments(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Compute X^T X ``(m, p, p)`` and X^T Y ``(m, p, classes)`` of the rows kept."""
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
        # each mask's rows, padded with rows of zeros to the largest number of rows
        chosen = np.argsort(~kept, axis=1, kind="stable")[:, : counts.max()]
        chosen[np.arange(chosen.shape[1]) >= counts[:, None]] = len(self.targets)
        rows, targets = (
            np.vstack([array, np.zeros(array.shape[1])])[chosen]
            for array in (self.axes.rows, self.targets)
        )
        transposed = rows.swapaxes(1, 2)
        return transposed @ rows, transposed @ targets
