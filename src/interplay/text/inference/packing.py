"""Rows that hold the leaves of several sequences, so that what they share is read once.

Each level of a tree of prefixes takes a pass of its own, and the rows of a pass are padded. Shared
prefixes near the ends of sequences are too short to pay for that. Leaves after one node therefore
go into one row, with what neighbours share written once, and a mask says which tokens a token
attends to: those before it in its own sequence. The tokens whose logits are read stand last, so
that logits are computed for these only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, IntArray
from interplay.text.inference.trie import PASS_TOKENS, Trie, build, passes, shared_length

THRESHOLDS = (2, 8, 24, 72)
"""How many tokens a shared prefix must save, in the trees that are compared."""
WIDTHS = (64, 128)
"""The most tokens of a row of several leaves; the cheapest is chosen. Wider rows are dearer: each
token of a row is compared with all others, those of other sequences too."""
_ATTENTION = 620
"""So many more tokens in a row make a token's attention take as much longer as all the rest does
(SmolLM2 on one core of a CPU)."""


@dataclass(frozen=True)
class Row:
    """Leaves that are evaluated as one row of a pass.

    Attributes:
        leaves: the numbers of their sequences, neighbours in sorted order, after one inner node.
        starts: for each leaf the position of its first token that the leaf before it, in this row,
            does not have.
        size: the number of tokens.
    """

    leaves: tuple[int, ...]
    starts: tuple[int, ...]
    size: int


def cheapest(
    sequences: Sequence[Sequence[int]], unshared: Sequence[int], limit: int, *, several: bool
) -> tuple[Trie, list[Row]]:
    """Cut sequences into the cheapest of a few trees and rows.

    More shared prefixes need more passes.

    Args:
        sequences: as for :func:`interplay.text.inference.trie.build`.
        unshared: see there.
        limit: the most tokens of a node, and of a pass.
        several: whether rows may hold several leaves.

    Returns:
        The tree, and its leaves in rows.
    """
    widths = (0, *(min(width, limit) for width in WIDTHS)) if several else (0,)
    tries = [build(sequences, unshared, saved, limit) for saved in THRESHOLDS]
    if several:
        tries.append(build(sequences, unshared, longest=limit, min_saved=limit * len(sequences)))
    choices = [(trie, pack(trie, sequences, unshared, width)) for trie in tries for width in widths]
    return min(choices, key=lambda choice: cost(choice[0], choice[1], limit))


def cost(trie: Trie, rows: Sequence[Row], limit: int) -> float:
    """What it costs to evaluate a tree level by level and then rows: tokens, padding and passes.

    Args:
        trie: the tree.
        rows: its leaves.
        limit: the most tokens of a pass, padding included; a single row may have more.
    """
    sizes: dict[int, list[int]] = {}
    for node in trie.inner:
        sizes.setdefault(node.depth, []).append(node.stop - node.start)
    sizes[-1] = [row.size for row in rows]
    total = sum(row.size * _n_foreign(row, trie) / _ATTENTION for row in rows)
    for level in sizes.values():
        level.sort(reverse=True)
        at = 0
        for count in passes(level, limit):
            total += count * level[at] + PASS_TOKENS
            at += count
    return total


def _n_foreign(row: Row, trie: Trie) -> int:
    """How many tokens of a row are not of its longest leaf."""
    leaves = (trie.leaves[number] for number in row.leaves)
    return row.size - max(leaf.stop - leaf.start for leaf in leaves)


def pack(
    trie: Trie, sequences: Sequence[Sequence[int]], unshared: Sequence[int], width: int
) -> list[Row]:
    """Put the leaves of a tree into rows.

    Args:
        trie: the tree of the sequences.
        sequences: the sequences.
        unshared: for each sequence, how many of its last tokens must be its own.
        width: the most tokens of a row; a row of a single leaf may have more.
    """
    rows: list[Row] = []
    last: dict[int, int] = {}  # the last row after each inner node
    for number in sorted(range(len(sequences)), key=lambda number: tuple(sequences[number])):
        leaf = trie.leaves[number]
        at = last.get(leaf.parent)
        if at is not None:
            row = rows[at]
            before = row.leaves[-1]
            start = min(
                shared_length(sequences[before], sequences[number]),
                len(sequences[before]) - unshared[before],
                leaf.stop - unshared[number],
            )
            start = max(start, leaf.start)
            if (size := row.size + leaf.stop - start) <= width:
                rows[at] = Row((*row.leaves, number), (*row.starts, start), size)
                continue
        last[leaf.parent] = len(rows)
        rows.append(Row((number,), (leaf.start,), leaf.stop - leaf.start))
    return rows


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the t tokens of a row stand.

    Attributes:
        leaf: the number of each token's sequence, ``(t,)``.
        position: its position there, ``(t,)``.
        attends: which tokens of the row (columns) each token (rows) attends to, ``(t, t)``.
        n_read: for each leaf, how many of the last tokens are read for it; they stand in the order
            of the leaves.
    """

    leaf: IntArray
    position: IntArray
    attends: BoolArray
    n_read: list[int]


def n_read(row: Row, trie: Trie, n_positions: int) -> list[int]:
    """For each leaf of a row, the number of its last tokens that stand at the row's end."""
    sizes = (
        trie.leaves[leaf].stop - start for leaf, start in zip(row.leaves, row.starts, strict=True)
    )
    return [min(size, n_positions) for size in sizes]


def lay_out(row: Row, trie: Trie, n_positions: int) -> Layout:
    """Arrange a row's tokens, those whose logits are read at its end.

    Args:
        row: the row.
        trie: its tree.
        n_positions: at how many of a sequence's last positions logits are read, at most.
    """
    stops = [trie.leaves[number].stop for number in row.leaves]
    n_last_tokens = n_read(row, trie, n_positions)
    begin = row.starts[0]
    leaf, position = np.zeros(row.size, dtype=np.int64), np.zeros(row.size, dtype=np.int64)
    attends = np.zeros((row.size, row.size), dtype=np.bool_)
    unread, read = 0, row.size - sum(n_last_tokens)
    path = np.zeros(0, dtype=np.int64)  # where the tokens of a sequence stand
    for number, start, stop, n_last in zip(
        row.leaves, row.starts, stops, n_last_tokens, strict=True
    ):
        n_first = stop - start - n_last
        new = np.r_[unread : unread + n_first, read : read + n_last]
        unread, read = unread + n_first, read + n_last
        path = np.concatenate([path[: start - begin], new])
        leaf[new], position[new] = number, np.arange(start, stop)
        attends[np.ix_(new, path)] = np.tri(len(new), len(path), start - begin, dtype=np.bool_)
    return Layout(leaf, position, attends, n_last_tokens)
