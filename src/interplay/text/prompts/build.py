"""Prompts with players, built from a text, documents or a chat."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

from interplay._types import Json, has_surrogate, shown
from interplay.extensions import MaskingName
from interplay.text.prompts.fields import Segments, Span
from interplay.text.prompts.languages import detect
from interplay.text.prompts.masking import Delete, Masking, TokenMasking, get_masking
from interplay.text.prompts.passage import Passage
from interplay.text.prompts.prompt import BETWEEN, MaskedPrompt, Turn, unit_name
from interplay.text.prompts.resample import Resample
from interplay.text.prompts.segments import Unit, checked_language, named, segments, split
from interplay.text.prompts.swap import Swap
from interplay.text.prompts.swapping import with_swaps

PLACEHOLDER = "{text}"

Message: TypeAlias = Mapping[str, Any]
"""A chat message: ``role``, ``content``, and ``fixed`` if it must never be ablated. Other entries
(``name``, ``tool_calls``) go to the chat template as they are."""
Document: TypeAlias = Mapping[str, Any]
"""A retrieved document: ``text``; ``id``, its name, and ``fixed``, as for a message, if wished."""
Text: TypeAlias = str | Sequence[Message] | Sequence[Document]


def mask_prompt(
    text: Text,
    prompt: str | Sequence[Message] = PLACEHOLDER,
    *,
    by: Unit = "sentence",
    masking: MaskingName | str | Masking = "delete",
    fixed: re.Pattern[str] | None = None,
    language: str | None = None,
    tokenizer: Any = None,
    with_tools: bool = False,
) -> MaskedPrompt:
    """Split a text into players, and put it into its prompt.

    Args:
        text: what is ablated: a string; documents; or the messages of a chat.
        prompt: what stands around the text, with ``{text}`` once where it goes: a string, or the
            messages of a chat. Documents go before the last message of a user if no message has
            ``{text}``.
        by: the players, see :func:`interplay.text.split`; ``"document"`` for each document,
            ``"message"`` for each message of a chat, ``"turn"`` for each message of a user with
            what follows it up to the next one, ``"tool"`` for each result of a tool in it.
        masking: how segments are removed, see :mod:`interplay.text.prompts.masking`.
        fixed: a pattern; segments that overlap one of its matches are always kept.
        language: for sentences, its code, such as ``"de"``; by default it is guessed from all of
            the text.
        tokenizer: for tokens.
        with_tools: whether the tools of a chat will be players, so that it may have no others.

    Raises:
        ValueError: nothing to ablate, a unit that does not fit the text, a prompt without
            ``{text}``, or malformed messages or documents.
    """
    removal = get_masking(masking)
    if isinstance(removal, Swap) and isinstance(removal.removal, Resample):
        raise ValueError(
            "Swap(otherwise=Resample()) would swap a text while it is written; make a game for each"
        )
    if fixed is not None and not isinstance(fixed, re.Pattern):
        raise ValueError(f"fixed={fixed!r} is no compiled pattern; give re.compile(...)")
    for written in (_all_of(text), _all_of(prompt)):
        if has_surrogate(written):
            raise ValueError(
                f"the prompt has a lone surrogate (half a character) in {shown(written)}; text "
                "that UTF-8 can hold is expected"
            )
    language = checked_language(language) or detect(_all_of(text))
    segmenter = _Segmenter(by, fixed, language, tokenizer)
    if isinstance(text, str):
        passage = segmenter.passage(text)
    elif _is_chat(text):
        if prompt != PLACEHOLDER:
            raise ValueError(
                "both the text and the prompt are chat messages; ablate the messages (text) without"
                f" a prompt, or give as text what {PLACEHOLDER} stands for in the messages (prompt)"
            )
        messages = [_checked_message(message) for message in text]
        if by == "turn":
            return segmenter.prompt(segmenter.turns(messages, removal), removal, with_tools)
        turns = tuple(_ablated(message, segmenter) for message in messages)
        return segmenter.prompt(turns, removal, with_tools)
    else:
        passage = segmenter.documents(text)
    if isinstance(prompt, str):
        before, after = _around(prompt)
        pieces = tuple(piece for piece in (before, passage, after) if piece)
        return segmenter.prompt((Turn(None, pieces),), removal)
    messages = [_checked_message(message) for message in prompt]
    if not isinstance(text, str) and not any(PLACEHOLDER in m["content"] for m in messages):
        messages = _with_placeholder(messages)
    _check_once("".join(message["content"] for message in messages), "the chat")
    return segmenter.prompt(
        tuple(_around_message(message, passage) for message in messages), removal, with_tools
    )


def _all_of(text: Text) -> str:
    """The words of a text, of which its language is guessed; what is malformed is told later."""
    if isinstance(text, str):
        return text
    parts = [part for part in text if isinstance(part, Mapping)] if text else []
    contents = [part.get("content", part.get("text")) for part in parts]
    return BETWEEN.join(content for content in contents if isinstance(content, str))


class _Segmenter:
    """Splits one text after another into segments, and numbers the players on."""

    def __init__(
        self, by: Unit, fixed: re.Pattern[str] | None, language: str, tokenizer: Any
    ) -> None:
        self.by, self.fixed, self.language, self.tokenizer = by, fixed, language, tokenizer
        self._names: list[str] = []

    def prompt(
        self, turns: tuple[Turn, ...], masking: Masking, with_tools: bool = False
    ) -> MaskedPrompt:
        """Return the prompt of all texts so far.

        Raises:
            ValueError: it has no players, or what is to be swapped is not in it.
        """
        names = tuple(self._names)
        masked = MaskedPrompt(turns, names, unit_name(self.by), masking, self.language)
        if isinstance(masking, Swap):
            return with_swaps(masked, masking)
        if not names and not with_tools:
            raise ValueError(
                "nothing is left to ablate: no message or document has a segment that is neither "
                "marked fixed nor touched by the pattern of what is fixed"
            )
        return masked

    def segments(self, text: str) -> Segments:
        """The segments of a text that are not fixed; none of a pattern without a match."""
        if isinstance(self.by, re.Pattern) and self.by.search(text) is None:
            return Segments((), ())
        found = segments(text, self.by, self.language, self.tokenizer)
        if self.fixed is None:
            return found
        fixed = [match.span() for match in self.fixed.finditer(text)]
        free = [
            (span, name)
            for span, name in zip(found.spans, found.names, strict=True)
            if not any(span[0] < end and begin < span[1] for begin, end in fixed)
        ]
        spans, names = tuple(span for span, _ in free), tuple(name for _, name in free)
        return Segments(spans, names, found.commas)

    def passage(self, text: str) -> Passage:
        """A text with its segments."""
        if self.by in ("message", "turn", "tool"):
            raise ValueError(f'by="{self.by}" needs the messages of a chat as the text')
        if isinstance(self.by, re.Pattern):
            split(text, self.by)  # refuses a pattern that matches nothing
        return self._passage(text, self.segments(text))

    def message(self, text: str) -> Passage:
        """A chat message's content with its segments."""
        if self.by in ("message", "tool"):
            if self.fixed is not None and self.fixed.search(text):
                return self._passage(text, Segments((), ()))
            content = (0, len(text))
            return replace(self._passage(text, named(text, [content])), content=content)
        if self.by == "document":
            raise ValueError('by="document" needs documents as the text, but it is a chat')
        if self.by == "field" and not text.lstrip().startswith(("{", "[")):
            return Passage(text, (), len(self._names))  # a chat is not JSON, a tool's output is
        return self._passage(text, self.segments(text))

    def turns(self, messages: Sequence[Json], masking: Masking) -> tuple[Turn, ...]:
        """The turns of a chat as players: each message of a user, and what follows it.

        What comes before the first of them stays, and so does the last turn, which is answered, and
        one with a message that is marked fixed.
        """
        if not isinstance(masking, Delete | TokenMasking):
            raise ValueError(
                "a turn of a chat is removed as a whole, so by='turn' takes masking='delete' or "
                "'attention'; choose by='message' for another"
            )
        begins = [n for n, message in enumerate(messages) if message["role"] == "user"]
        owners: list[int | None] = [None] * len(messages)
        for begin, end in pairwise(begins):
            turn = messages[begin:end]
            contents = [message["content"] for message in turn if message["content"].strip()]
            kept = self.fixed is not None and any(map(self.fixed.search, contents))
            if kept or not contents or any(message.get("fixed") for message in turn):
                continue
            owners[begin:end] = [len(self._names)] * len(turn)
            self._names.append(BETWEEN.join(content.strip() for content in contents))
        return tuple(
            replace(_turn(message, [_fixed(message["content"])]), player=owner)
            for message, owner in zip(messages, owners, strict=True)
        )

    def documents(self, documents: Sequence[Document]) -> Passage:
        """Documents with their segments, one after another."""
        checked = [_checked_document(document) for document in documents]
        if not checked:
            raise ValueError("no documents were given; give at least one")
        text = ""
        spans: list[Span] = []
        names: list[str] = []
        commas: list[int] = []
        for number, document in enumerate(checked):
            text += BETWEEN if number else ""
            at, content = len(text), document["text"]
            text += content
            if document.get("fixed"):
                continue
            if self.by == "document":
                if self.fixed is not None and self.fixed.search(content):
                    continue
                start = at + len(content) - len(content.lstrip())
                spans.append((start, at + len(content.rstrip())))
                label = f"[{document['id']}] " if document.get("id") is not None else ""
                names.append(label + content.strip())
            else:
                found = self.segments(content)
                spans += [(at + start, at + stop) for start, stop in found.spans]
                names += found.names
                commas += [at + comma for comma in found.commas]
        first = len(self._names)
        self._names += names
        return Passage(text, tuple(spans), first, tuple(commas))

    def _passage(self, text: str, found: Segments) -> Passage:
        first = len(self._names)
        self._names += found.names
        return Passage(text, found.spans, first, found.commas)


