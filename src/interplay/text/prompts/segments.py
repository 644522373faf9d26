"""Segments: the parts of a text that are players, as spans of characters.

Only the unit ``token`` needs a tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from interplay.errors import MissingDependencyError
from interplay.extensions import nearest
from interplay.text.prompts.fields import Segments, Span, fields
from interplay.text.prompts.languages import detect
from interplay.text.prompts.sentences import sentences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Unit: TypeAlias = str | re.Pattern[str] | Sequence[Span]
"""What the players are: a unit by name, the matches of a pattern, or spans."""

UNITS = ("token", "word", "sentence", "line", "paragraph", "field")
"""The units of any text."""
PART_UNITS = ("document", "message", "turn", "tool")
"""The units of retrieved documents and of chats, which are given with their borders."""
_CONNECTORS = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}/'\N{RIGHT SINGLE QUOTATION MARK}_&@+."
"""Between letters, these join two words into one: well-made, and/or."""
_LANGUAGE = re.compile("[a-z]{2,3}")
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Letters of scripts that write no white space between words."""
_CHUNK = r"(?:«[ \u00a0\u202f])?\S+(?:[ \u00a0\u202f][?!:;»]+(?!\S))*"
"""What stands between white space; French sets a space before these marks."""


def split(
    text: str,
    by: Unit,
    language: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> tuple[Span, ...]:
    """Split a text into the spans of its players.

    Args:
        text: the text.
        by: ``"token"``: the tokenizer's tokens, those that share a character joined;
            ``"word"``: a word by Unicode's rules (UAX 29) with the punctuation that touches it, in
            Chinese, Japanese, Thai, Lao, Khmer and Burmese by ICU's dictionaries;
            ``"sentence"``; ``"line"``; ``"paragraph"``: lines without a blank one between them;
            ``"field"``: an innermost field of a JSON text; a compiled pattern: each match; or
            spans: ascending, not overlapping, not empty. Text outside of all spans is fixed.
        language: for sentences, its code, such as ``"de"``; by default it is guessed from the text
            (:func:`interplay.text.prompts.languages.detect`).
        tokenizer: for tokens, a fast one.

    Returns:
        The spans, without the white space around them.

    Raises:
        ValueError: the text has nothing to ablate, the unit is unknown, the spans are improper, or
            the language is no code.
        MissingDependencyError: a package that the unit needs is not installed.
    """
    if not text.strip():
        raise ValueError(f"the text {text!r} is empty; give a text with words to ablate")
    if isinstance(by, re.Pattern):
        spans = _stripped(text, [match.span() for match in by.finditer(text)])
        if not spans:
            raise ValueError(
                f"the pattern {by.pattern!r} matches nothing in the text {text[:60]!r}; give one "
                "whose matches are the segments"
            )
        return spans
    if not isinstance(by, str):
        return _checked(text, by)
    if by == "token":
        return _tokens(text, tokenizer)
    if by == "word":
        return _words(text)
    if by == "sentence":
        return _stripped(text, sentences(text, checked_language(language) or detect(text)))
    if by == "line":
        return tuple(span for span in _lines(text) if span[0] < span[1])
    if by == "paragraph":
        return _paragraphs(text)
    if by == "field":
        return fields(text).spans
    if by in PART_UNITS:
        needed = "documents" if by == "document" else "a list of chat messages"
        raise ValueError(f"by={by!r} needs {needed} as the text, but it is one string")
    raise ValueError(
        f"by={by!r} is unknown; choose one of {', '.join((*UNITS, *PART_UNITS))}"
        f"{nearest(by, (*UNITS, *PART_UNITS))}, or give spans or a compiled pattern"
    )


def segments(
    text: str,
    by: Unit,
    language: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Segments:
    """Split a text as :func:`split` does, with names: of a field its path, else the characters."""
    if isinstance(by, str) and by == "field" and text.strip():
        return fields(text)
    return named(text, split(text, by, language, tokenizer))


def named(text: str, spans: Sequence[Span]) -> Segments:
    """Segments that are called by their characters."""
    return Segments(tuple(spans), tuple(text[start:stop].strip() for start, stop in spans))


def holds(text: str, by: Unit) -> bool:
    """Whether a unit that not every text has is in this one: a pattern's match, or a field."""
    if isinstance(by, re.Pattern):
        return any(text[slice(*match.span())].strip() for match in by.finditer(text))
    if not isinstance(by, str) or by != "field":
        return True
    try:
        fields(text)
    except ValueError:
        return False
    return True


def checked_language(language: str | None) -> str | None:
    """A language's code, checked.

    Raises:
        ValueError: it is no code.
    """
    if language is not None and not (isinstance(language, str) and _LANGUAGE.fullmatch(language)):
        raise ValueError(
            f"language={language!r} is no code of a language; give one such as 'en' or 'de', or "
            "None to have it guessed"
        )
    return language


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
    """Spans without the white space at their ends, and without those of white space only."""
    stripped = []
    for start, stop in spans:
        segment = text[start:stop]
        if core := segment.strip():
            core_start = start + len(segment) - len(segment.lstrip())
            stripped.append((core_start, core_start + len(core)))
    return tuple(stripped)


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase | None) -> tuple[Span, ...]:
    if tokenizer is None:
        raise ValueError('by="token" needs a local model\'s tokenizer; choose another unit')
    merged: list[Span] = []
    for start, stop in offsets(text, tokenizer):
        if merged and start < merged[-1][1]:  # both are pieces of one character
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        elif start < stop:
            merged.append((start, stop))
    return _stripped(text, merged)


def offsets(text: str, tokenizer: PreTrainedTokenizerBase) -> list[Span]:
    """The span of each of a text's tokens. Special tokens in the text count as plain text.

    Raises:
        ValueError: the tokenizer does not know the spans.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} does not know which characters its tokens are; load a "
            "fast tokenizer, or choose a unit and a masking that need none"
        )
    encoded = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
    )
    return [(int(start), int(stop)) for start, stop in encoded["offset_mapping"]]


def _lines(text: str) -> tuple[Span, ...]:
    """All lines; those of white space only are empty spans."""
    spans = []
    at = 0
    for line in text.splitlines(keepends=True):
        start = at + len(line) - len(line.lstrip())
        spans.append((start, max(start, at + len(line.rstrip()))))
        at += len(line)
    return tuple(spans)


def _paragraphs(text: str) -> tuple[Span, ...]:
    spans: list[Span] = []
    after_blank = True
    for start, stop in _lines(text):
        if start < stop:
            if after_blank:
                spans.append((start, stop))
            else:
                spans[-1] = (spans[-1][0], stop)
        after_blank = start == stop
    return tuple(spans)


def _words(text: str) -> tuple[Span, ...]:
    """Unicode words (UAX 29). Punctuation belongs to the word that it touches, the left one first.

    Where a script writes no white space between words, ICU's dictionaries find them.
    """
    try:
        import regex
    except ImportError as error:
        raise MissingDependencyError("regex", "llm", "splitting into words") from error
    spans: list[Span] = []
    for chunk in regex.finditer(_CHUNK, text):
        if regex.search(_UNSPACED, chunk.group()):
            pieces = _by_dictionary(chunk.group())
        else:
            pieces = [p for p in regex.split(r"(?wV1)\b", chunk.group()) if p]
        starts: list[int] = []
        at = chunk.start()
        for piece in pieces:
            # a piece without letters or digits belongs to the word before it
            if regex.search(r"\w", piece) and (not starts or not _glued(text, at, chunk.start())):
                starts.append(at)
            at += len(piece)
        first = [chunk.start(), *starts[1:]]
        spans += zip(first, [*first[1:], chunk.end()], strict=True)
    return tuple(spans)


def _by_dictionary(chunk: str) -> list[str]:
    """The words, and what is between them, of a text in which some are not separated."""
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise MissingDependencyError(
            "icu4py", "llm", "splitting Chinese, Japanese, Thai, Lao, Khmer or Burmese into words"
        ) from error
    return list(WordBreaker(chunk, "root"))


def _glued(text: str, at: int, start: int) -> bool:
    """Whether a hyphen, slash or the like joins a word to the one before it."""
    return at > start and text[at - 1] in _CONNECTORS
