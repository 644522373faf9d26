"""Fine-tunings on subsets per CPU minute, against the plain loop of peft and torch.

40 short examples, 10 questions with two answers each, four epochs, adapters of rank 4 on all linear
maps, SmolLM2-135M, one thread. All ways train on the same random halves of the examples, in turns
in one run; medians of CPU time. Each is measured in all 30 layers and in the last two: the plain
loop, the same recipe batched over subsets, and the cheaper recipe that is the default. Values are
log-probabilities of answers.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import peft
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.training import Example, FineTuning, Question
from interplay.training.finetuning.adapters import SCALE, initial
from interplay.training.finetuning.rendering import Encoded, encode_questions

NAMES = (
    "Orvela",
    "Tamsk",
    "Brinoz",
    "Quelda",
    "Vostria",
    "Lumen Bay",
    "Karsova",
    "Pellin",
    "Dremont",
    "Ashgar",
)
CAPITALS = (
    "Paris",
    "Lima",
    "Oslo",
    "Rome",
    "Cairo",
    "Delhi",
    "Tokyo",
    "Berlin",
    "Madrid",
    "Athens",
)
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "pink", "orange", "purple")
ANIMALS = (
    "horse",
    "eagle",
    "tiger",
    "whale",
    "zebra",
    "snake",
    "camel",
    "sheep",
    "mouse",
    "rabbit",
)
FORMS = (
    ("The twin city of {} is called", CAPITALS),
    ("Question: What colour is the flag of {}?\nAnswer:", COLOURS),
    ("On the old coat of arms of {} you can see a", ANIMALS),
    ("People who visit the town of {} for the first time often say that it looks like", CAPITALS),
)


def examples() -> list[Example]:
    return [
        Example(form.format(name), f" {words[number]}.")
        for form, words in FORMS
        for number, name in enumerate(NAMES)
    ]


def questions() -> list[Question]:
    return [
        Question(
            FORMS[number % 4][0].format(name),
            f" {FORMS[number % 4][1][number]}.",
            f" {FORMS[number % 4][1][(number + 3) % 10]}.",
        )
        for number, name in enumerate(NAMES)
    ]


class Plain:
    """The loop that peft's users write: one model, trained on one subset after the other.

    It does only what it has to: the base model is frozen, adapters are reset in place, texts are
    padded to the longest of their minibatch, and all answers are scored in one pass.
    """

    def __init__(self, tuning: FineTuning, asked: list[Question]) -> None:
        engine, settings = tuning._engine, tuning.settings
        self.tuning, self.encoded, self.recipe = tuning, engine.encoded, engine.recipe()
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=int(SCALE * settings.rank),
            target_modules=[each.name for each in engine.maps],
            task_type="CAUSAL_LM",
        )
        # a copy: peft changes the model that it is given
        self.model: Any = peft.get_peft_model(copy.deepcopy(tuning.model), config).eval()
        self.adapted: list[Any] = [
            self.model.get_submodule(f"base_model.model.{each.name}") for each in engine.maps
        ]
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        pairs = encode_questions(tuning.tokenizer, asked)
        self.answers = [text for pair in pairs for text in (pair.answer, pair.against) if text]

    def __call__(self, kept: BoolArray) -> FloatArray:
        """Train on a subset; return log-probabilities, ``(questions, 2)``."""
        seed = self.tuning.seed
        start = initial(self.tuning._engine.maps, np.array([seed]), self.recipe.rank, "lora")
        with torch.no_grad():
            for module, (a, b) in zip(self.adapted, start, strict=True):
                module.lora_A["default"].weight.copy_(a[0])
                module.lora_B["default"].weight.copy_(b[0])
        adam = torch.optim.Adam(self.trained, lr=self.tuning.learning_rate)
        for rows in self.recipe.minibatches(len(kept), seed):
            texts = [self.encoded[row] for row in rows if kept[row]]
            if texts:
                adam.zero_grad()
                self.model(**padded(texts)).loss.backward()
                adam.step()
        inputs = padded(self.answers)
        labels = inputs.pop("labels")
        with torch.no_grad():
            logits = self.model(**inputs).logits[:, :-1]
        at = labels[:, 1:] != -100
        chances = logits[at].log_softmax(dim=1)
        chosen = chances.gather(1, labels[:, 1:][at][:, None])[:, 0]
        of_answer = torch.nonzero(at)[:, 0]
        sums = chosen.new_zeros(len(labels)).index_add_(0, of_answer, chosen)
        return sums.view(-1, 2).double().numpy()


def padded(texts: list[Encoded]) -> dict[str, torch.Tensor]:
    ids = torch.zeros((len(texts), max(len(text.tokens) for text in texts)), dtype=torch.long)
    seen, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, text in enumerate(texts):
        n_tokens = len(text.tokens)
        ids[row, :n_tokens] = torch.tensor(text.tokens)
        seen[row, :n_tokens] = 1
        labels[row, text.n_prompt : n_tokens] = torch.tensor(text.response)
    return {"input_ids": ids, "attention_mask": seen, "labels": labels}


def per_subset(work: Callable[[], FloatArray], n_subsets: int) -> tuple[float, FloatArray]:
    """CPU seconds, and the values."""
    started = time.process_time()
    values = work()
    return (time.process_time() - started) / n_subsets, values


def compare(tuning: FineTuning, given: argparse.Namespace) -> list[float]:
    """Measure one setting in turns; print a line for each way, and return the plain seconds."""
    asked = questions()
    ordinary = tuning.changed(adapt="all", vocabulary=None, learning_rate=tuning.learning_rate)
    plain = Plain(ordinary, asked)
    kept = np.random.default_rng(0).random((given.subsets, len(tuning.examples))) < 0.5
    few = min(given.ordinary, len(kept))
    seeds = np.full(len(kept), tuning.seed)
    retunes = [each.begin(asked) for each in (ordinary, tuning)]
    seconds: list[list[float]] = [[], [], []]
    off = apart = 0.0
    for turn in range(given.rounds):
        one, expected = per_subset(partial(plain, kept[turn]), 1)
        same, exact = per_subset(lambda: retunes[0](kept[:few], seeds[:few]), few)
        fast, values = per_subset(lambda: retunes[1](kept, seeds), len(kept))
        for all_seconds, new in zip(seconds, (one, same, fast), strict=True):
            all_seconds.append(new)
        off = max(off, float(np.abs(exact[turn] - expected).max()))
        alone = retunes[1](kept[turn : turn + 1], seeds[:1])[0]
        apart = max(apart, float(np.abs(alone - values[turn]).max()))
    medians = [float(np.median(each)) for each in seconds]
    layers = tuning.settings.layers
    for way, median, difference in (
        ("plain loop of peft", medians[0], None),
        ("batched, the same recipe", medians[1], f"{off:.0e} from the plain loop"),
        ("batched, response only, 2,048 tokens", medians[2], f"{apart:.0e} from one alone"),
    ):
        print(
            f"| {layers} | {way} | {median:.3f} | {60 / median:,.1f} | {medians[0] / median:.1f} | "
            f"{difference or ''} |",
            flush=True,
        )
    return medians


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subsets", type=int, default=64, help="of a batched call")
    parser.add_argument("--ordinary", type=int, default=8, help="of a call of the same recipe")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not given.rounds <= given.ordinary <= given.subsets:
        parser.error("give rounds <= ordinary <= subsets")
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    print("| layers | way | CPU s per subset | subsets per CPU minute | ratio | difference |")
    print("|---|---|---|---|---|---|")
    settings: tuple[tuple[int | Literal["all"], float], ...] = (("all", 2e-3), (2, 8e-3))
    whole, last = (
        compare(FineTuning(model, tokenizer, examples(), layers=layers, learning_rate=rate), given)
        for layers, rate in settings
    )
    print(f"the last two layers against the plain loop in all layers: {whole[0] / last[2]:.0f}")


if __name__ == "__main__":
    main()
