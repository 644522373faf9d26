"""What the players add: the steps from the value of nothing to that of everything.

Shapley values add up to the difference of the two (``v(all) - v(none)``), and so do k-SII, STII and
FSII of any order, since Interplay lets them pass through the measured ends
(:mod:`interplay.fourier.ends`). What is not drawn by itself is one step, the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray
from interplay.explanation.explanation import Explanation
from interplay.explanation.verdict import ROUNDING
from interplay.extensions import INDICES, IndexName
from interplay.fourier.interactions import Interactions
from interplay.plots import style

ADD_UP = ("SV", "k-SII", "STII", "FSII")
"""The indices whose values add up to the difference between both ends."""
MAY_BE_ZERO = "grey: may be zero"


@dataclass(frozen=True)
class Contributions:
    """The strongest contributions, the strongest first, and the rest as one.

    ``baseline + values.sum() + rest`` is ``full``.

    Attributes:
        interactions: the sets that are drawn, with their values ``(s,)`` and intervals.
        findings: which of them are distinguishable from zero, ``(s,)``.
        rest: what all others add up to.
        n_rest: how many others have a value; ``None``: more than are listed.
        baseline: the value of nothing.
        full: the value of everything.
        note: what is left to say, in words; what there is instead if nothing is to be drawn.
        ends: what the full and the empty input are called.
    """

    interactions: Interactions
    findings: BoolArray
    rest: float
    n_rest: int | None
    baseline: float
    full: float
    note: str
    ends: tuple[str, str]

    @property
    def values(self) -> FloatArray:
        """Of the sets that are drawn, ``(s,)``."""
        return self.interactions.values

    @property
    def has_rest(self) -> bool:
        """Whether there are others that have a value."""
        return self.n_rest != 0

    @property
    def rest_label(self) -> str:
        """What the rest is called."""
        if self.n_rest is None:
            return "all others together"
        return f"{self.n_rest:,} others together" if self.n_rest > 1 else "1 other"

    def colour(self, row: int) -> str:
        """Blue for what raises the score, orange for what lowers it, grey for what may be zero."""
        return style.colour(self.values[row]) if self.findings[row] else style.NO_FINDING

    def label(self, row: int, width: int) -> str:
        """The players of a set that is drawn."""
        return style.joint_label(self.interactions, self.interactions.sets[row], width)


def contributions(
    explanation: Explanation, index: IndexName | str, order: int, top: int, output: int | None
) -> tuple[Contributions, str]:
    """The contributions of one output, and the index in words.

    Args:
        explanation: what to draw.
        index: one of :data:`ADD_UP`.
        order: its largest order; Shapley values have the order 1.
        top: how many contributions to draw by themselves.
        output: which of several outputs.

    Raises:
        ValueError: the values of the index do not add up, or an end was not measured; or a bad
            ``index``, ``order``, ``top`` or ``output``.
    """
    index = INDICES.named(index)
    if index not in ADD_UP:
        raise ValueError(
            f"index={index!r} does not add up to the difference between everything and nothing; "
            f"give one of {', '.join(ADD_UP)}, or draw plots.bars"
        )
    if explanation.ends is None:
        raise ValueError(
            f"{explanation.title} has no measured value of nothing or of everything, between which "
            "contributions are drawn; explain the game again, or draw plots.bars"
        )
    output = style.output_of(explanation, output)
    order = 1 if index == "SV" else min(order, len(explanation.players))
    interactions, what = style.chosen(explanation, index, order, output)
    if index == "SV":
        what = what.replace("SV, order 1", "Shapley values")
    full, baseline = as_columns(explanation.ends)[:, output].tolist()
    ranked = interactions.top(len(interactions))
    nonzero = np.abs(ranked.values) > ROUNDING * explanation.verdict.ranges[output]
    drawn = interactions.top(min(style.at_least_one(top), int(nonzero.sum())))
    findings = explanation.verdict.findings(drawn, output)
    n_rest = (
        None if interactions.rest is not None and order > 1 else int(nonzero.sum()) - len(drawn)
    )
    note = "" if findings.all() else MAY_BE_ZERO
    if explanation.verdict.level == "not usable":
        note = "not usable: not shown to predict better than the mean does"
    elif not len(drawn):
        note = "the score does not vary"
    rest = full - baseline - float(drawn.values.sum())
    ends = explanation.removal.ends
    return Contributions(drawn, findings, rest, n_rest, baseline, full, note, ends), what


def is_drawn(steps: Contributions) -> bool:
    """Whether there is anything to draw; the note says why not."""
    return bool(len(steps.values)) and not steps.note.startswith("not usable")
