"""Passages: parts of a prompt with segments, joined again when some of them are removed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from interplay._types import BoolArray
from interplay.text.prompts.fields import Span
from interplay.text.prompts.masking import DELETE, CharacterMasking


@dataclass(frozen=True)
class Occurrence:
    """A place in a text that reads otherwise when its player is removed.

    Attributes:
        start: its first character.
        stop: the first one behind it.
        player: its player. In a prompt it is counted from the end, -1 for the last, since the
            players that are swapped come after all segments.
        alternatives: what it reads in each version; of one alternative, in all of them.
    """

    start: int
    stop: int
    player: int
    alternatives: tuple[str, ...]

    @property
    def shown(self) -> str:
        """What stands behind the text where it is shown."""
        return f" → {' | '.join(self.alternatives)}"

    def moved(self, by: int) -> Occurrence:
        """The same place in a text with so many characters more before it."""
        return replace(self, start=self.start + by, stop=self.stop + by)


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
        inner: if the only segment is a turn of a chat, as a template writes it, the spans of its
            messages' contents.
        swapped: the places that are swapped, ascending, each inside one segment or outside of all.
    """

    text: str
    spans: tuple[Span, ...]
    first: int
    commas: tuple[int, ...] = ()
    content: Span | None = None
    swapped: tuple[Occurrence, ...] = ()
    inner: tuple[Span, ...] = ()

    def written(self, start: int, stop: int, mask: BoolArray, version: int = 0) -> str:
        """The characters from ``start`` to ``stop``, with the swaps of players not kept."""
        parts = []
        for place in self.swapped:
            if start <= place.start and place.stop <= stop and not mask[place.player]:
                parts += [self.text[start : place.start],
                          place.alternatives[version % len(place.alternatives)]]  # fmt: skip
                start = place.stop
        return "".join([*parts, self.text[start:stop]])

    def render(self, mask: BoolArray, masking: CharacterMasking = DELETE, version: int = 0) -> str:
        """The passage under a mask of all players ``(n,)``; with all kept, the text exactly.

        When segments are deleted, only the widest break in the white space around them stays: a
        blank line is wider than a line break, and that is wider than a space. Words therefore never
        run together, and paragraphs stay apart.
        """
        items, players, gaps, starts = self.alternation
        kept = [player < 0 or bool(mask[player]) for player in players]
        written = [
            self.written(start, start + len(item), mask, version)
            if is_kept
            else masking.replacement(item)
            for item, is_kept, start in zip(items, kept, starts, strict=True)
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

    def uncovered(self) -> tuple[int, ...]:
        """The segments, by their place in ``spans``, that hold letters or digits not swapped.

        Raises:
            ValueError: a swap reaches from such a segment into another one or into fixed text.
        """
        if not self.swapped:
            return tuple(range(len(self.spans)))
        outside = []
        for number, (start, stop) in enumerate(self.spans):
            inside = [place for place in self.swapped if place.start < stop and start < place.stop]
            at, rest = start, ""
            for place in inside:
                rest += self.text[at : place.start]
                at = max(at, place.stop)
            if not any(map(str.isalnum, rest + self.text[at:stop])):
                continue
            outside.append(number)
            for place in inside:
                if place.start < start or place.stop > stop:
                    raise _straddling(self.text[place.start : place.stop], self.text[start:stop])
        for place in self.swapped:
            if any(place.start <= comma < place.stop for comma in self.commas):
                raise _straddling(self.text[place.start : place.stop], self.text)
        return tuple(outside)

    @cached_property
    def alternation(self) -> tuple[list[str], list[int], list[str], list[int]]:
        """The text as gap, item, gap, item, ..., gap: the items, the player of each, and the gaps.

        With them comes where each item begins.

        An item is a segment, or a run of other characters, which is always kept (player -1). A gap
        is white space, perhaps with the comma that separates its neighbours, or it is empty.
        """
        items: list[str] = []
        players: list[int] = []
        starts: list[int] = []
        gaps: list[str] = [""]

        def add(start: int, stop: int, player: int) -> None:
            piece = self.text[start:stop]
            core = piece.strip()
            if not core:
                gaps[-1] += piece
                return
            before = len(piece) - len(piece.lstrip())
            gaps[-1] += piece[:before]
            items.append(core)
            players.append(player)
            starts.append(start + before)
            gaps.append(piece[len(piece.rstrip()) :])

        def fixed(start: int, stop: int) -> None:
            for comma in self.commas:
                if start <= comma < stop:
                    add(start, comma, -1)
                    gaps[-1] += ","
                    start = comma + 1
            add(start, stop, -1)

        at = 0
        for number, (start, stop) in enumerate(self.spans):
            fixed(at, start)
            add(start, stop, self.first + number)
            at = stop
        fixed(at, len(self.text))
        return items, players, gaps, starts


def _straddling(text: str, segment: str) -> ValueError:
    return ValueError(
        f"what is swapped, {text[:60]!r}, reaches over the border of the segment {segment[:60]!r}; "
        "choose a larger unit, or swap a text within one segment or of whole segments"
    )


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
