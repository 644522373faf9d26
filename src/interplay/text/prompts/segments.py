"""Segments: the parts of a text that are players, as spans of characters.

A segment's text is what a person sees; only the unit ``token`` asks a tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from interplay.errors import MissingDependencyError
from interplay.text.prompts.fields import Span, fields

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Unit: TypeAlias = str | re.Pattern[str] | Sequence[Span]
"""What the players are: a unit by name, the matches of a pattern, or spans."""

UNITS = ("token", "word", "sentence", "line", "paragraph", "field")
"""The units that any text has."""
PART_UNITS = ("document", "message")
"""The units of retrieved documents and of chats, which bring their own borders."""
_CONNECTORS = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}/'\N{RIGHT SINGLE QUOTATION MARK}_&@+."
"""Between letters, these make one word of two: well-made, and/or."""


def split(
    text: str,
    by: Unit,
    language: str = "en",
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> tuple[Span, ...]:
    """The spans of a text's players.

    Args:
        text: the text.
        by: ``"token"``: the tokenizer's tokens, where those that share a character are one;
            ``"word"``: a word by Unicode's rules (UAX 29) with the punctuation that touches it;
            ``"sentence"``; ``"line"``; ``"paragraph"``: lines without a blank one between them;
            ``"field"``: an innermost field of a JSON text; a compiled pattern: each match; or
            spans: ascending, not overlapping, not empty. What is in none of them is fixed.
        language: for sentences, a two-letter code.
        tokenizer: for tokens, a fast one.

    Returns:
        Spans without the white space around them.

    Raises:
        ValueError: the text has nothing to ablate, the unit is unknown, or the spans are improper.
    """
    if not text.strip():
        raise ValueError(f"the text {text!r} is empty; give a text with words to ablate")
    if isinstance(by, re.Pattern):
        found = _stripped(text, [match.span() for match in by.finditer(text)])
        if not found:
            raise ValueError(
                f"the pattern {by.pattern!r} matches nothing in the text {text[:60]!r}; give one "
                "whose matches are the segments"
            )
        return found
    if not isinstance(by, str):
        return _checked(text, by)
    if by == "token":
        return _tokens(text, tokenizer)
    if by == "word":
        return _words(text)
    if by == "sentence":
        return _sentences(text, language)
    if by == "line":
        return tuple(span for span in _lines(text) if span[0] < span[1])
    if by == "paragraph":
        return _paragraphs(text)
    if by == "field":
        return fields(text)[0]
    if by in PART_UNITS:
        what = "documents" if by == "document" else "a list of chat messages"
        raise ValueError(f"by={by!r} needs {what} as the text, but it is one string")
    raise ValueError(
        f"by={by!r} is unknown; choose one of {', '.join((*UNITS, *PART_UNITS))}, or give spans or "
        "a compiled pattern"
    )


def _checked(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    end = 0
    for start, stop in spans:
        if not end <= start < stop <= len(text):
            raise ValueError(
                f"the span ({start}, {stop}) is empty, out of order, overlapping, or outside the "
                f"text of {len(text)} characters; give ascending spans with start < end"
            )
        if not text[start:stop].strip():
            raise ValueError(f"the span ({start}, {stop}) holds only white space; leave it out")
        end = stop
    if len(spans) == 0:
        raise ValueError("no spans were given; give at least one")
    return tuple((int(start), int(stop)) for start, stop in spans)


def _stripped(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans without the white space at their ends; those with nothing else are left out."""
    result = []
    for start, stop in spans:
        piece = text[start:stop]
        if core := piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            result.append((left, left + len(core)))
    return tuple(result)


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase | None) -> tuple[Span, ...]:
    if tokenizer is None:
        raise ValueError('by="token" needs a local model\'s tokenizer; choose another unit')
    merged: list[Span] = []
    for start, stop in offsets(text, tokenizer):
        if merged and start < merged[-1][1]:  # pieces of one character
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        elif start < stop:
            merged.append((start, stop))
    return _stripped(text, merged)


def offsets(text: str, tokenizer: PreTrainedTokenizerBase) -> list[Span]:
    """The characters of each of a text's tokens; special tokens in it count as plain text.

    Raises:
        ValueError: the tokenizer cannot tell.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} does not tell which characters its tokens are; load a "
            "fast tokenizer, or choose a unit and a masking that need none"
        )
    encoded = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
    )
    return [(int(start), int(stop)) for start, stop in encoded["offset_mapping"]]


def _lines(text: str) -> tuple[Span, ...]:
    """All lines, those of white space as empty spans."""
    spans = []
    at = 0
    for line in text.splitlines(keepends=True):
        left = at + len(line) - len(line.lstrip())
        spans.append((left, max(left, at + len(line.rstrip()))))
        at += len(line)
    return tuple(spans)


def _paragraphs(text: str) -> tuple[Span, ...]:
    spans: list[Span] = []
    apart = True
    for start, stop in _lines(text):
        if start < stop:
            if apart:
                spans.append((start, stop))
            else:
                spans[-1] = (spans[-1][0], stop)
        apart = start == stop
    return tuple(spans)


def _sentences(text: str, language: str) -> tuple[Span, ...]:
    try:
        from sentencex import segment
    except ImportError as error:
        raise MissingDependencyError("sentencex", "llm", "splitting into sentences") from error
    spans = []
    start = 0
    for piece in segment(language, text):
        spans.append((start, start + len(piece)))
        start += len(piece)
    return _stripped(text, spans)


def _words(text: str) -> tuple[Span, ...]:
    """Unicode words (UAX 29); punctuation goes with the word that it touches, the left one first.

    Where no white space stands between words, as in Chinese, each word is still its own segment.
    """
    try:
        import regex
    except ImportError as error:
        raise MissingDependencyError("regex", "llm", "splitting into words") from error
    spans: list[Span] = []
    for chunk in regex.finditer(r"\S+", text):
        pieces = [p for p in regex.split(r"(?wV1)\b", chunk.group()) if p]
        starts: list[int] = []
        at = chunk.start()
        for piece in pieces:
            # a piece without letters or digits stays with the word before it
            if regex.search(r"\w", piece) and (not starts or not _glued(text, at, chunk.start())):
                starts.append(at)
            at += len(piece)
        first = [chunk.start(), *starts[1:]]
        spans += zip(first, [*first[1:], chunk.end()], strict=True)
    return tuple(spans)


def _glued(text: str, at: int, start: int) -> bool:
    """Whether a word is tied to the one before it by a hyphen, slash or the like."""
    return at > start and text[at - 1] in _CONNECTORS
