"""Masks as the kernel takes them, and the panels in which matrices over masks are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

REACH = 4
"""The largest j - i of players that removal makes neighbours."""
_PANEL = 128
"""Columns of a panel."""

Floats: TypeAlias = npt.NDArray[Any]
"""Numbers of float64, or of float32 where that will do (:meth:`.kernel.Kernel.suits_single`)."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Masks in the forms that the kernel takes. Build it with :meth:`of`.

    Attributes:
        signs: (-1)^mask, ``(m, n)``, float64 or float32.
        adjacent: B_ij of the masks, ``(m, pairs)``, in the order of :func:`neighbours`.
    """

    signs: Floats
    adjacent: csr_array

    @classmethod
    def of(cls, masks: BoolArray) -> Inputs:
        """Convert masks ``(m, n)``."""
        from scipy.sparse import csr_array

        n_masks, n_players = masks.shape
        blocks, alone = [], masks
        # alone[:, i]: i is kept, and all from i + 1 to i + gap - 1 are removed
        for gap in range(1, min(REACH, n_players - 1) + 1):
            alone, partner = alone[:, : n_players - gap], masks[:, gap:]
            blocks.append(alone & partner)
            alone = alone & ~partner
        joined = np.hstack(blocks) if blocks else np.zeros((n_masks, 0), dtype=np.bool_)
        return cls(np.where(masks, -1.0, 1.0), csr_array(joined, dtype=np.float64))

    def single(self) -> Inputs:
        """The same in float32."""
        return Inputs(self.signs.astype(np.float32), self.adjacent.astype(np.float32))

    def __getitem__(self, rows: IntArray | slice) -> Inputs:
        return Inputs(self.signs[rows], self.adjacent[rows])

    def __len__(self) -> int:
        return len(self.signs)


@dataclass(frozen=True, eq=False)
class Panel:
    """The b columns ``start`` to ``stop`` of an (m, m) matrix, from the diagonal down.

    A symmetric matrix is computed in such panels. That is half the work, and each panel stays in
    the cache.

    Attributes:
        start: the first column, and the first row.
        stop: behind the last column.
        rows: the h masks of the rows.
        columns: the b masks of the columns.
        adjacent: B_ij of the columns, ``(pairs, b)``.
        adjacent_of_rows: B_ij of the rows, ``(pairs, h)``, sparse.
    """

    start: int
    stop: int
    rows: Inputs
    columns: Inputs
    adjacent: Floats
    adjacent_of_rows: csc_array

    def forms(self, weights: Floats) -> FloatArray:
        """sum_ab x_ai weights_ab x_bi for each player i, ``(n,)``."""
        by_column = weights.T @ self.rows.signs
        return np.asarray(np.einsum("bi,bi->i", self.columns.signs, by_column))

    def adjacent_forms(self, weights: Floats) -> FloatArray:
        """sum_ab B_ij(x_a) weights_ab B_ij(x_b) for each pair, ``(pairs,)``."""
        by_column = self.adjacent_of_rows @ weights
        return np.asarray(np.einsum("pb,pb->p", self.adjacent, by_column))


def panels(inputs: Inputs) -> Iterator[Panel]:
    """The panels of a matrix over m masks, in order."""
    for start in range(0, len(inputs), _PANEL):
        rows = inputs[start:]
        columns = rows[:_PANEL]
        stop = start + len(columns)
        yield Panel(start, stop, rows, columns, columns.adjacent.T.toarray(), rows.adjacent.T)


def neighbours(n_players: int) -> IntArray:
    """List the pairs (i, j) with j - i up to :data:`REACH`, ``(pairs, 2)``, nearest first."""
    pairs = [
        (i, i + gap)
        for gap in range(1, min(REACH, n_players - 1) + 1)
        for i in range(n_players - gap)
    ]
    return np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
