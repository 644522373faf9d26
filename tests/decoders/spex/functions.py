"""Planted sparse functions."""

from collections.abc import Callable

import numpy as np


def planted(
    n_players: int, n_terms: int, seed: int, order: int = 5
) -> tuple[set[tuple[int, ...]], Callable[[np.ndarray], np.ndarray]]:
    rng = np.random.default_rng(seed)
    supports: set[tuple[int, ...]] = set()
    while len(supports) < n_terms:
        width = rng.integers(1, min(order, n_players) + 1)
        supports.add(tuple(sorted(rng.choice(n_players, width, replace=False).tolist())))
    listed = sorted(supports)
    coefficients = rng.choice([-1, 1], n_terms) * rng.uniform(0.5, 1.5, n_terms)
    one_hot = np.zeros((n_players, n_terms), dtype=np.float32)
    for i, s in enumerate(listed):
        one_hot[list(s), i] = 1

    def f(masks: np.ndarray) -> np.ndarray:
        odd = (masks.astype(np.float32) @ one_hot).astype(int) & 1
        return 0.7 + (1.0 - 2.0 * odd) @ coefficients

    return supports | {()}, f


def unpack(packed: np.ndarray, n_players: int) -> list[tuple[int, ...]]:
    bits = np.unpackbits(packed, axis=1, count=n_players, bitorder="little")
    return [tuple(np.flatnonzero(row).tolist()) for row in bits]
