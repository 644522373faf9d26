"""A prompt that fails, the words that together make it fail, and the prompt repaired.

The text is about William Brown. Asked for his full name, the model says "William Shakespeare".
Which words mislead it? The score is the logit of " Brown" minus that of " Shakespeare", negative
if the model fails. Two words mislead the model, and each of them is enough: removing one alone
changes next to nothing. The prompt is repaired when both are replaced.

Run: python examples/failing_prompt.py
"""

import numpy as np

import interplay as ip

TEXT = "William Brown cleans the theatre. He has seen Hamlet and Macbeth many times."
PROMPT = "{text}\nThe full name of the man is William"
INSTEAD = {"Hamlet": "cats", "Macbeth": "dogs"}
EXPECTED = [{"Hamlet", "Macbeth"}]
"""The strongest interaction."""


def greedy_answer(model, tokenizer, text: str) -> str:
    """Return the model's own greedy answer."""
    game = ip.text.TextGame(
        model, tokenizer, text, ip.text.Response(max_tokens=3), by="word", prompt=PROMPT
    )
    return game.targets[0].text


def main() -> ip.Explanation:
    """Explain the failure, and repair the prompt by the strongest interaction."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    print("The prompt is answered by:", greedy_answer(model, tokenizer, TEXT))
    game = ip.text.TextGame(
        model,
        tokenizer,
        TEXT,
        ip.text.LogitDifference(" Brown", " Shakespeare"),
        by="word",
        prompt=PROMPT,
    )
    explanation = ip.explain(game, budget=500, store="out/examples.db")
    print(explanation.faithfulness)
    interactions = explanation.interactions("FSII", order=3)
    print(interactions.top(5, max_order=1))
    print(interactions.top(5, min_order=2))
    (strongest,) = interactions.top(1, min_order=2).sets
    print("Removed from the whole prompt, the score is:")
    for removed in [(), *((player,) for player in strongest), strongest]:
        mask = np.ones((1, game.n_players), dtype=bool)
        mask[0, list(removed)] = False
        names = " and ".join(game.players[player] for player in removed) or "nothing"
        print(f"  without {names}: {game(mask)[0]:+.2f}")
    repaired = TEXT
    for player in strongest:
        repaired = repaired.replace(game.players[player], INSTEAD[game.players[player]])
    print("Repaired:", repaired)
    print("It is answered by:", greedy_answer(model, tokenizer, repaired))
    return explanation


if __name__ == "__main__":
    main()
