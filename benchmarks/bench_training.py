"""Retrainings per second of the batched trainers against a loop that trains one model at a time.

All train on the same random halves of the players and score the same margins at 30 test points, on
one thread, in turns in one run; medians of CPU time. The loops are scikit-learn's Ridge and
LogisticRegression, with default settings and with a tolerance that brings them as near to the
solution as ours, and one network after the other in torch. The networks have the same minibatches,
and read only the rows that are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge
from torch import nn

from case_training import clothes, digits
from interplay._types import BoolArray, FloatArray
from interplay.training import Logistic, Network, Ridge, Trainer, TrainingData, TrainingGame

ROUNDS = 3

Fit = Callable[[TrainingData, BoolArray], FloatArray]
"""From the rows that are kept to the logits at the test points, ``(k, classes)``."""


@dataclass(frozen=True)
class Comparison:
    trainer: Trainer
    peer: str
    fit: Fit
    n_ours: int
    n_peer: int


def ridge(data: TrainingData, kept: BoolArray) -> FloatArray:
    targets = np.eye(len(data.classes))[data.labels[kept]]
    fitted = SklearnRidge(alpha=1.0).fit(data.features[kept], targets)
    return np.asarray(fitted.predict(data.test_features))


def logistic(**settings: Any) -> Fit:
    def fit(data: TrainingData, kept: BoolArray) -> FloatArray:
        fitted = LogisticRegression(C=1.0, max_iter=10_000, **settings)
        fitted.fit(data.features[kept], data.labels[kept])
        return np.asarray(fitted.decision_function(data.test_features))

    return fit


def network(data: TrainingData, kept: BoolArray) -> FloatArray:
    settings = Network()
    x, x_test = (torch.tensor(f, dtype=torch.float32) for f in (data.features, data.test_features))
    y, own = torch.tensor(data.labels), torch.tensor(kept)
    torch.manual_seed(0)
    (width,) = settings.hidden
    model = nn.Sequential(
        nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, len(data.classes))
    )
    n_passes = -(-settings.steps * settings.batch // len(y))
    order = torch.cat([torch.randperm(len(y)) for _ in range(n_passes)])
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    for step in range(settings.steps):
        rows = order[step * settings.batch : (step + 1) * settings.batch]
        rows = rows[own[rows]]
        if len(rows):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return model(x_test).double().numpy()


def margins(logits: FloatArray, labels: Any) -> FloatArray:
    at = np.arange(len(labels))
    right, others = logits[at, labels], logits.copy()
    others[at, labels] = -np.inf
    return np.asarray(right - others.max(axis=1))


COMPARISONS = (
    Comparison(Ridge(), "scikit-learn Ridge", ridge, 2048, 32),
    Comparison(Logistic(), "LogisticRegression, as it comes", logistic(), 128, 8),
    Comparison(Logistic(), "LogisticRegression, tol=1e-7", logistic(tol=1e-7), 128, 8),
    Comparison(
        Logistic(),
        "LogisticRegression, newton-cholesky",
        logistic(solver="newton-cholesky"),
        128,
        4,
    ),
    Comparison(Network(), "torch, one network at a time", network, 128, 8),
)


def main() -> None:
    torch.set_num_threads(1)
    print("| data | trainer | loop | ours, per s | loop, per s | ratio | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for name, data in (("digits", digits()), ("clothes", clothes())):
        for each in COMPARISONS:
            game = TrainingGame(each.trainer, data)
            masks = np.random.default_rng(0).random((2 * each.n_ours, data.n_players)) < 0.5
            kept = data.rows(masks)
            # scikit-learn has no logit for a class that is not in the data
            all_classes = [len(np.unique(data.labels[rows])) == len(data.classes) for rows in kept]
            masks, kept = masks[all_classes][: each.n_ours], kept[all_classes]
            ours, theirs = [], []
            for _ in range(ROUNDS):
                started = time.process_time()
                values = game(masks)
                ours.append((time.process_time() - started) / len(masks))
                started = time.process_time()
                logits = [each.fit(data, rows) for rows in kept[: each.n_peer]]
                theirs.append((time.process_time() - started) / each.n_peer)
            expected = np.stack([margins(some, data.test_labels) for some in logits])
            off = np.abs(values[: each.n_peer] - expected).max()
            kind = type(each.trainer).__name__
            one, other = float(np.median(ours)), float(np.median(theirs))
            print(
                f"| {name} | {kind} | {each.peer} | {1 / one:,.0f} | {1 / other:,.1f} | "
                f"**{other / one:.1f}** | {off:.0e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