def _is_chat(text: Sequence[Message] | Sequence[Document]) -> bool:
    if not isinstance(text, Sequence) or not all(isinstance(item, Mapping) for item in text):
        raise ValueError(
            f"the text is a {type(text).__name__}, but neither a string nor a list of chat messages"
            ' ({"role": ..., "content": ...}) or documents ({"id": ..., "text": ...})'
        )
    return any("role" in item for item in text)


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
    entries = {key: value for key, value in message.items() if key not in ("content", "fixed")}
    return Turn(entries, tuple(piece for piece in pieces if piece.text))


def _ablated(message: Json, segmenter: _Segmenter) -> Turn:
    """A message with its content's segments as players; fixed if it is empty or marked fixed."""
    content = message["content"]
    is_other = segmenter.by == "tool" and message["role"] != "tool"
    if message.get("fixed") or not content.strip() or is_other:
        return _turn(message, [_fixed(content)])
    return _turn(message, [segmenter.message(content)])


def _around_message(message: Json, passage: Passage) -> Turn:
    """A fixed message, with the passage at its placeholder if it has one."""
    before, placeholder, after = message["content"].partition(PLACEHOLDER)
    return _turn(message, [_fixed(before), *([passage] if placeholder else []), _fixed(after)])


def _fixed(text: str) -> Passage:
    return Passage(text, (), 0)


def _around(prompt: str) -> tuple[str, str]:
    _check_once(prompt, f"the prompt {prompt!r}")
    before, after = prompt.split(PLACEHOLDER)
    return before, after


def _check_once(text: str, name: str) -> None:
    if text.count(PLACEHOLDER) != 1:
        raise ValueError(
            f"{name} holds {PLACEHOLDER} {text.count(PLACEHOLDER)} times; "
            "it must stand once, where the text goes"
        )


def _with_placeholder(messages: list[Json]) -> list[Json]:
    """The messages with a placeholder for documents before the last one of a user."""
    for number in range(len(messages) - 1, -1, -1):
        if messages[number]["role"] == "user":
            content = f"{PLACEHOLDER}{BETWEEN}{messages[number]['content']}"
            return [*messages[:number], messages[number] | {"content": content},
                    *messages[number + 1 :]]  # fmt: skip
    raise ValueError(
        f"the chat has no message of a user, and no {PLACEHOLDER} where the documents go; write "
        f"{PLACEHOLDER} into a message"
    )
