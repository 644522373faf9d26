"""Adaptive circuits: subsets that are predicted to be best are evaluated, and so on in rounds.

A spectrum is optimised far from the masks that it was fitted to, and the optimum is drawn to its
errors. A round therefore evaluates subsets of each wanted size: the optimum of a Gaussian process
of all ablations so far (:mod:`.surface`), and those of the same process given random parts of them,
as a bootstrap has them: where these disagree, it is uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Literal, TypeAlias, get_args

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.surface import Surface, fit
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.run_plan import Request
from interplay.extensions import unknown
from interplay.fourier.masks import keys
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game, Hints, costs, fingerprint_of, players_of
from interplay.optimize.subset import BestSubset, best_subset

Objective: TypeAlias = Literal["best", "faithful"]
"""What is wanted of a subset: the largest score, or the score of the whole model."""
PROPOSALS = 4
"""Subsets of each size in a round of :func:`adapted`."""
_SHARE = 0.632
"""The share of the ablations that a part has: that of distinct ones in a bootstrap."""
_LARGEST = 3
"""Subsets that are shrunk keep at most so many times the players that are wanted."""
_BEGUN = 2
"""The best evaluated subsets of a size from which a search starts too."""


@dataclass(frozen=True)
class Goal:
    """What is wanted of a subset of a given size.

    Attributes:
        output: which of several scores is meant.
        target: the score of the whole model, which the subset's is to be near to; ``None``: the
            subset's is to be large.
        time_limit: seconds for each optimisation of a spectrum.
    """

    output: int
    target: float | None
    time_limit: float = 60.0

    def optimum(self, spectrum: Spectrum, n_kept: int) -> BestSubset:
        """The subset of that size that a spectrum predicts to be best."""
        return best_subset(
            spectrum,
            keep=n_kept,
            target=self.target,
            output=self.output,
            time_limit=self.time_limit,
        )

    def merits(self, values: FloatArray) -> FloatArray:
        """How good values ``(m, k)`` are, larger being better, ``(m,)``."""
        scores = values[:, self.output]
        return scores if self.target is None else -np.abs(scores - self.target)


@dataclass(frozen=True)
class Wanted:
    """Proposals of a round: so many subsets of a size.

    Attributes:
        size: how many players they keep.
        goal: what is wanted of them.
        count: how many.
        n_larger: so many larger subsets are shrunk to be starts of the search.
    """

    size: int
    goal: Goal
    count: int
    n_larger: int = 0


@dataclass(frozen=True, eq=False)
class Choice:
    """Players to keep, and how they were chosen.

    Attributes:
        mask: ``(n,)``.
        note: how they were chosen.
        predicted: the score that was predicted; NaN without a prediction.
        rounds: how many rounds there were.
        spent: the ablations that the choice took, for all sizes together, beyond those that the
            spectrum was first fitted to.
    """

    mask: BoolArray
    note: str = ""
    predicted: float = nan
    rounds: int = 0
    spent: int = 0


def check_objective(objective: str) -> None:
    """Refuse an unknown objective.

    Raises:
        ValueError: it is unknown.
    """
    if objective not in get_args(Objective):
        raise unknown("objective", objective, get_args(Objective))


def check_explains(name: str, explanation: Explanation, game: Game) -> None:
    """Refuse an explanation of another game.

    Raises:
        ValueError: it has another fingerprint, or other players.
    """
    recorded = explanation.provenance["game"]["fingerprint"]
    if recorded != fingerprint_of(game) or explanation.players != players_of(game):
        raise ValueError(
            f"{name} explains a game with the fingerprint {recorded}, and {game!r} has "
            f"{fingerprint_of(game)} or other players; give the game that was explained"
        )


def adapted(
    evaluator: Evaluator,
    explanation: Explanation,
    sizes: Sequence[int],
    goal: Goal,
    rounds: int,
    seed: Sequence[int],
) -> list[Choice]:
    """Choose subsets by rounds of proposals.

    The choice is the best subset that was evaluated. The optimum by all ablations is among them.

    Args:
        evaluator: of the explained game.
        explanation: its ablations are the first. They are not all masks.
        sizes: how many players to keep, distinct numbers.
        goal: what is wanted.
        rounds: how many. They end early if nothing new is proposed.
        seed: of random parts of the ablations and of the searches' starts.

    Returns:
        One choice for each size.

    Raises:
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    known = first = first_ablations(explanation)
    hints, n_rounds = hints_of(explanation), 0
    wanted = [Wanted(size, goal, PROPOSALS) for size in sizes]
    for number in range(rounds):
        rng = np.random.default_rng([*seed, number])
        more = measured(evaluator, proposed(known, hints, wanted, rng), known)
        if not len(more):
            break
        known += more
        n_rounds += 1
    rng = np.random.default_rng([*seed, rounds])
    last = [replace(one, count=1) for one in wanted]
    known += measured(evaluator, proposed(known, hints, last, rng), known)
    surface = fit(
        known.masks, known.values[:, goal.output], None if hints is None else hints.values
    )
    spent = len(known) - len(first)
    choices = []
    for size in sizes:
        alike = np.flatnonzero(known.masks.sum(axis=1) == size)
        best = alike[goal.merits(known.values[alike]).argmax()]
        mask, value = known.masks[best], float(known.values[best, goal.output])
        note = (
            f"{n_rounds} round{'s' * (n_rounds != 1)}, {spent} further ablations: the best of "
            f"{len(alike)} evaluated subsets of its size, measured {value:.4g}"
        )
        if goal.target is not None:
            note += f", {abs(value - goal.target):.2g} from the target {goal.target:.4g}"
        predicted = float(surface.predict(mask[None])[0])
        choices.append(Choice(mask, note, predicted, n_rounds, spent))
    return choices


