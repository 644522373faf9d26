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
"""Part of the fingerprint: increased when a change of the code changes values."""


class TrainingGame:
    """How the scores of a model at test points depend on its training rows.

    To evaluate a mask is to train a model on the rows of the players that the mask keeps, and to
    score it at each test point. A model that was trained on nothing has equal logits.

    Args:
        trainer: how to train.
        data: the training rows, their players, and the test points.
        score: ``"margin"``, ``"logprob"``, ``"loss"``, ``"correct"``, or a ``ScoreFunction``.
        n_repeats: for random training, how many seeds each subset is trained with. Their scores are
            averaged, and the noise's share of the variance is reported. With 1, all subsets are
            trained with seed 0.
        test_names: the test points' names; by default their numbers and classes.
        snippets: for each player a short text that shows what it is, or ``None``; for reports only.
        thumbnails: for each player a small PNG image, in base64, or ``None``; for reports only.

    Raises:
        ValueError: the score is unknown, ``n_repeats`` is below 1, or the names, snippets or
            thumbnails are not one per test point or player.

    Example:
        >>> import numpy as np
        >>> from interplay.training import Ridge, TrainingData, TrainingGame
        >>> data = TrainingData.checked(
        ...     [[2.0], [1.0], [-2.0]], ["a", "a", "b"], [[1.0], [-1.0]], ["a", "b"]
        ... )
        >>> game = TrainingGame(Ridge(penalty=1.0), data)  # 3 players, 2 test points
        >>> game(np.array([[True, True, True], [True, True, False]])).round(2)
        array([[ 0.66,  0.31],
               [ 1.  , -1.  ]])
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
        for what, entries in self._shown.items():
            if entries is not None and len(entries) != self.n_players:
                raise ValueError(
                    f"{len(entries)} {what} were given for {self.n_players} players; give one per "
                    "player, or None in its place"
                )
        self._retrain = trainer.begin(data)

    measure = "uniform"
    """That of its explanations, where none is asked for: subsets of about half of the data."""

    @property
    def n_players(self) -> int:
        """The number of players."""
        return self.data.n_players

    @property
    def players(self) -> tuple[str, ...]:
        """The players' names."""
        return self.data.players

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """Retrain and score: ``(m, k)`` for k test points, ``(m,)`` for one.

        The scores of a model whose training diverged are NaN.
        """
        masks = as_masks(masks, self.n_players)
        mask_seeds = seeds[0] if seeds else np.zeros(len(masks), dtype=np.int64)
        if not len(masks):
            return np.empty((0, len(self.test_names)))
        logits = self._retrain(masks, mask_seeds)
        values = scored(self.score, logits, self.data.test_labels)
        values = np.where(np.isfinite(logits).all(axis=2), values, np.nan)
        return np.asarray(values if values.shape[1] > 1 else values[:, 0])

    @property
    def batch_size(self) -> int:
        """How many masks a call should have; each of them is trained ``n_repeats`` times."""
        return max(1, self.trainer.batch_size // self.n_repeats)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Return the masks' order of evaluation, ``(m,)``: any will do here."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """Count the rows that each mask's retrainings read, ``(m,)``."""
        return np.asarray(self.n_repeats * self.data.rows(masks).sum(axis=1), dtype=np.float64)

    def describe(self) -> Json:
        """Describe the trainer, score, test points, and players' classes and sizes as JSON."""
        data = self.data
        counts = np.zeros((self.n_players, len(data.classes)), dtype=np.int64)
        owned = data.owners >= 0
        np.add.at(counts, (data.owners[owned], data.labels[owned]), 1)
        return {
            "lens": "training",
            "view": {
                "kind": "tiles",
                "title": "The training data",
                # a report of many test points shows their mean first
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
        } | {what: list(entries) for what, entries in self._shown.items() if entries is not None}

    @property
    def fingerprint(self) -> str | None:
        """A hash of the data, the players, the trainer and the score.

        ``None`` if their settings do not identify the trainer or the score.
        """
        settings = self.trainer.describe()
        nameless = isinstance(self.score, ScoreFunction) and self.score.name is None
        if settings is None or nameless:
            return None
        identity = {"code": _CODE_VERSION, "trainer": settings, "score": str(self.score)}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
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
