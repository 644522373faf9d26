"""Masks stratified by size: distinct masks whose sizes follow a law, each size balanced by itself.

The laws here are exchangeable: all masks of one size are equally likely, so that a law of masks is
a law of sizes. Masks of one size may run out: with each of 30 players kept with probability 0.97,
two in three masks that are not the full one lack a single player, and there are 30 of these. What
is drawn then follows the law among the sizes that have masks left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, islice
from math import comb, sqrt

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.fourier.masks import keys

_TRIES = 20
_LISTED = 5_000
"""Sizes with at most so many sets are listed when random draws find no new one."""
_GOLDEN = (sqrt(5) - 1) / 2
"""The steps of a sequence whose every beginning is spread evenly over 0 to 1 (Weyl's)."""


def by_law(
    law: FloatArray,
    n_masks: int,
    n_players: int,
    rng: np.random.Generator,
    exclude: BoolArray | None = None,
) -> BoolArray:
    """Draw distinct masks whose sizes follow a law, ``(n_masks, n)``.

    Fewer are returned if there are no more of the sizes that the law has. For the same generator
    the masks for a smaller number are the first of a larger one.

    Args:
        law: the probability of each size, ``(n + 1,)``.
        n_masks: how many masks.
        n_players: n.
        rng: draws them.
        exclude: masks not to draw, ``(k, n)``.
    """
    return _drawn(law, n_masks, n_players, rng, exclude, rng.random, None)


def stratified(
    law: FloatArray, n_masks: int, n_players: int, rng: np.random.Generator
) -> BoolArray:
    """Choose distinct masks for a fit, ``(n_masks, n)``: as :func:`by_law`, but balanced.

    In every beginning, sizes are about as frequent as the law says, and among masks of one size
    every player is kept about equally often. There are no complement pairs: the complement of a
    mask that keeps most players is nothing that such a law draws.
    """
    start = float(rng.random())
    places = ((start + step * _GOLDEN) % 1.0 for step in range(1 << 62))
    used = np.zeros((n_players + 1, n_players))
    return _drawn(law, n_masks, n_players, rng, None, lambda: next(places), used)


def _drawn(
    law: FloatArray,
    n_masks: int,
    n_players: int,
    rng: np.random.Generator,
    exclude: BoolArray | None,
    place: Callable[[], float],
    used: FloatArray | None,
) -> BoolArray:
    masks = _masks(law, n_players, rng, exclude, place, used)
    drawn = list(islice(masks, n_masks))
    return np.array(drawn, dtype=np.bool_).reshape(len(drawn), n_players)


def _masks(
    law: FloatArray,
    n_players: int,
    rng: np.random.Generator,
    exclude: BoolArray | None,
    place: Callable[[], float],
    used: FloatArray | None,
) -> Iterator[BoolArray]:
    """Masks until there are no more.

    Args:
        law: the probability of each size.
        n_players: n.
        rng: draws the masks of a size.
        exclude: masks not to draw.
        place: gives the next place on the cumulative law, in [0, 1).
        used: how often each player was kept in masks of each size, which is balanced, ``(n + 1,
            n)``; ``None``: masks are independent.
    """
    seen = set() if exclude is None else set(keys(exclude))
    left = counts_left(n_players, exclude)
    cumulative = np.cumsum(np.where(left > 0, law, 0.0))
    while cumulative[-1] > 0.0:
        last = int(np.searchsorted(cumulative, cumulative[-1]))
        size = min(int(np.searchsorted(cumulative, place() * cumulative[-1], side="right")), last)
        mask = new_mask(size, n_players, seen, rng, None if used is None else used[size])
        assert mask is not None, "a size that has masks left has none"
        if used is not None:
            used[size] += mask
        seen.add(keys(mask[None])[0])
        left[size] -= 1
        if left[size] == 0:
            cumulative = np.cumsum(np.where(left > 0, law, 0.0))
        yield mask


def counts_left(n_players: int, exclude: BoolArray | None) -> IntArray:
    """How many masks of each size are not excluded; of the ends none. Large counts are cut off."""
    most = np.iinfo(np.int32).max
    left = np.array([min(comb(n_players, k), most) for k in range(n_players + 1)], dtype=np.int64)
    if exclude is not None and len(exclude):
        left -= np.bincount(exclude.sum(axis=1), minlength=n_players + 1)
    left[[0, -1]] = 0
    return np.maximum(left, 0)


def new_mask(
    size: int,
    n_players: int,
    seen: set[bytes],
    rng: np.random.Generator,
    used: FloatArray | None = None,
    any_left: bool = True,
) -> BoolArray | None:
    """A mask of a size that is not among those seen; ``None`` if there is none.

    Args:
        size: how many players it keeps.
        n_players: n.
        seen: keys of masks.
        rng: draws it.
        used: how often each player was kept, ``(n,)``; the first try keeps those kept least.
        any_left: ``False``: all masks of that size were seen.
    """
    for _ in range(_TRIES):
        order = rng.random(n_players) + (0.0 if used is None else used)
        mask = np.zeros(n_players, dtype=np.bool_)
        mask[np.argsort(order, kind="stable")[:size]] = True
        if keys(mask[None])[0] not in seen:
            return mask
        used = None
    if comb(n_players, size) > _LISTED:
        while any_left:
            mask = np.zeros(n_players, dtype=np.bool_)
            mask[rng.choice(n_players, size, replace=False)] = True
            if keys(mask[None])[0] not in seen:
                return mask
        return None
    listed = list(combinations(range(n_players), size))
    masks = np.zeros((len(listed), n_players), dtype=np.bool_)
    masks[np.arange(len(listed))[:, None], listed] = True
    unseen = [mask for mask, key in zip(masks, keys(masks), strict=True) if key not in seen]
    return unseen[int(rng.integers(len(unseen)))] if unseen else None
