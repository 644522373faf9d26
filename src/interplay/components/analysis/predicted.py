"""Circuits that a spectrum predicts to be best, and nothing else."""

from __future__ import annotations

import numpy as np

from interplay.components.analysis.circuits import FRACTIONS, Circuits, at_fractions, partial_sizes
from interplay.components.analysis.rounds import check_explains, cost_of
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import checked_output
from interplay.game import Game
from interplay.optimize.subset import best_subset


def predicted_circuits(
    game: Game,
    explanation: Explanation,
    *,
    fractions: tuple[float, ...] = FRACTIONS,
    output: int = 0,
) -> Circuits:
    """Choose circuits of all sizes by an explanation's spectrum, without a further ablation.

    At each size it is the subset of the largest predicted score, and that whose predicted score is
    nearest to the whole model's, by a greedy search. This is how circuits by any decoder are judged
    beside others (ProxySPEX, SPEX, a process with single effects only). As circuits to use, those
    of :func:`adaptive_circuits` are better: an optimum is drawn to the errors of its spectrum.

    Example::

        first_order = interplay.explain(game, decoder="gp", order=1, budget=390)
        published = interplay.explain(game, decoder="proxyspex", measure="uniform", budget=390)
        candidates = {
            "gp, order 1": predicted_circuits(game, first_order),
            "proxyspex": predicted_circuits(game, published),
        }
        print(compare_circuits(game.on(other_items), candidates))

    Args:
        game: the game that was explained.
        explanation: what is known of it. The circuits' cost is that of its ablations and hints.
        fractions: the sizes of circuits as shares of the players, ascending; MIB's by default.
        output: which of several scores is meant.

    Raises:
        ValueError: the explanation is of another game, there is no such output, or no fraction
            leaves out a part of the players.
    """
    check_explains("predicted_circuits", explanation, game)
    checked_output(output, explanation.spectrum.n_outputs)
    spectrum, n_players = explanation.spectrum.output(output), int(game.n_players)
    sizes, _ = partial_sizes(fractions, n_players)
    if explanation.full is None:
        whole = float(spectrum.predict(np.ones((1, n_players), dtype=np.bool_))[0])
    else:
        whole = float(np.ravel(explanation.full)[output])
    best, faithful = (
        {size: best_subset(spectrum, keep=size, target=target, gap=np.inf).mask for size in sizes}
        for target in (None, whole)
    )
    return Circuits(
        at_fractions(best, fractions, n_players),
        at_fractions(faithful, fractions, n_players),
        cost_of(game, explanation),
    )
