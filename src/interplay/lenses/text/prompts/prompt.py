"""Prompts as people write them: a text, retrieved documents or a chat, and what stands around it.

A prompt is a sequence of pieces: fixed strings, and passages whose segments are the players. It
knows no tokens and no chat template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from interplay._types import BoolArray, Json
from interplay.lenses.text.prompts.fields import Span, fields
from interplay.lenses.text.prompts.masking import (
    Masking,
    Passage,
    Replace,
    check_masking,
    describe_masking,
)
from interplay.lenses.text.prompts.segments import Unit, split

PLACEHOLDER = "{text}"
_BETWEEN = "\n\n"
"""What stands between documents."""

Message: TypeAlias = Mapping[str, Any]
"""A chat message: ``role``, ``content``; ``fixed``, if it is never to be ablated; what else it has
(``name``, ``tool_calls``) goes to the chat template as it is."""
Document: TypeAlias = Mapping[str, Any]
"""A retrieved document: ``text``; if wished ``id``, its name; ``fixed``, as for a message."""
Text: TypeAlias = str | Sequence[Message] | Sequence[Document]
Piece: TypeAlias = str | Passage
"""A string is the prompt's own, as a template; what people wrote in a chat is a passage."""


@dataclass(frozen=True)
class Turn:
    """A chat message, or the whole of a prompt that is no chat.

    Attributes:
        message: its role and whatever else it has, but its content; ``None`` outside of chats.
        pieces: its content; none at all for a message without content, such as a tool call.
    """

    message: Json | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class MaskedPrompt:
    """What a model reads under each mask, as characters.

    Attributes:
        turns: of a chat; else a single one.
        players: the players' names: the segments' texts, of documents with their ids.
        by: the unit of the players.
        masking: how segments are removed.
    """

    turns: tuple[Turn, ...]
    players: tuple[str, ...]
    by: str
    masking: Masking

    @property
    def is_chat(self) -> bool:
        """Whether it is messages, to which no template has been applied."""
        return self.turns[0].message is not None

    @property
    def n_players(self) -> int:
        """The number of segments."""
        return len(self.players)

    @cached_property
    def text(self) -> str:
        """The whole prompt, nothing removed; of a chat, with the roles before the contents."""
        return "".join(text for text, _ in self._shown())

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The players' characters in :attr:`text`."""
        spans = []
        at = 0
        for text, passage in self._shown():
            if passage is not None:
                spans += [(at + start, at + stop) for start, stop in passage.spans]
            at += len(text)
        return tuple(spans)

    def _shown(self) -> Iterable[tuple[str, Passage | None]]:
        for number, turn in enumerate(self.turns):
            if turn.message is not None:
                yield f"{_BETWEEN if number else ''}{turn.message['role']}: ", None
            for piece in turn.pieces:
                yield (piece, None) if isinstance(piece, str) else (piece.text, piece)

    def parts(self, mask: BoolArray) -> list[tuple[str, bool]]:
        """The prompt under one mask ``(n,)``, in parts: each with whether people wrote it.

        In a prompt without a chat template nothing is told apart: all of it is the prompt's own.
        """
        own = self._replacement
        parts: list[tuple[str, bool]] = []
        for turn in self.turns:
            for piece in turn.pieces:
                if isinstance(piece, str):
                    parts.append((piece, False))
                elif piece.whole is None:
                    parts.append((piece.render(mask, own), True))
                elif mask[piece.first] or own is not None:
                    start, stop = piece.whole
                    content = piece.text[start:stop] if mask[piece.first] else own or ""
                    parts += [
                        (piece.text[:start], False),
                        (content, True),
                        (piece.text[stop:], False),
                    ]
        return parts

    def render(self, mask: BoolArray) -> str:
        """The prompt under one mask ``(n,)``; with all players kept, exactly as it was given."""
        return "".join(text for text, _ in self.parts(mask))

    def messages(self, mask: BoolArray) -> list[Json]:
        """The messages of a chat under one mask ``(n,)``; those that are removed are left out."""
        result = []
        for turn in self.turns:
            gone = False
            content = ""
            for piece in turn.pieces:
                if isinstance(piece, str):
                    content += piece
                    continue
                content += piece.render(mask, self._replacement)
                gone |= piece.whole is not None and not mask[piece.first]
            if not gone or self._replacement is not None:
                said = content if turn.pieces else None
                result.append((turn.message or {}) | {"content": said})
        return result

    @property
    def _replacement(self) -> str | None:
        return self.masking.text if isinstance(self.masking, Replace) else None

    def refined(
        self, chosen: Iterable[int], by: Unit, language: str = "en", tokenizer: Any = None
    ) -> tuple[MaskedPrompt, tuple[tuple[int, ...], ...]]:
        """The same prompt with some players cut into finer ones.

        Args:
            chosen: the players to cut; the others stay as they are.
            by: the finer unit.
            language: for sentences.
            tokenizer: for tokens.

        Returns:
            The prompt, and for each player of this one the numbers of its players there.
        """
        chosen = set(chosen)
        players: list[str] = []
        children: list[tuple[int, ...]] = []
        turns = []
        for turn in self.turns:
            pieces: list[Piece] = []
            for piece in turn.pieces:
                if isinstance(piece, str):
                    pieces.append(piece)
                    continue
                if piece.whole is not None and piece.first in chosen:
                    start, stop = piece.whole
                    before, piece, after = (
                        piece.text[:start],
                        Passage(piece.text[start:stop], ((0, stop - start),), piece.first),
                        piece.text[stop:],
                    )
                else:
                    before = after = ""
                spans: list[Span] = []
                first = len(players)
                for number, (start, stop) in enumerate(piece.spans, piece.first):
                    text = piece.text[start:stop]
                    if number in chosen:
                        finer = split(text, by, language, tokenizer)
                        new = [(start + a, start + b) for a, b in finer]
                        names = [text[a:b].strip() for a, b in finer]
                    else:
                        new, names = [(start, stop)], [self.players[number]]
                    children.append(tuple(range(len(players), len(players) + len(new))))
                    spans += new
                    players += names
                finer_piece = replace(piece, spans=tuple(spans), first=first)
                pieces += [part for part in (before, finer_piece, after) if part]
            turns.append(Turn(turn.message, tuple(pieces)))
        unit = f"{self.by} and {unit_name(by)}"
        return MaskedPrompt(tuple(turns), tuple(players), unit, self.masking), tuple(children)

    def describe(self) -> Json:
        """Everything that decides what is read, as JSON."""
        return {
            "lens": "text",
            "text": self.text,
            "spans": [list(span) for span in self.spans],
            "by": self.by,
            "masking": describe_masking(self.masking),
        } | ({"messages": [turn.message for turn in self.turns]} if self.is_chat else {})


