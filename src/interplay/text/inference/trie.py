"""Which prefixes of a batch of token sequences are worth computing once.

Sorted, sequences that share a prefix are neighbours; the lengths of the prefixes that neighbours
share describe a tree whose inner nodes are shared prefixes. A node is worth having where the tokens
that it saves pay for evaluating one row more. A long stretch is a chain of nodes, each of a bounded
length.
"""

from __future__ import annotations

import sys
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
        inner: what other nodes come after, each after its parent: shared prefixes, and pieces of
            long stretches.
        leaves: for each sequence, in the order given, the rest of it: never empty.
    """

    inner: tuple[Node, ...]
    leaves: tuple[Node, ...]

    @property
    def size(self) -> int:
        """How many tokens' keys and values are held while the tree is evaluated."""
        return sum(node.stop - node.start for node in self.inner)


def build(
    sequences: Sequence[Sequence[int]],
    own: Sequence[int],
    worth: int = PASS_TOKENS,
    longest: int = sys.maxsize,
) -> Trie:
    """Find the shared prefixes.

    Args:
        sequences: token sequences, different ones.
        own: for each, how many of its last tokens must stay its own (their logits are read); at
            least 1.
        worth: the fewest tokens that a shared prefix must save.
        longest: the most tokens of a node, but for a leaf whose own tokens are more.
    """
    order = sorted(range(len(sequences)), key=lambda row: tuple(sequences[row]))
    lengths = [len(sequences[row]) - own[row] for row in order]  # what may be shared of each
    common = [
        min(_common(sequences[a], sequences[b]), lengths[at], lengths[at + 1])
        for at, (a, b) in enumerate(pairwise(order))
    ]
    inner: list[Node] = []
    leaves: dict[int, Node] = {}

    def append(row: int, parent: int, start: int, stop: int) -> int:
        """Append a stretch as one node or several; the number of the last."""
        for at in range(start, stop, longest):
            inner.append(Node(parent, row, at, min(at + longest, stop), below(parent)))
            parent = len(inner) - 1
        return parent

    def below(parent: int) -> int:
        return inner[parent].depth + 1 if parent >= 0 else 0

    # intervals of neighbours, with the node that they hang on and its end
    todo = [(0, len(order), -1, 0)] if order else []
    while todo:
        low, high, parent, start = todo.pop()
        if high - low == 1:
            row = order[low]
            stop = len(sequences[row])
            if stop - start > longest:
                rest = max((stop - start) % longest or longest, own[row])
                parent, start = append(row, parent, start, stop - rest), stop - rest
            leaves[row] = Node(parent, row, start, stop, below(parent))
            continue
        stop = min(common[low : high - 1])
        if (high - low - 1) * (stop - start) >= worth:
            parent, start = append(order[low], parent, start, stop), stop
        cuts = [at + 1 for at in range(low, high - 1) if common[at] == stop]
        edges = [low, *cuts, high]
        todo += [(a, b, parent, start) for a, b in pairwise(edges)]
    return Trie(tuple(inner), tuple(leaves[row] for row in range(len(order))))


def whole(sequences: Sequence[Sequence[int]]) -> Trie:
    """The tree without inner nodes: each sequence is a leaf."""
    return Trie((), tuple(Node(-1, n, 0, len(s), 0) for n, s in enumerate(sequences)))


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    for at, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return at
    return min(len(first), len(second))


def passes(sizes: Sequence[int], limit: int, most: int = sys.maxsize) -> list[int]:
    """Cut rows into forward passes so that padding and passes together cost the least.

    Args:
        sizes: the rows' tokens, the longest first; each row of a pass is padded to its first.
        limit: the most tokens of a pass, padding included; a single row may have more.
        most: the most rows of a pass.

    Returns:
        The number of rows of each pass.
    """
    cost, start = [0.0], [0]
    for stop in range(1, len(sizes) + 1):
        best = (float("inf"), 0)
        for first in range(stop - 1, -1, -1):
            tokens = (stop - first) * sizes[first]
            if first < stop - 1 and (tokens > limit or stop - first > most):
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
