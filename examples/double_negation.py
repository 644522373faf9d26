"""A double negation: words that mean one thing alone and another together.

"Not without charm" praises: "not" takes back what "without" takes away. The score is the logit of
" positive" minus that of " negative"; the players are the words.

Run: python examples/double_negation.py
"""

import interplay as ip

REVIEW = "This film is not without charm. My sister stayed until the end."
EXPECTED = [{"not", "without", "charm."}]
"""The three words that act together: the strongest interaction."""


def main() -> ip.Explanation:
    """Explain the review, and print which words act together."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    game = ip.text.TextGame(
        model,
        tokenizer,
        REVIEW,
        ip.text.LogitDifference(" positive", " negative"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    explanation = ip.explain(game, budget=600, store="out/examples.db")
    print(explanation.faithfulness)
    print(explanation.interactions("FSII", order=3).top(5, min_order=2))
    return explanation


if __name__ == "__main__":
    main()
