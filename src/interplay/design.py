"""Designs: which ablations to make."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.masks import every_mask, uniform

GROWING = ("uniform", "spread")
"""Kinds of designs of which a part is a smaller one."""
_POOL = 20_000
_CANDIDATES = 20
_MOST_SPREAD = 1_000
"""From the next mask on it hardly matters which; the masks are uniform."""
_CONSTANT, _FIRST, _SECOND, _NOISE = 0.05, 1.0, 0.5, 0.3
"""Prior variance of the mean, of all players' and of all pairs' coefficients, and of the rest."""


class Design(Protocol):
    """The masks that a decoder asks for, with whatever it needs to know about their structure.

    Attributes:
        kind: ``"uniform"``, ``"spread"``, ``"table"`` (all 2^n masks), or the name of a coded
            design.
        masks: ``(m, n) bool``, distinct.
    """

    @property
    def kind(self) -> str:
        """See above."""
        ...

    @property
    def masks(self) -> BoolArray:
        """See above."""
        ...


@dataclass(frozen=True)
class PlainDesign:
    """Masks without structure (see :class:`Design`)."""

    kind: str
    masks: BoolArray


def uniform_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Distinct masks, each player kept with probability 1/2 (ProxySPEX, arXiv 2505.17495).

    For the same generator a larger design starts with the smaller one.
    """
    return PlainDesign("uniform", uniform(n_masks, n_players, rng))


def table_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """All 2^n masks; neither ``n_masks`` nor ``rng`` matters."""
    return PlainDesign("table", every_mask(n_players))


def spread_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Distinct masks that tell more than as many random ones (see :func:`spread`).

    For the same generator a larger design starts with the smaller one.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    if n_masks > 1 << n_players:
        return uniform_design(n_masks, n_players, rng)  # which says so
    pool = uniform(_POOL if n_players > 14 else 1 << n_players, n_players, rng)
    chosen = pool[spread(pool, min(n_masks, _MOST_SPREAD, len(pool)))]
    rest = uniform(n_masks - len(chosen), n_players, rng, exclude=chosen)
    return PlainDesign("spread", np.concatenate([chosen, rest]))


def spread(pool: BoolArray, n_masks: int) -> IntArray:
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

    Returns:
        Rows of the pool, ``(n_masks,)``; fewer are the first of more.
    """
    n_players = pool.shape[1]
    signs = np.where(pool, -1.0, 1.0)
    pairs = max(n_players * (n_players - 1), 1)

    def covariances(a: FloatArray, b: FloatArray) -> FloatArray:
        e = a @ b.T
        return np.asarray(_CONSTANT + _FIRST * e / n_players + _SECOND * (e**2 - n_players) / pairs)

    prior = _CONSTANT + _FIRST + _SECOND * (n_players > 1)
    waiting = deque(range(len(pool)))
    chosen = np.empty(n_masks, dtype=np.int64)
    inverse = np.zeros((n_masks, n_masks))  # of the Cholesky factor of those chosen
    for step in range(n_masks):
        some = [waiting.popleft() for _ in range(min(_CANDIDATES, len(waiting)))]
        known = chosen[:step]
        along = inverse[:step, :step] @ covariances(signs[known], signs[some])
        left = prior - (along**2).sum(axis=0)
        best = int(left.argmax())
        chosen[step] = some.pop(best)
        waiting.extend(some)
        size = np.sqrt(left[best] + _NOISE)
        inverse[step, :step] = -along[:, best] @ inverse[:step, :step] / size
        inverse[step, step] = 1.0 / size
    return chosen
