"""The Fourier terms of a posterior: candidate sets, their coefficients and covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, ByteArray, FloatArray, IntArray
from interplay.decoders.gaussian.inputs import REACH, Floats, Inputs, neighbours
from interplay.decoders.gaussian.kernel import Kernel
from interplay.decoders.gaussian.learn import factor
from interplay.fourier.characters import analyse, characters
from interplay.fourier.masks import first_of_pair
from interplay.fourier.sets import Members, collapse, pack_members

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_MOST_PAIRS = 60_000
_MOST_TRIPLES = 20_000
_MOST_QUADRUPLES = 4_000
_TRIPLE_WORK = 2e10
"""The most multiplications that the search for triples may take."""
_GROWN = 1_000
"""Triples that quadruples are grown from."""
_NEAR = 32
"""The most relevant players, with which triples grow to quadruples."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian process conditioned on values. Build it with :meth:`of`.

    Attributes:
        kernel: its prior.
        inputs: the m masks.
        lower: the Cholesky factor of K + s^2 I, ``(m, m)``.
        weights: (K + s^2 I)^-1 Y, ``(m, k)``.
    """

    kernel: Kernel
    inputs: Inputs
    lower: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, kernel: Kernel, inputs: Inputs, values: FloatArray) -> Posterior:
        """Condition on standardised values ``(m, k)``."""
        from scipy.linalg import cho_solve

        lower = factor(kernel.lower(inputs), kernel.noise)
        weights = cho_solve((lower.T, False), values, check_finite=False)
        return cls(kernel, inputs, lower, weights)

    def leave_one_out(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Predict each mask without its value, ``(m, k)``, with the predictive variance, ``(m,)``.

        In closed form these are y_i - a_i / P_ii and 1 / P_ii, where P is the inverse of K + s^2 I
        and a = P y. If the complement of a mask has a value too, both are left out: their errors
        are A^-1 a for the 2 x 2 block A of P, their variances the diagonal of A^-1. A function of
        even orders is the same on both, and a new mask has no such twin.
        """
        from scipy.linalg import get_lapack_funcs

        single = self.kernel.suits_single(len(self.inputs))
        upper = self.lower.T.astype(np.float32 if single else np.float64)
        (invert,) = get_lapack_funcs(("trtri",), (upper,))
        half, _ = invert(upper, lower=False, overwrite_c=True)  # P is half half^T
        precision = np.asarray(np.einsum("ij,ij->i", half, half), dtype=np.float64)
        errors, variances = self.weights / precision[:, None], 1.0 / precision
        one, other = _complements(self.inputs.signs)
        shared = np.asarray(np.einsum("ij,ij->i", half[one], half[other]), dtype=np.float64)
        determinant = precision[one] * precision[other] - shared**2
        errors[one] = (
            (precision[other] * self.weights[one].T - shared * self.weights[other].T) / determinant
        ).T
        variances[one] = precision[other] / determinant
        return values - errors, variances

    def variance(self, inputs: Inputs) -> FloatArray:
        """The predictive variance at each of h other masks, with the noise, ``(h,)``."""
        from scipy.linalg import solve_triangular

        prior = np.diagonal(self.kernel(inputs, inputs)) + self.kernel.noise
        cross = self.kernel(self.inputs, inputs)
        return np.asarray(
            prior
            - (solve_triangular(self.lower, cross, lower=True, check_finite=False) ** 2).sum(axis=0)
        )


def _complements(signs: Floats) -> tuple[IntArray, IntArray]:
    """The rows whose complement is a row too, and the rows of these complements."""
    first = first_of_pair(signs < 0)
    second = np.flatnonzero(first < np.arange(len(first)))
    return np.concatenate([first[second], second]), np.concatenate([second, first[second]])


