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


def finite_rows(values: FloatArray) -> BoolArray:
    """Which rows of values ``(s,)`` or ``(s, k)`` have only finite numbers, ``(s,) bool``."""
    return np.asarray(np.isfinite(as_columns(values)).all(axis=1))
