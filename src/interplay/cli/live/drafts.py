"""What is typed into the studio: checked, and made into the options of ``interplay text``."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from interplay._types import Json, check, visible
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
MOST_ABLATIONS = 100_000
_KEY = (
    "Therefore: The red key opens the",
    " garden",
)
"""What `interplay examples` asks of its context, and the answer that it scores."""


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
            raise ValueError(f"the form has {unknown[0]!r}, which nothing reads")
        if not form["text"].strip():
            raise ValueError("there is no text yet: paste one, or pick an example")
        for name in ("text", "before", "after", "response", "against"):
            if len(form[name]) > MOST_CHARACTERS:
                raise ValueError(
                    f"{name} has {len(form[name]):,} characters, above {MOST_CHARACTERS:,}; "
                    "use `interplay text --file` for it"
                )
        for name in ("before", "after"):
            if PLACEHOLDER in form[name]:
                raise ValueError(f"{PLACEHOLDER} stands for the text itself; leave it out")
        budget = form["budget"]
        if budget is not None and not 10 <= budget <= MOST_ABLATIONS:
            raise ValueError(f"{budget} ablations are not between 10 and {MOST_ABLATIONS:,}")
        difference = form["target"] == "logit-difference"
        if difference and not (form["response"] and form["against"]):
            raise ValueError("a difference needs two answers")
        return cls(
            text=form["text"].strip(),
            prompt=f"{form['before']}{PLACEHOLDER}{form['after']}",
            by=form["by"],
            target=form["target"],
            response=form["response"] or None,
            against=form["against"] if difference else None,
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
        file = folder / "prompt.txt"
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

    def pieces(self, tokenizer: Any) -> list[tuple[str, int | None]]:
        """The prompt in order, each piece with its player, or ``None`` where it is fixed.

        Raises:
            ValueError: it cannot be cut by that unit.
        """
        by: Any = self.by
        masked = mask_prompt(self.text, self.prompt, by=by, tokenizer=tokenizer)
        return [
            (visible(masked.text[start:stop]), player)
            for start, stop, player in cut_at(masked.text, masked.spans)
            if start < stop
        ]


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
