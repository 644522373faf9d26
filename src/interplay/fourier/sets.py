"""Families of player sets as arrays.

There are two forms, both exact and with one row per set:

* **packed**, ``(s, ceil(n / 8)) uint8``: bit ``i`` (little-endian within the row) is 1 if player
  ``i`` belongs to the set. It is compact whatever the order: the form in memory and in files.
* **members**, ``(s, d) int32``: the players in ascending order, padded with ``n`` to the largest
  order ``d``. It is the form to compute with, since interactions are of low order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from interplay._arrays import pack, unpack
from interplay._types import ByteArray, FloatArray, IntArray, Players

Members: TypeAlias = npt.NDArray[np.int32]

_ROWS_AT_ONCE = 1 << 14
"""Rows that are unpacked to one byte per player at a time."""


def sizes(packed: ByteArray) -> IntArray:
    """Count the players of each set, ``(s,)``: its order."""
    return np.asarray(np.bitwise_count(packed).sum(axis=1, dtype=np.int64))


def as_players(players: Iterable[int], n_players: int) -> Players:
    """Check one set and return it as an ascending tuple of players.

    Raises:
        ValueError: a player is not in ``0 .. n_players - 1``, or comes twice.
    """
    result = tuple(sorted(int(player) for player in players))
    if len(set(result)) != len(result):
        raise ValueError(f"the set {result} names a player twice; name each player once")
    if result and not (result[0] >= 0 and result[-1] < n_players):
        raise ValueError(
            f"the set {result} names a player outside 0..{n_players - 1}; "
            "players are counted from 0 to n_players - 1"
        )
    return result


def pack_sets(family: Iterable[Iterable[int]], n_players: int) -> ByteArray:
    """Convert sets as iterables of players to packed sets."""
    checked = [as_players(players, n_players) for players in family]
    width = max((len(players) for players in checked), default=0)
    members = np.full((len(checked), width), n_players, dtype=np.int32)
    for row, players in enumerate(checked):
        members[row, : len(players)] = players
    return pack_members(members, n_players)


def pack_members(members: Members, n_players: int) -> ByteArray:
    """Convert members to packed sets."""
    packed = np.zeros((len(members), (n_players + 7) // 8), dtype=np.uint8)
    for start in range(0, len(members), _ROWS_AT_ONCE):
        block = members[start : start + _ROWS_AT_ONCE]
        bits = np.zeros((len(block), n_players + 1), dtype=np.bool_)
        bits[np.arange(len(block))[:, None], block] = True
        packed[start : start + len(block)] = pack(bits[:, :n_players])
    return packed


def members(packed: ByteArray, n_players: int) -> Members:
    """Convert packed sets to members."""
    order = sizes(packed)
    result = np.full((len(packed), int(order.max(initial=0))), n_players, dtype=np.int32)
    for start in range(0, len(packed), _ROWS_AT_ONCE):
        block = packed[start : start + _ROWS_AT_ONCE]
        row, player = np.nonzero(unpack(block, n_players))
        first = np.cumsum(order[start : start + len(block)]) - order[start : start + len(block)]
        result[start + row, np.arange(len(row)) - first[row]] = player
    return result


def tuples(members: Members, n_players: int) -> list[Players]:
    """Convert members to ascending tuples, in the same order."""
    order = (members < n_players).sum(axis=1)
    return [tuple(row[:size]) for row, size in zip(members.tolist(), order.tolist(), strict=True)]


def collapse(members: Members, values: FloatArray, n_players: int) -> tuple[Members, FloatArray]:
    """Sum the values of equal sets and sort the sets by order, then lexicographically.

    Args:
        members: ``(s, d)``, rows ascending and padded; equal sets may repeat.
        values: ``(s,)`` or ``(s, k)``.
        n_players: n.

    Returns:
        Members of the distinct sets and their summed values.
    """
    if len(members) == 0:
        return members, values
    keys = _sort_keys(members, n_players)
    order = np.lexsort(keys[::-1])
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    starts = np.flatnonzero(is_first)
    return members[order[starts]], np.add.reduceat(values[order], starts, axis=0)


def _sort_keys(members: Members, n_players: int) -> list[IntArray]:
    """Compute integers that sort and identify sets: the order first, then players as digits."""
    base = n_players + 1
    digits = max(1, int(62 / np.log2(max(base, 2))))
    keys: list[IntArray] = [(members < n_players).sum(axis=1).astype(np.int64)]
    for start in range(0, members.shape[1], digits):
        key = np.zeros(len(members), dtype=np.int64)
        for column in members[:, start : start + digits].T:
            key = key * base + column
        keys.append(key)
    return keys
