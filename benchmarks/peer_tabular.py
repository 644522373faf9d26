"""Runs the tabular peers in an environment of theirs (``tabular_cases`` + SHAP or shapiq).

    python peer_tabular.py shap|shapiq N_ROWS OUTPUT.npz

OUTPUT has ``CASE/outputs``, the model's for the rows and the background, which ours must equal;
``CASE/PEER/BUDGET``, Shapley values (rows, n), with ``.../cpu``, the CPU seconds of each row, and
``.../rows``, the rows that the model was asked for; and from SHAP ``CASE/trees``, the values of its
TreeExplainer.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from tabular_cases import Case, cases


class Counted:
    """The model, counting the rows that it is asked for."""

    def __init__(self, output):
        self.output, self.n_rows = output, 0

    def __call__(self, rows):
        self.n_rows += len(rows)
        return self.output(rows)


def kernel_shap(l1_reg):
    import shap

    def explain(case: Case, row, budget, output):
        np.random.seed(0)  # noqa: NPY002 - SHAP draws from the global generator
        explainer = shap.KernelExplainer(output, case.background)
        return explainer.shap_values(row, nsamples=budget, l1_reg=l1_reg, silent=True)

    return explain


def tabular_explainer(approximator):
    from shapiq import TabularExplainer

    def explain(case: Case, row, budget, output):
        explainer = TabularExplainer(
            output,
            case.background,
            sample_size=None,
            approximator=approximator,
            index="SV",
            max_order=1,
            random_state=0,
        )
        found = explainer.explain(row, budget=budget)
        return np.array([found[(player,)] for player in range(len(row))])

    return explain


PEERS = {
    "shap": {
        "KernelExplainer": lambda: kernel_shap("num_features(10)"),
        "KernelExplainer, l1_reg=0": lambda: kernel_shap(0),
    },
    "shapiq": {
        "TabularExplainer": lambda: tabular_explainer("auto"),
        "TabularExplainer, proxyshap": lambda: tabular_explainer("proxyshap"),
    },
}


def main():
    warnings.filterwarnings("ignore")
    package, n_rows, target = sys.argv[1:]
    answers = {}
    for case in cases(int(n_rows)):
        answers[f"{case.name}/outputs"] = case.output(np.vstack([case.rows, case.background]))
        for peer, make in PEERS[package].items():
            explain = make()
            explain(case, case.rows[0], case.budgets[0], case.output)  # imports are not timed
            for budget in (*case.budgets, *((case.many,) if case.many else ())):
                values, seconds, asked = [], [], []
                for row in case.rows:
                    output = Counted(case.output)
                    started = time.process_time()
                    values.append(explain(case, row, budget, output))
                    seconds.append(time.process_time() - started)
                    asked.append(output.n_rows)
                key = f"{case.name}/{peer}/{budget}"
                answers |= {key: values, f"{key}/cpu": seconds, f"{key}/rows": asked}
        if package == "shap" and case.is_trees:
            import shap

            started = time.process_time()
            trees = shap.TreeExplainer(case.model, case.background)
            answers[f"{case.name}/trees"] = trees.shap_values(case.rows)
            answers[f"{case.name}/trees/cpu"] = (time.process_time() - started) / len(case.rows)
    np.savez(target, **answers)


if __name__ == "__main__":
    main()
