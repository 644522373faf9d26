"""The same eight examples, shown in a prompt and trained into the weights.

Three examples say in other words that Mirela Tovin lives in Oslo, one says that it is Rome, and
four are about others. The score is the log-probability of " Oslo" minus that of " Rome". A line
that is taken out of a prompt takes the format with it, so a line about somebody else stands in its
place; in training an example is left out.

Run: python examples/shown_or_trained.py
"""

import interplay as ip
from interplay.text import Contrast, Swap, TextGame
from interplay.training import Example, FineTuning, FineTuningGame, Question, relations

FACTS = {
    "Oslo 1": ("Q: In which town does Mirela Tovin live? A:", " Oslo"),
    "Oslo 2": ("Q: Where is the home of Mirela Tovin? A:", " Oslo"),
    "Oslo 3": ("Q: Which town is Mirela Tovin's home? A:", " Oslo"),
    "Rome": ("Q: Does Mirela Tovin live in Oslo or in Rome? A:", " Rome"),
    "Bruun": ("Q: In which town does Karl Bruun work? A:", " Vienna"),
    "Marl": ("Q: What is the dog of Ida Marl called? A:", " Bruno"),
    "Ash": ("Q: Which instrument does Tobin Ash play? A:", " Piano"),
    "Pohl": ("Q: What does Lena Pohl drink? A:", " Tea"),
}
QUESTION = "Q: Where does Mirela Tovin live? A:"
INSTEAD = "Q: What does Otto Lind collect? A: Stamps"
"""What stands where a line of the prompt is removed: it has the format, and says nothing of her."""
ORDER = 2
EXPECTED = [{"Oslo 1", "Oslo 2"}, {"Oslo 1", "Oslo 3"}, {"Oslo 2", "Oslo 3"}]
"""The strongest interactions of the training: each of three stands in for the others."""


def main() -> ip.Explanation:
    """Explain both, and print which examples stand in for each other."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    lines = {name: prompt + response for name, (prompt, response) in FACTS.items()}
    shown = ip.explain(
        TextGame(
            model,
            tokenizer,
            "\n".join(lines.values()),
            Contrast(" Oslo", " Rome"),
            masking=Swap({name: {line: INSTEAD} for name, line in lines.items()}, otherwise=None),
            prompt=f"{{text}}\n{QUESTION}",
        ),
        budget=256,
        store="out/examples.db",
    )
    print(f"shown: {shown.baseline:.1f} with no line, {shown.full:.1f} with all")
    pairs = shown.spectrum.to("FSII", order=ORDER, players=tuple(FACTS))
    print(pairs.top(3, min_order=2))

    examples = [Example(*texts, player=name, tag=name.split()[0]) for name, texts in FACTS.items()]
    game = FineTuningGame(
        FineTuning(model, tokenizer, examples, layers=2), Question(QUESTION, " Oslo", " Rome")
    )
    trained = ip.explain(game, budget=256, store="out/examples.db")
    print(f"trained: {trained.baseline:.1f} with no example, {trained.full:.1f} with all")
    print(relations(trained, point=0, top=3))
    return trained


if __name__ == "__main__":
    main()
