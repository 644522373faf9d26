import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.errors import MissingDependencyError
from interplay.training.data import TrainingData
from interplay.training.trainers import network
from interplay.training.trainers.base import Trainer
from interplay.training.trainers.estimator import SMALLEST_PROBABILITY, Estimator
from interplay.training.trainers.network import Network

LOG_SMALLEST = np.log(SMALLEST_PROBABILITY)
TOLERANCE = 1e-3  # what Network states


def blobs(n_classes: int = 3, n_rows: int = 60, shape: tuple[int, ...] = (4,)) -> TrainingData:
    """Overlapping normal clouds; 12 groups, each of one class: group g of class g % n_classes."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> tuple[FloatArray, IntArray]:
        labels = np.arange(n) % n_classes
        centres = np.random.default_rng(1).normal(size=(n_classes, *shape))
        return centres[labels] + rng.normal(size=(n, *shape)), labels

    x, y = draw(n_rows)
    groups = (np.arange(n_rows) // n_classes) % (12 // n_classes) * n_classes + y
    return TrainingData.checked(x, y, *draw(7), groups=groups)


def digits(n_rows: int = 400) -> TrainingData:
    x, y = load_digits(return_X_y=True)
    x = x / 16
    return TrainingData.checked(
        x[:n_rows], y[:n_rows], x[-200:], y[-200:], groups=np.arange(n_rows) % 20
    )


def draw(n_masks: int, n_players: int = 12, seed: int = 0) -> tuple[BoolArray, IntArray]:
    rng = np.random.default_rng(seed)
    return rng.random((n_masks, n_players)) < 0.5, rng.integers(0, 2**63, size=n_masks)


def one_by_one(trainer: Trainer, data: TrainingData, masks: Any, seeds: Any) -> FloatArray:
    retrain = trainer.begin(data)
    return np.concatenate(
        [retrain(masks[at : at + 1], seeds[at : at + 1]) for at in range(len(masks))]
    )


class Labels(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier with nothing but labels."""

    def fit(self, x: Any, y: Any) -> "Labels":
        return self

    def predict(self, x: Any) -> Any:
        return np.zeros(len(x))


class Failing(DecisionTreeClassifier):  # type: ignore[misc]
    """Fails where it gets fewer rows than it wants."""

    def __init__(self, error: type[Exception] = ZeroDivisionError) -> None:
        super().__init__()
        self.error = error

    def fit(self, x: Any, y: Any) -> "Failing":
        if len(x) < 50:
            raise self.error("too few")
        super().fit(x, y)
        return self


