"""Circuits as the page shows them: data for its script, and a table without it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from interplay._arrays import as_columns, pack
from interplay._types import FloatArray, IntArray, Json, visible
from interplay.explanation.circuits import Series
from interplay.explanation.explanation import Explanation
from interplay.fourier.spectrum import Spectrum

_NEAR = 20
"""Held-out masks of about a circuit's size, which say how far predictions are off there."""
_ROWS = 12
"""Circuits in the table of the page without its script."""


def as_data(explanation: Explanation, series: Sequence[Series]) -> Json | None:
    """Circuits for the page's script; ``None`` if there are none."""
    if not series:
        return None
    low, high = _range(explanation)
    return {
        "ends": None if explanation.ends is None else _numbers(explanation.ends.reshape(2, -1)),
        "low": low,
        "high": high,
        "series": [
            {
                "name": visible(one.name),
                "about": one.about,
                "masks": base64.b64encode(pack(one.masks).tobytes()).decode("ascii"),
                "sizes": one.sizes.tolist(),
                "errors": _numbers(_errors(explanation, one.sizes)),
                "measured": _numbers(one.measured),
                "test": _numbers(one.test),
                "low": _numbers(one.low),
                "high": _numbers(one.high),
                "whole": _numbers(one.whole),
                "nothing": _numbers(one.nothing),
            }
            for one in series
        ],
    }


def as_rows(
    explanation: Explanation, spectrum: Spectrum, series: Sequence[Series]
) -> list[dict[str, Any]]:
    """The first series as lines of a table, of the output that the page begins with."""
    if not series:
        return []
    one = series[0]
    ends, first = explanation.ends, explanation.first_output or 0
    full, empty = (np.nan, np.nan) if ends is None else ends.reshape(2, -1)[:, first].tolist()
    predicted = as_columns(spectrum.predict(one.masks))[:, first]
    shown = np.unique(np.linspace(0, len(one.masks) - 1, min(_ROWS, len(one.masks))).round())
    return [
        {
            "size": int(one.sizes[row]),
            "predicted": float(predicted[row]),
            "measured": float(one.measured[row, first]),
            "test": float(one.test[row, first]),
            "low": float(one.low[row, first]),
            "high": float(one.high[row, first]),
            "share": circuit_faithfulness(
                float(one.measured[row, first])
                if np.isfinite(one.measured[row, first])
                else float(predicted[row]),
                full,
                empty,
            ),
        }
        for row in shown.astype(int).tolist()
    ]


def circuit_faithfulness(value: float, full: float, empty: float) -> float:
    r"""Of the way from nothing to the whole model: :math:`(v - v_0) / (v_1 - v_0)`, or NaN."""
    span = full - empty
    return (value - empty) / span if span else np.nan


def _errors(explanation: Explanation, sizes: IntArray) -> FloatArray | None:
    """How far predictions are off on held-out masks of about each size, ``(c, k)``.

    It is the root mean square over the masks that are nearest in size. ``None`` where all masks
    were evaluated, or none was held out.
    """
    held = explanation.held_out
    if explanation.faithfulness.exact or not len(held):
        return None
    squares = (as_columns(explanation.predict_held_out()) - as_columns(held.values)) ** 2
    distance = np.abs(held.masks.sum(axis=1) - sizes[:, None])
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_NEAR]
    return np.asarray(np.sqrt(squares[nearest].mean(axis=1)))


def _range(explanation: Explanation) -> tuple[int, int]:
    """The smallest and the largest size of the masks of the run, but for both ends."""
    used = (
        explanation.fit
        if explanation.faithfulness.exact
        else (explanation.fit + explanation.held_out)
    )
    n = used.masks.shape[1]
    sizes = used.masks.sum(axis=1)
    inner = sizes[(sizes > 0) & (sizes < n)]
    return (int(inner.min()), int(inner.max())) if len(inner) else (n, 0)


def _numbers(values: FloatArray | None) -> Any:
    """Nested lists, with ``None`` for what is not finite."""
    if values is None:
        return None
    return np.where(np.isfinite(values), values.astype(object), np.array(None)).tolist()
