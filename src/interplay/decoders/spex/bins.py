"""The bins of a coded design: transform, signatures of supports, and their linear algebra.

All groups' bins stand in one list. A support S falls in one bin of every group and contributes
(-1)^<offset_c, 1_S> (-1)^<d, 1_S> F(S) to delay d of that bin (SPEX, arXiv 2502.13870, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interplay.decoders.spex.bch import Bits, Ints
from interplay.decoders.spex.design import CodedDesign
from interplay.fourier.transform import walsh_hadamard

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Terms:
    """Supports as the bins see them.

    Attributes:
        players: intp (s, w), ascending, padded with -1 at the end.
        signs: float (s, D), (-1)^<d, 1_S>.
        bins: intp (s, C), the bin of each group.
        turns: float (s, C), (-1)^<offset_c, 1_S>.
    """

    players: Ints
    signs: Floats
    bins: Ints
    turns: Floats

    def __len__(self) -> int:
        return len(self.players)

    def pick(self, index: Ints | Bits) -> Terms:
        """The terms at an index."""
        return Terms(self.players[index], self.signs[index], self.bins[index], self.turns[index])

    def join(self, other: Terms) -> Terms:
        """These terms and then the others."""
        return Terms(
            np.concatenate([self.players, other.players]),
            np.concatenate([self.signs, other.signs]),
            np.concatenate([self.bins, other.bins]),
            np.concatenate([self.turns, other.turns]),
        )

    @property
    def orders(self) -> Ints:
        """Players in each support, intp (s,)."""
        return np.asarray((self.players >= 0).sum(axis=1), dtype=np.intp)


def first_bins(design: CodedDesign) -> Ints:
    """Where each group's bins start in the list of all bins, and their total: intp (C + 1,)."""
    return np.cumsum([0] + [1 << b for b in design.plan.bits]).astype(np.intp)


def transform(design: CodedDesign, values: Floats) -> Floats:
    """Fast Walsh-Hadamard transform of every group and delay.

    U_{c,d}(j) = 2^-b sum_l f(M_c l + d + offset_c) (-1)^<j, l>.

    Args:
        design: the coded design.
        values: (m, k), one row for each mask of the design.

    Returns:
        (bins, D, k), the bins of all groups one after the other.
    """
    # (2^b, D, k) for each group
    parts = [walsh_hadamard(values[rows.T]) / rows.shape[1] for rows in design.rows]
    return np.concatenate(parts)


def describe(design: CodedDesign, players: Ints) -> Terms:
    """Signature, bins and turns of supports.

    Args:
        design: the coded design.
        players: intp (s, w), padded with -1 at the end.
    """
    padded = np.where(players < 0, design.plan.n, players)
    hashes = np.concatenate([design.hashes, np.zeros((len(design.rows), 1), dtype=np.intp)], axis=1)
    bins = np.bitwise_xor.reduce(hashes[:, padded], axis=2).T + first_bins(design)[:-1]
    blank = np.zeros((1, len(design.delays)), dtype=np.bool_)
    flips = np.concatenate([design.delays.T, blank])  # (n + 1, D)
    signature = np.bitwise_xor.reduce(flips[padded], axis=1)
    blank = np.zeros((1, len(design.rows)), dtype=np.bool_)
    turned = np.bitwise_xor.reduce(np.concatenate([design.offsets.T, blank])[padded], axis=1)
    return Terms(players, 1.0 - 2.0 * signature, bins, 1.0 - 2.0 * turned)


def correlate(residual: Floats, terms: Terms) -> Floats:
    """What each term would contribute to its bins, judged by each bin alone.

    Args:
        residual: (bins, D, k).
        terms: s terms.

    Returns:
        (s, C, k): turn * mean over d of sign_d * residual_d.
    """
    s, n_groups = terms.bins.shape
    out = np.empty((s, n_groups, residual.shape[2]))
    step = max(1, (1 << 22) // (residual.shape[1] * residual.shape[2]))
    for c in range(n_groups):
        for i in range(0, s, step):
            part = slice(i, i + step)
            out[part, c] = np.einsum("sd,sdk->sk", terms.signs[part], residual[terms.bins[part, c]])
    out *= terms.turns[:, :, None] / residual.shape[1]
    return out


def model(terms: Terms, amplitudes: Floats, n_bins: int) -> Floats:
    """The bins that the terms alone would give, (bins, D, k)."""
    k = amplitudes.shape[1]
    n_delays = terms.signs.shape[1]
    out = np.zeros((n_bins, n_delays, k))
    for c in range(terms.bins.shape[1]):
        order = np.argsort(terms.bins[:, c], kind="stable")
        used, starts = np.unique(terms.bins[order, c], return_index=True)
        scaled = amplitudes[order] * terms.turns[order, c, None]
        for o in range(k):  # one output at a time: memory stays at terms x delays
            out[used, :, o] += np.add.reduceat(
                terms.signs[order] * scaled[:, o, None], starts, axis=0
            )
    return out


def solve(bins: Floats, terms: Terms, weights: Floats) -> Floats:
    """Weighted least squares for all amplitudes at once.

    Two terms meet only in the bins that they share, so the normal matrix is the product of the
    signatures, masked and weighted by the shared bins.

    Args:
        bins: (bins, D, k), the transform of the values.
        terms: s terms.
        weights: (bins,), inverse noise variances up to a factor.

    Returns:
        Amplitudes (s, k).
    """
    products = terms.signs @ terms.signs.T
    share = np.zeros_like(products)
    for c in range(terms.bins.shape[1]):
        column, turn = terms.bins[:, c], terms.turns[:, c] * np.sqrt(weights[terms.bins[:, c]])
        share += np.where(column[:, None] == column[None, :], turn[:, None] * turn[None, :], 0.0)
    normal = products * share
    scale = 1.0 / np.sqrt(np.diag(normal))
    normal *= scale[:, None] * scale[None, :]
    normal[np.diag_indices(len(terms))] += 1e-9  # supports with equal signatures: share, don't fail
    right = correlate(bins, terms) * weights[terms.bins][:, :, None]
    right = right.sum(axis=1) * bins.shape[1] * scale[:, None]
    return np.asarray(np.linalg.solve(normal, right) * scale[:, None])
