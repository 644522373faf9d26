"""Whether an index looks where the masks of a run do not, and what was measured contradicts it.

An index is a weighted mean over masks: Shapley values and those of their family weigh all sizes
alike, both ends included, Banzhaf values and Fourier coefficients nearly only masks that keep about
half of the players, the Moebius transforms the surroundings of one end. A spectrum from other masks
gives these indices too, by what it predicts there. Nothing is said against that but by measurement:
both ends are known, and the score tells the middle band of sizes apart.
"""

from __future__ import annotations

import numpy as np

from interplay._arrays import as_columns, varying
from interplay._types import FloatArray
from interplay.designs.measures import SHAPLEY, UNIFORM, Measure
from interplay.explanation.bands import EDGES, MIDDLE
from interplay.explanation.faithfulness import Faithfulness
from interplay.extensions import INDICES
from interplay.fourier.masks import end_masks
from interplay.fourier.spectrum import Spectrum

OF_ALL_SIZES = ("SV", "SII", "k-SII", "STII", "FSII")
OF_THE_MIDDLE = ("BV", "BII", "FBII", "Fourier")
_OF_AN_END = {"Moebius": "empty", "Co-Moebius": "whole"}
END_OFF = 0.5
"""The error at an end, as a share of the range of the values, from which it is warned of."""
_POOR = 0.5
"""The R2 among masks of the middle band below which it is warned of."""
_RARE = 0.05
"""A measure with a smaller share of its masks in the middle band says nothing of it."""


def ranges_of(values: FloatArray) -> tuple[float, ...]:
    """The range of each output's values; what varies by rounding errors only has none."""
    return tuple((np.ptp(as_columns(values), axis=0) * varying(values)).tolist())


def missed_ends(
    spectrum: Spectrum, ends: FloatArray, ranges: tuple[float, ...]
) -> dict[str, tuple[float, float]]:
    """The ends at which a spectrum's predictions are far off.

    Args:
        spectrum: it.
        ends: the values of the full and of the empty input, ``(2,)`` or ``(2, k)``.
        ranges: the range of the values of each output.

    Returns:
        By end, ``"whole"`` and ``"empty"``, what is predicted and what was measured, of the output
        that is the farthest off.
    """
    predictions = as_columns(spectrum.predict(end_masks(spectrum.n_players)))
    missed = {}
    for name, predicted, actual in zip(
        ("whole", "empty"), predictions, as_columns(ends), strict=True
    ):
        off = np.abs(predicted - actual) - END_OFF * np.array(ranges)
        column = int(np.argmax(off))
        if off[column] > 0.0:
            missed[name] = (float(predicted[column]), float(actual[column]))
    return missed


def misses_the_middle(score: Faithfulness, measure: Measure) -> str | None:
    """What shows that masks of about half of the players are predicted badly, or ``None``."""
    low, high = EDGES[MIDDLE], EDGES[MIDDLE + 1]
    if UNIFORM.ranges[0] in measure.ranges:
        return None
    for band in score.bands:
        if band.low <= low and band.high >= high and band.r2 is not None:
            if band.r2 >= min(_POOR, score.r2):
                return None
            span = f"{band.low:.0%} to {band.high:.0%}"
            return f"among masks that keep {span} of the players its R2 is {band.r2:.2f}"
    return None


def _lacks_the_middle(measure: Measure, n_players: int) -> str | None:
    """Whether a measure has hardly any masks of about half of the players, in words."""
    low, high = EDGES[MIDDLE], EDGES[MIDDLE + 1]
    share = np.arange(n_players + 1) / n_players
    weight = float(measure.size_law(n_players)[(share >= low) & (share <= high)].sum())
    if weight >= _RARE or n_players < 2:
        return None
    return f"{weight:.0%} of its masks keep {low:.0%} to {high:.0%} of the players"


def extrapolated(
    index: str,
    measure: Measure,
    score: Faithfulness,
    spectrum: Spectrum,
    ends: FloatArray | None,
    ranges: tuple[float, ...],
) -> str | None:
    """Why the values of an index are extrapolated from masks of a measure, or ``None``.

    Args:
        index: the index.
        measure: that of the run.
        score: its faithfulness.
        spectrum: from its masks.
        ends: as for :func:`missed_ends`; ``None`` if they are not known.
        ranges: likewise.
    """
    index = INDICES.named(index)
    if score.exact or not score.known:
        return None
    if index in OF_THE_MIDDLE:
        reason = misses_the_middle(score, measure)
        reason = reason or _lacks_the_middle(measure, spectrum.n_players)
        return reason and _extrapolates(index, measure, reason, "uniform")
    looks = [_OF_AN_END[index]] if index in _OF_AN_END else []
    if index in OF_ALL_SIZES and SHAPLEY.ranges[0] not in measure.ranges:
        looks = ["whole", "empty"]
        reason = _lacks_the_middle(measure, spectrum.n_players)
        if reason:
            return _extrapolates(index, measure, reason, str(SHAPLEY))
    # an output that is not predicted anyway is no news
    judged = [
        span if r2 > 0.0 else np.inf for span, r2 in zip(ranges, score.by_output, strict=True)
    ]
    missed = {} if ends is None else missed_ends(spectrum, ends, tuple(judged))
    missed = {name: sides for name, sides in missed.items() if name in looks}
    if not missed:
        return None
    reason = " and ".join(
        f"at the {name} input {predicted:.3g} is predicted where {measured:.3g} was measured"
        for name, (predicted, measured) in missed.items()
    )
    other = {"Moebius": "keep:0.1", "Co-Moebius": "keep:0.9"}.get(index, str(SHAPLEY))
    return _extrapolates(index, measure, reason, other)


def _extrapolates(index: str, measure: Measure, reason: str, other: str) -> str:
    return (
        f"{index} is extrapolated from masks of the measure {measure}: {reason}. "
        f'Explain with measure="{other}" for it.'
    )
