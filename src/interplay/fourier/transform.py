"""The fast Walsh-Hadamard transform of a full table."""

from __future__ import annotations

import numpy as np

from interplay._types import FloatArray


def walsh_hadamard(values: FloatArray) -> FloatArray:
    r"""Transform along the first axis by Walsh-Hadamard: :math:`\sum_m f(m) (-1)^{<m, S>}`.

    Args:
        values: ``(2**n, ...)``. The number of a row is its mask; player ``i`` is bit ``i``.

    Returns:
        The same shape. Row ``S`` holds the unnormalised coefficient of the set with those bits.
    """
    result = np.array(values, dtype=np.float64)
    length = len(result)
    half = 1
    while half < length:
        pairs = result.reshape(length // (2 * half), 2, half, *result.shape[1:])
        pairs[:, 0], pairs[:, 1] = pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]
        half *= 2
    return result
