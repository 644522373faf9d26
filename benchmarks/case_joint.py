"""Words and heads as players of one game: which heads of SmolLM2 join *not* and *bad*?

The words of one review and the 90 heads of layers 12 to 21; for comparison, all 270 heads. For some
budgets the explanation's score, and the heads that its triples *not x bad x
head* name. Then, for the largest budget and the 90 heads, ablations that no fit has seen:

1. what each of the four heads named first adds to the interaction of the two words, and what four
   heads drawn among the others add, paired, on fresh masks of the run's measure;
2. the interaction of *not* with the word after it in other reviews, with these four heads removed,
   and with four others removed, many times.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.components import Joint, Unit, heads

FOUND_ON = "The acting is not bad."
OTHERS = (
    "This movie is not bad.",
    "The food was not bad here.",
    "The film is not bad at all.",
    "Her voice is not bad.",
    "The plot is not terrible.",
    "The music was not awful.",
    "The book is not boring.",
    "That show was not terrible.",
    "His acting is not weak.",
)
LAYERS = range(12, 22)
MEASURE = ip.Keep(0.6, 1)
RUNS = ((range(30), ip.Keep(0.85, 1), (300, 900)), (LAYERS, MEASURE, (200, 400, 800)))
"""Layers, the measure, and budgets; what is judged is named by the last one."""
N_NAMED, N_BACKGROUNDS, N_RANDOM = 4, 30, 20
INDEX = "Co-Moebius"
"""What joint removal does to the intact input and model."""


def joint(model: Any, tokenizer: Any, text: str, layers: range = LAYERS) -> Joint:
    """The words of a review and the heads as players; the score is that of the example."""
    game = ip.text.TextGame(
        model,
        tokenizer,
        text,
        ip.text.LogitDifference(" positive", " negative"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    return Joint(game, heads(model, layers))


def negation(game: Joint) -> tuple[int, int]:
    """The players *not* and the word after it."""
    at = game.players.index('"not"')
    return at, at + 1


def named(explanation: ip.Explanation, pair: tuple[int, int]) -> list[tuple[int, float]]:
    """The heads in triples with a pair of words, and their values, the largest first."""
    interactions = explanation.interactions(INDEX, order=3)
    return sorted(
        (
            (members[2], float(value))
            for members, value in zip(interactions.sets, interactions.values, strict=True)
            if len(members) == 3 and members[:2] == pair
        ),
        key=lambda entry: -entry[1],
    )


def pair_effects(game: Joint, masks: BoolArray, pair: tuple[int, int], store: Path) -> FloatArray:
    """The interaction of two words, their discrete derivative, on each mask, ``(m,)``."""
    rows = np.repeat(masks, 4, axis=0)
    rows[:, pair] = np.tile(
        [[True, True], [True, False], [False, True], [False, False]], (len(masks), 1)
    )
    with Evaluator.of(game, store=store) as evaluator:
        values = evaluator.values(rows)[:, 0].reshape(-1, 4)
    return np.asarray(values @ [1.0, -1.0, -1.0, 1.0])


def interval(values: FloatArray) -> str:
    """The mean and its 95 % interval, by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.2f} ({values.mean() - half:+.2f} to {values.mean() + half:+.2f})"


def on_fresh_masks(game: Joint, chosen: Sequence[int], pair: tuple[int, int], store: Path) -> None:
    """What heads add to the interaction of two words, on masks that no run has drawn."""
    rng = np.random.default_rng(1)
    others = [player for player in unit_players(game) if player not in chosen]
    controls = rng.choice(others, N_NAMED, replace=False).tolist()
    drawn = MEASURE.draw(N_BACKGROUNDS, game.n_players, rng)
    for kind, players in (("named", chosen), ("drawn", controls)):
        for player in players:
            present, absent = drawn.copy(), drawn.copy()
            present[:, player], absent[:, player] = True, False
            difference = pair_effects(game, present, pair, store)
            difference -= pair_effects(game, absent, pair, store)
            print(f"  {kind} {game.players[player]:7} adds {interval(difference)}", flush=True)


def in_other_reviews(model: Any, tokenizer: Any, chosen: Sequence[Unit], store: Path) -> None:
    """The interaction in other reviews, without the heads chosen and without others."""
    rng, rows = np.random.default_rng(2), []
    every = heads(model, LAYERS)
    rest = [unit for unit in every if unit not in chosen]
    sets = [list(chosen)] + [
        [rest[at] for at in rng.choice(len(rest), len(chosen), replace=False)]
        for _ in range(N_RANDOM)
    ]
    for text in OTHERS:
        game = joint(model, tokenizer, text)
        masks = np.ones((1 + len(sets), game.n_players), dtype=np.bool_)
        for mask, units in zip(masks[1:], sets, strict=True):
            mask[[game.players.index(unit.name) for unit in units]] = False
        whole, without, *random = pair_effects(game, masks, negation(game), store)
        rows.append((whole, without, np.mean(random), min(random)))
        print(
            f"  {text:28} {whole:+.2f}; without the four {without:+.2f}, without four others "
            f"{np.mean(random):+.2f}, at least {min(random):+.2f}",
            flush=True,
        )
    table = np.array(rows)
    print("  means: {:+.2f}, {:+.2f}, {:+.2f}".format(*table.mean(axis=0)))
    print(f"  the four take, more than four others, {interval(table[:, 2] - table[:, 1])}")


def unit_players(game: Joint) -> range:
    """The numbers of the players that are heads."""
    return range(game.text_game.n_players, game.n_players)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("out/joint.db"))
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    options.store.parent.mkdir(parents=True, exist_ok=True)
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    named_first: dict[tuple[range, int, int], list[int]] = {}
    for layers, measure, budgets in RUNS:
        for budget, seed in product(budgets, range(options.seeds)):
            game = joint(model, tokenizer, FOUND_ON, layers)
            explanation = ip.explain(
                game,
                measure=measure,
                budget=budget,
                store=options.store,
                random_state=seed,
                progress=False,
            )
            told, score = named(explanation, negation(game)), explanation.faithfulness
            named_first.setdefault((layers, budget, seed), [p for p, _ in told[:N_NAMED]])
            listed = ", ".join(f"{game.players[p]} {value:+.2f}" for p, value in told[:6])
            print(
                f"{game.n_players} players, {measure}, {budget} ablations, seed {seed}: "
                f"R2 {score.r2:.2f} ({score.low:.2f} to {score.high:.2f}); {listed}",
                flush=True,
            )
    game = joint(model, tokenizer, FOUND_ON)
    pair, first = negation(game), named_first[LAYERS, RUNS[-1][2][-1], 0]
    print(f"fresh ablations of {FOUND_ON!r}: the head's part in the interaction of the words")
    on_fresh_masks(game, first, pair, options.store)
    print("other reviews, nothing else removed: the interaction of not and the word after it")
    units = heads(model, LAYERS)
    chosen = [units[player - unit_players(game).start] for player in first]
    in_other_reviews(model, tokenizer, chosen, options.store)


if __name__ == "__main__":
    main()
