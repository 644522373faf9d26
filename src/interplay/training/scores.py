"""Scores: how a retrained model is judged at a test point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from interplay._arrays import real_numbers
from interplay._types import FloatArray, IntArray

ScoreName: TypeAlias = Literal["margin", "logprob", "loss", "correct"]
SCORES: tuple[ScoreName, ...] = ("margin", "logprob", "loss", "correct")


@dataclass(frozen=True)
class ScoreFunction:
    """A user-defined score.

    Attributes:
        function: takes logits ``(m, k, classes)`` and the labels of the test points ``(k,)``;
            returns scores ``(m, k)``.
        name: identifies what it computes, for the fingerprint. Without a name the values last for
            the run only and are never written to a store.
    """

    function: Callable[[FloatArray, IntArray], FloatArray]
    name: str | None = None

    def __str__(self) -> str:
        return self.name or "a function of the logits"


Score: TypeAlias = ScoreName | ScoreFunction


def check_score(score: Score) -> Score:
    """Check that a score exists.

    Raises:
        ValueError: there is no such score.
    """
    if not isinstance(score, ScoreFunction) and score not in SCORES:
        raise ValueError(
            f"score={score!r} is unknown; choose one of {', '.join(SCORES)}, or give a "
            "ScoreFunction"
        )
    return score


def scored(score: Score, logits: FloatArray, labels: IntArray) -> FloatArray:
    """Score logits ``(m, k, classes)`` at test points of classes ``labels`` ``(k,)``: ``(m, k)``.

    ``"margin"`` is the logit of the right class minus the highest of the others (as in ProxySPEX,
    arXiv 2505.17495), ``"logprob"`` the right class's log-probability, ``"loss"`` its negative,
    ``"correct"`` 1 if the margin is above 0, else 0.

    Raises:
        ValueError: a ``ScoreFunction`` returned another shape.
    """
    from scipy.special import log_softmax

    if isinstance(score, ScoreFunction):
        values = real_numbers(score.function(logits, labels), f"the scores of {score}")
        if values.shape != logits.shape[:2]:
            raise ValueError(
                f"{score} returned scores of shape {values.shape} for logits of shape "
                f"{logits.shape}; it must return {logits.shape[:2]}"
            )
        return values
    at = np.arange(len(labels))
    if score in ("logprob", "loss"):
        logprob = log_softmax(logits, axis=2)[:, at, labels]
        return np.asarray(logprob if score == "logprob" else -logprob)
    others = logits.copy()
    others[:, at, labels] = -np.inf
    margin = logits[:, at, labels] - others.max(axis=2)
    if score == "correct":
        return np.where(np.isnan(margin), np.nan, (margin > 0).astype(np.float64))
    return np.asarray(margin)
