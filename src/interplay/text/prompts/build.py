"""Cutting: from what people give (a text, documents, a chat) to a prompt with its players."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from interplay._types import Json
from interplay.extensions import MaskingName
from interplay.text.prompts.fields import Span, fields
from interplay.text.prompts.masking import Masking, Passage, get_masking
from interplay.text.prompts.prompt import BETWEEN, MaskedPrompt, Turn, unit_name
from interplay.text.prompts.segments import Unit, split

PLACEHOLDER = "{text}"

Message: TypeAlias = Mapping[str, Any]
"""A chat message: ``role``, ``content``; ``fixed``, if it is never to be ablated; what else it has
(``name``, ``tool_calls``) goes to the chat template as it is."""
Document: TypeAlias = Mapping[str, Any]
"""A retrieved document: ``text``; if wished ``id``, its name; ``fixed``, as for a message."""
Text: TypeAlias = str | Sequence[Message] | Sequence[Document]


def mask_prompt(
    text: Text,
    prompt: str | Sequence[Message] = PLACEHOLDER,
    *,
    by: Unit = "sentence",
    masking: MaskingName | str | Masking = "delete",
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
        masking: how segments are removed, see :mod:`interplay.text.prompts.masking`.
        fixed: segments that a match of this pattern touches are always kept.
        language: for sentences, a two-letter code.
        tokenizer: for tokens.

    Raises:
        ValueError: nothing to ablate, a unit that does not go with the text, a prompt without
            ``{text}``, messages or documents that are none.
    """
    removal = get_masking(masking)
    if fixed is not None and not isinstance(fixed, re.Pattern):
        raise ValueError(f"fixed={fixed!r} is no compiled pattern; give re.compile(...)")
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
        return MaskedPrompt(turns, cut.players(), unit_name(by), removal)
    else:
        passage = cut.documents(text)
    if isinstance(prompt, str):
        before, after = _around(prompt)
        pieces = tuple(piece for piece in (before, passage, after) if piece)
        return MaskedPrompt((Turn(None, pieces),), cut.players(), unit_name(by), removal)
    messages = [_checked_message(message) for message in prompt]
    if not isinstance(text, str) and not any(PLACEHOLDER in m["content"] for m in messages):
        messages = _make_room(messages)
    _check_once("".join(message["content"] for message in messages), "the chat")
    turns = tuple(_around_message(message, passage) for message in messages)
    return MaskedPrompt(turns, cut.players(), unit_name(by), removal)


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
            text += BETWEEN if number else ""
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
    if not isinstance(text, Sequence) or not all(isinstance(each, Mapping) for each in text):
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
            content = f"{PLACEHOLDER}{BETWEEN}{messages[number]['content']}"
            return [*messages[:number], messages[number] | {"content": content},
                    *messages[number + 1 :]]  # fmt: skip
    raise ValueError(
        f"the chat has no message of a user, and no {PLACEHOLDER} where the documents go; write "
        f"{PLACEHOLDER} into a message"
    )
