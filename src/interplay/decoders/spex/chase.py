"""Chase soft decoding of parity-only words: flip the least reliable bits and decode.

Syndromes are linear over GF(2), so those of all 2^depth test patterns are XORs of the columns of
the flipped bits, built by doubling. Each word then tries its own most likely patterns only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interplay.decoders.spex.bch import BCH, Ints, locate, syndromes

MAX_DEPTH = 12  # 4,096 patterns a word; beyond that the table of patterns outgrows its use


def decode_parity(
    code: BCH, soft: NDArray[np.float64], *, depth: int = 0, n_patterns: int = 1
) -> tuple[Ints, Ints]:
    """Supports whose parity bits agree with the signs of ``soft``, information part zero.

    Args:
        code: the code.
        soft: float (w, p); a negative value says that the parity bit is 1, its magnitude how
            surely.
        depth: how many of the least reliable bits may be flipped; 0 is hard decoding. At most
            ``MAX_DEPTH`` and p are used.
        n_patterns: test patterns tried for each word, the most likely ones first (the order of the
            sum of the magnitudes flipped); the unflipped word is always among them.

    Returns:
        rows intp (q,), the word that each candidate came from, ascending, and supports intp (q, t),
        ascending players padded with -1 at the end. No (row, support) comes twice. Words that
        decode under no pattern are absent.
    """
    w = soft.shape[0]
    if w == 0:
        return np.empty(0, dtype=np.intp), np.empty((0, code.t), dtype=np.intp)
    received = syndromes(code, soft < 0, code.n)
    depth = min(depth, MAX_DEPTH, code.n_parity)
    if depth == 0 or n_patterns == 1:
        positions, n_errors = locate(code, received)
        good = np.flatnonzero(n_errors >= 0)
        return good, np.where(positions[good] < code.n, positions[good], -1)
    words, rows = _patterns(code, soft, received, depth, n_patterns)
    positions, n_errors = locate(code, words)
    good = np.flatnonzero(n_errors >= 0)
    found = positions[good]
    support = np.where(found < code.n, found, -1)  # ascending, so parity positions are at the end
    keyed = np.column_stack([rows[good], support])
    keyed = keyed[np.lexsort(keyed.T[::-1])]
    fresh = np.ones(len(keyed), dtype=np.bool_)
    fresh[1:] = (keyed[1:] != keyed[:-1]).any(axis=1)
    return keyed[fresh, 0], keyed[fresh, 1:]


def _patterns(
    code: BCH, soft: NDArray[np.float64], received: Ints, depth: int, n_patterns: int
) -> tuple[Ints, Ints]:
    """Syndromes of likely test patterns of each word, (w * n_patterns, t), and their rows."""
    w = soft.shape[0]
    n_patterns = min(n_patterns, 1 << depth)
    magnitude = np.abs(soft)
    if depth < code.n_parity:
        weakest = np.argpartition(magnitude, depth - 1, axis=1)[:, :depth]
    else:
        weakest = np.broadcast_to(np.arange(depth), (w, depth))
    cost = np.zeros((w, 1 << depth), dtype=np.float32)
    weight = np.take_along_axis(magnitude, weakest, axis=1).astype(np.float32)
    for i in range(depth):
        cost[:, 1 << i : 2 << i] = cost[:, : 1 << i] + weight[:, i, None]
    if n_patterns < 1 << depth:
        chosen = np.argpartition(cost, n_patterns - 1, axis=1)[:, :n_patterns]
    else:
        chosen = np.broadcast_to(np.arange(1 << depth), (w, 1 << depth))
    shift = code.columns[code.n + weakest]  # (w, depth, t)
    words = np.empty((w, n_patterns, code.t), dtype=np.intp)
    table = np.zeros((w, 1 << depth), dtype=np.intp)
    for r in range(code.t):
        table[:, 0] = received[:, r]
        for i in range(depth):
            table[:, 1 << i : 2 << i] = table[:, : 1 << i] ^ shift[:, i, r, None]
        words[:, :, r] = np.take_along_axis(table, chosen, axis=1)
    return words.reshape(-1, code.t), np.repeat(np.arange(w), n_patterns)
