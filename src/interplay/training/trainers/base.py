"""Trainer: how a model is retrained, many subsets at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData

Retrain: TypeAlias = Callable[[BoolArray, IntArray], FloatArray]
"""From masks over the players, ``(m, n)``, and a seed for each, ``(m,) int64``, to the logits of
the m retrained models at the k test points, ``(m, k, classes)`` float64. A mask's logits depend on
the mask and its seed alone, not on what else is in the call, within the trainer's stated tolerance.
A model that cannot be used has NaN."""


class Trainer(Protocol):
    """A way to train.

    The logits of a model that was trained on nothing are all zero: it knows no class. Classes that
    a subset lacks still have logits.
    """

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have."""
        ...

    def begin(self, data: TrainingData) -> Retrain:
        """Make ready to retrain on subsets of some data."""
        ...

    def describe(self) -> Json | None:
        """All settings, as JSON; ``None`` where they cannot be told, so that nothing is stored."""
        ...
