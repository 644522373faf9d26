"""What is typed into the studio: checked, and made into the options of ``interplay text``."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from interplay._types import Json, check, shown, visible
from interplay.cli.demo import CASES
from interplay.cli.examples import content
from interplay.cli.text import TextOptions
from interplay.game import cut_at
from interplay.text.prompts.build import PLACEHOLDER, mask_prompt
from interplay.text.targets import LogitDifference, Response

Unit = Literal["word", "sentence", "line", "paragraph", "token"]
Target = Literal["prob", "logprob", "logit", "logit-difference"]
UNITS: tuple[str, ...] = get_args(Unit)
TARGETS: tuple[str, ...] = get_args(Target)
MOST_CHARACTERS = 50_000
"""The most characters of a text, and of what stands around it."""
MOST_ABLATIONS = 20_000
MOST_PLAYERS = 300
"""The most players: a plan for thousands takes minutes, in which nobody else is answered."""
INPUTS, _PROMPT = "inputs", "prompt.txt"
"""The folder of a run's input, and the file of its text."""
_KEY = (
    "Therefore: The red key opens the",
    " garden",
)
"""What `interplay examples` asks of its context, and the answer that it scores."""


_TEXTS = ("text", "before", "after", "response", "against")


class Form(TypedDict):
    """What the studio's page sends of its form."""

    text: str
    before: str
    after: str
    by: Unit
    target: Target
    response: str
    against: str
    budget: int | None


@dataclass(frozen=True)
class Draft:
    """A prompt that was typed, and what is asked of it.

    Attributes:
        text: what is ablated.
        prompt: the whole prompt, with ``{text}`` where the text goes.
        by: the unit of the players.
        target: what is scored.
        response: the answer that is scored; ``None``: the model's own.
        against: the other answer, of a difference.
        budget: the most ablations; ``None``: the default.
    """

    text: str
    prompt: str
    by: str
    target: str
    response: str | None
    against: str | None
    budget: int | None

    @classmethod
    def of(cls, form: Json) -> Draft:
        """Check a form.

        Raises:
            ValueError: something has another type or size than it may have.
        """
        check(form, Form, "the form")
        if unknown := sorted(form.keys() - Form.__annotations__.keys()):
            raise ValueError(f"the form has {shown(unknown[0])}, which nothing reads")
        if not form["text"].strip():
            raise ValueError("there is no text yet: paste one, or pick an example")
        for name in _TEXTS:
            if len(form[name]) > MOST_CHARACTERS:
                raise ValueError(
                    f"{name} has {len(form[name]):,} characters, above {MOST_CHARACTERS:,}; "
                    "use `interplay text --file` for it"
                )
        texts = {name: _lines(form[name]) for name in _TEXTS}
        for name in ("before", "after"):
            if PLACEHOLDER in form[name]:
                raise ValueError(f"{PLACEHOLDER} stands for the text itself; leave it out")
        budget = form["budget"]
        if budget is not None and not 10 <= budget <= MOST_ABLATIONS:
            raise ValueError(f"{shown(budget)} ablations are not between 10 and {MOST_ABLATIONS:,}")
        difference = form["target"] == "logit-difference"
        if difference and not (form["response"] and form["against"]):
            raise ValueError("a difference needs two answers")
        if difference and form["response"] == form["against"]:
            raise ValueError("the two answers are the same, so that they never differ")
        return cls(
            text=texts["text"].strip(),
            prompt=f"{texts['before']}{PLACEHOLDER}{texts['after']}",
            by=form["by"],
            target=form["target"],
            response=texts["response"] or None,
            against=texts["against"] if difference else None,
            budget=budget,
        )

    @property
    def name(self) -> str:
        """A few of its words, for the name of a folder: letters, digits and hyphens only."""
        words = re.findall(r"[a-z0-9]+", self.text.lower())[:4]
        return "-".join(word[:12] for word in words) or "text"

    def options(self, model: TextOptions, folder: Path) -> TextOptions:
        """The options of ``interplay text`` for it; the text is written into a file.

        Args:
            model: options that say which model it is.
            folder: where the file is written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _PROMPT
        file.write_text(self.text, encoding="utf-8", newline="\n")
        named = {name: getattr(model, name) for name in OF_MODEL}
        return TextOptions(
            **named,
            file=file,
            by=self.by,
            prompt=self.prompt,
            target=self.target,
            response=self.response,
            against=self.against,
        )

    def is_in(self, folder: Path) -> bool:
        """Whether a folder has its text."""
        try:
            return (folder / _PROMPT).read_bytes() == self.text.encode()
        except OSError:
            return False

    def pieces(self, tokenizer: Any) -> list[tuple[str, int | None]]:
        """The prompt in order, each piece with its player, or ``None`` where it is fixed.

        Raises:
            ValueError: it cannot be cut by that unit, or has too many players.
        """
        by: Any = self.by
        masked = mask_prompt(self.text, self.prompt, by=by, tokenizer=tokenizer)
        if len(masked.spans) > MOST_PLAYERS:
            raise ValueError(
                f"by {self.by} the text has {len(masked.spans):,} players, above {MOST_PLAYERS}; "
                "choose larger parts, or use `interplay text --file` for it"
            )
        return [
            (visible(masked.text[start:stop]), player)
            for start, stop, player in cut_at(masked.text, masked.spans)
            if start < stop
        ]


def _lines(text: str) -> str:
    """A text with the line breaks that a file is read with."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


OF_MODEL = ("model", "dtype", "device", "threads", "allow_pickle")
"""The options of a model, which the command line alone decides."""


def of_studio(options: dict[str, Any]) -> bool:
    """Whether a recipe's options are such as the studio writes, so that they can be made here.

    Others, such as a pattern that cuts the text, are for ``interplay open``.
    """
    free = {*OF_MODEL, "file", "by", "prompt", "target", "response", "against", "language"}
    defaults = {field.name: field.default for field in fields(TextOptions)}
    same = all(
        name in free or name == "template_time" or value == defaults.get(name)
        for name, value in options.items()
    )
    return same and options.get("by") in UNITS and options.get("target") in TARGETS


def examples() -> list[Json]:
    """The examples that can be picked: those of ``interplay examples`` and of the demo."""
    listed = [
        {
            "name": "Which key opens the garden door",
            "text": content("context.txt").strip(),
            "before": "",
            "after": f"\n\n{_KEY[0]}",
            "by": "sentence",
            "target": "prob",
            "response": _KEY[1],
            "against": "",
            "budget": 200,
        }
    ]
    for case in CASES:
        before, _, after = case.prompt.partition(PLACEHOLDER)
        target: Any = case.target
        difference = isinstance(target, LogitDifference)
        assert difference or isinstance(target, Response)
        listed.append(
            {
                "name": case.title,
                "text": case.text,
                "before": before,
                "after": after,
                "by": case.by,
                "target": "logit-difference" if difference else target.score,
                "response": target.positive if difference else target.text,
                "against": target.negative if difference else "",
                "budget": case.budget,
            }
        )
    return listed
