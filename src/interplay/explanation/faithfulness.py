"""Faithfulness: R2 on held-out masks, with an interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import exp, isfinite, log, nan

import numpy as np

from interplay._arrays import as_columns, varying
from interplay._types import BoolArray, FloatArray, Json
from interplay.designs.measures import UNIFORM, get_measure
from interplay.explanation.bands import Band, bands_of
from interplay.fourier.spectrum import Spectrum

_RESAMPLES = 2000
_CELLS = 2_000_000
"""Resamples times masks that are held in memory at once."""
_MOST = 1e6
"""Beyond this factor nothing is known of the unexplained share."""


@dataclass(frozen=True)
class Faithfulness:
    """R2 of a spectrum's predictions on masks that took no part in the fit.

    Attributes:
        r2: 1 - SSE / SST, where SSE is the sum of squared errors and SST the sum of squared
            deviations from the mean. For k outputs it is the mean over those whose values vary; of
            a comparison, over differences only (see :func:`judged_outputs`). NaN if the values of
            none vary: a constant has no R2.
        low: lower end of the bootstrap interval; NaN without an R2.
        high: upper end; NaN without an R2.
        level: nominal coverage of the interval.
        n_masks: the number of masks it was computed on.
        exact: the masks are all 2^n masks, and the R2 is not an estimate.
        varies: whether the values of any of these outputs vary over the masks.
        by_output: the R2 of each output (one entry for values ``(m,)``); NaN for an output whose
            values do not vary.
        noise: for a random game, the share of the values' variance that is noise, the mean over
            these outputs. No explanation can be expected to reach an R2 above 1 - noise. ``None``
            for a game that is not random.
        measure: the law of the masks, as the text of a measure: the R2 is one under this law.
        bands: the errors by the share of players that masks keep, where sizes differ enough to tell
            them apart; else empty.
        uneven: whether the errors differ between bands beyond chance and by much, so that one R2
            does not tell all.
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
    measure: str = str(UNIFORM)
    bands: tuple[Band, ...] = ()
    uneven: bool = False

    @property
    def known(self) -> bool:
        """Whether there is an R2."""
        return self.varies and isfinite(self.r2)

    def to_json(self) -> Json:
        """The score as JSON, which has no NaN: an R2 that is not known is ``null``.

        A uniform measure and bands that are not there are left out.
        """
        document: Json = asdict(self)
        if self.measure == str(UNIFORM):
            del document["measure"]
        if not self.bands:
            del document["bands"], document["uneven"]
        for name in ("r2", "low", "high"):
            document[name] = _or_none(document[name])
        return document | {"by_output": [_or_none(score) for score in self.by_output]}

    @classmethod
    def from_json(cls, document: Json) -> Faithfulness:
        """Read what :meth:`to_json` gave."""
        numbers = {name: _or_nan(document[name]) for name in ("r2", "low", "high")}
        by_output = tuple(map(_or_nan, document["by_output"]))
        bands = tuple(Band(**band) for band in document.get("bands", ()))
        return cls(**{**document, **numbers, "by_output": by_output, "bands": bands})

    def __str__(self) -> str:
        parts = [self._score()]
        if self.uneven:
            missed = ", ".join(map(str, self.bands))
            parts.append(f"the share of the variance that is missed: {missed}")
        if self.noise is not None and self.varies:
            noise = f"{self.noise:.0%} of the variance is noise"
            most = f"{noise}, so that R2 = {1 - self.noise:.3f} is the most to be expected"
            parts.append(f"{noise}, which is repeated here" if self.exact else most)
        return "; ".join(parts)

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
            + ("" if self.measure == str(UNIFORM) else f" {get_measure(self.measure).description}")
        )


