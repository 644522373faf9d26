"""Circuits from an explanation and further ablations, where the area of faithfulness gains most."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interplay._types import BoolArray, IntArray, whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.circuits import FRACTIONS, Circuits, at_fractions, partial_sizes
from interplay.components.analysis.rounds import (
    Goal,
    Wanted,
    check_explains,
    first_ablations,
    hints_of,
    measured,
    proposed,
)
from interplay.explanation.explanation import Ablations, Explanation
from interplay.extensions import BackendName
from interplay.fourier.interactions import checked_output
from interplay.game import Game, costs

_PER_ROUND = 12
"""Subsets that are proposed from the same ablations."""
_FAITHFUL = 3
"""Where a circuit of a size scores more than the whole model, every third is to do as it does."""
_KEYS = (0x61, 0x64)
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


def adaptive_circuits(
    game: Game,
    explanation: Explanation,
    n_ablations: int = 200,
    *,
    fractions: tuple[float, ...] = FRACTIONS,
    output: int = 0,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: BackendName | str | Backend = "local",
    progress: bool | None = None,
) -> Circuits:
    """Find circuits of all sizes by rounds of proposals, which go on from an explanation.

    A round fits a Gaussian process with interactions of all orders to all ablations so far and
    evaluates the subsets that it predicts to be best. Sizes have the more of them, the more they
    count in the area under the faithfulness. The best evaluated subset of each size is kept, and
    the one that scores most like the whole model.

    Example::

        explanation = interplay.explain(
            game, decoder="gp", measure=interplay.Keep(0.1, 0.97), budget=150
        )
        circuits = adaptive_circuits(game, explanation, 200)
        print(compare_circuits(game.on(other_items), {"interplay": circuits}))

    Args:
        game: the game that was explained. Subsets as small as half of the smallest size should be
            in the explanation's measure.
        explanation: its ablations are the first, and its hints are used.
        n_ablations: further ones.
        fractions: the sizes of circuits as shares of the players, ascending; MIB's by default.
        output: which of several scores is meant.
        store: as for ``explain``; masks in the store are not evaluated again.
        random_state: seed of the proposals.
        backend: as for ``explain``.
        progress: as for ``explain``.

    Raises:
        ValueError: the explanation is of another game, ``n_ablations`` is below 1, or no fraction
            leaves out a part of the players.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    check_explains("adaptive_circuits", explanation, game)
    whole("n_ablations", n_ablations, 1)
    checked_output(output, explanation.spectrum.n_outputs)
    n_players = int(game.n_players)
    parts, shares = partial_sizes(fractions, n_players)
    first, hints = first_ablations(explanation), hints_of(explanation)
    full = np.ones((1, n_players), dtype=np.bool_)
    with Evaluator.of(game, store=store, backend=backend, progress=progress) as evaluator:
        target = float(evaluator.values(full)[0, output])
        known, spent, number = first, 0, 0
        while spent < n_ablations:
            until = min(spent + _PER_ROUND, n_ablations)
            rng = np.random.default_rng([*_KEYS, random_state, number])
            counts = rng.multinomial(until - spent, shares)
            wanted = _wanted(known, parts, counts, output, target)
            more = measured(evaluator, proposed(known, hints, wanted, rng), known)
            known, spent, number = known + more, until, number + 1
    per_ablation = float(costs(game, full)[0])
    n_ends = 0 if explanation.faithfulness.exact else 2
    cost = len(known) + n_ends + (0.0 if hints is None else hints.cost / per_ablation)
    best, faithful = (
        at_fractions(_chosen(known, goal, parts), fractions, n_players)
        for goal in (Goal(output, None), Goal(output, target))
    )
    return Circuits(best, faithful, cost)


def _wanted(
    known: Ablations, sizes: list[int], counts: IntArray, output: int, target: float
) -> list[Wanted]:
    """What a round is to propose: large scores, and the whole model's where that is exceeded."""
    wanted = []
    for size, count in zip(sizes, counts.tolist(), strict=True):
        scores = known.values[known.masks.sum(axis=1) == size, output]
        n_faithful = count // _FAITHFUL if (scores > target).any() else 0
        wanted.append(Wanted(size, Goal(output, None), count - n_faithful))
        wanted.append(Wanted(size, Goal(output, target), n_faithful))
    return wanted


def _chosen(known: Ablations, goal: Goal, sizes: list[int]) -> dict[int, BoolArray]:
    """The best evaluated subset of each size of which there is one."""
    counts, merits, best = known.masks.sum(axis=1), goal.merits(known.values), {}
    for size in sizes:
        alike = np.flatnonzero(counts == size)
        if len(alike):
            best[size] = known.masks[alike[merits[alike].argmax()]]
    return best
