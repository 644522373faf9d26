"""Chase soft decoding of words of parity bits: flip the least reliable bits and decode.

A test pattern says which of a word's ``depth`` least reliable bits are flipped (SPEX, arXiv
2502.13870, algorithm 3). Syndromes are linear over GF(2). Those of all 2^depth test patterns are
therefore XORs of the columns of the flipped bits; each bit doubles the table. A word is decoded
under its most likely patterns only.
"""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.spex.bch import BCH, locate, syndromes
from interplay.fourier.sets import Members

MAX_DEPTH = 12
"""The most bits that are flipped: 4,096 patterns for each word. A longer table is not worth it."""


def decode_parity(
    code: BCH, soft: FloatArray, *, depth: int = 0, n_patterns: int = 1
) -> tuple[IntArray, Members]:
    """Find sets of players whose parity bits agree with the signs of ``soft``.

    Args:
        code: the code.
        soft: ``(w, p)``; negative where the parity bit is 1; the larger the magnitude, the surer.
        depth: how many of the least reliable bits may be flipped, up to :data:`MAX_DEPTH` and p;
            0 is hard decoding.
        n_patterns: how many test patterns are tried on each word, the most likely ones first: those
            of the smallest sum of the magnitudes flipped. No bit flipped is always among them.

    Returns:
        The word of each set, ascending, ``(s,)``; and the sets as members (see
        :mod:`interplay.fourier.sets`), ``(s, t)``. A word has each of its sets once. A word that
        decodes under no pattern has none.
    """
    if len(soft) == 0:
        return np.empty(0, dtype=np.int64), np.empty((0, code.t), dtype=np.int32)
    received = syndromes(code, soft < 0, first=code.n_players)
    depth = min(depth, MAX_DEPTH, code.n_parity)
    if depth == 0 or n_patterns == 1:
        positions, n_errors = locate(code, received)
        words = np.flatnonzero(n_errors >= 0)
        return words, _as_members(code, positions[words])
    tested, word_of = _test_patterns(code, soft, received, depth, n_patterns)
    positions, n_errors = locate(code, tested)
    decoded = np.flatnonzero(n_errors >= 0)
    # positions ascend: errors in parity bits, which no set needs, are at the end of a row
    in_set = np.where(positions[decoded] < code.n_players, positions[decoded], -1)
    pairs = np.column_stack([word_of[decoded], in_set])
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    is_first = np.ones(len(pairs), dtype=np.bool_)
    is_first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[is_first, 0], _as_members(code, pairs[is_first, 1:])


def _as_members(code: BCH, positions: IntArray) -> Members:
    """Turn positions of errors, padded with -1, into members: the players only."""
    is_player: BoolArray = (positions >= 0) & (positions < code.n_players)
    return np.where(is_player, positions, code.n_players).astype(np.int32)


def _test_patterns(
    code: BCH, soft: FloatArray, received: IntArray, depth: int, n_patterns: int
) -> tuple[IntArray, IntArray]:
    """Compute the syndromes of each word's likely test patterns.

    Returns:
        The syndromes, ``(w * n_patterns, t)``; and the word of each, ``(w * n_patterns,)``.
    """
    n_words, n_all = len(soft), 1 << depth
    n_patterns = min(n_patterns, n_all)
    magnitude = np.abs(soft)
    if depth < code.n_parity:
        weakest = np.argpartition(magnitude, depth - 1, axis=1)[:, :depth]
    else:
        weakest = np.broadcast_to(np.arange(depth), (n_words, depth))
    cost = np.zeros((n_words, n_all), dtype=np.float32)
    weight = np.take_along_axis(magnitude, weakest, axis=1).astype(np.float32)
    for i in range(depth):
        cost[:, 1 << i : 2 << i] = cost[:, : 1 << i] + weight[:, i, None]
    if n_patterns < n_all:
        likely = np.argpartition(cost, n_patterns - 1, axis=1)[:, :n_patterns]
    else:
        likely = np.broadcast_to(np.arange(n_all), (n_words, n_all))
    shift = code.columns[code.n_players + weakest]  # (w, depth, t)
    tested = np.empty((n_words, n_patterns, code.t), dtype=np.int64)
    table = np.zeros((n_words, n_all), dtype=np.int64)
    for r in range(code.t):
        table[:, 0] = received[:, r]
        for i in range(depth):
            table[:, 1 << i : 2 << i] = table[:, : 1 << i] ^ shift[:, i, r, None]
        tested[:, :, r] = np.take_along_axis(table, likely, axis=1)
    return tested.reshape(-1, code.t), np.repeat(np.arange(n_words), n_patterns)
