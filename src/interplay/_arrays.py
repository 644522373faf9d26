"""Arrays of packed bits, and values with one column per output."""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray, ByteArray, FloatArray


def pack(rows: BoolArray) -> ByteArray:
    """Pack rows ``(s, n) bool``, which are masks or sets, into ``(s, ceil(n / 8)) uint8``."""
    return np.packbits(rows, axis=1, bitorder="little")


def unpack(packed: ByteArray, n_players: int) -> BoolArray:
    """Unpack the rows of :func:`pack` into ``(s, n) bool``."""
    bits = np.unpackbits(packed, axis=1, count=n_players, bitorder="little")
    return bits.view(np.bool_)


def as_columns(values: FloatArray) -> FloatArray:
    """Bring values ``(s,)`` or ``(s, k)`` into the shape ``(s, k)``, one column per output."""
    return values[:, None] if values.ndim == 1 else values


LARGEST = 1e30
"""The largest size of a value or a coefficient: sums of squares of such numbers do not overflow."""


def finite_rows(values: FloatArray) -> BoolArray:
    """Which rows of values ``(s,)`` or ``(s, k)`` have only numbers up to :data:`LARGEST`.

    Returns:
        ``(s,) bool``; ``False`` for NaN, infinity, and larger numbers.
    """
    return np.asarray((np.abs(as_columns(values)) <= LARGEST).all(axis=1))
