"""A prompt that fails, the words that together make it fail, and the prompt repaired.

The text is about a teacher, Albert Brown; asked for his full name the model says "Albert Einstein".
Which words mislead it? The score is the logit of " Brown" minus that of " Einstein": negative where
the model fails. The name itself is kept; the other words are the players. Two of them mislead, each
by itself and so strongly that one removed changes little while the other is there: the model is
repaired when both are replaced.

Run: python examples/failing_prompt.py
"""

import re

import numpy as np

import interplay as ip

TEXT = "Albert Brown teaches physics at our school. Brown explained relativity to us on Friday."
PROMPT = "{text}\nThe full name of the man is Albert"
INSTEAD = {"physics": "cooking", "relativity": "bread"}
EXPECTED = [{"physics", "relativity"}]
"""The strongest interaction."""


def answers(model, tokenizer, text: str) -> str:
    """What the model itself answers, greedily."""
    game = ip.text.TextGame(
        model, tokenizer, text, ip.text.Response(max_tokens=3), by="word", prompt=PROMPT
    )
    return game.targets[0].text


def main() -> ip.Explanation:
    """Explain the failure, and repair it by what was found."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    print("The prompt is answered by:", answers(model, tokenizer, TEXT))
    game = ip.text.TextGame(
        model,
        tokenizer,
        TEXT,
        ip.text.LogitDifference(" Brown", " Einstein"),
        by="word",
        prompt=PROMPT,
        fixed=re.compile("Albert|Brown"),
    )
    explanation = ip.explain(game, budget=400, store="out/examples.db")
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
    print("It is answered by:", answers(model, tokenizer, repaired))
    return explanation


if __name__ == "__main__":
    main()
