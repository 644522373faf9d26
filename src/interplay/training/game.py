"""TrainingGame: groups of training rows as players, the retrained model's scores as values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.fourier.interactions import names_of
from interplay.fourier.masks import as_masks
from interplay.training.data import TrainingData
from interplay.training.scores import Score, ScoreFunction, check_score, scored
from interplay.training.trainers.base import Trainer

_CODE_VERSION = 1
"""Part of the fingerprint; raised when the same settings come to give other values."""


class TrainingGame:
    """How the scores of a model at test points depend on what it is trained on.

    The value of a mask is the score, at each test point, of a model that was trained on the rows of
    the players that the mask keeps. A model that was trained on nothing has equal logits.

    Args:
        trainer: how to train.
        data: what to train on, its players, and the test points.
        score: ``"margin"``, ``"logprob"``, ``"loss"``, ``"correct"``, or a ``ScoreFunction``.
        n_repeats: above 1 for training that is random: so many seeds for each subset, averaged, and
            the noise's share is reported. With 1 all subsets are trained with seed 0.
        test_names: the test points' names; by default their numbers and classes.
        snippets: for each player a short text of what it is, or ``None``; for reports only.
        thumbnails: for each player a small PNG image, in base64, or ``None``; for reports only.

    Raises:
        ValueError: an unknown score, ``n_repeats`` below 1, or not one name per test point, or not
            one snippet or thumbnail per player.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: TrainingData,
        score: Score = "margin",
        *,
        n_repeats: int = 1,
        test_names: Sequence[str] | None = None,
        snippets: Sequence[str | None] | None = None,
        thumbnails: Sequence[str | None] | None = None,
    ) -> None:
        if n_repeats < 1:
            raise ValueError(f"n_repeats={n_repeats} is below 1; give a whole number from 1 on")
        self.trainer = trainer
        self.data = data
        self.score = check_score(score)
        self.n_repeats = int(n_repeats)
        default = [
            f"{number} ({data.classes[label]})" for number, label in enumerate(data.test_labels)
        ]
        self.test_names = names_of(test_names or default, len(data.test_labels))
        self._shown = {"snippets": snippets, "thumbnails": thumbnails}
        for what, given in self._shown.items():
            if given is not None and len(given) != self.n_players:
                raise ValueError(
                    f"{len(given)} {what} were given for {self.n_players} players; give one per "
                    "player, or None in its place"
                )
        self._retrain = trainer.begin(data)

    @property
    def n_players(self) -> int:
        """The number of players."""
        return self.data.n_players

    @property
    def players(self) -> tuple[str, ...]:
        """Their names."""
        return self.data.players

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """Scores ``(m, k)`` at k test points, ``(m,)`` at one. NaN where the training diverged."""
        masks = as_masks(masks, self.n_players)
        given = seeds[0] if seeds else np.zeros(len(masks), dtype=np.int64)
        if not len(masks):
            return np.empty((0, len(self.test_names)))
        logits = self._retrain(masks, given)
        values = scored(self.score, logits, self.data.test_labels)
        values = np.where(np.isfinite(logits).all(axis=2), values, np.nan)
        return np.asarray(values if values.shape[1] > 1 else values[:, 0])

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have, repeats counted."""
        return max(1, self.trainer.batch_size // self.n_repeats)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Any order will do, ``(m,)``."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """How many rows each retraining reads, ``(m,)``."""
        return np.asarray(self.n_repeats * self.data.rows(masks).sum(axis=1), dtype=np.float64)

    def describe(self) -> Json:
        """The trainer, the score, the players' classes and sizes, the test points, as JSON."""
        data = self.data
        counts = np.zeros((self.n_players, len(data.classes)), dtype=np.int64)
        owned = data.owners >= 0
        np.add.at(counts, (data.owners[owned], data.labels[owned]), 1)
        return {
            "lens": "training",
            "view": {
                "kind": "tiles",
                "title": "The training data",
                # of many test points the mean is what is asked for first
                "mean_first": True,
                "table": "relations",
            },
            "trainer": self.trainer.describe() or {"kind": type(self.trainer).__name__},
            "score": str(self.score),
            "classes": list(data.classes),
            "rows_by_class": counts.tolist(),
            "n_fixed": int((~owned).sum()),
            "test_points": list(self.test_names),
            "test_labels": data.test_labels.tolist(),
            "outputs": list(self.test_names) if len(self.test_names) > 1 else [],
        } | {what: list(given) for what, given in self._shown.items() if given is not None}

    @property
    def fingerprint(self) -> str | None:
        """A hash of the data, the players, the trainer and the score.

        ``None`` for a trainer or a score that cannot be told from its settings.
        """
        settings = self.trainer.describe()
        nameless = isinstance(self.score, ScoreFunction) and self.score.name is None
        if settings is None or nameless:
            return None
        what = {"code": _CODE_VERSION, "trainer": settings, "score": str(self.score)}
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
        data = self.data
        for array in (
            data.features,
            data.labels,
            data.owners,
            data.test_features,
            data.test_labels,
        ):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"TrainingGame({type(self.trainer).__name__}, {self.n_players} players, "
            f"{len(self.data.labels)} rows, {len(self.test_names)} test points, {self.score})"
        )
