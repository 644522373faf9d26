"""Examples and questions from files: JSON lines, or CSV with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interplay._types import parse, shown
from interplay.training.finetuning.examples import (
    Example,
    Question,
    checked_examples,
    checked_questions,
)

_EXAMPLE = '{"prompt": ..., "response": ...}, or {"text": ...} for a plain text'
_QUESTION = '{"prompt": ..., "answer": ...}, with "against" and "name" if wanted'


def read_examples(path: str | Path, group: str | None = None) -> tuple[Example, ...]:
    """Read a fine-tuning set.

    Args:
        path: JSON lines, each ``{"prompt": ..., "response": ...}``, or ``{"text": ...}`` for a
            plain text; ``"player"`` and ``"tag"`` are read too, and other keys are ignored. Or a
            CSV file (``.csv``) with these columns.
        group: the key or column that says which player a row belongs to, in the place of
            ``"player"``; a row without it is a player by itself.

    Raises:
        ValueError: a line is no such example, or has no response; the message has its line. Or
            there are none, or none of them has the group.
        OSError: the file cannot be read.
    """
    examples = []
    field = group or "player"
    seen = False
    for where, row in _rows(Path(path), _EXAMPLE):
        prompt, response = row.get("prompt"), row.get("response")
        if response is None and prompt is None and row.get("text") is not None:
            prompt, response = "", row["text"]
        texts = _texts(where, _EXAMPLE, prompt="" if prompt is None else prompt, response=response)
        if not texts["response"].strip():
            raise ValueError(
                f"{where} has no response, so nothing to learn; give one, or leave the line out"
            )
        player, tag = _label(where, row, field), _label(where, row, "tag")
        seen |= player is not None
        examples.append(Example(**texts, player=player, tag=tag))
    if not examples:
        raise ValueError(f"{path} holds no examples; give one a line, {_EXAMPLE}")
    if group is not None and not seen:
        raise ValueError(f"{path} has no example with {group!r}; name a key that its lines have")
    return checked_examples(examples)


def read_questions(path: str | Path) -> tuple[Question, ...]:
    """Read questions.

    Args:
        path: JSON lines, each ``{"prompt": ..., "answer": ...}``, with ``"against"`` and ``"name"``
            if wanted. Or a CSV file (``.csv``) with these columns.

    Raises:
        ValueError: a line is no such question; the message has its line. Or there are none.
        OSError: the file cannot be read.
    """
    questions = []
    for where, row in _rows(Path(path), _QUESTION):
        texts = _texts(where, _QUESTION, prompt=row.get("prompt"), answer=row.get("answer"))
        for what, text in texts.items():
            if not text.strip():
                raise ValueError(f"{where} has an empty {what}; give it a text")
        against = row.get("against")
        more = {} if against is None else _texts(where, _QUESTION, against=against)
        questions.append(Question(**texts, **more, name=_label(where, row, "name")))
    if not questions:
        raise ValueError(f"{path} holds no questions; give one a line, {_QUESTION}")
    return checked_questions(questions)


def _rows(path: Path, wanted: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row of a file, and where it is. An empty cell of a table is one that is not there."""
    if path.suffix.lower() == ".csv":
        yield from _cells(path)
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = parse(line.removeprefix(b"\xef\xbb\xbf"))
            except ValueError as error:
                raise ValueError(f"{where} cannot be read: {error}; give {wanted}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where} is {shown(row)}; give {wanted}")
            yield where, row


def _cells(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")  # spreadsheets write the mark
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {number}: not UTF-8: {error.reason}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            cells = {name: cell for name, cell in row.items() if name and cell}
            yield f"{path}, line {reader.line_num}", cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: no CSV: {error}") from error


def _texts(where: str, wanted: str, **values: Any) -> dict[str, str]:
    for name, value in values.items():
        if value is None:
            raise ValueError(f"{where} has no {name!r}; give {wanted}")
        if not isinstance(value, str):
            raise ValueError(f"{where}: {name!r} is {shown(value)}; a text is expected")
    return values


def _label(where: str, row: Mapping[str, Any], name: str) -> str | None:
    """A name of a group, tag or question: a text or a number, or ``None``."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{where}: {name!r} is {shown(value)}; a text or a number is expected")
    return str(value)
