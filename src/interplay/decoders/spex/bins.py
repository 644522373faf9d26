r"""The bins of a coded design: the transform that fills them, and the sets that alias into them.

A Walsh-Hadamard transform of the values of one group c and delay d gives 2^b_c bins. All sets S of
the same hash M_c^T 1_S alias into the same bin (SPEX, arXiv 2502.13870; here with offsets p_c),

.. math:: U_{c,d}(j) = \sum_{S : M_c^\top 1_S = j} (-1)^{\langle d + p_c, 1_S \rangle} F(S).

The bins of all groups stand one after the other in one list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.spex.design import CodedDesign
from interplay.fourier.characters import characters
from interplay.fourier.sets import Members, pack_members
from interplay.fourier.transform import walsh_hadamard

_CELLS_AT_ONCE = 1 << 22
"""The largest block of the residual that is copied, terms times delays times outputs."""
_RIDGE = 1e-9
"""Added to the unit diagonal of the normal matrix. Two terms of equal signs and bins would make it
singular; so they share one coefficient.
"""


@dataclass(frozen=True, eq=False)
class Terms:
    """Sets of players as the bins see them. Made by :meth:`of`.

    Attributes:
        n_players: n.
        members: the sets (see :mod:`interplay.fourier.sets`), ``(s, w)``; w may exceed the orders.
        signs: (-1)^<d, 1_S> for each delay d, ``(s, D)``.
        bins: the bin of each group, in the list of all bins, ``(s, C)``.
        offset_signs: (-1)^<p_c, 1_S> for each group c, ``(s, C)``.
        outside: chi_S on masks outside the code, ``(s, q)``.
    """

    n_players: int
    members: Members
    signs: FloatArray
    bins: IntArray
    offset_signs: FloatArray
    outside: npt.NDArray[np.float32]

    @classmethod
    def of(cls, design: CodedDesign, members: Members, outside: BoolArray) -> Terms:
        """Look up bins and signs of sets.

        Args:
            design: the coded design.
            members: the sets, ``(s, w)``.
            outside: masks outside the code, ``(q, n)``.
        """
        # players as rows; the last one, all zeros, is the padding
        n_groups, n_delays = len(design.rows), len(design.delays)
        delays = np.concatenate([design.delays.T, np.zeros((1, n_delays), dtype=np.bool_)])
        offsets = np.concatenate([design.offsets.T, np.zeros((1, n_groups), dtype=np.bool_)])
        return cls(
            design.plan.n_players,
            members,
            1.0 - 2.0 * np.bitwise_xor.reduce(delays[members], axis=1),
            bins_of(design, members),
            1.0 - 2.0 * np.bitwise_xor.reduce(offsets[members], axis=1),
            characters(outside, pack_members(members, design.plan.n_players), np.float32).T,
        )

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, rows: IntArray | BoolArray) -> Terms:
        return replace(
            self,
            members=self.members[rows],
            signs=self.signs[rows],
            bins=self.bins[rows],
            offset_signs=self.offset_signs[rows],
            outside=self.outside[rows],
        )

    def join(self, other: Terms) -> Terms:
        """Append the other terms to these."""
        return replace(
            self,
            members=np.concatenate([self.members, other.members]),
            signs=np.concatenate([self.signs, other.signs]),
            bins=np.concatenate([self.bins, other.bins]),
            offset_signs=np.concatenate([self.offset_signs, other.offset_signs]),
            outside=np.concatenate([self.outside, other.outside]),
        )

    @property
    def orders(self) -> IntArray:
        """The order of each term, ``(s,)``."""
        return np.asarray((self.members < self.n_players).sum(axis=1), dtype=np.int64)


def bins_of(design: CodedDesign, members: Members) -> IntArray:
    """Hash sets ``(s, w)`` to their bin of each group, in the list of all bins, ``(s, C)``."""
    padding = np.zeros((len(design.hashes), 1), dtype=np.int64)
    hashes = np.concatenate([design.hashes, padding], axis=1)
    bins = np.bitwise_xor.reduce(hashes[:, members], axis=2).T + first_bins(design)[:-1]
    return np.asarray(bins, dtype=np.int64)


def first_bins(design: CodedDesign) -> IntArray:
    """List where each group's bins start: group c has those from entry c up to entry c + 1.

    Returns:
        ``(C + 1,)``; the last entry is the number of all bins.
    """
    return np.cumsum([0] + [1 << b for b in design.plan.bits]).astype(np.int64)


def transform(design: CodedDesign, values: FloatArray) -> FloatArray:
    r"""Compute the bins by a Walsh-Hadamard transform for each group and delay.

    .. math:: U_{c,d}(j) = 2^{-b_c} \sum_l f(M_c l + d + p_c) (-1)^{\langle j, l \rangle}

    Args:
        design: the coded design.
        values: of its masks, ``(m, k)``.

    Returns:
        ``(bins, D, k)``.
    """
    groups = [walsh_hadamard(values[rows.T]) / rows.shape[1] for rows in design.rows]
    return np.concatenate(groups)


def alias(terms: Terms, coefficients: FloatArray, n_bins: int) -> FloatArray:
    """Compute the bins that terms alone would give: the equation at the top of this module.

    Args:
        terms: s terms.
        coefficients: F(S), ``(s, k)``.
        n_bins: the bins of all groups.

    Returns:
        ``(bins, D, k)``.
    """
    n_delays, n_outputs = terms.signs.shape[1], coefficients.shape[1]
    result = np.zeros((n_bins, n_delays, n_outputs))
    for c in range(terms.bins.shape[1]):
        order = np.argsort(terms.bins[:, c], kind="stable")
        used, starts = np.unique(terms.bins[order, c], return_index=True)
        scaled = coefficients[order] * terms.offset_signs[order, c, None]
        for j in range(n_outputs):  # one at a time: memory stays at terms x delays
            contributions = terms.signs[order] * scaled[:, j, None]
            result[used, :, j] += np.add.reduceat(contributions, starts, axis=0)
    return result


def correlate(bins: FloatArray, terms: Terms) -> FloatArray:
    r"""Estimate each term's coefficient from each of its bins, as if it were there alone.

    .. math:: (-1)^{\langle p_c, 1_S \rangle} \,
        \tfrac1D \sum_d (-1)^{\langle d, 1_S \rangle} U_{c,d}(M_c^\top 1_S)

    Args:
        bins: the bins, or what is left of them, ``(bins, D, k)``.
        terms: s terms.

    Returns:
        ``(s, C, k)``.
    """
    n_terms, n_groups = terms.bins.shape
    _, n_delays, n_outputs = bins.shape
    result = np.empty((n_terms, n_groups, n_outputs))
    step = max(1, _CELLS_AT_ONCE // (n_delays * n_outputs))
    for c in range(n_groups):
        for start in range(0, n_terms, step):
            block = slice(start, start + step)
            own_bins = bins[terms.bins[block, c]]
            result[block, c] = np.einsum("sd,sdk->sk", terms.signs[block], own_bins)
    result *= terms.offset_signs[:, :, None] / n_delays
    return result


def solve(
    bins: FloatArray,
    terms: Terms,
    weights: FloatArray,
    outside: FloatArray,
    outside_weight: float,
) -> FloatArray:
    r"""Solve for all coefficients at once by weighted least squares on bins and other values.

    Two terms meet only in the bins that they share. The normal matrix is therefore

    .. math:: N(S, T) = \sum_d (-1)^{\langle d, 1_S + 1_T \rangle}
        \sum_{c : S, T \text{ share a bin}} w_c (-1)^{\langle p_c, 1_S + 1_T \rangle},

    with the weight w_c of the shared bin; and the products of the characters of the masks outside
    the code, times their weight, are added.

    Args:
        bins: the bins, ``(bins, D, k)``.
        terms: s terms.
        weights: of the bins, inverse variances of their noise up to a factor, ``(bins,)``.
        outside: the values of the masks outside the code, ``(q, k)``.
        outside_weight: theirs.

    Returns:
        ``(s, k)``.
    """
    products = terms.signs @ terms.signs.T
    shared = np.zeros_like(products)
    for c in range(terms.bins.shape[1]):
        own_bins = terms.bins[:, c]
        root = terms.offset_signs[:, c] * np.sqrt(weights[own_bins])
        is_shared = own_bins[:, None] == own_bins[None, :]
        shared += np.where(is_shared, root[:, None] * root[None, :], 0.0)
    normal = products * shared
    normal += outside_weight * (terms.outside @ terms.outside.T)
    scale = 1.0 / np.sqrt(np.diag(normal))
    normal *= scale[:, None] * scale[None, :]
    normal[np.diag_indices(len(terms))] += _RIDGE
    right = correlate(bins, terms) * weights[terms.bins][:, :, None]
    right = right.sum(axis=1) * bins.shape[1]
    right += outside_weight * (terms.outside @ outside)
    right *= scale[:, None]
    return np.asarray(np.linalg.solve(normal, right) * scale[:, None])
