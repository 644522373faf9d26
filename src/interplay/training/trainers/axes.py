"""Axes: frozen features rotated to their principal axes, where linear models are cheap to fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from interplay._types import FloatArray
from interplay.training.data import TrainingData


@dataclass(frozen=True, eq=False)
class Axes:
    """Training rows and test points in p coordinates.

    A linear model with an L2 penalty has its weights in the span of its training rows, and the
    penalty is the same in all directions. So a rotation does not change the model, and p is at most
    the number of rows, however wide they are.

    Attributes:
        rows: ``(rows, p)``; with an intercept the last column is all ones.
        tests: ``(k, p)``.
        largest: the largest singular value of the features, centred where there is an intercept.
    """

    rows: FloatArray
    tests: FloatArray
    largest: float


def principal_axes(data: TrainingData, intercept: bool) -> Axes:
    """Rotate the features, flattened to d numbers a row, to the principal axes of all rows.

    Nothing is rescaled. With an intercept, the mean of all rows is subtracted first: this loses
    fewer digits, and an intercept without a penalty makes up for it.
    """
    rows = data.features.reshape(len(data.features), -1)
    tests = data.test_features.reshape(len(data.test_features), -1)
    if intercept:
        mean = rows.mean(axis=0)
        rows, tests = rows - mean, tests - mean
    left, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    rows, tests = left * sizes, tests @ axes.T
    if intercept:
        rows, tests = (np.hstack([x, np.ones((len(x), 1))]) for x in (rows, tests))
    return Axes(np.ascontiguousarray(rows), np.ascontiguousarray(tests), float(sizes.max()))


def check_penalty(penalty: float) -> None:
    """Check that a penalty makes the fit unique.

    Raises:
        ValueError: it is not a finite number above 0.
    """
    if not (math.isfinite(penalty) and penalty > 0):
        raise ValueError(
            f"penalty={penalty} is not a finite number above 0; give one, such as 1.0 (a small one "
            "where the model should fit its rows closely)"
        )


def blocks(n_masks: int, bytes_per_mask: int, limit: int) -> Iterator[slice]:
    """Cut masks into blocks of at least one mask whose arrays stay within a limit, in bytes."""
    size = max(1, limit // max(1, bytes_per_mask))
    return (slice(start, start + size) for start in range(0, n_masks, size))
