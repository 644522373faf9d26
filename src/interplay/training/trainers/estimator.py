"""Estimator: any scikit-learn classifier, fitted once for each subset."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData
from interplay.training.trainers.base import Retrain

SMALLEST_PROBABILITY = 1e-6
"""Probabilities are clipped to lie between this and one minus this, which keeps their logarithms
finite: trees and nearest neighbours often give 0 or 1."""
_WITHOUT_EFFECT = ("random_state", "n_jobs", "verbose")
"""Parameters that a description leaves out: the seed replaces the first, the others do not change
values."""
_PER_WORKER = 32
"""Subsets for each process in a call: enough to outweigh the cost of sending it the data."""


@dataclass(frozen=True, eq=False)
class Estimator:
    """A scikit-learn classifier or pipeline, cloned and fitted to the kept rows of each subset.

    Features are flattened to one row of numbers each. Classes are the numbers 0, 1, ... of the
    sorted labels: a ``class_weight`` must name those. Every parameter named ``random_state``, of
    nested steps too, is set to the subset's seed modulo 2^31.

    If the estimator has ``predict_proba``, the logits are log p, with the probability p clipped to
    [e, 1 - e], e = :data:`SMALLEST_PROBABILITY`. A class that the subset lacks gets log e.
    Otherwise the logits come from the ``decision_function``. With two classes they are (-d/2, d/2)
    for its value d; with more they are its values. A class that the subset lacks gets one less than
    the lowest of the others.

    A subset of one class is not fitted: that class gets log(1 - e), the others log e. Each fit runs
    on one thread. A logit that is not finite stays so; the ablation then counts as failed.

    Attributes:
        estimator: the classifier; it is never fitted itself.
        n_jobs: processes, as joblib counts them: -1 for all cores; ``None``: this process alone.

    Raises:
        ValueError: ``n_jobs`` is 0, the estimator has neither ``predict_proba`` nor
            ``decision_function``, or its decision function compares classes in pairs.
    """

    estimator: Any
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        name = type(self.estimator).__name__
        if self.n_jobs == 0:
            raise ValueError(
                "n_jobs=0; give a number of processes, -1 for all cores, or None for this process"
            )
        if isinstance(self.estimator, type):
            raise ValueError(
                f"estimator={self.estimator.__name__} is a class; give an instance of it, "
                f"{self.estimator.__name__}(...)"
            )
        missing = [what for what in ("fit", "get_params") if not hasattr(self.estimator, what)]
        if missing:
            raise ValueError(
                f"{name} has no {' and no '.join(missing)}; give a classifier that follows "
                "scikit-learn, or a pipeline that ends in one"
            )
        if hasattr(self.estimator, "predict_proba"):
            return
        if not hasattr(self.estimator, "decision_function"):
            raise ValueError(
                f"{name} has neither predict_proba nor decision_function, and labels alone are no "
                "score; give a classifier with one of the two"
            )
        params = self.estimator.get_params()
        pairs = [k for k in params if k.endswith("decision_function_shape") and params[k] == "ovo"]
        if pairs:
            raise ValueError(
                f'{pairs[0]}="ovo" gives one score for each pair of classes; use "ovr", one for '
                "each class"
            )

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have: 32 for each process."""
        import joblib

        return _PER_WORKER * int(joblib.effective_n_jobs(self.n_jobs))

    def begin(self, data: TrainingData) -> Retrain:
        """See :meth:`interplay.training.trainers.base.Trainer.begin`.

        If a fit fails, the function that it returns raises a RuntimeError that names the subset. A
        MemoryError is passed on as it is.
        """
        import joblib

        def retrain(masks: BoolArray, seeds: IntArray) -> FloatArray:
            n_workers = min(int(joblib.effective_n_jobs(self.n_jobs)), len(masks))
            if n_workers <= 1:
                return _fit_all(self.estimator, data, masks, seeds)
            # one part for each worker, since each part sends the data along; every n-th mask, since
            # neighbouring masks cost about the same; max_nbytes=None writes nothing to the disk
            parts = joblib.Parallel(n_jobs=n_workers, backend="loky", max_nbytes=None)(
                joblib.delayed(_fit_all)(
                    self.estimator, data, masks[at::n_workers], seeds[at::n_workers]
                )
                for at in range(n_workers)
            )
            logits = np.empty((len(masks), *parts[0].shape[1:]))
            for at, part in enumerate(parts):
                logits[at::n_workers] = part
            return logits

        return retrain

    def describe(self) -> Json | None:
        """Describe the classes, their packages' versions, and the parameters that change values.

        ``None`` if a parameter is no plain value (a function, an array). Also ``None`` if a class
        comes from a module without a version: a change of its code would then go unnoticed.
        """
        import sklearn

        try:
            estimator = _plain(self.estimator)
        except TypeError:
            return None
        return {
            "kind": "estimator",
            "estimator": estimator,
            "sklearn": sklearn.__version__,
            "smallest_probability": SMALLEST_PROBABILITY,
        }


