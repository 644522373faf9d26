"""R2 against the tokens that a model reads: ``per="token"`` against ``per="ablation"``.

By default on stand-ins for recorded games: a decoding of all recorded masks, with noise of the
variance that it leaves, as the truth. Tokens are those of a tree in which each beginning is read
once, and the words after the text. With ``--real`` end to end on SmolLM2: ``explain`` with its
defaults, held-out masks included; the tokens that the model was given are counted in its forward
passes, padding included, and CPU seconds are those of the whole call; R2 is that on the recorded
held-out masks. The ratio is the share of the tokens (of the CPU seconds) that ``per="token"`` needs
for the mean R2 of ``per="ablation"``, by interpolation in their logarithm.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import Design, PlainDesign
from interplay.designs.optimal import optimal_design
from interplay.designs.trie import trie_design
from interplay.fourier.masks import keys, sorted_by_prefix
from record_games import Recorded, _review, budget, read

TEXTS = {"review-20": "review-20", "review-22": "review-22", "review-59": "review-59"}
TEXTS |= {"review-61": "review-60", "review-139": "review-130"}
"""Each recorded game, and its text."""
PER: dict[str, Callable[[int, int, np.random.Generator], Design]] = {
    "ablation": optimal_design,
    "token": trie_design,
}
N_FRESH = 1500
MOST_RECORDED = 1500
BEFORE = 3
"""Tokens before the text; all prompts share them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="+", choices=TEXTS, default=["review-22", "review-59"])
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.5, 0.75, 1, 1.5, 2, 3])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--real", action="store_true", help="on the model, end to end")
    options = parser.parse_args()
    for name in options.games:
        game = read(name)
        measured = end_to_end if options.real else on_stand_in
        tables = measured(game, options.alphas, options.seeds)
        show(name, options.alphas, tables, ("tokens", "CPU seconds")[: 1 + options.real])


def show(
    name: str, alphas: Sequence[float], tables: dict[str, FloatArray], costs: Sequence[str]
) -> None:
    """Print the means over the seeds, and the ratios at equal R2.

    Args:
        name: the game's.
        alphas: budgets as multiples of n log2 n.
        tables: for each kind of run ``(a, 1 + c)``: R2, and the costs.
        costs: what they are.
    """
    usual, shared = tables["ablation"], tables["token"]
    print(f"{name}: budgets of {', '.join(map(str, alphas))} n log2 n")
    for per, table in tables.items():
        rows = [f"{r2:.3f} ({cost[0]:,.0f})" for r2, *cost in table]
        print(f"  per {per:<9} R2 (tokens): {'  '.join(rows)}")
    rising = np.maximum.accumulate(shared[:, 0])
    for column, cost in enumerate(costs, 1):
        # outside the range of R2 that was reached there is no ratio
        need = np.interp(usual[:, 0], rising, np.log(shared[:, column]), np.nan, np.nan)
        ratios = "  ".join(f"{ratio:.2f}" for ratio in np.exp(need) / usual[:, column])
        print(f"  {cost} per token / per ablation at equal R2: {ratios}", flush=True)


def on_stand_in(game: Recorded, alphas: Sequence[float], n_seeds: int) -> dict[str, FloatArray]:
    """R2 and tokens of both designs on a stand-in, decoded by ``gp``."""
    recorded = PlainDesign("uniform", game.masks[:MOST_RECORDED])
    truth = _decoded(recorded, game.values[:MOST_RECORDED], 0)
    noise = float(np.std(game.held_values - truth(game.held_masks)))

    def values(masks: BoolArray) -> FloatArray:
        seeds = (np.frombuffer(key, dtype=np.uint8).tolist() for key in keys(masks))
        errors = [np.random.default_rng(seed).normal() for seed in seeds]
        return truth(masks) + noise * np.array(errors)

    text = _review(TEXTS[game.name])
    after, *_ = text.cost(np.zeros((1, game.n_players), dtype=np.bool_)) - BEFORE
    lengths = text.cost(np.eye(game.n_players, dtype=np.bool_)) - after - BEFORE
    fresh = np.random.default_rng(99).random((N_FRESH, game.n_players)) < 0.5
    actual = values(fresh)
    sizes = [budget(game.n_players, alpha) for alpha in alphas]
    tables = {per: np.zeros((n_seeds, len(alphas), 2)) for per in PER}
    for per, make in PER.items():
        for seed in range(n_seeds):
            design = make(max(sizes), game.n_players, np.random.default_rng(seed))
            for row, size in enumerate(sizes):
                masks = design.masks[:size]
                predicted = _decoded(PlainDesign(design.kind, masks), values(masks), seed)(fresh)
                r2 = 1 - ((actual - predicted) ** 2).mean() / actual.var()
                tables[per][seed, row] = r2, after * size + tokens_read(masks, lengths)
    return {per: table.mean(axis=0) for per, table in tables.items()}


def tokens_read(masks: BoolArray, lengths: FloatArray) -> float:
    """The tokens of the text that are read if each beginning is read once."""
    rows = masks[sorted_by_prefix(masks)]
    new = np.ones_like(rows)
    new[1:] = np.cumsum(rows[1:] != rows[:-1], axis=1) > 0
    return float(((new & rows) @ lengths).sum())


def _decoded(design: Design, values: FloatArray, seed: int) -> Callable[[BoolArray], FloatArray]:
    decoder, rng = get_decoder("gp"), np.random.default_rng(seed)
    decoded = run_decoder(decoder, design, values, decoder.order, rng, {})
    surrogate = decoded.surrogate or decoded.spectrum
    return lambda masks: np.asarray(surrogate.predict(masks)).reshape(-1)


def end_to_end(game: Recorded, alphas: Sequence[float], n_seeds: int) -> dict[str, FloatArray]:
    """R2, tokens and CPU seconds of whole runs on the model."""
    text = _review(TEXTS[game.name])
    read_now = [0]
    text.model.register_forward_pre_hook(
        lambda _, args, inputs: read_now.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    text(game.masks[:16])
    tables = {per: np.zeros((n_seeds, len(alphas), 3)) for per in PER}
    for seed in range(n_seeds):
        for row, alpha in enumerate(alphas):
            for per in PER:
                read_now.clear()
                started = time.process_time()
                explanation = ip.explain(
                    text,
                    per=per,
                    budget=budget(game.n_players, alpha),
                    random_state=seed,
                    progress=False,
                )
                seconds = time.process_time() - started
                surrogate = explanation.surrogate or explanation.spectrum
                errors = game.held_values - np.reshape(surrogate.predict(game.held_masks), -1)
                r2 = 1 - (errors**2).mean() / game.held_values.var()
                tables[per][seed, row] = r2, sum(read_now), seconds
    return {per: table.mean(axis=0) for per, table in tables.items()}


if __name__ == "__main__":
    main()
