"""The fields of a JSON text, as spans of characters. JSON without some of them is still JSON."""

from __future__ import annotations

import json
import re
from typing import NamedTuple, TypeAlias

Span: TypeAlias = tuple[int, int]

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\[\]{}:\"]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLAIN = re.compile(r"[\w$@-]+")
"""A name that stands in a path without quotation marks."""


class Segments(NamedTuple):
    """The segments of a text.

    Attributes:
        spans: their characters, ascending.
        names: what they are called.
        commas: the positions of the commas that only separate segments, ascending.
    """

    spans: tuple[Span, ...]
    names: tuple[str, ...]
    commas: tuple[int, ...] = ()


def fields(text: str) -> Segments:
    """Find the innermost fields of a JSON text.

    A field is a member of an object (its name, colon and value) or an element of an array. Its
    value holds no further fields: it is a string, number, ``true``, ``false``, ``null``, ``{}`` or
    ``[]``. It is called by its path from the outermost value on, and its value as it is written: a
    name follows a dot, the number of an element stands in brackets, and so does a name with other
    characters than letters, digits, ``_``, ``-``, ``$`` and ``@``, in quotation marks.

    Args:
        text: JSON; its outermost value is an object or an array.

    Returns:
        The fields, and the commas between members and elements.

    Raises:
        ValueError: the text is not JSON, or holds no field.

    Example:
        >>> fields('{"debts": [{"amount": 9000}], "a b": null}').names
        ('debts[0].amount: 9000', '["a b"]: null')
    """
    try:
        json.loads(text, parse_int=str)  # Python reads no numbers of thousands of digits
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the text is not JSON ({error}), so it has no fields; choose another unit"
        ) from error
    except RecursionError as error:
        raise ValueError(
            f"the JSON text {text[:60]!r} is nested too deeply to be read; choose another unit"
        ) from error
    at = _after_space(text, 0)
    found = _container(text, at) if text[at] in "{[" else Segments((), ())
    if not found.spans:
        raise ValueError(f"the JSON text {text[:60]!r} holds no fields; choose another unit")
    return found


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _container(text: str, at: int) -> Segments:
    """Go through the valid object or array that begins at ``at``."""
    spans: list[Span] = []
    names: list[str] = []
    commas: list[int] = []
    # an explicit stack, since deep nesting would exceed the recursion limit: of each value that is
    # open its bracket, its path, and the number of its element
    opened: list[tuple[str, str, int]] = [(text[at], "", 0)]
    at = _after_space(text, at + 1)
    while opened:
        bracket, path, number = opened[-1]
        if text[at] in "}]":
            opened.pop()
            at = _after_space(text, at + 1)
            continue
        if text[at] == ",":
            commas.append(at)
            opened[-1] = (bracket, path, number + 1)
            at = _after_space(text, at + 1)
            continue
        start = at
        if bracket == "{":  # the member's name, and its colon
            stop = _end(_STRING, text, at)
            path = _member(path, text[at:stop])
            at = _after_space(text, _after_space(text, stop) + 1)
        else:
            path = f"{path}[{number}]"
        value = at
        if text[at] in "{[":
            inside = _after_space(text, at + 1)
            if text[inside] not in "}]":
                opened.append((text[at], path, 0))
                at = inside
                continue
            at = inside + 1
        else:
            at = _end(_STRING if text[at] == '"' else _SCALAR, text, at)
        spans.append((start, at))
        names.append(f"{path}: {text[value:at]}")
        at = _after_space(text, at)
    return Segments(tuple(spans), tuple(names), tuple(commas))


def _member(path: str, written: str) -> str:
    """The path of an object's member whose name is written so, with its quotation marks."""
    name = json.loads(written)
    if not _PLAIN.fullmatch(name):
        return f"{path}[{written}]"
    return f"{path}.{name}" if path else name


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "the text was read as JSON before"
    return match.end()
