"""A long answer: which sentences of the context support which of its claims, and one that is wrong.

The model's own answer has three sentences. Each is an output, scored in one pass by its
log-probability given what the answer says before it; a fourth output asks why the answer says
1954, and not 1987, which would be right. Then the model answers again, without some of the
sentences, and a judge says how much of each claim is left in the new answer: here the share of its
words, where an entailment model could stand.

Run: python examples/long_answer.py
"""

import re
from dataclasses import replace

import interplay as ip
from interplay.text import Contrast, Response, TextGame, judge_claims

CONTEXT = (
    "The museum opened in 1912. A fire destroyed the east wing in 1954. The café sells tea. "
    "In 1987 a storm flooded the cellar. The paintings were kept in the cellar. "
    "The guide speaks French."
)
CHAT = [
    {"role": "system", "content": "Answer in two short sentences."},
    {"role": "user", "content": "{text}\n\nWhat did the museum lose, and why?"},
]
WRONG, RIGHT = " 1954", " 1987"
FIXED, MOST_TOKENS = None, 60
"""Sentences that are always kept, and the most tokens of an answer."""
ORDER = 2
EXPECTED = [{"In 1987 a storm flooded the cellar.", "The paintings were kept in the cellar."}]
"""The strongest in the mean of the outputs: for the cellar in the first claim, either is enough."""


def words(text: str) -> set[str]:
    """The words of a text that say something."""
    return {word for word in re.findall(r"\w+", text.casefold()) if len(word) > 3}


def share_of_words(answer: str, claim: str) -> float:
    """How much of a claim stands in an answer: the judge."""
    return len(words(claim) & words(answer)) / len(words(claim))


def main() -> ip.Explanation:
    """Explain the claims, test what is found, and look at what the model says without the fire."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    own = Response(reduction="sentence", max_tokens=60)
    (target,) = TextGame(model, tokenizer, CONTEXT, own, prompt=CHAT).targets
    answer = target.text
    print(answer)
    why = Contrast(WRONG, RIGHT, given=answer[: answer.index(WRONG)])
    claims = Response(answer, reduction="sentence")
    game = TextGame(model, tokenizer, CONTEXT, [claims, why], fixed=FIXED, prompt=CHAT)
    explanation = ip.explain(game, budget=32, store="out/examples.db")
    print(explanation.faithfulness)
    for number, name in enumerate(explanation.outputs):
        print(f"{name}")
        spectrum = explanation.spectrum.output(number)
        print(spectrum.to("FSII", order=2, players=explanation.players).top(3))
    tested, *others = (
        explanation.confirm(top=1, order=2, output=output, store="out/examples.db")
        for output in (0, 2)
    )
    print(tested, *others, sep="\n")

    judged = TextGame(
        model,
        tokenizer,
        CONTEXT,
        judge_claims(
            answer,
            share_of_words,
            name="share of words of four letters",
            max_tokens=MOST_TOKENS,
        ),
        fixed=re.compile("opened|café|French"),
        prompt=CHAT,
    )
    support = ip.explain(judged, store="out/examples.db")
    print("How much of each claim is still said without a sentence, in the mean:")
    print(support.interactions("SV"))
    return replace(explanation, confirmation=tested)


if __name__ == "__main__":
    main()
