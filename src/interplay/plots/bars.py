"""The strongest interactions as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 52


def bars(
    explanation: Explanation,
    *,
    index: IndexName | str | None = None,
    order: int = 3,
    top: int = 15,
    min_order: int = 2,
    output: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The strongest interactions, the strongest on top, with their intervals where there are any.

    Those that are not distinguishable from zero are left out, and counted below the axis.

    Args:
        explanation: what to draw.
        index: the interaction index; by default the explanation's.
        order: its largest order.
        top: how many.
        min_order: the fewest players of a set; 1: single players too.
        output: which of several outputs; by default the first, of a comparison the difference.
        ax: where to draw; by default a new figure of fitting height.

    Raises:
        ValueError: a bad ``index``, ``order``, ``top`` or ``output``.
        MissingDependencyError: matplotlib is not installed.
    """
    output = style.output_of(explanation, output)
    interactions, what = style.chosen(explanation, index, order, output)
    shown, note = style.strongest(explanation, interactions, top, min_order, output)
    labels = [style.joint_label(shown, members, _LABEL) for members in shown.sets]
    # a bar is as thick as its label has lines
    lines = np.array([label.count("\n") + 1.6 for label in labels])
    ax = style.axes(ax, 7.2, 0.9 + 0.155 * max(float(lines.sum()), 4.0))
    style.title(ax, f"Strongest interactions ({what})" if min_order > 1 else f"Strongest ({what})")
    if not len(shown):
        style.nothing(ax, note)
        return ax
    at = np.cumsum(lines) - lines / 2
    ax.axvline(0, color=style.SOFT, linewidth=0.8, zorder=1)
    ax.barh(at, shown.values, 0.85, color=[style.colour(value) for value in shown.values])
    if shown.low is not None and shown.high is not None:
        spans = np.stack([shown.values - shown.low, shown.high - shown.values])
        ax.errorbar(
            shown.values,
            at,
            xerr=spans,
            fmt="none",
            ecolor=style.INK,
            elinewidth=1.1,
            capsize=2.5,
        )
        label = f"{interactions.index}; lines: 90 % intervals"
    else:
        label = interactions.index
    style.literal([ax.set_xlabel(f"{label}\n{note}" if note else label, fontsize=style.SMALL)])
    style.rows(ax, at, labels, float(lines.sum()))
    return ax
