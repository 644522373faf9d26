"""Designs: which ablations to make."""

from __future__ import annotations

from collections import deque

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.designs.base import PlainDesign, uniform_design
from interplay.fourier.masks import TABLE_LIMIT, uniform

_POOL = 20_000
_CANDIDATES = 20
MOST_SPREAD = 1_000
"""From the next mask on it hardly matters which; the masks are uniform."""
_STARTS = 400
"""Random starts of an exchange, times the number of players."""
_CONSTANT, _FIRST, _SECOND, _NOISE = 0.05, 1.0, 0.5, 0.3
"""Prior variance of the mean, of all players' and of all pairs' coefficients, and of the rest."""


def spread_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Distinct masks that tell more than as many random ones.

    The first tell players apart (:func:`foldover`), those after them pairs (:func:`spread`), and
    from a thousand on they are uniform. For the same generator a larger design starts with the
    smaller one.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    if n_masks > 1 << n_players:
        return uniform_design(n_masks, n_players, rng)  # which says so
    chosen = foldover(n_masks, n_players, rng)
    wanted = min(n_masks, MOST_SPREAD) - len(chosen)
    if wanted > 0:
        others = (1 << n_players) - len(chosen) if n_players <= TABLE_LIMIT else _POOL
        pool = uniform(others, n_players, rng, exclude=chosen)
        some = spread(pool, min(wanted, others), known=chosen)
        chosen = np.concatenate([chosen, pool[some]])
    rest = uniform(n_masks - len(chosen), n_players, rng, exclude=chosen)
    return PlainDesign("spread", np.concatenate([chosen, rest]))


def foldover(n_masks: int, n_players: int, rng: np.random.Generator) -> BoolArray:
    r"""Masks that tell players apart: blocks of n, each followed by its complement.

    With independent coefficients :math:`F(\{i\}) \sim N(0, v_1)` and all else as noise, A is the
    posterior covariance of the coefficients given the masks so far, and
    :math:`x^\top A x`, x = chi_{i}(m), the variance of the value at a further mask. That one is a
    random mask in which one player after another was turned over, the best one each time, as
    long as that raised the variance (the coordinate exchange of D-optimal designs, Meyer and
    Nachtsheim 1995); of several starts the best, where players are few and it tells. A block of n
    comes to be nearly orthogonal. Its complement then separates odd orders from even ones, so that
    no pair can be taken for a player (the foldover of Box and Wilson 1951). Pairs themselves are
    not told apart so; there are max(1, floor(n / 16)) blocks, which together with their complements
    are about n^2 / 8 masks, a quarter of the pairs.

    Args:
        n_masks: at most so many.
        n_players: n.
        rng: draws the masks.

    Returns:
        ``(m, n)``, distinct; m is less than ``n_masks`` where the blocks end. Fewer are the first
        of more.
    """
    left = np.eye(n_players) * _FIRST / n_players
    n_starts = max(1, _STARTS // n_players)
    chosen: dict[bytes, BoolArray] = {}
    for _ in range(max(1, n_players // 16)):
        block: list[FloatArray] = []
        for step in range(2 * n_players):
            if len(chosen) == n_masks:
                break
            if step < n_players:
                tried = [_exchanged(left, rng) for _ in range(n_starts)]
                x = max(tried, key=lambda x: float(x @ left @ x))
                block.append(x)
            else:
                x = -block[step - n_players]
            along = left @ x
            left -= np.outer(along, along / (x @ along + _SECOND + _NOISE))
            chosen.setdefault((x < 0).tobytes(), x < 0)
    return np.array(list(chosen.values()), dtype=np.bool_).reshape(-1, n_players)


def _exchanged(covariance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Random signs x, one after another turned over while x^T A x grows, ``(n,)``."""
    x = np.where(rng.random(len(covariance)) < 0.5, -1.0, 1.0)
    along, own = covariance @ x, np.diagonal(covariance)
    while True:
        gain = own - x * along
        best = int(gain.argmax())
        if gain[best] <= 1e-9 * own[best]:
            return x
        x[best] = -x[best]
        along += 2 * x[best] * covariance[best]


def spread(pool: BoolArray, n_masks: int, known: BoolArray) -> IntArray:
    r"""Masks of a pool, each of them the one of 20 that the earlier say least about.

    With independent coefficients :math:`F(S) \sim N(0, v_{|S|})` of all sets of at most two players
    the covariance of two values depends on e = sum_i x_i x'_i only, x = chi_{i}(m),

    .. math:: k(x, x') = v_0 + v_1 e + v_2 \tfrac{e^2 - n}{2},

    and the next mask is the one with the largest variance given the values at those before: players
    and pairs come to be balanced, as in a factorial design of experiments, while each mask stays
    about as uniform as the pool. With more candidates the masks with uncommonly many or few players
    would win, which say less about uniform ones. No value is looked at.

    Args:
        pool: ``(p, n)``, in random order.
        n_masks: how many, at most p.
        known: the earlier ones that are there already, ``(k, n)``.

    Returns:
        Rows of the pool, ``(n_masks,)``; fewer are the first of more.
    """
    n_players = pool.shape[1]
    n_known, total = len(known), len(known) + n_masks
    signs = np.where(np.concatenate([known, pool]), -1.0, 1.0)
    pairs = max(n_players * (n_players - 1), 1)

    def covariances(a: FloatArray, b: FloatArray) -> FloatArray:
        e = a @ b.T
        return np.asarray(_CONSTANT + _FIRST * e / n_players + _SECOND * (e**2 - n_players) / pairs)

    prior = _CONSTANT + _FIRST + _SECOND * (n_players > 1)
    waiting = deque(range(n_known, len(signs)))
    chosen = np.arange(total)
    inverse = np.zeros((total, total))  # of the Cholesky factor of those chosen
    before = covariances(signs[:n_known], signs[:n_known]) + _NOISE * np.eye(n_known)
    inverse[:n_known, :n_known] = np.linalg.inv(np.linalg.cholesky(before))
    for step in range(n_known, total):
        some = [waiting.popleft() for _ in range(min(_CANDIDATES, len(waiting)))]
        earlier = chosen[:step]
        along = inverse[:step, :step] @ covariances(signs[earlier], signs[some])
        left = prior - (along**2).sum(axis=0)
        best = int(left.argmax())
        chosen[step] = some.pop(best)
        waiting.extend(some)
        size = np.sqrt(left[best] + _NOISE)
        inverse[step, :step] = -along[:, best] @ inverse[:step, :step] / size
        inverse[step, step] = 1.0 / size
    return chosen[n_known:] - n_known
