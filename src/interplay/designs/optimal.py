r"""The optimal design: each mask tells the most beyond those before it.

The values are modelled as a Gaussian process, with independent prior Fourier coefficients
:math:`F(S) \sim N(0, v_{|S|})`. The next mask is the candidate whose value has the
largest predictive variance given the values at the masks so far. That variance depends on the masks
only, so the design is settled before the first evaluation.

The design has three parts. A smaller design from the same generator is the beginning of a larger
one.

1. Blocks of n masks that distinguish single players, each followed by its complement
   (:func:`foldover`).
2. Masks that distinguish pairs, each the best of 20 candidates (:func:`most_informative`).
3. From :data:`MAX_OPTIMAL` masks on, uniform masks.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.designs.base import PlainDesign, first_largest, uniform_design
from interplay.designs.measures import UNIFORM, Measure
from interplay.fourier.masks import TABLE_LIMIT, uniform

MAX_OPTIMAL = 1_000
"""The most masks that are chosen. Which masks come after them hardly matters: they are uniform."""
_POOL = 20_000
"""Uniform masks to choose from, where the table of all masks is too large."""
_CANDIDATES = 20
_STARTS = 400
"""Random starts of an exchange, times the number of players."""
_CONSTANT, _FIRST, _SECOND, _NOISE = 0.05, 1.0, 0.5, 0.3
"""Prior variance of the mean, of all players' and of all pairs' coefficients, and of the noise."""


def design_under(
    measure: Measure, n_masks: int, n_players: int, rng: np.random.Generator
) -> PlainDesign:
    """The optimal design under ``"uniform"``, and that of the measure under any other."""
    if measure == UNIFORM:
        return optimal_design(n_masks, n_players, rng)
    return measure.design(n_masks, n_players, rng)


def optimal_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Choose distinct masks that tell more than as many uniform ones (see the module).

    For the same generator a larger design starts with the smaller one.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    if n_masks > 1 << n_players:
        return uniform_design(n_masks, n_players, rng)  # raises the error
    chosen = foldover(n_masks, n_players, rng)
    n_more = min(n_masks, MAX_OPTIMAL) - len(chosen)
    if n_more > 0:
        n_pool = (1 << n_players) - len(chosen) if n_players <= TABLE_LIMIT else _POOL
        pool = uniform(n_pool, n_players, rng, exclude=chosen)
        rows = most_informative(pool, min(n_more, n_pool), known=chosen)
        chosen = np.concatenate([chosen, pool[rows]])
    further = uniform(n_masks - len(chosen), n_players, rng, exclude=chosen)
    return PlainDesign("optimal", np.concatenate([chosen, further]))


def n_chosen(n_players: int) -> int:
    """How many masks of a large design are chosen; from there on they are uniform."""
    return max(MAX_OPTIMAL, 2 * n_players * _n_blocks(n_players))


def _n_blocks(n_players: int) -> int:
    return max(1, n_players // 16)


def foldover(n_masks: int, n_players: int, rng: np.random.Generator) -> BoolArray:
    r"""Build blocks of n masks that distinguish players, each followed by its complement.

    The prior has independent coefficients :math:`F(\{i\}) \sim N(0, v_1)`; everything else is
    noise. A is the posterior covariance of these coefficients given the masks so far. With
    x = chi_{i}(m), the value at a further mask m has the variance :math:`x^\top A x`.

    Each mask of a block maximises that variance by coordinate exchange, the usual search for
    D-optimal designs (Meyer and Nachtsheim 1995). It starts from a random mask and flips one player
    after another, each time the one that raises the variance most, until no flip raises it. Where
    players are few there are several starts, and the best result is taken. A block of n comes out
    nearly orthogonal.

    The complement of a block separates odd orders from even ones, so that no pair is mistaken for a
    player (the foldover of Box and Wilson 1951). It does not distinguish pairs from each other.
    There are max(1, floor(n / 16)) blocks. Together with their complements they are about n^2 / 8
    masks, a quarter of the number of pairs.

    Args:
        n_masks: the most masks to return.
        n_players: n.
        rng: draws the masks.

    Returns:
        ``(m, n)``, distinct; m is less than ``n_masks`` where the blocks end. A smaller result is
        the beginning of a larger one.
    """
    covariance = np.eye(n_players) * _FIRST / n_players
    n_starts = max(1, _STARTS // n_players)
    chosen: dict[bytes, BoolArray] = {}
    for _ in range(_n_blocks(n_players)):
        block: list[FloatArray] = []
        for step in range(2 * n_players):
            if len(chosen) == n_masks:
                break
            if step < n_players:
                optima = [_exchanged(covariance, rng) for _ in range(n_starts)]
                x = optima[first_largest(np.array([x @ covariance @ x for x in optima]))]
                block.append(x)
            else:
                x = -block[step - n_players]
            along = covariance @ x
            covariance -= np.outer(along, along / (x @ along + _SECOND + _NOISE))
            chosen.setdefault((x < 0).tobytes(), x < 0)
    return np.array(list(chosen.values()), dtype=np.bool_).reshape(-1, n_players)


def _exchanged(covariance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw random signs x and flip one after another while x^T A x grows, ``(n,)``."""
    x = np.where(rng.random(len(covariance)) < 0.5, -1.0, 1.0)
    along, diagonal = covariance @ x, np.diagonal(covariance)
    while True:
        gain = diagonal - x * along
        best = first_largest(gain)
        if gain[best] <= 1e-9 * diagonal[best]:
            return x
        x[best] = -x[best]
        along += 2 * x[best] * covariance[best]


