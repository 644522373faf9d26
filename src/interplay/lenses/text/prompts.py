"""Prompts: a text whose segments are players, and the fixed words around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from interplay._types import BoolArray, Json
from interplay.lenses.text.masking import MaskedText, mask_text
from interplay.lenses.text.segments import Span, split

PLACEHOLDER = "{text}"


@dataclass(frozen=True)
class MaskedPrompt:
    """What a model reads under each mask, as characters; it knows no tokens.

    Attributes:
        text: the part of the prompt whose segments are the players.
        spans: the players' characters in it.
        template: the words around the text, with ``{text}`` once where it goes.
        by: the unit of the players.
        replacement: what stands in for a removed segment; ``None`` deletes it.
    """

    text: str
    spans: tuple[Span, ...]
    template: str
    by: str
    replacement: str | None

    def render(self, mask: BoolArray) -> str:
        """The prompt under one mask ``(n,)``."""
        before, after = self.template.split(PLACEHOLDER)
        return before + self._masked.render(mask) + after

    @cached_property
    def _masked(self) -> MaskedText:
        return mask_text(self.text, self.spans, self.replacement)

    @property
    def n_players(self) -> int:
        """The number of segments."""
        return len(self.spans)

    @property
    def players(self) -> tuple[str, ...]:
        """The segments' texts."""
        return tuple(self.text[start:stop].strip() for start, stop in self.spans)

    def describe(self) -> Json:
        """Everything that decides what is read, as JSON."""
        return {
            "lens": "text",
            "template": self.template,
            "text": self.text,
            "spans": [list(span) for span in self.spans],
            "by": self.by,
            "replacement": self.replacement,
        }


def mask_prompt(
    text: str,
    template: str,
    by: str | Sequence[Span],
    replacement: str | None,
    language: str,
) -> MaskedPrompt:
    """Cut a text into players (see :func:`interplay.lenses.text.segments.split`)."""
    unit = by if isinstance(by, str) else "span"
    return MaskedPrompt(text, split(text, by, language), template, unit, replacement)


def check_template(prompt: str) -> None:
    """Refuse a prompt in which the text has no place, or several.

    Raises:
        ValueError: ``{text}`` does not stand once.
    """
    if prompt.count(PLACEHOLDER) != 1:
        raise ValueError(
            f"the prompt {prompt!r} holds {PLACEHOLDER} {prompt.count(PLACEHOLDER)} times; "
            "it must stand once, where the text goes"
        )
