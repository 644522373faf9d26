r"""Published ways to find circuits, for comparison: each with its scores of players and its cost.

===============  ==================================================================================
method           score of player i
===============  ==================================================================================
single           what is lost when it is removed alone: n + 1 ablations
attribution      the same to first order: attribution patching (arXiv 2310.10348), one gradient
eap-ig           gradients averaged on the way from removed to kept: node-level EAP-IG (Hanna et al.
                 2024, arXiv 2403.17806), see :func:`eap_ig`
learned mask     the logit of a gate trained by gradients for each size, see :func:`learned_mask`
random           none: the best of random circuits of each size
===============  ==================================================================================

A gate is 1 where a player is kept and 0 where it is removed; between, what it adds is mixed with
what stands in for it (:mod:`interplay.components.attribution`). A gradient costs a forward pass and
a backward pass, which counts as two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interplay._types import BoolArray
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.circuits import (
    FRACTIONS,
    Circuits,
    Ranking,
    at_fractions,
    partial_sizes,
)
from interplay.components.analysis.learned import GRADIENT, gradients, learned_mask
from interplay.components.analysis.pruning import single_losses
from interplay.components.game import ComponentGame
from interplay.game import Game

_KEYS = (0x62, 0x61)
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


def baselines(
    game: ComponentGame,
    *,
    fractions: Sequence[float] = FRACTIONS,
    output: int = 0,
    ig_steps: int = 5,
    training_steps: int = 200,
    store: str | Path | None = None,
    random_state: int = 0,
    progress: bool | None = None,
) -> dict[str, Ranking | Circuits]:
    """Find circuits by all methods of this module, for :func:`compare_circuits`.

    Random circuits get as many ablations as single importance takes.

    Args:
        game: the game of the items to find them on.
        fractions: the sizes of circuits as shares of the players.
        output: which of several scores is explained. It needs a gradient.
        ig_steps: gradients on the way from removed to kept.
        training_steps: gradients for each learned mask.
        store: as for ``explain``; for ablations only, not for gradients.
        random_state: seed of the random circuits and the gates' noise.
        progress: as for ``explain``.

    Raises:
        ValueError: the score has no gradient, or a number is out of range.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    n_ablations = game.n_players + 1
    return {
        "single": single_importance(game, output=output, store=store, progress=progress),
        "attribution": attribution_patching(game, output=output),
        "eap-ig": eap_ig(game, output=output, steps=ig_steps),
        "learned mask, best": learned_mask(
            game,
            "best",
            fractions=fractions,
            output=output,
            steps=training_steps,
            random_state=random_state,
        ),
        "learned mask, faithful": learned_mask(
            game,
            "faithful",
            fractions=fractions,
            output=output,
            steps=training_steps,
            random_state=random_state,
        ),
        "random": random_search(
            game,
            n_ablations,
            fractions=fractions,
            output=output,
            store=store,
            random_state=random_state,
            progress=progress,
        ),
    }


