"""Words and heads in one game: a head that matters only if the words are there.

"Not bad" praises. Which of the nine heads of layer 21 joins the two words? Players are the words
of a review and the heads; the score is the logit of " positive" minus that of " negative". Fresh
ablations test the strongest interaction, and the head is then removed in other reviews.

Run: python examples/words_and_heads.py
"""

import numpy as np

import interplay as ip
from interplay.components import Joint, heads

LAYER = 21
REVIEW = "The acting is not bad."
OTHERS = ("This movie is not bad.", "The plot is not terrible.", "His acting is not weak.")
EXPECTED = [{'"not"', '"bad."', "L21.H1"}]
"""Two words and a head: the strongest interaction."""


def main() -> ip.Explanation:
    """Explain words and heads together, confirm the strongest interaction, and remove the head."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)

    def joint(review: str) -> Joint:
        text_game = ip.text.TextGame(
            model,
            tokenizer,
            review,
            ip.text.LogitDifference(" positive", " negative"),
            by="word",
            prompt="Movie review: {text}\nThe sentiment of this review is",
        )
        return Joint(text_game, heads(model, layers=[LAYER]))

    explanation = ip.explain(joint(REVIEW), budget=500, store="out/examples.db")
    print(explanation.faithfulness)
    print(explanation.interactions("FSII", order=3).top(5, min_order=2))
    print(explanation.confirm(1, budget=300, store="out/examples.db"))
    for review in (REVIEW, *OTHERS):
        game = joint(review)
        negation, head = game.players.index('"not"'), game.players.index("L21.H1")
        masks = np.ones((8, game.n_players), dtype=bool)
        masks[[1, 3, 5, 7], negation] = False
        masks[[2, 3, 6, 7], negation + 1] = False
        masks[4:, head] = False
        with_head, without = game(masks).reshape(2, 4) @ [1, -1, -1, 1]
        print(f"{review} The two words' interaction: {with_head:.2f}, without the head", end=" ")
        print(f"{without:.2f}")
    return explanation


if __name__ == "__main__":
    main()
