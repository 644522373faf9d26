r"""What the fitted values say of Shapley values beyond a spectrum, as a linear function.

A spectrum is a control variate: f = g + r, and the Shapley values of f are those of g plus those of
the residual r. What g leaves of the values that it was fitted to is regressed on the players with
the weights of KernelSHAP (Lundberg and Lee 2017),

.. math:: \hat\phi = \arg\min_\phi \sum_j \frac{n-1}{k_j (n-k_j)\, c_{k_j}}
          \big(r_j - \textstyle\sum_{i \in m_j} \phi_i\big)^2, \quad \sum_i \phi_i = 0,

for masks m_j of k_j players, c_k of them of size k. If all masks are evaluated this makes the
Shapley values exact. Residuals of predictions that left their mask out are larger, most of all at
the smallest and largest masks, where all are evaluated and nothing is unknown; they gain less.

The variance of the estimate is that of sums over complement pairs (a sandwich), where a size of
which a share p of all masks was evaluated has 1 - p of it. Beside it stands what the decoder itself
says of its Shapley values: T, its variance by the posterior times a constant. The residual's values
are multiplied by :math:`w = T / (T + \operatorname{tr} V)`; where a decoder says nothing of its
uncertainty, by :math:`\max(0, 1 - \operatorname{tr} V / |\hat\phi|^2)` (James and Stein). With few
ablations nothing is added; as budgets grow the error goes on falling where the decoder's prior or
its largest order is wrong. What a correction of weight w leaves uncertain of the Shapley values is
smaller by the factor 1 - 0.4 w. The factor D of the coefficients' covariance becomes
:math:`D (I - 0.4 w \Pi)`, where :math:`\Pi` projects on the row space of A D, and A D is the factor
of the Shapley values.

Terms that the spectrum leaves out of what was learned have values too. Under flat sizes characters
are not orthogonal. The quadratic function with the same FSII of order 2 stands for them, and so
with the same Shapley values, since both are projections by one kernel (Tsai et al. 2023); where
there are too many pairs, the linear function.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np

from interplay._arrays import as_columns, finite_rows, unpack
from interplay._types import BoolArray, FloatArray
from interplay.decoders.base import Decoded
from interplay.decoders.gaussian.decoder import lists_pairs
from interplay.fourier.biased import FOURIER, MOEBIUS, rebase
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import end_masks, first_of_pair
from interplay.fourier.spectrum import Spectrum

_LARGEST_LEVERAGE = 0.999
_MASKS_PER_PLAYER = 10
"""With m masks of n players, variances are multiplied by (m + n) / (m - 10 n): with few masks the
estimates are far worse than a sandwich says. Chosen on recorded games, as is:"""
_PRIOR = 3.0
"""The decoder's variances are multiplied by this: its prior may be wrong."""
_WEIGHTS = "weight_of_correction"
_FEWEST_NEAR, _DOUBT = 10, 2.0
"""Of the errors near an end: from so many masks, and what they are multiplied by. Chosen for the
coverage on recorded games."""
_TIGHTER = 0.4
"""Shapley values of full weight have intervals that are narrower by this share."""


def corrected(decoded: Decoded, masks: BoolArray, values: FloatArray) -> Decoded:
    """Correct what was decoded from masks of flat sizes; see the module.

    Args:
        decoded: with ``deviations``, if the decoder gives them.
        masks: those of the fit, ``(m, n)``, without the ends.
        values: ``(m,)`` or ``(m, k)``.

    Returns:
        The same with linear terms added.
    """
    spectrum, surrogate = decoded.spectrum, decoded.surrogate
    learned = spectrum if surrogate is None else surrogate
    shape = (spectrum.n_players, *spectrum.coefficients.shape[1:])
    # of the decoder: as if it predicted the ends
    own = replace(spectrum, ends=spectrum.predict(end_masks(spectrum.n_players)))
    shapley = own.to("SV", order=1)
    of_rest, variances = _residual_values(masks, values - learned.predict(masks))
    if shapley.deviations is not None:
        prior = _PRIOR * as_columns(by_player(shapley, shapley.deviations) ** 2).sum(axis=0)
    else:
        prior = np.maximum((of_rest**2).sum(axis=0) - variances, 0.0)
    weights = prior / np.maximum(prior + variances, np.finfo(float).tiny)
    added = (of_rest * weights).reshape(shape)
    if surrogate is not None:
        spectrum = spectrum.with_added(_low_order(surrogate - replace(spectrum, ends=None)))
    if added.any():
        surrogate = None if surrogate is None else surrogate + _linear(added)
        spectrum = spectrum.with_added(_linear(added))
    diagnosis = decoded.diagnosis | {_WEIGHTS: weights.tolist()}
    return replace(decoded, spectrum=spectrum, surrogate=surrogate, diagnosis=diagnosis)


