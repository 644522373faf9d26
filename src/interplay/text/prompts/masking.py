"""Masking: what a text reads like when some of its segments are removed.

============== ====================================================================================
``"delete"``   The segment's characters go; of the white space around what was removed the widest
               break stays. What is left is a text of its own, cut into tokens anew. Asks: what
               would the model say had this never been written?
``Replace(t)`` The text t stands in for each removed segment. Asks the same, with a visible gap.
``mask_token`` Each of the segment's tokens becomes the tokenizer's mask token; everything keeps its
               place. For models trained with masks (BERT and its kin).
``attention``  The segment's tokens stay where they are, but no other token attends to them;
               everything keeps its position. Asks: what would the model say could it not look
               there? For models whose tokens know of each other by attention only.
============== ====================================================================================

The first two change characters (:meth:`Passage.render`), the other two tokens
(:mod:`interplay.text.prompts.tokens`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from interplay._types import BoolArray, Json
from interplay.text.prompts.fields import Span


@dataclass(frozen=True)
class Replace:
    """Masking that puts a text in the place of each removed segment.

    Attributes:
        text: it, ``"[...]"`` say.
    """

    text: str


Masking: TypeAlias = Literal["delete", "mask_token", "attention"] | Replace
"""How segments are removed."""
MASKINGS = ("delete", "mask_token", "attention")


def check_masking(masking: Masking) -> None:
    """Refuse what is no masking.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(masking, Replace) and masking not in MASKINGS:
        raise ValueError(
            f"masking={masking!r} is unknown; choose one of {', '.join(MASKINGS)}, or give "
            "Replace(text)"
        )


def describe_masking(masking: Masking) -> Json:
    """A masking as JSON."""
    if isinstance(masking, Replace):
        return {"kind": "replace", "text": masking.text}
    return {"kind": masking}


@dataclass(frozen=True)
class Passage:
    """A stretch of a prompt that holds segments, and is joined anew when some are removed.

    Attributes:
        text: its characters.
        spans: the segments' characters in it, ascending.
        first: the number of the first segment among all players.
        commas: where commas stand that only separate segments, as in JSON: with either neighbour
            gone they go too.
        whole: the one segment is a chat message, which goes with its turn: its own characters.
    """

    text: str
    spans: tuple[Span, ...]
    first: int
    commas: tuple[int, ...] = ()
    whole: Span | None = None

    def render(self, mask: BoolArray, replacement: str | None = None) -> str:
        """The passage under a mask of all players ``(n,)``; with all kept, the text exactly.

        Where segments are deleted, of the white space around them the widest break stays
        (a blank line before a line break before a space), so that words never run together and
        paragraphs stay apart.
        """
        items, players, gaps = self._alternation
        kept = [player < 0 or bool(mask[player]) for player in players]
        if replacement is not None:
            items = [item if keep else replacement for item, keep in zip(items, kept, strict=True)]
            kept = [True] * len(items)
        parts: list[str] = []
        last = -1  # the last kept item
        for index, item in enumerate(items):
            if not kept[index]:
                continue
            between = gaps[last + 1 : index + 1]
            if last >= 0 and index - last > 1:
                parts += [_join(items[last], between, item), item]
            else:
                parts += [between[0], item]
            last = index
        return "".join([*parts, gaps[-1]])

    @cached_property
    def _alternation(self) -> tuple[list[str], list[int], list[str]]:
        """The text as gap, item, gap, item, ..., gap: items, the player of each, and gaps.

        An item is a segment, or a run of other characters, which is always kept (player -1). A gap
        is white space, with the comma that separates its neighbours, or nothing.
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
    """What stands between two items when those between them are gone."""
    if any("," in gap for gap in gaps):
        if before.endswith(("{", "[")):
            return gaps[0]
        if after.startswith(("}", "]")):
            return gaps[-1]
        gaps = [gap for gap in gaps if "," in gap]
    return max(gaps, key=_breadth)


def _breadth(gap: str) -> tuple[int, int]:
    return gap.count("\n"), len(gap)