def proposed(
    known: Ablations, hints: Hints | None, wanted: Sequence[Wanted], rng: np.random.Generator
) -> BoolArray:
    """Subsets that are predicted to be best, none of them known, ``(p, n)``.

    Of each size the first is the optimum by all ablations, the others by random parts of them.

    Args:
        known: the ablations so far, values in columns.
        hints: the game's hints; ``None``: it has none.
        wanted: sizes, goals and counts.
        rng: draws parts and starts.
    """
    seen, masks = set(keys(known.masks)), []
    hint_values = None if hints is None else hints.values
    surfaces: dict[int, Surface] = {}
    for one in wanted:
        output = one.goal.output
        if output not in surfaces:
            surfaces[output] = fit(known.masks, known.values[:, output], hint_values)
        alike = np.flatnonzero(known.masks.sum(axis=1) == one.size)
        order = np.argsort(-one.goal.merits(known.values[alike]), kind="stable")
        begun = known.masks[alike[order[:_BEGUN]]]
        larger = known.masks[_front(known, one)[: one.n_larger]]
        for number in range(one.count):
            surface = surfaces[output]
            if number:
                surface = surface.part(_SHARE, rng)
            starts = np.array([*begun, *(surface.shrunk(mask, one.size) for mask in larger)])
            mask = surface.best(
                one.size, seen, rng, target=one.goal.target, starts=starts if len(starts) else None
            )
            if mask is None:
                break
            masks.append(mask)
            seen.update(keys(mask[None]))
    return np.array(masks, dtype=np.bool_).reshape(-1, known.masks.shape[1])


def _front(known: Ablations, wanted: Wanted) -> IntArray:
    """The rows of larger subsets, up to a size, that no smaller one of them is as good as.

    Their sizes ascend.
    """
    counts, merits = known.masks.sum(axis=1), wanted.goal.merits(known.values)
    rows = np.flatnonzero((counts > wanted.size) & (counts <= _LARGEST * wanted.size))
    rows = rows[np.lexsort((-merits[rows], counts[rows]))]
    best_before = np.maximum.accumulate(np.append(-np.inf, merits[rows]))[:-1]
    return rows[merits[rows] > best_before]


def first_ablations(explanation: Explanation) -> Ablations:
    """The ablations of the measure, values in columns; a fit leaves the ends out."""
    exact = explanation.faithfulness.exact  # then they are the same
    used = explanation.fit if exact else explanation.fit + explanation.held_out
    return Ablations(used.masks, as_columns(used.values))


def hints_of(explanation: Explanation) -> Hints | None:
    """The hints that an explanation had."""
    return Request.recorded(explanation.provenance).hints


def cost_of(game: Game, explanation: Explanation) -> float:
    """What an explanation took, in ablations of its game: ends and hints included."""
    n_ends, hints = 0 if explanation.faithfulness.exact else 2, hints_of(explanation)
    full = np.ones((1, int(game.n_players)), dtype=np.bool_)
    of_hints = 0.0 if hints is None else hints.cost / float(costs(game, full)[0])
    return len(first_ablations(explanation)) + n_ends + of_hints


def measured(evaluator: Evaluator, masks: BoolArray, known: Ablations) -> Ablations:
    """Evaluate masks that are not known."""
    return Ablations(masks, evaluator.values(masks)) if len(masks) else known[:0]
