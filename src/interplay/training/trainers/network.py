"""Network: a small neural network, trained on many subsets in parallel."""

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
from interplay.training.trainers.stacked import check_module, initialise, stacked_logits, train

if TYPE_CHECKING:
    import torch

_CHECKED_ROWS = 8
"""The rows that a module is checked on before it is trained."""


@dataclass(frozen=True)
class Network:
    """A classifier trained by Adam on minibatches; the networks of a call are trained in parallel.

    One seed determines everything: ``torch.manual_seed(seed)`` is followed by the module's initial
    parameters, then by one ``torch.randperm`` of all rows after the other. The sequence of these
    permutations is cut into ``steps`` minibatches of ``batch`` rows. The loss of a step is the mean
    cross-entropy ce_i over the minibatch's rows i that the subset keeps::

        L = sum_i kept_i * ce_i / sum_i kept_i

    So each subset sees a kept row as often as a training on all rows does. Two subsets with the
    same seed have the same initial parameters and minibatches, and differ only in the rows kept. A
    minibatch without a kept row changes nothing, not even Adam's moments and its count of steps.

    Logits depend on the mask and its own seed. The other masks of a call change the rounding of
    float32, as another device does, and training may magnify it. On digits the margins (up to 10)
    of six subsets trained alone, in a call of 64, and by a plain loop of torch in float64 were
    within 4e-6 of each other; the tests allow 1e-3 of the logits. With one seed for all masks of a
    call, minibatches are gathered once, which is a little faster.

    A subset without rows gets zeros without training. If a loss or a logit stops being finite, the
    subset's logits are NaN and the ablation counts as failed.

    Attributes:
        hidden: the widths of the hidden layers, with ReLU between; ``()``: a linear model. Features
            are flattened; bring them to a scale of about one.
        steps: how many minibatches; with ``batch`` enough for one pass over the rows.
        batch: rows of a minibatch, kept or not; at most all rows.
        learning_rate: Adam's.
        weight_decay: decoupled, as in AdamW: each step subtracts learning_rate * weight_decay times
            the parameter.
        build: makes another architecture: ``build(shape, n_classes)``, with the shape of one row of
            features, returns a float32 ``torch.nn.Module`` from ``(rows, *shape)`` to
            ``(rows, n_classes)``, on the CPU, initialised by torch's own random numbers. The logits
            of a row may not depend on other rows, on chance or on earlier calls: no batch
            normalisation and no dropout. ``hidden`` then has no effect.
        name: identifies ``build`` in the description. Without a name nothing is stored. Another
            architecture needs another name.
        device: where torch trains.
        batch_size: subsets per call. More are faster as long as they fit into memory and caches. 1
            works for modules that ``torch.vmap`` does not support.

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
                device cannot be used, or the module that ``build`` returns cannot be trained in
                parallel.
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
            torch.tensor(features, dtype=torch.float32, device=self.device)
            for features in (data.features, data.test_features)
        )
        y = torch.tensor(data.labels, device=self.device)

        def make() -> torch.nn.Module:
            return (
                self.build(shape, n_classes) if self.build else _mlp(shape, self.hidden, n_classes)
            )

        check_module(make, x[:_CHECKED_ROWS].cpu(), n_classes)

        def retrain(masks: BoolArray, seeds: IntArray) -> FloatArray:
            logits = np.zeros((len(masks), len(x_test), n_classes))
            kept = data.rows(masks)
            nonempty = np.flatnonzero(kept.any(axis=1))  # subsets without rows keep their zeros
            if len(nonempty):
                networks = initialise(make, seeds[nonempty], n_rows, self.steps, batch, self.device)
                weights = torch.tensor(kept[nonempty], dtype=torch.float32, device=self.device)
                finite = train(networks, x, y, weights, self.learning_rate, self.weight_decay)
                networks.module.eval()
                with torch.no_grad():
                    predictions = stacked_logits(
                        networks, networks.trained, x_test, same_rows=True
                    ).double()
                finite &= predictions.isfinite().all(dim=2).all(dim=1)
                predictions[~finite] = torch.nan
                logits[nonempty] = predictions.cpu().numpy()
            return logits

        return retrain

    def describe(self) -> Json | None:
        """Return all settings but the device, and torch's version.

        Another version of torch may draw other random numbers. ``None`` for a ``build`` without a
        name.
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
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))
