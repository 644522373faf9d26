"""ProxySPEX against shapiq's, on the same ablations in the same run: time and held-out R2.

Both are held to one core. The peer uses all of LightGBM's threads, which wait busily for each
other. With another process on the machine it would look many times slower than it is.

Needs shapiq 1.8 in an environment of its own (Python 3.12): see `make bench`.
"""

from __future__ import annotations

import os
import time

import numpy as np

import interplay as ip
from common import hierarchical, run_peer
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform

CASES = ((22, 400, 0.1), (64, 1536, 0.1), (128, 2000, 0.0), (128, 2000, 0.1))
SEEDS = 3


def one(n_players: int, n_masks: int, noise: float, seed: int) -> tuple[float, ...]:
    """Decode one function; return the seconds of ours and theirs, and the R2 of ours and theirs."""
    rng = np.random.default_rng(seed)
    truth = hierarchical(n_players, rng)
    masks = uniform(n_masks, n_players, rng)
    values = truth.predict(masks)
    values += rng.normal(0, np.sqrt(noise * values.var()), n_masks)
    test = uniform(2000, n_players, rng, exclude=masks)
    actual = truth.predict(test)
    ip.decode(masks[:60], values[:60])  # imports and first-call costs are not timed
    started = time.perf_counter()
    ours = ip.decode(masks, values)
    seconds = time.perf_counter() - started
    theirs = run_peer("shapiq", masks, values, test)
    scores = r2(actual, ours.predict(test))[0], r2(actual, theirs.predictions)[0]
    return seconds, theirs.seconds, *map(float, scores)


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the peer's process inherits it
    print(f"medians of {SEEDS} functions; the ratio is the median of the ratios")
    print("    n     m  noise |  seconds: ours  shapiq   ratio |       R2: ours  shapiq")
    for case in CASES:
        runs = np.array([one(*case, seed) for seed in range(SEEDS)])
        ours, theirs, our_r2, their_r2 = np.median(runs, axis=0)
        ratio = np.median(runs[:, 1] / runs[:, 0])
        n_players, n_masks, noise = case
        print(
            f"{n_players:5} {n_masks:5} {noise:6} | {ours:14.2f} {theirs:7.2f} {ratio:6.1f}x |"
            f" {our_r2:14.4f} {their_r2:7.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
