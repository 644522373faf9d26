"""Rows of fields as prompts of a set: JSON lines, a table in CSV, or samples of lm-eval."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from interplay._types import Json, parse, shown
from interplay.game import Game
from interplay.text.digests import unchanged_models
from interplay.text.filled import FIELD, fill, filled, roles_of_chat
from interplay.text.prompts.segments import Unit
from interplay.text.sample_files import read_samples
from interplay.text.sample_items import written_items
from interplay.text.samples import Sample

_LONGEST, _START = 60, 1024
_MOST_COLUMN = 80


@dataclass(frozen=True)
class Row:
    """A row of fields.

    Attributes:
        line: its line in the file, from 1.
        fields: by name; a text instead says what is wrong with the row.
    """

    line: int
    fields: Json | str


@dataclass(frozen=True)
class RowPrompt:
    """A row in its template, as a prompt of a set (see ``interplay.audit_prompts``).

    Attributes:
        line: its line in the file.
        title: the row's title, or its line.
        columns: the row's short fields.
        make: makes the game, and the roles of its players.
    """

    line: int | None
    title: str
    columns: Mapping[str, str]
    make: Callable[[], tuple[Game, tuple[tuple[str, ...], ...]]] = field(repr=False)

    @cached_property
    def _made(self) -> tuple[Game, tuple[tuple[str, ...], ...]]:
        return self.make()

    def game(self) -> Game:
        """Its game.

        Raises:
            ValueError: a field is missing, or the game refuses the prompt.
        """
        return self._made[0]

    def roles(self, game: Game) -> tuple[tuple[str, ...], ...]:
        """The roles of its players."""
        return self._made[1]


@dataclass(frozen=True)
class RowPrompts:
    """The prompts of a set, made one by one as they are taken.

    Attributes:
        made: them.
        asked: how they are made, for reports: ``template`` and ``parts``; empty where each row is a
            prompt.
    """

    made: Iterator[RowPrompt]
    asked: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[RowPrompt]:
        return self.made

    def held(self) -> AbstractContextManager[None]:
        """Hash the model of all prompts once while this lasts, not for each of them."""
        return unchanged_models()


def read_rows(path: str | Path) -> Iterator[Row]:
    """Read rows of fields one by one.

    CSV with a header if the name ends in .csv, else JSON lines, or a list in JSON.

    A line that is no object is a row that says so.

    Raises:
        ValueError: the table has no header.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not reader.fieldnames:
                raise ValueError(f"{path} is empty; its first line must name the columns")
            for fields in reader:
                short = any(value is None for value in fields.values())
                wrong = None in fields or short
                yield Row(
                    reader.line_num,
                    f"it has not the {len(reader.fieldnames)} columns of the first line"
                    if wrong
                    else dict(fields),
                )
        return
    for line, text in _written(path):
        try:
            given = parse(text)
        except ValueError as error:
            yield Row(line, str(error))
            continue
        is_row = isinstance(given, dict)
        yield Row(line, given if is_row else f"{shown(given)} is no object of fields")


