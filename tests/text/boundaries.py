"""Texts in ten languages with the borders of their segments marked, and how they are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt")
_UNSPACED = {"sentence": ("zh", "ja"), "word": ("zh", "ja", "th")}
"""Languages that write no white space between these segments."""


@dataclass(frozen=True)
class Marked:
    """One text.

    Attributes:
        language: its code.
        unit: the unit of its segments.
        held_out: whether it took no part in making the rules.
        text: the text.
        segments: its segments.
    """

    language: str
    unit: str
    held_out: bool
    text: str
    segments: tuple[str, ...]


def marked() -> Iterator[Marked]:
    """The texts of the file beside this one."""
    language = unit = ""
    held_out = False
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            language, unit, *rest = line[3:].split()
            held_out = rest == ["held-out"]
        elif line and not line.startswith("#"):
            segments = tuple(line.split("|"))
            between = "" if language in _UNSPACED[unit] else " "
            yield Marked(language, unit, held_out, between.join(segments), segments)


def borders(segments: Iterable[str]) -> set[int]:
    """The borders between segments, counted in characters that are no white space."""
    at, ends = 0, []
    for segment in segments:
        at += len("".join(segment.split()))
        ends.append(at)
    return set(ends[:-1])


def counted(
    texts: Iterable[Marked], split: Callable[[str, str, str], Iterable[str]]
) -> dict[tuple[str, str], Counter[str]]:
    """Count borders by unit and language: ``right``, ``missed`` and ``wrong``.

    Args:
        texts: marked texts.
        split: from a text, a unit and a language to segments.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for entry in texts:
        wanted = borders(entry.segments)
        made = borders(s for s in split(entry.text, entry.unit, entry.language) if s.strip())
        count = counts.setdefault((entry.unit, entry.language), Counter())
        count.update(right=len(wanted & made), missed=len(wanted - made), wrong=len(made - wanted))
    return counts
