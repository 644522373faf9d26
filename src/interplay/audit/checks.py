"""What an audit of an explanation found: checks, and what each of them compared, entry by entry."""

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
"""How many entries that do not match are written out."""


@dataclass(frozen=True)
class Entry:
    """One comparison.

    Attributes:
        what: what was compared, in words.
        recorded: what the explanation says: a hash, or a number for each output; ``None``: nothing.
        found: what was found instead, likewise.
        matches: whether the two are the same within the check's tolerance.
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
    """One question, and its answer.

    Attributes:
        name: a word for it.
        status: ``"match"``, ``"mismatch"`` or ``"not checked"``.
        detail: what was compared with what; or why it was not.
        entries: each comparison.
        tolerance: how far numbers may differ, one for each output; empty where they may not.
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
            tolerance = f"; may differ by {', '.join(f'{each:.2g}' for each in self.tolerance)}"
        wrong = [entry for entry in self.entries if not entry.matches]
        more = [f"  ... and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        return "\n".join(
            [f"{head}: {self.detail}{tolerance}", *(f"  {one}" for one in wrong[:_SHOWN]), *more]
        )


@dataclass(frozen=True)
class Verification:
    """What an audit found.

    Attributes:
        checks: one after another.
    """

    checks: tuple[Check, ...]

    @property
    def matches(self) -> bool:
        """Whether nothing that was checked is a mismatch."""
        return not self.named(MISMATCH)

    def named(self, status: str) -> list[Check]:
        """The checks of a status."""
        return [check for check in self.checks if check.status == status]

    def __getitem__(self, name: str) -> Check:
        """The check of that name."""
        return next(check for check in self.checks if check.name == name)

    @property
    def summary(self) -> str:
        """The verdict in a line."""
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
        """All of it, with every entry."""
        return {"matches": self.matches, "summary": self.summary, **asdict(self)}


def checked(
    name: str, detail: str, entries: Iterable[Entry], tolerance: Sequence[float] = ()
) -> Check:
    """A check by its entries: a mismatch where one of them is."""
    kept = tuple(entries)
    status = MATCH if all(entry.matches for entry in kept) else MISMATCH
    return Check(name, status, detail, kept, tuple(tolerance))


def unchecked(name: str, why: str) -> Check:
    """A check that was not made."""
    return Check(name, NOT_CHECKED, why)


def numbers(
    what: str,
    recorded: npt.ArrayLike | None,
    found: npt.ArrayLike | None,
    tolerance: npt.ArrayLike = 0.0,
) -> Entry:
    """Compare numbers, one for each output; what is ``None`` is not there, and no match."""
    sides = [
        None if side is None else np.asarray(side, dtype=np.float64).reshape(-1)
        for side in (recorded, found)
    ]
    one, other = sides
    same = (
        one is not None
        and other is not None
        and one.shape == other.shape
        and bool((np.abs(one - other) <= tolerance).all())
    )
    texts = [None if side is None else tuple(side.tolist()) for side in sides]
    return Entry(what, texts[0], texts[1], same)


def texts(what: str, recorded: str | None, found: str | None) -> Entry:
    """Compare hashes or names."""
    return Entry(what, recorded, found, recorded is not None and recorded == found)


def _shown(side: str | tuple[float, ...] | None) -> str:
    if side is None:
        return "nothing"
    return side if isinstance(side, str) else ", ".join(f"{number:.9g}" for number in side)
