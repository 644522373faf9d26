"""Cut masks into the blocks in which a game is called."""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray, IntArray
from interplay.errors import GameError
from interplay.game import Game, as_planned

DEFAULT_BATCH = 64
"""Masks per call for a game that has no batch size of its own."""


def cut(game: Game, masks: BoolArray, batch_size: int | None = None) -> list[IntArray]:
    """Cut masks into the blocks in which a game evaluates them.

    Masks that are neighbours in the game's own order go into one block. The blocks themselves come
    in a random order: if the run is stopped, the masks evaluated so far are a fair sample of all.

    Args:
        game: the game.
        masks: ``(m, n)``.
        batch_size: the most masks per block. ``None``: the game's own batch size, or
            :data:`DEFAULT_BATCH` if it has none.

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
    order = planned.arrange(masks) if planned else rng.permutation(len(masks))
    if not np.array_equal(np.sort(order), np.arange(len(masks))):
        raise GameError(f"arrange() of {game!r} gave no permutation of the {len(masks)} masks")
    blocks = np.array_split(order, -(-len(order) // size)) if len(order) else []
    return [blocks[number] for number in rng.permutation(len(blocks))]
