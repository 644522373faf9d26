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
    """This process, one block after the other."""

    name: str = "local"

    def run(
        self,
        game: Game,
        fingerprint: str | None,
        blocks: Blocks,
        request: BlockSettings,
        at_most: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        """See :meth:`interplay.ablation.backends.base.Backend.run`."""
        for block in blocks:
            if block is not None:
                rows, masks = block
                answer = evaluate_block(game, masks, request, at_most)
                at_most = answer.at_most
                yield rows, answer
