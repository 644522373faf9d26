"""The array types that the public signatures name."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]
ByteArray: TypeAlias = npt.NDArray[np.uint8]
IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Players: TypeAlias = tuple[int, ...]
"""A set of players: their indices, ascending."""
Json: TypeAlias = dict[str, Any]
"""What ``json.dumps`` takes: the form of settings, diagnoses and provenance."""
