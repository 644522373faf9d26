"""Harm: which training data lower the scores, poisoned or mislabelled ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, visible
from interplay.explanation.explanation import Explanation
from interplay.training.analysis.relations import (
    certain_sets,
    classes_of,
    described_training,
    effects_of,
    point_name,
    rounding_of,
    single_index,
)


@dataclass(frozen=True)
class Harm:
    """A player that lowers the scores, where it lowers them most, and whom it works against.

    Attributes:
        player: its number.
        name: its name.
        tag: the tag or class of its rows; ``None``: several or none.
        effect: what it adds to the mean score over the questions; negative, in the unit of the
            score. For a loss, where lower is better, positive.
        question: the name of the question that it harms most.
        question_effect: what it adds to the score there.
        rivals: the helpful players with which it interacts most there, names, strongest first.
        certain: whether what it adds there can be told from zero.
    """

    player: int
    name: str
    tag: str | None
    effect: float
    question: str
    question_effect: float
    rivals: tuple[str, ...]
    certain: bool = True

    def __str__(self) -> str:
        tag = "" if self.tag is None else f" ({self.tag})"
        rivals = f", against {', '.join(self.rivals)}" if self.rivals else ""
        return visible(
            f"{self.name}{tag} {self.effect:+.3g}, most at {self.question}: "
            f"{self.question_effect:+.3g}{rivals}{'' if self.certain else ' (zero?)'}"
        )


def harmful(
    explanation: Explanation,
    *,
    points: Sequence[int] | None = None,
    top: int | None = 10,
    n_rivals: int = 3,
) -> tuple[Harm, ...]:
    """Rank the players that lower the mean score: candidates for poison and wrong labels.

    The questions should be such that a high score is right for each. A player is ranked by what it
    adds to their mean score, averaged over the subsets of the others that the explanation is about:
    its Shapley value under ``measure="shapley"``, else its Banzhaf value. A harm that shows only
    beside the right example, which it works against, is thus counted as often as that one is there.
    Where copies of a poison stand in for each other, each of them has its share of the harm.

    Args:
        explanation: an explanation of a ``FineTuningGame`` or ``TrainingGame``, fresh or loaded.
        points: the numbers of the questions that count; ``None``: all.
        top: how many players at most; ``None``: all that do harm.
        n_rivals: how many rivals of each at most.

    Returns:
        The players with a negative effect, the most harmful first.

    Raises:
        ValueError: the explanation is of something else, or a question does not exist.

    Example:
        The last row has the wrong label.

        >>> import interplay as ip
        >>> from interplay.training import Ridge, TrainingData, TrainingGame, harmful
        >>> data = TrainingData.checked(
        ...     [[2.0], [1.0], [-1.0], [-2.0], [3.0]], ["a", "a", "b", "b", "b"], [[1.0]], ["a"]
        ... )
        >>> explanation = ip.explain(TrainingGame(Ridge(), data), progress=False)
        >>> print(harmful(explanation, top=1)[0])
        4 (b) -0.536, most at 0 (a): -0.536, against 0, 1
    """
    description = described_training(explanation)
    spectrum = explanation.spectrum
    chosen = list(range(spectrum.n_outputs or 1) if points is None else points)
    if not chosen:
        raise ValueError("points names no question; give numbers, or None for all")
    for point in chosen:
        spectrum.output(point)
    better = -1.0 if description["score"] == "loss" else 1.0
    effects = better * effects_of(explanation, spectrum)[:, chosen]
    means = effects.mean(axis=1)
    least, single = rounding_of(spectrum), single_index(explanation)
    order = np.argsort(means, kind="stable")
    listed = [int(player) for player in order if means[player] < -least][:top]
    tags = classes_of(description)
    result = []
    worst_of = {player: int(effects[player].argmin()) for player in listed}
    certain = {
        worst: certain_sets(explanation, chosen[worst], single, 1) for worst in {*worst_of.values()}
    }
    for player, worst in worst_of.items():
        rivals = _rivals(explanation, chosen[worst], player, effects[:, worst] > least)
        result.append(
            Harm(
                player,
                explanation.players[player],
                tags[player],
                better * float(means[player]),
                point_name(description, chosen[worst]),
                better * float(effects[player, worst]),
                tuple(explanation.players[rival] for rival in rivals[:n_rivals]),
                (player,) in certain[worst],
            )
        )
    return tuple(result)


def _rivals(explanation: Explanation, point: int, player: int, helps: BoolArray) -> list[int]:
    """The helpful players with which one interacts at a question, the strongest first."""
    pairs = explanation.spectrum.output(point).to("FSII", order=2)
    strengths: dict[int, float] = {}
    for members, value in pairs.filter(min_order=2):
        if player in members:
            (other,) = (member for member in members if member != player)
            if helps[other]:
                strengths[other] = abs(float(value))
    least = rounding_of(explanation.spectrum)
    ranked = sorted(strengths, key=lambda other: -strengths[other])
    return [other for other in ranked if strengths[other] > least]
