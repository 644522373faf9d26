"""Estimates of interaction indices by the peers, on complete games; runs in the peers' environment.

    python peer_indices.py GAMES.npz BUDGETS.json OUT.npz

GAMES.npz holds a table of 2^n values for each game, ``values[sum_i m_i 2^i]``. BUDGETS.json is
``{game: {"budgets": [...], "seeds": [...]}}``. Every method gets the budget as its number of
evaluations; distinct ones are counted. OUT.npz has an array ``game|index|method|budget|seed`` for
each estimate, and ``...|n`` for the distinct evaluations: Shapley values ``(n,)``, SII of all
pairs, and FSII of order 2 (singles, then pairs), in the order of ``itertools.combinations``.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from shapiq.approximator import (
    SVARM,
    SVARMIQ,
    KernelSHAP,
    KernelSHAPIQ,
    LeverageSHAP,
    OddSHAP,
    PolySHAP,
    ProxySHAP,
    ProxySPEX,
    RegressionFSII,
    RegressionMSR,
)

METHODS = {
    "SV": {
        "KernelSHAP, pairs": lambda n, s: KernelSHAP(n, pairing_trick=True, random_state=s),
        "LeverageSHAP": lambda n, s: LeverageSHAP(n, random_state=s),
        "OddSHAP": lambda n, s: OddSHAP(n, random_state=s),
        "PolySHAP": lambda n, s: PolySHAP(n, max_order=2, pairing_trick=True, random_state=s),
        "RegressionMSR": lambda n, s: RegressionMSR(n, "SV", random_state=s),
        "SVARM": lambda n, s: SVARM(n, random_state=s),
        "ProxySHAP": lambda n, s: ProxySHAP(n, max_order=1, index="SV", random_state=s),
        "ProxySHAP, adjusted": lambda n, s: ProxySHAP(
            n, max_order=1, index="SV", adjustment=True, random_state=s
        ),
        "ProxySHAP, adjusted, 5 folds": lambda n, s: ProxySHAP(
            n, max_order=1, index="SV", adjustment=True, k_folds=5, random_state=s
        ),
    },
    "SII": {
        "ProxySHAP": lambda n, s: ProxySHAP(n, max_order=2, index="SII", random_state=s),
        "ProxySHAP, adjusted": lambda n, s: ProxySHAP(
            n, max_order=2, index="SII", adjustment=True, random_state=s
        ),
        "SVARM-IQ": lambda n, s: SVARMIQ(n, max_order=2, index="SII", random_state=s),
        "KernelSHAP-IQ": lambda n, s: KernelSHAPIQ(n, max_order=2, index="SII", random_state=s),
        "ProxySPEX": lambda n, s: ProxySPEX(n=n, max_order=2, index="SII", random_state=s),
    },
    "FSII": {
        "ProxySHAP": lambda n, s: ProxySHAP(n, max_order=2, index="FSII", random_state=s),
        "ProxySHAP, adjusted": lambda n, s: ProxySHAP(
            n, max_order=2, index="FSII", adjustment=True, random_state=s
        ),
        "RegressionFSII": lambda n, s: RegressionFSII(n, max_order=2, random_state=s),
        "ProxySPEX": lambda n, s: ProxySPEX(n=n, max_order=2, index="FSII", random_state=s),
    },
}


class Table:
    """A complete game, with the number of distinct evaluations."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.powers = 2 ** np.arange(int(np.log2(len(values))))
        self.seen: set[int] = set()

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        rows = np.asarray(masks, dtype=np.int64) @ self.powers
        self.seen.update(rows.tolist())
        return np.asarray(self.values[rows] - self.values[0])


def estimate(result: Any, n: int, index: str) -> np.ndarray:
    """The estimate in the order of the exact indices."""
    singles = [result[(i,)] for i in range(n)]
    if index == "SV":
        return np.array(singles)
    pairs = [result[pair] for pair in combinations(range(n), 2)]
    return np.array(pairs if index == "SII" else [*singles, *pairs])


def main() -> None:
    """Run every method on every game, budget and seed."""
    warnings.simplefilter("ignore")
    games = dict(np.load(sys.argv[1], allow_pickle=False))
    wanted = json.loads(Path(sys.argv[2]).read_text())
    out: dict[str, np.ndarray] = {}
    for name, settings in wanted.items():
        values = games[name]
        n = int(np.log2(len(values)))
        for index, methods in METHODS.items():
            for method, make in methods.items():
                started = time.perf_counter()
                for budget in settings["budgets"]:
                    for seed in settings["seeds"]:
                        table = Table(values)
                        key = f"{name}|{index}|{method}|{budget}|{seed}"
                        try:
                            result = make(n, seed).approximate(budget, table)
                        except Exception as error:
                            print(key, type(error).__name__, error, file=sys.stderr)
                            continue
                        out[key] = estimate(result, n, index)
                        out[f"{key}|n"] = np.array(len(table.seen))
                print(f"{name} {index} {method}: {time.perf_counter() - started:.1f} s", flush=True)
        np.savez_compressed(sys.argv[3], **out)


if __name__ == "__main__":
    main()
