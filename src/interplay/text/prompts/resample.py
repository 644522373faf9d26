"""Resampling: a removed step is written again by the model, instead of left out.

Leave a step out of a chain of reasoning, and nobody would have reasoned so. ``Resample`` asks what
the model would have thought instead: where a step is removed, it writes one, sampled after what is
before it. Values are random, so each mask is evaluated several times, each with its seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from interplay._types import BoolArray, Json, whole
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.prompts.segments import split

LINES = ("line", "paragraph")
"""Units that end where a line does."""
_CODE_VERSION = 2
"""Part of the fingerprint: increased when a change of the code changes what is written."""


@dataclass(frozen=True)
class Resample:
    """Masking in which the model itself writes what is removed, sampled by a seed.

    Attributes:
        rest: whether, from the first removed segment on, all is written again. Otherwise the kept
            segments behind it stay as they are. With ``rest`` the value depends on the first
            removed segment alone, so that there is little to find among others.
        n_repeats: how often each mask is evaluated, with other seeds; the value is the mean.
        temperature: of the sampling; 1 is the model's own distribution.
        max_tokens: the most tokens of one segment.
    """

    rest: bool = False
    n_repeats: int = 2
    temperature: float = 1.0
    max_tokens: int = 40

    def __post_init__(self) -> None:
        for name in ("n_repeats", "max_tokens"):
            if whole(name, getattr(self, name)) < 1:
                raise ValueError(f"{name}={getattr(self, name)} of Resample is below 1")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(
                f"temperature={self.temperature} of Resample is not above 0 and finite; 1 samples "
                "as the model does"
            )

    def replacement(self, segment: str, /) -> None:
        """Nothing, where only the text is shown: what is written differs from seed to seed."""
        return

    def rewritten(self, masks: BoolArray) -> BoolArray:
        """The segments that stay, ``(m, n)``, of masks ``(m, n)``."""
        return np.logical_and.accumulate(masks, axis=1) if self.rest else masks

    def describe(self) -> Json:
        """Its kind and settings. How often a mask is evaluated is no part of what is computed."""
        return {
            "kind": "resample",
            "version": _CODE_VERSION,
            "rest": self.rest,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }


@dataclass(frozen=True)
class Given:
    """A part of the prompt that stays.

    Attributes:
        text: its characters.
        by_people: whether people wrote it, not a chat template.
    """

    text: str
    by_people: bool


@dataclass(frozen=True)
class Gap:
    """A place where the model writes a segment."""


Step: TypeAlias = Given | Gap


def steps(prompt: MaskedPrompt, mask: BoolArray) -> Iterator[Step]:
    """The prompt under a mask ``(n,)``, with gaps where segments are to be written.

    What stands before a gap ends in no spaces, since the model writes its own; line breaks stay.
    """
    spaces: Given | None = None
    for step in _pieces(prompt, mask):
        if isinstance(step, Gap):
            yield step
        else:
            if spaces is not None:
                yield spaces
            kept = step.text.rstrip(" ")
            if kept:
                yield Given(kept, step.by_people)
            if kept != step.text:
                spaces = Given(step.text[len(kept) :], step.by_people)
                continue
        spaces = None
    if spaces is not None:
        yield spaces


def _pieces(prompt: MaskedPrompt, mask: BoolArray) -> Iterator[Step]:
    for turn in prompt.turns:
        for piece in turn.pieces:
            if isinstance(piece, str):
                yield Given(piece, False)
                continue
            items, players, gaps, _ = piece.alternation
            for item, player, gap in zip(items, players, gaps, strict=False):
                yield Given(gap, True)
                yield Given(item, True) if player < 0 or mask[player] else Gap()
            yield Given(gaps[-1], True)


def end_of_segment(text: str, by: str, language: str) -> int | None:
    """Where the first segment of a text that the model writes ends; ``None``: it goes on.

    Args:
        text: what is written so far.
        by: the unit of the segments. What is no line or paragraph ends as sentences do.
        language: of the sentences.
    """
    line = text.find("\n")
    sentence = text[: line if line >= 0 else None]
    if not sentence.strip():
        return 0 if line >= 0 else None  # it would stop here
    if by in LINES:
        return line if line >= 0 else None
    _, *others = split(sentence, "sentence", language)
    if others:
        return len(sentence[: others[0][0]].rstrip())
    return line if line >= 0 else None


def check_resampled(prompt: MaskedPrompt) -> None:
    """Refuse a prompt whose segments cannot be written one after the other.

    Raises:
        ValueError: the segments are whole messages, or smaller than sentences.
    """
    others = {"token", "word", "field", "document", "message", "tool", "turn"}
    if others & set(prompt.by.split(" and ")):
        raise ValueError(
            f"by={prompt.by!r} has segments that a model does not write one by one; with Resample "
            "use 'sentence', 'line', 'paragraph', or spans or a pattern of sentences"
        )
