r"""Interaction indices, straight from a sparse Fourier spectrum.

Every index here is a weighted sum over supersets,

.. math:: I(S) = \sum_{T \supseteq S} W_{|S|,|T|} \, F(T),

so an index is a table of weights by the two orders, and one function (:func:`convert`) serves all.
Indices that are defined through the Moebius transform or through the Shapley interaction index
(SII) are composed on the tables:

.. math:: (W V)_{s,t} = \sum_{u=s}^{t} \binom{t-s}{u-s} W_{s,u} V_{u,t}

The tables are computed in exact rational arithmetic. The large alternating terms of the Moebius
transform therefore cancel before anything is rounded.

========== ==========================================================================
tag        definition (s = \|S\|, t = \|T\|, k = ``order``)
========== ==========================================================================
Fourier    F(S) itself
Moebius    (-2)^s sum_{T >= S} F(T)   (Harsanyi dividends)
Co-Moebius (-2)^s sum_{T >= S} (-1)^(t-s) F(T)   (at the full input; Grabisch et al. 2000)
BII        (-2)^s F(S)   (Banzhaf interaction index; Grabisch and Roubens 1999)
BV         BII of single players
SII        (-2)^s sum_{T >= S, t-s even} F(T) / (t-s+1)   (Shapley interaction index)
SV         SII of single players
k-SII      SII aggregated to an efficient index of order k   (Bord and von Luxburg 2023)
STII       Shapley-Taylor   (Sundararajan, Dhamdhere and Agarwal 2020)
FSII       faithful Shapley   (Tsai, Yeh and Ravikumar 2023)
FBII       faithful Banzhaf: F cut to t <= k, then Moebius   (Tsai, Yeh and Ravikumar 2023)
========== ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from interplay._types import FloatArray, whole
from interplay.extensions import INDICES, IndexName
from interplay.fourier.sets import Members, collapse

Weight = Callable[[int, int], Fraction]
"""A table of weights as a function of (s, t), s <= t."""

MAX_SETS = 20_000_000
"""The most (set, superset) pairs that one conversion writes out."""

_ZERO, _ONE = Fraction(0), Fraction(1)


def _fourier(s: int, t: int) -> Fraction:
    return _ONE if s == t else _ZERO


def _moebius(s: int, t: int) -> Fraction:
    return Fraction((-2) ** s)


def _co_moebius(s: int, t: int) -> Fraction:
    """The discrete derivative f(all) - f(all without i) - f(all without j) + ... of a set.

    As a sum over supersets of the Moebius transform it is that of g(R) = f(all without R), times
    (-1)^s: removal effects, with the sign of what the players add by being there.
    """
    return Fraction((-2) ** s * (-1) ** (t - s))


def _bii(s: int, t: int) -> Fraction:
    return Fraction((-2) ** s) if s == t else _ZERO


def _sii(s: int, t: int) -> Fraction:
    return Fraction((-2) ** s, t - s + 1) if (t - s) % 2 == 0 else _ZERO


def _compose(outer: Weight, inner: Weight) -> Weight:
    def weight(s: int, t: int) -> Fraction:
        between = (comb(t - s, u - s) * outer(s, u) * inner(u, t) for u in range(s, t + 1))
        return sum(between, _ZERO)

    return weight


@lru_cache
def bernoulli(j: int) -> Fraction:
    """The Bernoulli number B_j, with B_1 = -1/2."""
    if j == 0:
        return _ONE
    lower: Fraction = sum((comb(j + 1, i) * bernoulli(i) for i in range(j)), _ZERO)
    return -lower / (j + 1)


def _k_sii(k: int) -> Weight:
    """Distribute the SII of larger sets by Bernoulli numbers; the empty set keeps f(0)."""
    from_sii = _compose(lambda s, u: bernoulli(u - s) if u <= k else _ZERO, _sii)
    return lambda s, t: _ONE if s == 0 else from_sii(s, t)


def _stii(k: int) -> Weight:
    def from_moebius(s: int, u: int) -> Fraction:
        if s == k:
            return Fraction(1, comb(u, k))
        return _fourier(s, u)

    return _compose(from_moebius, _moebius)


def fsii_of_moebius(k: int) -> Weight:
    """The weights of FSII as a sum over the Moebius transform of supersets."""

    def from_moebius(s: int, u: int) -> Fraction:
        if u <= k:
            return _fourier(s, u)
        if s == 0:
            return _ZERO
        sign = -1 if (k - s) % 2 else 1
        share = Fraction(s, k + s) * comb(k, s)
        return sign * share * Fraction(comb(u - 1, k), comb(u + k - 1, k + s))

    return from_moebius


def _fsii(k: int) -> Weight:
    return _compose(fsii_of_moebius(k), _moebius)


def _fbii(k: int) -> Weight:
    return lambda s, t: _moebius(s, t) if t <= k else _ZERO


@dataclass(frozen=True)
class Index:
    """An interaction index: its table of weights.

    Attributes:
        weight: ``(k)`` to the weights W as a function of (s, t), s <= t; k is the requested largest
            order, on which some indices depend.
        single: whether it values single players only. Then k is always 1 and the empty set has no
            value.
        meaning: what a value says, in a sentence, for reports; empty: nothing is said.
    """

    weight: Callable[[int], Weight]
    single: bool = False
    meaning: str = ""


def _plain(weight: Weight) -> Callable[[int], Weight]:
    """Wrap weights that do not depend on k."""
    return lambda k: weight


_TOGETHER = "Positive: together they give more than the sum of each alone. Negative: less."
FOURIER = Index(
    _plain(_fourier), meaning="How the score swings with the parity of the players that are kept."
)
MOEBIUS = Index(
    _plain(_moebius), meaning=f"What players add to nothing, beyond their parts. {_TOGETHER}"
)
CO_MOEBIUS = Index(
    _plain(_co_moebius),
    meaning="Seen from the intact input: of one player what is lost without it, of a set what its "
    "joint removal costs less than the single ones. Negative: removing all costs more than that.",
)
BII = Index(
    _plain(_bii),
    meaning=f"The mean joint effect, while about half of the rest is there. {_TOGETHER}",
)
BV = Index(
    _plain(_bii), single=True, meaning="The mean effect, while about half of the rest is there."
)
SII = Index(
    _plain(_sii), meaning=f"The mean joint effect, while any number of others is there. {_TOGETHER}"
)
SV = Index(
    _plain(_sii),
    single=True,
    meaning="The fair share of what all players do together; the shares add up.",
)
K_SII = Index(_k_sii, meaning=f"Mean joint effects, corrected so that they add up. {_TOGETHER}")
STII = Index(
    _stii,
    meaning=f"Joint effects on nothing; sets of the largest size take what is left. {_TOGETHER}",
)
FSII = Index(
    _fsii, meaning=f"The best description by sets of up to this size, all sizes alike. {_TOGETHER}"
)
FBII = Index(
    _fbii, meaning=f"The best description by sets of up to this size, all masks alike. {_TOGETHER}"
)


def get_index(name: IndexName | str) -> Index:
    """Look up the index of that name, in upper or lower case, or of that alias.

    Raises:
        ValueError: there is none; the message lists those there are.
        TypeError: an installed package gives the name to something else.
    """
    index = INDICES[INDICES.named(name)]
    if not isinstance(index, Index):
        raise TypeError(
            f"the entry point {name!r} of {INDICES.group} names {index!r}, which is no Index; "
            "correct it in the package that declares it, or remove that package"
        )
    return index


def weights(
    index: IndexName | str, order: int, sizes: Iterable[int]
) -> dict[tuple[int, int], float]:
    """Compute the weights W of an index that are not zero, by (s, t).

    Args:
        index: one of :data:`interplay.extensions.INDICES`.
        order: the largest s, and the k of indices that are defined with one.
        sizes: the values of t.
    """
    definition = get_index(index)
    weight = definition.weight(order)
    table = {
        (s, t): float(weight(s, t))
        for t in sizes
        for s in range(1 if definition.single else 0, min(order, t) + 1)
    }
    return {orders: value for orders, value in table.items() if value != 0.0}


def convert(
    sets: Members,
    coefficients: FloatArray,
    n_players: int,
    index: IndexName | str,
    order: int | None = None,
) -> tuple[Members, FloatArray, int]:
    """Convert a sparse spectrum to interactions under an index.

    Only subsets of the sets in the support are enumerated, never all subsets of the players.

    Args:
        sets: the support as members, ``(s, d)``.
        coefficients: ``(s,)`` or ``(s, k)``.
        n_players: how many players there are.
        index: one of :data:`interplay.extensions.INDICES`.
        order: the largest order. ``None``: the largest order in the spectrum. For ``k-SII``,
            ``STII``, ``FSII`` and ``FBII`` it is the k of their definition; for ``SV`` and ``BV``
            it is always 1.

    Returns:
        Members of the interactions (the empty set among them where the index defines it), sorted
        by order and then lexicographically; their values; the order that was used.

    Raises:
        ValueError: unknown index, an order that is no whole number from 1 on, or more sets than
            :data:`MAX_SETS`.
    """
    single = get_index(index).single
    if order is not None and whole("order", order) < 1:
        raise ValueError(f"order={order} is below 1; interactions start at order 1 (one player)")
    order_of = (sets < n_players).sum(axis=1)
    largest = int(order_of.max(initial=0))
    k = max(1, largest) if order is None else min(order, n_players)
    if single:
        k = 1
    counts = np.bincount(order_of, minlength=largest + 1).tolist()
    table = weights(index, k, np.flatnonzero(counts).tolist())
    n_pairs = sum(counts[t] * comb(t, s) for s, t in table)
    if n_pairs > MAX_SETS:
        raise ValueError(
            f"index={index!r} at order={k} would write out {n_pairs:,} subsets of a spectrum whose "
            f"largest order is {largest}, more than {MAX_SETS:,}; ask for a smaller order, or "
            "truncate the spectrum first"
        )
    return *superset_sums(sets, coefficients, n_players, table), k


def superset_sums(
    sets: Members, coefficients: FloatArray, n_players: int, table: Mapping[tuple[int, int], float]
) -> tuple[Members, FloatArray]:
    """Sum coefficients over supersets, I(S) = sum over T >= S of W(s, t) F(T).

    Args:
        sets: the support as members, ``(s, d)``.
        coefficients: ``(s,)`` or ``(s, k)``.
        n_players: how many players there are.
        table: the weights W by the orders (s, t); those that are not there are zero.

    Returns:
        Members of the sets S, sorted by order and then lexicographically, and their values.
    """
    order_of = (sets < n_players).sum(axis=1)
    if not table:
        return sets[:0], coefficients[:0]
    width = max(s for s, _ in table)
    set_blocks: list[Members] = []
    value_blocks: list[FloatArray] = []
    for (s, t), value in table.items():
        rows = np.flatnonzero(order_of == t)
        chosen = np.array(list(combinations(range(t), s)), dtype=np.int64).reshape(comb(t, s), s)
        subsets = np.full((len(rows), len(chosen), width), n_players, dtype=np.int32)
        subsets[:, :, :s] = sets[rows][:, chosen]
        set_blocks.append(subsets.reshape(len(rows) * len(chosen), width))
        value_blocks.append(np.repeat(value * coefficients[rows], len(chosen), axis=0))
    return collapse(np.concatenate(set_blocks), np.concatenate(value_blocks), n_players)
