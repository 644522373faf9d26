"""Faithfulness: R2 on held-out masks, with an interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite, nan

import numpy as np
from scipy.stats import rankdata

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, Json
from interplay.fourier.spectrum import Spectrum

_RESAMPLES = 2000


@dataclass(frozen=True)
class Faithfulness:
    """R2 of a spectrum's predictions on masks that took no part in the fit.

    Attributes:
        r2: 1 - SSE / SST, where SSE is the sum of squared errors and SST the sum of squared
            deviations from the mean. For k outputs it is the mean over those whose values vary.
            NaN if the values of no output vary: a constant has no R2.
        low: lower end of the bootstrap interval; NaN without an R2.
        high: upper end; NaN without an R2.
        level: nominal coverage of the interval.
        n_masks: the number of masks it was computed on.
        exact: the masks are all 2^n masks, and the R2 is not an estimate.
        varies: whether the values of any output vary over the masks.
        by_output: the R2 of each output (one entry for values ``(m,)``); NaN for an output whose
            values do not vary.
        noise: for a random game, the share of the values' variance that is noise, the mean over
            outputs. No explanation can be expected to reach an R2 above 1 - noise. ``None`` for a
            game that is not random.
    """

    r2: float
    low: float
    high: float
    level: float
    n_masks: int
    exact: bool
    varies: bool
    by_output: tuple[float, ...]
    noise: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is an R2."""
        return self.varies and isfinite(self.r2)

    def to_json(self) -> Json:
        """The score as JSON, which has no NaN: an R2 that is not known is ``null``."""
        document: Json = asdict(self)
        for name in ("r2", "low", "high"):
            document[name] = _or_none(document[name])
        return document | {"by_output": [_or_none(score) for score in self.by_output]}

    @classmethod
    def from_json(cls, document: Json) -> Faithfulness:
        """Read what :meth:`to_json` gave."""
        numbers = {name: _or_nan(document[name]) for name in ("r2", "low", "high")}
        by_output = tuple(map(_or_nan, document["by_output"]))
        return cls(**{**document, **numbers, "by_output": by_output})

    def __str__(self) -> str:
        if self.noise is None or not self.varies:
            return self._score()
        return (
            f"{self._score()}; {self.noise:.0%} of the variance is noise, so that R2 = "
            f"{1 - self.noise:.3f} is the most to be expected"
        )

    def _score(self) -> str:
        if not self.varies:
            return (
                f"not known: the score is the same on all {self.n_masks} masks that it is judged on"
            )
        if self.exact:
            return f"R2 = {self.r2:.3f} on all {self.n_masks} masks"
        return (
            f"R2 = {self.r2:.3f} ({self.level:.0%} interval {self.low:.3f} to {self.high:.3f}) "
            f"on {self.n_masks} held-out masks"
        )


def r2(values: FloatArray, predictions: FloatArray) -> FloatArray:
    """R2 of each output, 1 - SSE / SST, shape ``(k,)`` (``(1,)`` for values ``(m,)``).

    If the values of an output are constant, it has no R2: NaN.
    """
    weights = np.ones((1, len(values)))
    (scores,), (vary,) = _r2(weights, values, predictions)
    return np.where(vary, scores, nan)


def _r2(
    weights: FloatArray, values: FloatArray, predictions: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """R2 under row weights ``(b, m)``, and whether the weighted values vary: both ``(b, k)``.

    The R2 of values that do not vary is 0 here, and means nothing.
    """
    actual = as_columns(values)
    # centring keeps the one-pass variance below from cancelling, scaling from overflowing
    centred = actual - actual.mean(axis=0)
    size, spread = (np.abs(a).max(axis=0, initial=0.0) for a in (actual, centred))
    scale = np.maximum(np.where(spread > 1e-10 * size, spread, size), 1e-300)
    scale[size == 0] = 1.0  # all values are zero, which has no scale
    centred = centred / scale
    error = ((actual - predictions.reshape(actual.shape)) / scale) ** 2
    total = weights.sum(axis=1, keepdims=True)
    sse = weights @ error
    sst = weights @ centred**2 - (weights @ centred) ** 2 / total
    varies = sst > total * 1e-12
    return np.where(varies, 1.0 - sse / np.maximum(sst, total * 1e-12), 0.0), varies


def faithfulness(
    spectrum: Spectrum,
    masks: BoolArray,
    values: FloatArray,
    rng: np.random.Generator,
    *,
    exact: bool = False,
    level: float = 0.95,
    noise: FloatArray | None = None,
) -> Faithfulness:
    """Score a spectrum on held-out masks, with a percentile bootstrap over the masks.

    Args:
        spectrum: the fitted spectrum.
        masks: ``(m, n)``, none of which took part in the fit (or all 2^n, with ``exact``).
        values: the game's values on them, ``(m,)`` or ``(m, k)``.
        rng: the generator of the bootstrap.
        exact: the masks are all 2^n masks: R2 is known exactly and the interval is a point.
        level: nominal coverage of the interval.
        noise: the variance of each value around the game's mean, in the shape of ``values``.
    """
    predictions = spectrum.predict(masks)
    (scores,), (vary,) = _r2(np.ones((1, len(masks))), values, predictions)
    score = low = high = float(scores[vary].mean()) if vary.any() else nan
    if not exact and vary.any():
        n_masks = len(masks)
        weights = rng.multinomial(n_masks, np.full(n_masks, 1 / n_masks), size=_RESAMPLES)
        resampled, judged = _r2(weights.astype(np.float64), values, predictions)
        # a resample in which an output does not vary has no R2 of that output
        judged &= vary
        rows = judged.any(axis=1)
        means = np.where(judged, resampled, 0.0)[rows].sum(axis=1) / judged[rows].sum(axis=1)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Faithfulness(
        r2=score,
        low=low,
        high=high,
        level=level,
        n_masks=len(masks),
        exact=exact,
        varies=bool(vary.any()),
        by_output=tuple(np.where(vary, scores, nan).tolist()),
        noise=None if noise is None else _noise_share(values, noise),
    )


def lds(spectrum: Spectrum, masks: BoolArray, values: FloatArray) -> FloatArray:
    """The linear datamodeling score of each output, ``(k,)``.

    It is Spearman's rank correlation between predicted and actual values, over masks that took no
    part in the fit (Park et al. 2023, arXiv 2303.14186). It is NaN if either is constant.

    Args:
        spectrum: the fitted spectrum.
        masks: ``(m, n)``.
        values: ``(m,)`` or ``(m, k)``.
    """
    ranks = [
        rankdata(as_columns(side), axis=0) for side in (np.asarray(values), spectrum.predict(masks))
    ]
    actual, predicted = (rank - rank.mean(axis=0) for rank in ranks)
    size = np.sqrt((actual**2).sum(axis=0) * (predicted**2).sum(axis=0))
    known = size > 0
    score = np.full(size.shape, np.nan)
    score[known] = (actual * predicted).sum(axis=0)[known] / size[known]
    return score


def _or_none(score: float) -> float | None:
    return score if isfinite(score) else None


def _or_nan(score: float | None) -> float:
    return nan if score is None else score


def _noise_share(values: FloatArray, noise: FloatArray) -> float:
    """E[variance of a value around its mean] / variance of the values, the mean over outputs."""
    variance = as_columns(values).var(axis=0)
    share = as_columns(noise).mean(axis=0)[variance > 0] / variance[variance > 0]
    return float(np.clip(share, 0.0, 1.0).mean()) if len(share) else 0.0
