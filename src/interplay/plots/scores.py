"""How far an explanation can be believed: energy by order, predictions, and the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interplay._arrays import as_columns
from interplay.explanation.curve import budget_curve
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import checked_output
from interplay.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND = 12
_DOTS = 5000


def energy(explanation: Explanation, *, ax: Axes | None = None) -> Axes:
    """The share of the variation that the spectrum has at each order, of every output.

    It is the variation over masks of the explanation's measure.

    Args:
        explanation: what to draw.
        ax: where to draw; by default a new figure.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    count = explanation.spectrum.n_outputs or 1
    spectra = [explanation.spectrum.output(at).relative for at in range(count)]
    measure = explanation.measure
    by_output = [measure.variance_by_order(spectrum)[1:, 0] for spectrum in spectra]
    orders = max(map(len, by_output))
    ax = style.axes(ax, 4.2, 3.0)
    style.title(ax, "Share of the variation by order")
    if not orders or not max(part.sum() for part in by_output):
        style.nothing(ax, "the score does not vary")
        return ax
    width = 0.8 / count
    for at, parts in enumerate(by_output):
        shares = np.zeros(orders)
        shares[: len(parts)] = 100 * parts / (parts.sum() or 1.0)
        place = np.arange(1, orders + 1) + (at - (count - 1) / 2) * width
        name = style.one_line(explanation.outputs[at], 30) if explanation.outputs else None
        drawn = ax.bar(
            place, shares, width * 0.94, color=style.SEVERAL[at % len(style.SEVERAL)], label=name
        )
        if count == 1:
            ax.bar_label(drawn, fmt="%.1f", fontsize=style.SMALL, color=style.INK, padding=2)
    if 1 < count <= _LEGEND:
        legend = ax.legend(frameon=False, fontsize=style.SMALL)
        style.literal(legend.get_texts())
    ax.set_xticks(range(1, orders + 1))
    ax.set_xlabel("players acting together", fontsize=style.SMALL)
    ax.set_ylabel("% of the variation", fontsize=style.SMALL)
    ax.margins(y=0.12)
    return ax


def faithfulness(
    explanation: Explanation, *, output: int | None = None, ax: Axes | None = None
) -> Axes:
    """Predicted against actual scores, on the ablations that took no part in the fit.

    Of a small game that was ablated in full they are all its ablations, and the title says so.

    Args:
        explanation: what to draw.
        output: which of several outputs; by default the first, of a comparison the difference.
        ax: where to draw; by default a new figure.

    Raises:
        ValueError: there is no such output.
        MissingDependencyError: matplotlib is not installed.
    """
    output = style.output_of(explanation, output)
    output = checked_output(output, explanation.spectrum.n_outputs)
    held, score = explanation.held_out, explanation.faithfulness
    actual = as_columns(held.values)[:, output]
    predicted = as_columns(explanation.predict_held_out())[:, output]
    rows = np.unique(np.linspace(0, len(held) - 1, min(len(held), _DOTS)).astype(int))
    ax = style.axes(ax, 4.2, 4.2)
    which = f"all {len(held)} ablations" if score.exact else f"{len(held)} held-out ablations"
    style.title(ax, f"{which}{style.of_output(explanation, output)}")
    low, high = (float(end) for end in (np.min([actual, predicted]), np.max([actual, predicted])))
    pad = 0.04 * ((high - low) or 1.0)
    ends = (low - pad, high + pad)
    ax.plot(ends, ends, color=style.SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    ax.scatter(
        actual[rows],
        predicted[rows],
        s=18,
        color=style.PLUS,
        alpha=0.55 if len(rows) < 1000 else 0.2,
        linewidths=0,
    )
    known = np.isfinite(score.by_output[output])
    label = f"R² = {score.by_output[output]:.3f}" if known else "R² is not known"
    if not explanation.outputs and score.varies and not score.exact:
        label += f"\n{score.level:.0%} interval {score.low:.3f} to {score.high:.3f}"
    ax.text(0.03, 0.97, label, transform=ax.transAxes, va="top", fontsize=style.SMALL)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set_xlabel("actual", fontsize=style.SMALL)
    ax.set_ylabel("predicted", fontsize=style.SMALL)
    return ax


def budget(explanation: Explanation, *, points: int = 6, ax: Axes | None = None) -> Axes:
    """The held-out score of fits to fewer and fewer of the explanation's own ablations.

    Decodes anew for each point and does not evaluate the game; see
    :func:`interplay.explanation.curve.budget_curve` for which decoder, which the plot names.
    Several outputs are averaged.

    Args:
        explanation: what to draw.
        points: how many fits, at least 2.
        ax: where to draw; by default a new figure.

    Raises:
        ValueError: ``points`` is below 2, or there are too few ablations for a smaller fit.
        MissingDependencyError: matplotlib is not installed.
    """
    ax = style.axes(ax, 4.8, 3.4)
    curve = budget_curve(explanation, points=points)
    low = [score.low for score in curve.scores]
    high = [score.high for score in curve.scores]
    r2 = [score.r2 for score in curve.scores]
    ax.fill_between(curve.n_fit, low, high, color=style.PLUS, alpha=0.15, linewidth=0)
    ax.plot(curve.n_fit, r2, color=style.PLUS, marker="o", markersize=4, linewidth=1.5)
    ax.set_xscale("log")
    ax.set_xticks(curve.n_fit, [f"{count:,}" for count in curve.n_fit])
    ax.minorticks_off()
    level = curve.scores[-1].level
    style.title(ax, f"Faithfulness by budget (decoder {curve.decoder}, order {curve.order})")
    ax.set_xlabel("ablations in the fit", fontsize=style.SMALL)
    ax.set_ylabel(
        f"R² on {curve.n_held_out} held-out ablations\n(shaded: {level:.0%} interval)",
        fontsize=style.SMALL,
    )
    # an R2 far below zero says no more than one at zero
    ax.set_ylim(max(min(*low, 0.0), -0.5), 1.03)
    ax.axhline(0, color=style.LINE, linewidth=0.8, zorder=0)
    ax.axhline(1, color=style.LINE, linewidth=0.8, zorder=0)
    return ax
