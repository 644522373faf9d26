"""Segments: the parts of a text that are players, as spans of characters.

Segmentation knows nothing of tokens or models: a segment's text is what a person sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from interplay.errors import MissingDependencyError

Span: TypeAlias = tuple[int, int]
"""Start (included) and end (excluded), in characters."""

UNITS = ("word", "sentence")
_CONNECTORS = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}/'\N{RIGHT SINGLE QUOTATION MARK}_&@+."
"""Between letters, these make one word of two: well-made, and/or."""


def split(text: str, by: str | Sequence[Span], language: str = "en") -> tuple[Span, ...]:
    """The spans of a text's players.

    Args:
        text: the text.
        by: ``"word"`` (with the punctuation that touches it), ``"sentence"``, or spans: ascending,
            not overlapping, not empty; characters outside of them are never ablated.
        language: for sentences, a two-letter code.

    Returns:
        Spans without the white space around them.

    Raises:
        ValueError: the text has nothing to ablate, the unit is unknown, or the spans are improper.
    """
    if not text.strip():
        raise ValueError(f"the text {text!r} is empty; give a text with words to ablate")
    if isinstance(by, str):
        if by not in UNITS:
            raise ValueError(
                f"by={by!r} is unknown; choose one of {', '.join(UNITS)}, or give spans"
            )
        return _words(text) if by == "word" else _sentences(text, language)
    end = 0
    for start, stop in by:
        if not end <= start < stop <= len(text):
            raise ValueError(
                f"the span ({start}, {stop}) is empty, out of order, overlapping, or outside the "
                f"text of {len(text)} characters; give ascending spans with start < end"
            )
        if not text[start:stop].strip():
            raise ValueError(f"the span ({start}, {stop}) holds only white space; leave it out")
        end = stop
    if len(by) == 0:
        raise ValueError("no spans were given; give at least one")
    return tuple((int(start), int(stop)) for start, stop in by)


def _sentences(text: str, language: str) -> tuple[Span, ...]:
    try:
        from sentencex import segment
    except ImportError as error:
        raise MissingDependencyError("sentencex", "llm", "splitting into sentences") from error
    spans = []
    start = 0
    for piece in segment(language, text):
        if piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            spans.append((left, left + len(piece.strip())))
        start += len(piece)
    return tuple(spans)


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
