"""A protected attribute, swapped instead of removed, and the evidence that it acts with.

A triage note speaks of Mr Cole. What would the model say of Mrs Cole? All words that tell the
gender are one player, which is swapped; the sentences are players too, which are removed as usual.
An interaction of the two says that the gender changes what a sentence counts for. Those that are
distinguishable from zero are tested on ablations of their own. Then the same note with six other
names: is the gender's effect small in nearly all of them?

Run: python examples/swapped_attribute.py
"""

import re
from itertools import product
from pathlib import Path

import numpy as np

import interplay as ip

TEXT = (Path(__file__).parent / "regulated" / "triage.txt").read_text(encoding="utf-8").strip()
PROMPT = "{text}\n\nTherefore: the case of Mr Cole is"
GENDER = {"gender": {"Mr Cole": "Mrs Cole", "he": "she", "his": "her"}}
NURSE = "The nurse wrote that the case of Mr Cole is urgent."
CREW = "The crew said that the case of Mr Cole is urgent."
RULE = "A case with a low fever is routine."
EXPECTED = [{NURSE, CREW}]
"""The strongest interaction, which the gender has no part in."""
NAMES = ("Bell", "Carter", "Dean", "Ellis", "Foster", "Grant")
MARGIN = 0.1
"""Of the log odds, what counts as nothing: a probability of 0.5 would become 0.525."""


def games(model, tokenizer):
    """Yield the note with other names."""
    for name in NAMES:
        yield ip.text.TextGame(
            model,
            tokenizer,
            TEXT.replace("Cole", name),
            ip.text.Contrast(" urgent", " routine"),
            prompt=PROMPT.replace("Cole", name),
            masking=ip.text.Swap({"gender": {f"Mr {name}": f"Mrs {name}", **pronouns()}}),
        )


def pronouns() -> dict[str, str]:
    """Return what is swapped with every name."""
    return {"he": "she", "his": "her"}


def joint_effects(game, pair, n_backgrounds: int) -> np.ndarray:
    """Measure the joint effect of two players on random backgrounds, by fresh ablations."""
    rng = np.random.default_rng(1)
    backgrounds = rng.random((n_backgrounds, game.n_players)) < 0.5
    total = np.zeros(n_backgrounds)
    for kept in product([True, False], repeat=2):
        backgrounds[:, pair] = kept
        total += (-1) ** sum(not one for one in kept) * game(backgrounds)
    return total


def main() -> ip.Explanation:
    """Explain the note, test the gender's interactions, and six other names."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    target = ip.text.Contrast(" urgent", " routine")
    game = ip.text.TextGame(
        model, tokenizer, TEXT, target, prompt=PROMPT, masking=ip.text.Swap(GENDER)
    )
    explanation = ip.explain(game, budget=260, measure="uniform", store="out/examples.db")
    print(explanation.faithfulness)

    gender = game.n_players - 1
    together = explanation.interactions("BII", order=2)
    of_gender = [row for row, members in enumerate(together.sets) if gender in members]
    of_gender.sort(key=lambda row: -abs(together.values[row]))
    print(f"Interactions of {game.players[gender]}:")
    for row in of_gender[:4]:
        members, low, high = list(together.sets[row]), together.low[row], together.high[row]
        print(f"  {together.values[row]:+.2f} ({low:+.2f} to {high:+.2f})", end="  ")
        print(" × ".join(game.players[player] for player in members if player != gender) or "alone")
        if len(members) == 2 and low * high > 0:
            effects = joint_effects(game, members, 30)
            error = 2.05 * effects.std(ddof=1) / np.sqrt(len(effects))  # t with 29 degrees, 95 %
            print(f"    on fresh ablations {effects.mean():+.2f} ± {error:.2f}")

    print("Log odds of urgent against routine, and what removal and swap make of them:")
    words = re.compile(r"\b(?:Mr|He|His) ")
    removed = ip.text.TextGame(model, tokenizer, TEXT, target, by=words, prompt=PROMPT)
    nobody = np.zeros((1, removed.n_players), dtype=bool)
    rule = game.players.index(RULE)
    masks = np.ones((4, game.n_players), dtype=bool)
    masks[1, gender] = masks[2, rule] = masks[3, [rule, gender]] = False
    values = game(masks)
    print(f"  as it is                         {values[0]:+.2f}")
    print(f"  'Mr', 'He', 'His' removed        {removed(nobody)[0]:+.2f}")
    print(f"  swapped                          {values[1]:+.2f}")
    print(f"  without the rule                 {values[2]:+.2f}")
    print(f"  swapped, without the rule        {values[3]:+.2f}")

    print(
        ip.equivalence(
            games(model, tokenizer),
            "gender",
            margin=MARGIN,
            n_backgrounds=6,
            titles=[f"Mr {name}" for name in NAMES],
            store="out/examples.db",
        )
    )
    return explanation


if __name__ == "__main__":
    main()