def judged_outputs(description: Json, n_outputs: int | None) -> slice:
    """The outputs by whose R2 an explanation is judged: all, or the differences of a comparison.

    A comparison has the outputs of one game, those of another and what the other has more, and
    is about the last: both games may be predicted well, and their difference not at all.

    Args:
        description: of the game.
        n_outputs: the number of its outputs; ``None``: it has one, which is no list.
    """
    if not description.get("compared") or not n_outputs or n_outputs % 3:
        return slice(None)
    return slice(2 * n_outputs // 3, n_outputs)


def r2(values: FloatArray, predictions: FloatArray) -> FloatArray:
    """R2 of each output, 1 - SSE / SST, shape ``(k,)`` (``(1,)`` for values ``(m,)``).

    If the values of an output are constant, it has no R2: NaN.
    """
    centred, squares = _in_units(values, predictions)
    scores: FloatArray = _unexplained(np.ones((1, len(values))), centred, squares).r2[0]
    return scores


def _in_units(values: FloatArray, predictions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Deviations from the mean and squared errors, in units of the largest deviation: ``(m, k)``.

    R2 does not depend on units. These keep variances from cancelling and overflowing.
    """
    actual = as_columns(values)
    centred = actual - actual.mean(axis=0)
    size, spread = (np.abs(a).max(axis=0, initial=0.0) for a in (actual, centred))
    unit = np.where(varying(actual), spread, size)
    unit[size == 0] = 1.0  # all values are zero, which has no unit
    return centred / unit, ((actual - predictions.reshape(actual.shape)) / unit) ** 2


@dataclass(frozen=True, eq=False)
class _Unexplained:
    """The unexplained share of the variance, u = 1 - R2, of b samples of masks.

    Attributes:
        by_output: the u of each output, ``(b, k)``; NaN where its values do not vary.
        log: log u, where u is the mean over outputs that vary, ``(b,)``; NaN without one.
        error: its standard error, ``(b,)``.
    """

    by_output: FloatArray
    log: FloatArray
    error: FloatArray

    @property
    def r2(self) -> FloatArray:
        """R2 of each output, ``(b, k)``."""
        return 1.0 - self.by_output


def _unexplained(counts: FloatArray, centred: FloatArray, squares: FloatArray) -> _Unexplained:
    """The unexplained share in b samples.

    Args:
        counts: how often each of m masks is in each sample, ``(b, m)``.
        centred: values, shifted to the mean zero over all masks, ``(m, k)``.
        squares: squared errors, ``(m, k)``.
    """
    n_masks = len(centred)
    shares = counts / n_masks
    mean, mse = shares @ centred, shares @ squares
    variance = shares @ centred**2 - mean**2
    varies = variance > 1e-12
    with np.errstate(divide="ignore", invalid="ignore"):
        by_output = np.where(varies, mse / variance, nan)
        n_varying = varies.sum(axis=1, keepdims=True)
        u = np.nansum(by_output, axis=1, keepdims=True) / n_varying
        # the derivatives of log u by the mean squared error and by the variance of each output
        by_mse = np.where(varies, 1.0 / (variance * n_varying * u), 0.0)
        by_variance = np.where(varies, -by_mse * by_output, 0.0)
        influence = by_mse @ squares.T + by_variance @ (centred**2).T
        influence += -2.0 * (by_variance * mean) @ centred.T
        influence += (by_variance * mean**2).sum(axis=1, keepdims=True)
        error = np.sqrt((shares * influence**2).sum(axis=1) / max(n_masks - 1, 1))
        return _Unexplained(by_output, np.log(u[:, 0]), error)


def interval(
    values: FloatArray, predictions: FloatArray, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """The interval of the mean R2 over outputs, which must all vary (see :func:`faithfulness`)."""
    centred, squares = _in_units(values, predictions)
    n_masks = len(centred)
    whole = _unexplained(np.ones((1, n_masks)), centred, squares)
    (log_u,), (error,) = whole.log.tolist(), whole.error.tolist()
    if not error > 0.0:  # all predictions are exact, or each is the mean
        return 1.0 - exp(log_u), 1.0 - exp(log_u)
    distances = []
    for start in range(0, _RESAMPLES, step := max(1, _CELLS // n_masks)):
        size = min(step, _RESAMPLES - start)
        counts = rng.multinomial(n_masks, np.full(n_masks, 1 / n_masks), size=size)
        resampled = _unexplained(counts.astype(np.float64), centred, squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            distances.append(np.abs(resampled.log - log_u) / resampled.error)
    distance = np.concatenate(distances)
    # a resample without an error, or of equal values, says nothing and counts as the farthest
    known = np.isfinite(distance)
    if not known.any():
        return -_MOST, 1.0
    distance[~known] = distance[known].max()
    width = min(float(np.quantile(distance, level)) * error, log(_MOST))
    return 1.0 - exp(log_u + width), 1.0 - exp(log_u - width)


def faithfulness(
    masks: BoolArray,
    values: FloatArray,
    predictions: FloatArray,
    rng: np.random.Generator,
    *,
    exact: bool = False,
    level: float = 0.95,
    noise: FloatArray | None = None,
    measure: str = str(UNIFORM),
    outputs: slice = slice(None),
) -> Faithfulness:
    r"""Score predictions for held-out masks, with a symmetric bootstrap-t interval over the masks.

    The interval is one of log u, where u = SSE / SST = 1 - R2 is the unexplained share of the
    variance: u is known up to a factor. From m masks, log u has by the delta method the standard
    error

    .. math:: s = \sqrt{\frac{1}{m (m - 1)} \sum_i \psi_i^2}, \qquad
       \psi_i = \frac{(y_i - \hat y_i)^2}{\mathrm{SSE} / m}
              - \frac{(y_i - \bar y)^2}{\mathrm{SST} / m}.

    For a resample of the masks, :math:`t^* = |\log u^* - \log u| / s^*`, with its own standard
    error. With the quantile q of t* at the level, the interval is

    .. math:: 1 - u\, e^{q s} \le R^2 \le 1 - u\, e^{-q s}.

    Large errors are rare, so a few masks may hold none: then u and s are both too small, and a
    percentile interval, which trusts the spread of the sample, misses the truth. t* measures how
    far off one is in such a case (Efron and Tibshirani 1993, chapter 12; Hall 1988, "On symmetric
    bootstrap confidence intervals"). What it covers is in docs/benchmarks.md.

    Args:
        masks: ``(m, n)``.
        values: the game's values on them, ``(m,)`` or ``(m, k)``.
        predictions: for them, in that shape, of fits in which they took no part (or of an exact
            one, from all 2^n masks).
        rng: the generator of the bootstrap.
        exact: the masks are all 2^n masks: R2 is known exactly and the interval is a point.
        level: nominal coverage of the interval.
        noise: the variance of each value around the game's mean, in the shape of ``values``.
        measure: the law that the masks were drawn by, as the text of a measure.
        outputs: those by which it is judged (see :func:`judged_outputs`).
    """
    scores = r2(values, predictions)
    vary = np.zeros(scores.shape, dtype=bool)
    vary[outputs] = ~np.isnan(scores[outputs])
    score = low = high = float(scores[vary].mean()) if vary.any() else nan
    bands: tuple[Band, ...] = ()
    uneven = False
    if not exact and vary.any():
        actual, predicted = (as_columns(side)[:, vary] for side in (values, predictions))
        low, high = interval(actual, predicted, level, rng)
        bands, uneven = bands_of(masks, *_in_units(actual, predicted))
    return Faithfulness(
        r2=score,
        low=low,
        high=high,
        level=level,
        n_masks=len(masks),
        exact=exact,
        varies=bool(vary.any()),
        by_output=tuple(scores.tolist()),
        noise=None
        if noise is None
        else _noise_share(as_columns(values)[:, outputs], as_columns(noise)[:, outputs]),
        measure=measure,
        bands=bands,
        uneven=uneven,
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
    return rank_correlation(np.asarray(values), spectrum.predict(masks))


def rank_correlation(values: FloatArray, predictions: FloatArray) -> FloatArray:
    """Spearman's rank correlation of each output's values and predictions, ``(k,)``; or NaN."""
    from scipy.stats import rankdata

    ranks = [rankdata(as_columns(side), axis=0) for side in (values, predictions)]
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
    vary = varying(values)
    unit = np.ptp(as_columns(values)[:, vary], axis=0)
    variance = (as_columns(values)[:, vary] / unit).var(axis=0)
    share = (as_columns(noise)[:, vary] / unit / unit).mean(axis=0) / variance
    return float(np.clip(share, 0.0, 1.0).mean()) if len(share) else 0.0
