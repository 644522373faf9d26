"""Decoding by the Gaussian process and its company: CPU seconds, peak memory, and how both grow.

All decode the same uniform masks and noisy values of a planted hierarchical function. Each of ours
runs in a process of its own, on one thread of BLAS; what is told is the CPU time of decoding, of
all its threads, and the most memory that the process ever held. The peers tell their own seconds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from common import hierarchical, run_peer
from interplay._types import BoolArray, FloatArray
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform

COMPARED = ((22, 400), (64, 1_000), (128, 2_000))
GROWN = ((128, 4_000), (256, 4_000), (512, 8_000), (1_000, 10_000))
N_HELD_OUT = 1_000
NOISE = 0.1
PEERS = ("spectralexplain", "shapiq")


@dataclass(frozen=True)
class Planted:
    """A planted function's masks with noisy values, and others with the true ones."""

    masks: BoolArray
    values: FloatArray
    held_masks: BoolArray
    held_values: FloatArray

    def r2(self, predictions: FloatArray) -> float:
        """R2 of predictions of the true values."""
        return float(r2(self.held_values, predictions)[0])


@dataclass(frozen=True)
class Measured:
    """CPU seconds of decoding, the peak memory of its process in GiB, and R2."""

    seconds: float
    peak: float
    r2: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grow", action="store_true", help="sizes that take the peers too long")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--decoders", nargs="*", default=["gp", "auto", "proxyspex"])
    parser.add_argument("--sizes", nargs="*", type=size, help="players and masks, as 128x2000")
    chosen = parser.parse_args()
    for n_players, n_masks in chosen.sizes or COMPARED + (GROWN if chosen.grow else ()):
        ours = None
        for name in chosen.decoders:
            found = decoded(name, n_players, n_masks)
            ours = ours or found
            print(
                f"n={n_players} m={n_masks} {name}: {found.seconds:.1f} CPU s, "
                f"R2 {found.r2:.3f}, peak {found.peak:.2f} GiB",
                flush=True,
            )
        if chosen.no_peers or ours is None or (n_players, n_masks) not in COMPARED:
            continue
        game = planted(n_players, n_masks)
        for peer in PEERS:
            made = run_peer(peer, game.masks, game.values, game.held_masks)
            print(
                f"n={n_players} m={n_masks} {peer}: {made.seconds:.1f} s, "
                f"R2 {game.r2(made.predictions):.3f}, "
                f"{made.seconds / ours.seconds:.1f} times the time of {chosen.decoders[0]}",
                flush=True,
            )


def size(text: str) -> tuple[int, int]:
    """The players and the masks of "128x2000"."""
    n_players, n_masks = text.split("x")
    return int(n_players), int(n_masks)


def planted(n_players: int, n_masks: int) -> Planted:
    rng = np.random.default_rng(n_players)
    truth = hierarchical(n_players, rng)
    masks = uniform(n_masks + N_HELD_OUT, n_players, rng)
    values = truth.predict(masks)
    noisy = values + NOISE * values.std() * rng.normal(size=len(values))
    return Planted(masks[:n_masks], noisy[:n_masks], masks[n_masks:], values[n_masks:])


def decoded(name: str, n_players: int, n_masks: int) -> Measured:
    """Decode in a new process, so that its peak memory is the decoder's own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_decode, name, n_players, n_masks).result()


def _decode(name: str, n_players: int, n_masks: int) -> Measured:
    game, rng = planted(n_players, n_masks), np.random.default_rng(0)
    design = PlainDesign("planted", game.masks)
    started = time.process_time()
    found = run_decoder(get_decoder(name), design, game.values, 5, rng, {})
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    learned = found.surrogate or found.spectrum
    return Measured(seconds, peak, game.r2(learned.predict(game.held_masks)))


if __name__ == "__main__":
    main()
