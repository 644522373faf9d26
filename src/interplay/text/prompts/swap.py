"""Swap: a masking in which a removed player shows another value, such as another name.

A swap is of texts, wherever they stand in the prompt: in segments, in the question after them, in
messages marked fixed. All occurrences of one entry, or of a group of entries, are one player. While
it is kept, the prompt reads as written; when it is removed, every occurrence reads as its
alternative. Segments that no swap covers are removed as usual, so that one game has protected
attributes that are swapped and evidence that goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from interplay._types import Json
from interplay.errors import MissingDependencyError
from interplay.extensions import MaskingName
from interplay.text.prompts.masking import CharacterMasking, TokenMasking, get_masking
from interplay.text.prompts.passage import Occurrence

PATTERN_SECONDS = 2.0
"""So long one pattern may take on one text."""
MOST_VERSIONS = 32
"""The most alternatives of a text. Each costs an evaluation of each mask that lacks the player."""
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_SHOWN = 6
"""The most pairs of texts in a player's name."""

Key: TypeAlias = str | re.Pattern[str]
Alternatives: TypeAlias = str | Sequence[str]
Values: TypeAlias = Mapping[Key, Alternatives] | Mapping[str, Mapping[Key, Alternatives]]
"""A text or pattern with its alternatives, or a name with such a mapping, a group."""


@dataclass(frozen=True)
class Entry:
    """One text or pattern, and what it is swapped for.

    Attributes:
        key: a text, or a pattern.
        alternatives: one, or several, over which the game averages.
    """

    key: Key
    alternatives: tuple[str, ...]

    def describe(self) -> Json:
        """As JSON."""
        if isinstance(self.key, str):
            return {"text": self.key, "alternatives": list(self.alternatives)}
        return {
            "pattern": self.key.pattern,
            "flags": int(self.key.flags),
            "alternatives": list(self.alternatives),
        }


@dataclass(frozen=True)
class Group:
    """The entries that swap together: one player.

    Attributes:
        name: of the group; ``None`` for an entry by itself.
        entries: its entries.
    """

    name: str | None
    entries: tuple[Entry, ...]

    def label(self, pairs: Sequence[tuple[str, tuple[str, ...]]]) -> str:
        """The player's name: what stands in the prompt, and what it is swapped for."""
        distinct = list(dict.fromkeys(pairs))
        shown = [f"{text} → {' | '.join(alternatives)}" for text, alternatives in distinct[:_SHOWN]]
        listed = ", ".join([*shown, "…"] if len(distinct) > _SHOWN else shown)
        return listed if self.name is None else f"{self.name}: {listed}"


