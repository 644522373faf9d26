"""Time per ablation of the components lens against a plain loop with hooks, a mask at a time.

The players are the heads of the first, middle and last three layers of SmolLM2-135M, on 32 items of
each task file, on one thread. The plain loop is the obvious one, with all logits. The careful loop
computes the last position's logits only. All three are timed in turns in one run; medians.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.components import ComponentGame, Task, heads

TASKS = ("agreement", "facts", "indirect_object")
LAYERS = {"first, 0-2": (0, 1, 2), "middle, 14-16": (14, 15, 16), "last, 27-29": (27, 28, 29)}
N_ITEMS = 32
N_PLAIN = 4
ROUNDS = 3
HEAD_WIDTH, N_HEADS = 64, 9


class Plain:
    """The loop over masks: hooks for one mask, one padded batch."""

    def __init__(self, model: Any, tokenizer: Any, task: Task, layers: tuple[int, ...]) -> None:
        ids = [tokenizer(item.prompt)["input_ids"] for item in task.items]
        width = max(map(len, ids))
        self.model, self.layers = model, layers
        self.ids = torch.tensor([[0] * (width - len(row)) + row for row in ids])
        self.attention = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        self.answers = [
            [tokenizer(answer)["input_ids"][0] for answer in (item.answer, *item.wrong)]
            for item in task.items
        ]

    def __call__(self, mask: BoolArray, careful: bool) -> float:
        handles = []
        for number, layer in enumerate(self.layers):
            kept = torch.tensor(mask[number * N_HEADS : (number + 1) * N_HEADS])

            def remove(_: Any, args: Any, kept: torch.Tensor = kept) -> Any:
                split = args[0].view(*args[0].shape[:2], N_HEADS, HEAD_WIDTH)
                return ((split * kept[:, None]).view(args[0].shape),)

            projection = self.model.model.layers[layer].self_attn.o_proj
            handles.append(projection.register_forward_pre_hook(remove))
        given = {"logits_to_keep": 1} if careful else {}
        with torch.inference_mode():
            logits = self.model(
                input_ids=self.ids, attention_mask=self.attention, use_cache=False, **given
            ).logits[:, -1]
        for handle in handles:
            handle.remove()
        margins = [
            float(row[right] - row[wrong].max())
            for row, (right, *wrong) in zip(logits, self.answers, strict=True)
        ]
        return float(np.mean(margins))


def seconds(run: Any, count: int) -> tuple[float, FloatArray]:
    started = time.perf_counter()
    values = np.asarray(run())
    return (time.perf_counter() - started) / count, values


def main() -> None:
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    print("| task | layers | plain, s | careful, s | ours, s | plain / ours | careful / ours |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for name in TASKS:
        task = Task.from_file(Path("examples/tasks") / f"{name}.jsonl")
        task = Task(task.split(0.5)[0].items[:N_ITEMS])
        for where, layers in LAYERS.items():
            game = ComponentGame(model, tokenizer, task, heads(model, layers))
            plain = Plain(model, tokenizer, task, layers)
            masks = np.random.default_rng(0).random((game.batch_size, game.n_players)) < 0.66
            few = masks[:N_PLAIN]
            game(few[:1])  # the equivalence checks, once
            taken: dict[str, list[float]] = {"plain": [], "careful": [], "ours": []}
            for _ in range(ROUNDS):
                for kind in ("plain", "careful"):
                    spent, values = seconds(
                        lambda: [plain(mask, kind == "careful") for mask in few],  # noqa: B023
                        len(few),
                    )
                    taken[kind].append(spent)
                spent, own = seconds(lambda: game(masks), len(masks))  # noqa: B023
                taken["ours"].append(spent)
                worst = max(worst, float(np.abs(own[:N_PLAIN] - values).max()))
            one, careful, ours = (float(np.median(taken[kind])) for kind in taken)
            print(
                f"| {name} | {where} | {one:.3f} | {careful:.3f} | {ours:.4f} | "
                f"**{one / ours:.1f}** | {careful / ours:.1f} |",
                flush=True,
            )
    print(f"\nLargest difference of values: {worst:.1e} nats")


if __name__ == "__main__":
    main()
