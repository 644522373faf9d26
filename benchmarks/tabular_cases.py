"""The models and rows of ``bench_tabular.py``, made alike in our environment and in the peers'.

NumPy and scikit-learn only. Sets that scikit-learn would have to download are made by rule:
``california`` has the columns of the housing set and a price that depends on place and income,
``adult`` has numbers and categories (as whole numbers) and an income that depends on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = npt.NDArray[np.float64]
N_BACKGROUND = 100


@dataclass(frozen=True)
class Case:
    """A fitted model, what is explained of it, and against what.

    Attributes:
        name: of the set.
        model: fitted; a tree ensemble where ``is_trees``.
        output: what is explained: rows ``(m, n)`` to numbers ``(m,)``.
        background: ``(100, n)``.
        rows: those that are explained, ``(r, n)``.
        is_trees: whether the exact values come from ``shap.TreeExplainer``.
        budgets: of distinct masks.
        many: a budget of so many masks that they take about a CPU second; ``None``: that is all.
    """

    name: str
    model: object
    output: Callable[[Floats], Floats]
    background: Floats
    rows: Floats
    is_trees: bool
    budgets: tuple[int, ...]
    many: int | None


def california_like(n_rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Eight columns: income, age, rooms, bedrooms, population, occupancy, latitude, longitude."""
    longitude = rng.uniform(-124, -114, n_rows)
    latitude = 37 - 0.8 * (longitude + 119) + rng.normal(0, 1.2, n_rows)
    to_coast = np.abs(latitude - (36 - 0.9 * (longitude + 121)))
    income = rng.lognormal(1.2 - 0.05 * to_coast, 0.45)
    age = rng.integers(1, 53, n_rows).astype(np.float64)
    rooms = 3 + 0.6 * income + rng.gamma(2, 0.5, n_rows)
    bedrooms = 0.2 * rooms + rng.normal(0, 0.1, n_rows)
    population = rng.lognormal(7, 0.7, n_rows)
    occupancy = 1.5 + rng.gamma(3, 0.5, n_rows)
    near = np.exp(-to_coast)
    price = 0.4 * income + 1.2 * near * income / 4 + 0.4 * (age > 40) * near - 0.15 * occupancy
    columns = (income, age, rooms, bedrooms, population, occupancy, latitude, longitude)
    return np.stack(columns, axis=1), price + rng.normal(0, 0.3, n_rows)


def adult_like(n_rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Twelve columns: age, education, hours, gains, losses, weight, and six categories."""
    age = rng.integers(17, 80, n_rows)
    education = np.clip(rng.normal(10 + (age > 25), 2.5), 1, 16).round()
    sex, origin = rng.integers(0, 2, n_rows), rng.integers(0, 5, n_rows)
    married = (rng.random(n_rows) < np.clip((age - 18) / 40, 0, 0.7)).astype(np.int64)
    relation = np.where(married, rng.integers(0, 2, n_rows), rng.integers(2, 6, n_rows))
    work, job = rng.integers(0, 7, n_rows), rng.integers(0, 14, n_rows)
    hours = np.clip(rng.normal(40 + 4 * married, 10), 1, 99).round()
    gains = np.where(rng.random(n_rows) < 0.08, rng.lognormal(8.5, 1, n_rows), 0).round()
    losses = np.where(rng.random(n_rows) < 0.05, rng.normal(1900, 300, n_rows), 0).round()
    weight = rng.lognormal(12, 0.5, n_rows).round()
    score = (
        0.35 * (education - 10)
        + 1.8 * married
        + 0.02 * (hours - 40) * (1 + married)
        + 0.05 * np.minimum(age - 38, 15)
        + 3 * (gains > 5000)
        + 0.4 * np.isin(job, (3, 9)) * (education > 12)
        - 2
    )
    income = (rng.random(n_rows) < 1 / (1 + np.exp(-score))).astype(np.float64)
    columns = (age, education, hours, gains, losses, weight)
    columns += (sex, origin, married, relation, work, job)
    return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1), income


def cases(n_rows: int) -> list[Case]:
    """All of them, with ``n_rows`` rows to explain that the models were not fitted to."""
    rng = np.random.default_rng(0)
    sets = {
        "breast_cancer": load_breast_cancer(return_X_y=True),
        "diabetes": load_diabetes(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "california-like": california_like(2_000, rng),
        "adult-like": adult_like(3_000, rng),
    }
    made = []
    for name, (numbers, target) in sets.items():
        # scikit-learn's trees compare in float32, TreeExplainer in float64: with these they agree
        table = numbers.astype(np.float32).astype(np.float64)
        order = np.random.default_rng(1).permutation(len(table))
        rows, rest = order[:n_rows], order[n_rows:]
        if name in ("diabetes", "california-like"):
            model = GradientBoostingRegressor(random_state=0)
            output = "predict"
        elif name == "wine":
            network = MLPClassifier((20,), max_iter=2_000, random_state=0)
            model, output = make_pipeline(StandardScaler(), network), "predict_proba"
        else:
            model, output = GradientBoostingClassifier(random_state=0), "decision_function"
        model.fit(table[rest], target[rest])
        call = getattr(model, output)
        made.append(
            Case(
                name,
                model,
                (lambda rows, call=call: call(rows)[:, 0]) if output == "predict_proba" else call,
                table[rest[:N_BACKGROUND]],
                table[rows],
                name != "wine",
                _budgets(table.shape[1]),
                10_000 if table.shape[1] > 14 else None,
            )
        )
    return made


def _budgets(n_players: int) -> tuple[int, ...]:
    """Below all masks: from about 2 n log2 n to 8 n log2 n, as far as there are so many."""
    per = n_players * np.log2(n_players)
    return tuple(b for b in (round(2 * per), round(4 * per), round(8 * per)) if b < 2**n_players)