@dataclass(frozen=True)
class Swap:
    r"""Masking that shows another value in the place of a removed one.

    A text stands for itself where no letter or digit touches it, and for itself with its first
    letter or all letters in upper case; the alternative is then written the same way. Of two texts
    that begin at the same place the longer one counts. A pattern stands for its matches, and its
    alternative may name its groups (``\1``).

    Several alternatives of a text are versions: the value of a mask is the exact mean over the
    versions, and version r has the r-th alternative of every text. A text with one alternative has
    it in all versions. All other texts must have the same number. Every index is linear in the
    values, so an interaction is then the mean of the versions' interactions.

    Args:
        values: what is swapped: ``{"Amina": "Anna"}``; with several alternatives
            ``{"Amina": ["Anna", "Eva"]}``; as a group, which is one player by its name,
            ``{"gender": {"Ms": "Mr", "she": "he"}}``. Keys may be compiled patterns.
        otherwise: what becomes of segments that no swap covers: the masking by which they are
            removed, ``"delete"`` or ``Replace(text)``; ``None``: they are always kept, so that
            only swaps are players.

    Raises:
        ValueError: nothing to swap, an alternative that is empty or begins or ends with white
            space, lists of different lengths, or a masking of tokens.

    Example:
        >>> from interplay.text.prompts.build import mask_prompt
        >>> swap = Swap({"gender": {"Ms": "Mr", "she": "he"}})
        >>> prompt = mask_prompt("Ms Reed has a debt. She works.", masking=swap)
        >>> prompt.players
        ('Ms Reed has a debt.', 'She works.', 'gender: Ms → Mr, She → He')
        >>> prompt.render([True, True, False])
        'Mr Reed has a debt. He works.'
        >>> prompt.render([False, True, False])
        'He works.'
    """

    values: Values
    otherwise: MaskingName | str | CharacterMasking | None = "delete"
    groups: tuple[Group, ...] = field(init=False, compare=False, repr=False)
    removal: CharacterMasking | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", _groups(self.values))
        removal = None if self.otherwise is None else get_masking(self.otherwise)
        if isinstance(removal, TokenMasking | Swap):
            raise ValueError(
                f"otherwise={self.otherwise!r} does not fit a swap, which changes characters; use "
                "'delete', Replace(text), or None to keep everything else"
            )
        object.__setattr__(self, "removal", removal)

    def replacement(self, segment: str, /) -> str | None:
        """What replaces a removed segment that no swap covers."""
        return segment if self.removal is None else self.removal.replacement(segment)

    def describe(self) -> Json:
        """Its kind, its groups, and what becomes of other segments."""
        return {
            "kind": "swap",
            "groups": [
                {"name": group.name, "entries": [entry.describe() for entry in group.entries]}
                for group in self.groups
            ],
            "otherwise": None if self.removal is None else self.removal.describe(),
        }

    def occurrences(self, text: str) -> list[Occurrence]:
        """Everything in a text that is swapped, ascending and not overlapping.

        Args:
            text: the text; players of the occurrences are the numbers of the groups.

        Raises:
            ValueError: a pattern takes too long, or its alternative is empty somewhere.
            MissingDependencyError: the package for patterns is not installed.
        """
        every = sorted(
            [*self._texts(text), *self._patterns(text)],
            key=lambda one: (one.start, -one.stop),
        )
        chosen: list[Occurrence] = []
        for one in every:
            if not chosen or one.start >= chosen[-1].stop:
                chosen.append(one)
        return chosen

    def _texts(self, text: str) -> Iterator[Occurrence]:
        forms = _forms(self.groups)
        if not forms:
            return
        longest_first = sorted(forms, key=len, reverse=True)
        # no letter or digit may touch a text that begins or ends with one
        listed = "|".join(_bounded(form) for form in longest_first)
        for match in re.finditer(listed, text):
            player, alternatives = forms[match.group()]
            yield Occurrence(*match.span(), player, alternatives)

    def _patterns(self, text: str) -> Iterator[Occurrence]:
        for player, group in enumerate(self.groups):
            for entry in group.entries:
                if isinstance(entry.key, str):
                    continue
                for start, stop, alternatives in _matches(entry.key, entry.alternatives, text):
                    yield Occurrence(start, stop, player, alternatives)


def _groups(values: Any) -> tuple[Group, ...]:
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f'Swap({values!r}) has nothing to swap; give a mapping, such as {{"Amina": "Anna"}} or '
            '{"gender": {"Ms": "Mr", "she": "he"}}'
        )
    groups = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            if not isinstance(key, str) or not key or not value:
                raise ValueError(
                    f"the group {key!r} has no name or no texts; give it both, such as "
                    '{"gender": {"Ms": "Mr"}}'
                )
            groups.append(Group(key, tuple(_entry(*item) for item in value.items())))
        else:
            groups.append(Group(None, (_entry(key, value),)))
    entries = [entry for group in groups for entry in group.entries]
    ((most, count),) = Counter(entry.key for entry in entries).most_common(1)
    if count > 1:
        raise ValueError(f"{most!r} is swapped in two places; leave it in one of them")
    counts = {len(entry.alternatives) for entry in entries} - {1}
    if len(counts) > 1:
        raise ValueError(
            f"texts have {' and '.join(map(str, sorted(counts)))} alternatives; the first ones "
            "belong together, and so on, so give all lists the same length, or one text"
        )
    return tuple(groups)


