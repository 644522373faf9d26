"""Ablations per second of the text lens against the plain loop that a user would write.

The plain loop evaluates prompts in the order of the masks, one padded batch after another, with
full logits. Both have the same model, masks, dtype and process, and take turns. Rates are measured
on a sample: some of the calls that the engine makes for all masks, and batches of the plain loop
drawn from all masks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.ablation.blocks import cut
from interplay.cli.demo import CASES
from interplay.fourier.masks import uniform

QUESTION = "Therefore: Mrs Hill is allergic to"
INSTRUCTION = (
    "You read a report from a hospital ward. Say in one word which medicine Mrs Hill must not be "
    "given because she is allergic to it. Do not explain your answer.\n\nReport: "
)
WARD = next(case.text for case in CASES if case.name == "handover")
REVIEW = next(case for case in CASES if case.name == "review")
LONG = " ".join(
    [WARD, WARD.replace("Mrs Hill", "Mr Young").replace("penicillin", "latex")]
    + [f"Bed {bed} was made at {hour} and is free." for bed, hour in enumerate("6789" * 4, 3)]
)


def texts() -> Iterator[tuple[str, str, str, str, str]]:
    """List name, text, unit, where the fixed words are, and the prompt."""
    yield "17 words", REVIEW.text, "word", "after", REVIEW.prompt
    yield (
        "17 words",
        REVIEW.text,
        "word",
        "before",
        "Say whether this movie review is positive or negative.\nReview: {text}\nSentiment:",
    )
    for name, text in (("22 sentences", WARD), ("60 sentences", LONG)):
        yield name, text, "sentence", "after", "{text}\n\n" + QUESTION
        yield name, text, "sentence", "before", INSTRUCTION + "{text}\n\nAnswer:"


def plain(
    model: Any, tokenizer: Any, answers: list[int], prompts: list[str], batch: int
) -> FloatArray:
    """Evaluate one padded batch after another, with full logits."""
    values = []
    with torch.inference_mode():
        for start in range(0, len(prompts), batch):
            inputs = tokenizer(prompts[start : start + batch], padding=True, return_tensors="pt")
            logits = model(**inputs).logits[:, -1]
            values.append(logits[:, answers[0]] - logits[:, answers[1]])
    return torch.cat(values).float().numpy()


def timed(f: Callable[[], Any]) -> float:
    started = time.perf_counter()
    f()
    return time.perf_counter() - started


def compare(model: Any, tokenizer: Any, numbers: list[int], quick: bool, batch: int) -> None:
    answers = (" penicillin", " aspirin")
    single = [a for a in answers if len(tokenizer(a)["input_ids"]) == 1]
    pair = tuple(single) if len(single) == 2 else (" positive", " negative")
    ids = [tokenizer(answer)["input_ids"][0] for answer in pair]
    print(
        f"{'text':<13} {'fixed words':<11} {'tokens':>6} {'masks':>6} {'call':>5} "
        f"{'plain/s':>8} {'ours/s':>8} {'ratio':>6} {'largest difference':>19}"
    )
    for name, text, by, where, prompt in texts():
        target = ip.text.LogitDifference(*pair)
        game = ip.text.TextGame(model, tokenizer, text, target, by=by, prompt=prompt)
        rng = np.random.default_rng(0)
        game(uniform(2, game.n_players, rng))
        for n_masks in numbers:
            masks = uniform(n_masks, game.n_players, np.random.default_rng(1))
            calls = cut(game, masks)[: 1 if quick else 2]
            per_call = len(calls[0])
            n_plain = max(batch, min(64, per_call) // batch * batch)
            ours, theirs, asked, worst = 0.0, 0.0, 0, 0.0
            for rows in calls:
                found: list[FloatArray] = []
                ours += timed(lambda: found.append(game(masks[rows])))  # noqa: B023
                drawn = masks[rng.choice(n_masks, n_plain, replace=False)]
                prompts = [game.prompt(mask) for mask in drawn]
                theirs += timed(lambda: plain(model, tokenizer, ids, prompts, batch))  # noqa: B023
                asked += n_plain
                few = [game.prompt(mask) for mask in masks[rows[:4]]]
                reference = plain(model, tokenizer, ids, few, batch)
                worst = max(worst, float(np.abs(found[0][:4] - reference).max()))
            rate = sum(map(len, calls)) / ours
            tokens = float(game.cost(masks).mean())
            print(
                f"{name:<13} {where:<11} {tokens:6.0f} {n_masks:6d} {per_call:5d} "
                f"{asked / theirs:8.2f} {rate:8.2f} {rate / (asked / theirs):5.2f}x {worst:19.1e}",
                flush=True,
            )


def sixteen_bits(model: Any, tokenizer: Any, masks: BoolArray) -> None:
    """Measure what bfloat16 gains, and what it does to the values."""
    values, seconds = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        game = REVIEW.game(model.to(dtype), tokenizer)
        game(masks[:8])
        started = time.perf_counter()
        values[dtype] = game(masks)
        seconds[dtype] = time.perf_counter() - started
    exact, rough = values[torch.float32], values[torch.bfloat16]
    print(
        f"bfloat16: {seconds[torch.float32] / seconds[torch.bfloat16]:.2f}x the ablations per "
        f"second of float32; its values differ by sd {np.std(rough - exact):.3f}, and have sd "
        f"{np.std(exact):.3f} ({np.var(rough - exact) / np.var(exact):.2%} of the variance)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one call for each line")
    parser.add_argument("--masks", type=int, nargs="+", default=[400, 2000, 20000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="prompts per batch of the plain loop")
    options = parser.parse_args()
    model, tokenizer = ip.text.load_model("smollm2", threads=options.threads)
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    print(f"SmolLM2-135M, float32, {options.threads} thread(s), plain batches of {options.batch}")
    compare(model, tokenizer, options.masks, options.quick, options.batch)
    sixteen_bits(
        model,
        tokenizer,
        uniform(256, 17, np.random.default_rng(2)),
    )


if __name__ == "__main__":
    main()
