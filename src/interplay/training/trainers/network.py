"""Network: a small neural network, trained on many subsets side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.errors import MissingDependencyError
from interplay.training.data import TrainingData
from interplay.training.trainers.base import Retrain
from interplay.training.trainers.stacked import check, scores, start, train

if TYPE_CHECKING:
    import torch

_TRIED_ROWS = 8
"""On so many rows a module is tried before it is trained."""


@dataclass(frozen=True)
class Network:
    """A classifier trained by Adam on minibatches; the networks of a call are trained side by side.

    One seed makes everything: ``torch.manual_seed(seed)``, then the module's initial parameters,
    then one ``torch.randperm`` of all rows after the other. Their sequence is cut into ``steps``
    minibatches of ``batch`` rows. The loss of a step is the mean cross-entropy of those rows of
    its minibatch that the subset keeps::

        L = sum_i kept_i * ce_i / sum_i kept_i

    So every kept row is seen as often in each subset as with all rows, and of two subsets with one
    seed only the rows in which they differ differ. A minibatch without a kept row changes nothing,
    Adam's moments and its count of steps included.

    Logits depend on the mask and its own seed; what else is in the call changes the rounding of
    float32, as another device does, and training may magnify it. On digits the margins (up to 10)
    of six subsets trained alone, in a call of 64, and by a plain loop of torch in float64 were
    within 4e-6 of each other; the tests allow 1e-3 of the logits. With one seed for all masks of a
    call, minibatches are gathered once, which is a little faster.

    A subset of no rows gets zeros without training. One whose loss or logits stop being finite gets
    NaN: the ablation counts as failed.

    Attributes:
        hidden: the widths of the hidden layers, with ReLU between; ``()``: a linear model. Features
            are flattened; bring them to a scale of about one.
        steps: how many minibatches; with ``batch`` enough for one pass over the rows.
        batch: rows of a minibatch, kept or not; at most as many as there are rows are taken.
        learning_rate: Adam's.
        weight_decay: decoupled, as in AdamW: each step takes learning_rate * weight_decay of each
            parameter.
        build: makes another architecture: ``build(shape, n_classes)``, with the shape of one row of
            features, returns a float32 ``torch.nn.Module`` from ``(rows, *shape)`` to
            ``(rows, n_classes)``, on the CPU, initialised by torch's own random numbers. Its rows
            may not depend on each other, on chance or on earlier calls: no batch normalisation and
            no dropout. ``hidden`` then has no effect.
        name: what stands for ``build`` in the description; without one nothing is stored. Another
            architecture needs another name.
        device: where torch trains.
        batch_size: subsets per call. More are faster as long as they fit into the memory and the
            caches; 1 serves modules that ``torch.vmap`` does not take.

    Raises:
        ValueError: a setting is out of its range.
        MissingDependencyError: torch is not installed.
    """

    hidden: tuple[int, ...] = (32,)
    steps: int = 150
    batch: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    build: Callable[[tuple[int, ...], int], torch.nn.Module] | None = None
    name: str | None = None
    device: str = "cpu"
    batch_size: int = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if any(width < 1 or width != int(width) for width in self.hidden):
            raise ValueError(
                f"hidden={self.hidden} is not made of widths; give whole numbers from 1 on, "
                "or () for a linear model"
            )
        for what in ("steps", "batch", "batch_size"):
            value = getattr(self, what)
            if value < 1 or value != int(value):
                raise ValueError(f"{what}={value!r}; give a whole number from 1 on")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate={self.learning_rate}; give a number above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay={self.weight_decay}; give 0 or a number above it")
        if self.name is not None and self.build is None:
            raise ValueError(f"name={self.name!r} names no build; give build=, or leave name out")
        if find_spec("torch") is None:
            raise MissingDependencyError("torch", "llm", "training a network")

    def begin(self, data: TrainingData) -> Retrain:
        """See :meth:`interplay.training.trainers.base.Trainer.begin`.

        Raises:
            ValueError: the steps do not reach all rows, a feature is too large for float32, the
                device cannot be used, or what ``build`` made cannot be trained this way.
        """
        import torch

        n_rows, n_classes, shape = len(data.labels), len(data.classes), data.features.shape[1:]
        batch = min(self.batch, n_rows)
        if self.steps * batch < n_rows:
            raise ValueError(
                f"steps={self.steps} minibatches of batch={batch} rows are fewer than the "
                f"{n_rows} training rows, some of which would never be seen; use "
                f"steps={-(-n_rows // batch)} or more, or larger minibatches"
            )
        try:
            torch.empty(0, device=self.device)
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f"device={self.device!r} cannot be used: {error}") from error
        for what in ("features", "test_features"):
            largest = np.abs(getattr(data, what)).max()
            if largest > torch.finfo(torch.float32).max:
                raise ValueError(
                    f"{what} reach {largest:.3g}, beyond the numbers of float32; scale them to "
                    "about one"
                )
        x, x_test = (
            torch.tensor(each, dtype=torch.float32, device=self.device)
            for each in (data.features, data.test_features)
        )
        y = torch.tensor(data.labels, device=self.device)

        def make() -> torch.nn.Module:
            return (
                self.build(shape, n_classes) if self.build else _mlp(shape, self.hidden, n_classes)
            )

        check(make, x[:_TRIED_ROWS].cpu(), n_classes)

        def retrain(masks: BoolArray, seeds: IntArray) -> FloatArray:
            logits = np.zeros((len(masks), len(x_test), n_classes))
            kept = data.rows(masks)
            some = np.flatnonzero(kept.any(axis=1))
            if len(some):
                networks = start(make, seeds[some], n_rows, self.steps, batch, self.device)
                weights = torch.tensor(kept[some], dtype=torch.float32, device=self.device)
                fine = train(networks, x, y, weights, self.learning_rate, self.weight_decay)
                networks.module.eval()
                with torch.no_grad():
                    found = scores(networks, networks.trained, x_test, alike=True).double()
                fine &= found.isfinite().all(dim=2).all(dim=1)
                found[~fine] = torch.nan
                logits[some] = found.cpu().numpy()
            return logits

        return retrain

    def describe(self) -> Json | None:
        """All settings and torch's version, whose random numbers may change; not the device.

        ``None`` for a ``build`` without a name.
        """
        import torch

        if self.build is not None and self.name is None:
            return None
        return {
            "kind": "network",
            **({"name": self.name} if self.build else {"hidden": list(self.hidden)}),
            "steps": self.steps,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "torch": torch.__version__.split("+")[0],
        }


def _mlp(shape: tuple[int, ...], hidden: tuple[int, ...], n_classes: int) -> torch.nn.Module:
    from torch import nn

    widths = [math.prod(shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))
