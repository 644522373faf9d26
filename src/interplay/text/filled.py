"""A template with fields, filled by a row: the text, its players' characters, and their roles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interplay._types import shown
from interplay.text.prompts.build import mask_prompt
from interplay.text.prompts.fields import Span
from interplay.text.prompts.passage import Passage
from interplay.text.prompts.prompt import BETWEEN, MaskedPrompt
from interplay.text.prompts.segments import Unit, split

_PLACE = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_BRACES = {"{{": "{", "}}": "}"}
FIELD = "field"
_MOST_NAMED = 200


@dataclass(frozen=True)
class Filled:
    """A filled template.

    Attributes:
        text: its characters.
        spans: those of each player, ascending.
        roles: of each player.
    """

    text: str
    spans: tuple[Span, ...]
    roles: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Item:
    """A part of a field, with the roles that all of it has."""

    text: str
    roles: tuple[str, ...]


def fill(template: str, row: Mapping[str, Any]) -> str:
    """Put a row's fields into a text with ``{field}`` in it; ``{{`` and ``}}`` are braces.

    Raises:
        ValueError: the row lacks a field of the template.
    """
    return "".join(
        part if field is None else BETWEEN.join(item.text for item in _items(field, row))
        for part, field in _parts(template)
    )


def filled(
    template: str,
    row: Mapping[str, Any],
    *,
    by: Unit = FIELD,
    keep: Collection[str] = (),
    language: str | None = None,
    tokenizer: Any = None,
) -> Filled:
    """Fill a template, and find its players.

    Args:
        template: a text with ``{field}`` in it; ``{{`` and ``}}`` are braces.
        row: the fields. One is a text, a number, or a list of texts or of documents,
            ``{"id": ..., "text": ...}``.
        by: the players: ``"field"`` for each field, and for each item of a list; or a unit of
            :func:`interplay.text.split`, into which each of these is cut.
        keep: fields that are always kept.
        language: for sentences.
        tokenizer: for tokens.

    Raises:
        ValueError: the row lacks a field, or nothing is left to ablate.
    """
    text = ""
    spans: list[Span] = []
    roles: list[tuple[str, ...]] = []
    for part, field in _parts(template):
        if field is None:
            text += part
            continue
        for number, item in enumerate(_items(field, row)):
            text += BETWEEN if number else ""
            if field not in keep and item.text.strip():
                cut = _cut(item.text, by, language, tokenizer)
                for place, (start, stop) in enumerate(cut):
                    spans.append((len(text) + start, len(text) + stop))
                    roles.append((*item.roles, *_within(item.roles[-1], place, len(cut))))
            text += item.text
    if not spans:
        raise ValueError("nothing is left to ablate: its fields are empty, or kept")
    return Filled(text, tuple(spans), with_ends(roles))


def with_ends(roles: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Roles of players with those of the first and the last one added."""
    last = len(roles) - 1
    return tuple(
        (*given, *(["the first"] if place == 0 else []), *(["the last"] if place == last else []))
        for place, given in enumerate(roles)
    )


def roles_of_prompt(masked: MaskedPrompt) -> tuple[tuple[str, ...], ...]:
    """The roles of a prompt's players: of a chat the message's role, and which of them it is."""
    roles: list[tuple[str, ...]] = [()] * masked.n_players
    counts: Counter[str] = Counter()
    for turn in masked.turns:
        name = str((turn.message or {}).get("role", ""))
        counts[name] += bool(name)
        for piece in turn.pieces:
            if isinstance(piece, Passage) and name:
                players = range(piece.first, piece.first + len(piece.spans))
                for place, player in enumerate(players):
                    nth = f"{name} message {counts[name]}"
                    roles[player] = (name, nth, *_within(name, place, len(players)))
    return with_ends(roles)


def roles_of_chat(messages: Any, **settings: Any) -> tuple[tuple[str, ...], ...]:
    """The same of the messages of a chat; settings are those of ``mask_prompt``."""
    return roles_of_prompt(mask_prompt(messages, **settings))


def _within(name: str, place: int, count: int) -> tuple[str, ...]:
    """Where in an item a player is, if it is not all of it."""
    if count < 2:
        return ()
    ends = {0: f"{name}, first part", count - 1: f"{name}, last part"}
    return (ends[place],) if place in ends else ()


def _cut(text: str, by: Unit, language: str | None, tokenizer: Any) -> Sequence[Span]:
    if by == FIELD:
        start = len(text) - len(text.lstrip())
        return [(start, len(text.rstrip()))]
    if isinstance(by, re.Pattern) and not by.search(text):
        return []
    return split(text, by, language, tokenizer)


def _parts(template: str) -> Iterator[tuple[str, str | None]]:
    """The fixed parts of a template, and its fields."""
    at = 0
    for match in _PLACE.finditer(template):
        yield template[at : match.start()], None
        yield (_BRACES[match[0]], None) if match[1] is None else ("", match[1])
        at = match.end()
    yield template[at:], None


def fields_of(template: str) -> tuple[str, ...]:
    """The fields of a template, each once."""
    return tuple(dict.fromkeys(field for _, field in _parts(template) if field is not None))


def _items(field: str, row: Mapping[str, Any]) -> list[_Item]:
    """The items of a field, with their roles."""
    if field not in row:
        known = ", ".join(sorted(row))[:_MOST_NAMED] or "no fields"
        raise ValueError(f"the field {field!r} is missing; the row has {known}")
    value = row[field]
    if value is None:
        raise ValueError(f'the field {field!r} has no value; give "" for an empty text')
    if isinstance(value, str | int | float):
        return [_Item(str(value), (field,))]
    if not isinstance(value, list):
        raise ValueError(
            f"the field {field!r} is {shown(value)}; a text, a number, or a list of texts or of "
            'documents {"id": ..., "text": ...} is expected'
        )
    items = []
    for number, entry in enumerate(value, 1):
        names = [field, f"{field} {number}"]
        if isinstance(entry, Mapping):
            if entry.get("id") is not None:
                names.insert(1, f"{field}: {entry['id']}")
            entry = entry.get("text")
        if not isinstance(entry, str):
            raise ValueError(f"item {number} of the field {field!r} is no text and no document")
        items.append(_Item(entry, tuple(names)))
    return items
