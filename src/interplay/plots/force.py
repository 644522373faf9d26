"""Contributions as one bar that is pushed from both sides."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING

from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.plots import style
from interplay.plots.contributions import Contributions, contributions, is_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 40
_ROW = 0.36
"""The height of a line of labels, where the bar's is 1."""
_FIRST, _ABOVE = 0.3, 2.1
"""Where the first label begins below the bar, and how high the ends reach."""
_INCHES = 0.42
"""The height of the bar."""
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
    output: int | None = None,
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
    depth = _FIRST + sum(_height(part.label) for part in parts)
    ax = style.axes(ax, 7.6, 1.1 + _INCHES * (depth + _ABOVE))
    style.title(ax, f"What pushes the score ({what})")
    if not is_drawn(steps):
        style.nothing(ax, steps.note)
        return ax
    width = sum(abs(part.value) for part in parts)
    middles = [*_bar(ax, raising, steps.full, width), *_bar(ax, lowering, steps.full, width)]
    left = min(steps.full - sum(part.value for part in raising), steps.baseline)
    right = max(steps.full - sum(part.value for part in lowering), steps.baseline)
    _labels(ax, [part.label for part in raising + lowering], middles, (left + right) / 2)
    for (place, name), side in zip(
        sorted([(steps.baseline, steps.ends[1]), (steps.full, steps.ends[0])]),
        ("right", "left"),
        strict=True,
    ):
        ax.plot([place, place], [0, 2], color=style.INK, linewidth=1.2)
        ax.annotate(
            f"{name}\n{place:.4g}",
            (place, 1.1),
            (-4 if side == "right" else 4, 0),
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=style.SMALL,
            color=style.INK,
        )
    ax.set_xlim(left - 0.02 * width, right + 0.02 * width)
    ax.set_ylim(-depth, _ABOVE)
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
        doubt = "" if high is None else _doubt(value, float(high[row]) - value)
        label = f"{steps.label(row, _LABEL)}  {value:+.3g}{doubt}"
        parts.append(_Part(value, steps.colour(row), label))
    if steps.has_rest:
        parts.append(_Part(steps.rest, "none", f"{steps.rest_label}  {steps.rest:+.3g}"))
    return parts


def _doubt(value: float, width: float) -> str:
    """Half of an interval, unless it is below the last digit of the value."""
    last_digit = 10.0 ** (floor(log10(abs(value))) - 2) if value else 0.0
    return "" if width < last_digit / 2 else f" ± {width:.2g}"


def _height(label: str) -> float:
    return _ROW * (label.count("\n") + 1)


def _bar(ax: Axes, parts: list[_Part], meet: float, width: float) -> list[float]:
    """Draw one side of the bar, outwards from where both meet; the middle of each part."""
    from matplotlib.patches import Polygon

    place, middles = meet, []
    for part in parts:
        start = place - part.value
        tip = min(_TIP * width, abs(part.value)) * (1 if part.value >= 0 else -1)
        outline = [(start, 0), (place - tip, 0), (place, 0.5), (place - tip, 1), (start, 1)]
        outline.append((start + tip, 0.5))
        middles.append((start + place) / 2)
        edge = style.SOFT if part.colour == "none" else "#ffffff"
        ax.add_patch(Polygon(outline, facecolor=part.colour, edgecolor=edge, linewidth=0.8))
        place = start
    return middles


def _labels(ax: Axes, labels: list[str], middles: list[float], centre: float) -> None:
    """Write each label on lines of its own below the bar, from its part towards the centre.

    The parts nearest to the centre come first, those left of it before those right of it, so that
    few lines pass behind a label.
    """
    depth = _FIRST
    rows = sorted((middle > centre, abs(middle - centre), at) for at, middle in enumerate(middles))
    for _, _, at in rows:
        depth += _height(labels[at]) / 2
        on_left = middles[at] <= centre
        ax.plot([middles[at]] * 2, [0, -depth], color=style.LINE, linewidth=0.8, zorder=1)
        words = ax.annotate(
            labels[at],
            (middles[at], -depth),
            (3 if on_left else -3, 0),
            textcoords="offset points",
            ha="left" if on_left else "right",
            va="center",
            fontsize=style.SMALL,
            color=style.INK,
            bbox={"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.6},
        )
        style.literal([words])
        depth += _height(labels[at]) / 2
