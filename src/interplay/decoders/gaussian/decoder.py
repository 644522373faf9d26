r"""The decoder ``gp``: a Gaussian process on masks, averaged with boosted trees.

1. The prior over set functions is a kernel that makes low orders likelier, and sets of players that
   matter by themselves (:mod:`.kernel`). Its hyperparameters are learned in five folds
   (:mod:`.learn`), and the five posteriors are averaged.
2. Boosted trees, also in five folds (:mod:`interplay.decoders.forest`), capture what the kernel
   does not: high orders among few players. Each ablation has two predictions that do not use its
   value: g is the leave-one-out prediction of posteriors that did not learn their hyperparameters
   from it, t that of the fold of trees that held it out. The blend weight of the Gaussian process
   is a least-squares fit to them, w = <y - t, g - t> / <g - t, g - t> in [0, 1]. The less certain
   it is, the more it is shrunk towards 0.95, which is about right on most games.
3. Coefficients come in closed form (:mod:`.terms`). For a set S with the prior variance V(S),
   :math:`F(S) = V(S)\, \chi_S^\top (K + s^2 I)^{-1} y`. Those of the trees come by their exact
   transform. All terms that are worth writing down are the ``surrogate``; the strongest of them are
   the spectrum that people read. Characters are orthogonal over uniform masks, so leaving the other
   terms out needs no refit. Near the intact input it does (:mod:`.projection`).
4. An optimal design's masks are harder to predict than uniform ones when they are left out. To
   estimate R2 and the prediction interval on masks of the measure (uniform, or of flat sizes), each
   leave-one-out error is scaled by the square root of the ratio of the two predictive variances.
5. The covariance of the coefficients is the mean of the posteriors' covariances plus the covariance
   between their means. Both are scaled by the ratio of the squared leave-one-out errors to the
   predictive variances. The differences between the trees' folds and a squared bias are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.forest import LEARNING_RATE, N_FOLDS, Forest, grow_all
from interplay.decoders.gaussian.inputs import Inputs
from interplay.decoders.gaussian.kernel import MAX_DEGREE
from interplay.decoders.gaussian.learn import Prior, learn, standardised
from interplay.decoders.gaussian.projection import Projection, projected
from interplay.decoders.gaussian.terms import Family, Posterior, candidates
from interplay.designs.base import Design
from interplay.designs.measures import SHAPLEY, UNIFORM, Measure, measure_of
from interplay.designs.optimal import design_under
from interplay.fourier.biased import total_variance, truncate
from interplay.fourier.characters import characters
from interplay.fourier.spectrum import Spectrum, join_outputs

N_TERMS, N_TERMS_SHARED = 200, 400
"""Terms of the spectrum that people read: with one output, and with several."""
_POSTERIORS = ((3000, 2, 1000), (1200, 3, 600), (0, N_FOLDS, 600))
"""Rows (m, p, h): from m ablations on there are p posteriors, and each learns its hyperparameters
from at most h ablations. With many ablations the posteriors hardly differ.
"""
_WEIGHT_MEAN, _WEIGHT_DEVIATION = 0.95, 0.15
"""Prior mean and standard deviation of the blend weight."""
_COVERAGE = 0.9
"""The nominal coverage of the prediction interval."""
_MOST_PAIRS_LISTED = 300
"""Under ``"shapley"`` all sets of up to two players are listed if they are at most so many."""
_SHARE_OF_BIAS = 0.5
"""What counts of the bias under ``"shapley"``, where characters are not orthogonal, so that the
errors of other coefficients are in it too. Chosen for the coverage on recorded games."""
_N_AVERAGE = 200
"""Masks of the measure that the predictive variance is averaged over."""


@dataclass(frozen=True, eq=False)
class _Blend:
    """Posteriors and trees of the k outputs that vary, averaged by their blend weights.

    Attributes:
        posteriors: with hyperparameters of different folds.
        forests: one for each output.
        weights: the blend weights, those of the Gaussian process, ``(k,)``.
        rows: the ablations that some posterior did not learn its hyperparameters from, ``(h,)``.
        errors: their leave-one-out errors under the average, ``(h, k)``.
        predictive_variances: those of the leave-one-out predictions, averaged over posteriors,
            ``(h,)``.
        average_variance: the predictive variance at a mask of the measure, on average.
        values: the values there, ``(h, k)``.
    """

    posteriors: list[Posterior]
    forests: list[Forest]
    weights: FloatArray
    rows: IntArray
    errors: FloatArray
    predictive_variances: FloatArray
    average_variance: float
    values: FloatArray

    @property
    def average_errors(self) -> FloatArray:
        """The errors scaled to those of masks of the measure, ``(h, k)``.

        The masks of an optimal design have larger ones: they were chosen for a large variance.
        """
        ratio = self.average_variance / self.predictive_variances
        return np.asarray(self.errors * np.sqrt(ratio)[:, None])

    def r2(self, errors: FloatArray, drawn: slice | BoolArray = slice(None)) -> list[float]:
        """R2 of each output for the errors at some of the ablations, or at all of them."""
        spread = np.maximum(self.values[drawn].var(axis=0), 1e-12)
        return list((1 - (errors**2).mean(axis=0) / spread).tolist())


def _decode(
    design: Design,
    values: FloatArray,
    order: int,
    rng: np.random.Generator,
    hints: FloatArray | None = None,
    prior: Prior | None = None,
) -> Decoded:
    # the matrices are small: a second thread of BLAS gains little, and it waits busily
    with threadpool_limits(1, user_api="blas"):
        forests = grow_all(design.masks, values, order, rng)
        return averaged(design, values, forests, order, rng, hints, prior)


def averaged(
    design: Design,
    values: FloatArray,
    forests: Sequence[Forest | None],
    order: int,
    rng: np.random.Generator,
    hints: FloatArray | None = None,
    prior: Prior | None = None,
) -> Decoded:
    """Fit the Gaussian process to k outputs and average it with trees that were grown before.

    Args:
        design: the masks, ``(m, n)``.
        values: ``(m, k)``.
        forests: from :func:`interplay.decoders.forest.grow_all`, one for each output.
        order: the largest order.
        rng: draws the ablations that hyperparameters are learned from.
        hints: the values of the game's hints, ``(n,)``; ``None``: it has none.
        prior: what other games say of this one, in place of the hints; ``None``: nothing.
    """
    masks, mean, scale = design.masks, values.mean(axis=0), values.std(axis=0)
    grown = [forest for forest in forests if forest is not None]
    varying = np.array(
        [j for j, forest in enumerate(forests) if forest is not None], dtype=np.int64
    )
    if not grown:
        constant = Spectrum.from_terms(masks.shape[1], [()], mean[None, :])
        return Decoded(
            constant, {"constant": True}, {"cv_r2": [], "cv_r2_same_masks": []}, constant
        )
    target = (values[:, varying] - mean[varying]) / scale[varying]
    expected = prior or Prior.plain(masks.shape[1], None if hints is None else standardised(hints))
    blend = _fit(design, target, grown, order, rng, expected)
    surrogate, exact = _surrogate(masks, blend, order, expected)
    measure = measure_of(design.kind)
    n_terms = N_TERMS if len(varying) == 1 else N_TERMS_SHARED
    if measure not in (UNIFORM, SHAPLEY):
        surrogate, spectrum = projected(
            surrogate, n_terms, blend.posteriors, measure, blend.weights, exact, rng
        )
    else:
        spectrum = _readable(surrogate, measure, n_terms)
    deviations = _deviations(masks, spectrum, blend, measure, n_terms, rng)
    spectrum = replace(spectrum, deviations=deviations)
    kernel = blend.posteriors[0].kernel
    settings: Json = {
        "order": order,
        "degree": kernel.degree,
        "folds": N_FOLDS,
        "posteriors": len(blend.posteriors),
        "learning_rate": LEARNING_RATE,
        "depth": [forest.depth for forest in blend.forests],
        "n_trees": [[fold.n_trees for fold in forest.folds] for forest in blend.forests],
        "weight_of_gaussian_process": blend.weights.tolist(),
        "terms_of_surrogate": len(surrogate),
    }
    if hints is not None or prior is not None:
        weights = [expected.weight_in(posterior.kernel) for posterior in blend.posteriors]
        settings["weight_of_hints" if prior is None else "weight_of_prior"] = float(
            np.mean(weights)
        )
    drawn = design.representative[blend.rows]
    errors = blend.average_errors[drawn]
    half_width = np.quantile(np.abs(errors), _COVERAGE, axis=0) * scale[varying]
    diagnosis: Json = {
        "cv_r2": blend.r2(errors, drawn),
        "cv_r2_same_masks": blend.r2(blend.errors),
        "prediction_interval": half_width.tolist(),
        "share_of_variance_in_spectrum": float(
            total_variance(spectrum, measure.mean)
            / (total_variance(surrogate, measure.mean) or 1.0)
        ),
    }
    spectrum, surrogate = (_in_units(s, varying, mean, scale) for s in (spectrum, surrogate))
    residuals = np.full(values.shape, np.nan)
    residuals[np.ix_(blend.rows, varying)] = blend.errors * scale[varying]
    return Decoded(spectrum, settings, diagnosis, surrogate, ("prediction_interval",), residuals)


def _fit(
    design: Design,
    target: FloatArray,
    forests: list[Forest],
    order: int,
    rng: np.random.Generator,
    prior: Prior,
) -> _Blend:
    """Learn hyperparameters, condition on all ablations, and fit the blend weights."""
    masks = design.masks
    n_masks, fold_of = len(masks), forests[0].fold_of
    inputs, degree = Inputs.of(masks), min(order, MAX_DEGREE)
    mean = (inputs.signs @ prior.effects)[:, None]
    surprise = target - mean
    n_posteriors, most = next(row for size, *row in _POSTERIORS if n_masks >= size)
    sums, variances, counts = np.zeros_like(target), np.zeros(n_masks), np.zeros(n_masks)
    posteriors = []
    for number in range(n_posteriors):
        learned = np.flatnonzero(fold_of != number)
        learned = np.sort(rng.choice(learned, min(len(learned), most), replace=False))
        kernel = learn(inputs[learned], surprise[learned], degree, prior=prior)
        posteriors.append(Posterior.of(kernel, inputs, surprise))
        predicted, variance = posteriors[-1].leave_one_out(surprise)
        others = np.setdiff1d(np.arange(n_masks), learned)
        sums[others] += predicted[others]
        variances[others] += variance[others]
        counts[others] += 1
    rows = np.flatnonzero(counts)
    smooth = (sums[rows].T / counts[rows]).T + mean[rows]
    trees = np.column_stack([forest.held_predictions[rows] for forest in forests])
    actual = target[rows]
    weights = _blend_weights(actual - trees, smooth - trees)
    average = Inputs.of(measure_of(design.kind).draw(_N_AVERAGE, masks.shape[1], rng))
    return _Blend(
        posteriors=posteriors,
        forests=forests,
        weights=weights,
        rows=rows,
        errors=actual - (weights * smooth + (1 - weights) * trees),
        predictive_variances=variances[rows] / counts[rows],
        average_variance=float(np.mean([p.variance(average).mean() for p in posteriors])),
        values=actual,
    )


def _blend_weights(tree_errors: FloatArray, difference: FloatArray) -> FloatArray:
    """Fit w in tree_errors = w difference + noise, shrunk to its prior mean.

    Args:
        tree_errors: y - t, ``(h, k)``.
        difference: g - t, ``(h, k)``.

    Returns:
        The posterior mean of w, ``(k,)`` in [0, 1].
    """
    size = np.maximum((difference**2).sum(axis=0), 1e-12)
    fitted = np.clip((tree_errors * difference).sum(axis=0) / size, 0.0, 1.0)
    variance = ((tree_errors - fitted * difference) ** 2).mean(axis=0) / size
    prior = _WEIGHT_DEVIATION**2
    return np.asarray((prior * fitted + variance * _WEIGHT_MEAN) / (prior + variance))


def _surrogate(
    masks: BoolArray, blend: _Blend, order: int, prior: Prior
) -> tuple[Spectrum, Spectrum]:
    """Average the coefficients of k outputs, with every term that is worth writing down.

    Returns:
        The average, and the part in it of the trees and of the prior's effects.
    """
    n_players = masks.shape[1]
    family = Family(candidates(masks, blend.posteriors, order), n_players)
    smooth = np.mean(family.means(masks, blend.posteriors), axis=0) * blend.weights
    trees = join_outputs([forest.spectrum for forest in blend.forests])
    weighted = replace(trees, coefficients=trees.coefficients * (1 - blend.weights))
    if prior.effects.any():
        effects = prior.effects[:, None] * blend.weights
        players = np.arange(n_players, dtype=np.int32)[:, None]
        weighted = weighted + Spectrum.from_members(n_players, players, effects)
    total = Spectrum.from_members(n_players, family.members, smooth) + weighted
    keep = (total.energies > 0) | (total.orders == 0)
    return Spectrum(n_players, total.supports[keep], total.coefficients[keep]), weighted


def lists_pairs(n_players: int) -> bool:
    """Whether a spectrum for Shapley values lists all sets of up to two players."""
    return n_players + comb(n_players, 2) <= _MOST_PAIRS_LISTED


def _readable(surrogate: Spectrum, measure: Measure, n_terms: int) -> Spectrum:
    """The terms that people read: the strongest, and under ``"shapley"`` all pairs if they are few.

    Where all sizes are alike, weak terms of a low order weigh as much in an index as strong ones.
    """
    if measure != SHAPLEY or not lists_pairs(surrogate.n_players):
        return truncate(surrogate, measure.mean, n_terms)
    strongest = surrogate.truncate(order=2)
    higher = surrogate - strongest
    return strongest + higher.truncate(n_terms=n_terms)


def _deviations(
    masks: BoolArray,
    spectrum: Spectrum,
    blend: _Blend,
    measure: Measure,
    n_terms: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Compute a factor of the coefficients' covariance, ``(s, k, c)``; see :func:`_factor`."""
    posteriors, rows = blend.posteriors, masks[blend.rows]
    if measure not in (UNIFORM, SHAPLEY):
        projection = Projection.on(spectrum, n_terms, measure, rng)
        factor = _factor(
            blend,
            np.mean([projection.covariance(p) for p in posteriors], axis=0),
            projection.means(posteriors),
            [[projection.of(f.spectrum) for f in forest.folds] for forest in blend.forests],
            projection.functions(rows),
        )
        return projection.in_fourier(factor, spectrum)
    family = Family(spectrum.members, spectrum.n_players)
    return _factor(
        blend,
        np.mean([family.covariance(masks, p) for p in posteriors], axis=0),
        np.stack(family.means(masks, posteriors)),
        [
            [[fold.spectrum[s] for s in spectrum.sets] for fold in forest.folds]
            for forest in blend.forests
        ],
        characters(rows, spectrum.supports),
        1.0 if measure == UNIFORM else _SHARE_OF_BIAS,
    )


