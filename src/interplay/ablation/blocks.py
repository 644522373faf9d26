"""Cut masks into the blocks in which a game is called.

Neighbours in the game's own order share computation, so they go into one block. But blocks of
neighbours are not alike: one may hold all masks that lack the first player. Where an interrupted
run is to be decoded, the masks are therefore divided into strides first. Each stride is a fair
sample of the masks, and the run evaluates one stride after the other. Only within a stride are
neighbours brought together.

A mask shares less with its neighbours if there are fewer of them. In a tree of all prefixes of m
uniform masks, about log2(m) players of a mask are shared. In a stride that holds the share p of the
masks, log2(1 / p) players fewer are. The mean over all masks is the entropy of the shares. It
decides how fine the strides are. They are never coarser than thirds of the masks: if a run that is
interrupted lost more than that, being able to interrupt it would be worth little.
"""

from __future__ import annotations

from math import log2

import numpy as np

from interplay._types import BoolArray, IntArray
from interplay.errors import GameError
from interplay.game import Game, PlannedGame, as_planned

DEFAULT_BATCH = 64
"""Masks per call for a game that has no batch size of its own."""
_MOST_EXTRA = 0.06
"""The share of work that strides finer than thirds may add, where a mask is nothing but its
players. Words beside them, which take the same work in any order, make the share smaller."""
_UNSHARED = 2.0
"""The players of a mask that are read anew even in a tree of all 2^n masks."""
_STRIDES = tuple(1 / count for count in (12, 10, 8, 7, 6, 5, 4, 3))
"""Shares of the masks that a stride may have at most, the finest first."""
_GROWTH = 3.0
"""The first strides are finer: each makes the known masks at most so many times as many."""
_BLOCKS, _SMALL_BLOCK = 8, 32
"""With strides there are at least so many blocks, unless they would have fewer masks than this."""


def cut(
    game: Game, masks: BoolArray, batch_size: int | None = None, *, in_strides: bool = False
) -> list[IntArray]:
    """Cut masks into the blocks in which a game evaluates them, in the order of evaluation.

    Masks that are neighbours in the game's own order go into one block, within a stride. The blocks
    of a stride come in a random order.

    Args:
        game: the game.
        masks: ``(m, n)``.
        batch_size: the most masks per block. ``None``: the game's own batch size, or
            :data:`DEFAULT_BATCH` if it has none.
        in_strides: divide the masks into strides. The masks must come in an order whose every
            beginning is a fair sample. If the game shares no work between masks, each block is a
            stride. Otherwise a stride has at most a third of the masks, or less, down to a twelfth,
            as long as that adds at most 6 % to the work, and blocks may be smaller for this.
            ``False``: all masks are one stride.

    Returns:
        The row numbers of each block. They depend on nothing but the arguments.

    Raises:
        ValueError: ``batch_size`` is below 1.
        GameError: what the game's ``arrange`` returns is not a permutation of the masks.
    """
    planned = as_planned(game)
    size = (
        batch_size if batch_size is not None else planned.batch_size if planned else DEFAULT_BATCH
    )
    if size < 1:
        raise ValueError(f"batch_size={size} is below 1; give a whole number from 1 on, or None")
    rng = np.random.default_rng(0)
    n_masks = len(masks)
    order = _arranged(planned, masks) if planned else np.arange(n_masks)
    shares_work = not np.array_equal(order, np.arange(n_masks))
    if in_strides and not shares_work:
        return _blocks(order, size)
    if planned is None:
        order = rng.permutation(n_masks)
    if in_strides:
        size = min(size, max(n_masks // _BLOCKS, _SMALL_BLOCK))
    blocks = []
    stops = _stops(n_masks, masks.shape[1], size) if in_strides else [n_masks]
    for start, stop in zip([0, *stops], stops, strict=False):
        if len(stops) > 1:
            assert planned is not None
            order = start + _arranged(planned, masks[start:stop])
        stride = _blocks(order, size)
        blocks += [stride[number] for number in rng.permutation(len(stride))]
    return blocks


def _arranged(planned: PlannedGame, masks: BoolArray) -> IntArray:
    order = planned.arrange(masks)
    if not np.array_equal(np.sort(order), np.arange(len(masks))):
        raise GameError(f"arrange() of {planned!r} gave no permutation of the {len(masks)} masks")
    return order


def _blocks(order: IntArray, size: int) -> list[IntArray]:
    """Cut rows into blocks of nearly equal size."""
    return np.array_split(order, -(-len(order) // size)) if len(order) else []


def _stops(n_masks: int, n_players: int, size: int) -> list[int]:
    """The numbers of masks after each stride of a game that shares work; the last is all masks.

    Strides are whole blocks; few masks are one stride.
    """
    # of the players of a mask, so many are read anew if all masks are in one tree
    unshared = max(n_players - log2(max(n_masks, 1)), 0.0) + _UNSHARED
    stops = [n_masks]
    for largest in _STRIDES:
        stops = [n_masks]
        while stops[0] > size:
            stop = max(stops[0] - largest * n_masks, stops[0] / _GROWTH)
            # the stride that ends at stops[0] has half a block at least
            stop = size * min(round(stop / size), (stops[0] - (size + 1) // 2) // size)
            if stop == 0:
                break
            stops.insert(0, stop)
        shares = np.diff([0, *stops]) / n_masks
        if -(shares * np.log2(shares)).sum() <= _MOST_EXTRA * unshared:
            break
    return stops
