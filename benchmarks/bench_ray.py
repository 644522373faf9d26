"""Throughput of the Ray back end against the number of actors, and a model of it.

Actors on one machine with few cores cannot show how computing scales. The game therefore sleeps,
and the benchmark measures the engine's own part, which is what limits a cluster. `d`, the driver's
seconds per block, is measured with a game that takes no time. The model rate(a) = 1 / max(t / a, d)
is printed beside each measured point.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import ray

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.ablation.backends.ray import RayBackend
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.store import Store
from interplay.fourier.masks import uniform

BLOCK = 64


class Sleeping:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, masks: BoolArray) -> FloatArray:
        time.sleep(self.seconds)
        return masks[:, 0] * 1.0


def seconds_per_block(n_actors: int, seconds: float, n_blocks: int) -> float:
    """Measure from the first value to the last, so the start of the actors does not count."""
    game = ip.FunctionGame(Sleeping(seconds), 64, fingerprint=f"{n_actors} {seconds}")
    masks = uniform(BLOCK * n_blocks, 64, np.random.default_rng(0))
    times: list[float] = []

    class Clocked(Store):
        def put(self, fingerprint: str, masks: BoolArray, values: FloatArray) -> None:
            super().put(fingerprint, masks, values)
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, Clocked(Path(folder) / "a.db") as store:
        backend = RayBackend(n_actors=n_actors, num_cpus=0.01)
        evaluator = Evaluator.of(game, backend=backend, batch_size=BLOCK, progress=False)
        replace(evaluator, store=store)(masks)
    settled = times[len(times) // 4 :]  # by then all actors are ready
    return (settled[-1] - settled[0]) / (len(settled) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="t, of a block on an actor")
    options = parser.parse_args()
    ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR")
    driver = seconds_per_block(2, 0.0, 400)
    print(f"d, the driver's work for a block of {BLOCK} masks: {driver * 1e3:.1f} ms")
    print(f"{'actors':>6} {'blocks/s':>9} {'model':>7} {'ablations/s':>12}")
    for n_actors in (1, 2, 4, 8, 16):
        measured = 1 / seconds_per_block(n_actors, options.seconds, 24 * n_actors)
        model = 1 / max(options.seconds / n_actors, driver)
        print(f"{n_actors:6d} {measured:9.2f} {model:7.2f} {measured * BLOCK:12.0f}", flush=True)
    for seconds in (1.0, 10.0):
        print(f"blocks of {seconds:g} s: the driver keeps up with {seconds / driver:.0f} actors")


if __name__ == "__main__":
    main()
