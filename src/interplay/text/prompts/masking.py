"""Masking: what becomes of the segments of a text that are removed.

============== ====================================================================================
``"delete"``   The segment's characters are removed. The widest break in the white space around them
               stays. What is left is a new text, tokenized again. It shows what the model would say
               if the segment had never been written.
``Replace(t)`` The text t replaces each removed segment. It shows the same, with a visible gap.
``mask_token`` Each of the segment's tokens becomes the tokenizer's mask token. Everything keeps its
               position. For models trained with masks, such as BERT.
``attention``  The segment's tokens keep their positions, but no other token attends to them. It
               shows what the model would say if it could not look there. For models in which
               tokens depend on each other by attention only.
============== ====================================================================================

The first two change characters (:meth:`Passage.render`), the other two tokens
(:mod:`interplay.text.prompts.tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.extensions import MASKINGS, MaskingName, unknown
from interplay.text.prompts.fields import Span


class CharacterMasking(Protocol):
    """A masking that changes characters. What is left is tokenized again."""

    def replacement(self, segment: str, /) -> str | None:
        """What replaces a removed segment; ``None``: nothing, and the text closes up."""
        ...

    def describe(self) -> Json:
        """Its ``kind`` and settings, as JSON. They are a part of fingerprints."""
        ...


@runtime_checkable
class TokenMasking(Protocol):
    """A masking in which every token keeps its position."""

    def check(self, tokenizer: Any, /) -> None:
        """Refuse a tokenizer that lacks what is needed, with a ValueError."""
        ...

    def rows(
        self, ids: Sequence[int], kept: BoolArray, tokenizer: Any, /
    ) -> tuple[list[list[int]], BoolArray | None]:
        """The tokens under each mask.

        Args:
            ids: of the whole prompt, t tokens.
            kept: which of them are kept, ``(m, t)``.
            tokenizer: the model's.

        Returns:
            The ids of each of m prompts, and which tokens may be attended to, ``(m, t)``;
            ``None``: all.
        """
        ...

    def lengths(self, owners: IntArray, n_players: int, /) -> tuple[float, FloatArray]:
        """How many tokens the model reads with no player kept, and how many more for each player.

        Args:
            owners: the player of each token of the whole prompt; -1: none, it is always kept.
            n_players: n.

        Returns:
            A number and ``(n,)``.
        """
        ...

    def describe(self) -> Json:
        """As of :class:`CharacterMasking`."""
        ...


Masking: TypeAlias = CharacterMasking | TokenMasking
"""How segments are removed."""


@dataclass(frozen=True)
class Delete:
    """Masking by deletion."""

    def replacement(self, segment: str, /) -> None:
        """Nothing."""
        return

    def describe(self) -> Json:
        """Its kind."""
        return {"kind": "delete"}


@dataclass(frozen=True)
class Replace:
    """Masking that replaces each removed segment by a text.

    Attributes:
        text: the replacement, such as ``"[...]"``.
    """

    text: str

    def replacement(self, segment: str, /) -> str:
        """The text."""
        return self.text

    def describe(self) -> Json:
        """Its kind and the text."""
        return {"kind": "replace", "text": self.text}


@dataclass(frozen=True)
class MaskToken:
    """Masking by the tokenizer's mask token."""

    def check(self, tokenizer: Any, /) -> None:
        """Refuse a tokenizer without a mask token."""
        if tokenizer.mask_token_id is None:
            raise ValueError(
                "this tokenizer has no mask token, so masking='mask_token' does not fit it; "
                "use 'delete', 'attention' or Replace(text)"
            )

    def rows(
        self, ids: Sequence[int], kept: BoolArray, tokenizer: Any, /
    ) -> tuple[list[list[int]], None]:
        """Mask tokens in the positions of removed tokens."""
        return np.where(kept, ids, tokenizer.mask_token_id).tolist(), None

    def lengths(self, owners: IntArray, n_players: int, /) -> tuple[float, FloatArray]:
        """Always all tokens."""
        return float(len(owners)), np.zeros(n_players)

    def describe(self) -> Json:
        """Its kind."""
        return {"kind": "mask_token"}


