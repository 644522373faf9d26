"""The search of a peeling: words of bins, and the sets that they spell.

A word is the values of a bin under all delays. The search has levels, each longer than the one
before, and tried when that one changes nothing. The last levels are for words with much noise:

* Signs are relative to the zero delay, which no parity bit protects. Where that value is small, the
  word is also read with all signs changed.
* A set is in one bin of each group. With two groups of few bins the words of every pair of bins are
  added, so that the noise in the sum is less; the coefficient's sign in each is not known, so that
  both are tried.
"""

from __future__ import annotations

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.decoders.spex.bch import BCH
from interplay.decoders.spex.chase import MAX_DEPTH, decode_parity
from interplay.fourier.sets import Members

PATTERNS = (1, 64, 512, 1 << MAX_DEPTH)
"""Test patterns for each bin, by level; in the last one as many as :data:`_MOST_TESTED` allows."""
LONG = 2
"""From this level on the search is long: only bins that hold more than most are searched."""
PAIRED = len(PATTERNS)
"""The level of pairs of bins, the last one."""
_MOST_TESTED = 1 << 18
"""The patterns that a level after :data:`LONG` tests in all, but 512 for a bin at least, and 64 for
a pair of bins.
"""
_MOST_PAIRS = 1 << 10


def spelled(code: BCH, words: FloatArray, level: int, depth: int) -> tuple[IntArray, Members]:
    """Find the sets that words spell.

    Args:
        code: of the delays.
        words: ``(w, D)``.
        level: of the search, before :data:`PAIRED`.
        depth: how many parity bits may be flipped.

    Returns:
        The row of each set's word, ``(s,)``, and the sets, ``(s, t)``.
    """
    n_patterns = PATTERNS[level]
    if level > LONG:
        depth = max(depth, MAX_DEPTH)
        n_patterns = _affordable(PATTERNS[LONG], len(words))
    signs = np.where(words[:, :1] < 0, -1.0, 1.0)
    rows, read = np.arange(len(words)), words[:, 1:] * signs
    if level >= LONG:
        size = np.abs(words)
        weak = np.flatnonzero(size[:, 0] < np.median(size, axis=1))
        rows, read = np.concatenate([rows, weak]), np.concatenate([read, -read[weak]])
    found, sets = decode_parity(code, read, depth=depth, n_patterns=n_patterns)
    return rows[found], sets


def has_pairs(n_bins: IntArray) -> bool:
    """Whether pairs of bins are searched: of two groups of few bins, ``n_bins (C,)``."""
    return len(n_bins) == 2 and int(np.prod(n_bins)) <= _MOST_PAIRS


def spelled_by_pairs(code: BCH, bins: FloatArray, n_bins: IntArray) -> tuple[IntArray, Members]:
    """Find the sets that sums of two groups' bins spell.

    Args:
        code: of the delays.
        bins: what is left of one output's bins, ``(bins, D)``.
        n_bins: how many each of the two groups has.

    Returns:
        The two bins of each set's word, ``(s, 2)``, and the sets, ``(s, t)``.
    """
    first, second = (
        part.ravel() for part in np.meshgrid(np.arange(n_bins[0]), np.arange(n_bins[1]))
    )
    pairs = np.column_stack([first, n_bins[0] + second])
    # the noise of a bin's value has a variance of one over the masks that it is the mean of
    ours, theirs = n_bins[0] * bins[pairs[:, 0]], n_bins[1] * bins[pairs[:, 1]]
    read = np.concatenate([ours + theirs, ours - theirs, theirs - ours, -ours - theirs])
    n_patterns = _affordable(PATTERNS[1], len(read))
    found, sets = decode_parity(code, read[:, 1:], depth=MAX_DEPTH, n_patterns=n_patterns)
    return pairs[found % len(pairs)], sets


def _affordable(least: int, n_words: int) -> int:
    """How many patterns are tested on each of so many words."""
    return min(PATTERNS[-1], max(least, _MOST_TESTED // max(1, n_words)))
