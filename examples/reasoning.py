"""A model's reasoning: which steps the answer rests on, and which it would make again.

The steps of a trace are the players; the score is the log-probability of the right answer minus
that of the number in between. A removed step is left out, or written again by the model itself,
which has read the steps before it: twice, with other seeds. Then the rest is written again too: the
model goes on by itself after the first steps. Two pairs are measured on five other problems.

Run: python examples/reasoning.py
"""

import numpy as np

import interplay as ip
from interplay.game import call
from interplay.text import Contrast, Resample, TextGame

SHOWN = """Ann has 6 pears. She buys 2 pears. She eats 5 pears.
Question: How many pears has Ann?
Reasoning: Ann begins with 6 pears. She buys 2, and 6 + 2 = 8. She eats 5, and 8 - 5 = 3. So \
Ann has 3 pears. Check: 3 + 5 = 8.
Answer: Ann has 3

"""
PROBLEM = (3, 4, 2)
OTHERS = [(2, 3, 1), (4, 5, 3), (5, 4, 6), (1, 7, 3), (6, 3, 7)]
REPEATS, REPEATS_OF_REST, MOST_TOKENS = 2, 6, 20
"""How often each mask is evaluated where the model writes, and the most tokens of a step."""
ORDER = 2
EXPECTED = [
    {"He buys 4, and 3 + 4 = 7.", "Check: 5 + 2 = 7."},
    {"He eats 2, and 7 - 2 = 5.", "So Tom has 5 apples."},
]
"""The strongest: of the first two steps either names the wrong number, of the others the right."""


def trace(numbers: tuple[int, int, int]) -> tuple[str, str, str, str]:
    """What is asked, the steps, the right answer, and the number in between."""
    first, bought, eaten = numbers
    between, left = first + bought, first + bought - eaten
    asked = f"Tom has {first} apples. He buys {bought} apples. He eats {eaten} apples.\n"
    steps = (
        f"Tom begins with {first} apples. He buys {bought}, and {first} + {bought} = {between}. "
        f"He eats {eaten}, and {between} - {eaten} = {left}. So Tom has {left} apples. "
        f"Check: {left} + {eaten} = {between}."
    )
    return f"{SHOWN}{asked}Question: How many apples has Tom?\nReasoning:", steps, left, between


def game(model, tokenizer, numbers, masking="delete") -> TextGame:
    """The steps of a trace as players."""
    asked, steps, left, between = trace(numbers)
    return TextGame(
        model,
        tokenizer,
        steps,
        Contrast(f" {left}", f" {between}"),
        prompt=f"{asked} {{text}}\nAnswer: Tom has",
        masking=masking,
    )


def main() -> ip.Explanation:
    """Explain a trace with removed steps left out, and written again; look at other problems."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    explanation = ip.explain(game(model, tokenizer, PROBLEM), store="out/examples.db")
    print(f"left out: {explanation.full:.2f} with all steps, {explanation.baseline:.2f} with none")
    print(explanation.interactions("FSII", order=2).top(8))
    print(explanation.confirm(top=2, order=2))

    again = ip.explain(
        game(model, tokenizer, PROBLEM, Resample(n_repeats=REPEATS, max_tokens=MOST_TOKENS)),
        store="out/examples.db",
    )
    print(f"written again: {again.full:.2f} with all steps, {again.baseline:.2f} with none")
    print(again.faithfulness)
    print(again.interactions("FSII", order=2).top(8))

    print("What a step brings: left out, or written again, the rest kept; the rest written too")
    rest = Resample(rest=True, n_repeats=REPEATS_OF_REST, max_tokens=MOST_TOKENS)
    n_steps = len(explanation.players)
    first = np.tril(np.ones((n_steps + 1, n_steps), dtype=bool), -1)  # none, the first, two, ...
    values = call(game(model, tokenizer, PROBLEM, rest), first, REPEATS_OF_REST)
    means, errors = values.mean(axis=1), values.std(axis=1, ddof=1) / REPEATS_OF_REST**0.5
    for step, name in enumerate(explanation.players):
        without = np.arange(n_steps) != step
        brought = [of.full - of.predict(without) for of in (explanation, again)]
        brought.append(means[step + 1] - means[step])
        error = np.hypot(errors[step + 1], errors[step])
        print("".join(f"{value:+8.2f}" for value in brought), f"± {error:.2f}  {name}")

    print("In other problems, all else kept: buys × check, eats × so")
    for numbers in OTHERS:
        of = game(model, tokenizer, numbers)
        print(f"  {numbers}: {pair(of, 1, 4):+.2f}, {pair(of, 2, 3):+.2f}")
    return explanation


def pair(of: TextGame, one: int, other: int) -> float:
    """What two steps do together beyond what they do apart, all other steps kept."""
    masks = np.ones((4, of.n_players), dtype=bool)
    masks[[1, 3], one] = masks[[2, 3], other] = False
    whole, without_one, without_other, without_both = of(masks)
    return whole - without_one - without_other + without_both


if __name__ == "__main__":
    main()
