"""Packs: the token sequences of a task, laid out for passes without padding.

Sequences that begin alike share those tokens: a pack holds the tree of some sequences' tokens, each
node once, where every token sees only its own ancestors and stands at its own depth. Where a model
does not take that, or texts differ by item in what stands in for a unit, a pack is one sequence,
and packs of one length are rows of one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, IntArray

_TOKENS = 128
"""Of a pack of several sequences: attention within a pack grows with the square of its tokens."""


@dataclass(frozen=True)
class Read:
    """What is read after some tokens.

    Attributes:
        item: the item's number.
        feed: the number of the feed that these tokens end in.
        positions: where the logits are read, in the tokens; in a pack, in its nodes.
    """

    item: int
    feed: int
    positions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pack:
    """Tokens of one row.

    Attributes:
        ids: the tokens, ``(t,)``.
        reads: what is read of the row's logits.
        places: for a tree, the depth of each token, ``(t,)``; ``None``: a sequence.
        sees: for a tree, which tokens each one attends to, ``(t, t)``; ``None``: a sequence.
    """

    ids: IntArray
    reads: tuple[Read, ...]
    places: IntArray | None = None
    sees: BoolArray | None = None


def rows_of(
    sequences: Iterable[tuple[tuple[int, ...], Read]], by_item: bool = False
) -> list[list[Pack]]:
    """Each distinct sequence a pack; in groups of one length, the shortest first.

    Args:
        sequences: token sequences, and what is read of each.
        by_item: items share no pack.
    """
    reads: dict[tuple[tuple[int, ...], int], list[Read]] = {}
    for ids, read in sequences:
        reads.setdefault((ids, read.item if by_item else 0), []).append(read)
    packs = [Pack(np.array(ids), tuple(own)) for (ids, _), own in reads.items()]
    return [[packs[n] for n in group] for group in of_one_length([pack.ids for pack in packs])]


def trees_of(
    sequences: Iterable[tuple[tuple[int, ...], Read]], n_tokens: int = _TOKENS
) -> list[list[Pack]]:
    """Trees of about so many tokens, each a group of its own.

    Sorted, sequences that begin alike are neighbours, so that few beginnings are in two packs.
    """
    groups: list[list[tuple[tuple[int, ...], Read]]] = []
    n_nodes = 0
    for ids, read in sorted(sequences, key=lambda each: each[0]):
        own = len(ids) - (_in_common(groups[-1][-1][0], ids) if groups else 0)
        if not groups or n_nodes + own > n_tokens:
            groups.append([])
            n_nodes, own = 0, len(ids)
        groups[-1].append((ids, read))
        n_nodes += own
    return [[_tree(group)] for group in groups]


def _in_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def _tree(sequences: Sequence[tuple[tuple[int, ...], Read]]) -> Pack:
    node_of: dict[tuple[int, int], int] = {}  # by its parent, -1 at the root, and its token
    reads = []
    for ids, read in sequences:
        path = [-1]
        for token in ids:
            path.append(node_of.setdefault((path[-1], token), len(node_of)))
        reads.append(Read(read.item, read.feed, tuple(path[at + 1] for at in read.positions)))
    places = np.zeros(len(node_of), dtype=np.int64)
    sees = np.eye(len(node_of), dtype=np.bool_)
    for (parent, _), node in node_of.items():  # parents come before their children
        if parent >= 0:
            places[node] = places[parent] + 1
            sees[node] |= sees[parent]
    return Pack(
        ids=np.array([token for _, token in node_of]),
        reads=tuple(reads),
        places=places,
        sees=sees,
    )


def of_one_length(texts: Sequence[Sequence[int] | IntArray]) -> list[list[int]]:
    """The numbers of texts of one length, the shortest first."""
    groups: dict[int, list[int]] = {}
    for number in sorted(range(len(texts)), key=lambda n: len(texts[n])):
        groups.setdefault(len(texts[number]), []).append(number)
    return list(groups.values())
