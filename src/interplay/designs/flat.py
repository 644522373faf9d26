r"""The flat design: complement pairs of masks whose sizes are drawn flat.

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
from itertools import islice

import numpy as np

from interplay._types import BoolArray
from interplay.designs.base import PlainDesign
from interplay.designs.strata import counts_left, new_mask
from interplay.fourier.masks import keys

FLAT = "flat"


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
    return PlainDesign(
        FLAT, np.array(list(islice(_pairs(n_players, rng), n_masks)), dtype=np.bool_)
    )


def _pairs(n_players: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """The masks of the design in their order, until all are listed."""
    # a pair of size k has masks of the sizes k and n - k
    sizes = [k for k in range(1, n_players // 2 + 1) for _ in range(1 if 2 * k == n_players else 2)]
    used = np.zeros((n_players // 2 + 1, n_players))
    seen: set[bytes] = set()
    left = counts_left(n_players)
    while sizes:
        exhausted: set[int] = set()
        for size in rng.permutation(sizes).tolist():
            if size in exhausted:
                continue
            mask = new_mask(size, n_players, seen, rng, used[size], any_left=left[size] > 0)
            if mask is None:
                exhausted.add(size)
                continue
            used[size] += mask
            for one in (mask, ~mask):
                seen.add(keys(one[None])[0])
                left[one.sum()] -= 1
                yield one
        sizes = [size for size in sizes if size not in exhausted]
