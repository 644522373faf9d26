"""What hints are worth to the Gaussian process: held-out R2 on recorded texts, with and without.

Each recorded game of a text (``record_games.py``) is fitted with the same masks, trees and seeds
without hints, with the numbers of tokens and of characters of its segments, with the norm of the
gradient, and with the numbers of tokens and the gradients shuffled over the players. The masks are
uniform ones, or with ``--design`` those of ``gp``'s own design. Most of these games took part in
the choice of the weight's prior; the others are summed up apart. ``--cost`` compares the CPU time
of the gradient with that of an ablation.

``--heads`` does the same on 90 attention heads of SmolLM2, those of every third layer, with
attribution patching as hints, under several measures: whole runs of ``explain``, whose R2 is that
of independent masks of the measure. With ``--cost``: what an attribution takes, in ablations.
"""

from __future__ import annotations

import argparse
import time
from copy import copy

import numpy as np
from threadpoolctl import threadpool_limits

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.components import ComponentGame, Task, heads, mlps
from interplay.decoders.forest import grow_all
from interplay.decoders.gaussian.decoder import averaged
from interplay.designs.base import PlainDesign
from interplay.designs.measures import AnyMeasure, get_measure
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform
from interplay.game import Hints
from interplay.text import TextGame
from interplay.text.hints import character_hints
from record_games import AGREEMENT, SOURCES, Recorded, budget, orders, own, read, recorded

ALPHAS = (0.25, 0.5, 1.0, 2.0)
FEWEST = 20
"""The fewest masks that ``gp`` takes."""
MOST_PLAYERS = 100
NONE = "none"
MEASURES: tuple[AnyMeasure, ...] = (ip.Keep(0.5, 0.97), "uniform")
N_HELD_OUT = 200
N_ITEMS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="*", help="by default all texts of up to 100 players")
    parser.add_argument("--alphas", nargs="*", type=float, default=ALPHAS)
    parser.add_argument("--seeds", type=int, default=3, help="orders of each game's masks")
    parser.add_argument("--design", action="store_true", help="masks of gp's own design")
    parser.add_argument("--cost", action="store_true", help="measure the gradient's cost only")
    parser.add_argument("--heads", action="store_true", help="attention heads in place of texts")
    chosen = parser.parse_args()
    if chosen.heads:
        if chosen.cost:
            cost_of_attribution()
        else:
            of_heads(chosen.alphas, chosen.seeds)
        return
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


# --- attention heads ------------------------------------------------------------------------------


class Remembered:
    """A game whose values are evaluated once, with hints of any kind."""

    def __init__(self, game: ComponentGame) -> None:
        self.game, self.n_players, self.players = game, game.n_players, game.players
        self.fingerprint: str | None = None
        self.known: dict[bytes, float] = {}
        self.given: Hints | None = None

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        new = [mask for mask in np.unique(masks, axis=0) if mask.tobytes() not in self.known]
        if new:
            values = self.game(np.array(new))
            self.known |= {mask.tobytes(): value for mask, value in zip(new, values, strict=True)}
        return np.array([self.known[mask.tobytes()] for mask in masks])

    def hints(self) -> Hints | None:
        return self.given


def head_game(every: int = 3, with_mlps: bool = False) -> ComponentGame:
    """The heads of every so many layers of SmolLM2, on a few questions of agreement."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    items = Task.from_file(AGREEMENT).items[:: max(1, 134 // N_ITEMS)][:N_ITEMS]
    layers = range(0, model.config.num_hidden_layers, every)
    players = heads(model, layers) + (mlps(model, layers) if with_mlps else ())
    return ComponentGame(model, tokenizer, Task(items), players, hints="attribution")


def of_heads(alphas: list[float], n_seeds: int) -> None:
    """R2 on independent masks with and without hints, the same masks for all."""
    game, rng = head_game(), np.random.default_rng(0)
    given = game.hints()
    assert given is not None
    near = ip.Keep(0.9).draw(8, game.n_players, rng)
    kinds = {
        NONE: None,
        "attribution": given.values,
        "attribution at 8 masks": np.abs(game.attribution(near)),
        "attribution shuffled": given.values[rng.permutation(game.n_players)],
    }
    for measure in MEASURES:
        remembered = Remembered(game)
        held = get_measure(measure).draw(N_HELD_OUT, game.n_players, np.random.default_rng(999))
        actual = remembered(held)
        for alpha in alphas:
            scores: dict[str, list[float]] = {kind: [] for kind in kinds}
            weights: dict[str, list[float]] = {kind: [] for kind in kinds}
            for seed in range(n_seeds):
                for kind, values in kinds.items():
                    remembered.given = None if values is None else Hints(kind, values)
                    explanation = ip.explain(
                        remembered,
                        decoder="gp",
                        measure=measure,
                        budget=budget(game.n_players, alpha),
                        random_state=seed,
                        progress=False,
                    )
                    scores[kind].append(float(r2(actual, explanation.predict(held))[0]))
                    settings = explanation.provenance["decoder"]["settings"]
                    weights[kind].append(settings.get("weight_of_hints", np.nan))
            for kind in kinds:
                gains = np.array(scores[kind]) - np.array(scores[NONE])
                print(
                    f"{measure!s:14} alpha={alpha:g} {kind:24} R2 {np.mean(scores[kind]):.3f}, "
                    f"gain {gains.mean():+.3f} ({gains.min():+.3f} to {gains.max():+.3f}), "
                    f"weight {np.mean(weights[kind]):.2f}",
                    flush=True,
                )


def cost_of_attribution(n_masks: int = 12, n_repeats: int = 5) -> None:
    """The CPU time of an attribution, in ablations of the same game."""
    for every, with_mlps in ((3, False), (1, True)):
        game = head_game(every, with_mlps)
        masks = uniform((1 + n_repeats) * n_masks, game.n_players, np.random.default_rng(0))
        game(masks[:n_masks])  # checks of the first call
        game.attribution()
        ablations, attributions = [], []
        for block in np.split(masks[n_masks:], n_repeats):
            started = time.process_time()
            game(block)
            ablations.append((time.process_time() - started) / n_masks)
            started = time.process_time()
            game.attribution()
            attributions.append(time.process_time() - started)
        of_ablation, of_attribution = np.median(ablations), np.median(attributions)
        print(
            f"{game.n_players} players, {N_ITEMS} items: an attribution {of_attribution:.2f} s, an "
            f"ablation {of_ablation:.3f} s: {of_attribution / of_ablation:.1f} ablations",
            flush=True,
        )


if __name__ == "__main__":
    main()