def _factor(
    blend: _Blend,
    within: FloatArray,
    means: FloatArray,
    trees: Sequence[Sequence[npt.ArrayLike]],
    functions: FloatArray,
    share_of_bias: float = 1.0,
) -> FloatArray:
    r"""Compute a factor of the covariance of s coefficients, ``(s, k, s + 6)``.

    The covariance is a sum of three parts:

    * the posteriors' own covariance and that between their means, times the ratio of the squared
      leave-one-out errors to the predictive variances;
    * the covariance of the trees' mean, from the differences between folds;
    * the squared bias. The sets' functions psi are about orthonormal over the masks, so the
      leave-one-out errors e of h ablations estimate the error of a coefficient,

      .. math:: \delta_S = \tfrac1h \sum_m e(m) \psi_S(m) \approx F(S) - \hat F(S),

      with the variance v = mean(e^2) / h. The part of delta^2 beyond v is bias. Shrinkage causes it
      where the function has only a few strong terms.

    Args:
        blend: the fit.
        within: the posteriors' mean covariance, ``(s, s)``.
        means: the coefficients of each posterior's mean, ``(posteriors, s, k)``.
        trees: the coefficients of the trees of each output's folds, ``(s,)`` each.
        functions: the sets' functions at the masks of the leave-one-out errors, ``(h, s)``.
        share_of_bias: what part of the bias counts.
    """
    squared_errors = (blend.errors**2).mean(axis=0)
    n_rows = len(blend.rows)
    delta = functions.T @ blend.errors / n_rows
    bias = np.sign(delta) * np.sqrt(np.maximum(delta**2 - squared_errors / n_rows, 0.0))
    bias *= share_of_bias
    factors = []
    for j, (folds, weight) in enumerate(zip(trees, blend.weights, strict=True)):
        between = means[:, :, j] - means[:, :, j].mean(axis=0)
        between /= np.sqrt(len(between))
        # by Parseval the sum of its squares is the variance between the posteriors' predictions
        ratio = squared_errors[j] / (blend.predictive_variances.mean() + (between**2).sum())
        smooth = ratio * (within + between.T @ between)
        values, vectors = np.linalg.eigh(smooth)
        smooth_factor = vectors * np.sqrt(np.maximum(values, 0.0))
        by_fold = np.array(folds).T
        tree_factor = (1 - weight) * (by_fold - by_fold.mean(axis=1, keepdims=True)) / N_FOLDS
        factors.append(np.hstack([smooth_factor, tree_factor, bias[:, j : j + 1]]))
    return np.stack(factors, axis=1)


def _in_units(
    spectrum: Spectrum, varying: IntArray, mean: FloatArray, scale: FloatArray
) -> Spectrum:
    """Convert a spectrum of the standardised outputs ``varying`` to all outputs in their units."""
    n_terms, n_outputs = len(spectrum), len(mean)
    coefficients = np.zeros((n_terms, n_outputs))
    coefficients[:, varying] = spectrum.coefficients * scale[varying]
    coefficients[spectrum.orders == 0] += mean
    deviations = None
    if spectrum.deviations is not None:
        deviations = np.zeros((n_terms, n_outputs, spectrum.deviations.shape[-1]))
        deviations[:, varying] = spectrum.deviations * scale[varying, None]
    return replace(spectrum, coefficients=coefficients, deviations=deviations)


GAUSSIAN = Decoder(
    name="gp",
    order=5,
    max_order=None,
    min_masks=lambda n_players: 20,
    design=design_under,
    measure="shapley",
    decode=_decode,
    can_stop=True,
    takes_hints=True,
)