def unit_name(by: Unit) -> str:
    """A unit in words."""
    if isinstance(by, re.Pattern):
        return f"regex:{by.pattern}"
    return by if isinstance(by, str) else "span"


def mask_prompt(
    text: Text,
    prompt: str | Sequence[Message] = PLACEHOLDER,
    *,
    by: Unit = "sentence",
    masking: Masking = "delete",
    fixed: re.Pattern[str] | None = None,
    language: str = "en",
    tokenizer: Any = None,
) -> MaskedPrompt:
    """Cut a text into players, and put it into its prompt.

    Args:
        text: what is ablated: a string; documents; or the messages of a chat.
        prompt: what stands around the text, with ``{text}`` once where it goes: a string, or the
            messages of a chat. Where the text is documents and no message says where they go, they
            go before the last message of a user.
        by: the players, see :func:`interplay.text.split`; ``"document"`` for each document,
            ``"message"`` for each message of a chat.
        masking: how segments are removed, see :mod:`interplay.lenses.text.prompts.masking`.
        fixed: segments that a match of this pattern touches are always kept.
        language: for sentences, a two-letter code.
        tokenizer: for tokens.

    Raises:
        ValueError: nothing to ablate, a unit that does not go with the text, a prompt without
            ``{text}``, messages or documents that are none.
    """
    check_masking(masking)
    cut = _Cutter(by, fixed, language, tokenizer)
    if isinstance(text, str):
        passage = cut.passage(text)
    elif _is_chat(text):
        if prompt != PLACEHOLDER:
            raise ValueError(
                "both the text and the prompt are chat messages; ablate the messages (text) without"
                f" a prompt, or give as text what {PLACEHOLDER} stands for in the messages (prompt)"
            )
        turns = tuple(_ablated(message, cut) for message in map(_checked_message, text))
        return MaskedPrompt(turns, cut.players(), unit_name(by), masking)
    else:
        passage = cut.documents(text)
    if isinstance(prompt, str):
        before, after = _around(prompt)
        pieces = tuple(piece for piece in (before, passage, after) if piece)
        return MaskedPrompt((Turn(None, pieces),), cut.players(), unit_name(by), masking)
    messages = [_checked_message(message) for message in prompt]
    if not isinstance(text, str) and not any(PLACEHOLDER in m["content"] for m in messages):
        messages = _make_room(messages)
    _check_once("".join(message["content"] for message in messages), "the chat")
    turns = tuple(_around_message(message, passage) for message in messages)
    return MaskedPrompt(turns, cut.players(), unit_name(by), masking)


