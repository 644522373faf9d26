r"""The flat design: both ends, and complement pairs of masks whose sizes are drawn flat.

Shapley values and the indices of their family (SII, k-SII, STII, FSII) weigh all sizes alike: the
Shapley value is the mean over sizes k of the mean marginal contribution to a set of size k. Uniform
masks of n players keep n/2 of them give or take :math:`\sqrt{n}/2`, so they tell next to nothing of
small and of large sets. Here each size from 1 to n - 1 has as many masks as any other, as in
LeverageSHAP (Musco and Witter 2025, arXiv 2410.01917).

Only the odd part of a set function, (f(m) - f(not m)) / 2, enters its Shapley values. Each mask is
therefore followed by its complement, so that no even term is mistaken for an odd one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from math import comb

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.designs.base import Design, PlainDesign
from interplay.fourier.masks import keys

FLAT = "flat"
_TRIES = 20
_LISTED = 5_000
"""Sizes with at most so many sets are listed when random draws find no new one."""


def flat_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Choose the empty mask, the full one, and complement pairs of flat sizes.

    Among masks of one size every player is kept about equally often. For the same generator a
    larger design starts with the smaller one.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    if n_masks > 1 << n_players:
        raise ValueError(
            f"{n_masks} distinct masks do not exist for {n_players} players; there are "
            f"{1 << n_players}"
        )
    return PlainDesign(
        FLAT, np.array(list(islice(_pairs(n_players, rng), n_masks)), dtype=np.bool_)
    )


def without_ends(design: Design, values: FloatArray) -> tuple[PlainDesign, FloatArray]:
    """A flat design and its values without the empty and the full mask."""
    keep = design.masks.any(axis=1) & ~design.masks.all(axis=1)
    return PlainDesign(design.kind, design.masks[keep]), values[keep]


def flat(
    n_masks: int, n_players: int, rng: np.random.Generator, exclude: BoolArray | None = None
) -> BoolArray:
    """Draw distinct masks of sizes 1 to n - 1, each size equally likely, ``(n_masks, n)``.

    Fewer are returned if there are no more. For the same generator the masks for a smaller number
    are the first of a larger one.

    Args:
        n_masks: how many masks.
        n_players: n.
        rng: draws them.
        exclude: masks not to draw, ``(k, n)``.
    """
    seen = set() if exclude is None else set(keys(exclude))
    drawn: list[BoolArray] = []
    left = _counts_left(n_players, exclude)
    while len(drawn) < n_masks and left.any():
        size = int(rng.choice(np.flatnonzero(left)))
        mask = _unseen(size, n_players, seen, rng)
        assert mask is not None
        seen.add(keys(mask[None])[0])
        left[size] -= 1
        drawn.append(mask)
    return np.array(drawn, dtype=np.bool_).reshape(len(drawn), n_players)


def _counts_left(n_players: int, exclude: BoolArray | None) -> IntArray:
    """How many masks of each size are not excluded; of the ends none. Large counts are cut off."""
    most = np.iinfo(np.int32).max
    left = np.array([min(comb(n_players, k), most) for k in range(n_players + 1)], dtype=np.int64)
    if exclude is not None and len(exclude):
        left -= np.bincount(exclude.sum(axis=1), minlength=n_players + 1)
    left[[0, -1]] = 0
    return np.maximum(left, 0)


def _pairs(n_players: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """The masks of the design in their order, until all are listed."""
    yield np.zeros(n_players, dtype=np.bool_)
    yield np.ones(n_players, dtype=np.bool_)
    # a pair of size k has masks of the sizes k and n - k
    sizes = [k for k in range(1, n_players // 2 + 1) for _ in range(1 if 2 * k == n_players else 2)]
    used = np.zeros((n_players // 2 + 1, n_players))
    seen: set[bytes] = set()
    left = _counts_left(n_players, None)
    while sizes:
        exhausted: set[int] = set()
        for size in rng.permutation(sizes).tolist():
            if size in exhausted:
                continue
            mask = _unseen(size, n_players, seen, rng, used[size], any_left=left[size] > 0)
            if mask is None:
                exhausted.add(size)
                continue
            used[size] += mask
            for one in (mask, ~mask):
                seen.add(keys(one[None])[0])
                left[one.sum()] -= 1
                yield one
        sizes = [size for size in sizes if size not in exhausted]


def _unseen(
    size: int,
    n_players: int,
    seen: set[bytes],
    rng: np.random.Generator,
    used: FloatArray | None = None,
    any_left: bool = True,
) -> BoolArray | None:
    """A mask of that size that is not among those seen; ``None`` if there is none.

    The first try keeps the players that were used least. Without ``any_left`` all masks of that
    size were seen.
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
