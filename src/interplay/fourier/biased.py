r"""Bases of masks that are not uniform, and what each set has of the variance there.

Where each player is kept with probability p, the functions

.. math:: \psi_S^p(m) = \prod_{i \in S} \frac{p - m_i}{\sqrt{p (1 - p)}}

are orthonormal: the p-biased Fourier basis (O'Donnell, Analysis of Boolean Functions, section 8.4).
For p = 1/2 they are the characters. In this basis, in the Fourier basis and in the two Moebius
bases a set's function is a product over its players, and those of two bases depend on each other by
an affine map, :math:`\chi_i = a + b\,\psi_i`:

=============  ============  ========================  ==============================
basis          a             b                         :math:`\psi_i(m)`
=============  ============  ========================  ==============================
Fourier        0             1                         (-1)^{m_i}
p-biased       1 - 2p        2 sqrt(p (1 - p))         (p - m_i) / sqrt(p (1 - p))
Moebius        1             -2                        m_i
co-Moebius     -1            -2                        m_i - 1
=============  ============  ========================  ==============================

Coefficients therefore convert by a sum over supersets,

.. math:: c_2(S) = \sum_{T \supseteq S} \Big(\frac{b_2}{b_1}\Big)^{|S|}
          \Big(\frac{a_2 - a_1}{b_1}\Big)^{|T| - |S|} c_1(T),

exactly, and sets that are closed under subsets stay what they are. Spectra are stored in the
Fourier basis only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb, sqrt
from typing import TypeAlias

import numpy as np

from interplay._arrays import as_columns
from interplay._types import FloatArray, IntArray
from interplay.fourier.indices import superset_sums
from interplay.fourier.sets import Members
from interplay.fourier.spectrum import Spectrum

MAX_PAIRS = 4_000_000
"""The most pairs of a set and a subset that are written out; of a larger spectrum, as that of a
table of more than 13 players, the weakest terms are left out of the variance."""


Law: TypeAlias = tuple[tuple[float, float], ...]
"""Probabilities and their weights."""


@dataclass(frozen=True)
class Basis:
    """A basis of products over players, by what a character is in it, chi_i = a + b psi_i."""

    a: float
    b: float


FOURIER = Basis(0.0, 1.0)
MOEBIUS = Basis(1.0, -2.0)
CO_MOEBIUS = Basis(-1.0, -2.0)


def biased(p: float) -> Basis:
    """The p-biased Fourier basis, orthonormal where each player is kept with probability p.

    Raises:
        ValueError: p is not between 0 and 1.
    """
    if not 0.0 < p < 1.0:
        raise ValueError(f"p={p} keeps all players or none; give a probability between 0 and 1")
    return Basis(1.0 - 2.0 * p, 2.0 * sqrt(p * (1.0 - p)))


def rebase(
    sets: Members, coefficients: FloatArray, n_players: int, source: Basis, target: Basis
) -> tuple[Members, FloatArray]:
    """Convert the coefficients of a function from one basis to another.

    Args:
        sets: members, ``(s, d)``.
        coefficients: those in the first basis, ``(s,)`` or ``(s, k)``.
        n_players: n.
        source: the first basis.
        target: the second.

    Returns:
        The members of all subsets of the sets, and their coefficients.
    """
    ratio, shift = _between(source, target)
    table = {
        (s, t): ratio**s * shift ** (t - s)
        for t in np.unique((sets < n_players).sum(axis=1)).tolist()
        for s in range(t + 1)
    }
    return superset_sums(sets, coefficients, n_players, table)


def truncate(spectrum: Spectrum, p: float, n_terms: int) -> Spectrum:
    """Keep the strongest terms of the p-biased basis, and the empty set.

    In the Fourier basis, what is left has the subsets of these terms too. For p = 1/2 this is
    ``spectrum.truncate``. Like that of any sum of spectra, the result has no uncertainty.
    """
    if p == 0.5:
        return spectrum.truncate(n_terms=n_terms)
    n = spectrum.n_players
    in_basis = rebase(spectrum.members, spectrum.coefficients, n, FOURIER, biased(p))
    strongest = Spectrum.from_members(n, *in_basis).truncate(n_terms=n_terms)
    back = rebase(strongest.members, strongest.coefficients, n, biased(p), FOURIER)
    return replace(Spectrum.from_members(n, *back), ends=spectrum.ends)


def variances(spectrum: Spectrum, law: Law) -> tuple[Members, FloatArray]:
    r"""What each set has of the variance, where a mask keeps players with a random probability q.

    With the mean p of q, f is :math:`\sum_S c(S) \psi_S^p`. A set has

    .. math:: \operatorname{Cov}\big(c(S)\,\psi_S^p,\; f\big),

    and all of them add up to the variance of f. If q is always p, this is the energy c(S)^2. If it
    is not, players are correlated through it, and a set that counteracts others may have a negative
    part (Li et al. 2010, "Global sensitivity analysis for systems with independent and/or
    correlated inputs").

    Args:
        spectrum: f.
        law: the probabilities q and their weights, which add up to 1. A law of all q in a range is
            given by the nodes of a quadrature; it is exact if it is for polynomials of twice the
            largest order.

    Returns:
        Members of the sets, and the variance of each for each output, ``(s, k)``.
    """
    from scipy.sparse import csr_array

    n = spectrum.n_players
    p = sum(weight * q for q, weight in law)
    if law == ((0.5, 1.0),):
        sets, coefficients = spectrum.members, as_columns(spectrum.coefficients)
    else:
        sets, coefficients = _closed(spectrum, p)
    order = (sets < n).sum(axis=1)
    if len(law) == 1 or len(sets) < 2:
        return sets, np.where(order[:, None] > 0, coefficients**2, 0.0)
    small, large = _pairs(sets, n)
    s, extra = order[small], (order[large] - order[small])
    products, function_mean = np.zeros_like(coefficients), np.zeros(coefficients.shape[1])
    term_mean = np.zeros(len(sets))
    for q, weight in law:
        ratio, shift = _between(biased(p), biased(q))
        # M maps the coefficients to those at q; by Parseval there, M^T M c is E[psi_S f]
        matrix = csr_array((ratio**s * shift**extra, (small, large)), shape=(len(sets),) * 2)
        at_q = matrix @ coefficients
        products += weight * (matrix.T @ at_q)
        function_mean += weight * at_q[0]  # the empty set comes first
        term_mean += weight * shift**order
    return sets, coefficients * (products - np.outer(term_mean, function_mean))


def total_variance(spectrum: Spectrum, p: float) -> float:
    """The variance where each player is kept with probability p, summed over outputs."""
    sets, energies = variances(spectrum, ((p, 1.0),))
    return float(energies.sum(axis=1)[(sets < spectrum.n_players).any(axis=1)].sum())


def _between(source: Basis, target: Basis) -> tuple[float, float]:
    """b2 / b1 and (a2 - a1) / b1."""
    return target.b / source.b, (target.a - source.a) / source.b


def _closed(spectrum: Spectrum, p: float) -> tuple[Members, FloatArray]:
    """The coefficients in the p-biased basis, of the strongest terms if there are too many."""
    n = spectrum.n_players
    order = spectrum.orders[np.argsort(-spectrum.relative.energies, kind="stable")]
    n_terms = int(np.searchsorted(np.cumsum(2.0**order), MAX_PAIRS, side="right"))
    while True:
        terms = spectrum if n_terms >= len(spectrum) else spectrum.truncate(n_terms=n_terms)
        coefficients = as_columns(terms.coefficients)
        sets, coefficients = rebase(terms.members, coefficients, n, FOURIER, biased(p))
        if (2.0 ** (sets < n).sum(axis=1)).sum() <= MAX_PAIRS:
            return sets, coefficients
        n_terms //= 2


def _pairs(sets: Members, n_players: int) -> tuple[IntArray, IntArray]:
    """The rows of all pairs of a subset and a set of a family that is closed under subsets."""
    order = (sets < n_players).sum(axis=1)
    blocks, rows = [], []
    for t in np.unique(order).tolist():
        of_order = np.flatnonzero(order == t)
        for s in range(t + 1):
            chosen = np.array(list(combinations(range(t), s)), dtype=np.int64)
            chosen = chosen.reshape(comb(t, s), s)
            subsets = np.full((len(of_order), len(chosen), sets.shape[1]), n_players, np.int32)
            subsets[:, :, :s] = sets[of_order][:, chosen]
            blocks.append(subsets.reshape(-1, sets.shape[1]))
            rows.append(np.repeat(of_order, len(chosen)))
    subsets, large = np.concatenate(blocks), np.concatenate(rows)
    place = {players.tobytes(): row for row, players in enumerate(np.ascontiguousarray(sets))}
    small = np.array([place[players.tobytes()] for players in subsets], dtype=np.int64)
    return small, large
