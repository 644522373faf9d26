"""Players on a circle, joined by their interactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_THICKEST = 6.0
_LARGEST = 420.0
_SMALLEST = (90.0, 90.0, 130.0, 180.0)
"""The smallest dot, by the digits of the largest number in it."""
_LABEL = (24, 2)


def network(
    explanation: Explanation,
    *,
    index: IndexName | str | None = None,
    order: int = 3,
    top: int = 15,
    output: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The players of the strongest interactions, in order around a circle.

    A line joins two players; a diamond with a line to each joins three or more. The thicker the
    stronger. A player's dot is as large as its own effect, and grey if that is not distinguishable
    from zero. Such interactions are left out.

    Args:
        explanation: what to draw.
        index: the interaction index; by default the explanation's.
        order: its largest order.
        top: how many interactions.
        output: which of several outputs; by default the first, of a comparison the difference.
        ax: where to draw; by default a new figure.

    Raises:
        ValueError: a bad ``index``, ``order``, ``top`` or ``output``.
        MissingDependencyError: matplotlib is not installed.
    """
    output = style.output_of(explanation, output)
    interactions, what = style.chosen(explanation, index, order, output)
    shown, note = style.strongest(explanation, interactions, top, 2, output)
    ax = style.axes(ax, 8.0, 5.6)
    style.title(ax, f"Interactions of {len(shown)} sets ({what})")
    if not len(shown):
        style.nothing(ax, note)
        return ax
    from matplotlib.patches import FancyArrowPatch

    ax.set_axis_off()
    players = sorted({player for members in shown.sets for player in members})
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(players)) / len(players)
    place = dict(zip(players, np.column_stack([np.cos(angle), np.sin(angle)]), strict=True))
    largest = float(shown.strength.max())
    for members, value in list(shown)[::-1]:  # the strongest on top
        drawn: dict[str, Any] = {
            "color": style.colour(float(value)),
            "linewidth": 0.6 + _THICKEST * abs(float(value)) / largest,
            "alpha": 0.75,
        }
        points = np.stack([place[player] for player in members])
        if len(members) == 2:
            ax.add_patch(
                FancyArrowPatch(
                    *points, arrowstyle="-", connectionstyle=_bent(*points), zorder=1, **drawn
                )
            )
            continue
        # drawn towards the first player, so that sets around one centre stay apart
        middle = 0.8 * points.mean(axis=0) + 0.1 * points[0]
        for point in points:
            ax.plot(
                [middle[0], point[0]],
                [middle[1], point[1]],
                solid_capstyle="round",
                zorder=1,
                **drawn,
            )
        ax.scatter(
            middle[0], middle[1], marker="D", s=26, color=drawn["color"], zorder=2, linewidths=0
        )
    effects = np.array([float(interactions[[player]]) for player in players])
    least = _SMALLEST[min(len(str(players[-1])), len(_SMALLEST) - 1)]
    size = least + (_LARGEST - least) * np.abs(effects) / (np.abs(effects).max() or 1.0)
    ax.scatter(
        np.cos(angle),
        np.sin(angle),
        s=size,
        c=style.finding_colours(explanation, interactions, players, output),
        edgecolors="white",
        linewidths=1.2,
        zorder=3,
    )
    for player, (x, y) in place.items():
        ax.text(x, y, str(player), ha="center", va="center", color="white", fontsize=7, zorder=4)
        if interactions.players[player] != str(player):
            name = ax.text(
                1.11 * x,
                1.11 * y,
                style.wrapped(interactions.players[player], *_LABEL),
                ha="center" if abs(x) < 0.15 else "left" if x > 0 else "right",
                va="center" if abs(x) >= 0.15 else "bottom" if y > 0 else "top",
                fontsize=7.5,
                color=style.INK,
            )
            style.literal([name])
    ax.set_aspect("equal")
    ax.set(xlim=(-1.85, 1.85), ylim=(-1.25, 1.25))
    return ax


def _bent(start: FloatArray, end: FloatArray) -> str:
    """A bow towards the middle of the circle: neighbours' lines do not hide behind its rim."""
    # the cross product says on which side of the line the middle lies
    cross = float(start[0] * end[1] - start[1] * end[0])
    return f"arc3,rad={-0.25 * np.sign(cross) if abs(cross) > 1e-9 else 0.0}"
