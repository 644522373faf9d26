"""Decoding times of the Gaussian process beside the peers' ProxySPEX, and how they grow.

All decode the same masks and values of a planted hierarchical function, on one thread each.
``--grow`` adds sizes that take the peers too long, with the peak of this process's memory.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from common import hierarchical, run_peer
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform

COMPARED = ((22, 400), (64, 1_000), (128, 2_000))
GROWN = ((128, 4_000), (256, 4_000), (512, 8_000), (1_000, 10_000))
NOISE = 0.1
PEERS = ("spectralexplain", "shapiq")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    chosen = parser.parse_args()
    for n_players, n_masks in COMPARED + (GROWN if chosen.grow else ()):
        rng = np.random.default_rng(n_players)
        truth = hierarchical(n_players, rng)
        masks = uniform(n_masks + 1000, n_players, rng)
        values = truth.predict(masks)
        noisy = values + NOISE * values.std() * rng.normal(size=len(values))
        fit, held = slice(n_masks), slice(n_masks, None)
        design = PlainDesign("planted", masks[fit])
        ours = 0.0
        for name in ("gp", "proxyspex"):
            started = time.perf_counter()
            found = run_decoder(
                get_decoder(name), design, noisy[fit], 5, np.random.default_rng(0), {}
            )
            seconds = time.perf_counter() - started
            ours = ours or seconds
            learned = found.surrogate or found.spectrum
            score = r2(values[held], learned.predict(masks[held]))[0]
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"n={n_players} m={n_masks} {name}: {seconds:.1f} s, R2 {score:.3f}, "
                f"peak {memory:.1f} GiB",
                flush=True,
            )
        if chosen.no_peers or (n_players, n_masks) not in COMPARED:
            continue
        for peer in PEERS:
            made = run_peer(peer, masks[fit], noisy[fit], masks[held])
            score = r2(values[held], made.predictions)[0]
            print(
                f"n={n_players} m={n_masks} {peer}: {made.seconds:.1f} s, R2 {score:.3f}, "
                f"{made.seconds / ours:.1f} times the Gaussian process's time",
                flush=True,
            )


if __name__ == "__main__":
    main()
