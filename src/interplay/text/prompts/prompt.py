"""Prompts with segments as players: a text with what stands around it, or a chat.

A prompt is a sequence of pieces: fixed strings, and passages. The segments of passages are the
players. A prompt knows no tokens and no chat template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.text.prompts.fields import Span
from interplay.text.prompts.masking import (
    DELETE,
    CharacterMasking,
    Masking,
    Replace,
    TokenMasking,
)
from interplay.text.prompts.passage import Occurrence, Passage
from interplay.text.prompts.segments import Unit, checked_language, holds, segments

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
        player: the player that the message belongs to as a whole, with others of its turn.
    """

    message: Json | None
    pieces: tuple[Piece, ...]
    player: int | None = None


@dataclass(frozen=True)
class MaskedPrompt:
    """What a model reads under each mask, as characters.

    Attributes:
        turns: those of a chat, or a single one.
        players: the players' names: the segments' texts, for documents with their ids; of fields of
            JSON their paths and values.
        by: the unit of the players.
        masking: how segments are removed.
        language: the code of its language, as it was given or guessed; sentences depend on it.
        n_swaps: how many players are swapped; they come after the segments.
        said: where the contents of a chat's messages are in the text that its template wrote: the
            role, and the characters.
    """

    turns: tuple[Turn, ...]
    players: tuple[str, ...]
    by: str
    masking: Masking
    language: str = "en"
    n_swaps: int = 0
    said: tuple[tuple[str, int, int], ...] = ()

    @property
    def is_chat(self) -> bool:
        """Whether it consists of messages, before a template is applied."""
        return self.turns[0].message is not None

    @property
    def n_players(self) -> int:
        """The number of segments, and of what is swapped."""
        return len(self.players)

    @cached_property
    def text(self) -> str:
        """The whole prompt, nothing removed; for a chat, with the roles before the contents."""
        return "".join(text for text, _ in self._shown())

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The segments' characters in :attr:`text`, which are all players but those swapped."""
        spans: dict[int, Span] = {}
        at = 0
        for number, turn in enumerate(self.turns):
            start = at + len(BETWEEN) if number else at
            for text, passage in self._of_turn(number, turn):
                if passage is not None:
                    for player, (first, stop) in enumerate(passage.spans, passage.first):
                        spans[player] = (at + first, at + stop)
                at += len(text)
            if turn.player is not None:  # all messages of a turn stand together
                first, _ = spans.get(turn.player, (start, at))
                spans[turn.player] = (first, at)
        return tuple(span for _, span in sorted(spans.items()))

    @cached_property
    def swapped(self) -> tuple[Occurrence, ...]:
        """The places that are swapped, in :attr:`text`, with the numbers of their players."""
        places: list[Occurrence] = []
        at = 0
        for text, passage in self._shown():
            if passage is not None:
                places += [
                    replace(place.moved(at), player=self.n_players + place.player)
                    for place in passage.swapped
                ]
            at += len(text)
        return tuple(places)

    @cached_property
    def n_versions(self) -> int:
        """How many alternatives a swapped text has."""
        return max((len(place.alternatives) for place in self.swapped), default=1)

    def sizes(self, measure: Callable[[str], float]) -> FloatArray:
        """The size of each player's characters, ``(n,)``, by the size of a text."""
        sizes = np.zeros(self.n_players)
        for player, (start, stop) in enumerate(self.spans):
            sizes[player] = measure(self.text[start:stop])
        for place in self.swapped:
            sizes[place.player] += measure(self.text[place.start : place.stop])
        return sizes

    def n_prompts(self, masks: BoolArray) -> IntArray:
        """Over how many prompts the value of each mask ``(m, n)`` is the mean, ``(m,)``."""
        several = {place.player for place in self.swapped if len(place.alternatives) > 1}
        vary = ~masks[:, sorted(several)].all(axis=1)
        return np.where(vary, self.n_versions, 1)

    def averaged(
        self, masks: BoolArray, values_of: Callable[[BoolArray, int], FloatArray]
    ) -> FloatArray:
        """The mean over all versions of the values of masks.

        Args:
            masks: ``(m, n)``.
            values_of: gives the values of masks, ``(m,)`` or ``(m, k)``, in a version.
        """
        total = values_of(masks, 0)
        vary = self.n_prompts(masks) > 1
        if not vary.any():
            return total
        total = np.array(total)
        for version in range(1, self.n_versions):
            total[vary] += values_of(masks[vary], version)
        total[vary] /= self.n_versions
        return total

    def _shown(self) -> Iterable[tuple[str, Passage | None]]:
        for number, turn in enumerate(self.turns):
            yield from self._of_turn(number, turn)

    def _of_turn(self, number: int, turn: Turn) -> Iterable[tuple[str, Passage | None]]:
        if turn.message is not None:
            yield f"{BETWEEN if number else ''}{turn.message['role']}: ", None
        for piece in turn.pieces:
            yield (piece, None) if isinstance(piece, str) else (piece.text, piece)

    def parts(self, mask: BoolArray, version: int = 0) -> list[tuple[str, bool]]:
        """The prompt under one mask ``(n,)``, in parts, each with whether people wrote it.

        Removed players that are swapped read as in the given version.

        Only chats need this distinction, since their templates write special tokens.
        """
        masking = self._on_characters
        parts: list[tuple[str, bool]] = []
        for turn in self.turns:
            for piece in turn.pieces:
                if isinstance(piece, str):
                    parts.append((piece, False))
                elif piece.inner:
                    parts += _parts_of_turn(piece) if mask[piece.first] else []
                elif piece.content is None:
                    parts.append((piece.render(mask, masking, version), True))
                else:
                    start, stop = piece.content
                    content: str | None = piece.written(start, stop, mask, version)
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

    def render(self, mask: BoolArray, version: int = 0) -> str:
        """The prompt under one mask ``(n,)``; with all players kept, exactly as it was given."""
        return "".join(text for text, _ in self.parts(mask, version))

    def messages(self, mask: BoolArray, version: int = 0) -> list[Json]:
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
                content += piece.render(mask, masking, version)
                removed |= (
                    piece.content is not None
                    and not mask[piece.first]
                    and masking.replacement(piece.text) is None
                )
            if not removed and (turn.player is None or mask[turn.player]):
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
            chosen: the players to cut; the others stay as they are, and so do those in which there
                is nothing of the finer unit, such as prose without a field.
            by: the finer unit.
            language: for sentences; by default that of the whole text.
            tokenizer: for tokens.

        Returns:
            The finer prompt, and for each player of this one its players' numbers in the finer one.

        Raises:
            ValueError: there is nothing of the finer unit in any of them, or they are turns.
        """
        if self.by == "turn":
            raise ValueError(
                "turns of a chat are not refined; choose by='message', whose messages are"
            )
        chosen, language = set(chosen), checked_language(language) or self.language
        players: list[str] = []
        children: list[tuple[int, ...]] = []
        is_cut = not any(player < self.n_players - self.n_swaps for player in chosen)
        turns = []
        for turn in self.turns:
            pieces: list[Piece] = []
            for piece in turn.pieces:
                if isinstance(piece, str):
                    pieces.append(piece)
                    continue
                texts = piece.spans if piece.content is None else (piece.content,)
                to_cut = {
                    number
                    for number, (start, stop) in enumerate(texts, piece.first)
                    if number in chosen and holds(piece.text[start:stop], by)
                }
                is_cut |= bool(to_cut)
                if piece.content is not None and to_cut:
                    start, stop = piece.content
                    before, piece, after = (
                        piece.text[:start],
                        Passage(
                            piece.text[start:stop],
                            ((0, stop - start),),
                            piece.first,
                            swapped=tuple(place.moved(-start) for place in piece.swapped),
                        ),
                        piece.text[stop:],
                    )
                else:
                    before = after = ""
                spans: list[Span] = []
                commas = list(piece.commas)
                first = len(players)
                for number, (start, stop) in enumerate(piece.spans, piece.first):
                    text = piece.text[start:stop]
                    if number in to_cut:
                        found = segments(text, by, language, tokenizer)
                        new_spans = [(start + a, start + b) for a, b in found.spans]
                        names = found.names
                        commas += [start + comma for comma in found.commas]
                    else:
                        new_spans, names = [(start, stop)], (self.players[number],)
                    children.append(tuple(range(len(players), len(players) + len(new_spans))))
                    spans += new_spans
                    players += names
                finer_piece = replace(
                    piece, spans=tuple(spans), first=first, commas=tuple(sorted(commas))
                )
                pieces += [part for part in (before, finer_piece, after) if part]
            turns.append(Turn(turn.message, tuple(pieces)))
        if not is_cut:
            raise ValueError(
                f"there is nothing of the unit {unit_name(by)!r} in the players to be refined; "
                "choose another unit"
            )
        unit = f"{self.by} and {unit_name(by)}"
        settled, left, numbers = without_covered(turns, players)
        swaps = self.players[self.n_players - self.n_swaps :]
        children = [tuple(numbers[old] for old in olds if old in numbers) for olds in children]
        children += [(len(left) + number,) for number in range(self.n_swaps)]
        finer = MaskedPrompt(settled, (*left, *swaps), unit, self.masking, language, self.n_swaps)
        return finer, tuple(children)

    def describe(self) -> Json:
        """Everything that determines what the model reads, as JSON."""
        spans = [list(span) for span in self.spans]
        players: Json = {"spans": spans}
        if self.n_swaps:  # a swapped player has no span of its own, so pieces are shown instead
            places = [[p.start, p.stop, p.player, list(p.alternatives)] for p in self.swapped]
            players = {"segments": spans, "swapped": places, "pieces": self._pieces()}
        if commas := self._commas_of_refined():
            players["commas"] = commas
        return {
            "lens": "text",
            "text": self.text,
            **players,
            "view": {"kind": "text", "title": "The input", "language": self.language}
            | ({"turns": said} if (said := self._said()) else {}),
            "by": self.by,
            "masking": self.masking.describe(),
        } | ({"messages": [turn.message for turn in self.turns]} if self.is_chat else {})

    def _commas_of_refined(self) -> list[int]:
        """The commas that go with a removed neighbour, in :attr:`text`, where JSON was refined.

        Elsewhere the spans determine them. Earlier versions kept all of them in refined JSON.
        """
        is_refined = "field" in self.by.split(" and ")[1:]
        commas: list[int] = []
        if not is_refined or isinstance(self.masking, TokenMasking | Replace):
            return commas
        at = 0
        for text, passage in self._shown():
            commas += [at + comma for comma in passage.commas] if passage is not None else []
            at += len(text)
        return commas

    def _said(self) -> list[list[str | int]]:
        """Where the messages of a chat are in :attr:`text`, with their roles."""
        if not self.is_chat:
            return [list(place) for place in self.said]
        places, at = list[list[str | int]](), 0
        for number, turn in enumerate(self.turns):
            assert turn.message is not None
            role = str(turn.message["role"])
            start = at + len(f"{BETWEEN if number else ''}{role}: ")
            at = start + sum(
                len(piece if isinstance(piece, str) else piece.text) for piece in turn.pieces
            )
            places.append([role, start, at])
        return places

    def _pieces(self) -> list[tuple[str, int | None]]:
        """The text in order as it is shown: with what is swapped beside it, and whose it is."""
        places = iter(self.swapped)
        place = next(places, None)
        cuts = [
            cut
            for player, (start, stop) in enumerate(self.spans)
            for cut in ((start, player), (stop, None))
        ]
        pieces: list[tuple[str, int | None]] = []
        at, owner = 0, None
        for stop, next_owner in [*cuts, (len(self.text), None)]:
            while place is not None and place.start < stop:
                pieces += [
                    (self.text[at : place.start], owner),
                    (self.text[place.start : place.stop] + place.shown, place.player),
                ]
                at, place = place.stop, next(places, None)
            pieces.append((self.text[at:stop], owner))
            at, owner = max(at, stop), next_owner
        # white space between the parts of a segment is nobody's, so that each part is one piece
        return [
            (part, player if part == core else None)
            for text, player in pieces
            for core in [text.strip()]
            for part in (text.partition(core) if core else (text,))
            if part
        ]


def _parts_of_turn(passage: Passage) -> list[tuple[str, bool]]:
    """A turn as a template writes it, in parts, each with whether people wrote it."""
    parts: list[tuple[str, bool]] = []
    at = 0
    for start, stop in passage.inner:
        parts += [(passage.text[at:start], False), (passage.text[start:stop], True)]
        at = stop
    return [*parts, (passage.text[at:], False)]


def without_covered(
    turns: Sequence[Turn], names: Sequence[str]
) -> tuple[tuple[Turn, ...], list[str], dict[int, int]]:
    """Turns in which segments that are swapped wholly are no players of their own.

    Args:
        turns: with the segments of their passages numbered.
        names: the segments' names.

    Returns:
        The turns and names, and for each segment that is left its number before and now.

    Raises:
        ValueError: a swap reaches over the border of a segment.
    """
    left: list[str] = []
    numbers: dict[int, int] = {}
    settled = []
    for turn in turns:
        pieces: list[Piece] = []
        for piece in turn.pieces:
            if isinstance(piece, str):
                pieces.append(piece)
                continue
            kept = piece.uncovered()
            first = len(left)
            for number in kept:
                numbers[piece.first + number] = len(left)
                left.append(names[piece.first + number])
            content = piece.content if kept else None
            spans = tuple(piece.spans[number] for number in kept)
            pieces.append(replace(piece, spans=spans, first=first, content=content))
        settled.append(replace(turn, pieces=tuple(pieces)))
    return tuple(settled), left, numbers


def unit_name(by: Unit) -> str:
    """A unit in words."""
    if isinstance(by, re.Pattern):
        return f"regex:{by.pattern}"
    return by if isinstance(by, str) else "span"
