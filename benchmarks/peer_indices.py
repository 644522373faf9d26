"""Estimates of interaction indices by the peers (shapiq 1.8.0); runs in their environment.

    python peer_indices.py FOLDER JOBS.json CACHE.db

FOLDER has a function ``NAME.npz`` for each game (:mod:`set_functions`). JOBS.json is
``{"budgets": {NAME: [...]}, "seeds": [...], "limit": CPU seconds}``. Every method gets the budget
as its number of distinct evaluations, which is how shapiq's samplers count; those made are counted
here. Estimates go to the cache one by one, over the sets in the order of
``itertools.combinations``: Shapley values; SII of pairs; FSII of order 2, singles and then pairs.

ProxySHAP and RegressionMSR have the proxy that is shapiq's default, XGBoost, and LightGBM as well;
ProxySPEX has its default, LightGBM, as it comes and with shapiq's search of hyperparameters. A
method that takes longer than the limit is left out at larger budgets too. Left out altogether:
ShaplEIG, which learns a Gaussian process anew after every evaluation and needs gpytorch and
botorch; and permutation sampling and SHAP-IQ, which SVARM(-IQ) improves on.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import LGBMRegressor
from shapiq.approximator import (
    SVARM,
    SVARMIQ,
    InconsistentKernelSHAPIQ,
    KernelSHAP,
    KernelSHAPIQ,
    LeverageSHAP,
    OddSHAP,
    PolySHAP,
    ProxySHAP,
    ProxySPEX,
    RegressionFSII,
    RegressionMSR,
    kADDSHAP,
)
from sklearn.model_selection import GridSearchCV
from xgboost import XGBRegressor

from estimates_cache import Cache, PeerRun
from set_functions import SetFunction

Make = Callable[[int, int], Any]
ORDERS = {"SV": 1, "SII": 2, "FSII": 2}
GRID = {"max_depth": [3, 5], "max_iter": [500, 1000], "learning_rate": [0.01, 0.1]}
"""What shapiq searches."""


def _xgboost(seed: int) -> Any:
    return XGBRegressor(random_state=seed, n_jobs=1)


def _lightgbm(seed: int) -> Any:
    return LGBMRegressor(random_state=seed, n_jobs=1, verbose=-1)


def _proxyshap(index: str, proxy: Callable[[int], Any], **settings: Any) -> Make:
    return lambda n, seed: ProxySHAP(
        n,
        max_order=ORDERS[index],
        index=index,
        proxy_model=proxy(seed),
        random_state=seed,
        **settings,
    )


class Searched:
    """LightGBM with shapiq's search of its hyperparameters; one search serves all indices.

    shapiq's own wrapper is the same search, but lets LightGBM use all cores, which wait for each
    other.
    """

    def __init__(self, seed: int) -> None:
        self.estimator = _lightgbm(seed)
        self.best_estimator_ = self.estimator

    def fit(self, masks: Any, values: Any) -> None:
        """Search, or take what the last search on these values led to."""
        seed, rows = self.estimator.random_state, np.asarray(masks, dtype=np.float64)
        self.best_estimator_ = _search(seed, rows.shape, rows.tobytes(), values.tobytes())

    def predict(self, masks: Any) -> Any:
        return self.best_estimator_.predict(masks)


@lru_cache(maxsize=1)
def _search(seed: int, shape: tuple[int, int], rows: bytes, values: bytes) -> Any:
    search = GridSearchCV(_lightgbm(seed), GRID, scoring="r2", cv=5)
    search.fit(np.frombuffer(rows).reshape(shape), np.frombuffer(values))
    return search.best_estimator_


def _proxyspex(index: str, proxy: Callable[[int], Any]) -> Make:
    return lambda n, seed: ProxySPEX(
        n=n,
        max_order=ORDERS[index],
        index=index,
        proxy_model=proxy(seed),
        random_state=seed,
    )


def _methods(index: str) -> dict[str, Make]:
    """The peers that estimate an index."""
    of_index: dict[str, dict[str, Make]] = {
        "SV": {
            "KernelSHAP, pairs": lambda n, s: KernelSHAP(n, pairing_trick=True, random_state=s),
            "LeverageSHAP": lambda n, s: LeverageSHAP(n, random_state=s),
            "OddSHAP": lambda n, s: OddSHAP(n, random_state=s),
            "PolySHAP": lambda n, s: PolySHAP(n, max_order=2, pairing_trick=True, random_state=s),
            "kADD-SHAP": lambda n, s: kADDSHAP(n, pairing_trick=True, random_state=s),
            "SVARM": lambda n, s: SVARM(n, random_state=s),
            "RegressionMSR": lambda n, s: RegressionMSR(
                n, "SV", proxy_model=_xgboost(s), random_state=s
            ),
            "RegressionMSR, LightGBM": lambda n, s: RegressionMSR(
                n, "SV", proxy_model=_lightgbm(s), random_state=s
            ),
        },
        "SII": {
            "KernelSHAP-IQ": lambda n, s: KernelSHAPIQ(
                n, 2, "SII", pairing_trick=True, random_state=s
            ),
            "KernelSHAP-IQ, inconsistent": lambda n, s: InconsistentKernelSHAPIQ(
                n, 2, "SII", pairing_trick=True, random_state=s
            ),
            "kADD-SHAP": lambda n, s: kADDSHAP(n, pairing_trick=True, random_state=s),
            "SVARM-IQ": lambda n, s: SVARMIQ(n, max_order=2, index="SII", random_state=s),
        },
        "FSII": {
            "RegressionFSII": lambda n, s: RegressionFSII(
                n, max_order=2, pairing_trick=True, random_state=s
            ),
        },
    }
    proxies: dict[str, Make] = {}
    for name, proxy in (("ProxySHAP", _xgboost), ("ProxySHAP, LightGBM", _lightgbm)):
        proxies |= {
            name: _proxyshap(index, proxy),
            f"{name}, adjusted": _proxyshap(index, proxy, adjustment=True),
            f"{name}, adjusted, 5 folds": _proxyshap(index, proxy, adjustment=True, k_folds=5),
        }
    spex = {
        "ProxySPEX": _proxyspex(index, _lightgbm),
        "ProxySPEX, searched": _proxyspex(index, Searched),
    }
    return of_index[index] | proxies | spex


class Counted:
    """A function less its value of nothing, and the number of distinct masks it was asked for."""

    def __init__(self, function: SetFunction) -> None:
        self.function = function
        self.empty = float(function(np.zeros((1, function.n_players), dtype=np.bool_))[0])
        self.seen: set[bytes] = set()

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        masks = np.atleast_2d(np.asarray(masks, dtype=np.bool_))
        self.seen.update(row.tobytes() for row in np.packbits(masks, axis=1))
        return np.asarray(self.function(masks) - self.empty)


def estimate_of(result: Any, n: int, index: str) -> np.ndarray:
    """The estimate in the order of the exact indices."""
    singles = [result[(i,)] for i in range(n)]
    if index == "SV":
        return np.array(singles)
    pairs = [result[pair] for pair in combinations(range(n), 2)]
    return np.array(pairs if index == "SII" else [*singles, *pairs])


def _out_of_time(*_: Any) -> None:
    raise TimeoutError


def run(
    make: Make, function: SetFunction, budget: int, seed: int, index: str, limit: float
) -> tuple[Any, int, float, str | None]:
    """An estimate or ``None``, the distinct evaluations, CPU seconds, and why there is none."""
    game, started = Counted(function), time.process_time()
    estimate, failure = None, None
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        result = make(function.n_players, seed).approximate(budget, game)
        estimate = estimate_of(result, function.n_players, index)
        if not np.isfinite(estimate).all():
            estimate, failure = None, "not finite"
    except TimeoutError:
        failure = f"over {limit:g} CPU s"
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return estimate, len(game.seen), time.process_time() - started, failure


def jobs(settings: Any) -> Iterator[tuple[int, str, int]]:
    """Seeds, games and budgets, small ones first."""
    for seed in settings["seeds"]:
        for name, budgets in settings["budgets"].items():
            for budget in sorted(budgets):
                yield seed, name, budget


def main() -> None:
    """Run every method on every game, budget and seed that is not in the cache."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _out_of_time)
    folder, settings = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    cache, limit = Cache(Path(sys.argv[3])), settings["limit"]
    functions = {name: SetFunction.load(folder / f"{name}.npz") for name in settings["budgets"]}
    digests = {name: function.digest for name, function in functions.items()}
    for seed, name, budget in jobs(settings):
        started, n_run = time.process_time(), 0
        for index in ORDERS:
            for method, make in _methods(index).items():
                key = (digests[name], method, index, budget)
                if cache.has_peer(*key, seed):
                    continue
                slow = cache.too_slow(*key)
                if slow is None:
                    made = run(make, functions[name], budget, seed, index, limit)
                else:
                    made = None, 0, 0.0, f"over {limit:g} CPU s at {slow} evaluations"
                cache.add_peer(digests[name], PeerRun(name, method, index, budget, seed, *made))
                n_run += 1
        if n_run:
            seconds = time.process_time() - started
            print(f"{name} {budget} seed {seed}: {n_run} runs, {seconds:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
