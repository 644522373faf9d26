"""The fields of a JSON text, as spans of characters. JSON without some of them is still JSON."""

from __future__ import annotations

import json
import re
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\[\]{}:\"]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def fields(text: str) -> tuple[tuple[Span, ...], tuple[int, ...]]:
    """Find the innermost fields of a JSON text.

    A field is a member of an object (its name, colon and value) or an element of an array. Its
    value holds no further fields: it is a string, number, ``true``, ``false``, ``null``, ``{}`` or
    ``[]``.

    Args:
        text: JSON; its outermost value is an object or an array.

    Returns:
        The fields' spans, and the positions of the commas between members and elements.

    Raises:
        ValueError: the text is not JSON, or holds no field.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the text is not JSON ({error}), so it has no fields; choose another unit"
        ) from error
    spans: list[Span] = []
    commas: list[int] = []
    at = _after_space(text, 0)
    if text[at] in "{[":
        _container(text, at, spans, commas)
    if not spans:
        raise ValueError(f"the JSON text {text[:60]!r} holds no fields; choose another unit")
    return tuple(spans), tuple(commas)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _container(text: str, at: int, spans: list[Span], commas: list[int]) -> int:
    """Go through the valid object or array that begins at ``at``; return its end."""
    # an explicit stack, since deep nesting would exceed the recursion limit
    open_brackets = [text[at]]
    at = _after_space(text, at + 1)
    while open_brackets:
        if text[at] in "}]":
            open_brackets.pop()
            at = _after_space(text, at + 1)
            continue
        if text[at] == ",":
            commas.append(at)
            at = _after_space(text, at + 1)
            continue
        start = at
        if open_brackets[-1] == "{":  # the member's name, and its colon
            at = _after_space(text, _end(_STRING, text, at)) + 1
            at = _after_space(text, at)
        if text[at] in "{[":
            inside = _after_space(text, at + 1)
            if text[inside] not in "}]":
                open_brackets.append(text[at])
                at = inside
                continue
            at = inside + 1
        else:
            at = _end(_STRING if text[at] == '"' else _SCALAR, text, at)
        spans.append((start, at))
        at = _after_space(text, at)
    return at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "the text was read as JSON before"
    return match.end()
