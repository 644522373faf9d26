"""The protocol of a back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from interplay._types import BoolArray, IntArray
from interplay.ablation.retry import BlockResult, BlockSettings
from interplay.game import Game

Blocks: TypeAlias = Iterator[tuple[IntArray, BoolArray] | None]
"""Row numbers and their masks. ``None`` means that there is no block at the moment: try again.
A block is claimed when it is taken. A back end must not take one before it can evaluate it."""


class Backend(Protocol):
    """Where a game runs."""

    @property
    def name(self) -> str:
        """The name that users write, and that the provenance records."""
        ...

    def run(
        self,
        game: Game,
        fingerprint: str | None,
        blocks: Blocks,
        settings: BlockSettings,
        max_masks: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        """Evaluate blocks, and yield the row numbers and the result of each as it is done.

        The results may come in any order.

        Args:
            game: the game.
            fingerprint: the game's fingerprint. A copy of the game in another process must have
                the same one.
            blocks: the blocks; taken one by one, whenever there is room for another.
            settings: repeats, and what to do after a failure.
            max_masks: the most masks per call of the game.
            stopped: whether the user wants to stop. Then the back end finishes the blocks in flight
                and begins no other.

        Raises:
            GameError: the game returned a wrong shape, or its copy in another process is a
                different game.
        """
        ...
