"""Arrays of bits packed into bytes, and of outputs in columns."""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray, ByteArray, FloatArray


def pack(rows: BoolArray) -> ByteArray:
    """``(s, n) bool`` -> packed ``(s, ceil(n / 8)) uint8``. Serves masks as well as sets."""
    return np.packbits(rows, axis=1, bitorder="little")


def unpack(packed: ByteArray, n_players: int) -> BoolArray:
    """Packed rows -> ``(s, n) bool``."""
    bits = np.unpackbits(packed, axis=1, count=n_players, bitorder="little")
    return bits.view(np.bool_)


def as_columns(values: FloatArray) -> FloatArray:
    """Values ``(s,)`` or ``(s, k)`` as ``(s, k)``, one column per output."""
    return values[:, None] if values.ndim == 1 else values


def finite_rows(values: FloatArray) -> BoolArray:
    """Which rows of values ``(s,)`` or ``(s, k)`` are finite throughout, ``(s,)``."""
    return np.asarray(np.isfinite(as_columns(values)).all(axis=1))
