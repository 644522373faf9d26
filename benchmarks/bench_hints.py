"""What hints are worth to the Gaussian process: held-out R2 on recorded texts, with and without.

Each recorded game of a text (``record_games.py``) is fitted with the same masks, trees and seeds
without hints, with the numbers of tokens and of characters of its segments, with the norm of the
gradient, and with the numbers of tokens and the gradients shuffled over the players. The masks are
uniform ones, or with ``--design`` those of ``gp``'s own design. Most of these games took part in
the choice of the weight's prior; the others are summed up apart. ``--cost`` compares the CPU time
of the gradient with that of an ablation.
"""

from __future__ import annotations

import argparse
import time
from copy import copy

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._types import FloatArray
from interplay.decoders.forest import grow_all
from interplay.decoders.gaussian.decoder import averaged
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform
from interplay.text import TextGame
from interplay.text.hints import character_hints
from record_games import SOURCES, Recorded, orders, own, read, recorded

ALPHAS = (0.25, 0.5, 1.0, 2.0)
FEWEST = 20
"""The fewest masks that ``gp`` takes."""
MOST_PLAYERS = 100
NONE = "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="*", help="by default all texts of up to 100 players")
    parser.add_argument("--alphas", nargs="*", type=float, default=ALPHAS)
    parser.add_argument("--seeds", type=int, default=3, help="orders of each game's masks")
    parser.add_argument("--design", action="store_true", help="masks of gp's own design")
    parser.add_argument("--cost", action="store_true", help="measure the gradient's cost only")
    chosen = parser.parse_args()
    games = [read(name) for name in chosen.games or recorded()]
    texts = [game for game in games if game.about["description"]["lens"] == "text"]
    if not chosen.games:
        texts = [game for game in texts if game.n_players <= MOST_PLAYERS]
    if chosen.cost:
        for game in texts:
            cost(game.name)
        return
    gains: dict[bool, dict[tuple[str, float], list[float]]] = {False: {}, True: {}}
    for game in texts:
        hints = hints_of(game.name)
        for alpha in chosen.alphas:
            fitted = [fits(one, alpha, hints, chosen.design) for one in orders(game, chosen.seeds)]
            scores = {kind: float(np.mean([one[kind] for one in fitted])) for kind in hints}
            cells = [f"{kind} {scores[kind] - scores[NONE]:+.3f}" for kind in hints if kind != NONE]
            name = game.name + ("" if game.reported else " (tune)")
            print(
                f"{name:20} alpha={alpha:g}: R2 {scores[NONE]:.3f}; {', '.join(cells)}", flush=True
            )
            for kind in hints:
                if kind != NONE:
                    gain = scores[kind] - scores[NONE]
                    gains[game.reported].setdefault((kind, alpha), []).append(gain)
    for reported, of_games in gains.items():
        print("\nnot tuned on" if reported else "\ntuned on")
        for (kind, alpha), some in of_games.items():
            print(
                f"{kind:20} alpha={alpha:g}: R2 {np.mean(some):+.4f} on average, median "
                f"{np.median(some):+.4f}, worst {min(some):+.3f}, {len(some)} games"
            )


def by_gradient(game: TextGame) -> TextGame:
    """The same game with the other hints."""
    other = copy(game)
    other._hints = "gradient"
    return other


def hints_of(name: str) -> dict[str, FloatArray | None]:
    """The hints of a recorded game, by name."""
    game = SOURCES[name].make()
    assert isinstance(game, TextGame)
    tokens, gradient = game.hints().values, by_gradient(game).hints().values
    shuffled = np.random.default_rng(0).permutation(game.n_players)
    return {
        NONE: None,
        "tokens": tokens,
        "characters": character_hints(game.masked).values,
        "gradient": gradient,
        "tokens shuffled": tokens[shuffled],
        "gradient shuffled": gradient[shuffled],
    }


def fits(
    game: Recorded, alpha: float, hints: dict[str, FloatArray | None], designed: bool
) -> dict[str, float]:
    """R2 on the held-out masks with each of the hints, all with the same trees."""
    n_masks = max(FEWEST, game.budget(alpha))
    masks, values = game.masks[:n_masks], game.values[:n_masks]
    if designed:
        masks, values = own(game, n_masks)
    design = PlainDesign("optimal" if designed else "uniform", masks)
    scores = {}
    with threadpool_limits(1, user_api="blas"):
        forests = grow_all(masks, values[:, None], 5, np.random.default_rng(0))
        for kind, given in hints.items():
            rng = np.random.default_rng(1)
            decoded = averaged(design, values[:, None], forests, 5, rng, given)
            assert decoded.surrogate is not None
            predicted = decoded.surrogate.predict(game.held_masks)[:, 0]
            scores[kind] = float(r2(game.held_values, predicted)[0])
    return scores


def cost(name: str, n_masks: int = 60) -> None:
    """The CPU time of the gradient, in ablations of the default design."""
    game = SOURCES[name].make()
    assert isinstance(game, TextGame)
    masks = uniform(2 * n_masks, game.n_players, np.random.default_rng(0))
    game(masks[:n_masks])  # checks of the first call
    started = time.process_time()
    game(masks[n_masks:])
    of_ablation = (time.process_time() - started) / n_masks
    other = by_gradient(game)
    started = time.process_time()
    other.hints()
    of_gradient = time.process_time() - started
    print(
        f"{name:20} gradient {of_gradient:.2f} s, an ablation {of_ablation:.3f} s: "
        f"{of_gradient / of_ablation:.1f} ablations",
        flush=True,
    )


if __name__ == "__main__":
    main()
