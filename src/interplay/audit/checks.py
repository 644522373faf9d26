"""The result of an audit: its checks, and the comparisons of each check."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import Json

MATCH = "match"
MISMATCH = "mismatch"
NOT_CHECKED = "not checked"
"""Something is missing without which the check cannot be made."""
LEFT_OUT = "left out"
"""The check was not asked for."""
INCOMPLETE = "incomplete"
_SHOWN = 10
"""How many mismatches are written out in text."""
_LONGEST = 200
"""The most characters of a recorded text that are written out."""


@dataclass(frozen=True)
class Entry:
    """One comparison.

    Attributes:
        what: what was compared, in words.
        recorded: what is recorded: a text such as a hash, or a number for each output. ``None``:
            nothing is recorded.
        found: what the audit found, in the same form.
        matches: whether the two agree within the check's tolerance.
    """

    what: str
    recorded: str | tuple[float, ...] | None
    found: str | tuple[float, ...] | None
    matches: bool

    def __str__(self) -> str:
        verdict = MATCH if self.matches else MISMATCH
        sides = f"recorded {_shown(self.recorded)}, {_shown(self.found)} now"
        return _on_one_line(f"{verdict}: {_shown(self.what)}: {sides}")


@dataclass(frozen=True)
class Check:
    """One check of an audit.

    Attributes:
        name: the name of the check.
        status: ``"match"``, ``"mismatch"``, ``"not checked"`` (something is missing) or ``"left
            out"`` (it was not asked for).
        detail: what was compared with what, or why nothing was compared.
        entries: the comparisons.
        tolerance: how far numbers may differ, one for each output. Empty if they must be equal.
    """

    name: str
    status: str
    detail: str
    entries: tuple[Entry, ...] = ()
    tolerance: tuple[float, ...] = ()

    @property
    def n_matching(self) -> int:
        """How many entries match."""
        return sum(entry.matches for entry in self.entries)

    def __str__(self) -> str:
        head = f"{self.name}: {self.status}"
        if self.entries:
            head += f" ({self.n_matching} of {len(self.entries)})"
        tolerance = ""
        if self.tolerance:
            tolerance = f"; may differ by {', '.join(f'{number:.2g}' for number in self.tolerance)}"
        wrong = [entry for entry in self.entries if not entry.matches]
        shown = [f"  {entry}" for entry in wrong[:_SHOWN]]
        more = [f"  ... and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        return "\n".join([_on_one_line(f"{head}: {self.detail}{tolerance}"), *shown, *more])


@dataclass(frozen=True)
class Trusted:
    """An entry of the document that nothing can be compared with.

    Attributes:
        what: the entry.
        recorded: what is recorded, in words.
        reason: why it is taken on trust.
    """

    what: str
    recorded: str
    reason: str

    def __str__(self) -> str:
        recorded = f"{_shown(self.recorded)} ({self.reason})"
        return _on_one_line(f"taken on trust: {_shown(self.what)}: {recorded}")


@dataclass(frozen=True)
class Verification:
    """The result of :func:`interplay.verify`.

    Attributes:
        checks: the checks, in the order in which they were made.
        trusted: the entries that were not compared with anything.
    """

    checks: tuple[Check, ...]
    trusted: tuple[Trusted, ...] = ()

    @property
    def verdict(self) -> str:
        """``"match"``, ``"mismatch"`` or ``"incomplete"``.

        It is incomplete if nothing differs, but a check could not be made since something is
        missing. Checks that were not asked for do not count.
        """
        if self.named(MISMATCH):
            return MISMATCH
        return INCOMPLETE if self.named(NOT_CHECKED) else MATCH

    @property
    def matches(self) -> bool:
        """Whether the verdict is ``"match"``: nothing differs, and nothing is missing."""
        return self.verdict == MATCH

    def named(self, status: str) -> list[Check]:
        """The checks that have a status."""
        return [check for check in self.checks if check.status == status]

    def __getitem__(self, name: str) -> Check:
        """The check of a name."""
        return next(check for check in self.checks if check.name == name)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        left_out = self.named(LEFT_OUT)
        counts = ", ".join(
            f"{len(self.named(status))} {status}"
            for status in (MATCH, MISMATCH, NOT_CHECKED, *([LEFT_OUT] if left_out else []))
        )
        if self.verdict == MISMATCH:
            return f"MISMATCH ({counts}): what was saved is not what is derived now"
        if self.verdict == INCOMPLETE:
            names = ", ".join(check.name for check in self.named(NOT_CHECKED))
            return f"INCOMPLETE ({counts}): nothing differs, but this could not be checked: {names}"
        if left_out:
            names = ", ".join(check.name for check in left_out)
            return f"MATCH as far as was asked for ({counts}): not {names}"
        return f"MATCH ({counts})"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.checks), *map(str, self.trusted), self.summary])

    def to_json(self) -> Json:
        """The whole result as JSON, with every entry."""
        return {
            "verdict": self.verdict,
            "matches": self.matches,
            "summary": self.summary,
            **asdict(self),
        }


def checked(
    name: str, detail: str, entries: Iterable[Entry], tolerance: Sequence[float] = ()
) -> Check:
    """Make a check from its entries. It is a mismatch if one of them is."""
    compared = tuple(entries)
    status = MATCH if all(entry.matches for entry in compared) else MISMATCH
    return Check(name, status, detail, compared, tuple(tolerance))


def unchecked(name: str, reason: str) -> Check:
    """A check that could not be made since something is missing, with the reason."""
    return Check(name, NOT_CHECKED, reason)


def left_out(name: str, reason: str) -> Check:
    """A check that was not asked for, with what to ask for."""
    return Check(name, LEFT_OUT, reason)


def numbers(
    what: str,
    recorded: npt.ArrayLike | None,
    found: npt.ArrayLike | None,
    tolerance: npt.ArrayLike = 0.0,
) -> Entry:
    """Compare numbers, one for each output. ``None`` is a missing side and never a match.

    Args:
        what: what is compared.
        recorded: what is recorded.
        found: what was derived now.
        tolerance: how far they may differ. It must not depend on ``recorded``: what was made up
            could widen it. A tolerance that is not finite allows nothing.
    """
    old, new = (
        None if side is None else np.asarray(side, dtype=np.float64).reshape(-1)
        for side in (recorded, found)
    )
    same = old is not None and new is not None and old.shape == new.shape
    if same and old is not None and new is not None:
        allowed = np.asarray(tolerance, dtype=np.float64)
        allowed = np.where(np.isfinite(allowed), allowed, 0.0)
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(old - new) <= allowed
        same = bool((near | (old == new) | (np.isnan(old) & np.isnan(new))).all())
    old_numbers, new_numbers = (
        None if side is None else tuple(side.tolist()) for side in (old, new)
    )
    return Entry(what, old_numbers, new_numbers, same)


def texts(what: str, recorded: str | None, found: str | None) -> Entry:
    """Compare texts, such as hashes or names."""
    return Entry(what, recorded, found, recorded is not None and recorded == found)


def documents(what: str, recorded: Any, derived: Any, share: float = 0.0) -> Iterator[Entry]:
    """Compare two JSON documents, entry by entry; an entry that one side lacks is a mismatch.

    Args:
        what: the name of the document.
        recorded: the recorded document.
        derived: the one that was derived now.
        share: how far a number that is not whole may differ, as a share of the derived one, or of
            the largest of a list. Its thousandth of the largest such number of ``derived`` is
            always allowed, for numbers near zero; in an object of a list, of that object.
    """
    return _compared(what, recorded, derived, share, 1e-3 * share * _largest(derived))


def _compared(
    what: str, recorded: Any, derived: Any, share: float, least: float
) -> Iterator[Entry]:
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        for name in [*derived, *(name for name in recorded if name not in derived)]:
            sides = recorded.get(name, _ABSENT), derived.get(name, _ABSENT)
            yield from _compared(f"{what}.{name}", *sides, share, least)
        return
    lists = isinstance(recorded, list | tuple) and isinstance(derived, list | tuple)
    if _numeric(recorded) and _numeric(derived):
        allowed = 0.0 if _whole(derived) else max(share * _largest(derived), least)
        yield numbers(what, recorded, derived, allowed)
    elif lists and len(recorded) == len(derived) > 0:
        for row, (old, new) in enumerate(zip(recorded, derived, strict=True)):
            own = 1e-3 * share * _largest(new) if isinstance(new, Mapping) else least
            yield from _compared(f"{what}[{row}]", old, new, share, own)
    else:
        yield texts(what, _written(recorded), _written(derived))


_ABSENT = object()


def _written(side: Any) -> str | None:
    return None if side is _ABSENT else json.dumps(side, sort_keys=True, ensure_ascii=False)


def _numeric(side: Any) -> bool:
    if isinstance(side, list | tuple):
        return len(side) > 0 and all(map(_numeric, side)) and not isinstance(side[0], list | tuple)
    return isinstance(side, int | float) and not isinstance(side, bool)


def _whole(side: Any) -> bool:
    items = side if isinstance(side, list | tuple) else [side]
    return all(isinstance(item, int) for item in items)


def _largest(document: Any) -> float:
    """The largest size of a finite number in a JSON document, counts and seeds left out."""
    if isinstance(document, Mapping):
        return max(map(_largest, document.values()), default=0.0)
    if isinstance(document, list | tuple):
        return max(map(_largest, document), default=0.0)
    return abs(document) if isinstance(document, float) and isfinite(document) else 0.0


def _on_one_line(text: str) -> str:
    """A text without line breaks and control characters, so that no record forges a verdict."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def _shown(side: str | tuple[float, ...] | None) -> str:
    if side is None:
        return "nothing"
    if isinstance(side, str):
        return side if len(side) <= _LONGEST else f"{side[:_LONGEST]}..."
    return ", ".join(f"{number:.9g}" for number in side)
