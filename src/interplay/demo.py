"""The texts of the demo, written so that there are interactions to find in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interplay.lenses.text import LogitDifference, Target, TextGame

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


CASES = (
    Case(
        name="review",
        title="A review with negations, by word",
        text="The acting is not bad, but the story never gets moving",
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
        target=LogitDifference(" positive", " negative"),
        budget=400,
        intended=((3, 4),),
    ),
)
