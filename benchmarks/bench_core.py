"""Times prediction and conversion to indices, which every explanation needs."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

from interplay import INDICES, Spectrum


def main() -> None:
    rng = np.random.default_rng(0)
    n_players, n_terms, n_masks = 1000, 10_000, 10_000
    sets = [rng.choice(n_players, rng.integers(1, 6), replace=False) for _ in range(n_terms)]
    spectrum = Spectrum.from_terms(n_players, sets, rng.normal(size=n_terms))
    masks = rng.random((n_masks, n_players)) < 0.5
    print(f"{n_terms:,} terms up to order 5, n = {n_players:,}")
    for count in (n_masks // 10, n_masks):
        tracemalloc.start()
        started = time.perf_counter()
        spectrum.predict(masks[:count])
        seconds = time.perf_counter() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"predict {count:6,} masks: {seconds:6.3f} s, peak {peak / 1e6:.0f} MB")
    for index in INDICES:
        started = time.perf_counter()
        found = spectrum.to(index, order=5)
        print(f"to {index:8} {time.perf_counter() - started:6.3f} s, {len(found):7,} sets")


if __name__ == "__main__":
    main()