def candidates(masks: BoolArray, posteriors: list[Posterior], order: int) -> Members:
    """List sets of up to ``order`` players that may have a coefficient worth writing down.

    They are the empty set, all single players, all pairs or the strongest, the strongest triples
    among the most relevant players, quadruples grown from these, and every set of players within
    :data:`REACH` of each other.

    Returns:
        Members, ``(s, d)``, distinct and sorted.
    """
    n_masks, n = masks.shape
    relevance = np.mean([p.kernel.relevances for p in posteriors], axis=0)
    first = posteriors[0]
    # single precision: it is only decided which sets are worth a look
    signs, weights = first.inputs.signs.astype(np.float32), first.weights.astype(np.float32)
    families = [np.full((1, 1), n), np.arange(n)[:, None], _windows(n, order)]
    if order >= 2 and n >= 2:
        energy = np.zeros((n, n))
        for column in weights.T:
            energy += ((signs * column[:, None]).T @ signs) ** 2
        i, j = np.triu_indices(n, 1)
        strength = np.sqrt(energy[i, j]) * relevance[i] * relevance[j]
        best = np.argsort(-strength, kind="stable")[:_MOST_PAIRS]
        families.append(np.stack([i[best], j[best]], axis=1))
    if order >= 3 and n >= 3 and first.kernel.degree >= 3:
        affordable = int((_TRIPLE_WORK / (n_masks * weights.shape[1])) ** (1 / 3))
        chosen = np.sort(np.argsort(-relevance, kind="stable")[: max(3, min(affordable, n))])
        triples = _triples(signs[:, chosen], weights, relevance[chosen])
        families.append(chosen[triples])
        if order >= 4 and n >= 4 and first.kernel.degree >= 4:
            relevant = np.argsort(-relevance, kind="stable")[:_NEAR]
            grown = chosen[triples[:_GROWN]]
            families.append(_quadruples(signs, grown, relevant, weights, relevance))
    width = max(sets.shape[1] for sets in families)
    padded = [
        np.pad(np.sort(sets, axis=1), ((0, 0), (0, width - sets.shape[1])), constant_values=n)
        for sets in families
    ]
    joined = np.concatenate(padded).astype(np.int32)
    return collapse(joined, np.zeros(len(joined)), n)[0]


def _triples(signs: Floats, weights: Floats, relevance: FloatArray) -> IntArray:
    """Find the strongest triples of columns, strongest first, ``(t, 3)``."""
    n = signs.shape[1]
    strength = np.zeros((n, n, n), dtype=signs.dtype)
    for column in weights.T:
        for first in range(n - 2):
            block = signs[:, first + 1 :]
            strength[first, first + 1 :, first + 1 :] += (
                (block * (column * signs[:, first])[:, None]).T @ block
            ) ** 2
    player = np.arange(n)
    rising = player[:, None] < player
    i, j, k = np.nonzero(rising[:, :, None] & rising)
    size = np.sqrt(strength[i, j, k]) * relevance[i] * relevance[j] * relevance[k]
    best = np.argsort(-size, kind="stable")[:_MOST_TRIPLES]
    return np.stack([i[best], j[best], k[best]], axis=1)


def _quadruples(
    signs: Floats, triples: IntArray, players: IntArray, weights: Floats, relevance: FloatArray
) -> Members:
    """Add each player to each triple that lacks it, and take the strongest, ``(q, 4)``."""
    products = signs[:, triples].prod(axis=2)
    energy = np.zeros((len(triples), len(players)), dtype=signs.dtype)
    for column in weights.T:
        energy += (products.T @ (signs[:, players] * column[:, None])) ** 2
    sets = np.concatenate(
        [np.repeat(triples, len(players), axis=0), np.tile(players, len(triples))[:, None]], axis=1
    )
    sets = np.sort(sets, axis=1)
    new = (np.diff(sets, axis=1) > 0).all(axis=1)
    size = np.sqrt(energy.ravel()[new]) * relevance[sets[new]].prod(axis=1)
    # a set that was grown in several ways has several sizes, which differ by rounding errors
    counted = np.stack([size, np.ones(len(size))], axis=1)
    distinct, sums = collapse(sets[new].astype(np.int32), counted, signs.shape[1])
    best = np.argsort(-sums[:, 0] / sums[:, 1], kind="stable")[:_MOST_QUADRUPLES]
    return distinct[best]


