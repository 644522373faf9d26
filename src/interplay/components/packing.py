"""Packing: a task's token sequences are laid out for forward passes without padding.

Sequences that begin alike share those tokens. A pack of several sequences is their prefix tree,
whose nodes are tokens. Every token attends only to its own ancestors, and its position id is its
depth. Some models do not take this, and some ablations differ by item. A pack is then one sequence,
and packs of one length are the rows of one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from interplay._types import BoolArray, IntArray

_TOKENS = 128
"""Tokens of a pack of several sequences: attention's cost grows with their square."""


@dataclass(frozen=True)
class LogitQuery:
    """The logits that an item's readout reads after one of its feeds.

    Attributes:
        item: the item's number.
        feed: the number of the feed at the end of these tokens.
        positions: where the logits are read: positions in a sequence, nodes in a prefix tree.
    """

    item: int
    feed: int
    positions: tuple[int, ...]


TokenSequence: TypeAlias = tuple[tuple[int, ...], LogitQuery]
"""Token ids, and which of their logits are read."""


@dataclass(frozen=True, eq=False)
class Pack:
    """The tokens of one input row.

    Attributes:
        ids: the token ids, ``(t,)``.
        queries: what is read of the row's logits.
        position_ids: of a prefix tree, each token's depth, ``(t,)``; ``None``: one sequence.
        attends: of a prefix tree, which tokens each one attends to, ``(t, t)``; ``None``: one
            sequence.
    """

    ids: IntArray
    queries: tuple[LogitQuery, ...]
    position_ids: IntArray | None = None
    attends: BoolArray | None = None


def separate_packs(sequences: Iterable[TokenSequence], by_item: bool = False) -> list[list[Pack]]:
    """Make each distinct sequence a pack; return them in groups of one length, the shortest first.

    Args:
        sequences: token sequences, and what is read of each.
        by_item: items share no pack.
    """
    queries: dict[tuple[tuple[int, ...], int], list[LogitQuery]] = {}
    for ids, query in sequences:
        queries.setdefault((ids, query.item if by_item else 0), []).append(query)
    packs = [Pack(np.array(ids), tuple(queries[ids, item])) for ids, item in queries]
    groups = group_by_length([pack.ids for pack in packs])
    return [[packs[number] for number in group] for group in groups]


def prefix_trees(sequences: Iterable[TokenSequence], n_tokens: int = _TOKENS) -> list[list[Pack]]:
    """Pack sequences into prefix trees of at most ``n_tokens``, each in a group of its own.

    A single sequence may be longer. The sequences are sorted first: those that begin alike are then
    neighbours, and few common beginnings are split between two packs.
    """
    groups: list[list[TokenSequence]] = []
    n_nodes = 0
    for ids, query in sorted(sequences, key=lambda sequence: sequence[0]):
        n_new = len(ids) - (_common_prefix_length(groups[-1][-1][0], ids) if groups else 0)
        if not groups or n_nodes + n_new > n_tokens:
            groups.append([])
            n_nodes, n_new = 0, len(ids)
        groups[-1].append((ids, query))
        n_nodes += n_new
    return [[_prefix_tree(group)] for group in groups]


def _common_prefix_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Count the tokens that two sequences share at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def _prefix_tree(sequences: Sequence[TokenSequence]) -> Pack:
    node_of: dict[tuple[int, int], int] = {}  # by parent node (-1 at the root) and token
    queries = []
    for ids, query in sequences:
        path = [-1]
        for token in ids:
            path.append(node_of.setdefault((path[-1], token), len(node_of)))
        nodes = tuple(path[position + 1] for position in query.positions)
        queries.append(LogitQuery(query.item, query.feed, nodes))
    position_ids = np.zeros(len(node_of), dtype=np.int64)
    attends = np.eye(len(node_of), dtype=np.bool_)
    for (parent, _), node in node_of.items():  # parents come before their children
        if parent >= 0:
            position_ids[node] = position_ids[parent] + 1
            attends[node] |= attends[parent]
    return Pack(
        ids=np.array([token for _, token in node_of]),
        queries=tuple(queries),
        position_ids=position_ids,
        attends=attends,
    )


def group_by_length(texts: Sequence[Sequence[int] | IntArray]) -> list[list[int]]:
    """Group the numbers of texts of one length, the shortest texts first."""
    groups: dict[int, list[int]] = {}
    for number in sorted(range(len(texts)), key=lambda n: len(texts[n])):
        groups.setdefault(len(texts[number]), []).append(number)
    return list(groups.values())
