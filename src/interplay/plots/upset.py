"""An UpSet plot: interactions in columns, players in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABEL = 40


def upset(
    explanation: Explanation,
    *,
    index: IndexName | str | None = None,
    order: int = 3,
    top: int = 20,
    output: int | None = None,
) -> Figure:
    """The strongest interactions in columns, over a table of their players.

    On the right each player's own effect, grey if it is not distinguishable from zero. Such
    interactions are left out. After Lex et al. 2014 (UpSet), with signed bars.

    Args:
        explanation: what to draw.
        index: the interaction index; by default the explanation's.
        order: its largest order.
        top: how many interactions.
        output: which of several outputs; by default the first, of a comparison the difference.

    Raises:
        ValueError: a bad ``index``, ``order``, ``top`` or ``output``.
        MissingDependencyError: matplotlib is not installed.
    """
    output = style.output_of(explanation, output)
    interactions, what = style.chosen(explanation, index, order, output)
    shown, note = style.strongest(explanation, interactions, top, 2, output)
    players = sorted({player for members in shown.sets for player in members})
    n_columns, n_rows = max(len(shown), 1), max(len(players), 1)
    page = style.figure(3.6 + 0.24 * n_columns + 1.2, 2.2 + 0.21 * n_rows)
    grid = page.add_gridspec(2, 2, width_ratios=(n_columns, 5), height_ratios=(9, n_rows))
    above = style.axes(page.add_subplot(grid[0, 0]), 0, 0)
    style.title(above, f"Strongest interactions ({what})")
    if not len(shown):
        style.nothing(above, note)
        return page
    column = np.arange(len(shown))
    colours = [style.colour(value) for value in shown.values]
    above.bar(column, shown.values, 0.66, color=colours)
    if shown.low is not None and shown.high is not None:
        spans = np.stack([shown.values - shown.low, shown.high - shown.values])
        above.errorbar(
            column, shown.values, yerr=spans, fmt="none", ecolor=style.INK, elinewidth=1, capsize=2
        )
    above.axhline(0, color=style.SOFT, linewidth=0.8)
    above.set_ylabel(interactions.index, fontsize=style.SMALL)
    above.set_xticks([])
    above.spines["bottom"].set_visible(False)
    above.grid(axis="y", color=style.LINE, linewidth=0.6)
    above.set_axisbelow(True)

    table = style.axes(page.add_subplot(grid[1, 0], sharex=above), 0, 0)
    row = {player: number for number, player in enumerate(players)}
    for number in range(0, len(players), 2):
        table.axhspan(number - 0.5, number + 0.5, color="#f2f4f7", zorder=0, linewidth=0)
    table.scatter(
        np.tile(column, len(players)),
        np.repeat(np.arange(len(players)), len(column)),
        s=9,
        color=style.LINE,
        linewidths=0,
        zorder=1,
    )
    for at, members in enumerate(shown.sets):
        rows = [row[player] for player in members]
        table.plot([at] * len(rows), rows, color=colours[at], linewidth=1.4, zorder=2)
        table.scatter([at] * len(rows), rows, s=30, color=colours[at], linewidths=0, zorder=3)
    table.set_yticks(
        range(len(players)), [style.numbered(interactions, player, _LABEL) for player in players]
    )
    style.literal(table.get_yticklabels())
    table.set_xticks([])
    table.set(xlim=(-0.7, n_columns - 0.3), ylim=(n_rows - 0.5, -0.5))
    table.tick_params(axis="y", length=0)
    table.spines[:].set_visible(False)

    alone = style.axes(page.add_subplot(grid[1, 1], sharey=table), 0, 0)
    effects = [float(interactions[[player]]) for player in players]
    alone.barh(
        range(len(players)),
        effects,
        0.6,
        color=style.finding_colours(explanation, interactions, players, output),
    )
    alone.axvline(0, color=style.SOFT, linewidth=0.8)
    alone.tick_params(axis="y", left=False, labelleft=False)
    alone.locator_params(axis="x", nbins=3)
    alone.spines["left"].set_visible(False)
    alone.set_xlabel(f"{interactions.index} alone", fontsize=style.SMALL)
    return page
