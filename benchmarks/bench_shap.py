"""Shapley values at equal evaluations: Interplay's explainer beside SHAP's, on one dataset.

Boosted trees on scikit-learn's breast cancer data, 30 features, each row against 50 others. Since
they are trees, ``shap.TreeExplainer`` has their exact Shapley values over that background, which
the three explainers estimate from values of masks: as many for each, a multiple of the 61 of a
permutation. Prints the medians over rows of the relative error |v - exact| / |exact| (Euclidean),
the CPU seconds of a row, and how many of the exact values lie in our intervals of 90 %. It runs in
``.venv-toolkits``; some two minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import shap
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from threadpoolctl import threadpool_limits

import interplay as ip
from interplay._types import FloatArray

N_TRAIN = 400
N_BACKGROUND = 50
BUDGETS = (122, 244, 610)
EXPLAINERS = ("interplay", "permutation", "kernel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--budgets", nargs="*", type=int, default=BUDGETS)
    parser.add_argument("--explainers", nargs="*", default=EXPLAINERS, choices=EXPLAINERS)
    chosen = parser.parse_args()
    features, classes = load_breast_cancer(return_X_y=True)
    trees = GradientBoostingClassifier(max_depth=4, random_state=0)
    trees.fit(features[:N_TRAIN], classes[:N_TRAIN])
    background = np.random.default_rng(0).permutation(features[:N_TRAIN])[:N_BACKGROUND]
    masker = shap.maskers.Independent(background)
    rows = features[N_TRAIN : N_TRAIN + chosen.rows]
    by_trees = shap.TreeExplainer(trees, background, feature_perturbation="interventional")
    exact = by_trees.shap_values(rows)

    def interplay(row: FloatArray, budget: int, seed: int) -> Any:
        explainer = ip.toolkits.shap.Explainer(trees.decision_function, masker, seed=seed)
        return explainer(row, max_evals=budget, silent=True)

    def permutation(row: FloatArray, budget: int, seed: int) -> Any:
        explainer = shap.PermutationExplainer(trees.decision_function, masker, seed=seed)
        return explainer(row, max_evals=budget, silent=True)

    def kernel(row: FloatArray, budget: int, seed: int) -> Any:
        np.random.seed(seed)  # noqa: NPY002 - it draws from there
        explainer = shap.KernelExplainer(trees.decision_function, background)
        # its default keeps ten features, with larger errors; it adds the two ends itself
        values = explainer.shap_values(row, nsamples=budget - 2, l1_reg=0, silent=True)
        return shap.Explanation(values)

    for budget in chosen.budgets:
        for explain in (interplay, permutation, kernel):
            if explain.__name__ in chosen.explainers:
                report(explain, budget, rows, exact)


def report(
    explain: Callable[[FloatArray, int, int], Any],
    budget: int,
    rows: FloatArray,
    exact: FloatArray,
) -> None:
    errors, inside = [], []
    started = time.process_time()
    for seed, (row, truth) in enumerate(zip(rows, exact, strict=True)):
        result = explain(row[None], budget, seed)
        errors.append(np.linalg.norm(result.values[0] - truth) / np.linalg.norm(truth))
        if result.lower_bounds is not None:
            inside.append((result.lower_bounds[0] <= truth) & (truth <= result.upper_bounds[0]))
    seconds = (time.process_time() - started) / len(rows)
    covered = f", {np.mean(inside):.0%} in the intervals" if inside else ""
    print(
        f"{budget:5} masks, {explain.__name__:11}: error {np.median(errors):.3f} "
        f"({min(errors):.3f} to {max(errors):.3f}), {seconds:.2f} s{covered}",
        flush=True,
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