class _Cutter:
    """Cuts one text after another and numbers the players on."""

    def __init__(
        self, by: Unit, fixed: re.Pattern[str] | None, language: str, tokenizer: Any
    ) -> None:
        self.by, self.fixed, self.language, self.tokenizer = by, fixed, language, tokenizer
        self._names: list[str] = []

    def players(self) -> tuple[str, ...]:
        """The names of all players so far.

        Raises:
            ValueError: there are none.
        """
        if not self._names:
            raise ValueError(
                "nothing is left to ablate: no message or document has a segment that is neither "
                "marked fixed nor touched by the pattern of what is fixed"
            )
        return tuple(self._names)

    def spans(self, text: str) -> tuple[Span, ...]:
        """The spans of a text that are not fixed; none where a pattern matches nothing in it."""
        if isinstance(self.by, re.Pattern) and self.by.search(text) is None:
            return ()
        spans = split(text, self.by, self.language, self.tokenizer)
        if self.fixed is None:
            return spans
        held = [match.span() for match in self.fixed.finditer(text)]
        return tuple(
            (start, stop)
            for start, stop in spans
            if not any(start < end and begin < stop for begin, end in held)
        )

    def passage(self, text: str) -> Passage:
        """A text with its segments."""
        if self.by == "message":
            raise ValueError('by="message" needs the messages of a chat as the text')
        if isinstance(self.by, re.Pattern):
            split(text, self.by)  # refuses one that matches nothing
        return self._passage(text, self.spans(text))

    def message(self, text: str) -> Passage:
        """A chat message's content."""
        if self.by == "message":
            free = self.fixed is None or not self.fixed.search(text)
            every = (0, len(text))
            spans = (every,) if free else ()
            return replace(self._passage(text, spans), whole=every if free else None)
        if self.by == "document":
            raise ValueError('by="document" needs documents as the text, but it is a chat')
        if self.by == "field" and not text.lstrip().startswith(("{", "[")):
            return Passage(text, (), len(self._names))  # a chat is not JSON, a tool's output is
        return self._passage(text, self.spans(text))

    def documents(self, documents: Sequence[Document]) -> Passage:
        """Documents, one after another."""
        checked = [_checked_document(document) for document in documents]
        if not checked:
            raise ValueError("no documents were given; give at least one")
        text = ""
        spans: list[Span] = []
        names: list[str] = []
        commas: list[int] = []
        for number, document in enumerate(checked):
            text += _BETWEEN if number else ""
            at, said = len(text), document["text"]
            text += said
            if document.get("fixed"):
                continue
            if self.by == "document":
                if self.fixed is not None and self.fixed.search(said):
                    continue
                left = len(said) - len(said.lstrip())
                spans.append((at + left, at + len(said.rstrip())))
                label = f"[{document['id']}] " if document.get("id") is not None else ""
                names.append(label + said.strip())
            else:
                found = self.spans(said)
                spans += [(at + start, at + stop) for start, stop in found]
                names += [said[start:stop].strip() for start, stop in found]
                commas += [at + comma for comma in self._commas(said)]
        first = len(self._names)
        self._names += names
        return Passage(text, tuple(spans), first, tuple(commas))

    def _passage(self, text: str, spans: Sequence[Span]) -> Passage:
        first = len(self._names)
        self._names += [text[start:stop].strip() for start, stop in spans]
        return Passage(text, tuple(spans), first, self._commas(text))

    def _commas(self, text: str) -> tuple[int, ...]:
        return fields(text)[1] if self.by == "field" else ()


