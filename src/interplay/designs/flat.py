r"""The flat design: complement pairs of masks whose sizes are drawn flat.

Shapley values and the indices of their family (SII, k-SII, STII, FSII) weigh all sizes alike: the
Shapley value is the mean over sizes k of the mean marginal contribution to a set of size k. Uniform
masks of n players keep n/2 of them give or take :math:`\sqrt{n}/2`, so they tell next to nothing of
small and of large sets. Here each size from 1 to n - 1 has as many masks as any other, as in
LeverageSHAP (Musco and Witter 2025, arXiv 2410.01917).

Only the odd part of a set function, (f(m) - f(not m)) / 2, enters its Shapley values. Each mask is
therefore followed by its complement, so that no even term is mistaken for an odd one.

Of the masks of a size, those are taken that tell the most beyond the pairs before. The odd part is
modelled as a Gaussian process with independent Fourier coefficients F(S) ~ N(0, w_|S| / C(n, |S|))
of one and of three players. The covariance of two masks depends only on e = sum_i x_i x'_i, with
x = chi_{i}(m):

.. math:: k(x, x') = \frac{w_1}{n} e + \frac{w_3}{\binom n3} \frac{e^3 - (3n - 2) e}{6} .

Each mask is the one of 20 of its size whose odd part has the largest predictive variance. No value
is read, and all sizes stay equally likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import comb

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.designs.base import PlainDesign, first_largest
from interplay.designs.strata import counts_left, new_mask
from interplay.fourier.masks import keys

FLAT = "flat"
_MOST_CHOSEN = 500
"""The most pairs that are chosen by what they tell. It hardly matters which come after them."""
_CANDIDATES = 20
_FIRST, _THIRD, _NOISE = 0.45, 0.03, 0.0035
"""Prior variance of all coefficients of one and of three players, and of the noise of a pair: what
:mod:`interplay.decoders.gaussian` expects before it sees any value."""


def flat_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Choose complement pairs of flat sizes, from 1 to n - 1.

    Among masks of one size every player is kept about equally often. For the same generator a
    larger design starts with the smaller one.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    if n_masks > (1 << n_players) - 2:
        raise ValueError(
            f"{n_masks} distinct masks beside both ends do not exist for {n_players} players; "
            f"there are {(1 << n_players) - 2}"
        )
    masks = np.array(list(islice(_pairs(n_players, rng), n_masks)), dtype=np.bool_)
    return PlainDesign(FLAT, masks.reshape(-1, n_players))


def _pairs(n_players: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """The masks of the design in their order, until all are listed."""
    # a pair of size k has masks of the sizes k and n - k
    sizes = [k for k in range(1, n_players // 2 + 1) for _ in range(1 if 2 * k == n_players else 2)]
    used = np.zeros((n_players // 2 + 1, n_players))
    seen: set[bytes] = set()
    left = counts_left(n_players)
    before = _Before(n_players)
    while sizes:
        exhausted: set[int] = set()
        for size in rng.permutation(sizes).tolist():
            if size in exhausted:
                continue
            mask = new_mask(size, n_players, seen, rng, used[size], any_left=left[size] > 0)
            if mask is None:
                exhausted.add(size)
                continue
            if before.n_pairs < _MOST_CHOSEN:
                others = [
                    new_mask(size, n_players, seen, rng, used[size] / 2)
                    for _ in range(_CANDIDATES - 1)
                ]
                candidates = np.array([mask, *(other for other in others if other is not None)])
                mask = candidates[before.take(candidates)]
            used[size] += mask
            for one in (mask, ~mask):
                seen.add(keys(one[None])[0])
                left[one.sum()] -= 1
                yield one
        sizes = [size for size in sizes if size not in exhausted]


class _Before:
    """The pairs that were chosen, and which other tells the most beyond them."""

    def __init__(self, n_players: int) -> None:
        self.n_pairs, self._n_players = 0, n_players
        self._signs = np.ones((_MOST_CHOSEN, n_players))
        self._inverse = np.zeros((_MOST_CHOSEN, _MOST_CHOSEN))
        """The inverse of the Cholesky factor of the covariance of the pairs chosen."""

    def take(self, candidates: BoolArray) -> int:
        """Choose the mask ``(c, n)`` whose odd part is the least known; return its row."""
        m, signs = self.n_pairs, np.where(candidates, -1.0, 1.0)
        inverse = self._inverse[:m, :m]
        along = inverse @ self._covariances(self._signs[:m] @ signs.T)
        prior = float(self._covariances(np.array(float(self._n_players))))
        variances = prior + _NOISE - (along**2).sum(axis=0)
        row = first_largest(variances)
        size = np.sqrt(variances[row])
        self._inverse[m, :m] = -along[:, row] @ inverse / size
        self._inverse[m, m] = 1.0 / size
        self._signs[m] = signs[row]
        self.n_pairs += 1
        return row

    def _covariances(self, e: FloatArray) -> FloatArray:
        n = self._n_players
        third = (e**3 - (3 * n - 2) * e) / (6 * max(comb(n, 3), 1))
        return np.asarray(_FIRST / n * e + _THIRD * third)
