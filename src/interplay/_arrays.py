"""Arrays of packed bits, and values with one column per output, each in units of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, ByteArray, FloatArray, IntArray


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


LARGEST = 1e150
"""The largest size of a value: sums of squares of such numbers do not overflow."""
EPSILON = float(np.finfo(np.float64).eps)
_ROUNDINGS = 64
"""Values that lie within so many roundings of their size do not vary."""
_FAR = 1024.0
"""An offset of so many times the range is subtracted before values are decoded."""


def finite_rows(values: FloatArray) -> BoolArray:
    """Which rows of values ``(s,)`` or ``(s, k)`` have only numbers up to :data:`LARGEST`.

    Returns:
        ``(s,) bool``; ``False`` for NaN, infinity, and larger numbers.
    """
    return np.asarray((np.abs(as_columns(values)) <= LARGEST).all(axis=1))


def real_numbers(values: npt.ArrayLike, what: str) -> FloatArray:
    """Values as float64.

    Args:
        values: numbers or booleans.
        what: what they are, for the message.

    Raises:
        ValueError: they are complex numbers, texts, dates, or are no array of numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind == "c" or (
        array.dtype == object and any(isinstance(number, complex) for number in array.flat)
    ):
        raise ValueError(
            f"{what} are complex numbers ({array.dtype}), which have no order; give real ones, "
            "such as the absolute values, or the real and the imaginary part as two outputs"
        )
    if array.dtype.kind not in "biufO":
        raise ValueError(f"{what} are of dtype {array.dtype}; give numbers")
    try:
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} are not numbers ({error}); give numbers") from error


def rounding_error(values: FloatArray) -> FloatArray:
    """The rounding error of each output's values, from their size alone.

    Args:
        values: ``(m,)`` or ``(m, k)``; rows of NaN are left out.

    Returns:
        ``(k,)``; it is 0 where all values are.
    """
    columns = as_columns(values)
    known = columns[np.isfinite(columns).all(axis=1)]
    return np.asarray(EPSILON * np.abs(known).max(axis=0, initial=0.0))


def varying(values: FloatArray) -> BoolArray:
    """Which outputs vary by more than the rounding errors of their values.

    Args:
        values: ``(m,)`` or ``(m, k)``; rows of NaN are left out.

    Returns:
        ``(k,)``.
    """
    columns = as_columns(values)
    known = columns[np.isfinite(columns).all(axis=1)]
    if not len(known):
        return np.zeros(columns.shape[1], dtype=np.bool_)
    return np.asarray(np.ptp(known, axis=0) > _ROUNDINGS * rounding_error(known))


@dataclass(frozen=True, eq=False)
class Units:
    """Units in which each output's values have a size of about 1. Made by :meth:`of`.

    A value is ``offset + size * number``. Sizes are powers of two, so that a change of units rounds
    nothing. An offset is 0 unless it is far larger than the range; it then is one of the values,
    and their difference from it is exact too.

    Attributes:
        offset: ``(k,)``.
        exponent: the sizes are 2 to this power, ``(k,)``.
        varies: which outputs vary by more than rounding errors, ``(k,)``. The numbers of the others
            are 0.
        noise: the rounding error of a mean of values, in their own units, where there is an offset;
            otherwise 0, ``(k,)``.
    """

    offset: FloatArray
    exponent: IntArray
    varies: BoolArray
    noise: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> Units:
        """Choose the units of values ``(m, k)``; rows of NaN are left out."""
        known = values[np.isfinite(values).all(axis=1)]
        varies = varying(values)
        if not len(known):
            zeros = np.zeros(values.shape[1])
            return cls(zeros, zeros.astype(np.int64), varies, zeros)
        size = np.abs(known).max(axis=0)
        is_far = varies & (size > _FAR * np.ptp(known, axis=0))
        offset = np.where(is_far, known[0], 0.0)
        constant = known[0] + (known - known[0]).mean(axis=0)
        largest = np.abs(known - offset).max(axis=0)
        return cls(
            np.where(varies, offset, constant),
            np.frexp(largest)[1].astype(np.int64),
            varies,
            np.where(is_far, 4.0 * rounding_error(known), 0.0),
        )

    def numbers(self, values: FloatArray) -> FloatArray:
        """The numbers of values ``(m, k)``."""
        numbers = np.ldexp(values - self.offset, -self.exponent)
        return np.asarray(np.where(self.varies | np.isnan(numbers), numbers, 0.0))

    @property
    def size(self) -> FloatArray:
        """The size of each output, ``(k,)``."""
        return np.ldexp(np.ones(len(self.exponent)), self.exponent)


def root_of_squares(numbers: FloatArray, axis: int) -> FloatArray:
    """The root of the sum of squares along an axis; squares neither overflow nor vanish."""
    largest = np.abs(numbers).max(axis=axis, keepdims=True, initial=0.0)
    unit = np.where(largest > 0.0, np.ldexp(1.0, np.frexp(largest)[1]), 1.0)
    root = np.sqrt(((numbers / unit) ** 2).sum(axis=axis))
    return np.asarray(root * np.squeeze(unit, axis))


def unit_of(numbers: FloatArray) -> float:
    """A power of two of about the size of the largest of some numbers; 1 if all are 0."""
    largest = float(np.abs(numbers).max(initial=0.0))
    return float(np.ldexp(1.0, int(np.frexp(largest)[1]))) if largest else 1.0
