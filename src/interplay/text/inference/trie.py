"""Which prefixes of a batch of token sequences are worth computing once.

Sequences that share a prefix are neighbours once the sequences are sorted. The lengths of the
prefixes that neighbours share describe a tree: its inner nodes are shared prefixes. A node is worth
having if the tokens that it saves pay for evaluating one more row. A long stretch of tokens becomes
a chain of nodes, each of a bounded length.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

PASS_TOKENS = 48
"""The fixed cost of a forward pass, in tokens: a pass over a single token takes about as long as
this many more tokens in a large pass."""


@dataclass(frozen=True)
class Node:
    """A piece of a sequence that is evaluated as one row, after the nodes before it.

    Attributes:
        parent: the number of the inner node that holds the tokens just before it; -1: it begins
            its sequence.
        sequence: the number of a sequence that it is a piece of.
        start: the position of its first token in that sequence.
        stop: the position after its last token.
        depth: how many nodes lie before it.
    """

    parent: int
    sequence: int
    start: int
    stop: int
    depth: int


@dataclass(frozen=True)
class Trie:
    """Sequences cut into shared prefixes and the remainders.

    Attributes:
        inner: the nodes that other nodes follow: shared prefixes, and pieces of long stretches.
            Each comes after its parent.
        leaves: for each sequence, in the order given, its remainder: never empty.
    """

    inner: tuple[Node, ...]
    leaves: tuple[Node, ...]

    @property
    def size(self) -> int:
        """The number of tokens whose keys and values are cached while the tree is evaluated."""
        return sum(node.stop - node.start for node in self.inner)


def build(
    sequences: Sequence[Sequence[int]],
    unshared: Sequence[int],
    min_saved: int = PASS_TOKENS,
    longest: int = sys.maxsize,
) -> Trie:
    """Cut sequences into a tree of shared prefixes.

    Args:
        sequences: token sequences, all different.
        unshared: for each sequence, how many of its last tokens must be in its leaf, since their
            logits are read; at least 1.
        min_saved: the fewest tokens that a shared prefix must save.
        longest: the most tokens of a node. A leaf has more if its unshared tokens are more.
    """
    order = sorted(range(len(sequences)), key=lambda row: tuple(sequences[row]))
    lengths = [len(sequences[row]) - unshared[row] for row in order]  # how much may be shared
    shared = [
        min(shared_length(sequences[a], sequences[b]), lengths[at], lengths[at + 1])
        for at, (a, b) in enumerate(pairwise(order))
    ]
    inner: list[Node] = []
    leaves: dict[int, Node] = {}

    def append(row: int, parent: int, start: int, stop: int) -> int:
        """Append a stretch as one node or several; returns the number of the last."""
        for at in range(start, stop, longest):
            inner.append(Node(parent, row, at, min(at + longest, stop), below(parent)))
            parent = len(inner) - 1
        return parent

    def below(parent: int) -> int:
        return inner[parent].depth + 1 if parent >= 0 else 0

    # intervals of neighbours, with the last node that they share and the position where it ends
    todo = [(0, len(order), -1, 0)] if order else []
    while todo:
        low, high, parent, start = todo.pop()
        if high - low == 1:
            row = order[low]
            stop = len(sequences[row])
            if stop - start > longest:
                size = max((stop - start) % longest or longest, unshared[row])
                parent, start = append(row, parent, start, stop - size), stop - size
            leaves[row] = Node(parent, row, start, stop, below(parent))
            continue
        stop = min(shared[low : high - 1])
        if (high - low - 1) * (stop - start) >= min_saved:
            parent, start = append(order[low], parent, start, stop), stop
        cuts = [at + 1 for at in range(low, high - 1) if shared[at] == stop]
        edges = [low, *cuts, high]
        todo += [(a, b, parent, start) for a, b in pairwise(edges)]
    return Trie(tuple(inner), tuple(leaves[row] for row in range(len(order))))


def flat(sequences: Sequence[Sequence[int]]) -> Trie:
    """The tree without inner nodes: each sequence is a leaf."""
    return Trie((), tuple(Node(-1, n, 0, len(s), 0) for n, s in enumerate(sequences)))


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """The length of the prefix that two sequences share."""
    for at, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return at
    return min(len(first), len(second))


def passes(sizes: Sequence[int], limit: int, max_rows: int = sys.maxsize) -> list[int]:
    """Cut rows into forward passes at the least total cost of tokens, padding and passes.

    Args:
        sizes: the number of tokens of each row, the longest first. The rows of a pass are padded to
            the length of its first.
        limit: the most tokens of a pass, padding included; a single row may have more.
        max_rows: the most rows of a pass.

    Returns:
        The number of rows of each pass.
    """
    cost, start = [0.0], [0]
    for stop in range(1, len(sizes) + 1):
        best = (float("inf"), 0)
        for first in range(stop - 1, -1, -1):
            tokens = (stop - first) * sizes[first]
            if first < stop - 1 and (tokens > limit or stop - first > max_rows):
                break  # the rows before are at least as long
            best = min(best, (cost[first] + tokens + PASS_TOKENS, first))
        cost.append(best[0])
        start.append(best[1])
    counts = []
    stop = len(sizes)
    while stop:
        counts.append(stop - start[stop])
        stop = start[stop]
    return counts[::-1]