def most_informative(pool: BoolArray, n_masks: int, known: BoolArray) -> IntArray:
    r"""Choose masks of a pool, each the one of 20 candidates with the largest predictive variance.

    The prior has independent coefficients :math:`F(S) \sim N(0, v_{|S|})` of all sets of at most
    two players. The covariance of two values then depends only on e = sum_i x_i x'_i, with
    x = chi_{i}(m),

    .. math:: k(x, x') = v_0 + v_1 e + v_2 \tfrac{e^2 - n}{2}.

    The variance is that of the value at a candidate, given the values at the masks before it. Its
    maximum balances players and pairs, as a factorial design of experiments does, while each mask
    stays about as uniform as the pool. More candidates would favour masks that keep uncommonly many
    or few players, which tell less about uniform ones. No value is read.

    Args:
        pool: ``(p, n)``, in random order.
        n_masks: how many to choose, at most p.
        known: the masks chosen before, ``(k, n)``.

    Returns:
        Rows of the pool, ``(n_masks,)``. A smaller result is the beginning of a larger one.
    """
    informed = Informed(known, n_masks)
    signs = np.where(pool, -1.0, 1.0)
    waiting = deque(range(len(pool)))
    chosen = np.arange(n_masks)
    for step in range(n_masks):
        candidates = [waiting.popleft() for _ in range(min(_CANDIDATES, len(waiting)))]
        best = informed.take(signs[candidates])
        chosen[step] = candidates.pop(best)
        waiting.extend(candidates)
    return chosen


class Informed:
    """Masks that were chosen, and which other tells the most beyond them.

    Args:
        known: the masks chosen before, ``(k, n)``.
        n_more: how many more will be.
    """

    def __init__(self, known: BoolArray, n_more: int) -> None:
        self.n_players = known.shape[1]
        self._size = len(known)
        total = self._size + n_more
        self._signs = np.ones((total, self.n_players))
        self._signs[: self._size] = np.where(known, -1.0, 1.0)
        self._inverse = np.zeros((total, total))
        """The inverse of the Cholesky factor of the covariance of the masks chosen."""
        signs = self._signs[: self._size]
        before = self._covariances(signs, signs) + _NOISE * np.eye(self._size)
        self._inverse[: self._size, : self._size] = np.linalg.inv(np.linalg.cholesky(before))

    def take(self, candidates: FloatArray) -> int:
        """Choose the candidate with the largest predictive variance.

        Args:
            candidates: chi_{i} of each, ``(c, n)``.

        Returns:
            Its row.
        """
        step, inverse = self._size, self._inverse
        prior = _CONSTANT + _FIRST + _SECOND * (self.n_players > 1)
        along = inverse[:step, :step] @ self._covariances(self._signs[:step], candidates)
        variance = prior - (along**2).sum(axis=0)
        best = first_largest(variance)
        size = np.sqrt(variance[best] + _NOISE)
        inverse[step, :step] = -along[:, best] @ inverse[:step, :step] / size
        inverse[step, step] = 1.0 / size
        self._signs[step] = candidates[best]
        self._size += 1
        return best

    def _covariances(self, a: FloatArray, b: FloatArray) -> FloatArray:
        e = a @ b.T
        pairs = max(self.n_players * (self.n_players - 1), 1)
        first = _CONSTANT + _FIRST * e / self.n_players
        return np.asarray(first + _SECOND * (e**2 - self.n_players) / pairs)