def _is_chat(text: Sequence[Message] | Sequence[Document]) -> bool:
    if isinstance(text, Mapping) or not all(isinstance(each, Mapping) for each in text):
        raise ValueError(
            f"the text is a {type(text).__name__}, but neither a string nor a list of chat messages"
            ' ({"role": ..., "content": ...}) or documents ({"id": ..., "text": ...})'
        )
    return any("role" in each for each in text)


def _checked_message(message: Message) -> Json:
    """A message as JSON, its content a string."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise ValueError(f'{message!r} is no chat message; it needs "role" and "content"')
    content = message.get("content")
    if isinstance(content, list):  # OpenAI's list of parts
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
            raise ValueError(
                f"the {message['role']} message has parts that are no text; only text is ablated, "
                "so leave them out"
            )
        content = "".join(part["text"] for part in content)
    if content is not None and not isinstance(content, str):
        raise ValueError(f"the content {content!r} of a {message['role']} message is no text")
    return {**message, "content": content or ""}


def _checked_document(document: Document) -> Json:
    if not isinstance(document.get("text"), str) or not document["text"].strip():
        raise ValueError(f'{dict(document)!r} is no document; it needs a "text" with words')
    return dict(document)


def _turn(message: Json, pieces: Iterable[Passage]) -> Turn:
    other = {key: value for key, value in message.items() if key not in ("content", "fixed")}
    return Turn(other, tuple(piece for piece in pieces if piece.text))


def _ablated(message: Json, cut: _Cutter) -> Turn:
    """A message whose content is ablated, where it has one and is not marked fixed."""
    content = message["content"]
    if message.get("fixed") or not content.strip():
        return _turn(message, [_kept(content)])
    return _turn(message, [cut.message(content)])


def _around_message(message: Json, passage: Passage) -> Turn:
    """A fixed message, with the passage where it says so."""
    before, slot, after = message["content"].partition(PLACEHOLDER)
    return _turn(message, [_kept(before), *([passage] if slot else []), _kept(after)])


def _kept(text: str) -> Passage:
    return Passage(text, (), 0)


def _around(prompt: str) -> tuple[str, str]:
    _check_once(prompt, f"the prompt {prompt!r}")
    before, after = prompt.split(PLACEHOLDER)
    return before, after


def _check_once(text: str, what: str) -> None:
    if text.count(PLACEHOLDER) != 1:
        raise ValueError(
            f"{what} holds {PLACEHOLDER} {text.count(PLACEHOLDER)} times; "
            "it must stand once, where the text goes"
        )


def _make_room(messages: list[Json]) -> list[Json]:
    """A place for documents before the last message of a user."""
    for number in range(len(messages) - 1, -1, -1):
        if messages[number]["role"] == "user":
            content = f"{PLACEHOLDER}{_BETWEEN}{messages[number]['content']}"
            return [*messages[:number], messages[number] | {"content": content},
                    *messages[number + 1 :]]  # fmt: skip
    raise ValueError(
        f"the chat has no message of a user, and no {PLACEHOLDER} where the documents go; write "
        f"{PLACEHOLDER} into a message"
    )
