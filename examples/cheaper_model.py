"""Cheap before dear: the model in bfloat16 is asked first, and saves ablations of the model itself.

The score is the logit of " positive" minus that of " negative"; the players are the words. The
model in half precision takes about half as long. Where its ablations help is decided by
cross-validation on those of the model in single precision; held-out ones of these judge the result,
and fresh ones test what it says.

Run: python examples/cheaper_model.py
"""

from functools import partial

import interplay as ip

REVIEW = "This film is not without charm, but the second hour never gets moving."
EXPECTED = [{"not", "without"}]
"""The strongest interaction."""
BUDGET = 80


def main() -> ip.Explanation:
    """Explain the review with and without the cheaper model, and test what is found."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    half, _ = ip.text.load_model("smollm2", dtype="bfloat16", threads=1)
    game_of = partial(
        ip.text.TextGame,
        tokenizer=tokenizer,
        text=REVIEW,
        target=ip.text.LogitDifference(" positive", " negative"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    dear, cheap = game_of(model), game_of(half)
    alone = ip.explain(dear, budget=BUDGET, store="out/examples.db")
    explanation = ip.explain(
        dear, cheaper=cheap, budget=BUDGET, cheaper_budget=400, store="out/examples.db"
    )
    print(f"alone: {alone.faithfulness}")
    print(explanation)
    print(explanation.confirm(1, budget=400))
    return explanation


if __name__ == "__main__":
    main()
