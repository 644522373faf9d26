r"""What the values of the full and of the empty input add to an index.

A sparse spectrum predicts the two ends of a game, f(all) and f(none), like any other mask, and its
error there may be large: the value of nothing is often far from everything else. Both ends are
measured, so the error is known: d_1 = f(all) - prediction, d_0 = f(none) - prediction. The function

.. math:: \hat f(m) + d_1\,[m = \text{all}] + d_0\,[m = \text{none}]

passes through both. An index is linear, so that its value is that of the spectrum plus d_1 and d_0
times the index of the two indicator functions, which depends on the size of the set only (their
Moebius transforms are [S = all] and (-1)^s):

====== ============================================ =============================================
index  of [m = all]                                 of [m = none]
====== ============================================ =============================================
SII    1 / (n - s + 1)                              (-1)^s / (n - s + 1)
SV     1 / n                                        -1 / n
k-SII  the SII of larger sets, by Bernoulli numbers likewise; 1 for the empty set
STII   0; 1 / C(n, k) for s = k                     (-1)^s; (-1)^k k / n for s = k
FSII   its weight W_{s,n} of the Moebius transform  sum_u C(n-s, u-s) (-1)^u W_{s,u}
====== ============================================ =============================================

SV, k-SII, STII and FSII are efficient: their values add up to f(all) - f(none), exactly. Indices
of uniform masks (Fourier, BII, BV, FBII) give the ends the weight 2^-(n-s), and are left as they
are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.fourier.indices import bernoulli, fsii_of_moebius
from interplay.fourier.interactions import Interactions
from interplay.fourier.sets import Members

LISTED = 5_000
"""If an index has at most so many sets, all are listed; else those of the spectrum, and singles."""

Ends = tuple[list[float], list[float]]


def _sii(n: int, k: int) -> tuple[list[Fraction], list[Fraction]]:
    full = [Fraction(1, n - s + 1) for s in range(k + 1)]
    return full, [(-1) ** s * value for s, value in enumerate(full)]


def _k_sii(n: int, k: int) -> tuple[list[Fraction], list[Fraction]]:
    def aggregated(sii: list[Fraction]) -> list[Fraction]:
        return [
            sum(
                (comb(n - s, u - s) * bernoulli(u - s) * sii[u] for u in range(s, k + 1)),
                Fraction(0),
            )
            for s in range(k + 1)
        ]

    full, empty = map(aggregated, _sii(n, k))
    full[0], empty[0] = Fraction(0), Fraction(1)
    return full, empty


def _stii(n: int, k: int) -> tuple[list[Fraction], list[Fraction]]:
    full = [Fraction(0)] * k + [Fraction(1, comb(n, k))]
    empty = [Fraction((-1) ** s) for s in range(k)] + [Fraction((-1) ** k * k, n)]
    return full, empty


def _fsii(n: int, k: int) -> tuple[list[Fraction], list[Fraction]]:
    weight = fsii_of_moebius(k)
    full = [weight(s, n) for s in range(k + 1)]
    empty = [
        sum((comb(n - s, u - s) * (-1) ** u * weight(s, u) for u in range(s, n + 1)), Fraction(0))
        for s in range(k + 1)
    ]
    return full, empty


_TABLES: dict[str, Callable[[int, int], tuple[list[Fraction], list[Fraction]]]] = {
    "SII": _sii,
    "SV": _sii,
    "k-SII": _k_sii,
    "STII": _stii,
    "FSII": _fsii,
}


@lru_cache(maxsize=64)
def of_indicators(index: str, n_players: int, order: int) -> Ends | None:
    """The index of [m = all] and of [m = none] for sets of 0 to ``order`` players.

    Up to order n, k-SII, STII and FSII are the Moebius transform.

    Args:
        index: the index.
        n_players: n.
        order: the largest order, at most n.

    Returns:
        Two lists of ``order + 1`` numbers; ``None`` for an index that gives the ends no weight.
    """
    if index not in _TABLES:
        return None
    if order == n_players and index in ("k-SII", "STII", "FSII"):
        return [0.0] * order + [1.0], [(-1.0) ** s for s in range(order + 1)]
    full, empty = _TABLES[index](n_players, order)
    return [float(value) for value in full], [float(value) for value in empty]


def by_size(
    index: str, n_players: int, order: int, full: FloatArray, empty: FloatArray
) -> FloatArray | None:
    """What the ends add to every set, by its size: ``(order + 1,)`` or ``(order + 1, k)``.

    ``None`` if they add nothing, to an index of uniform masks.
    """
    tables = of_indicators(index, n_players, min(order, n_players))
    if tables is None:
        return None
    of_full, of_empty = (np.array(table) for table in tables)
    return np.asarray(np.multiply.outer(of_full, full) + np.multiply.outer(of_empty, empty))


def all_are_listed(n_players: int, order: int) -> bool:
    """Whether all sets up to an order are listed."""
    return sum(comb(n_players, s) for s in range(order + 1)) <= LISTED


def through_ends(interactions: Interactions, full: FloatArray, empty: FloatArray) -> Interactions:
    """The interactions of a function that passes through both ends.

    Sets that are not listed have a value too, the same for all of one size (``rest``). All sets are
    listed if they are at most :data:`LISTED`.

    Args:
        interactions: of a spectrum.
        full: f(all) less the spectrum's prediction, ``()`` or ``(k,)``.
        empty: f(none) less the spectrum's prediction.
    """
    n, order = interactions.n_players, min(interactions.order, interactions.n_players)
    by_order = by_size(interactions.index, n, order, full, empty)
    if by_order is None:
        return interactions
    least = 1 if interactions.index == "SV" else 0
    all_listed = all_are_listed(n, order)
    orders = range(least, order + 1) if all_listed else range(least, min(order, 1) + 1)
    members = _with_all(interactions.members, n, orders)
    listed = _padded(interactions.members, n, members.shape[1])
    rows = {players.tobytes(): row for row, players in enumerate(listed)}
    at = np.array([rows.get(players.tobytes(), -1) for players in members], dtype=np.int64)
    values = np.zeros((len(members), *interactions.values.shape[1:]))
    values[at >= 0] = interactions.values[at[at >= 0]]
    values += by_order[(members < n).sum(axis=1)]
    rest = None if all_listed else by_order
    return replace(interactions, members=members, values=values, deviations=None, rest=rest)


def _padded(members: Members, n_players: int, width: int) -> Members:
    missing = max(width - members.shape[1], 0)
    padded = np.pad(members, ((0, 0), (0, missing)), constant_values=n_players)
    return np.ascontiguousarray(padded[:, :width])


def _with_all(members: Members, n_players: int, orders: range) -> Members:
    """The sets with all further ones of some orders, by order and then lexicographically."""
    width = max(members.shape[1], orders.stop - 1)
    blocks = [_padded(members, n_players, width)]
    for s in orders:
        sets = np.array(list(combinations(range(n_players), s)), dtype=np.int32)
        sets = sets.reshape(comb(n_players, s), s)
        blocks.append(_padded(sets, n_players, width))
    everything = np.unique(np.concatenate(blocks), axis=0)
    size: IntArray = (everything < n_players).sum(axis=1)
    return everything[np.argsort(size, kind="stable")]