def _fit_all(estimator: Any, data: TrainingData, masks: BoolArray, seeds: IntArray) -> FloatArray:
    """Fit one subset after the other and return their logits, ``(m, k, classes)``."""
    from sklearn.base import clone

    train, test = (x.reshape(len(x), -1) for x in (data.features, data.test_features))
    logits = np.zeros((len(masks), len(test), len(data.classes)))
    with threadpool_limits(1):
        for at, (rows, seed) in enumerate(zip(data.rows(masks), seeds.tolist(), strict=True)):
            labels = data.labels[rows]
            present = np.unique(labels)
            if len(present) == 1:
                logits[at] = np.log(SMALLEST_PROBABILITY)
                logits[at][:, present[0]] = np.log1p(-SMALLEST_PROBABILITY)
            elif len(present):
                model = clone(estimator)
                names = [k for k in model.get_params() if k.split("__")[-1] == "random_state"]
                model.set_params(**dict.fromkeys(names, seed % 2**31))
                try:
                    model.fit(train[rows], labels)
                    logits[at] = _logits(model, test, len(data.classes))
                except MemoryError:
                    raise  # the evaluator retries with fewer masks
                except Exception as error:
                    counts = ", ".join(
                        f"{np.sum(labels == c)} of {data.classes[c]!r}" for c in present
                    )
                    raise RuntimeError(
                        f"{type(estimator).__name__} failed on {len(labels)} training rows "
                        f"({counts}): {type(error).__name__}: {error}"
                    ) from error
    return logits


def _logits(model: Any, test: FloatArray, n_classes: int) -> FloatArray:
    """Compute the logits of a fitted model at the test points, ``(k, classes)``."""
    if not hasattr(model, "classes_"):
        raise ValueError("it has no classes_ after it was fitted, so it is no classifier")
    present = np.asarray(model.classes_)
    if hasattr(model, "predict_proba"):
        known = np.asarray(model.predict_proba(test), dtype=np.float64)
        known = np.log(np.clip(known, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
        absent = np.full((len(test), 1), np.log(SMALLEST_PROBABILITY))
    else:
        known = np.asarray(model.decision_function(test), dtype=np.float64)
        if known.ndim == 1:
            known = np.stack([-known / 2, known / 2], axis=1)
        absent = known.min(axis=1, keepdims=True) - 1
    if known.shape != (len(test), len(present)):
        raise ValueError(
            f"its scores of {len(test)} test points have the shape {known.shape}; one is needed "
            f"for each of its {len(present)} classes"
        )
    logits = np.repeat(absent, n_classes, axis=1)
    logits[:, present] = known
    return logits


def _plain(value: Any) -> Any:
    """Turn a parameter into JSON, nested estimators included; TypeError if it has no JSON form."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):  # as pairs: keys of JSON objects can only be strings
        return {"pairs": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if hasattr(value, "get_params") and not isinstance(value, type):
        kind = type(value)
        package = kind.__module__.split(".")[0]
        version = getattr(sys.modules.get(package), "__version__", None)
        if not isinstance(version, str):
            raise TypeError(f"{package} has no version")
        params = value.get_params(deep=False)
        return {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "version": version,
            "params": {k: _plain(params[k]) for k in sorted(params) if k not in _WITHOUT_EFFECT},
        }
    raise TypeError(f"{type(value).__name__} is no plain value")
