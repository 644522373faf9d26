"""CPU time per ablation of the components lens, against plain loops with hooks.

The players are heads of SmolLM2-135M, on 16 items of a task file, on one thread. The plain loop is
the obvious one: one mask at a time, all logits. The careful one computes the last position's logits
only; in batches, each of its passes has several masks. *Whole* is the lens itself as it was before
it shared layers between masks: every mask runs through all layers from the first player's on, with
torch's own matrix products. *Products* is the same with oneDNN's, where that is faster.

The first table has random masks of the heads of three layers, and of all. The second has masks of
all 270 heads: by several laws, and some that agree in lower layers. All are timed in turns in one
run; medians of the CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.components import ComponentGame, Task, heads
from interplay.text.inference import matmul

TASKS = ("agreement", "facts", "indirect_object")
ALL = range(30)
LAYERS = {
    "first, 0-2": (0, 1, 2),
    "middle, 14-16": (14, 15, 16),
    "last, 27-29": (27, 28, 29),
    "all, 0-29": tuple(ALL),
}
N_ITEMS = 16
N_PLAIN, N_OURS, N_LAWS = 2, 24, 48
"""How many masks: of plain loops; of the lens, more where less than all layers runs; of laws."""
ROUNDS = 3
TOLERANCE = 2e-4
"""Nats by which values may differ: the ways differ in the order of sums."""
HEAD_WIDTH, N_HEADS = 64, 9


class Plain:
    """The loop over masks: hooks, and padded batches of all items."""

    def __init__(self, model: Any, tokenizer: Any, task: Task, layers: Sequence[int]) -> None:
        ids = [tokenizer(item.prompt)["input_ids"] for item in task.items]
        width = max(map(len, ids))
        self.model, self.layers = model, layers
        self.ids = torch.tensor([[0] * (width - len(row)) + row for row in ids])
        self.attention = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        self.answers = [
            [tokenizer(answer)["input_ids"][0] for answer in (item.answer, *item.wrong)]
            for item in task.items
        ]

    def __call__(self, masks: BoolArray, careful: bool) -> list[float]:
        """Values of masks in one pass, ``(m,)``."""
        handles = []
        n_masks, n_items = len(masks), len(self.ids)
        for number, layer in enumerate(self.layers):
            kept = torch.tensor(masks[:, number * N_HEADS : (number + 1) * N_HEADS])
            kept = kept.repeat_interleave(n_items, dim=0)[:, None, :, None]

            def remove(_: Any, args: Any, kept: torch.Tensor = kept) -> Any:
                split = args[0].view(*args[0].shape[:2], N_HEADS, HEAD_WIDTH)
                return ((split * kept).view(args[0].shape),)

            projection = self.model.model.layers[layer].self_attn.o_proj
            handles.append(projection.register_forward_pre_hook(remove))
        given = {"logits_to_keep": 1} if careful else {}
        with torch.inference_mode():
            logits = self.model(
                input_ids=self.ids.repeat(n_masks, 1),
                attention_mask=self.attention.repeat(n_masks, 1),
                use_cache=False,
                **given,
            ).logits[:, -1]
        for handle in handles:
            handle.remove()
        margins = [
            float(row[right] - row[wrong].max())
            for row, (right, *wrong) in zip(logits, self.answers * n_masks, strict=True)
        ]
        return np.reshape(margins, (n_masks, n_items)).mean(axis=1).tolist()


@contextmanager
def whole(game: ComponentGame, products: bool) -> Iterator[None]:
    """The game without sharing of layers above the first player, and perhaps without oneDNN."""
    passes = game._passes
    cuts, passes._cuts = passes._cuts, (passes.first_layer,) if passes.first_layer else ()
    gains, matmul._gains = matmul._gains, matmul._gains if products else lambda: False
    try:
        yield
    finally:
        passes._cuts, matmul._gains = cuts, gains


def run(kind: str, game: ComponentGame, plain: Plain, masks: BoolArray) -> tuple[float, FloatArray]:
    """CPU seconds per mask of one way to evaluate masks, and the values."""
    started = time.process_time()
    if kind in ("plain", "careful"):
        masks = masks[:N_PLAIN]
        values = [value for mask in masks for value in plain(mask[None], kind == "careful")]
    elif kind == "in batches":
        masks = masks[: 2 * N_PLAIN]
        values = plain(masks, careful=True)
    elif kind == "ours":
        values = game(masks).tolist()
    else:
        with whole(game, kind == "products"):
            values = game(masks).tolist()
    return (time.process_time() - started) / len(masks), np.array(values)


def row(kinds: Sequence[str], game: ComponentGame, plain: Plain, masks: BoolArray) -> list[float]:
    """Median CPU seconds of each way; checks that all have the same values."""
    game(masks[:1])  # the equivalence checks, once
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        values: dict[str, FloatArray] = {}
        for kind in kinds:
            seconds, values[kind] = run(kind, game, plain, masks)
            taken[kind].append(seconds)
        for kind in kinds:
            np.testing.assert_allclose(
                values[kind], values["ours"][: len(values[kind])], atol=TOLERANCE
            )
    return [float(np.median(taken[kind])) for kind in kinds]


def line(names: Sequence[str], seconds: Sequence[float]) -> str:
    *others, ours = seconds
    ratios = " | ".join(f"**{other / ours:.1f}**" for other in others)
    return f"| {' | '.join(names)} | {' | '.join(f'{s:.3f}' for s in seconds)} | {ratios} |"


def header(names: Sequence[str], kinds: Sequence[str]) -> str:
    columns = [
        *names,
        *(f"{kind}, s" for kind in kinds),
        *(f"{kind} / ours" for kind in kinds[:-1]),
    ]
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


def laws(game: ComponentGame) -> dict[str, BoolArray]:
    """Masks of all heads, so many of each law."""
    n, rng = game.n_players, np.random.default_rng(0)
    alone = (~np.eye(n, dtype=bool)).reshape(len(ALL), N_HEADS, n)
    lower = np.repeat(rng.random((N_LAWS // 4, n // 2)) < 0.5, 4, axis=0)
    return {
        "uniform": rng.random((N_LAWS, n)) < 0.5,
        "`Keep(0.5, 0.97)`": ip.Keep(0.5, 0.97).design(N_LAWS, n, rng).masks,
        "all but one head of layers 0, 6, 12, 18, 24": alone[::6].reshape(-1, n),
        "uniform, lower half of the layers shared by 4": np.hstack(
            [lower, rng.random((N_LAWS, n - n // 2)) < 0.5]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=TASKS, choices=TASKS)
    parser.add_argument("--table", choices=("layers", "laws", "both"), default="both")
    options = parser.parse_args()
    model, tokenizer = ip.text.load_model("smollm2", threads=1)

    def made(name: str, layers: Sequence[int]) -> tuple[ComponentGame, Plain]:
        task = Task.from_file(Path("examples/tasks") / f"{name}.jsonl")
        task = Task(task.split(0.5)[0].items[:N_ITEMS])
        game = ComponentGame(model, tokenizer, task, heads(model, layers))
        return game, Plain(model, tokenizer, task, layers)

    if options.table != "laws":
        kinds = ["plain", "careful", "whole", "ours"]
        print(header(["task", "layers"], kinds))
        for name in options.tasks:
            for where, layers in LAYERS.items():
                game, plain = made(name, layers)
                n_masks = N_OURS * len(ALL) // (len(ALL) - min(layers))
                masks = np.random.default_rng(0).random((n_masks, game.n_players)) < 0.66
                print(line([name, where], row(kinds, game, plain, masks)), flush=True)
        print()
    if options.table != "layers":
        kinds = ["careful", "in batches", "whole", "products", "ours"]
        print(header(["masks"], kinds))
        game, plain = made(options.tasks[0], ALL)
        for law, masks in laws(game).items():
            print(line([law], row(kinds, game, plain, masks)), flush=True)


if __name__ == "__main__":
    main()
