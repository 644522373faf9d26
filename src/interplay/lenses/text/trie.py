"""Which prefixes of a batch of token sequences are worth computing once.

Sorted, sequences that share a prefix are neighbours; the lengths of the prefixes that neighbours
share describe a tree whose inner nodes are shared prefixes. A node is worth having where the tokens
that it saves pay for evaluating one row more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

PASS_TOKENS = 24
"""What a forward pass costs beside its tokens, in tokens: one of a single token takes about as long
as so many tokens more in a large one."""


@dataclass(frozen=True)
class Node:
    """A piece of a sequence that is evaluated on its own, after what lies before it.

    Attributes:
        parent: the number of the node that holds the tokens before; -1: there are none.
        sequence: the number of a sequence that it is a piece of.
        start: its first token in that sequence.
        stop: its last token, excluded.
        depth: how many nodes lie before it.
    """

    parent: int
    sequence: int
    start: int
    stop: int
    depth: int


@dataclass(frozen=True)
class Trie:
    """Sequences cut into shared prefixes and what is left.

    Attributes:
        shared: the shared prefixes, each after its parent.
        leaves: for each sequence, in the order given, the rest of it: never empty.
    """

    shared: tuple[Node, ...]
    leaves: tuple[Node, ...]


def build(sequences: Sequence[Sequence[int]], own: Sequence[int], worth: int = PASS_TOKENS) -> Trie:
    """Find the shared prefixes.

    Args:
        sequences: token sequences, different ones.
        own: for each, how many of its last tokens must stay its own (their logits are read); at
            least 1.
        worth: the fewest tokens that a shared prefix must save.
    """
    order = sorted(range(len(sequences)), key=lambda row: tuple(sequences[row]))
    lengths = [len(sequences[row]) - own[row] for row in order]  # what may be shared of each
    common = [
        min(_common(sequences[a], sequences[b]), lengths[at], lengths[at + 1])
        for at, (a, b) in enumerate(pairwise(order))
    ]
    shared: list[Node] = []
    leaves: dict[int, Node] = {}
    # intervals of neighbours, with the node that they hang on and its end
    todo = [(0, len(order), -1, 0)] if order else []
    while todo:
        low, high, parent, start = todo.pop()
        depth = shared[parent].depth + 1 if parent >= 0 else 0
        if high - low == 1:
            row = order[low]
            leaves[row] = Node(parent, row, start, len(sequences[row]), depth)
            continue
        stop = min(common[low : high - 1])
        if (high - low - 1) * (stop - start) >= worth:
            shared.append(Node(parent, order[low], start, stop, depth))
            parent, start = len(shared) - 1, stop
        cuts = [at + 1 for at in range(low, high - 1) if common[at] == stop]
        edges = [low, *cuts, high]
        todo += [(a, b, parent, start) for a, b in pairwise(edges)]
    return Trie(tuple(shared), tuple(leaves[row] for row in range(len(order))))


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    for at, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return at
    return min(len(first), len(second))


def passes(sizes: Sequence[int], limit: int) -> list[int]:
    """Cut rows into forward passes so that padding and passes together cost the least.

    Args:
        sizes: the rows' tokens, the longest first; each row of a pass is padded to its first.
        limit: the most tokens of a pass, padding included; a single row may have more.

    Returns:
        The number of rows of each pass.
    """
    cost, start = [0.0], [0]
    for stop in range(1, len(sizes) + 1):
        best = (float("inf"), 0)
        for first in range(stop - 1, -1, -1):
            tokens = (stop - first) * sizes[first]
            if tokens > limit and first < stop - 1:
                break  # rows before are longer still
            best = min(best, (cost[first] + tokens + PASS_TOKENS, first))
        cost.append(best[0])
        start.append(best[1])
    counts = []
    stop = len(sizes)
    while stop:
        counts.append(stop - start[stop])
        stop = start[stop]
    return counts[::-1]