def tightened(decoded: Decoded) -> Decoded:
    """The same with smaller deviations of Shapley values, by the weights of their corrections."""
    from scipy.linalg import orth

    spectrum, weights = decoded.spectrum, decoded.diagnosis[_WEIGHTS]
    assert isinstance(weights, list)
    if spectrum.deviations is None or not weights:
        return decoded
    factors = spectrum.deviations.reshape(len(spectrum), len(weights), -1).copy()
    odd = spectrum.orders % 2 == 1
    contained = unpack(spectrum.supports[odd], spectrum.n_players).T / spectrum.orders[odd]
    for j, weight in enumerate(weights):
        of_players = contained @ factors[odd, j]
        basis = orth(of_players.T)
        factors[:, j] -= _TIGHTER * weight * (factors[:, j] @ basis) @ basis.T
    deviations = factors.reshape(spectrum.deviations.shape)
    return replace(decoded, spectrum=replace(spectrum, deviations=deviations))


def with_end_doubts(decoded: Decoded, masks: BoolArray) -> Decoded:
    """The same with how far the errors at the ends are those of the masks near them.

    They are twice the root mean squares of the leave-one-out errors of the nearest masks: a tenth
    of all, of ten or more. The value of nothing may be far from everything else, and the prediction
    one player further be right: then the error at the end is no other mask's.

    Args:
        decoded: a spectrum through the measured ends, with ``residuals``, if the decoder has them.
        masks: those of the fit, ``(m, n)``, without the ends.
    """
    spectrum, residuals = decoded.spectrum, decoded.residuals
    if spectrum.ends is None or residuals is None:
        return decoded
    squares = as_columns(residuals) ** 2
    known = np.flatnonzero(finite_rows(residuals))
    n_near = max(_FEWEST_NEAR, len(masks) // 10)
    if len(known) < n_near:
        return decoded
    n_kept = masks[known].sum(axis=1)
    nearest = [np.argsort(far, kind="stable")[:n_near] for far in (-n_kept, n_kept)]
    doubts = _DOUBT * np.sqrt([squares[known[rows]].mean(axis=0) for rows in nearest])
    doubts = doubts.reshape(spectrum.ends.shape)
    return replace(decoded, spectrum=replace(spectrum, end_doubts=doubts))


def _linear(values: FloatArray) -> Spectrum:
    """The function sum_i values_i (m_i - 1/2), for values ``(n,)`` or ``(n, k)``."""
    n_players = len(values)
    return Spectrum.from_terms(n_players, [[player] for player in range(n_players)], -values / 2)


def _low_order(spectrum: Spectrum) -> Spectrum:
    """The best approximation by players and pairs, or by players, where all sizes are alike."""
    n = spectrum.n_players
    low = spectrum.to("FSII", order=2 if lists_pairs(n) else 1).filter(1)
    return Spectrum.from_members(n, *rebase(low.members, low.values, n, MOEBIUS, FOURIER))


def by_player(shapley: Interactions, listed: FloatArray) -> FloatArray:
    """Numbers of the listed players, by player, ``(n,)`` or ``(n, k)``; zero for others."""
    values = np.zeros((shapley.n_players, *listed.shape[1:]))
    values[shapley.members[:, 0]] = listed
    return values


def _residual_values(masks: BoolArray, residuals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The Shapley values of the residuals, ``(n, k)``, and the sum of their variances, ``(k,)``."""
    known = finite_rows(residuals)
    masks, columns = masks[known], as_columns(residuals[known])
    n_masks, n_players = masks.shape
    values, variances = np.zeros((n_players, columns.shape[1])), np.full(columns.shape[1], np.inf)
    n_spare = n_masks - _MASKS_PER_PLAYER * n_players
    if n_spare <= 0:
        return values, variances
    sizes = masks.sum(axis=1)
    counts = np.bincount(sizes, minlength=n_players + 1)
    share = np.array([int(counts[k]) / comb(n_players, k) for k in range(n_players + 1)])[sizes]
    weights = 1.0 / (sizes * (n_players - sizes) * counts[sizes])
    weights /= weights.mean()
    centred = masks - sizes[:, None] / n_players
    design = centred * np.sqrt(weights)[:, None]
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-8, hermitian=True)
    leverage = np.einsum("mi,ij,mj->m", design, inverse, design)
    pair = np.unique(first_of_pair(masks), return_inverse=True)[1]
    for j, column in enumerate(columns.T):
        outcome = column - column.mean()
        estimate = inverse @ (centred.T @ (weights * outcome))
        errors = outcome - centred @ estimate
        # each error as if its ablation had no part in the estimate
        errors = errors / (1.0 - np.minimum(leverage, _LARGEST_LEVERAGE))
        errors = errors * np.sqrt(1.0 - np.minimum(share, 1.0))
        sums = np.zeros((pair.max(initial=-1) + 1, n_players))
        np.add.at(sums, pair, centred * (weights * errors)[:, None])
        variances[j] = ((sums @ inverse) ** 2).sum() * (n_masks + n_players) / n_spare
        values[:, j] = estimate - estimate.mean()
    return values, variances
