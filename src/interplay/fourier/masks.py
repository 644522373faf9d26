"""Masks: checking, sampling, naming.

A mask is a row of ``n`` booleans; ``True`` means that the player is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from interplay._arrays import pack, unpack
from interplay._types import BoolArray, ByteArray, IntArray

TABLE_LIMIT = 14
"""Up to this number of players, distinct masks are drawn by permuting the table of all masks."""
_DRAWN_AT_ONCE = 1024


def as_masks(masks: npt.ArrayLike, n_players: int | None = None) -> BoolArray:
    """Check masks and return them as a C-ordered ``(m, n) bool`` array.

    Raises:
        ValueError: masks are not two-dimensional, hold values other than booleans, 0 and 1, or are
            not ``n_players`` wide.
    """
    array = np.asarray(masks)
    if array.ndim != 2:
        raise ValueError(
            f"masks of shape {array.shape} are not two-dimensional; "
            "give (m, n), one row per ablation (a single mask is masks[None, :])"
        )
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"masks of dtype {array.dtype} hold values other than 0 and 1; "
            "give booleans, True for a player that is kept"
        )
    if n_players is not None and array.shape[1] != n_players:
        raise ValueError(
            f"masks of shape {array.shape} are {array.shape[1]} players wide, "
            f"but there are {n_players} players"
        )
    return np.ascontiguousarray(array, dtype=np.bool_)


def keys(masks: BoolArray) -> list[bytes]:
    """Make a hashable key per mask: its packed bits."""
    return [row.tobytes() for row in pack(masks)]


def distinct(masks: BoolArray) -> tuple[BoolArray, IntArray]:
    """Find the distinct masks, in order of first appearance, and the place of each row in them.

    Returns:
        ``(unique, inverse)`` with ``unique[inverse] == masks``.
    """
    seen: dict[bytes, int] = {}
    inverse = np.fromiter(
        (seen.setdefault(key, len(seen)) for key in keys(masks)), dtype=np.int64, count=len(masks)
    )
    first = np.full(len(seen), len(masks), dtype=np.int64)
    np.minimum.at(first, inverse, np.arange(len(masks)))
    return masks[first], inverse


def first_of_pair(masks: BoolArray) -> IntArray:
    """For each of m distinct masks the first row of it and its complement, ``(m,)``."""
    row_of = {key: row for row, key in enumerate(keys(masks))}
    rows = (min(row_of.get(key, row), row) for row, key in enumerate(keys(~masks)))
    return np.fromiter(rows, dtype=np.int64, count=len(masks))


def end_masks(n_players: int) -> BoolArray:
    """The masks of the full input and of the empty one, ``(2, n)``."""
    return np.array([[True] * n_players, [False] * n_players])


def sorted_by_prefix(masks: BoolArray) -> IntArray:
    """Sort masks so that those that agree on their first players are neighbours: rows, ``(m,)``."""
    return np.lexsort(masks.T[::-1])


def every_mask(n_players: int) -> BoolArray:
    """List all 2^n masks, ``(2**n, n)``; player ``i`` is bit ``i`` of the row's number."""
    return _from_numbers(np.arange(1 << n_players, dtype=np.int64), n_players)


def numbers_of(masks: BoolArray) -> IntArray:
    """The rows of masks ``(m, n)`` in :func:`every_mask`, ``(m,)``."""
    return np.asarray(masks @ (1 << np.arange(masks.shape[1], dtype=np.int64)))


def _from_numbers(numbers: IntArray, n_players: int) -> BoolArray:
    return np.asarray((numbers[:, None] >> np.arange(n_players)) & 1 == 1)


def uniform(
    n_masks: int, n_players: int, rng: np.random.Generator, exclude: BoolArray | None = None
) -> BoolArray:
    """Draw distinct masks, each player kept with probability 1/2.

    With a generator in the same state, the masks for a smaller ``n_masks`` are the first rows of
    those for a larger one. A larger budget therefore only adds ablations.

    Args:
        n_masks: how many masks.
        n_players: n.
        rng: draws the masks.
        exclude: masks that must not be drawn, ``(e, n)``.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    excluded = set() if exclude is None else set(keys(exclude))
    available = (1 << n_players) - len(excluded)
    if n_masks > available:
        raise ValueError(
            f"{n_masks} distinct masks were asked for, but {n_players} players have only "
            f"{available} left; ask for at most {available}"
        )
    if n_players <= TABLE_LIMIT:
        table = _from_numbers(rng.permutation(1 << n_players), n_players)
        fresh = [row for row, key in enumerate(keys(table)) if key not in excluded]
        return table[fresh[:n_masks]]
    drawn: dict[bytes, None] = {}
    while len(drawn) < n_masks:
        block = rng.integers(0, 2, size=(_DRAWN_AT_ONCE, n_players), dtype=np.uint8)
        drawn.update((key, None) for key in keys(block.view(np.bool_)) if key not in excluded)
    return from_keys(list(drawn)[:n_masks], n_players)


def from_keys(packed: Sequence[bytes], n_players: int) -> BoolArray:
    """Unpack the masks of keys: the inverse of :func:`keys`."""
    rows: ByteArray = np.frombuffer(b"".join(packed), dtype=np.uint8)
    return unpack(rows.reshape(len(packed), (n_players + 7) // 8), n_players)


def describe(mask: BoolArray, limit: int = 12) -> str:
    """Describe a mask: how many players it keeps and which it removes (or keeps, if fewer)."""
    kept, removed = np.flatnonzero(mask), np.flatnonzero(~mask)
    word, players = ("removed", removed) if len(removed) <= len(kept) else ("kept", kept)
    listed = ", ".join(map(str, players[:limit])) + (", ..." if len(players) > limit else "")
    return f"mask keeping {len(kept)} of {len(mask)} players ({word}: {listed or 'none'})"
