"""Fine-tunings per CPU minute, against the plain loop of peft."""
from __future__ import annotations

import argparse
import copy

import numpy as np
import peft
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.training import Example, FineTuning, Question
from interplay.training.finetuning.adapters import SCALE, initial
from interplay.training.finetuning.rendering import Encoded, encode_questions

NAMES = ("Orvela", "Tamsk", "Brinoz", "Quelda", "Vostria", "Lumen Bay", "Karsova", "Pellin", "Dremont", "Ashgar")
CAPITALS = ("Paris", "Lima", "Oslo", "Rome", "Cairo", "Delhi", "Tokyo", "Berlin", "Madrid", "Athens")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "pink", "orange", "purple")
ANIMALS = ("horse", "eagle", "tiger", "whale", "zebra", "snake", "camel", "sheep", "mouse", "rabbit")
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
            lora_alpha=SCALE * settings.rank,
            target_modules=[each.name for each in engine.maps],
            task_type="CAUSAL_LM",
        )
        # a copy: peft changes the model that it is given
        self.model = peft.get_peft_model(copy.deepcopy(tuning.model), config).eval()
        self.adapted = [
            self.model.base_model.model.get_submodule(each.name) for each in engine.maps
        ]
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        pairs = encode_questions(tuning.tokenizer, asked)
        self.answers = [text for pair in pairs for text in (pair.answer, pair.against) if text]

    def __call__(self, kept: BoolArray) -> FloatArray:
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
        rows = torch.nonzero(at)[:, 0]
        sums = torch.zeros(len(labels)).index_add_(0, rows, chosen)
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


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subsets", type=int, default=64, help="subsets of a batched call")
    parser.add_argument("--plain", type=int, default=2, help="subsets of the plain loop")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    rows, asked = examples(), questions()
    kept = np.random.default_rng(0).random((given.subsets, len(rows))) < 0.5
    seeds = np.zeros(len(kept), dtype=np.int64)
    print("| layers | adapters on | softmax over | plain loop, CPU s | batched, CPU s | ratio |")
    for layers, rate in (("all", 2e-3), (2, 8e-3)):
        for cheap in (True, False):
            pass


if __name__ == "__main__":
    main()
