"""Axes: frozen features on their principal axes, where linear models are cheap to fit."""

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

    A linear model with an L2 penalty has its weights in the span of the rows that it is trained on,
    and the penalty knows no directions: the model is the same after a rotation, and p is at most
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
    """Rotate the features, flattened to d numbers a row, to the axes of all training rows.

    Nothing is rescaled. With an intercept the mean of all rows is taken off first, which an
    intercept without a penalty makes up for, and which loses fewer digits.
    """
    rows = data.features.reshape(len(data.features), -1)
    tests = data.test_features.reshape(len(data.test_features), -1)
    if intercept:
        mean = rows.mean(axis=0)
        rows, tests = rows - mean, tests - mean
    left, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    rows, tests = left * sizes, tests @ axes.T
    if intercept:
        rows, tests = (np.hstack([each, np.ones((len(each), 1))]) for each in (rows, tests))
    return Axes(np.ascontiguousarray(rows), np.ascontiguousarray(tests), float(sizes.max()))


def check_penalty(penalty: float) -> None:
    """A penalty that makes the fit unique.

    Raises:
        ValueError: it is not a finite number above 0.
    """
    if not (math.isfinite(penalty) and penalty > 0):
        raise ValueError(
            f"penalty={penalty} is not a finite number above 0; give one, such as 1.0 (a small one "
            "where the model should fit its rows closely)"
        )


def blocks(total: int, bytes_each: int, limit: int) -> Iterator[slice]:
    """Cut so many masks into blocks whose arrays stay within the limit, one mask at the least."""
    size = max(1, limit // max(1, bytes_each))
    return (slice(start, start + size) for start in range(0, total, size))
