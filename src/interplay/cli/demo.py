"""The texts of the demo, written so that there are interactions to find in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interplay.text import (
    PACKAGED,
    LogitDifference,
    Response,
    Target,
    TextGame,
    load_model,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Case:
    """A text, what is asked of it, and the sets of players that ought to act together.

    Attributes:
        name: the folder it is written to.
        title: what it shows.
        text: the players' text.
        by: the players' unit.
        prompt: the fixed words around the text.
        target: what is scored.
        budget: ablations.
        intended: the interactions that the text was written to have, as players.
    """

    name: str
    title: str
    text: str
    by: str
    prompt: str
    target: Target
    budget: int
    intended: tuple[tuple[int, ...], ...]

    def game(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TextGame:
        """The case as a game."""
        return TextGame(model, tokenizer, self.text, self.target, by=self.by, prompt=self.prompt)


_REVIEW = """\
This film is not bad. The middle part was never boring. My sister stayed until the end."""

_HANDOVER = """\
The ward was calm during the night. \
Mrs Hill came in on Tuesday with a cough. \
Her temperature was normal at six. \
The chart says that Mrs Hill is allergic to penicillin. \
She drank some tea and ate half a roll. \
The window in room two does not close. \
Her son will visit after lunch. \
The new scales were delivered to the ward. \
She walked to the bathroom without help. \
Mr Cole in the next bed is allergic to aspirin. \
The lights in the corridor were repaired. \
Mrs Hill slept for about seven hours. \
Her blood pressure was measured twice. \
The trolley needs two new wheels. \
She would like a second pillow. \
The lift was out of order until four. \
Her daughter warned that Mrs Hill is allergic to penicillin. \
The doctor will come at about nine. \
Breakfast was late because of the snow. \
Her glasses are on the table by the bed. \
The telephone at the desk rings too quietly. \
The day shift starts at seven."""

CASES = (
    Case(
        name="review",
        title="A review with negations, by word",
        text=_REVIEW,
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
        target=LogitDifference(" positive", " negative"),
        budget=800,
        intended=((3, 4), (9, 10)),  # not x bad, never x boring
    ),
    Case(
        name="handover",
        title="A hospital handover of 22 sentences, with redundant evidence and a distractor",
        text=_HANDOVER,
        by="sentence",
        prompt="{text}\n\nTherefore: Mrs Hill is allergic to",
        target=Response(" penicillin", score="prob"),
        budget=400,
        intended=((3, 16), (3, 9, 16)),  # the two witnesses; both of them against the distractor
    ),
)


def demo_model() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The packaged model and its tokenizer."""
    # one thread: on a busy machine two of them wait for each other and are many times slower
    return load_model(PACKAGED, threads=1)


def demo_game(name: str) -> TextGame:
    """The game of one of the cases.

    Raises:
        ValueError: there is no such case.
    """
    for case in CASES:
        if case.name == name:
            return case.game(*demo_model())
    raise ValueError(f"the demo has no case {name!r}; it has {', '.join(c.name for c in CASES)}")
