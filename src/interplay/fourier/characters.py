r"""The characters of the Fourier basis, evaluated on bits.

.. math:: \chi_S(m) = (-1)^{\sum_{i \in S} m_i}

The masks are transposed and packed: one row of bits per *player*, with 64 masks in a machine word.
The parities of a set on all masks are then the XOR of its players' rows. A set of order d costs d
XORs per 64 masks, whatever the number of players.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns
from interplay._types import BoolArray, ByteArray, FloatArray
from interplay.fourier.sets import Members, members

_MASKS_AT_ONCE = 1 << 12
_SETS_AT_ONCE = 1 << 10
_CELLS_AT_ONCE = 1 << 20


def _rows_of_players(masks: BoolArray) -> npt.NDArray[np.uint64]:
    """``(m, n)`` masks -> ``(n + 1, words)``, 64 masks per word; the last row is 0, for padding."""
    n_masks, n_players = masks.shape
    words = (n_masks + 63) // 64
    rows = np.zeros((n_players + 1, words * 8), dtype=np.uint8)
    bits = np.packbits(masks, axis=0, bitorder="little")
    rows[:n_players, : bits.shape[0]] = bits.T
    return rows.view(np.uint64)


def _parities(rows: npt.NDArray[np.uint64], sets: Members) -> npt.NDArray[np.uint64]:
    """Compute the XOR of the rows of each set's members, ``(s, words)``."""
    result = np.zeros((len(sets), rows.shape[1]), dtype=np.uint64)
    for column in sets.T:
        present = np.flatnonzero(column < len(rows) - 1)
        if len(present) == len(column):
            result ^= rows[column]
        elif len(present):
            result[present] ^= rows[column[present]]
    return result


def _as_bits(parities: npt.NDArray[np.uint64], n_masks: int) -> ByteArray:
    return np.unpackbits(parities.view(np.uint8), axis=1, count=n_masks, bitorder="little")


def characters(
    masks: BoolArray, packed: ByteArray, dtype: type[np.float32 | np.float64] = np.float64
) -> npt.NDArray[Any]:
    """Compute the matrix of chi_S(m).

    Args:
        masks: ``(m, n)``.
        packed: sets, ``(s, ceil(n / 8))``.
        dtype: of the result.

    Returns:
        ``(m, s)`` of +1 and -1, in column-major order, ready for regression.
    """
    sets = members(packed, masks.shape[1])
    result = np.empty((len(sets), len(masks)), dtype=dtype)
    rows = _rows_of_players(masks)
    for start in range(0, len(sets), _SETS_AT_ONCE):
        block = slice(start, start + _SETS_AT_ONCE)
        result[block] = _as_bits(_parities(rows, sets[block]), len(masks))
    result *= dtype(-2.0)
    result += dtype(1.0)
    return result.T


def analyse(masks: BoolArray, packed: ByteArray, values: FloatArray) -> FloatArray:
    r"""Compute \sum_m f(m) \chi_S(m) over the given masks, in blocks of bounded memory.

    Args:
        masks: ``(m, n)``.
        packed: sets, ``(s, ceil(n / 8))``.
        values: ``(m, k)``.

    Returns:
        ``(s, k)``.
    """
    sets = members(packed, masks.shape[1])
    rows = _rows_of_players(masks)
    # chi = 1 - 2 * parity, hence the sum is sum f - 2 * (f weighted by parity bits)
    odd = np.empty((len(sets), values.shape[1]))
    step = max(1, _CELLS_AT_ONCE // len(masks))
    for start in range(0, len(sets), step):
        terms = slice(start, start + step)
        bits = _as_bits(_parities(rows, sets[terms]), len(masks))
        odd[terms] = bits.astype(np.float64) @ values
    return np.asarray(values.sum(axis=0) - 2.0 * odd)


def synthesise(masks: BoolArray, packed: ByteArray, coefficients: FloatArray) -> FloatArray:
    r"""Compute f(m) = \sum_S F(S) \chi_S(m), the inverse transform, in blocks of bounded memory.

    Args:
        masks: ``(m, n)``.
        packed: sets, ``(s, ceil(n / 8))``.
        coefficients: ``(s,)`` or ``(s, k)``.

    Returns:
        ``(m,)`` or ``(m, k)``.
    """
    sets = members(packed, masks.shape[1])
    columns = as_columns(coefficients)
    # chi = 1 - 2 * parity, hence f = sum F - 2 * (parity bits weighted by F)
    odd = np.zeros((columns.shape[1], len(masks)))
    for first in range(0, len(masks), _MASKS_AT_ONCE):
        block = masks[first : first + _MASKS_AT_ONCE]
        rows = _rows_of_players(block)
        for start in range(0, len(sets), _SETS_AT_ONCE):
            terms = slice(start, start + _SETS_AT_ONCE)
            bits = _as_bits(_parities(rows, sets[terms]), len(block))
            odd[:, first : first + len(block)] += columns[terms].T @ bits.astype(np.float64)
    values = columns.sum(axis=0)[:, None] - 2.0 * odd
    return values[0] if coefficients.ndim == 1 else np.ascontiguousarray(values.T)
