"""What a back end is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from interplay._types import BoolArray, IntArray
from interplay.ablation.retry import BlockResult, BlockSettings
from interplay.game import Game

Blocks: TypeAlias = Iterator[tuple[IntArray, BoolArray] | None]
"""Row numbers and their masks. ``None``: nothing to do just now, ask again. A block is claimed when
it is taken, so none may be taken before there is somebody to evaluate it."""


class Backend(Protocol):
    """Where a game runs."""

    @property
    def name(self) -> str:
        """What users write, and what the provenance says."""
        ...

    def run(
        self,
        game: Game,
        fingerprint: str | None,
        blocks: Blocks,
        request: BlockSettings,
        at_most: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        """Answers to blocks, in any order, as they come.

        Args:
            game: the game.
            fingerprint: its fingerprint, which a copy of the game elsewhere must have too.
            blocks: taken when there is room.
            request: how to ask.
            at_most: masks per call.
            stopped: whether the user wants to stop: what is in flight is ended, nothing begun.

        Raises:
            GameError: the game returned a wrong shape, or its copy elsewhere is another game.
        """
        ...
