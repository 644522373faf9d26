"""The Fourier terms of a posterior: candidate sets, their coefficients and covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular
from scipy.sparse import csr_array

from interplay._types import BoolArray, ByteArray, FloatArray, IntArray
from interplay.decoders.gaussian.kernel import REACH, Inputs, Kernel, neighbours
from interplay.decoders.gaussian.learn import factor
from interplay.fourier.characters import characters
from interplay.fourier.sets import Members, collapse, pack_members

_MOST_PAIRS = 60_000
_MOST_TRIPLES = 20_000
_MOST_QUADRUPLES = 4_000
_TRIPLE_WORK = 2e10
"""The most multiplications that the search for triples may take."""
_GROWN = 1_000
"""Triples that quadruples are grown from."""
_NEAR = 32
"""The most relevant players, with which triples grow to quadruples."""
_CELLS_AT_ONCE = 30_000_000


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
        lower = factor(kernel(inputs, inputs), kernel.noise)
        return cls(kernel, inputs, lower, cho_solve((lower, True), values))

    @cached_property
    def _precision(self) -> FloatArray:
        half, _ = lapack.dtrtri(self.lower, lower=True)  # the inverse is half^T half
        return np.asarray(np.einsum("ij,ij->j", half, half))

    def leave_one_out(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Predict each mask without its value, ``(m, k)``, with the predictive variance, ``(m,)``.

        In closed form these are y_i - a_i / P_ii and 1 / P_ii, where P is the inverse of K + s^2 I
        and a = P y.
        """
        return values - self.weights / self._precision[:, None], 1.0 / self._precision

    def variance(self, inputs: Inputs) -> FloatArray:
        """The predictive variance at each of h other masks, with the noise, ``(h,)``."""
        prior = np.diagonal(self.kernel(inputs, inputs)) + self.kernel.noise
        cross = self.kernel(self.inputs, inputs)
        return np.asarray(
            prior - (solve_triangular(self.lower, cross, lower=True) ** 2).sum(axis=0)
        )


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
    signs, weights = first.inputs.signs, first.weights
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
            grown = _grow(chosen[triples[:_GROWN]], relevant, n)
            families.append(_strongest(masks, grown, weights, relevance, _MOST_QUADRUPLES))
    width = max(sets.shape[1] for sets in families)
    padded = [
        np.pad(np.sort(sets, axis=1), ((0, 0), (0, width - sets.shape[1])), constant_values=n)
        for sets in families
    ]
    joined = np.concatenate(padded).astype(np.int32)
    return collapse(joined, np.zeros(len(joined)), n)[0]


def _triples(signs: FloatArray, weights: FloatArray, relevance: FloatArray) -> IntArray:
    """Find the strongest triples of columns, strongest first, ``(t, 3)``."""
    n = signs.shape[1]
    strength = np.zeros((n, n, n))
    for column in weights.T:
        for i in range(n - 2):
            block = signs[:, i + 1 :]
            strength[i, i + 1 :, i + 1 :] += (
                (block * (column * signs[:, i])[:, None]).T @ block
            ) ** 2
    i, j, k = np.array(list(combinations(range(n), 3)), dtype=np.int64).T
    size = np.sqrt(strength[i, j, k]) * relevance[i] * relevance[j] * relevance[k]
    best = np.argsort(-size, kind="stable")[:_MOST_TRIPLES]
    return np.stack([i[best], j[best], k[best]], axis=1)


def _grow(sets: IntArray, players: IntArray, n_players: int) -> Members:
    """Add each player to each set that lacks it; the result is distinct."""
    both = np.concatenate(
        [np.repeat(sets, len(players), axis=0), np.tile(players, len(sets))[:, None]], axis=1
    )
    both = np.sort(both, axis=1)
    new = (np.diff(both, axis=1) > 0).all(axis=1)
    return collapse(both[new].astype(np.int32), np.zeros(int(new.sum())), n_players)[0]


def _strongest(
    masks: BoolArray, sets: Members, weights: FloatArray, relevance: FloatArray, count: int
) -> Members:
    """Take the sets with the largest expected coefficients."""
    products = correlations(masks, pack_members(sets, masks.shape[1]), weights)
    size = np.sqrt((products**2).sum(axis=1)) * relevance[sets].prod(axis=1)
    return sets[np.argsort(-size, kind="stable")[:count]]


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


def correlations(masks: BoolArray, packed: ByteArray, weights: FloatArray) -> FloatArray:
    """Compute sum_m chi_S(m) weights[m], ``(s, k)``, in blocks of bounded memory."""
    result = np.empty((len(packed), weights.shape[1]))
    step = max(1, _CELLS_AT_ONCE // len(masks))
    for start in range(0, len(packed), step):
        block = packed[start : start + step]
        result[start : start + step] = characters(masks, block).T @ weights
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
        products = correlations(masks, self.packed, joined)
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
        kernel, adjacency = posterior.kernel, self.adjacency
        prior = kernel.prior(self.orders, self.members)
        shared = adjacency * kernel.adjacency[None, :]
        cross = characters(masks, self.packed) * prior + (shared @ posterior.inputs.adjacent.T).T
        half = solve_triangular(posterior.lower, cross, lower=True, check_finite=False)
        return np.asarray(np.diag(prior) + (shared @ adjacency.T).toarray() - half.T @ half)
