"""Logistic: logistic regression on many subsets at once, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData
from interplay.training.trainers.axes import blocks, check_penalty, principal_axes
from interplay.training.trainers.newton import (
    Basis,
    SoftmaxLoss,
    basis_at,
    first_basis,
    fit,
    full_logits,
)

_BATCH = 128
_BLOCK_BYTES = 2**23  # of one array over rows, classes and masks
_FINEST = 1e-10
_ABSENT_ROWS = 0.5  # rows that a class without rows is taken to have


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on the features as they are; nothing is standardised.

    A mask keeps N rows x_i with classes y_i. The weights W and the intercepts b, which have no
    penalty, minimise::

        sum_i -log softmax(W x_i + b)[y_i] + penalty/2 ||W||^2

    This is scikit-learn's ``LogisticRegression(C=1 / penalty)``. For data of two classes
    scikit-learn has one vector of weights w, the difference of W's rows, and the penalty
    penalty/2 ||w||^2; this class does the same. A subset with only two of three or more classes
    keeps W, which corresponds to scikit-learn's C = 2 / penalty.

    A class that a subset lacks has no best intercept: the lower, the better. The other classes are
    fitted without it. Its logit at each point gives it the odds of half a row against the N rows:
    log(sum of the others' exp(logit)) - log(2 N). A subset of one class has the logit 0 for this
    class and -log(2 N) for the others. A subset without rows has logits of zero.

    The fit is by Newton's method, with steps by conjugate gradients. It ends after a step that
    moves no logit of any row or test point by more than the tolerance. As a rule the remaining
    error is then a thousandth of the tolerance or less. If a fit does not converge, its logits are
    NaN. A mask has the same logits alone and among others, within the tolerance. Their mean over
    the subset's classes is 0. Nothing is random.

    Attributes:
        penalty: above 0.
        tolerance: how far the last step may move a logit, 1e-10 or more.

    Raises:
        ValueError: the penalty is not a finite number above 0, or the tolerance is too small.
    """

    penalty: float = 1.0
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        check_penalty(self.penalty)
        if not self.tolerance >= _FINEST:
            raise ValueError(
                f"tolerance={self.tolerance} is below {_FINEST:g}, about what float64 allows; use "
                f"{_FINEST:g} or more"
            )

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have."""
        return _BATCH

    def begin(self, data: TrainingData) -> Retraining:
        """Rotate the features and fit the model of all rows, where the subsets' fits start."""
        axes = principal_axes(data, intercept=True)
        n_classes, p = len(data.classes), axes.rows.shape[1]
        weights = np.full((p, 1), 2 * self.penalty if n_classes == 2 else self.penalty)
        weights[-1] = 0
        loss = SoftmaxLoss(axes.rows, axes.tests, data.labels, n_classes, weights)
        zero = np.zeros((1 if n_classes == 2 else n_classes, p, 1))
        basis = first_basis(loss)
        all_rows = np.ones((len(data.labels), 1), dtype=np.bool_)
        model, converged = fit(loss, all_rows, zero, basis, self.tolerance)
        if not converged.all():
            return Retraining(self, data, loss, zero, basis)
        return Retraining(self, data, loss, model, basis_at(loss, model))

    def describe(self) -> Json:
        """Return the settings as JSON."""
        return {"kind": "logistic", "penalty": self.penalty, "tolerance": self.tolerance}


@dataclass(frozen=True, eq=False)
class Retraining:
    """Logistic regression on subsets of the data.

    Attributes:
        settings: the penalty and the tolerance.
        data: the rows and their players.
        loss: the loss that is minimised.
        start: the model of all rows.
        basis: the basis in which its curvature is diagonal.
    """

    settings: Logistic
    data: TrainingData
    loss: SoftmaxLoss
    start: FloatArray
    basis: Basis

    def __call__(self, masks: BoolArray, seeds: IntArray) -> FloatArray:
        """Return the retrained models' logits, ``(m, k, classes)``; NaN where a fit failed."""
        n_classes = len(self.data.classes)
        logits = np.empty((len(masks), len(self.loss.points), n_classes))
        bytes_per_mask = 8 * len(self.data.labels) * n_classes
        for block in blocks(len(masks), bytes_per_mask, _BLOCK_BYTES):
            kept = np.ascontiguousarray(self.data.rows(masks[block]).T)
            models, converged = fit(
                self.loss, kept, self.start, self.basis, self.settings.tolerance
            )
            fitted = full_logits(self.loss.points @ models).transpose(2, 1, 0)
            present = self.loss.present(kept).T
            logits[block] = _with_absent_classes(fitted, present, kept.sum(axis=0))
            logits[block][~converged] = np.nan
        return logits


def _with_absent_classes(logits: FloatArray, present: BoolArray, counts: IntArray) -> FloatArray:
    """Centre the logits of the classes present, and fill in those of the classes absent.

    Args:
        logits: ``(m, k, classes)``.
        present: which classes each mask's rows have, ``(m, classes)``.
        counts: how many rows each mask keeps, ``(m,)``.
    """
    from scipy.special import logsumexp

    here = present[:, None]
    n_present = np.maximum(present.sum(axis=1), 1)[:, None, None]
    logits = logits - np.where(here, logits, 0.0).sum(axis=2, keepdims=True) / n_present
    others = logsumexp(np.where(here, logits, -np.inf), axis=2, keepdims=True)
    odds = np.log(_ABSENT_ROWS / np.maximum(counts, _ABSENT_ROWS))[:, None, None]
    filled = np.where(here, logits, others + odds)
    return np.where(counts[:, None, None] > 0, filled, 0.0)
