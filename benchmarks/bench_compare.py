"""Comparisons of SmolLM2-135M with itself: in bfloat16, and with a head's weights edited.

For each seed the same words are removed for both models, and the log-odds of positive
and negative are compared. Printed are how many changes fresh ablations confirm, how often a gate
with a margin calls the two different, and, for stand-in functions whose difference is known, how
often it does so by mistake.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np

import interplay as ip
from interplay._types import BoolArray, FloatArray

REVIEW = "The plot is not boring and the acting is not bad."
PROMPT = "Movie review: {text}\nThe sentiment of this review is"
EDITED = (21, 1)
"""The layer and the head whose output is set to zero: it carries how *not* turns *bad*."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--margin", type=float, default=0.25, help="nats")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    known(chosen.seeds, chosen.budget)
    models(chosen.seeds, chosen.budget, chosen.margin)


def models(n_seeds: int, budget: int, margin: float) -> None:
    """The real model against itself, rounded and edited."""
    import torch

    torch.set_num_threads(1)
    plain, tokenizer = ip.text.load_model("smollm2", threads=1, dtype="float32")
    rounded, _ = ip.text.load_model("smollm2", threads=1, dtype="bfloat16")
    edited, _ = ip.text.load_model("smollm2", threads=1, dtype="float32")
    layer, head = EDITED
    projection = edited.model.layers[layer].self_attn.o_proj.weight
    width = projection.shape[1] // edited.config.num_attention_heads
    with torch.no_grad():
        projection[:, head * width : (head + 1) * width] = 0.0
    score = ip.text.LogitDifference(" positive", " negative")
    print("| model | confirmed changes, by seed | largest difference | gate | strongest |")
    print("|---|---|---|---|---|")
    for name, other in (("the same", plain), ("bfloat16", rounded), ("head edited", edited)):
        games = [
            ip.text.TextGame(model, tokenizer, REVIEW, score, by="word", prompt=PROMPT)
            for model in (plain, other)
        ]
        largest = 0.0
        counts, verdicts, strongest = [], [], []
        for seed in range(n_seeds):
            comparison = ip.compare(
                *games,
                names=("float32", name),
                budget=budget,
                margin=margin,
                random_state=seed,
                progress=False,
            )
            confirmed = [change for change in comparison.changes() if change.confirmed]
            counts.append(len(confirmed))
            assert comparison.equivalence is not None
            verdicts.append(comparison.equivalence.verdict)
            off = [abs(change.largest) for change in comparison.equivalence.changes]
            largest = max(largest, *off)
            strongest += [" × ".join(change.labels) for change in confirmed[:1]]
        tally = {verdict: verdicts.count(verdict) for verdict in sorted({*verdicts})}
        most = max({*strongest}, key=strongest.count) if strongest else ""
        print(f"| {name} | {counts} | {largest:.3f} | {tally} | {most} |", flush=True)


def known(n_seeds: int, budget: int) -> None:
    """Stand-in functions: noise that the margin allows, and a planted interaction."""
    print("| difference | runs with a confirmed change | gate calls it different | found |")
    print("|---|---|---|---|")
    for name, change, sets in DIFFERENCES:
        any_confirmed = different = exact = 0
        for seed in range(n_seeds):
            old = ip.FunctionGame(_base(seed), 20)
            new = ip.FunctionGame(_changed(_base(seed), change, seed), 20)
            comparison = ip.compare(
                old, new, budget=budget, margin=0.1, random_state=seed, progress=False
            )
            confirmed = {change.players for change in comparison.changes() if change.confirmed}
            any_confirmed += bool(confirmed)
            exact += bool(sets) and sets <= confirmed
            assert comparison.equivalence is not None
            different += comparison.equivalence.verdict == "different"
        found = f"{exact} of {n_seeds}" if sets else ""
        print(f"| {name} | {any_confirmed} | {different} | {found} |", flush=True)


def _base(seed: int) -> Callable[[BoolArray], FloatArray]:
    rng = np.random.default_rng(seed)
    singles, pairs = rng.normal(size=20) / 2, rng.integers(0, 20, (8, 2))
    weights = rng.normal(size=8)

    def value(masks: BoolArray) -> FloatArray:
        both = masks[:, pairs[:, 0]] & masks[:, pairs[:, 1]]
        return np.asarray(masks @ singles + both @ weights)

    return value


def _changed(
    base: Callable[[BoolArray], FloatArray], change: Callable[..., FloatArray], seed: int
) -> Callable[[BoolArray], FloatArray]:
    return lambda masks: base(masks) + change(masks, seed)


def _noise(masks: BoolArray, seed: int) -> FloatArray:
    """A fixed random number for each mask, as rounding gives."""
    packed = np.packbits(masks, axis=1)
    return np.array(
        [np.random.default_rng([seed, *row.tolist()]).normal(scale=0.03) for row in packed]
    )


DIFFERENCES: tuple[tuple[str, Callable[..., FloatArray], set[tuple[int, ...]]], ...] = (
    ("none", lambda masks, seed: np.zeros(len(masks)), set()),
    ("noise of 0.03", _noise, set()),
    (
        "noise, and players 4 × 5 by -0.8",
        lambda masks, seed: _noise(masks, seed) - 0.8 * (masks[:, 4] & masks[:, 5]),
        {(4, 5)},
    ),
)


if __name__ == "__main__":
    main()
