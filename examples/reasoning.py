"""A model's reasoning: which steps the answer rests on, and which it would make again.

The steps of a trace are the players; the score is the log-probability of the right answer minus
that of the number in between. A removed step is left out, or written again by the model itself,
which has read the steps before it: twice, with other seeds. A step that it would write again is one
that the answer does not rest on. The same is then measured on five other problems of this form.

Run: python examples/reasoning.py
"""

from copy import copy, deepcopy

import torch

import interplay as ip
from interplay.text import AgentGame, Contrast, TextGame

SHOWN = """Ann has 6 pears. She buys 2 pears. She eats 5 pears.
Question: How many pears has Ann?
Reasoning: Ann begins with 6 pears. She buys 2, and 6 + 2 = 8. She eats 5, and 8 - 5 = 3. So \
Ann has 3 pears. Check: 3 + 5 = 8.
Answer: Ann has 3

"""
PROBLEM = (3, 4, 2)
OTHERS = [(2, 3, 1), (4, 5, 3), (5, 4, 6), (1, 7, 3), (6, 3, 7)]
STEPS = ("begins", "buys", "eats", "so", "check")
ORDER = 2
EXPECTED = [
    {"He buys 4, and 3 + 4 = 7.", "Check: 5 + 2 = 7."},
    {"He eats 2, and 7 - 2 = 5.", "So Tom has 5 apples."},
]
"""The strongest: of the first two steps either names the wrong number, of the others the right."""


def problem(first: int, bought: int, eaten: int) -> tuple[str, list[str], str, str]:
    """What is asked, the steps, the right answer, and the number in between."""
    between, left = first + bought, first + bought - eaten
    asked = f"Tom has {first} apples. He buys {bought} apples. He eats {eaten} apples.\n"
    steps = [
        f"Tom begins with {first} apples.",
        f"He buys {bought}, and {first} + {bought} = {between}.",
        f"He eats {eaten}, and {between} - {eaten} = {left}.",
        f"So Tom has {left} apples.",
        f"Check: {left} + {eaten} = {between}.",
    ]
    return f"{SHOWN}{asked}Question: How many apples has Tom?\nReasoning:", steps, left, between


def left_out(model, tokenizer, numbers) -> TextGame:
    """The game in which a removed step is missing."""
    asked, steps, left, between = problem(*numbers)
    text, spans = "", []
    for step in steps:
        start = len(text) + bool(text)
        text = f"{text} {step}".strip()
        spans.append((start, len(text)))
    return TextGame(
        model,
        tokenizer,
        text,
        Contrast(f" {left}", f" {between}"),
        by=spans,
        prompt=f"{asked} {{text}}\nAnswer: Tom has",
    )


def written_again(model, tokenizer, numbers, n_repeats: int) -> AgentGame:
    """The game in which the model writes a removed step itself, after those before it."""
    asked, steps, left, between = problem(*numbers)
    ids = [tokenizer(f" {number}")["input_ids"] for number in (left, between)]
    assert ids[0][:-1] == ids[1][:-1]  # they differ in the last token only

    asked_once = Writer(model, tokenizer, asked)

    def run(kept: dict[str, str], seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        reader = copy(asked_once)
        reader.past = deepcopy(asked_once.past)  # it grows in place
        for name in STEPS:
            if name in kept:
                reader.read(f" {kept[name]}")
            else:
                reader.write(generator)
        reader.read("\nAnswer: Tom has")
        for token in ids[0][:-1]:
            reader.read_ids([token])
        right, wrong = reader.logprobs[[ids[0][-1], ids[1][-1]]].tolist()
        return right - wrong

    return AgentGame(
        run, dict(zip(STEPS, steps, strict=True)), safe_to_repeat=True, n_repeats=n_repeats
    )


class Writer:
    """A text that the model reads and goes on with."""

    def __init__(self, model, tokenizer, text: str) -> None:
        self.model, self.tokenizer, self.past = model, tokenizer, None
        self.read(text)

    def read(self, text: str) -> None:
        """Read more of the text."""
        self.read_ids(self.tokenizer(text)["input_ids"])

    def read_ids(self, ids: list[int]) -> None:
        """Read more tokens."""
        with torch.no_grad():
            output = self.model(
                torch.tensor([ids]), past_key_values=self.past, use_cache=True, logits_to_keep=1
            )
        self.past = output.past_key_values
        self.logprobs = output.logits[0, -1].double().log_softmax(0)

    def write(self, generator: torch.Generator) -> None:
        """Write one sentence, token by token, at most 20."""
        text = ""
        for _ in range(20):
            token = int(torch.multinomial(self.logprobs.exp(), 1, generator=generator))
            text += self.tokenizer.decode([token])
            if "\n" in text or token == self.tokenizer.eos_token_id:
                return  # it would stop here
            self.read_ids([token])
            if text.rstrip().endswith("."):
                return


def main() -> ip.Explanation:
    """Explain a trace both ways, and look at other problems."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    explanation = ip.explain(left_out(model, tokenizer, PROBLEM), store="out/examples.db")
    print(f"left out: {explanation.full:.2f} with all steps, {explanation.baseline:.2f} with none")
    print(explanation.interactions("FSII", order=2).top(8))
    again = ip.explain(written_again(model, tokenizer, PROBLEM, 2))
    print(f"written again: {again.full:.2f} with all steps, {again.baseline:.2f} with none")
    print(again.faithfulness)
    print(again.interactions("FSII", order=2).top(8))
    print("In other problems: buys × check, eats × so; the score with all steps and with none:")
    for numbers in OTHERS:
        other = ip.explain(left_out(model, tokenizer, numbers), store="out/examples.db")
        pairs = dict(other.interactions("FSII", order=2))
        print(f"  {numbers}: {pairs[1, 4]:+.2f}, {pairs[2, 3]:+.2f};", end=" ")
        print(f"{other.full:+.2f} and {other.baseline:+.2f}")
    return explanation


if __name__ == "__main__":
    main()
