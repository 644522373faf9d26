"""The result of an audit: its checks, and the comparisons of each check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from interplay._types import Json

MATCH = "match"
MISMATCH = "mismatch"
NOT_CHECKED = "not checked"
_SHOWN = 10
"""How many mismatches are written out in text."""


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
        return f"{verdict}: {self.what}: recorded {_shown(self.recorded)}, {_shown(self.found)} now"


@dataclass(frozen=True)
class Check:
    """One check of an audit.

    Attributes:
        name: the name of the check.
        status: ``"match"``, ``"mismatch"`` or ``"not checked"``.
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
        return "\n".join([f"{head}: {self.detail}{tolerance}", *shown, *more])


@dataclass(frozen=True)
class Verification:
    """The result of :func:`interplay.verify`.

    Attributes:
        checks: the checks, in the order in which they were made.
    """

    checks: tuple[Check, ...]

    @property
    def matches(self) -> bool:
        """Whether there is no mismatch. Checks that were not made do not count."""
        return not self.named(MISMATCH)

    def named(self, status: str) -> list[Check]:
        """The checks that have a status."""
        return [check for check in self.checks if check.status == status]

    def __getitem__(self, name: str) -> Check:
        """The check of a name."""
        return next(check for check in self.checks if check.name == name)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        counts = ", ".join(
            f"{len(self.named(status))} {status}" for status in (MATCH, MISMATCH, NOT_CHECKED)
        )
        if not self.matches:
            return f"MISMATCH ({counts}): what was saved is not what is found now"
        if self.named(NOT_CHECKED):
            return f"MATCH as far as it was checked ({counts})"
        return f"MATCH ({counts})"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.checks), self.summary])

    def to_json(self) -> Json:
        """The whole result as JSON, with every entry."""
        return {"matches": self.matches, "summary": self.summary, **asdict(self)}


def checked(
    name: str, detail: str, entries: Iterable[Entry], tolerance: Sequence[float] = ()
) -> Check:
    """Make a check from its entries. It is a mismatch if one of them is."""
    compared = tuple(entries)
    status = MATCH if all(entry.matches for entry in compared) else MISMATCH
    return Check(name, status, detail, compared, tuple(tolerance))


def unchecked(name: str, reason: str) -> Check:
    """A check that could not be made, with the reason."""
    return Check(name, NOT_CHECKED, reason)


def numbers(
    what: str,
    recorded: npt.ArrayLike | None,
    found: npt.ArrayLike | None,
    tolerance: npt.ArrayLike = 0.0,
) -> Entry:
    """Compare numbers, one for each output. ``None`` is a missing side and never a match."""
    old, new = (
        None if side is None else np.asarray(side, dtype=np.float64).reshape(-1)
        for side in (recorded, found)
    )
    same = (
        old is not None
        and new is not None
        and old.shape == new.shape
        and bool((np.abs(old - new) <= tolerance).all())
    )
    old_numbers, new_numbers = (
        None if side is None else tuple(side.tolist()) for side in (old, new)
    )
    return Entry(what, old_numbers, new_numbers, same)


def texts(what: str, recorded: str | None, found: str | None) -> Entry:
    """Compare texts, such as hashes or names."""
    return Entry(what, recorded, found, recorded is not None and recorded == found)


def _shown(side: str | tuple[float, ...] | None) -> str:
    if side is None:
        return "nothing"
    return side if isinstance(side, str) else ", ".join(f"{number:.9g}" for number in side)
