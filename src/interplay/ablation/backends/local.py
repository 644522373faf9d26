"""The back end that runs a game in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from interplay._types import IntArray
from interplay.ablation.backends.base import Blocks
from interplay.ablation.retry import BlockResult, BlockSettings, evaluate_block
from interplay.game import Game


@dataclass(frozen=True)
class LocalBackend:
    """Runs the game in this process, one block after the other."""

    name: str = "local"

    def run(
        self,
        game: Game,
        fingerprint: str | None,
        blocks: Blocks,
        settings: BlockSettings,
        max_masks: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        """See :meth:`interplay.ablation.backends.base.Backend.run`."""
        for block in blocks:
            if block is not None:
                rows, masks = block
                result = evaluate_block(game, masks, settings, max_masks)
                max_masks = result.max_masks
                yield rows, result
