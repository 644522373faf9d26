"""Logistic: logistic regression on many subsets at once, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData
from interplay.training.trainers.axes import blocks, check_penalty, principal_axes
from interplay.training.trainers.newton import (
    Basis,
    Softmax,
    basis_at,
    first_basis,
    fit,
    spread,
)

_BATCH = 128
_BLOCK_BYTES = 2**23  # of one array over rows, classes and masks
_FINEST = 1e-10
_PRESENCE = 0.5  # rows that an absent class is taken to have


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on the features as they are, nothing standardised.

    For the N rows i that a mask keeps it minimises over W and b, where b has no penalty::

        sum_i -log softmax(W x_i + b)[y_i] + penalty/2 ||W||^2

    which is scikit-learn's ``LogisticRegression(C=1 / penalty)``. Data of two classes have one
    vector of weights w there, the difference of W's rows, and penalty/2 ||w||^2; so they have here.
    A subset with only two of three or more classes keeps W, which is C = 2 / penalty there.

    A class that a subset lacks has no best intercept: the lower the better. The others are fitted
    without it, and at each point its logit is what gives it the odds of half a row against the N
    that there are: log(sum of the others' exp(logit)) - log(2 N). A subset of one class has the
    logit 0 for this class and -log(2 N) for the others; one without rows has logits of zero.

    Newton's method, whose steps are solved for by conjugate gradients, runs until a step moves no
    logit of any row or test point by more than the tolerance. That step is still taken, so that
    what is left of the error is as a rule a thousandth of the tolerance or less. A mask's logits
    are NaN where it does not get there. Alone and among others they are the same within the
    tolerance. They have the mean 0 over the classes that the subset has. Nothing is random.

    Attributes:
        penalty: above 0.
        tolerance: how far the last step may move a logit, 1e-10 or more.

    Raises:
        ValueError: a penalty that is not a finite number above 0, or too small a tolerance.
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
        """Rotate the features and fit all rows, from where the subsets' fits start."""
        axes = principal_axes(data, intercept=True)
        n_classes, p = len(data.classes), axes.rows.shape[1]
        weights = np.full((p, 1), 2 * self.penalty if n_classes == 2 else self.penalty)
        weights[-1] = 0
        softmax = Softmax(axes.rows, axes.tests, data.labels, n_classes, weights)
        nothing = np.zeros((1 if n_classes == 2 else n_classes, p, 1))
        basis = first_basis(softmax)
        every = np.ones((len(data.labels), 1), dtype=np.bool_)
        model, reached = fit(softmax, every, nothing, basis, self.tolerance)
        if not reached.all():
            return Retraining(self, data, softmax, nothing, basis)
        return Retraining(self, data, softmax, model, basis_at(softmax, model))

    def describe(self) -> Json:
        """The settings, as JSON."""
        return {"kind": "logistic", "penalty": self.penalty, "tolerance": self.tolerance}


@dataclass(frozen=True, eq=False)
class Retraining:
    """Logistic regression on subsets of some data.

    Attributes:
        settings: the penalty and the tolerance.
        data: the rows and their players.
        softmax: what is minimised.
        start: the model of all rows.
        basis: where its curvature is diagonal.
    """

    settings: Logistic
    data: TrainingData
    softmax: Softmax
    start: FloatArray
    basis: Basis

    def __call__(self, masks: BoolArray, seeds: IntArray) -> FloatArray:
        """The logits of the retrained models, ``(m, k, classes)``; NaN where a fit failed."""
        n_classes = len(self.data.classes)
        logits = np.empty((len(masks), len(self.softmax.points), n_classes))
        each = 8 * len(self.data.labels) * n_classes
        for part in blocks(len(masks), each, _BLOCK_BYTES):
            kept = np.ascontiguousarray(self.data.rows(masks[part]).T)
            models, reached = fit(
                self.softmax, kept, self.start, self.basis, self.settings.tolerance
            )
            fitted = spread(self.softmax.points @ models).transpose(2, 1, 0)
            present = self.softmax.present(kept).T
            logits[part] = _completed(fitted, present, kept.sum(axis=0))
            logits[part][~reached] = np.nan
        return logits


def _completed(logits: FloatArray, present: BoolArray, counts: IntArray) -> FloatArray:
    """Logits with those of absent classes put in; those that are present have the mean 0.

    Args:
        logits: ``(m, k, classes)``.
        present: ``(m, classes)``.
        counts: how many rows each mask keeps, ``(m,)``.
    """
    here = present[:, None]
    some = np.maximum(present.sum(axis=1), 1)[:, None, None]
    logits = logits - np.where(here, logits, 0.0).sum(axis=2, keepdims=True) / some
    others = logsumexp(np.where(here, logits, -np.inf), axis=2, keepdims=True)
    odds = np.log(_PRESENCE / np.maximum(counts, _PRESENCE))[:, None, None]
    filled = np.where(here, logits, others + odds)
    return np.where(counts[:, None, None] > 0, filled, 0.0)
