"""Contributions as one bar that is pushed from both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.plots import style
from interplay.plots.contributions import Contributions, contributions, is_drawn
from interplay.plots.waterfall import EVERYTHING, NOTHING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 40
_ROW = 0.36
"""The height of a line of labels, where the bar's is 1."""
_TIP = 0.008
"""The length of a part's tip, as a share of the whole."""


@dataclass(frozen=True)
class _Part:
    """A part of the bar: what it adds, its colour and its label; it ends where the next begins."""

    value: float
    colour: str
    label: str


def force(
    explanation: Explanation,
    *,
    index: IndexName | str = "SV",
    order: int = 2,
    top: int = 10,
    output: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """The contributions as one bar, which pushes the score from both sides.

    What raises the score comes from the left, what lowers it from the right. They meet at the value
    of everything, the strongest next to it. The length of the left side less that of the right one
    is the difference between everything and nothing, exactly. Contributions that may be zero are
    grey. The sum of those that are not among the ``top`` strongest is one part, without a colour.

    Args:
        explanation: what to draw.
        index: as for :func:`waterfall`.
        order: likewise.
        top: likewise.
        output: likewise.
        ax: where to draw; by default a new figure of fitting height.

    Raises:
        ValueError: as for :func:`waterfall`.
        MissingDependencyError: matplotlib is not installed.
    """
    steps, what = contributions(explanation, index, order, top, output)
    parts = _parts(steps)
    raising = [part for part in parts if part.value >= 0]
    lowering = [part for part in parts if part.value < 0]
    lines = max(sum(part.label.count("\n") + 1 for part in side) for side in (raising, lowering))
    ax = style.axes(ax, 7.6, 1.5 + 0.17 * max(lines, 3))
    style.title(ax, f"What raises and what lowers the score ({what})")
    if not is_drawn(steps):
        style.nothing(ax, steps.note)
        return ax
    width = sum(abs(part.value) for part in parts) or 1.0
    depth = max(_side(ax, side, steps.full, width) for side in (raising, lowering))
    left_end, right_end = sorted([(steps.baseline, NOTHING), (steps.full, EVERYTHING)])
    for (place, name), side in ((left_end, "right"), (right_end, "left")):
        ax.plot([place, place], [0, 1.5], color=style.INK, linewidth=1.2, clip_on=False)
        ax.annotate(
            f"{name}\n{place:.4g}",
            (place, 1.5),
            (-4 if side == "right" else 4, 0),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=style.SMALL,
            color=style.INK,
        )
    begin, end = steps.full - sum(part.value for part in raising), steps.full
    end -= sum(part.value for part in lowering)
    ends = (min(begin, steps.baseline), max(end, steps.baseline))
    ax.set_xlim(ends[0] - 0.02 * width, ends[1] + 0.02 * width)
    ax.set_ylim(-depth - 0.3, 1.6)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    notes = ["score", *([steps.note] if steps.note else [])]
    style.literal([ax.set_xlabel("; ".join(notes), fontsize=style.SMALL)])
    return ax


def _parts(steps: Contributions) -> list[_Part]:
    """The parts of the bar, the strongest first, and the rest as the last one."""
    high = steps.interactions.high
    parts = []
    for row, value in enumerate(steps.values.tolist()):
        doubt = "" if high is None else f" ± {high[row] - value:.2g}"
        label = f"{steps.label(row, _LABEL)}  {value:+.3g}{doubt}"
        parts.append(_Part(value, steps.colour(row), label))
    if steps.has_rest:
        parts.append(_Part(steps.rest, "none", f"{steps.rest_label}  {steps.rest:+.3g}"))
    return parts


def _side(ax: Axes, parts: list[_Part], meet: float, width: float) -> float:
    """Draw one side of the bar, outwards from where both meet, with its labels below.

    The outermost part has the highest label. A label runs outwards from below its part, so that no
    line to a label crosses another one.

    Returns:
        How far the labels reach down.
    """
    from matplotlib.patches import Polygon

    place, depth = meet, 0.35
    corners = []
    for part in parts:
        tip = min(_TIP * width, abs(part.value)) * (1 if part.value >= 0 else -1)
        start = place - part.value
        outline = [(start, 0), (place - tip, 0), (place, 0.5), (place - tip, 1), (start, 1)]
        outline.append((start + tip, 0.5))
        corners.append((start + place) / 2)
        edge = style.SOFT if part.colour == "none" else "#ffffff"
        ax.add_patch(Polygon(outline, facecolor=part.colour, edgecolor=edge, linewidth=0.8))
        place = start
    for part, middle in zip(reversed(parts), reversed(corners), strict=True):
        raises, height = part.value >= 0, _ROW * (part.label.count("\n") + 1)
        depth += height / 2
        ax.plot([middle, middle], [0, -depth], color=style.LINE, linewidth=0.8)
        words = ax.annotate(
            part.label,
            (middle, -depth),
            (-3 if raises else 3, 0),
            textcoords="offset points",
            ha="right" if raises else "left",
            va="center",
            fontsize=style.SMALL,
            color=style.INK,
        )
        style.literal([words])
        depth += height / 2
    return depth
