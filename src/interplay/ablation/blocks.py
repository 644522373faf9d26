"""Cuts masks into the blocks in which a game is called."""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray, IntArray
from interplay.errors import GameError
from interplay.game import Game, as_planned

DEFAULT_BATCH = 64
"""Masks per call for games that do not say how many they want."""


def cut(game: Game, masks: BoolArray, batch_size: int | None = None) -> list[IntArray]:
    """Cut masks into the blocks in which a game is asked for them.

    Neighbours in the game's own order come into one block. The blocks are taken in an order that
    has nothing to do with the masks, so that a run that is stopped has made a fair sample of them.

    Args:
        game: the game.
        masks: ``(m, n)``.
        batch_size: the most masks per block; ``None``: as the game says, or :data:`DEFAULT_BATCH`.

    Returns:
        Row numbers, which depend on nothing but the arguments.

    Raises:
        ValueError: ``batch_size`` is below 1.
        GameError: the game's order is none.
    """
    planned = as_planned(game)
    size = (
        batch_size if batch_size is not None else planned.batch_size if planned else DEFAULT_BATCH
    )
    if size < 1:
        raise ValueError(f"batch_size={size} is below 1; give a whole number from 1 on, or None")
    rng = np.random.default_rng(0)
    order = planned.arrange(masks) if planned else rng.permutation(len(masks))
    if not np.array_equal(np.sort(order), np.arange(len(masks))):
        raise GameError(f"arrange() of {game!r} gave no order of the {len(masks)} masks")
    blocks = np.array_split(order, -(-len(order) // size)) if len(order) else []
    return [blocks[at] for at in rng.permutation(len(blocks))]
