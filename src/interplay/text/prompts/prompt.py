"""Prompts with segments as players: a text with what stands around it, or a chat.

A prompt is a sequence of pieces: fixed strings, and passages. The segments of passages are the
players. A prompt knows no tokens and no chat template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from interplay._types import BoolArray, Json
from interplay.text.prompts.fields import Span
from interplay.text.prompts.masking import (
    DELETE,
    CharacterMasking,
    Masking,
    Passage,
    TokenMasking,
)
from interplay.text.prompts.segments import Unit, checked_language, split

BETWEEN = "\n\n"
"""What stands between documents, and between messages where they are shown."""

Piece: TypeAlias = str | Passage
"""A string is a fixed part, such as a template. What people wrote in a chat is a passage."""


@dataclass(frozen=True)
class Turn:
    """A chat message, or the whole of a prompt that is no chat.

    Attributes:
        message: the message without its content: its role and other entries; ``None`` outside of
            chats.
        pieces: its content; none for a message without content, such as a tool call.
    """

    message: Json | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class MaskedPrompt:
    """What a model reads under each mask, as characters.

    Attributes:
        turns: those of a chat, or a single one.
        players: the players' names: the segments' texts, for documents with their ids.
        by: the unit of the players.
        masking: how segments are removed.
        language: the code of its language, as it was given or guessed; sentences depend on it.
    """

    turns: tuple[Turn, ...]
    players: tuple[str, ...]
    by: str
    masking: Masking
    language: str = "en"

    @property
    def is_chat(self) -> bool:
        """Whether it consists of messages, before a template is applied."""
        return self.turns[0].message is not None

    @property
    def n_players(self) -> int:
        """The number of segments."""
        return len(self.players)

    @cached_property
    def text(self) -> str:
        """The whole prompt, nothing removed; for a chat, with the roles before the contents."""
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
                yield f"{BETWEEN if number else ''}{turn.message['role']}: ", None
            for piece in turn.pieces:
                yield (piece, None) if isinstance(piece, str) else (piece.text, piece)

    def parts(self, mask: BoolArray) -> list[tuple[str, bool]]:
        """The prompt under one mask ``(n,)``, in parts, each with whether people wrote it.

        Only chats need this distinction, since their templates write special tokens.
        """
        masking = self._on_characters
        parts: list[tuple[str, bool]] = []
        for turn in self.turns:
            for piece in turn.pieces:
                if isinstance(piece, str):
                    parts.append((piece, False))
                elif piece.content is None:
                    parts.append((piece.render(mask, masking), True))
                else:
                    start, stop = piece.content
                    content: str | None = piece.text[start:stop]
                    if not mask[piece.first]:
                        content = masking.replacement(piece.text[start:stop])
                    if content is None:
                        continue
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
        """The messages of a chat under one mask ``(n,)``, without those that are removed."""
        messages = []
        for turn in self.turns:
            removed = False
            masking = self._on_characters
            content = ""
            for piece in turn.pieces:
                if isinstance(piece, str):
                    content += piece
                    continue
                content += piece.render(mask, masking)
                removed |= (
                    piece.content is not None
                    and not mask[piece.first]
                    and masking.replacement(piece.text) is None
                )
            if not removed:
                entry = {"content": content if turn.pieces else None}
                messages.append((turn.message or {}) | entry)
        return messages

    @property
    def _on_characters(self) -> CharacterMasking:
        """The masking of characters; deletion if the masking is one of tokens."""
        return DELETE if isinstance(self.masking, TokenMasking) else self.masking

    def refined(
        self, chosen: Iterable[int], by: Unit, language: str | None = None, tokenizer: Any = None
    ) -> tuple[MaskedPrompt, tuple[tuple[int, ...], ...]]:
        """Cut some players into finer ones.

        Args:
            chosen: the players to cut; the others stay as they are.
            by: the finer unit.
            language: for sentences; by default that of the whole text.
            tokenizer: for tokens.

        Returns:
            The finer prompt, and for each player of this one its players' numbers in the finer one.
        """
        chosen, language = set(chosen), checked_language(language) or self.language
        players: list[str] = []
        children: list[tuple[int, ...]] = []
        turns = []
        for turn in self.turns:
            pieces: list[Piece] = []
            for piece in turn.pieces:
                if isinstance(piece, str):
                    pieces.append(piece)
                    continue
                if piece.content is not None and piece.first in chosen:
                    start, stop = piece.content
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
                        segments = split(text, by, language, tokenizer)
                        new_spans = [(start + a, start + b) for a, b in segments]
                        names = [text[a:b].strip() for a, b in segments]
                    else:
                        new_spans, names = [(start, stop)], [self.players[number]]
                    children.append(tuple(range(len(players), len(players) + len(new_spans))))
                    spans += new_spans
                    players += names
                finer_piece = replace(piece, spans=tuple(spans), first=first)
                pieces += [part for part in (before, finer_piece, after) if part]
            turns.append(Turn(turn.message, tuple(pieces)))
        unit = f"{self.by} and {unit_name(by)}"
        finer = MaskedPrompt(tuple(turns), tuple(players), unit, self.masking, language)
        return finer, tuple(children)

    def describe(self) -> Json:
        """Everything that determines what the model reads, as JSON."""
        return {
            "lens": "text",
            "text": self.text,
            "spans": [list(span) for span in self.spans],
            "view": {"kind": "text", "title": "The input", "language": self.language},
            "by": self.by,
            "masking": self.masking.describe(),
        } | ({"messages": [turn.message for turn in self.turns]} if self.is_chat else {})


def unit_name(by: Unit) -> str:
    """A unit in words."""
    if isinstance(by, re.Pattern):
        return f"regex:{by.pattern}"
    return by if isinstance(by, str) else "span"