def _windows(n_players: int, order: int) -> Members:
    """List every set of players within :data:`REACH` of each other, up to the order."""
    reach = min(REACH, n_players - 1)
    rows = [
        [i, *(i + step for step in steps)]
        for size in range(min(order - 1, reach) + 1)
        for steps in combinations(range(1, reach + 1), size)
        for i in range(n_players - max(steps, default=0))
    ]
    result = np.full((len(rows), reach + 1), n_players, dtype=np.int32)
    for at, row in enumerate(rows):
        result[at, : len(row)] = row
    return result


@lru_cache(maxsize=8)
def _expansion(n_players: int) -> tuple[list[tuple[int, ...]], IntArray, FloatArray]:
    r"""List the Fourier terms of all B_ij: sets, the pair that each belongs to, coefficients.

    With m = (1 - chi) / 2, 1 - m = (1 + chi) / 2 and T the subsets of {i, ..., j},
    :math:`B_{ij} = 2^{-(j-i+1)} \sum_T (-1)^{|T \cap \{i, j\}|} \chi_T`.
    """
    sets, owners, coefficients = [], [], []
    for pair, (i, j) in enumerate(neighbours(n_players).tolist()):
        window = range(i, j + 1)
        for size in range(len(window) + 1):
            for chosen in combinations(window, size):
                sets.append(chosen)
                owners.append(pair)
                coefficients.append((-1.0) ** ((i in chosen) + (j in chosen)) / 2 ** len(window))
    return sets, np.array(owners, dtype=np.int64), np.array(coefficients)


@dataclass(frozen=True, eq=False)
class Family:
    """Sets of players, with their Fourier coefficients under posteriors.

    Attributes:
        members: ``(s, d)``, distinct.
        n_players: n.
    """

    members: Members
    n_players: int

    @cached_property
    def packed(self) -> ByteArray:
        """The sets, packed."""
        return pack_members(self.members, self.n_players)

    @cached_property
    def orders(self) -> IntArray:
        """The sizes of the sets, ``(s,)``."""
        return np.asarray((self.members < self.n_players).sum(axis=1))

    @cached_property
    def adjacency(self) -> csr_array:
        """The Fourier coefficients of the B_ij at these sets, ``(s, pairs)``."""
        from scipy.sparse import csr_array

        rows = {packed.tobytes(): row for row, packed in enumerate(self.packed)}
        sets, owners, coefficients = _expansion(self.n_players)
        width = REACH + 1
        padded = np.full((len(sets), width), self.n_players, dtype=np.int32)
        for row, chosen in enumerate(sets):
            padded[row, : len(chosen)] = chosen
        listed = [rows.get(key.tobytes(), -1) for key in pack_members(padded, self.n_players)]
        row_of = np.array(listed, dtype=np.int64)
        present = row_of >= 0
        shape = (len(self.members), len(neighbours(self.n_players)))
        return csr_array((coefficients[present], (row_of[present], owners[present])), shape=shape)

    def means(self, masks: BoolArray, posteriors: list[Posterior]) -> list[FloatArray]:
        """The posterior means of F(S), ``(s, k)`` for each posterior."""
        k = posteriors[0].weights.shape[1]
        joined = np.hstack([p.weights for p in posteriors])
        products = analyse(masks, self.packed, joined)
        means = []
        for number, posterior in enumerate(posteriors):
            kernel = posterior.kernel
            columns = products[:, number * k : (number + 1) * k]
            mean = kernel.prior(self.orders, self.members)[:, None] * columns
            by_pair = posterior.inputs.adjacent.T @ posterior.weights
            means.append(mean + self.adjacency @ (kernel.adjacency[:, None] * by_pair))
        return means

    def covariance(self, masks: BoolArray, posterior: Posterior) -> FloatArray:
        """The posterior covariance of F over the sets, ``(s, s)``."""
        from scipy.linalg import solve_triangular

        kernel, adjacency = posterior.kernel, self.adjacency
        prior = kernel.prior(self.orders, self.members)
        shared = adjacency * kernel.adjacency[None, :]
        cross = characters(masks, self.packed) * prior + (shared @ posterior.inputs.adjacent.T).T
        half = solve_triangular(posterior.lower, cross, lower=True, check_finite=False)
        return np.asarray(np.diag(prior) + (shared @ adjacency.T).toarray() - half.T @ half)
