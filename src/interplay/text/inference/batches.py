"""Rows of different lengths in passes of about as many tokens as memory and machine like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from interplay.errors import out_of_memory
from interplay.text.inference.trie import passes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Way: TypeAlias = Literal["padded", "equal", "single"]
"""What a pass may hold: rows of different lengths, padded; of one length; one row."""
_TOLERANCE, _ROUNDINGS = 1e-3, 8.0
_Result = TypeVar("_Result")


def tolerance(model: PreTrainedModel) -> float:
    """How far an output may be off from what a prompt gets alone, as a share of the largest.

    A thousandth, or as much as the model's dtype rounds.
    """
    import torch

    return max(_TOLERANCE, _ROUNDINGS * torch.finfo(model.dtype).eps)


class Batches:
    """Cuts rows into passes, and passes in two when memory does not suffice.

    Args:
        tokens: the most tokens of a pass to begin with, padding included; a single row may have
            more.

    Attributes:
        tokens: the same now: halved when memory does not suffice, and remembered.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def run(
        self, sizes: Sequence[int], evaluate: Callable[[list[int]], _Result], way: Way = "padded"
    ) -> Iterator[tuple[list[int], _Result]]:
        """Evaluate all rows, the longest first.

        Args:
            sizes: the rows' tokens.
            evaluate: from the numbers of a pass's rows to its result.
            way: which rows may be together.

        Yields:
            The numbers of a pass's rows, and its result.
        """
        todo = sorted(range(len(sizes)), key=lambda n: (-sizes[n], n))
        counts = self._counts([sizes[n] for n in todo], way)
        while counts:
            rows = todo[: counts[0]]
            try:
                result = evaluate(rows)
            except Exception as error:
                if not out_of_memory(error) or len(rows) == 1:
                    raise
                longest = sizes[rows[0]]
                self.tokens = max(longest, len(rows) * longest // 2)
                counts = self._counts([sizes[n] for n in todo], way)
                continue
            yield rows, result
            todo, counts = todo[len(rows) :], counts[1:]

    def _counts(self, sizes: list[int], way: Way) -> list[int]:
        """How many rows each pass has."""
        if way == "single":
            return [1] * len(sizes)
        if way == "padded":
            return passes(sizes, self.tokens)
        return [count for _, same in groupby(sizes) for count in passes(list(same), self.tokens)]
