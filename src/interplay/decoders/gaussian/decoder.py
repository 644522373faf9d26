r"""A Gaussian process on masks, averaged with boosted trees.

1. The prior over set functions is a kernel that makes low orders, and sets of players that matter
   anyway, likelier (:mod:`.kernel`). Its hyperparameters are learned in five folds
   (:mod:`.learn`), and the five posteriors averaged.
2. Boosted trees, also in five folds (:mod:`interplay.decoders.forest`), see what the kernel does
   not: high orders among few players. Both predict each ablation without having used it for
   anything but the posterior's own linear solve, so that the weight of the average is a
   least-squares fit, w = <y - t, g - t> / <g - t, g - t> in [0, 1], for the Gaussian process g and
   the trees t; the less certain, the more it is drawn to what is right on most games.
3. Coefficients come in closed form (:mod:`.terms`),
   :math:`F(S) = V(S)\, \chi_S^\top (K + s^2 I)^{-1} y` for any set S, the trees' by their exact
   transform. All that are worth writing down are the ``surrogate``; the strongest of them
   are the spectrum that people read. Characters are orthogonal over uniform masks, so that leaving
   the others out needs no refit.
4. Masks of a design are harder to predict, when left out, than uniform ones. What is said of
   uniform masks, R2 and the interval of predictions, takes each honest error in the proportion
   that the posterior claims of the two.
5. The coefficients' covariance is the mean of the posteriors' and that between them, times
   the ratio of honest to claimed squared errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.forest import LEARNING_RATE, N_FOLDS, Forest, grow_all
from interplay.decoders.gaussian.kernel import MAX_DEGREE, Inputs
from interplay.decoders.gaussian.learn import learn
from interplay.decoders.gaussian.terms import Family, Posterior, candidates
from interplay.designs.base import Design
from interplay.designs.spread import spread_design
from interplay.fourier.characters import characters
from interplay.fourier.spectrum import Spectrum, join_outputs

N_TERMS, N_TERMS_SHARED = 200, 400
"""Terms of the spectrum that people read, of one output and of several."""
_LEARNED = ((3000, 2, 1000), (1200, 3, 600), (0, N_FOLDS, 600))
"""From so many ablations on, the number of posteriors (they come to differ little), and the
ablations that the hyperparameters of each are learned from.
"""
_USUAL, _APART = 0.95, 0.15
"""Prior mean and standard deviation of the Gaussian process's weight in the average."""
_COVERED = 0.9
"""How often the prediction interval holds."""
_ANYWHERE = 200
"""Uniform masks that tell how well a value is known."""


@dataclass(frozen=True, eq=False)
class _Blend:
    """Posteriors and trees of k outputs that vary, and the weights of their average.

    Attributes:
        posteriors: with hyperparameters of different folds.
        forests: one for each output.
        shares: the weight of the Gaussian process, ``(k,)``.
        known: the ablations that were left out, ``(h,)``.
        errors: their values less what the average predicts of them, ``(h, k)``.
        claimed: the variance that the posteriors claim for them, ``(h,)``.
        usual: the variance that they claim for a uniform mask, on average.
        variance: of their values, ``(k,)``.
    """

    posteriors: list[Posterior]
    forests: list[Forest]
    shares: FloatArray
    known: IntArray
    errors: FloatArray
    claimed: FloatArray
    usual: float
    variance: FloatArray

    @property
    def usual_errors(self) -> FloatArray:
        """The errors as they would be if the masks were as well known as uniform ones are.

        Those of a design were chosen for being little known.
        """
        return np.asarray(self.errors * np.sqrt(self.usual / self.claimed)[:, None])

    def r2(self, errors: FloatArray) -> list[float]:
        """The share of each output's variance that is predicted with such errors."""
        return list((1 - (errors**2).mean(axis=0) / self.variance).tolist())


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    # the matrices are small: a second BLAS thread gains little, and waits busily for the first
    with threadpool_limits(1, user_api="blas"):
        forests = grow_all(design.masks, values, order, rng)
        return averaged(design.masks, values, forests, order, rng)


