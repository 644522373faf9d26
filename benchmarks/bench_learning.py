"""What earlier prompts of a set are worth for the next: ablations at equal R2, with and without.

36 film reviews of 18 to 26 words, drawn by a rule, with SmolLM2's margin between *positive* and
*negative* as the score, by word. Each third is explained with what was learned from the other 24,
at the same number of ablations, with the masks of ``gp``'s own design; and once with what was
learned from these at 1.4 n log2 n. R2 is that of the Gaussian process, without trees, on 100 masks
of the measure that take no other part. The number of ablations without learning that gives the same
mean R2 is read off the curve over 0.25 to 1.4 n log2 n.

Controls: features permuted over the segments of each review, in what is learned from and in what is
explained, but for the hints, which the explanation without learning has as well; and odd prompts,
reviews whose own features, hints too, are permuted after the learning, so that other segments
matter than those that are expected to. How often a usual prompt has the larger evidence is the area
under the curve.

The ablations are in a store: a second run of this command only decodes.

One command: ``python benchmarks/bench_learning.py [--measure uniform] [--out FOLDER]``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import interplay as ip
from bench_negations import PROMPT, fetch
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.audit.lessons import UNLIKE, Segments
from interplay.decoders.gaussian.across import Lesson, evidence, learn_across
from interplay.decoders.gaussian.inputs import Inputs
from interplay.decoders.gaussian.kernel import MAX_DEGREE
from interplay.decoders.gaussian.learn import Prior, learn, standardised
from interplay.decoders.gaussian.terms import Posterior
from interplay.designs.measures import Measure, get_measure
from interplay.designs.optimal import design_under
from interplay.fourier.masks import keys

WORDS, LEAST_SCORE, N_REVIEWS, N_NEXT = range(18, 27), 1.0, 36, 12
MOST, N_HELD_OUT = 1.6, 100
ALPHAS, CURVE = (0.25, 0.5, 1.0), (0.25, 0.35, 0.5, 0.7, 1.0, 1.4)
N_FOLDS = 5


@dataclass(frozen=True)
class Review:
    """A review with its ablations: the largest design, and held-out masks."""

    number: int
    segments: Segments
    measure: Measure
    known: dict[bytes, float]
    held_masks: BoolArray
    held_values: FloatArray

    @property
    def n_players(self) -> int:
        return len(self.segments.texts)

    @property
    def plain(self) -> Prior:
        assert self.segments.hints is not None
        return Prior.plain(self.n_players, standardised(self.segments.hints.values))

    @property
    def features(self) -> FloatArray:
        return self.segments.features(())

    @property
    def permuted(self) -> FloatArray:
        order = np.random.default_rng([3, self.number]).permutation(self.n_players)
        return self.features[order]

    @property
    def useless(self) -> FloatArray:
        """Permuted features with the right hints, which are the first column."""
        return np.hstack([self.features[:, :1], self.permuted[:, 1:]])

    def design(self, alpha: float) -> BoolArray:
        """The first masks of the design: those of a smaller one are among a larger one's."""
        n_masks = max(20, ceil(alpha * self.n_players * log2(self.n_players)))
        rng = np.random.default_rng([1, self.number])
        return design_under(self.measure, n_masks, self.n_players, rng).masks

    def lesson(self, alpha: float, features: FloatArray) -> Lesson:
        masks = self.design(alpha)
        return Lesson(features, masks, np.array([self.known[key] for key in keys(masks)]))

    def r2(self, alpha: float, prior: Prior) -> float:
        """R2 of five folds' posteriors, as in ``gp``."""
        given, held = self.lesson(alpha, self.features), Inputs.of(self.held_masks)
        mean, scale, inputs = given.values.mean(), given.values.std(), Inputs.of(given.masks)
        target = ((given.values - mean) / scale - inputs.signs @ prior.effects)[:, None]
        fold_of = np.random.default_rng(1).permutation(len(target)) % N_FOLDS
        predicted = held.signs @ prior.effects
        for fold in range(N_FOLDS):
            rows = np.flatnonzero(fold_of != fold)
            kernel = learn(inputs[rows], target[rows], MAX_DEGREE, prior=prior)
            posterior = Posterior.of(kernel, inputs, target)
            predicted = predicted + (kernel(held, inputs) @ posterior.weights)[:, 0] / N_FOLDS
        errors = self.held_values - mean - scale * predicted
        return float(1 - (errors**2).mean() / self.held_values.var())


