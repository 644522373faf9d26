"""Imputation: what stands in for the columns that a mask removes.

The value of a mask is a weighted mean of the model over background rows, in which the kept columns
have the values of the row that is explained:

    v(S) = sum_b w_b(S) f(x_S, z_b(S))

===================  ======================================  ===================================
name                 weights w_b(S)                          removed columns z_b(S)
===================  ======================================  ===================================
``"marginal"``       equal                                   those of background row b
``"conditional"``    by how near row b is to x in S          those of background row b
``"gaussian"``       equal                                   those of row b, moved to x by linear
                                                             regression on S
===================  ======================================  ===================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.extensions import unknown
from interplay.tabular.tables import Table

NAMES = ("marginal", "conditional", "gaussian")
BANDWIDTH = 0.3
"""Of ``"conditional"``. On six normal features with correlations from 0 to 0.9 it was the best of
0.1, 0.2, 0.3 and 0.5 on the whole."""
MOST_ROWS = {"marginal": 100, "conditional": 1_000, "gaussian": 100}
"""How many background rows are used by default."""
_NEGLIGIBLE = 1e-3
"""The share of the weight in the farthest rows that is left out, and the model not asked for."""
_RIDGE = 1e-8
"""Added to the correlations of the kept columns, some of which may be functions of others."""


class Imputation(Protocol):
    """What stands in for removed columns."""

    def weights(self, kept: BoolArray) -> FloatArray:
        """The weights of the b background rows under masks of columns ``(m, c)``: ``(m, b)``."""
        ...

    def shifts(self, kept: BoolArray) -> FloatArray | None:
        """What is added to the background's removed columns, ``(m, b, c)``; ``None``: nothing."""
        ...

    def describe(self) -> Json:
        """The settings, for the provenance and the fingerprint."""
        ...


def imputation_of(name: str, whole: Table, used: Table, bandwidth: float | None) -> Imputation:
    """The imputation of that name.

    Args:
        name: one of :data:`NAMES`.
        whole: all background rows.
        used: those that stand in.
        bandwidth: of ``"conditional"``; ``None``: :data:`BANDWIDTH`.

    Raises:
        ValueError: there is no such name, the bandwidth is not above 0 or does not belong to the
            name, or ``"gaussian"`` is to impute what are no finite numbers.
    """
    if name not in NAMES:
        raise unknown("imputation", name, NAMES)
    if bandwidth is not None and name != "conditional":
        raise ValueError(
            f'bandwidth={bandwidth} does not belong to imputation={name!r}; it is of "conditional"'
        )
    if name == "conditional":
        width = BANDWIDTH if bandwidth is None else float(bandwidth)
        if not 0 < width < np.inf:
            raise ValueError(f"bandwidth={bandwidth} is not above 0; the default is {BANDWIDTH}")
        return Near(_squared_distances(whole, used), width)
    return Marginal(used.n_rows) if name == "marginal" else Gaussian.of(whole, used)


@dataclass(frozen=True)
class Marginal:
    """Removed columns come from all background rows alike, whatever is kept.

    This is the interventional value of SHAP: the model is asked about rows that may never occur,
    such as a young pensioner. Assumes nothing of the data.
    """

    n_rows: int

    def weights(self, kept: BoolArray) -> FloatArray:
        """Equal weights, ``(m, b)``."""
        return np.full((len(kept), self.n_rows), 1.0 / self.n_rows)

    def shifts(self, kept: BoolArray) -> None:
        """Nothing is added."""

    def describe(self) -> Json:
        """Its name."""
        return {"kind": "marginal"}


@dataclass(frozen=True, eq=False)
class Near:
    r"""Removed columns come from the background rows that are near to the row in what is kept.

    :math:`w_b(S) \propto \exp(-D_b(S) / 2h^2)` with the bandwidth h and the mean squared distance
    :math:`D_b(S) = \frac{1}{|S|} \sum_{j \in S} (x_j - b_j)^2 / \sigma_j^2` (the empirical
    conditional estimator of Aas, Jullum and Loland 2021, arXiv 1903.10464, with independent scales
    in place of their covariance). In a column without numbers two different values are as far apart
    as two numbers are on average.

    Assumes that rows which are alike in the kept columns are alike in the others, and that the
    background has such rows. Where few are near, the value is the model's at few rows:
    ``TabularGame.rows_behind`` counts them.

    Attributes:
        squared: the squared distance of each row in each column, ``(b, c)``.
        bandwidth: h.
    """

    squared: FloatArray
    bandwidth: float

    def weights(self, kept: BoolArray) -> FloatArray:
        """Weights by distance, ``(m, b)``; those that together are negligible are 0."""
        n_kept = np.maximum(kept.sum(axis=1, keepdims=True), 1)
        distances = kept.astype(np.float64) @ self.squared.T / n_kept
        distances -= distances.min(axis=1, keepdims=True)
        weights = np.exp(-distances / (2 * self.bandwidth**2))
        weights /= weights.sum(axis=1, keepdims=True)
        ascending = np.sort(weights, axis=1)
        below = (np.cumsum(ascending, axis=1) <= _NEGLIGIBLE).sum(axis=1)
        least = ascending[np.arange(len(weights)), below]
        weights[weights < least[:, None]] = 0.0
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def shifts(self, kept: BoolArray) -> None:
        """Nothing is added."""

    def describe(self) -> Json:
        """Its name and bandwidth."""
        return {"kind": "conditional", "bandwidth": self.bandwidth}