class TestEstimator:
    @pytest.mark.parametrize(
        "estimator",
        [
            LogisticRegression(),
            GaussianNB(),
            RandomForestClassifier(n_estimators=5),
            make_pipeline(StandardScaler(), DecisionTreeClassifier(splitter="random")),
        ],
        ids=lambda each: type(each).__name__,
    )
    def test_it_is_a_loop_of_clones(self, estimator: Any) -> None:
        data = blobs(shape=(2, 2))
        masks, seeds = draw(5)
        masks[:, :3] = True  # all classes
        logits = Estimator(estimator).begin(data)(masks, seeds)
        for mask, seed, got in zip(masks, seeds, logits, strict=True):
            rows = mask[data.owners]
            model = clone(estimator)
            for name in model.get_params():
                if name.endswith("random_state"):
                    model.set_params(**{name: int(seed) % 2**31})
            model.fit(data.features[rows].reshape(-1, 4), data.labels[rows])
            p = model.predict_proba(data.test_features.reshape(-1, 4))
            np.testing.assert_allclose(np.exp(got), p, rtol=1e-9, atol=1.1 * SMALLEST_PROBABILITY)

    def test_decision_functions(self) -> None:
        masks, seeds = draw(4)
        masks[:, :3] = True  # all classes
        for data in (blobs(2), blobs(3)):
            logits = Estimator(RidgeClassifier()).begin(data)(masks, seeds)
            for mask, got in zip(masks, logits, strict=True):
                rows = mask[data.owners]
                model = RidgeClassifier().fit(data.features[rows], data.labels[rows])
                want = model.decision_function(data.test_features)
                np.testing.assert_allclose(got[:, 1] - got[:, 0] if want.ndim == 1 else got, want)

    @pytest.mark.slow
    def test_processes_change_nothing(self) -> None:
        data, (masks, seeds) = blobs(), draw(7)
        forest = RandomForestClassifier(n_estimators=5)
        here = Estimator(forest).begin(data)(masks, seeds)
        np.testing.assert_array_equal(Estimator(forest, n_jobs=2).begin(data)(masks, seeds), here)
        np.testing.assert_array_equal(one_by_one(Estimator(forest), data, masks, seeds), here)
        assert Estimator(forest, n_jobs=2).batch_size == 2 * Estimator(forest).batch_size
        assert not hasattr(forest, "estimators_")

    @pytest.mark.parametrize(
        "estimator",
        [
            RandomForestClassifier(n_estimators=3, random_state=0),
            make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3)),
        ],
        ids=["forest", "pipeline"],
    )
    def test_the_seed_decides(self, estimator: Any) -> None:
        retrain = Estimator(estimator).begin(blobs())
        first, again, other = retrain(np.ones((3, 12), dtype=bool), np.array([5, 5, 6]))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_classes_that_are_lacking(self) -> None:
        data = blobs()  # group g is of class g % 3
        masks = np.zeros((3, 12), dtype=bool)
        masks[0, [0, 2, 3, 5]] = True
        masks[1, [1, 4]] = True
        probabilities, decisions = (
            Estimator(each).begin(data)(masks, np.zeros(3, dtype=np.int64))
            for each in (GaussianNB(), RidgeClassifier())
        )
        np.testing.assert_array_equal(probabilities[0, :, 1], LOG_SMALLEST)
        assert probabilities[0, :, [0, 2]].max() > np.log(0.5)
        np.testing.assert_allclose(
            decisions[0, :, 1], np.minimum(decisions[0, :, 0], decisions[0, :, 2]) - 1
        )
        certain = np.log(1 - SMALLEST_PROBABILITY)
        for logits in (probabilities, decisions):
            np.testing.assert_allclose(logits[1], [[LOG_SMALLEST, certain, LOG_SMALLEST]] * 7)
            np.testing.assert_array_equal(logits[2], 0)

    def test_certain_trees_are_finite(self) -> None:
        logits = Estimator(DecisionTreeClassifier()).begin(blobs())(*draw(3))
        assert set(np.round(logits.ravel(), 5)) == {
            round(LOG_SMALLEST, 5),
            round(np.log1p(-SMALLEST_PROBABILITY), 5),
        }

    @pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
    def test_what_fails_says_on_what(self, n_jobs: int | None) -> None:
        data, masks = blobs(2), np.ones((2, 12), dtype=bool)
        masks[1, 2:] = False
        retrain = Estimator(Failing(), n_jobs).begin(data)
        with pytest.raises(
            RuntimeError,
            match=r"Failing failed on 10 training rows \(5 of '0', 5 of '1'\): "
            "ZeroDivisionError: too few",
        ):
            retrain(masks, np.zeros(2, dtype=np.int64))
        assert retrain(masks[:1], np.zeros(1, dtype=np.int64)).shape == (1, 7, 2)

    def test_memory_errors_stay_what_they_are(self) -> None:
        with pytest.raises(MemoryError):
            Estimator(Failing(MemoryError)).begin(blobs())(*draw(2))

    def test_what_is_no_classifier(self) -> None:
        with pytest.raises(ValueError, match="Labels has neither predict_proba nor decision_func"):
            Estimator(Labels())
        with pytest.raises(ValueError, match="LinearRegression has neither"):
            Estimator(LinearRegression())
        with pytest.raises(ValueError, match=r"give an instance of it, GaussianNB\(\.\.\.\)"):
            Estimator(GaussianNB)
        with pytest.raises(ValueError, match="str has no fit and no get_params"):
            Estimator("logistic")
        with pytest.raises(ValueError, match=r'svc__decision_function_shape="ovo".*use "ovr"'):
            Estimator(make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")))
        with pytest.raises(ValueError, match="n_jobs=0; give a number of processes"):
            Estimator(GaussianNB(), n_jobs=0)
        with pytest.raises(RuntimeError, match=r"IsolationForest.*no classes_ .* no classifier"):
            Estimator(IsolationForest(n_estimators=2)).begin(blobs())(*draw(1))

    def test_descriptions(self) -> None:
        def text(estimator: Any) -> str:
            return json.dumps(Estimator(estimator).describe(), allow_nan=False)

        pipeline = make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(C=np.float64(2))))
        assert '"C": 2.0' in text(pipeline)
        assert "StandardScaler" in text(pipeline)
        assert text(pipeline) != text(pipeline.set_params(standardscaler__with_mean=False))
        weighted = text(LogisticRegression(class_weight={0: 1.0, 1: float("nan")}))
        assert weighted != text(LogisticRegression(class_weight={"0": 1.0, "1": float("nan")}))
        assert text(RandomForestClassifier()) == text(
            RandomForestClassifier(random_state=np.random.RandomState(3), n_jobs=4)
        )
        unknown = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())
        assert Estimator(unknown).describe() is None
        assert Estimator(Failing()).describe() is None  # this module has no version


