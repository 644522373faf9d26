"""What a decisive set is looked for by: an answer's threshold, a spectrum through its ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import Any

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, Json, Players
from interplay.explanation.decisive import ROUNDING, Kind, Rule
from interplay.explanation.verdict import Verdict
from interplay.fourier.spectrum import Spectrum
from interplay.optimize.smallest import SmallestSubset, smallest_subset
from interplay.optimize.subset import best_subset

_ENERGY = 0.999
"""The share of the variance that the optimiser takes into account, as for removal curves."""
_NEAR = 0.2
"""Ends that differ by less than this share of the range of all values are near to each other."""
_OF_TWO = ("Contrast", "LogitDifference")
_ZERO = ("logit", "margin")


@dataclass(frozen=True, eq=False)
class Question:
    """What is looked for, of one output.

    Attributes:
        kind: whether the set is removed, or alone kept.
        spectrum: of one output, through the measured ends (see :func:`through_ends`).
        players: their names.
        output: its number.
        threshold: where the answer changes.
        rule: where the threshold comes from.
        full: the value of the whole input.
        baseline: the value of nothing.
        refusal: why no set is looked for; else empty.
        caution: why the threshold says little; else empty.
    """

    kind: Kind
    spectrum: Spectrum
    players: tuple[str, ...]
    output: int
    threshold: float
    rule: Rule
    full: float
    baseline: float
    refusal: str = ""
    caution: str = ""

    @property
    def is_removed(self) -> bool:
        """Whether the set is what is removed."""
        return self.kind == "necessary"

    @property
    def sign(self) -> float:
        """1 if the value of the whole input is above the threshold, else -1."""
        return 1.0 if self.full > self.threshold else -1.0

    def margins(self, masks: BoolArray) -> FloatArray:
        """How far beyond the threshold masks are predicted, on the side of the whole input."""
        return self.sign * (self.spectrum.predict(masks) - self.threshold)

    @property
    def level(self) -> float:
        """The margin up to which the answer counts as changed."""
        return ROUNDING * abs(self.full - self.threshold)

    def enough(self, margins: FloatArray) -> BoolArray:
        """Whether margins are those of sets of this kind."""
        changed = margins <= self.level
        return changed if self.is_removed else ~changed

    def merits(self, masks: BoolArray) -> FloatArray:
        """How surely masks are predicted to be enough; larger is better."""
        return -self.margins(masks) if self.is_removed else self.margins(masks)

    def members(self, mask: BoolArray) -> BoolArray:
        """The set that a mask removes, or keeps."""
        return np.asarray(mask != self.is_removed)

    def mask_of(self, players: Players) -> BoolArray:
        """The mask that removes a set, or keeps it alone."""
        members = np.zeros(self.spectrum.n_players, dtype=np.bool_)
        members[list(players)] = True
        return np.asarray(members != self.is_removed)

    def smallest(self, time_limit: float) -> SmallestSubset:
        """The smallest set by the spectrum."""
        return smallest_subset(
            self.sign * self._strong,
            self.sign * self.threshold + self.level,
            below=self.is_removed,
            few="removed" if self.is_removed else "kept",
            time_limit=time_limit,
        )

    def best(self, size: int, time_limit: float) -> BoolArray:
        """The mask of the set of a size that is best by the spectrum."""
        kept = self.spectrum.n_players - size if self.is_removed else size
        up = (self.sign > 0) != self.is_removed
        return best_subset(self._strong, keep=kept, maximize=up, time_limit=time_limit).mask

    @property
    def _strong(self) -> Spectrum:
        return self.spectrum.truncate(energy=_ENERGY)


def through_ends(spectrum: Spectrum, ends: FloatArray) -> Spectrum:
    r"""A spectrum with a linear correction by which it passes through both measured ends.

    .. math:: f(m) + d_0 + (d_1 - d_0) |m| / n

    with d_1 and d_0 what the full and the empty input were measured to be above f. Small sets are
    removed from the one and added to the other, so that errors there are what matters.

    Args:
        spectrum: of one output.
        ends: the values of the full and of the empty input, ``(2,)``.
    """
    n = spectrum.n_players
    full, empty = ends - spectrum.predict(np.repeat([[True], [False]], n, axis=1))
    slope = (full - empty) / n
    sets: list[Players] = [(), *((player,) for player in range(n))]
    return spectrum + Spectrum.from_terms(n, sets, [empty + n * slope / 2] + [-slope / 2] * n)


def threshold_of(
    description: Json, output: int, full: float, baseline: float, given: float | None
) -> tuple[float, Rule]:
    """The value at which an answer changes, and the rule that it follows.

    Args:
        description: of the game.
        output: the number of the output.
        full: the value of the whole input.
        baseline: the value of nothing.
        given: a threshold that was asked for.

    Returns:
        What was given; else 0 for a margin or log-odds; else the middle between the two ends.

    Raises:
        ValueError: the threshold is not finite.
    """
    if given is not None:
        if not isfinite(given):
            raise ValueError(f"threshold={given} is not a finite number; give one")
        return float(given), "given"
    if _has_zero(description, output) and full != 0:
        return 0.0, "sign"
    return (full + baseline) / 2, "half"


def _has_zero(description: Json, output: int) -> bool:
    """Whether 0 is where the answer of an output changes."""

    def entry(name: str) -> Any:
        entries = description.get(name) or [{}]
        return entries[output] if output < len(entries) else entries[0]

    target, scores = entry("targets"), description.get("scores")
    if target.get("kind") in _OF_TWO or target.get("score") == "margin":
        return True
    if target.get("score") == "logit":  # log-odds of an answer; of a class it has no such border
        return bool(target.get("kind") == "Response")
    if scores:
        return entry("scores") in _ZERO
    if description.get("score") == "auto":  # of questions, some with another answer to compare with
        return entry("questions").get("against") is not None
    return description.get("score") in _ZERO


def question_of(
    kind: Kind,
    explained: tuple[Spectrum, tuple[str, ...], FloatArray | None],
    description: Json,
    verdict: Verdict,
    output: int,
    threshold: float | None,
) -> Question:
    """What is looked for in an explanation.

    Args:
        kind: which set.
        explained: the spectrum, the players' names, and the measured ends, ``(2,)`` or ``(2, k)``.
        description: of the game.
        verdict: on the explanation.
        output: the number of the output.
        threshold: where the answer changes; ``None``: by the rule of :func:`threshold_of`.

    Raises:
        ValueError: the output does not exist, or the threshold is not finite.
    """
    spectrum, players, ends = explained
    chosen = replace(spectrum.output(output), ends=None, end_doubts=None)
    if ends is None:
        refusal = "No set was looked for: the full and the empty input were not measured."
        return Question(kind, chosen, players, output, nan, "half", nan, nan, refusal)
    values = as_columns(ends)[:, output]
    full, baseline = map(float, values)
    level, rule = threshold_of(description, output, full, baseline, threshold)
    refusal = _refusal(verdict, output, full, level)
    chosen = chosen if refusal else through_ends(chosen, values)
    span, caution = verdict.ranges[output], ""
    if rule == "half" and abs(full - baseline) < _NEAR * span and not refusal:
        caution = (
            "The values with everything and with nothing differ by "
            f"{abs(full - baseline):.3g}, those of all ablations by {span:.3g}: the middle "
            "between the two says little, so give "
            "threshold=."
        )
    return Question(kind, chosen, players, output, level, rule, full, baseline, refusal, caution)


def _refusal(verdict: Verdict, output: int, full: float, level: float) -> str:
    """Why no set is looked for; empty: nothing is against it."""
    if verdict.level in ("not usable", "unknown") or not verdict.trusted[output]:
        judged = verdict.level if verdict.level in ("not usable", "unknown") else "not usable"
        return (
            f"No set was looked for: the explanation is {judged}, and sets chosen by it would be "
            f"chosen by chance. {verdict.reasons[0]}"
        )
    if full == level:
        return (
            "No set was looked for: the value with everything is at the threshold itself, so that "
            "no answer changes there."
        )
    return ""
