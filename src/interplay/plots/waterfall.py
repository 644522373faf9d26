"""Contributions as steps from the value of nothing to that of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interplay._types import FloatArray
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.plots import style
from interplay.plots.contributions import contributions, is_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 46
_THICK = 0.8


def waterfall(
    explanation: Explanation,
    *,
    index: IndexName | str = "SV",
    order: int = 2,
    top: int = 10,
    output: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The contributions as steps that lead from the value of nothing to that of everything.

    The strongest is on top. A step of its own is drawn for each of the ``top`` strongest, and one
    for the sum of all others. The steps add up exactly, since both ends are measured. A line on a
    step is the 90 % interval of that contribution. Contributions that may be zero are grey: they
    are part of the sum and are no findings.

    Args:
        explanation: what to draw.
        index: ``"SV"``, Shapley values: what each player adds on average. ``"k-SII"``, ``"STII"``
            or ``"FSII"``: with interactions as steps of their own.
        order: the largest order of interactions; Shapley values have none.
        top: how many contributions to draw by themselves.
        output: which of several outputs; by default the first, of a comparison the difference.
        ax: where to draw; by default a new figure of fitting height.

    Raises:
        ValueError: the values of the index do not add up, or an end was not measured; or a bad
            ``index``, ``order``, ``top`` or ``output``.
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> import interplay as ip
        >>> from interplay import plots
        >>> game = ip.FunctionGame(lambda masks: 2.0 * masks[:, 0] + masks[:, 1], 4)
        >>> axes = plots.waterfall(ip.explain(game))
        >>> [float(bar.get_width()) for bar in axes.patches]
        [2.0, 1.0]
    """
    steps, what = contributions(explanation, index, order, top, output)
    labels = [steps.label(row, _LABEL) for row in range(len(steps.values))]
    values, colours = steps.values.tolist(), [steps.colour(row) for row in range(len(labels))]
    if steps.has_rest:
        labels.append(steps.rest_label)
        values.append(steps.rest)
        colours.append("none")
    # a row is as high as its label has lines
    heights = np.array([1.6, *(label.count("\n") + 1.6 for label in labels), 1.6])
    ax = style.axes(ax, 7.2, 0.9 + 0.155 * float(heights.sum()))
    whole, nothing = steps.ends
    # "from nothing to everything"
    ends = " to ".join(end.removeprefix("with ") for end in (nothing, whole))
    style.title(ax, f"From {ends} ({what})")
    if not is_drawn(steps):
        style.nothing(ax, steps.note)
        return ax
    at = np.cumsum(heights) - heights / 2
    begins = steps.baseline + np.concatenate([[0.0], np.cumsum(values)])
    begins[-1] = steps.full  # the sum less its rounding
    ax.barh(
        at[1:-1],
        values,
        _THICK,
        left=begins[:-1],
        color=colours,
        edgecolor=[style.SOFT if colour == "none" else colour for colour in colours],
        linewidth=0.8,
    )
    low, high = steps.interactions.low, steps.interactions.high
    if low is not None and high is not None:
        ax.errorbar(
            begins[1 : len(steps.values) + 1],
            at[1 : len(steps.values) + 1],
            xerr=(high - low) / 2,
            fmt="none",
            ecolor=style.INK,
            elinewidth=1.1,
            capsize=2.5,
        )
    ax.scatter(begins[[0, -1]], at[[0, -1]], s=26, color=style.INK, zorder=3)
    # from the end of a step to the next one
    ax.vlines(begins, at[:-1], at[1:], color=style.SOFT, linewidth=0.7, zorder=0)
    _numbers(ax, at, values, begins, None if high is None else high - steps.values)
    notes = [steps.note] * bool(steps.note)
    if high is not None:
        notes.insert(0, "lines: 90 % intervals")
    style.literal([ax.set_xlabel("; ".join(["score", *notes]), fontsize=style.SMALL)])
    style.rows(ax, at, [nothing, *labels, whole], float(heights.sum()))
    return ax


def _numbers(
    ax: Axes,
    at: FloatArray,
    values: list[float],
    begins: FloatArray,
    widths: FloatArray | None,
) -> None:
    """Write each value to the right of its step and of its interval, and make room for them."""
    ends = np.maximum(begins[:-1], begins[1:])
    if widths is not None:
        whiskers = begins[1 : len(widths) + 1] + widths
        ends[: len(widths)] = np.maximum(ends[: len(widths)], whiskers)
    texts = [f"{begins[0]:.4g}", *(f"{value:+.3g}" for value in values), f"{begins[-1]:.4g}"]
    places = [begins[0], *ends, begins[-1]]
    for text, place, height in zip(texts, places, at, strict=True):
        ax.annotate(
            text,
            (place, height),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL,
            color=style.INK,
        )
    ax.margins(x=0.03)
    left, right = ax.get_xlim()
    ax.set_xlim(left, right + 0.11 * (right - left))
