"""Circuits from an explanation and further ablations, where the area of faithfulness gains most."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interplay._types import BoolArray, IntArray, whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.circuits import (
    FRACTIONS,
    Circuits,
    at_fractions,
    largest,
    partial_sizes,
)
from interplay.components.analysis.rounds import (
    Goal,
    Wanted,
    check_explains,
    cost_of,
    first_ablations,
    hints_of,
    measured,
    proposed,
)
from interplay.components.analysis.surface import fit
from interplay.explanation.explanation import Ablations, Explanation
from interplay.extensions import BackendName
from interplay.fourier.interactions import checked_output
from interplay.fourier.masks import keys
from interplay.game import Game, Hints

_PER_ROUND = 12
"""Subsets that are proposed from the same ablations."""
_ALONE = 4
"""At most one of so many ablations removes a player alone."""
_HINTED = 5
"""Where there are hints, one of so many players is removed alone."""
_FALLING = 0.5
"""The share of the ablations during which the proposals' sizes fall."""
_LARGER = 4
"""A search starts from so many larger subsets, too."""
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

    First those players are removed alone that are most likely to matter, and the circuits of the
    ranking by what is lost then are evaluated. A round fits a Gaussian process with interactions of
    all orders to all ablations so far and evaluates the subsets that it predicts to be best. Sizes
    have the more of them, the more they count in the area under the faithfulness. In the first
    half of the rounds they fall to the wanted sizes: a model that has lost most of its parts at
    once tells nothing of what it would need. The best evaluated subset of each size is kept, and
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
        known = _ranked(evaluator, first, hints, parts, output, n_ablations)
        spent, number = len(known) - len(first), 0
        while spent < n_ablations:
            until = min(spent + _PER_ROUND, n_ablations)
            rng = np.random.default_rng([*_KEYS, random_state, number])
            counts = rng.multinomial(until - spent, shares)
            aimed = _falling(parts, n_players, until / n_ablations)
            wanted = _wanted(known, parts, aimed, counts, output, target)
            more = measured(evaluator, proposed(known, hints, wanted, rng), known)
            known, spent, number = known + more, until, number + 1
    best, faithful = (
        at_fractions(_chosen(known, goal, parts), fractions, n_players)
        for goal in (Goal(output, None), Goal(output, target))
    )
    return Circuits(best, faithful, cost_of(game, explanation) + len(known) - len(first))


def _ranked(
    evaluator: Evaluator,
    first: Ablations,
    hints: Hints | None,
    sizes: list[int],
    output: int,
    n_ablations: int,
) -> Ablations:
    """Remove the most relevant players alone, then evaluate the circuits of the ranking by losses.

    What is lost without the other players is predicted.
    """
    n_players = first.masks.shape[1]
    values = None if hints is None else hints.values
    alone = ~np.eye(n_players, dtype=np.bool_)
    relevances = fit(first.masks, first.values[:, output], values).relevances
    n_alone = min(n_players if hints is None else n_players // _HINTED, n_ablations // _ALONE)
    relevant = np.argsort(-relevances, kind="stable")[:n_alone]
    known = first + measured(evaluator, _unknown(alone[relevant], first), first)
    losses = -fit(known.masks, known.values[:, output], values).predict(alone)
    circuits = _unknown(largest(losses, sizes), known)
    left = n_ablations - (len(known) - len(first))
    return known + measured(evaluator, circuits[::-1][:left], known)


def _unknown(masks: BoolArray, known: Ablations) -> BoolArray:
    seen = set(keys(known.masks))
    return masks[[key not in seen for key in keys(masks)]]


def _falling(sizes: list[int], n_players: int, at: float) -> list[int]:
    """The sizes of proposals after a share of the ablations: each falls from the next larger."""
    left = max(0.0, 1 - at / _FALLING)
    falling = []
    for size, larger in zip(sizes, [*sizes[1:], n_players], strict=True):
        falling.append(min(round(size + (larger - size) * left), n_players - 1))
    return falling


def _wanted(
    known: Ablations,
    sizes: list[int],
    aimed: list[int],
    counts: IntArray,
    output: int,
    target: float,
) -> list[Wanted]:
    """What a round is to propose: large scores, and the whole model's where that is exceeded.

    Args:
        known: the ablations so far.
        sizes: of circuits.
        aimed: of the proposals for each of them.
        counts: how many there are.
        output: which of several scores.
        target: the whole model's.
    """
    wanted = []
    for size, aim, count in zip(sizes, aimed, counts.tolist(), strict=True):
        scores = known.values[known.masks.sum(axis=1) == size, output]
        n_faithful = count // _FAITHFUL if (scores > target).any() else 0
        wanted.append(Wanted(aim, Goal(output, None), count - n_faithful, _LARGER))
        wanted.append(Wanted(aim, Goal(output, target), n_faithful, _LARGER))
    return wanted


def _chosen(known: Ablations, goal: Goal, sizes: list[int]) -> dict[int, BoolArray]:
    """The best evaluated subset of each size of which there is one."""
    counts, merits, best = known.masks.sum(axis=1), goal.merits(known.values), {}
    for size in sizes:
        alike = np.flatnonzero(counts == size)
        if len(alike):
            best[size] = known.masks[alike[merits[alike].argmax()]]
    return best
