"""Planted sparse functions."""

from collections.abc import Callable

import numpy as np


def planted(
    n: int, terms: int, seed: int, order: int = 5
) -> tuple[set[tuple[int, ...]], Callable[[np.ndarray], np.ndarray]]:
    rng = np.random.default_rng(seed)
    supports: set[tuple[int, ...]] = set()
    while len(supports) < terms:
        width = rng.integers(1, min(order, n) + 1)
        supports.add(tuple(sorted(rng.choice(n, width, replace=False).tolist())))
    listed = sorted(supports)
    coefficients = rng.choice([-1, 1], terms) * rng.uniform(0.5, 1.5, terms)
    one_hot = np.zeros((n, terms), dtype=np.float32)
    for i, s in enumerate(listed):
        one_hot[list(s), i] = 1

    def f(masks: np.ndarray) -> np.ndarray:
        odd = (masks.astype(np.float32) @ one_hot).astype(int) & 1
        return 0.7 + (1.0 - 2.0 * odd) @ coefficients

    return supports | {()}, f


def unpack(packed: np.ndarray, n: int) -> list[tuple[int, ...]]:
    bits = np.unpackbits(packed, axis=1, count=n, bitorder="little")
    return [tuple(np.flatnonzero(row).tolist()) for row in bits]
