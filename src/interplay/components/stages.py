"""Stages: passes cut at layers, so that rows that agree below a layer share everything below it.

A row is a pack of tokens under one mask. Rows are sorted by their pack, then by what they keep in
the first layer, in the second, and so on. Those that agree up to a layer are then neighbours, as
texts that begin alike are: they are the leaves below one node of a trie over layers. A layer runs
with as many rows as the trie has nodes there.

A stage is a stretch of layers that runs with the rows that its last layer needs. Each of its rows
begins with the states of a row of the stage before. Many short stages follow the trie closely, and
few long ones have few passes. The cheapest are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.components.patching import Site
from interplay.text.inference.batches import Batches
from interplay.text.inference.trie import PASS_TOKENS

if TYPE_CHECKING:
    import torch

_START = 1 / 16
"""What a pass costs besides its layers (embeddings, attention masks, positions, hooks), as a share
of what one layer costs in the largest pass."""
_NEVER = np.iinfo(np.int64).max
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Stage:
    """Some layers, and the rows that they run with.

    Attributes:
        first: its first layer.
        stop: the layer after its last.
        rows: numbers of sorted rows, ascending. Each stands for itself and for those after it, up
            to the next in the list.
    """

    first: int
    stop: int
    rows: IntArray


def sort_rows(
    sites: Iterable[Site],
    gates: BoolArray | FloatArray,
    row_gates: IntArray,
    row_packs: IntArray,
) -> tuple[IntArray, IntArray]:
    """Sort rows so that those that agree up to a layer are neighbours.

    Args:
        sites: where the units are.
        gates: the masks or gates of all players, ``(m, n + 1)``.
        row_gates: for each row the number of its mask, ``(rows,)``.
        row_packs: for each row the number of its pack, ``(rows,)``.

    Returns:
        The order of the rows. And for each row, in this order, the first layer in which it differs
        from the row before: 0 if their packs differ, a large number if nothing does.
    """
    layer_of = np.full(gates.shape[1], _NEVER)
    for site in sites:
        np.minimum.at(layer_of, site.owners, site.layer)
    columns = np.argsort(layer_of[:-1], kind="stable")
    by_layer, layers = gates[:, columns], layer_of[columns]
    rank = np.empty(len(gates), dtype=np.int64)
    rank[np.lexsort(1 - by_layer.T[::-1])] = np.arange(len(gates))  # what is kept comes first
    order = np.lexsort((rank[row_gates], row_packs))
    numbers, packs = row_gates[order], row_packs[order]
    differs = by_layer[numbers[1:]] != by_layer[numbers[:-1]]
    layer = np.where(differs.any(axis=1), layers[differs.argmax(axis=1)], _NEVER)
    layer[packs[1:] != packs[:-1]] = 0
    return order, np.concatenate([np.zeros(min(1, len(order)), dtype=np.int64), layer])


def plan_stages(
    differs: IntArray,
    n_layers: int,
    cuts: Sequence[int],
    n_tokens: int,
    tokens_per_pass: int,
) -> list[Stage]:
    """Choose the stages that cost least.

    Args:
        differs: for each row, sorted, the first layer in which it differs from the one before.
        n_layers: the number of layers.
        cuts: the layers that stages after the first may begin with, ascending.
        n_tokens: the tokens of a row.
        tokens_per_pass: the most tokens of a pass.

    Returns:
        The stages. The last has all rows, also those that differ in nothing.
    """
    bounds = [0, *cuts, n_layers]
    n_rows = [len(differs) if stop == n_layers else int((differs < stop).sum()) for stop in bounds]
    of_start = _START * tokens_per_pass
    cost, begins = [0.0], [0]
    for at, stop in enumerate(bounds[1:], 1):
        n_passes = -(-n_rows[at] * n_tokens // tokens_per_pass)
        of_layer = n_rows[at] * n_tokens + n_passes * PASS_TOKENS
        costs = [
            cost[before] + (stop - bounds[before]) * of_layer + n_passes * of_start
            for before in range(at)
        ]
        begins.append(int(np.argmin(costs)))
        cost.append(costs[begins[at]])
    stages, at = [], len(bounds) - 1
    while at:
        first, stop = bounds[begins[at]], bounds[at]
        rows = np.arange(len(differs)) if stop == n_layers else np.flatnonzero(differs < stop)
        stages.append(Stage(first, stop, rows))
        at = begins[at]
    return stages[::-1]


def run_stages(
    stages: Sequence[Stage],
    n_tokens: int,
    batches: Batches,
    max_held: int,
    forward: Callable[[Stage, IntArray, torch.Tensor | None], torch.Tensor],
    use: Callable[[IntArray, torch.Tensor], _Result],
) -> Iterator[_Result]:
    """Run stages, and use the logits of each pass of the last one.

    Where a stage has more states than may be held, the stages after it first run with a part of its
    rows. So nothing runs twice, and every stage holds the states of one part.

    Args:
        stages: the stages.
        n_tokens: the tokens of a row.
        batches: cuts the rows of a stage into passes.
        max_held: the most tokens whose states are held, of all stages together.
        forward: runs a stage with some of its rows and the states that they begin with, ``(b,
            tokens, width)``; returns the states after it, or logits.
        use: takes rows and their logits.
    """
    import torch

    n_held = max(1, max_held // (n_tokens * len(stages)))

    def run(
        depth: int, low: int, high: int, above: IntArray, states: torch.Tensor | None
    ) -> Iterator[_Result]:
        """Run what sorted rows ``low`` to ``high - 1`` need from a stage on."""
        stage = stages[depth]
        start, stop = np.searchsorted(stage.rows, [low, high])
        rows = stage.rows[start:stop]

        def evaluate(rows: IntArray) -> torch.Tensor:
            parents = np.searchsorted(above, rows, side="right") - 1
            return forward(stage, rows, None if states is None else states[parents])

        def evaluate_all(rows: IntArray) -> torch.Tensor:
            passes = batches.run([n_tokens] * len(rows), lambda at: evaluate(rows[at]))
            return torch.cat(
                [states for _, states in passes]
            )  # rows of one length keep their order

        if depth == len(stages) - 1:
            passes = batches.run(
                [n_tokens] * len(rows), lambda at: use(rows[at], evaluate(rows[at]))
            )
            yield from (result for _, result in passes)
            return
        for first in range(0, len(rows), n_held):
            part = rows[first : first + n_held]
            after = rows[first + n_held] if first + n_held < len(rows) else high
            yield from run(depth + 1, part[0], after, part, evaluate_all(part))

    yield from run(0, 0, len(stages[-1].rows), np.empty(0, dtype=np.int64), None)
