"""Shapley values of tabular models: TabularGame against SHAP and shapiq, at equal evaluations.

Errors are those of the Shapley values of a row, relative to their norm, median over rows. They are
compared with exact values: by all masks up to 14 features, else by ``shap.TreeExplainer`` with the
same background (interventional). Times are CPU seconds a row, the model's included. Run it by
``make bench-tabular``, some twenty minutes; ``--rows 1`` is shorter.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import interplay as ip
from interplay._types import FloatArray
from tabular_cases import Case, cases

PEERS = {"shap": ".venv-toolkits/bin/python", "shapiq": ".venv-peer/bin/python"}
OURS: dict[str, dict[str, Any]] = {
    "interplay (auto)": {},
    "interplay (proxyspex)": {"decoder": "proxyspex"},
    "interplay (lasso)": {"decoder": "lasso", "measure": "shapley", "holdout": 100},
    "interplay (lasso, order 2)": {
        "decoder": "lasso",
        "order": 2,
        "measure": "shapley",
        "holdout": 100,
    },
}
FAST = ("interplay (lasso)", "interplay (lasso, order 2)")
"""Those that also run where there are many masks."""
MOST_FOR_ALL_MASKS = 14


def of_peers(n_rows: int) -> dict[str, Any]:
    """What both peers found, each run in its own environment."""
    found: dict[str, Any] = {}
    for package, python in PEERS.items():
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "out.npz"
            script = str(Path(__file__).with_name("peer_tabular.py"))
            subprocess.run(
                [python, script, package, str(n_rows), str(target)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            with np.load(target) as answers:
                entries = dict(answers)
        for name in (name for name in entries if name.endswith("/outputs")):
            if name in found:  # the models of all environments are the same
                np.testing.assert_allclose(entries[name], found[name], atol=1e-9)
        found |= entries
    return found


def shapley_values(explanation: ip.Explanation) -> FloatArray:
    values = np.zeros(len(explanation.players))
    interactions = explanation.spectrum.to("SV", order=1)
    for players, value in zip(interactions.sets, interactions.values, strict=True):
        if len(players) == 1:
            values[players[0]] = value
    return values


def game_of(case: Case, row: FloatArray, output: Callable[[Any], Any]) -> ip.tabular.TabularGame:
    return ip.tabular.TabularGame(output, row, background=case.background)


def exact(case: Case, peers: dict[str, Any]) -> FloatArray:
    """The exact Shapley values of each row, ``(r, n)``."""
    n_players = case.background.shape[1]
    if n_players > MOST_FOR_ALL_MASKS:
        return np.asarray(peers[f"{case.name}/trees"])
    return np.array(
        [
            shapley_values(ip.explain(game_of(case, row, case.output), budget=2**n_players))
            for row in case.rows
        ]
    )


def ours(case: Case, budget: int, settings: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    """The Shapley values of each row, ``(r, n)``, and the CPU seconds of each, ``(r, 2)``: all, and
    those of the model."""
    values, seconds = [], []
    for row in case.rows:
        of_model = 0.0

        def output(rows: Any) -> Any:
            nonlocal of_model
            started = time.process_time()
            answer = case.output(rows)
            of_model += time.process_time() - started
            return answer

        started = time.process_time()
        explanation = ip.explain(game_of(case, row, output), budget=budget, **settings)
        values.append(shapley_values(explanation))
        seconds.append((time.process_time() - started, of_model))
    return np.array(values), np.array(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3, help="rows explained of each set")
    n_rows = parser.parse_args().rows
    warnings.filterwarnings("ignore")
    peers = of_peers(n_rows)
    for case in cases(n_rows):
        np.testing.assert_allclose(
            peers[f"{case.name}/outputs"],
            case.output(np.vstack([case.rows, case.background])),
            atol=1e-9,
        )
        truth = exact(case, peers)
        size = np.linalg.norm(truth, axis=1)
        n_players = case.background.shape[1]
        by = "all masks" if n_players <= MOST_FOR_ALL_MASKS else "TreeExplainer"
        print(f"\n{case.name}: {n_players} features, {len(case.background)} background rows")
        print(f"  exact values by {by}", end="")
        if case.is_trees:
            trees = peers[f"{case.name}/trees"]
            error = np.median(np.linalg.norm(trees - truth, axis=1) / size)
            cpu = float(peers[f"{case.name}/trees/cpu"])
            print(f"; TreeExplainer takes {cpu:.4f} CPU s a row (error {error:.0e})", end="")
        print()
        game_of(case, case.rows[0], case.output)
        for budget in (*case.budgets, *((case.many,) if case.many else ())):
            rows: list[tuple[str, FloatArray, float, float]] = []
            for name, settings in OURS.items():
                if budget == case.many and name not in FAST:
                    continue
                if int(settings.get("holdout", 10)) > budget // 2:
                    settings = settings | {"holdout": 0.1}
                values, seconds = ours(case, budget, settings)
                rows.append((name, values, *seconds.mean(axis=0)))
            of_model = rows[0][3]
            for key in (k for k in peers if k.startswith(f"{case.name}/")):
                _, peer, *rest = key.split("/")
                if rest == [str(budget)]:
                    rows.append((peer, peers[key], float(peers[f"{key}/cpu"].mean()), of_model))
            errors = {
                name: float(np.median(np.linalg.norm(values - truth, axis=1) / size))
                for name, values, _, _ in rows
            }
            first = next(iter(errors))
            print(f"  {budget} masks{'':20}    error  to ours   CPU s  to ours")
            for name, _, cpu, _ in rows:
                print(
                    f"    {name:<27} {errors[name]:9.5f} {errors[name] / errors[first]:8.1f} "
                    f"{cpu:7.2f} {cpu / rows[0][2]:8.2f}"
                )
            print(f"    of which the model           {'':18}{of_model:7.2f}", flush=True)


if __name__ == "__main__":
    main()
