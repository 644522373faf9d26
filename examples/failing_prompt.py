"""A prompt that fails, the words that together make it fail, and the prompt repaired.

The text is about William Brown; asked for his full name the model says "William Shakespeare".
Which words mislead it? The score is the logit of " Brown" minus that of " Shakespeare": negative
where the model fails. Two words mislead, each by itself so strongly that removing the other one
alone changes next to nothing: the model is repaired when both are replaced.

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
    """What the model itself answers, greedily."""
    game = ip.text.TextGame(
        model, tokenizer, text, ip.text.Response(max_tokens=3), by="word", prompt=PROMPT
    )
    return game.targets[0].text


def main() -> ip.Explanation:
    """Explain the failure, and repair it by what was found."""
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
    found = explanation.interactions("FSII", order=3)
    print(found.top(5, max_order=1))
    print(found.top(5, min_order=2))
    (together,) = found.top(1, min_order=2).sets
    print("Removed from the whole prompt, the score is:")
    for gone in [(), *((player,) for player in together), together]:
        mask = np.ones((1, game.n_players), dtype=bool)
        mask[0, list(gone)] = False
        names = " and ".join(game.players[player] for player in gone) or "nothing"
        print(f"  without {names}: {game(mask)[0]:+.2f}")
    repaired = TEXT
    for player in together:
        repaired = repaired.replace(game.players[player], INSTEAD[game.players[player]])
    print("Repaired:", repaired)
    print("It is answered by:", greedy_answer(model, tokenizer, repaired))
    return explanation


if __name__ == "__main__":
    main()