@dataclass(frozen=True)
class Attention:
    """Masking by attention."""

    def check(self, tokenizer: Any, /) -> None:
        """Accept any tokenizer."""

    def rows(
        self, ids: Sequence[int], kept: BoolArray, tokenizer: Any, /
    ) -> tuple[list[list[int]], BoolArray]:
        """All tokens, and which of them may be attended to."""
        return [list(ids)] * len(kept), kept

    def lengths(self, owners: IntArray, n_players: int, /) -> tuple[float, FloatArray]:
        """Only the tokens that may be attended to."""
        counts = np.bincount(owners + 1, minlength=n_players + 1)
        return float(counts[0]), counts[1:].astype(np.float64)

    def describe(self) -> Json:
        """Its kind."""
        return {"kind": "attention"}


DELETE, MASK_TOKEN, ATTENTION = Delete(), MaskToken(), Attention()


def get_masking(masking: MaskingName | str | Masking) -> Masking:
    """Return the masking of a name, or the masking itself.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(masking, str):
        return masking
    if masking not in MASKINGS:
        raise unknown("masking", masking, [*MASKINGS, "Replace(text)"])
    named: Masking = MASKINGS[masking]
    return named


@dataclass(frozen=True)
class Passage:
    """A part of a prompt with segments. It is joined again when some of them are removed.

    Attributes:
        text: its characters.
        spans: the segments' characters in it, ascending.
        first: the number of the first segment among all players.
        commas: the positions of commas that only separate segments, as in JSON. A comma goes when
            either of its neighbours is removed.
        content: if the only segment is a chat message, the span of the message's content. The
            message is removed together with its turn.
    """

    text: str
    spans: tuple[Span, ...]
    first: int
    commas: tuple[int, ...] = ()
    content: Span | None = None

    def render(self, mask: BoolArray, masking: CharacterMasking = DELETE) -> str:
        """The passage under a mask of all players ``(n,)``; with all kept, the text exactly.

        When segments are deleted, only the widest break in the white space around them stays: a
        blank line is wider than a line break, and that is wider than a space. Words therefore never
        run together, and paragraphs stay apart.
        """
        items, players, gaps = self._alternation
        kept = [player < 0 or bool(mask[player]) for player in players]
        written = [
            item if is_kept else masking.replacement(item)
            for item, is_kept in zip(items, kept, strict=True)
        ]
        parts: list[str] = []
        last = -1  # the last item written
        for index, item in enumerate(written):
            if item is None:
                continue
            between = gaps[last + 1 : index + 1]
            if last >= 0 and index - last > 1:
                parts += [_join(written[last] or "", between, item), item]
            else:
                parts += [between[0], item]
            last = index
        return "".join([*parts, gaps[-1]])

    @cached_property
    def _alternation(self) -> tuple[list[str], list[int], list[str]]:
        """The text as gap, item, gap, item, ..., gap: the items, the player of each, and the gaps.

        An item is a segment, or a run of other characters, which is always kept (player -1). A gap
        is white space, perhaps with the comma that separates its neighbours, or it is empty.
        """
        items: list[str] = []
        players: list[int] = []
        gaps: list[str] = [""]

        def add(piece: str, player: int) -> None:
            core = piece.strip()
            if not core:
                gaps[-1] += piece
                return
            gaps[-1] += piece[: len(piece) - len(piece.lstrip())]
            items.append(core)
            players.append(player)
            gaps.append(piece[len(piece.rstrip()) :])

        def fixed(start: int, stop: int) -> None:
            for comma in self.commas:
                if start <= comma < stop:
                    add(self.text[start:comma], -1)
                    gaps[-1] += ","
                    start = comma + 1
            add(self.text[start:stop], -1)

        at = 0
        for number, (start, stop) in enumerate(self.spans):
            fixed(at, start)
            add(self.text[start:stop], self.first + number)
            at = stop
        fixed(at, len(self.text))
        return items, players, gaps


def _join(before: str, gaps: list[str], after: str) -> str:
    """What stands between two items when those between them are removed."""
    if any("," in gap for gap in gaps):
        if before.endswith(("{", "[")):
            return gaps[0]
        if after.startswith(("}", "]")):
            return gaps[-1]
        gaps = [gap for gap in gaps if "," in gap]
    return max(gaps, key=_breadth)


def _breadth(gap: str) -> tuple[int, int]:
    return gap.count("\n"), len(gap)