def plain_loop(
    data: TrainingData, settings: Network, rows: BoolArray, seed: int
) -> tuple[FloatArray, float]:
    """One network, trained the plain way; its logits and the share of minibatches it skipped."""
    x, x_test = (torch.tensor(f, dtype=torch.float32) for f in (data.features, data.test_features))
    y, kept = torch.tensor(data.labels), torch.tensor(rows)
    torch.manual_seed(seed)
    (width,) = settings.hidden
    model = nn.Sequential(
        nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, len(data.classes))
    )
    n_epochs = -(-settings.steps * settings.batch // len(y))
    order = torch.cat([torch.randperm(len(y)) for _ in range(n_epochs)])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    skipped = 0
    for step in range(settings.steps):
        chosen = order[step * settings.batch : (step + 1) * settings.batch]
        chosen = chosen[kept[chosen]]
        if len(chosen):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
        else:
            skipped += 1
    with torch.no_grad():
        return model(x_test).double().numpy(), skipped / settings.steps


class TestNetwork:
    @pytest.mark.parametrize("batch", [16, 4])
    def test_it_is_a_plain_loop_of_torch(self, batch: int) -> None:
        data, (masks, seeds) = blobs(), draw(4)
        masks[0], masks[1] = np.arange(12) == 3, True
        trainer = Network((8,), 40, batch, weight_decay=0.1)
        logits = trainer.begin(data)(masks, seeds)
        skipped = []
        for mask, seed, got in zip(masks, seeds, logits, strict=True):
            want, share = plain_loop(data, trainer, mask[data.owners], int(seed))
            np.testing.assert_allclose(got, want, atol=1e-5)
            skipped.append(share)
        assert batch > 4 or skipped[0] > 0.5

    @given(st.integers(0, 2**32), st.integers(1, 6), st.booleans())
    @settings(max_examples=10)
    def test_batches_change_nothing(self, seed: int, n_masks: int, one_seed: bool) -> None:
        data, (masks, seeds) = blobs(), draw(n_masks, seed=seed)
        seeds = np.full_like(seeds, seed) if one_seed else seeds
        trainer = Network((8,), 30, 16)
        np.testing.assert_allclose(
            trainer.begin(data)(masks, seeds),
            one_by_one(trainer, data, masks, seeds),
            atol=TOLERANCE,
        )

    def test_it_learns_digits_whatever_is_beside_it(self) -> None:
        data = digits()
        masks, seeds = draw(6, 20)
        seeds[3] = seeds[2]
        trainer = Network(steps=100)
        logits = trainer.begin(data)(masks, seeds)
        assert (logits.argmax(axis=2) == data.test_labels).mean() > 0.8
        alone = trainer.begin(data)(masks[2:4], seeds[2:4])  # one seed: gathered once
        np.testing.assert_allclose(alone, logits[2:4], atol=TOLERANCE)

    def test_more_steps_lower_the_loss(self) -> None:
        data = digits(200)
        data = TrainingData.checked(data.features, data.labels, data.features, data.labels)
        losses = []
        for steps in (4, 20, 80):
            logits = Network(steps=steps).begin(data)(np.ones((2, 200), dtype=bool), np.arange(2))
            losses.append(nn.functional.cross_entropy(*_flat(logits, data)).item())
        assert losses[0] > 1.5 * losses[1] > 2 * losses[2]

    def test_the_seed_decides_and_torch_is_left_alone(self) -> None:
        retrain = Network(steps=20).begin(blobs())
        before = torch.get_rng_state()
        first, again, other = retrain(np.ones((3, 12), dtype=bool), np.array([5, 5, 6]))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0.01
        assert torch.equal(before, torch.get_rng_state())

    def test_nothing_kept_and_one_class_kept(self) -> None:
        masks = np.zeros((3, 12), dtype=bool)
        masks[1, [1, 4]] = True
        logits = Network(steps=60).begin(blobs())(masks, np.arange(3))
        np.testing.assert_array_equal(logits[[0, 2]], 0)
        np.testing.assert_array_equal(logits[1].argmax(axis=1), 1)
        np.testing.assert_array_equal(Network().begin(blobs())(masks[:1], np.arange(1)), 0)

    def test_rows_that_are_removed_have_no_influence(self) -> None:
        data, mask = blobs(), np.arange(12)[None] < 6
        wild = data.features.copy()
        wild[~mask[0][data.owners]] = 1e6
        other = TrainingData.checked(
            wild, data.labels, data.test_features, data.test_labels, data.owners
        )
        np.testing.assert_array_equal(
            *(Network(steps=30).begin(each)(mask, np.zeros(1, np.int64)) for each in (data, other))
        )

    def test_divergence_is_nan(self) -> None:
        masks = np.ones((2, 12), dtype=bool)
        masks[0] = False
        logits = Network(learning_rate=1e30).begin(blobs())(masks, np.arange(2))
        np.testing.assert_array_equal(logits[0], 0)
        assert np.isnan(logits[1]).all()

    def test_one_that_diverges_leaves_the_others(self) -> None:
        data = blobs()
        wild = data.features.copy()
        wild[data.owners == 0] = 1e38  # the loss of these rows overflows
        data = TrainingData.checked(
            wild, data.labels, data.test_features, data.test_labels, data.owners
        )
        masks = np.ones((2, 12), dtype=bool)
        masks[1, 0] = False
        logits = Network(steps=30).begin(data)(masks, np.arange(2))
        assert np.isnan(logits[0]).all()
        np.testing.assert_allclose(
            logits[1:], one_by_one(Network(steps=30), data, masks, np.arange(2))[1:], atol=TOLERANCE
        )

    def test_minibatches_are_no_larger_than_the_rows(self) -> None:
        data, (masks, seeds) = blobs(), draw(2)
        np.testing.assert_array_equal(
            Network(batch=60).begin(data)(masks, seeds),
            Network(batch=999).begin(data)(masks, seeds),
        )
        with pytest.raises(ValueError, match=r"steps=5 .* fewer than the 60 .* use steps=15 or mo"):
            Network(steps=5, batch=4).begin(data)

    def test_the_users_own_module(self) -> None:
        seen = []

        def build(shape: tuple[int, ...], n_classes: int) -> nn.Module:
            seen.append((shape, n_classes))
            return Odd(n_classes)

        data, (masks, seeds) = blobs(shape=(1, 4, 4)), draw(4)
        trainer = Network(build=build, steps=40)
        logits = trainer.begin(data)(masks, seeds)
        assert set(seen) == {((1, 4, 4), 3)}
        np.testing.assert_allclose(logits, one_by_one(trainer, data, masks, seeds), atol=TOLERANCE)
        images = Network(steps=40).begin(data)(masks, seeds)  # flattened for the default
        assert images.shape == logits.shape

    def test_constants_and_frozen_parameters_stay(self) -> None:
        # the logits are the frozen factor times something: at zero no training can move them
        def build(shape: tuple[int, ...], n_classes: int) -> nn.Module:
            module = Odd(n_classes)
            nn.init.zeros_(module.frozen)
            return module

        data, (masks, seeds) = blobs(shape=(1, 4, 4)), draw(2)
        np.testing.assert_array_equal(Network(build=build).begin(data)(masks, seeds), 0)

    @pytest.mark.parametrize(
        ("module", "message"),
        [
            (lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), "buffers that training ch"),
            (
                lambda: nn.Sequential(
                    nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)
                ),
                "depend on the other rows",
            ),
            (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.01)), "dropout"),
            (lambda: nn.Linear(4, 2), r"returned the shape \(8, 2\) .* must return \(8, 3\)"),
            (lambda: nn.Linear(5, 3), r"fails on 8 rows of shape \(4,\): RuntimeError"),
            (lambda: nn.Flatten(), "no parameters to train"),
            (lambda: Unseeded(), "two different modules"),
        ],
    )
    def test_modules_that_are_refused(self, module: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Network(build=lambda shape, n_classes: module()).begin(blobs())

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"hidden": (8, 0)}, r"hidden=\(8, 0\)"),
            ({"hidden": (1.5,)}, "whole numbers"),
            ({"steps": 0}, "steps=0; give a whole number from 1 on"),
            ({"batch": 2.5}, "batch=2.5"),
            ({"batch_size": -1}, "batch_size=-1"),
            ({"learning_rate": 0.0}, "learning_rate=0.0; give a number above 0"),
            ({"learning_rate": float("nan")}, "learning_rate=nan"),
            ({"weight_decay": -0.1}, "weight_decay=-0.1; give 0 or"),
            ({"name": "mine"}, "name='mine' names no build"),
        ],
    )
    def test_wrong_settings(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Network(**wrong)

    def test_features_beyond_float32(self) -> None:
        data = blobs()
        wild = data.test_features.copy()
        wild[4, 1] = 1e39
        data = TrainingData.checked(data.features, data.labels, wild, data.test_labels)
        with pytest.raises(ValueError, match=r"test_features reach 1e\+39, beyond .* scale them"):
            Network().begin(data)

    def test_a_device_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="device='abacus' cannot be used"):
            Network(device="abacus").begin(blobs())

    def test_without_torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(network, "find_spec", lambda name: None)
        with pytest.raises(MissingDependencyError, match=r"training a network needs .* torch: pip"):
            Network()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_a_gpu_agrees(self) -> None:
        data, (masks, seeds) = blobs(), draw(5)
        np.testing.assert_allclose(
            Network(steps=40, device="cuda").begin(data)(masks, seeds),
            Network(steps=40).begin(data)(masks, seeds),
            atol=TOLERANCE,
        )

    def test_descriptions(self) -> None:
        text = json.dumps(Network().describe())
        assert text == json.dumps(Network(batch_size=3, device="cuda").describe())
        for other in (
            Network((8,)),
            Network(steps=3),
            Network(batch=3),
            Network(learning_rate=0.1),
            Network(weight_decay=0.1),
            Network(build=lambda shape, n: Odd(n), name="odd"),
        ):
            assert json.dumps(other.describe()) != text
        assert Network(build=lambda shape, n: Odd(n)).describe() is None


class Odd(nn.Module):
    """A convolution, a random constant, a frozen and an unused parameter."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)
        self.linear = nn.Linear(8, n_classes)
        self.unused = nn.Parameter(torch.ones(2))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        self.register_buffer("noise", torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.convolution(x)).flatten(1) + self.noise
        return self.frozen * self.linear(hidden)


class Unseeded(nn.Linear):
    """Draws its weights from another source of random numbers."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.weight.data += float(np.random.default_rng().normal())


def _flat(logits: FloatArray, data: TrainingData) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.tensor(logits).flatten(0, 1),
        torch.tensor(data.test_labels).repeat(len(logits)),
    )
