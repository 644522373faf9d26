"""The items of a file of samples, as they are written: JSON lines, or a list in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from interplay._types import Json, shown

_MOST_DIGITS = 300


def written_items(path: Path) -> Iterator[tuple[int, str]]:
    """The items of a file as they are written, each with the number of its line.

    Args:
        path: JSON lines, or a list in JSON, which versions before 0.4.3 write.

    Raises:
        ValueError: it is not UTF-8, or a list that is no JSON.
    """
    with path.open("rb") as file:
        is_list = False
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: not UTF-8: {error}") from error
            is_list = text.startswith("[")
            if is_list:
                break
            if text:
                yield number, text
    if is_list:
        yield from _items_of_list(path)


def _items_of_list(path: Path) -> Iterator[tuple[int, str]]:
    decoder = json.JSONDecoder()
    text = path.read_bytes().decode("utf-8", "replace")
    number, counted, at = 1, 0, text.index("[") + 1
    while True:
        while text[at : at + 1] in (" ", "\t", "\r", "\n", ","):
            at += 1
        number, counted = number + text.count("\n", counted, at), at
        if text[at : at + 1] == "]":
            return
        try:
            _, stop = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: not JSON: {error}") from error
        yield number, text[at:stop]
        at = stop


def document_of(line: str) -> Json:
    """The object that an item is.

    Raises:
        ValueError: it is none, or has not what every sample has.
    """
    try:
        document = json.loads(line, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"an object is expected, not {shown(document)}")
    for name in ("doc_id", "arguments"):
        if name not in document:
            raise ValueError(
                f"it has no {name!r}; a sample of lm-eval has doc_id, arguments, resps and target"
            )
    return document


def _whole(digits: str) -> int | float:
    """A whole number; one that no float holds is infinite."""
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)
