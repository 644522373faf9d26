"""How much a player changes over a set of prompts, and the verdict on whether that is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, Json, visible

EQUIVALENT, DIFFERENT, NOT_SHOWN = "equivalent", "different", "not shown"
ALPHA = 0.05
"""The probability of error of each of the two one-sided tests."""
_MOST_NEEDED = 100_000
_LISTED, _NAMED = 5, 2
"""Exceptions, and players that are removed, in a printed result."""


@dataclass(frozen=True)
class Change:
    """How much a player changes the value of one prompt.

    Attributes:
        title: the prompt's.
        intact: the change on the intact input: the value less that without the player.
        largest: the change that is largest in size, the intact input included.
        removed: the names of the other players that are removed where it is largest.
        mean: the mean change over the drawn backgrounds.
        spread: the standard deviation of the change over these; without an interaction it is 0.
        n_backgrounds: how many there are, beside the intact input.
        exhaustive: they are all there are.
    """

    title: str
    intact: float
    largest: float
    removed: tuple[str, ...]
    mean: float
    spread: float
    n_backgrounds: int
    exhaustive: bool

    @classmethod
    def of(
        cls,
        title: str,
        intact: float,
        changes: FloatArray,
        backgrounds: BoolArray,
        names: Sequence[str],
        exhaustive: bool,
    ) -> Change:
        """Summarise the changes ``(b,)`` on backgrounds ``(b, n - 1)`` of players with names."""
        largest, removed = intact, tuple[str, ...]()
        if len(changes) and np.abs(changes).max() > abs(intact):
            row = int(np.abs(changes).argmax())
            largest = float(changes[row])
            removed = tuple(
                name for name, kept in zip(names, backgrounds[row], strict=True) if not kept
            )
        mean, spread = (
            (float(changes.mean()), float(changes.std())) if len(changes) else (intact, 0.0)
        )
        return cls(title, intact, largest, removed, mean, spread, len(changes), exhaustive)

    def __str__(self) -> str:
        where = "on the intact input"
        if self.removed:
            names = [name if len(name) <= 40 else f"{name[:39]}…" for name in self.removed]
            more = len(names) - _NAMED
            where = f"without {' / '.join(names[:_NAMED])}"
            where += f" and {more} more" if more > 0 else ""
        return f"{self.title}: {self.largest:+.4g} {where}; intact {self.intact:+.4g}"


@dataclass(frozen=True)
class Equivalence:
    """The result of :func:`interplay.equivalence`.

    Attributes:
        player: the player, as it was asked for.
        changes: one of each prompt.
        margin: the largest change that counts as nothing.
        share: the share of prompts that must be within the margin.
        measure: what backgrounds were drawn from, as text; ``None`` for changes that were given.
        n_ablations: distinct masks that were needed.
        random_state: the seed.
        unit: what there is a change of each: ``"prompts"``, or ``"masks"`` of one.
    """

    player: str
    changes: tuple[Change, ...]
    margin: float
    share: float
    measure: str | None
    n_ablations: int
    random_state: int
    unit: str = "prompts"

    @property
    def exceptions(self) -> tuple[Change, ...]:
        """The prompts that are not within the margin, the largest change first."""
        outside = [change for change in self.changes if abs(change.largest) > self.margin]
        return tuple(sorted(outside, key=lambda change: -abs(change.largest)))

    @property
    def n_within(self) -> int:
        """How many prompts are within the margin."""
        return len(self.changes) - len(self.exceptions)

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the share of prompts within the margin, by Clopper and Pearson."""
        return share_interval(self.n_within, len(self.changes))

    @property
    def verdict(self) -> str:
        """``"equivalent"``, ``"different"`` or ``"not shown"``.

        *Equivalent*: the whole interval lies at ``share`` or above. *Different*: all of it lies
        below. Either is wrong in at most one of twenty sets of prompts. *Not shown*: neither.
        """
        return verdict_of_share(self.n_within, len(self.changes), self.share)

    @property
    def n_hidden(self) -> int:
        """How many exceptions are within the margin on the intact input: by interactions only."""
        return sum(abs(change.intact) <= self.margin for change in self.exceptions)

    @property
    def may_be_missed(self) -> float:
        """The share of a prompt's backgrounds on which a larger change may have been missed.

        If all b drawn backgrounds are within, at most 1 - 0.05^(1/b) of the measure are not, with
        95 % confidence. The largest over the prompts; 0 if all backgrounds were evaluated.
        """
        return max(
            (
                1 - ALPHA ** (1 / change.n_backgrounds) if change.n_backgrounds else 1.0
                for change in self.changes
                if not change.exhaustive
            ),
            default=0.0,
        )

    @property
    def summary(self) -> str:
        """The verdict and why, in words."""
        n_prompts, (low, high) = len(self.changes), self.interval
        lines = [
            f"{self.verdict.capitalize()}: {self.player!r} changes the score by at most "
            f"{self.margin:g} in {self.n_within} of {n_prompts} {self.unit}, "
            f"{self.n_within / n_prompts:.1%} (90 % interval {low:.1%} to {high:.1%}); "
            f"asked for were {self.share:.0%}."
        ]
        if self.verdict == NOT_SHOWN:
            n_exceptions = len(self.exceptions)
            needed = prompts_needed(n_exceptions, self.share)
            lines.append(
                f"With {n_exceptions} exceptions at least {needed:,} {self.unit} could show it."
                if needed is not None
                else f"No number of {self.unit} with as many exceptions could show it."
            )
        if self.n_hidden:
            lines.append(
                f"{self.n_hidden} of the {len(self.exceptions)} exceptions are within the margin "
                "on the intact input, and show where something else is removed."
            )
        if self.measure is None and self.unit == "prompts":
            lines.append("The changes were given, not measured here.")
        elif self.measure is not None and self.may_be_missed:
            lines.append(
                f"Backgrounds: the intact input and {min(c.n_backgrounds for c in self.changes)} "
                f"drawn ones ({self.measure}) of each prompt; a larger change on up to "
                f"{self.may_be_missed:.0%} of a prompt's backgrounds may have been missed."
            )
        return " ".join(lines)

    def to_json(self) -> Json:
        """Everything, as JSON."""
        low, high = self.interval
        return asdict(self) | {
            "n_within": self.n_within,
            "interval": [low, high],
            "level": 1 - 2 * ALPHA,
            "verdict": self.verdict,
            "exceptions": [asdict(change) for change in self.exceptions],
        }

    def __str__(self) -> str:
        shown = [f"  {change}" for change in self.exceptions[:_LISTED]]
        more = len(self.exceptions) - len(shown)
        rest = [f"  and {more} more (exceptions)"] if more > 0 else []
        return visible("\n".join([self.summary, *shown, *rest]))


