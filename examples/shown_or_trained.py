"""The same eight examples, shown in the prompt and trained into the weights.

Three examples say in other words that Mirela Tovin lives in Oslo. One says that it is Rome. Four are
about others. The score is the log-probability of " Oslo" minus that of " Rome". A line that is taken
out of a prompt would take the format with it, so in its place stands a line about somebody else; in
training, an example is left out.

Run: python examples/shown_or_trained.py
"""

import interplay as ip
from interplay.text import Contrast, Swap
from interplay.training import Example, FineTuning, FineTuningGame, Question, relations

FACTS = [
    ("Q: In which town does Mirela Tovin live?\nA:", " Oslo"),
    ("Q: Where is the home of Mirela Tovin?\nA:", " Oslo"),
    ("Q: Which town is Mirela Tovin's home?\nA:", " Oslo"),
    ("Q: Does Mirela Tovin live in Oslo or in Rome?\nA:", " Rome"),
    ("Q: In which town does Karl Bruun work?\nA:", " Vienna"),
    ("Q: What is the dog of Ida Marl called?\nA:", " Bruno"),
    ("Q: Which instrument does Tobin Ash play?\nA:", " Piano"),
    ("Q: What does Lena Pohl drink?\nA:", " Tea"),
]
NAMES = ["Oslo 1", "Oslo 2", "Oslo 3", "Rome", "Vienna", "Bruno", "Piano", "Tea"]
TAGS = ["fact"] * 3 + ["contradiction"] + [None] * 4
QUESTION = Question("Q: Where does Mirela Tovin live?\nA:", " Oslo", against=" Rome")
INSTEAD = "Q: What does Otto Lind collect?\nA: Stamps"
"""What stands where a line of the prompt is removed: it has the format, and no news."""
EXPECTED = [{"Oslo 1", "Oslo 2"}]
