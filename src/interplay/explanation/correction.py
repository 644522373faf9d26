r"""What leave-one-out errors say of Shapley values, added to a spectrum as a linear function.

A spectrum is a control variate: f = g + r, and the Shapley values of f are those of g plus those of
the residual r. The residuals of masks that the fit did not see estimate the latter without bias:
they are regressed on the players with the weights of KernelSHAP (Lundberg and Lee 2017),

.. math:: \hat\phi = \arg\min_\phi \sum_j \frac{n-1}{k_j (n-k_j)\, c_{k_j}}
          \big(r_j - \textstyle\sum_{i \in m_j} \phi_i\big)^2, \quad \sum_i \phi_i = 0,

for masks m_j of k_j players, c_k of them of size k. The variance of the estimate is that of sums
over complement pairs (a sandwich), where a size of which a share p of all masks was evaluated has
1 - p of it: a size that is complete is known, not sampled. The estimate is shrunk by the positive
part of James and Stein, :math:`\lambda = \max(0, 1 - \operatorname{tr} V / |\hat\phi|^2)`. With few
ablations nothing is added; as budgets grow the error goes on falling where the prior of the decoder
is wrong.

Terms that the spectrum leaves out of what was learned have Shapley values too. Under flat sizes
characters are not orthogonal, so these are added in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np

from interplay._arrays import as_columns, finite_rows
from interplay._types import BoolArray, FloatArray
from interplay.decoders.base import Decoded
from interplay.fourier.masks import distinct
from interplay.fourier.spectrum import Spectrum

_LARGEST_LEVERAGE = 0.999


def corrected(decoded: Decoded, masks: BoolArray) -> Decoded:
    """Correct what was decoded from masks of flat sizes; see the module.

    Args:
        decoded: with ``residuals``, if the decoder has them.
        masks: those of the fit, ``(m, n)``, without the ends.

    Returns:
        The same with linear terms added. It has no ``deviations``: those of the decoder are for
        uniform masks.
    """
    spectrum, surrogate = decoded.spectrum, decoded.surrogate
    added = np.zeros((spectrum.n_players, *spectrum.coefficients.shape[1:]))
    shrinkage: list[float] = []
    if decoded.residuals is not None:
        added, shrinkage = _residual_values(masks, decoded.residuals)
        added = added.reshape(-1, *spectrum.coefficients.shape[1:])
    left_out = np.zeros_like(added)
    if surrogate is not None:
        left_out = _shapley_values(surrogate) - _shapley_values(spectrum)
        surrogate = surrogate + _linear(added)
    spectrum = replace(spectrum, deviations=None) + _linear(left_out + added)
    diagnosis = decoded.diagnosis | {"shrinkage_of_correction": shrinkage}
    return replace(decoded, spectrum=spectrum, surrogate=surrogate, diagnosis=diagnosis)


def _linear(values: FloatArray) -> Spectrum:
    """The function sum_i values_i (m_i - 1/2), for values ``(n,)`` or ``(n, k)``."""
    n_players = len(values)
    return Spectrum.from_terms(n_players, [[player] for player in range(n_players)], -values / 2)


def _shapley_values(spectrum: Spectrum) -> FloatArray:
    """``(n,)`` or ``(n, k)``."""
    listed = spectrum.to("SV", order=1)
    values = np.zeros((spectrum.n_players, *spectrum.coefficients.shape[1:]))
    values[listed.members[:, 0]] = listed.values
    return values


def _residual_values(masks: BoolArray, residuals: FloatArray) -> tuple[FloatArray, list[float]]:
    """The shrunk Shapley values of the residuals, ``(n, k)``, and the factors of shrinkage."""
    known = finite_rows(residuals)
    masks, columns = masks[known], as_columns(residuals[known])
    n_players = masks.shape[1]
    sizes = masks.sum(axis=1)
    counts = np.bincount(sizes, minlength=n_players + 1)
    share = np.array([int(counts[k]) / comb(n_players, k) for k in range(n_players + 1)])[sizes]
    weights = 1.0 / (sizes * (n_players - sizes) * counts[sizes])
    weights /= weights.mean()
    centred = masks - sizes[:, None] / n_players
    design = centred * np.sqrt(weights)[:, None]
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-8, hermitian=True)
    leverage = np.einsum("mi,ij,mj->m", design, inverse, design)
    _, pair = distinct(np.where(masks[:, :1], masks, ~masks))
    values, factors = np.zeros((n_players, columns.shape[1])), []
    for j, column in enumerate(columns.T):
        outcome = column - column.mean()
        estimate = inverse @ (centred.T @ (weights * outcome))
        errors = outcome - centred @ estimate
        # each error as if its ablation had no part in the estimate
        errors = errors / (1.0 - np.minimum(leverage, _LARGEST_LEVERAGE))
        errors = errors * np.sqrt(1.0 - np.minimum(share, 1.0))
        sums = np.zeros((pair.max(initial=-1) + 1, n_players))
        np.add.at(sums, pair, centred * (weights * errors)[:, None])
        variance = float(((sums @ inverse) ** 2).sum())
        size = float((estimate**2).sum())
        factors.append(max(0.0, 1.0 - variance / size) if size > 0 else 0.0)
        values[:, j] = factors[-1] * (estimate - estimate.mean())
    return values, factors