def verdict_of_share(n_within: int, n_prompts: int, share: float) -> str:
    """The verdict on a share, of k among p (see :attr:`Equivalence.verdict`)."""
    low, high = share_interval(n_within, n_prompts)
    if low >= share:
        return EQUIVALENT
    return DIFFERENT if high < share else NOT_SHOWN


def share_interval(n_within: int, n_prompts: int, tail: float = ALPHA) -> tuple[float, float]:
    """The exact interval of a share, of k among p (Clopper and Pearson 1934), by default of 90 %.

    Args:
        n_within: k.
        n_prompts: p.
        tail: the chance to err at either end.
    """
    from scipy.stats import beta

    n_outside = n_prompts - n_within
    low = float(beta.ppf(tail, n_within, n_outside + 1)) if n_within else 0.0
    high = float(beta.ppf(1 - tail, n_within + 1, n_outside)) if n_outside else 1.0
    return low, high


def prompts_needed(n_exceptions: int, share: float) -> int | None:
    """The fewest prompts that, with so many exceptions, show a share; ``None``: too many."""
    low, high = n_exceptions + 1, _MOST_NEEDED
    if share_interval(high - n_exceptions, high)[0] < share:
        return None
    while low < high:
        middle = (low + high) // 2
        if share_interval(middle - n_exceptions, middle)[0] >= share:
            high = middle
        else:
            low = middle + 1
    return low
