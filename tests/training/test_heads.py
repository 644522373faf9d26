from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as ReferenceRidge

from interplay.training.data import TrainingData
from interplay.training.trainers import newton, ridge
from interplay.training.trainers.logistic import Logistic
from interplay.training.trainers.ridge import Ridge

TRAINERS = [Ridge(), Ridge(intercept=False), Logistic()]


def wide() -> TrainingData:
    """Far more features than rows, two classes, a row a player."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 120)) + 3, np.arange(40) % 2
    return TrainingData.checked(x[:30], y[:30], x[30:], y[30:])


@cache
def digits(n_players: int = 40, size: int = 600) -> TrainingData:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[: size + 30]
    x, y = x[order].reshape(-1, 8, 8) / 16, y[order]
    return TrainingData.checked(x[30:], y[30:], x[:30], y[:30], groups=np.arange(size) % n_players)


def random_masks(data: TrainingData, m: int, share: float = 0.5) -> np.ndarray[Any, Any]:
    return np.random.default_rng(m).random((m, data.n_players)) < share


def retrained(trainer: Any, data: TrainingData, masks: Any) -> np.ndarray[Any, Any]:
    masks = np.asarray(masks, dtype=bool)
    logits = trainer.begin(data)(masks, np.zeros(len(masks), dtype=np.int64))
    assert logits.shape == (len(masks), len(data.test_labels), len(data.classes))
    assert logits.dtype == np.float64
    return np.asarray(logits)


def flat(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return x.reshape(len(x), -1)


def reference(trainer: Any, data: TrainingData, mask: Any) -> np.ndarray[Any, Any]:
    """The logits by scikit-learn, ``(k, classes)``."""
    keep = data.rows(mask[None])[0]
    x, y, n_classes = flat(data.features)[keep], data.labels[keep], len(data.classes)
    tests = flat(data.test_features)
    logits = np.zeros((len(tests), n_classes))
    if not len(x):
        return logits
    if isinstance(trainer, Ridge):
        model = ReferenceRidge(trainer.penalty, fit_intercept=trainer.intercept, solver="svd")
        return np.asarray(model.fit(x, np.eye(n_classes)[y]).predict(tests))
    here = np.unique(y)
    if len(here) > 1:
        two_of_many = len(here) == 2 < n_classes
        model = LogisticRegression(
            C=(1 + two_of_many) / trainer.penalty,
            tol=min(1e-9, 1e-7 * trainer.penalty),
            solver="newton-cholesky",
        )
        # its solver fails far from the origin, where the intercept makes up for the rest
        mean = x.mean(axis=0)
        with warnings.catch_warnings():
            # so close to the optimum that rounding hides the descent
            warnings.filterwarnings("ignore", "Line search of Newton solver", ConvergenceWarning)
            found = model.fit(x - mean, y).decision_function(tests - mean)
        logits[:, here] = found if found.ndim > 1 else np.stack([-found / 2, found / 2], axis=1)
    there = np.setdiff1d(np.arange(n_classes), here)
    total = logsumexp(logits[:, here], axis=1, keepdims=True)
    logits[:, there] = total + np.log(0.5 / len(x))
    return logits


@pytest.mark.parametrize("trainer", TRAINERS, ids=str)
@pytest.mark.parametrize("data", [digits(), wide(), digits(150, 200)], ids=["long", "wide", "few"])
def test_subsets_are_fitted_as_scikit_learn_does(trainer: Any, data: TrainingData) -> None:
    masks = np.vstack([random_masks(data, 6), random_masks(data, 2, 0.1)])
    expected = [reference(trainer, data, mask) for mask in masks]
    tolerance = 1e-9 if isinstance(trainer, Ridge) else trainer.tolerance / 10
    np.testing.assert_allclose(retrained(trainer, data, masks), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("trainer", [*TRAINERS, Logistic(penalty=0.01)], ids=str)
def test_a_mask_alone_and_among_others(trainer: Any) -> None:
    data = digits()
    masks = np.vstack([random_masks(data, 40), random_masks(data, 3, 0.03)])
    together = retrained(trainer, data, masks)
    retrain = trainer.begin(data)
    alone = [retrain(mask[None], np.array([number]))[0] for number, mask in enumerate(masks)]
    tolerance = 1e-9 if isinstance(trainer, Ridge) else trainer.tolerance
    np.testing.assert_allclose(together, alone, rtol=0, atol=tolerance)


@pytest.mark.parametrize("trainer", TRAINERS, ids=str)
def test_nothing_and_one_class_only(trainer: Any) -> None:
    x = np.random.default_rng(0).normal(size=(9, 4))
    data = TrainingData.checked(
        x, [0, 0, 0, 1, 1, 1, 2, 2, 2], x[:5] + 1, [0, 1, 2, 0, 1], [0] * 3 + [1] * 6
    )
    empty, single = retrained(trainer, data, [[False, False], [True, False]])
    np.testing.assert_array_equal(empty, 0)
    if isinstance(trainer, Logistic):
        np.testing.assert_allclose(single, np.tile([0, -np.log(6), -np.log(6)], (5, 1)))
    elif trainer.intercept:
        np.testing.assert_allclose(single, np.tile([1, 0, 0], (5, 1)), atol=1e-12)
    else:
        np.testing.assert_allclose(single, reference(trainer, data, np.array([True, False])))


@pytest.mark.parametrize("trainer", TRAINERS, ids=str)
@pytest.mark.parametrize("n_players", [4, 20])
def test_rows_without_a_player_are_always_kept(trainer: Any, n_players: int) -> None:
    data = TrainingData.checked(
        *(lambda x, y: (x[:40], y[:40], x[40:], y[40:]))(
            np.random.default_rng(5).normal(size=(46, 6)), np.arange(46) % 3
        ),
        groups=np.arange(40) % n_players,
    )
    fixed = replace(data, owners=np.where(np.arange(40) < 10, -1, data.owners))
    masks = np.vstack([np.zeros(n_players, dtype=bool), random_masks(data, 5)])
    assert fixed.rows(masks[:1]).sum() == 10
    expected = [reference(trainer, fixed, mask) for mask in masks]
    np.testing.assert_allclose(retrained(trainer, fixed, masks), expected, rtol=0, atol=1e-6)
    # the same as if these rows had a player that every mask keeps
    apart = replace(
        data,
        owners=np.where(fixed.owners < 0, n_players, fixed.owners),
        players=(*data.players, "kept"),
    )
    kept = np.hstack([masks, np.ones((6, 1), dtype=bool)])
    np.testing.assert_allclose(
        retrained(trainer, fixed, masks), retrained(trainer, apart, kept), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("trainer", TRAINERS, ids=str)
def test_features_that_repeat_or_never_vary(trainer: Any) -> None:
    data = digits()
    x, tests = (flat(each)[:, :20] for each in (data.features, data.test_features))
    singular, plain = (
        replace(data, features=build(x), test_features=build(tests))
        for build in (
            lambda f: np.hstack([f, f, np.zeros((len(f), 3))]),
            lambda f: np.sqrt(2) * f,
        )
    )
    masks = random_masks(data, 5)
    np.testing.assert_allclose(
        retrained(trainer, singular, masks), retrained(trainer, plain, masks), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("intercept", [True, False])
def test_sums_by_player_and_rows_give_the_same(
    monkeypatch: pytest.MonkeyPatch, intercept: bool
) -> None:
    data, masks = digits(), random_masks(digits(), 9)
    trainer = Ridge(intercept=intercept)
    assert trainer.begin(data).moments is not None
    by_player = retrained(trainer, data, masks)
    monkeypatch.setattr(ridge, "_MOMENT_BYTES", 0)
    monkeypatch.setattr(ridge, "_BLOCK_BYTES", 2**22)
    assert trainer.begin(data).moments is None
    np.testing.assert_allclose(retrained(trainer, data, masks), by_player, rtol=0, atol=1e-10)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 14),
    d=st.integers(1, 6),
    n_classes=st.integers(2, 4),
    # weaker ones, where the reference is off itself, have a test of their own below
    penalty=st.sampled_from([0.1, 1.0, 30.0]),
    shift=st.sampled_from([0.0, 100.0]),
)
@example(seed=0, rows=2, d=1, n_classes=2, penalty=0.1, shift=0.0)
def test_small_random_sets(
    seed: int, rows: int, d: int, n_classes: int, penalty: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], rng.integers(0, n_classes, rows - 2)])
    labels = np.unique(labels, return_inverse=True)[1]
    x, tests = rng.normal(size=(rows, d)) + shift, rng.normal(size=(3, d)) + shift
    owners = rng.integers(0, 4, rows)
    data = TrainingData.checked(x, labels, tests, [0, 1, 0], owners)
    masks = np.vstack([random_masks(data, 6), np.zeros(data.n_players), np.ones(data.n_players)])
    for trainer in (Ridge(penalty), Logistic(penalty)):
        expected = [reference(trainer, data, mask) for mask in masks.astype(bool)]
        found = retrained(trainer, data, masks)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-5)


def test_separable_rows_and_weak_penalties() -> None:
    """Where the optimum is far away, the gradient at the model found is zero."""
    data = digits()
    masks = random_masks(data, 4)
    rough = retrained(Logistic(penalty=1e-5), data, masks)
    fine = retrained(Logistic(penalty=1e-5, tolerance=1e-7), data, masks)
    assert np.abs(fine).max() > 20
    np.testing.assert_allclose(rough, fine, rtol=0, atol=1e-4)
    expected = [reference(Logistic(penalty=1e-5), data, mask) for mask in masks]
    np.testing.assert_allclose(fine, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("limit", ["_STEPS", "_INNER_STEPS"])
def test_a_fit_that_does_not_converge_is_not_a_number(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    data = digits()
    masks = np.vstack([random_masks(data, 3), np.zeros((1, data.n_players), dtype=bool)])
    retrain = Logistic().begin(data)
    monkeypatch.setattr(newton, limit, 1)
    logits = retrain(masks, np.zeros(4, dtype=np.int64))
    assert np.isnan(logits[:3]).all()
    np.testing.assert_array_equal(logits[3], 0)


def test_a_start_that_did_not_converge_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data, masks = digits(), random_masks(digits(), 3)
    expected = retrained(Logistic(), data, masks)
    with monkeypatch.context() as patch:
        patch.setattr(newton, "_STEPS", 1)
        retrain = Logistic().begin(data)
    assert not retrain.start.any()
    found = retrain(masks, np.zeros(3, dtype=np.int64))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("trainer", TRAINERS, ids=str)
def test_no_masks(trainer: Any) -> None:
    assert len(retrained(trainer, digits(), np.zeros((0, 40)))) == 0


@pytest.mark.parametrize("trainer", [Ridge(2.5, intercept=False), Logistic(0.5, 1e-6)], ids=str)
def test_settings_are_described(trainer: Any) -> None:
    described = json.loads(json.dumps(trainer.describe()))
    assert described.pop("kind") == type(trainer).__name__.lower()
    assert type(trainer)(**described) == trainer
    assert trainer.batch_size >= 1


@pytest.mark.parametrize("kind", [Ridge, Logistic])
@pytest.mark.parametrize("penalty", [0.0, -1.0, np.inf, np.nan])
def test_penalties_that_make_no_sense(kind: Any, penalty: float) -> None:
    with pytest.raises(ValueError, match=f"penalty={penalty} is not a finite number above 0; give"):
        kind(penalty=penalty)


@pytest.mark.parametrize("tolerance", [0.0, 1e-12, np.nan])
def test_tolerances_below_rounding(tolerance: float) -> None:
    with pytest.raises(ValueError, match="below 1e-10, about what float64 allows; use 1e-10"):
        Logistic(tolerance=tolerance)


@pytest.mark.parametrize("intercept", [True, False])
def test_a_penalty_below_what_rounding_allows(intercept: bool) -> None:
    data, masks = digits(), random_masks(digits(), 5)
    with pytest.raises(ValueError, match=r"penalty=1e-09 is below .* rounding would") as raised:
        Ridge(1e-9, intercept).begin(data)
    least = re.search(r"Use (\S+) or more, or scale the features down", str(raised.value))
    assert least is not None
    trainer = Ridge(float(least[1]), intercept)
    expected = np.array([reference(trainer, data, mask) for mask in masks])
    found = retrained(trainer, data, masks)
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()
