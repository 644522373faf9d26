"""Masking: what a text reads like when some of its segments are removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interplay._types import BoolArray
from interplay.lenses.text.segments import Span


@dataclass(frozen=True)
class MaskedText:
    """A text in alternation: white space, item, white space, item, ..., white space.

    An item is a player, or a run of characters outside of all spans, which is always kept.

    Attributes:
        items: the items' characters.
        players: the player of each item, -1 for one that is always kept.
        gaps: the white space before each item, and after the last: one more than the items.
        replacement: what stands in for a removed segment; ``None`` deletes it.
    """

    items: tuple[str, ...]
    players: tuple[int, ...]
    gaps: tuple[str, ...]
    replacement: str | None = None

    def render(self, mask: BoolArray) -> str:
        """The text under one mask ``(n,)``; with all players kept, the original exactly.

        Where segments are deleted, of the white space around them the widest break stays
        (a blank line before a line break before a space), so that words never run together and
        paragraphs stay apart.
        """
        kept = [player < 0 or bool(mask[player]) for player in self.players]
        if self.replacement is not None:
            items = [
                item if keep else self.replacement
                for item, keep in zip(self.items, kept, strict=True)
            ]
            kept = [True] * len(items)
        else:
            items = list(self.items)
        parts: list[str] = []
        last = -1  # the last kept item
        for index, item in enumerate(items):
            if not kept[index]:
                continue
            between = self.gaps[last + 1 : index + 1]
            parts += [between[0] if last < 0 else max(between, key=_breadth), item]
            last = index
        return "".join([*parts, self.gaps[-1]])


def _breadth(gap: str) -> tuple[int, int]:
    return gap.count("\n"), len(gap)


def mask_text(text: str, spans: Sequence[Span], replacement: str | None = None) -> MaskedText:
    """Prepare a text for masking.

    Args:
        text: the text.
        spans: the players' characters, from :func:`interplay.lenses.text.segments.split`.
        replacement: what stands in for a removed segment, ``"..."`` say; ``None`` deletes it.
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

    at = 0
    for player, (start, stop) in enumerate(spans):
        add(text[at:start], -1)
        add(text[start:stop], player)
        at = stop
    add(text[at:], -1)
    return MaskedText(tuple(items), tuple(players), tuple(gaps), replacement)