def averaged(
    masks: BoolArray,
    values: FloatArray,
    forests: Sequence[Forest | None],
    order: int,
    rng: np.random.Generator,
) -> Decoded:
    """The Gaussian process, averaged with trees that are there, for k outputs.

    Args:
        masks: ``(m, n)``.
        values: ``(m, k)``.
        forests: of :func:`interplay.decoders.forest.grow_all`, one for each output.
        order: the largest order.
        rng: draws the ablations that hyperparameters are learned from.
    """
    mean, scale = values.mean(axis=0), values.std(axis=0)
    grown = [forest for forest in forests if forest is not None]
    some = np.array([j for j, forest in enumerate(forests) if forest is not None], dtype=np.int64)
    if not grown:
        constant = Spectrum.from_terms(masks.shape[1], [()], mean[None, :])
        return Decoded(
            constant, {"constant": True}, {"cv_r2": [], "cv_r2_same_masks": []}, constant
        )
    target = (values[:, some] - mean[some]) / scale[some]
    blend = _fit(masks, target, grown, order, rng)
    surrogate = _surrogate(masks, blend, order)
    spectrum = surrogate.truncate(n_terms=N_TERMS if len(some) == 1 else N_TERMS_SHARED)
    spectrum = replace(spectrum, deviations=_deviations(masks, spectrum, blend))
    kernel = blend.posteriors[0].kernel
    settings: Json = {
        "order": order,
        "degree": kernel.degree,
        "folds": N_FOLDS,
        "posteriors": len(blend.posteriors),
        "learning_rate": LEARNING_RATE,
        "depth": [forest.depth for forest in blend.forests],
        "n_trees": [[fold.n_trees for fold in forest.folds] for forest in blend.forests],
        "weight_of_gaussian_process": blend.shares.tolist(),
        "terms_of_surrogate": len(surrogate),
    }
    usual = blend.usual_errors
    wrong = np.quantile(np.abs(usual), _COVERED, axis=0) * scale[some]
    diagnosis: Json = {
        "cv_r2": blend.r2(usual),
        "cv_r2_same_masks": blend.r2(blend.errors),
        "prediction_interval": wrong.tolist(),
        "share_of_variance_in_spectrum": float(
            spectrum.energies[spectrum.orders > 0].sum()
            / (surrogate.energies[surrogate.orders > 0].sum() or 1.0)
        ),
    }
    found = [_in_units(s, some, mean, scale) for s in (spectrum, surrogate)]
    return Decoded(found[0], settings, diagnosis, found[1])


def _fit(
    masks: BoolArray,
    target: FloatArray,
    forests: list[Forest],
    order: int,
    rng: np.random.Generator,
) -> _Blend:
    """Learn, condition, and weigh against the trees by what was left out."""
    n_masks, fold_of = len(masks), forests[0].fold_of
    inputs, degree = Inputs.of(masks), min(order, MAX_DEGREE)
    n_posteriors, most = next(rest for size, *rest in _LEARNED if n_masks >= size)
    sums, claimed, times = np.zeros_like(target), np.zeros(n_masks), np.zeros(n_masks)
    posteriors = []
    for number in range(n_posteriors):
        rows = np.flatnonzero(fold_of != number)
        rows = np.sort(rng.choice(rows, min(len(rows), most), replace=False))
        posteriors.append(Posterior.of(learn(inputs[rows], target[rows], degree), inputs, target))
        predicted, variance = posteriors[-1].left_out(target)
        out = np.setdiff1d(np.arange(n_masks), rows)
        sums[out] += predicted[out]
        claimed[out] += variance[out]
        times[out] += 1
    known = np.flatnonzero(times)
    smooth = (sums[known].T / times[known]).T
    trees = np.column_stack([forest.held_predictions[known] for forest in forests])
    actual = target[known]
    shares = _weight(actual - trees, smooth - trees)
    errors = actual - (shares * smooth + (1 - shares) * trees)
    anywhere = Inputs.of(rng.random((_ANYWHERE, masks.shape[1])) < 0.5)
    usual = float(np.mean([posterior.variance(anywhere).mean() for posterior in posteriors]))
    return _Blend(
        posteriors,
        forests,
        shares,
        known,
        errors,
        claimed[known] / times[known],
        usual,
        np.maximum(actual.var(axis=0), 1e-12),
    )


