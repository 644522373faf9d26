"""Batches: rows of different lengths cut into forward passes that memory and machine can take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from interplay.errors import out_of_memory
from interplay.text.inference.trie import passes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BatchStrategy: TypeAlias = Literal["padded", "equal", "single"]
"""What a pass may hold: rows of different lengths, padded; rows of one length; a single row."""
_TOLERANCE, _ROUNDINGS = 1e-3, 8.0
_Result = TypeVar("_Result")


def relative_tolerance(model: PreTrainedModel) -> float:
    """How far an output may be off from that of a pass by itself, as a share of the largest.

    A thousandth, or 8 rounding errors of the model's dtype if that is more.
    """
    import torch

    return max(_TOLERANCE, _ROUNDINGS * torch.finfo(model.dtype).eps)


class Batches:
    """Cuts rows into passes, and cuts smaller passes when memory does not suffice.

    Args:
        tokens: the most tokens of a pass to begin with, padding included; a single row may have
            more.

    Attributes:
        tokens: the most tokens of a pass now: halved when memory does not suffice, and remembered.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def run(
        self,
        sizes: Sequence[int],
        evaluate: Callable[[list[int]], _Result],
        strategy: BatchStrategy = "padded",
    ) -> Iterator[tuple[list[int], _Result]]:
        """Evaluate all rows, the longest first.

        Args:
            sizes: the number of tokens of each row.
            evaluate: from the numbers of a pass's rows to its result.
            strategy: which rows may share a pass.

        Yields:
            The numbers of a pass's rows, and its result.
        """
        todo = sorted(range(len(sizes)), key=lambda n: (-sizes[n], n))
        counts = self._counts([sizes[n] for n in todo], strategy)
        while counts:
            rows = todo[: counts[0]]
            try:
                result = evaluate(rows)
            except Exception as error:
                if not out_of_memory(error) or len(rows) == 1:
                    raise
                longest = sizes[rows[0]]
                self.tokens = max(longest, len(rows) * longest // 2)
                counts = self._counts([sizes[n] for n in todo], strategy)
                continue
            yield rows, result
            todo, counts = todo[len(rows) :], counts[1:]

    def _counts(self, sizes: list[int], strategy: BatchStrategy) -> list[int]:
        """The number of rows of each pass; ``sizes`` has the longest row first."""
        if strategy == "single":
            return [1] * len(sizes)
        if strategy == "padded":
            return passes(sizes, self.tokens)
        return [count for _, same in groupby(sizes) for count in passes(list(same), self.tokens)]