def single_importance(
    game: Game,
    *,
    output: int = 0,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> Ranking:
    """Score each player by what is lost when it is removed alone from the intact model."""
    n_players = int(game.n_players)
    with Evaluator.of(game, store=store, progress=progress) as evaluator:
        return Ranking(single_losses(evaluator, n_players, output), n_players + 1)


def attribution_patching(game: ComponentGame, *, output: int = 0) -> Ranking:
    """Score each player by what its removal costs to first order, from one gradient."""
    intact = np.ones((1, game.n_players))
    return Ranking(gradients(game, intact, game._readouts, output)[0], GRADIENT)


def eap_ig(
    game: ComponentGame, *, output: int = 0, steps: int = 5, by_layer: bool = False
) -> Ranking:
    r"""Score players by gradients averaged on the way from removed to kept.

    With the gates g of the players that move at :math:`\alpha = j / s`, for j = 1 to s steps,

    .. math:: a_i = \frac{1}{s} \sum_{j=1}^{s} \left. \frac{\partial f}{\partial g_i}
        \right|_{g = j / s} .

    One step is attribution patching. For a function that is linear in the gates any number of
    steps gives the exact effect of a removal. Of the two published variants (in MIB's words),

    - ``by_layer=True`` is *EAP-IG-activations*: the players of one layer and kind move, all others
      are kept, for each layer and kind in turn. That takes as many times more gradients.
    - ``by_layer=False`` follows the other, *EAP-IG-inputs*, as far as an ablation without a
      counterfactual prompt allows. There the embeddings move from another prompt's to the prompt's
      own, and everything after them with them; here the gates of all players move at once. The
      scores then add up to f(all) - f(none) as the steps grow many.

    Raises:
        ValueError: there are no steps, or the score has no gradient.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} leaves no gradient to average; take 1 or more")
    n_players = game.n_players
    alphas = np.arange(1, steps + 1) / steps
    if not by_layer:
        gates = np.repeat(alphas[:, None], n_players, axis=1)
        scores = gradients(game, gates, game._readouts, output).mean(axis=0)
        return Ranking(scores, GRADIENT * steps)
    scores, n_gradients = np.zeros(n_players), 0
    for layer, moving in _groups(game):
        gates = np.where(moving, alphas[:, None], 1.0)
        slopes = gradients(game, gates, game._readouts, output, from_layer=layer)
        scores[moving] = slopes.mean(axis=0)[moving]
        n_gradients += steps
    return Ranking(scores, GRADIENT * n_gradients)


def random_search(
    game: Game,
    n_ablations: int,
    *,
    fractions: Sequence[float] = FRACTIONS,
    output: int = 0,
    store: str | Path | None = None,
    random_state: int = 0,
    progress: bool | None = None,
) -> Circuits:
    """Keep, at each size, the best and the most faithful of equally many random circuits.

    Args:
        game: the game of the items to choose on.
        n_ablations: the ablations of all sizes together, the whole model included.
        fractions: the sizes of circuits as shares of the players.
        output: which of several scores.
        store: as for ``explain``.
        random_state: seed of the draws.
        progress: as for ``explain``.

    Raises:
        ValueError: the ablations are fewer than the sizes, or no fraction is a part of the players.
    """
    n_players = int(game.n_players)
    parts, _ = partial_sizes(fractions, n_players)
    n_each = (n_ablations - 1) // len(parts)
    if n_each < 1:
        raise ValueError(
            f"n_ablations={n_ablations} are too few for {len(parts)} sizes and the whole model; "
            f"use at least {len(parts) + 1}"
        )
    rng = np.random.default_rng([*_KEYS, random_state, 1])
    order = rng.permuted(np.tile(np.arange(n_players), (len(parts), n_each, 1)), axis=2)
    drawn = order < np.array(parts)[:, None, None]  # (sizes, draws, n)
    whole = np.ones((1, n_players), dtype=np.bool_)
    with Evaluator.of(game, store=store, progress=progress) as evaluator:
        values = evaluator.values(np.vstack([whole, drawn.reshape(-1, n_players)]))[:, output]
    scores = values[1:].reshape(len(parts), n_each)
    best = scores.argmax(axis=1)
    faithful = np.abs(scores - values[0]).argmin(axis=1)
    masks = [
        at_fractions(
            {size: drawn[row, chosen[row]] for row, size in enumerate(parts)}, fractions, n_players
        )
        for chosen in (best, faithful)
    ]
    return Circuits(masks[0], masks[1], 1 + n_each * len(parts))


def _groups(game: ComponentGame) -> list[tuple[int, BoolArray]]:
    """The players of each layer and kind of units, ``(n,)`` each; a group of units by its first.

    Before them stands the lowest layer of their units.
    """
    places = [(player.units[0].layer, player.units[0].kind) for player in game._players]
    lowest = np.array([min(unit.layer for unit in player.units) for player in game._players])
    groups = [np.array([place == one for place in places]) for one in sorted(set(places))]
    return [(int(lowest[group].min()), group) for group in groups]