def reviews(folder: Path, measure: Measure) -> list[Review]:
    """Draw the reviews, and evaluate what the store does not have."""
    torch.set_num_threads(1)
    snippets = [
        snippet
        for snippet in fetch(folder)
        if abs(snippet.score) >= LEAST_SCORE and len(ip.text.split(snippet.text, "word")) in WORDS
    ]
    rows = np.random.default_rng(0).choice(len(snippets), N_REVIEWS, replace=False)
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    target = ip.text.LogitDifference(" positive", " negative")
    drawn = []
    for snippet in (snippets[row] for row in rows):
        game = ip.text.TextGame(model, tokenizer, snippet.text, target, by="word", prompt=PROMPT)
        n = game.n_players
        design_rng, held_rng = (np.random.default_rng([k, snippet.number]) for k in (1, 2))
        masks = design_under(measure, ceil(MOST * n * log2(n)), n, design_rng).masks
        held = measure.draw(N_HELD_OUT, n, held_rng)
        with Evaluator.of(game, store=folder / "ablations.db", progress=False) as evaluate:
            values, held_values = evaluate(masks).values, evaluate(held).values
        known = dict(zip(keys(masks), values.tolist(), strict=True))
        segments = Segments(game.players, [()] * n, game.hints())
        drawn.append(Review(snippet.number, segments, measure, known, held, held_values))
    return drawn


Features = Callable[[Review], FloatArray]


def compare(
    given: Sequence[Review], base: dict[float, FloatArray], name: str, alpha: float, from_: float
) -> None:
    """Explain each third with what was learned from the others, and print what it is worth."""
    permuted, effects = "permuted" in name, "effects" in name
    features: Features = (lambda one: one.useless) if permuted else (lambda one: one.features)
    scores, usual, odd = np.zeros(len(given)), list[float](), list[float]()
    for first in range(0, len(given), N_NEXT):
        following = range(first, first + N_NEXT)
        lessons = [
            one.lesson(from_, features(one))
            for row, one in enumerate(given)
            if row not in following
        ]
        learned = learn_across(lessons, effects=effects)
        for row in following:
            one = given[row]
            prior, lesson = learned.prior(features(one)), one.lesson(alpha, one.features)
            scores[row] = one.r2(alpha, prior)
            usual.append(evidence(lesson, prior, one.plain))
            odd.append(evidence(lesson, learned.prior(one.permuted), one.plain))
    gains = scores - base[alpha]
    curve = np.maximum.accumulate([base[point].mean() for point in CURVE])
    fewer = float(np.exp(np.interp(scores.mean(), curve, np.log(CURVE))) / alpha)
    used = np.where(np.array(usual) < UNLIKE, 0.0, gains)
    area = np.mean([u > o for u in usual for o in odd])
    print(
        f"{name:22} {alpha:4g} learned at {from_:4g}: R2 {base[alpha].mean():.3f} -> "
        f"{scores.mean():.3f}, gain {gains.mean():+.3f} (standard error "
        f"{gains.std() / np.sqrt(len(gains)):.3f}), {fewer:.2f} times fewer; worst "
        f"{used.min():+.3f}, {(used < -0.03).sum()} lose more than 0.03; "
        f"{(np.array(usual) < UNLIKE).sum()} of {len(usual)} are unlike, of odd ones "
        f"{(np.array(odd) < UNLIKE).sum()}, area {area:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out") / "bench_learning")
    parser.add_argument("--measure", default="shapley", choices=("shapley", "uniform"))
    chosen = parser.parse_args()
    cpu = time.process_time()
    with threadpool_limits(1):
        given = reviews(chosen.out, get_measure(chosen.measure))
        print(f"{len(given)} reviews, {chosen.measure}, {time.process_time() - cpu:.0f} CPU s")
        base = {alpha: np.array([one.r2(alpha, one.plain) for one in given]) for alpha in CURVE}
        print("without:", ", ".join(f"{a:g}: {scores.mean():.3f}" for a, scores in base.items()))
        for alpha in ALPHAS:
            for name in ("relevance", "effects", "relevance, permuted"):
                compare(given, base, name, alpha, alpha)
            compare(given, base, "relevance", alpha, CURVE[-1])
    print(f"{time.process_time() - cpu:.0f} CPU s")


if __name__ == "__main__":
    main()