def _written(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, or the items of a list, each with its line's number."""
    with path.open("rb") as file:
        is_list = file.read(_START).lstrip().startswith(b"[")
    if is_list:
        for line, text in written_items(path):
            yield line, text.encode()
        return
    with path.open("rb") as file:
        for line, content in enumerate(file, 1):
            if content.strip():
                yield line, content.strip()


def from_rows(
    rows: Iterable[Row | Mapping[str, Any]],
    game: Callable[..., Game],
    *,
    template: str | None = None,
    target: Any = None,
    by: Unit = FIELD,
    keep: Collection[str] = (),
    patterns: Mapping[str, re.Pattern[str]] | None = None,
    title: str | None = None,
    language: str | None = None,
    tokenizer: Any = None,
) -> RowPrompts:
    """Rows as the prompts of a set, made one by one.

    A role of a player is its field; of a list its place in it (``documents 2``) and the document's
    id (``documents: faq``); where in it the player is, if it is a part; that it is the first or the
    last player; and each pattern that its text matches. Of a chat it is the message's role, and
    which of these messages it is.

    Example:
        >>> import interplay as ip
        >>> from interplay.text import from_rows
        >>> def scored(text, target, by):
        ...     parts = [text[start:stop] for start, stop in by]
        ...     return ip.FunctionGame(lambda masks: masks @ [len(part) for part in parts],
        ...                            n_players=len(parts), players=parts)
        >>> rows = [{"fact": "It rains.", "question": "Why?"}]
        >>> prompt, = from_rows(rows, scored, template="{fact} {question}")
        >>> prompt.game().players
        ('It rains.', 'Why?')
        >>> prompt.roles(prompt.game())
        (('fact', 'the first'), ('question', 'the last'))

    Args:
        rows: :func:`read_rows`, or mappings of fields to texts, numbers, or lists of texts or
            documents.
        game: makes the game of ``(text, target, by=...)``, such as ``functools.partial(TextGame,
            model, tokenizer, masking=...)``.
        template: the prompt with ``{field}`` in it; ``{{`` and ``}}`` are braces. Without it a
            row's ``messages`` are a chat.
        target: what is scored; or a function of the row that gives it, such as
            ``lambda row: Response(" " + row["answer"])``.
        by: the players: ``"field"``, each field and each item of a list; or a unit of
            :func:`interplay.text.split` into which these are cut; of a chat as for ``TextGame``.
        keep: fields that are never removed.
        patterns: names of roles, and compiled patterns.
        title: the field that names a row; by default its line does.
        language: for sentences.
        tokenizer: for tokens.
    """

    def made() -> Iterator[RowPrompt]:
        for number, given in enumerate(rows, 1):
            row = given if isinstance(given, Row) else Row(number, dict(given))
            fields = row.fields

            def make(fields: Json | str = fields) -> tuple[Game, tuple[tuple[str, ...], ...]]:
                if isinstance(fields, str):
                    raise ValueError(fields)
                scored = target(fields) if callable(target) else target
                if template is None:
                    return _of_chat(fields, game, scored, by, language, tokenizer, patterns or {})
                put = filled(
                    template, fields, by=by, keep=keep, language=language, tokenizer=tokenizer
                )
                texts = [put.text[start:stop] for start, stop in put.spans]
                made = game(put.text, scored, by=put.spans)
                return made, _with_patterns(put.roles, texts, patterns or {})

            name = f"line {row.line}"
            if title is not None and isinstance(fields, dict) and fields.get(title) is not None:
                name = _short(str(fields[title]), _LONGEST)
            yield RowPrompt(row.line, name, _columns(fields), make)

    if template is None:
        return RowPrompts(made())
    parts = "fields of the template" if by == FIELD else f"by {by}" if isinstance(by, str) else ""
    return RowPrompts(made(), {"parts": parts or "given", "template": template})


def from_samples(
    samples: str | Path | Iterable[Sample],
    game: Callable[..., Game],
    *,
    target: Any = None,
    by: Unit = "sentence",
    patterns: Mapping[str, re.Pattern[str]] | None = None,
    language: str | None = None,
    tokenizer: Any = None,
) -> RowPrompts:
    """Items of a benchmark, as ``lm-eval --log_samples`` wrote them, as the prompts of a set.

    Their column ``answered`` is ``right``, ``wrong`` or ``unknown``.

    Args:
        samples: the file, or the items.
        game: makes the game of ``(text, target, by=..., prompt=...)``, such as
            ``functools.partial(TextGame, model, tokenizer)``.
        target: what is scored; by default that of each item.
        by: as for ``TextGame``.
        patterns: as for :func:`from_rows`.
        language: for sentences.
        tokenizer: for tokens.

    Raises:
        ValueError: the file is none of samples.
    """
    items = read_samples(samples) if isinstance(samples, str | Path) else samples

    def made() -> Iterator[RowPrompt]:
        for sample in items:

            def make(sample: Sample = sample) -> tuple[Game, tuple[tuple[str, ...], ...]]:
                scored = sample.target if target is None else target
                unit = sample.unit(by, language, tokenizer)
                made = game(sample.text, scored, by=unit, prompt=sample.prompt)
                roles = roles_of_chat(
                    sample.text,
                    prompt=sample.prompt,
                    by=unit,
                    language=language,
                    tokenizer=tokenizer,
                )
                return made, _with_patterns(roles, _names(made), patterns or {})

            answered = {True: "right", False: "wrong", None: "unknown"}[sample.is_right]
            columns = {"answered": answered, "kind": sample.kind}
            yield RowPrompt(sample.lines[0], f"item {sample.doc_id}", columns, make)

    return RowPrompts(made())


def filled_target(written: Any, row: Json) -> Any:
    """Texts of a target, with ``{field}`` in them, filled by a row."""
    if isinstance(written, str):
        return fill(written, row)
    return [fill(text, row) for text in written] if isinstance(written, list) else written


def _of_chat(
    fields: Json,
    game: Callable[..., Game],
    target: Any,
    by: Unit,
    language: str | None,
    tokenizer: Any,
    patterns: Mapping[str, re.Pattern[str]],
) -> tuple[Game, tuple[tuple[str, ...], ...]]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError(
            f"without a template a row needs messages, a chat; it has {shown(sorted(fields))}"
        )
    unit = "message" if by == FIELD else by
    made = game(messages, target, by=unit)
    roles = roles_of_chat(messages, by=unit, language=language, tokenizer=tokenizer)
    return made, _with_patterns(roles, _names(made), patterns)


def _names(game: Game) -> list[str]:
    return list(getattr(game, "players", ()))


def _with_patterns(
    roles: tuple[tuple[str, ...], ...],
    texts: Iterable[str],
    patterns: Mapping[str, re.Pattern[str]],
) -> tuple[tuple[str, ...], ...]:
    """Roles with the names of the patterns that each player's text matches."""
    if not patterns:
        return roles
    return tuple(
        (*given, *(name for name, pattern in patterns.items() if pattern.search(text)))
        for given, text in zip(roles, texts, strict=True)
    )


def _columns(fields: Json | str) -> dict[str, str]:
    """The short fields of a row: texts, numbers, true and false."""
    if isinstance(fields, str):
        return {}
    return {
        name: json.dumps(value) if isinstance(value, bool) else str(value)
        for name, value in fields.items()
        if isinstance(value, str | int | float) and len(str(value)) <= _MOST_COLUMN
    }


def _short(text: str, longest: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"
