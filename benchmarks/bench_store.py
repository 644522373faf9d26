"""What the store costs: per ablation beside an evaluation, and once it is large."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from interplay._types import BoolArray
from interplay.ablation.store import Store

N_PLAYERS = 64
N_ABLATIONS = 2_048
BLOCK_SIZES = (1, 8, 64)
STORED = (10_000, 1_000_000)
PUT_AT_ONCE = 10_000
LOOKED_UP = 2_000


def masks_of(numbers: np.ndarray) -> BoolArray:
    """Make distinct masks that look random: an odd factor permutes the 64-bit numbers."""
    scattered = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(scattered[:, None] >> np.arange(N_PLAYERS, dtype=np.uint64) & 1 == 1)


def microseconds_per_ablation(path: Path, block: int) -> float:
    masks, values = masks_of(np.arange(N_ABLATIONS)), np.arange(N_ABLATIONS, dtype=float)
    with Store(path) as store:
        store.register("game", N_PLAYERS)
        started = time.perf_counter()
        for start in range(0, N_ABLATIONS, block):
            rows = slice(start, start + block)
            mine = store.claim("game", masks[rows])
            store.put("game", masks[rows][mine], values[rows][mine])
        return (time.perf_counter() - started) / N_ABLATIONS * 1e6


def fill(path: Path, n_stored: int) -> float:
    started = time.perf_counter()
    with Store(path) as store:
        for start in range(0, n_stored, PUT_AT_ONCE):
            numbers = np.arange(start, min(start + PUT_AT_ONCE, n_stored))
            store.put("game", masks_of(numbers), numbers.astype(float))
    return time.perf_counter() - started


def memory(field: str) -> float:
    """Read a field of this process's status in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the system does not tell {field}")


def look_up(path: str, n_stored: int) -> tuple[float, float, float]:
    """Measure the milliseconds to open and to look up, and the most MB by which the process grew.

    It runs in a process of its own, so nothing of the store is in its memory before.
    """
    rng = np.random.default_rng(0)
    known = rng.choice(n_stored, LOOKED_UP // 2, replace=False)
    masks = masks_of(np.concatenate([known, n_stored + np.arange(LOOKED_UP // 2)]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = memory("VmRSS")
    started = time.perf_counter()
    store = Store(path)
    opened = time.perf_counter()
    found, values = store.get("game", masks)
    done = time.perf_counter()
    store.close()
    if found.sum() != len(known) or not np.array_equal(values, known):
        raise RuntimeError("the store gave back something else than was put")
    return (opened - started) * 1e3, (done - opened) * 1e3, memory("VmHWM") - before


def best(measure: Callable[[int], float], times: int = 3) -> float:
    return min(measure(attempt) for attempt in range(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--evaluation-ms", type=float, default=12.0, help="the cheapest real evaluation"
    )
    evaluation = parser.parse_args().evaluation_ms
    with tempfile.TemporaryDirectory() as folder:
        print(f"claim and put, n = {N_PLAYERS}, beside an evaluation of {evaluation:g} ms")
        for block in BLOCK_SIZES:
            cost = best(
                lambda attempt, block=block: microseconds_per_ablation(
                    Path(folder) / f"{block}-{attempt}.db", block
                )
            )
            share = cost / 1e3 / evaluation
            print(f"  blocks of {block:2}: {cost:6.1f} us per ablation, {share:6.2%}")
        print(f"looking up {LOOKED_UP:,} masks, half of them stored: best time, worst memory of 3")
        for n_stored in STORED:
            path = Path(folder) / f"{n_stored}.db"
            seconds = fill(path, n_stored)
            with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                runs = [pool.apply(look_up, (str(path), n_stored)) for _ in range(3)]
            opened, looked, _ = np.min(runs, axis=0)
            grew = max(run[2] for run in runs)
            print(
                f"  {n_stored:9,} stored: {path.stat().st_size / 1e6:5.1f} MB, filled in "
                f"{seconds:5.1f} s, opened in {opened:4.1f} ms, looked up in {looked:5.1f} ms, "
                f"{grew:4.1f} MB more memory"
            )


if __name__ == "__main__":
    main()
