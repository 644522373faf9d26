"""Trainer: the interface of ways to retrain a model, many subsets at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.training.data import TrainingData

Retrain: TypeAlias = Callable[[BoolArray, IntArray], FloatArray]
"""Takes masks over the players, ``(m, n)``, and a seed for each, ``(m,) int64``. Returns the logits
of the m retrained models at the k test points, ``(m, k, classes)`` float64. A mask's logits depend
on the mask and its seed alone, not on the other masks of the call, within the trainer's stated
tolerance. The logits of a model that cannot be used are NaN."""


class Trainer(Protocol):
    """A way to train a classifier.

    The logits of a model that was trained on nothing are all zero: it knows no class. Classes that
    a subset lacks still have logits.
    """

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have."""
        ...

    def begin(self, data: TrainingData) -> Retrain:
        """Prepare to retrain on subsets of the data."""
        ...

    def describe(self) -> Json | None:
        """Return all settings as JSON. ``None``: they have no JSON form, and nothing is stored."""
        ...
