"""CPU seconds from a text to an explanation of a given R2, against the usual way, on a real model.

The usual way: shapiq's ProxySPEX at 4 n log2 n uniform masks, evaluated by a plain loop of padded
batches (:func:`bench_throughput.plain`); of its two settings, with and without a search of
hyperparameters, the one with the higher R2. Ours: ``explain`` with its defaults, which holds out a
tenth of its masks, at growing budgets; the time is that of a run of its own at the first budget
that reaches the R2. R2 of both is that on the 1,500 recorded uniform masks that neither fits. Both
run SmolLM2 in float32 on one thread; loading the model is left out of both. The plain loop is timed
on some of its batches.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import interplay as ip
from bench_throughput import plain
from common import run_peer
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import keys
from record_games import Recorded, _model, _review, budget, read

TEXTS = {"review-20": "review-20", "review-60": "review-61", "review-130": "review-139"}
"""Each text, and its recorded game."""
SETTINGS = ("shapiq", "shapiq-default")
STEPS = tuple(2 ** (step / 3) / 4 for step in range(13))
"""Our budgets in multiples of n log2 n."""
BATCH, SHARES = 16, (1.0, 0.9)


@dataclass(frozen=True)
class Peer:
    """The peer's R2, and its CPU seconds."""

    r2: float
    evaluation: float
    fit: float

    @property
    def seconds(self) -> float:
        return self.evaluation + self.fit


class Remembered:
    """A text game whose values are kept, to find the budget; the timed runs are on the game."""

    def __init__(self, game: Any) -> None:
        self.game = game
        self._values: dict[bytes, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.game, name)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        new = np.array([key not in self._values for key in keys(masks)])
        if new.any():
            self._values.update(zip(keys(masks[new]), self.game(masks[new]), strict=True))
        return np.array([self._values[key] for key in keys(masks)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", nargs="+", choices=TEXTS, default=list(TEXTS))
    parser.add_argument("--sample", type=int, default=16, help="batches of the plain loop to time")
    parser.add_argument(
        "--seeds", type=int, default=1, help="runs of ours, whose times are averaged"
    )
    parser.add_argument("--cache", type=Path, default=Path("out/bench/end_to_end.json"))
    options = parser.parse_args()
    for name in options.texts:
        recorded, game = read(TEXTS[name]), _review(name)
        n_players = game.n_players
        peer = usual(name, recorded, game, options.sample, options.cache)
        print(
            f"{name}: {n_players} words. The usual way: R2 {peer.r2:.3f} in {peer.seconds:.0f} s "
            f"({peer.evaluation:.0f} s for {budget(n_players, 4)} ablations, {peer.fit:.0f} s fit)",
            flush=True,
        )
        remembered = Remembered(game)
        for share in SHARES:
            report(remembered, recorded, peer, share, options.seeds)


def report(game: Remembered, recorded: Recorded, peer: Peer, share: float, n_seeds: int) -> None:
    """Print the time until a share of the peer's R2, for each seed and their mean."""
    runs = [until(game, recorded, share * peer.r2, seed) for seed in range(n_seeds)]
    for n_masks, r2, evaluation, decoding in runs:
        print(
            f"  {share:.1f} of it: {n_masks:5d} ablations, R2 {r2:.3f}, {evaluation:.1f} s + "
            f"{decoding:.1f} s decoding: {peer.seconds / (evaluation + decoding):.1f} times faster",
            flush=True,
        )
    if n_seeds > 1:
        mean = np.mean([evaluation + decoding for _, _, evaluation, decoding in runs])
        print(f"  {share:.1f} of it, mean time: {peer.seconds / mean:.1f} times faster", flush=True)


def usual(name: str, recorded: Recorded, game: Any, sample: int, cache: Path) -> Peer:
    """The peer's R2 and CPU seconds, kept in a file."""
    known = json.loads(cache.read_text("utf-8")) if cache.exists() else {}
    if name not in known:
        n_masks = budget(recorded.n_players, 4)
        masks, values = recorded.masks[:n_masks], recorded.values[:n_masks]
        fits = [run_peer(setting, masks, values, recorded.held_masks) for setting in SETTINGS]
        scores = [r2_of(fit.predictions, recorded) for fit in fits]
        best = int(np.argmax(scores))
        seconds = loop_seconds(game, masks, sample)
        known[name] = asdict(Peer(scores[best], seconds, fits[best].cpu_seconds))
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(known, indent=0), encoding="utf-8")
    return Peer(**known[name])


def loop_seconds(game: Any, masks: BoolArray, sample: int) -> float:
    """The CPU seconds of the plain loop, from some batches drawn at random."""
    model, tokenizer = _model("float32")
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    answers = [tokenizer(answer)["input_ids"][0] for answer in (" positive", " negative")]
    batches = np.array_split(np.arange(len(masks)), -(-len(masks) // BATCH))
    picked = np.random.default_rng(0).permutation(len(batches))[:sample]
    rows = np.concatenate([batches[number] for number in picked])
    prompts = [game.prompt(mask) for mask in masks[rows]]
    plain(model, tokenizer, answers, prompts[:2], 2)
    started = time.process_time()
    plain(model, tokenizer, answers, prompts, BATCH)
    return (time.process_time() - started) * len(masks) / len(rows)


def until(
    game: Remembered, recorded: Recorded, r2: float, seed: int
) -> tuple[int, float, float, float]:
    """The first budget that reaches an R2, the R2 there, and a run's CPU seconds."""
    for step in STEPS:
        n_masks = max(budget(game.n_players, step), 40)
        reached = r2_of(predicted(run(game, n_masks, seed)[0], recorded), recorded)
        if reached >= r2:
            break
    explanation, seconds = run(game.game, n_masks, seed)
    decoding = explanation.provenance["seconds"]["decoding"]
    decoding *= seconds / explanation.provenance["seconds"]["total"]  # as CPU seconds
    return n_masks, reached, seconds - decoding, decoding


def run(game: Any, n_masks: int, seed: int) -> tuple[ip.Explanation, float]:
    """An explanation, and its CPU seconds."""
    started = time.process_time()
    explanation = ip.explain(
        game, measure="uniform", budget=n_masks, random_state=seed, progress=False
    )
    return explanation, time.process_time() - started


def predicted(explanation: ip.Explanation, recorded: Recorded) -> FloatArray:
    surrogate = explanation.surrogate
    return np.asarray((surrogate or explanation.spectrum).predict(recorded.held_masks)).reshape(-1)


def r2_of(predictions: FloatArray, recorded: Recorded) -> float:
    errors = recorded.held_values - predictions
    return float(1 - (errors**2).mean() / recorded.held_values.var())


if __name__ == "__main__":
    main()