def _entry(key: Any, alternatives: Any) -> Entry:
    listed = (alternatives,) if isinstance(alternatives, str) else alternatives
    if not isinstance(key, str | re.Pattern) or not isinstance(listed, Sequence) or not listed:
        raise ValueError(
            f"{key!r}: {alternatives!r} is no swap; give a text or a compiled pattern with another "
            "text, or a list of such"
        )
    if len(listed) > MOST_VERSIONS:
        raise ValueError(
            f"{key!r} has {len(listed)} alternatives, above the {MOST_VERSIONS} that are averaged "
            "over; give fewer"
        )
    for text in (key if isinstance(key, str) else "a", *listed):
        if not isinstance(text, str) or not text.strip() or text != text.strip():
            raise ValueError(
                f"{key!r}: {alternatives!r} has the text {text!r}, which is empty or has white "
                "space around it; to remove a text, make it a segment"
            )
    return Entry(key, tuple(listed))


def _forms(groups: Sequence[Group]) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Each text in the ways it is matched, with its player and its alternatives.

    A form that was given by itself is not overwritten by one that is derived.
    """
    given = [
        (entry.key, player, entry.alternatives)
        for player, group in enumerate(groups)
        for entry in group.entries
        if isinstance(entry.key, str)
    ]
    forms = {key: (player, alternatives) for key, player, alternatives in given}
    for write in (_capitalised, str.upper):
        for key, player, alternatives in given:
            forms.setdefault(write(key), (player, tuple(map(write, alternatives))))
    return forms


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _bounded(form: str) -> str:
    before = r"(?<!\w)" if _is_of_word(form[0]) else ""
    after = r"(?!\w)" if _is_of_word(form[-1]) else ""
    return f"{before}{re.escape(form)}{after}"


def _is_of_word(character: str) -> bool:
    """Whether it is a letter or digit of a script that writes space between words."""
    script = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return re.match(r"\w", character) is not None and script not in _UNSPACED


def _matches(
    pattern: re.Pattern[str], alternatives: tuple[str, ...], text: str
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """The matches of a pattern and their alternatives, within a time limit."""
    try:
        import regex
    except ImportError as error:
        raise MissingDependencyError("regex", "llm", "patterns of a swap") from error
    flags = 0
    for name in ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE"):
        if pattern.flags & getattr(re, name):
            flags |= getattr(regex, name)
    # unlike re, regex can be stopped while it tries the ways to match
    try:
        compiled = regex.compile(pattern.pattern, flags)
        for match in compiled.finditer(text, timeout=PATTERN_SECONDS):
            words = match.group()
            start = match.start() + len(words) - len(words.lstrip())
            stop = match.end() - (len(words) - len(words.rstrip()))
            if start < stop:
                yield start, stop, tuple(_expanded(match, one) for one in alternatives)
    except TimeoutError as error:
        raise ValueError(
            f"the pattern {pattern.pattern!r} took more than {PATTERN_SECONDS:g} s on a text of "
            f"{len(text):,} characters; write it without repeats inside of repeats"
        ) from error
    except (regex.error, IndexError) as error:
        raise ValueError(
            f"the pattern {pattern.pattern!r} with its alternatives {alternatives!r} cannot be "
            f"used: {error}"
        ) from error


def _expanded(match: Any, alternative: str) -> str:
    text: str = match.expand(alternative)
    if not text.strip() or text != text.strip():
        raise ValueError(
            f"the alternative {alternative!r} of {match.group()!r} comes out as {text!r}, empty or "
            "with white space around it; give one that does not"
        )
    written = match.group().strip()
    if written[:1].isupper() and not text[:1].isupper():
        return _capitalised(text)
    return text