def _weight(missed: FloatArray, apart: FloatArray) -> FloatArray:
    """The posterior mean of w in missed = w apart + noise, each ``(h, k)``; ``(k,)`` in [0, 1]."""
    size = np.maximum((apart**2).sum(axis=0), 1e-12)
    fitted = np.clip((missed * apart).sum(axis=0) / size, 0.0, 1.0)
    variance = ((missed - fitted * apart) ** 2).mean(axis=0) / size
    return np.asarray((_APART**2 * fitted + variance * _USUAL) / (_APART**2 + variance))


def _surrogate(masks: BoolArray, blend: _Blend, order: int) -> Spectrum:
    """The average, with every term that is worth writing down; k outputs."""
    n_players = masks.shape[1]
    family = Family(candidates(masks, blend.posteriors, order), n_players)
    smooth = np.mean(family.means(masks, blend.posteriors), axis=0) * blend.shares
    trees = join_outputs([forest.spectrum for forest in blend.forests])
    weighted = replace(trees, coefficients=trees.coefficients * (1 - blend.shares))
    whole = Spectrum.from_members(n_players, family.members, smooth) + weighted
    some = (whole.energies > 0) | (whole.orders == 0)
    return Spectrum(n_players, whole.supports[some], whole.coefficients[some])


def _deviations(masks: BoolArray, spectrum: Spectrum, blend: _Blend) -> FloatArray:
    r"""A factor of the coefficients' covariance, ``(s, k, s + 6)``.

    That of the posteriors, and between them, times the ratio of the honest squared errors to those
    claimed; that of the trees' mean between folds; and the squared bias. Masks are uniform, so
    that the honest errors e of h ablations tell how far a coefficient is off,

    .. math:: \delta_S = \tfrac1h \sum_m e(m) \chi_S(m) \approx F(S) - \hat F(S),

    with the variance v = mean(e^2) / h. What of delta^2 is beyond v is bias, as shrinkage makes it
    where a few strong terms are all there is.
    """
    family = Family(spectrum.members, spectrum.n_players)
    within = np.mean([family.covariance(masks, p) for p in blend.posteriors], axis=0)
    means = np.stack(family.means(masks, blend.posteriors))
    honest = (blend.errors**2).mean(axis=0)
    n_known = len(blend.known)
    off = characters(masks[blend.known], spectrum.supports).T @ blend.errors / n_known
    bias = np.sign(off) * np.sqrt(np.maximum(off**2 - honest / n_known, 0.0))
    factors = []
    for j, (forest, share) in enumerate(zip(blend.forests, blend.shares, strict=True)):
        between = means[:, :, j] - means[:, :, j].mean(axis=0)
        between /= np.sqrt(len(between))
        # by Parseval the posteriors' predictions differ by the sum of its squares
        ratio = honest[j] / (blend.claimed.mean() + (between**2).sum())
        smooth = ratio * (within + between.T @ between)
        values, vectors = np.linalg.eigh(smooth)
        trees = np.array([[fold.spectrum[s] for s in spectrum.sets] for fold in forest.folds]).T
        apart = (1 - share) * (trees - trees.mean(axis=1, keepdims=True)) / N_FOLDS
        along = vectors * np.sqrt(np.maximum(values, 0.0))
        factors.append(np.hstack([along, apart, bias[:, j : j + 1]]))
    return np.stack(factors, axis=1)


def _in_units(
    spectrum: Spectrum, varying: IntArray, mean: FloatArray, scale: FloatArray
) -> Spectrum:
    """From standardised outputs, those of the numbers ``varying``, to all in their own units."""
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
    design=spread_design,
    decode=_decode,
    can_stop=True,
)