@dataclass(frozen=True, eq=False)
class Gaussian:
    r"""Removed columns are a background row's, moved by linear regression to what is kept.

    :math:`z_b(S) = b_R + \Sigma_{RS} \Sigma_{SS}^{-1} (x_S - b_S)` for the removed columns R, with
    the covariance :math:`\Sigma` of all background rows.

    Assumes that the removed columns depend linearly on the kept ones, and that the rest of them
    does not depend on these: exact, up to sampling, if the columns are jointly normal. Columns of
    whole numbers, or of 0 and 1, get values between those that they have.

    Attributes:
        differences: the row that is explained minus each background row, in standard deviations of
            the columns, ``(b, c)``.
        correlations: of the columns, ``(c, c)``.
        scales: the columns' standard deviations, ``(c,)``.
    """

    differences: FloatArray
    correlations: FloatArray
    scales: FloatArray

    @classmethod
    def of(cls, whole: Table, used: Table) -> Gaussian:
        """Measure the covariance of all background rows.

        Raises:
            ValueError: there are fewer than two rows.
        """
        if whole.n_rows < 2:
            raise ValueError('imputation="gaussian" needs two background rows or more; 1 was given')
        rows, numbers = (
            np.asarray(table.in_numbers().pool, dtype=np.float64) for table in (whole, used)
        )
        scales = rows[:-1].std(axis=0)
        known = np.where(scales > 0, scales, 1.0)
        standard = (rows[:-1] - rows[:-1].mean(axis=0)) / known
        return cls(
            (numbers[-1] - numbers[:-1]) / known, standard.T @ standard / len(standard), known
        )

    def weights(self, kept: BoolArray) -> FloatArray:
        """Equal weights, ``(m, b)``."""
        n_rows = len(self.differences)
        return np.full((len(kept), n_rows), 1.0 / n_rows)

    def shifts(self, kept: BoolArray) -> FloatArray:
        """The change of what regression predicts for the removed columns, ``(m, b, c)``."""
        shifts = np.zeros((len(kept), *self.differences.shape))
        for mask, columns in enumerate(kept):
            if columns.all() or not columns.any():
                continue
            among = self.correlations[np.ix_(columns, columns)]
            among = among + _RIDGE * np.eye(len(among))
            slopes = np.linalg.solve(among, self.correlations[np.ix_(columns, ~columns)])
            shifts[mask][:, ~columns] = self.differences[:, columns] @ slopes
        return np.asarray(shifts * self.scales)

    def describe(self) -> Json:
        """Its name."""
        return {"kind": "gaussian"}


def _squared_distances(whole: Table, used: Table) -> FloatArray:
    """How far each background row is from the row in each column, squared, ``(b, c)``.

    Two rows of the background are 2 apart on average, in every column that varies.
    """
    squared = np.zeros((used.n_rows, len(used.columns)))
    for number in range(len(used.columns)):
        if used.is_number(number):
            values = used.column(number).astype(np.float64)
            variance = float(np.nanvar(_finite(whole.column(number)[:-1])))
            if variance > 0:
                distance = (values[:-1] - values[-1]) ** 2 / variance
                both = np.isnan(values[:-1]) & np.isnan(values[-1])
                squared[:, number] = np.where(both, 0.0, np.nan_to_num(distance, nan=2.0))
            continue
        shares = np.unique(whole.codes[:-1, number], return_counts=True)[1] / whole.n_rows
        differ = 1.0 - float((shares**2).sum())
        if differ > 0:
            codes = used.codes[:, number]
            squared[:, number] = (codes[:-1] != codes[-1]) * (2.0 / differ)
    return squared


def _finite(values: FloatArray) -> FloatArray:
    known = values.astype(np.float64)
    known = known[np.isfinite(known)]
    return known if len(known) else np.zeros(1)
