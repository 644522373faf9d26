"""Masks stratified by size: distinct masks whose sizes follow a law, each size balanced by itself.

The laws here are exchangeable: all masks of one size are equally likely, so that a law of masks is
a law of sizes. Masks of one size may run out: with each of 30 players kept with probability 0.97,
two in three masks that are not the full one lack a single player, and there are 30 of these. What
is drawn then follows the law among the sizes that have masks left.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def stratified(
    law: FloatArray, n_masks: int, n_players: int, rng: np.random.Generator
) -> BoolArray:
    """Choose distinct masks whose sizes follow a law, ``(n_masks, n)``.

    In every beginning, sizes are about as frequent as the law says, and among masks of one size
    every player is kept about equally often. There are no complement pairs: the complement of a
    mask that keeps most players is nothing that such a law draws. Fewer masks are returned if there
    are no more of the sizes that the law has.

    Args:
        law: the probability of each size, ``(n + 1,)``.
        n_masks: how many masks.
        n_players: n.
        rng: draws them.
    """
    drawn = list(islice(_masks(law, n_players, rng), n_masks))
    return np.array(drawn, dtype=np.bool_).reshape(len(drawn), n_players)


def _masks(law: FloatArray, n_players: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """Masks until there are no more of the sizes that the law has."""
    start = float(rng.random())
    places = ((start + step * _GOLDEN) % 1.0 for step in range(1 << 62))
    used = np.zeros((n_players + 1, n_players))
    seen: set[bytes] = set()
    left = counts_left(n_players)
    cumulative = np.cumsum(np.where(left > 0, law, 0.0))
    while cumulative[-1] > 0.0:
        last = int(np.searchsorted(cumulative, cumulative[-1]))
        place = next(places) * cumulative[-1]
        size = min(int(np.searchsorted(cumulative, place, side="right")), last)
        mask = new_mask(size, n_players, seen, rng, used[size])
        assert mask is not None, "a size that has masks left has none"
        used[size] += mask
        seen.add(keys(mask[None])[0])
        left[size] -= 1
        if left[size] == 0:
            cumulative = np.cumsum(np.where(left > 0, law, 0.0))
        yield mask


def counts_left(n_players: int) -> IntArray:
    """How many masks there are of each size; of the ends none. Large counts are cut off."""
    most = np.iinfo(np.int32).max
    left = np.array([min(comb(n_players, k), most) for k in range(n_players + 1)], dtype=np.int64)
    left[[0, -1]] = 0
    return left


def new_mask(
    size: int,
    n_players: int,
    seen: set[bytes],
    rng: np.random.Generator,
    used: FloatArray,
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
    for attempt in range(_TRIES):
        order = rng.random(n_players) + (used if attempt == 0 else 0.0)
        mask = np.zeros(n_players, dtype=np.bool_)
        mask[np.argsort(order, kind="stable")[:size]] = True
        if keys(mask[None])[0] not in seen:
            return mask
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
