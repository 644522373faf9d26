"""ProxySPEX against shapiq's, on the same ablations in the same run: time and held-out R2.

Needs shapiq 1.8 in an environment of its own (Python 3.12): see `make bench`.
"""

from __future__ import annotations

import time

import numpy as np

import interplay as ip
from common import hierarchical, run_peer
from interplay.evaluation import r2
from interplay.masks import uniform

CASES = ((22, 400, 0.0), (22, 400, 0.1), (64, 1536, 0.1), (128, 2000, 0.0), (128, 2000, 0.1))


def main() -> None:
    print("    n     m  noise |  seconds: ours  shapiq   ratio |       R2: ours  shapiq")
    for n_players, n_masks, noise in CASES:
        rng = np.random.default_rng(n_players)
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
        print(
            f"{n_players:5} {n_masks:5} {noise:6} |"
            f" {seconds:14.2f} {theirs.seconds:7.2f} {theirs.seconds / seconds:6.1f}x |"
            f" {r2(actual, ours.predict(test))[0]:14.4f} {r2(actual, theirs.predictions)[0]:7.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
