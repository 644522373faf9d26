"""What the plots have in common: colours, figures, and names made fit to be drawn."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from interplay._types import FloatArray, whole
from interplay.errors import MissingDependencyError
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.fourier.interactions import Interactions
from interplay.plots.fonts import families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.text import Text

PLUS, MINUS = "#256fbe", "#cc4e20"
INK, SOFT, LINE = "#1c2430", "#5b6675", "#d9dee5"
NO_FINDING = "#b5bdc8"
"""The colour of an effect that is not distinguishable from zero."""
SEVERAL = ("#256fbe", "#cc4e20", "#3a9d6e", "#8a5fb8", "#b8860b", "#5b6675")
"""Colours of several outputs, one after another and again."""
_TITLE = 48
SMALL = 8.0
"""The size of most of the writing, in points."""


def missing() -> MissingDependencyError:
    """What to raise where matplotlib is not installed."""
    return MissingDependencyError("matplotlib", "plot", "interplay.plots")


def colour(value: float) -> str:
    """Blue from zero on, orange below."""
    return PLUS if value >= 0 else MINUS


def diverging() -> Colormap:
    """Orange through white to blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("interplay", [MINUS, "#ffffff", PLUS])


def figure(width: float, height: float, *, fitted: bool = True) -> Figure:
    """A figure of so many inches, which pyplot shows.

    Args:
        width: in inches.
        height: in inches.
        fitted: let what is drawn make room for its labels.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise missing() from error
    return pyplot.figure(figsize=(width, height), layout="constrained" if fitted else "none")


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """The axes that were given, or those of a new figure; without a frame on top and right."""
    ax = figure(width, height).add_subplot() if ax is None else ax
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(SOFT)
    ax.tick_params(labelsize=SMALL, colors=INK)
    ax.tick_params(which="both", color=SOFT)
    return ax


def title(ax: Axes, words: str) -> None:
    """A title on the left; what stands in brackets on a line of its own where it is long."""
    words = one_line(words, 110)
    if len(words) > _TITLE:
        words = words.replace(" (", "\n(", 1)
    literal([ax.set_title(words, loc="left", fontsize=10, color=INK)])


def rows(ax: Axes, at: Sequence[float] | FloatArray, labels: Sequence[str], height: float) -> None:
    """Label bars that lie one below the other, with lines behind them at the ticks of their values.

    Args:
        ax: the axes.
        at: the middle of each, from the top.
        labels: of each.
        height: of all together.
    """
    ax.set_yticks(at, labels)
    literal(ax.get_yticklabels())
    ax.set_ylim(height, 0)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=LINE, linewidth=0.6)
    ax.set_axisbelow(True)


def literal(texts: Iterable[Text]) -> None:
    """Draw texts as they are: a dollar sign begins no formula, and fonts have their characters."""
    texts = list(texts)
    names = families(text.get_text() for text in texts)
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(names)


def one_line(name: str, limit: int) -> str:
    """A name without line breaks and control characters, at most so long."""
    flat = re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", name).strip()
    return flat if len(flat) <= limit else f"{flat[: limit - 1].rstrip()}…"


def joint_label(interactions: Interactions, members: Iterable[int], width: int) -> str:
    """The players of a set with their numbers, on one line, or on a line each where it is long."""
    members = tuple(members)
    names = [numbered(interactions, player, width) for player in members]
    whole = " × ".join(names)
    return whole if len(whole) <= width else " ×\n".join(names)


def numbered(interactions: Interactions, player: int, width: int) -> str:
    """A player's number and name; the number alone where that is its name."""
    name = interactions.players[player]
    if name == str(player):
        return name
    return f"{player} {one_line(name, width - len(str(player)) - 1)}"


def wrapped(name: str, width: int, lines: int) -> str:
    """A name on a few lines."""
    flat = one_line(name, width * lines)
    return "\n".join(textwrap.wrap(flat, width, max_lines=lines, placeholder="…")) or flat


def output_of(explanation: Explanation, output: int | None) -> int:
    """The output that is drawn: the one that was asked for, or that reports begin with."""
    return (explanation.first_output or 0) if output is None else output


def chosen(
    explanation: Explanation, index: IndexName | str | None, order: int, output: int
) -> tuple[Interactions, str]:
    """The interactions of one output, and what they are, in words.

    Raises:
        ValueError: there is no such output; or what ``Spectrum.to`` raises.
    """
    interactions = explanation.interactions(index, order=order).output(output)
    return (
        interactions,
        f"{interactions.index}, order {interactions.order}{of_output(explanation, output)}",
    )


def strongest(
    explanation: Explanation, interactions: Interactions, top: int, min_order: int, output: int
) -> tuple[Interactions, str]:
    """The strongest findings of one output, and what is left out or missing, in words.

    Values that are not distinguishable from zero are not drawn: a bar looks like a finding.
    """
    verdict = explanation.verdict
    shown, left_out = verdict.strongest(
        interactions, at_least_one(top), min_order=min_order, output=output
    )
    if verdict.level == "not usable":
        return shown, "not usable: not shown to predict better than the mean does"
    if left_out:
        which = f"{left_out:,} more are" if len(shown) else "none is"
        return shown, f"{which} distinguishable from zero".replace("are dis", "are not dis")
    return shown, "" if len(shown) else "no interactions found"


def finding_colours(
    explanation: Explanation, interactions: Interactions, players: Iterable[int], output: int
) -> list[str]:
    """The colours of single players' effects: grey for those that are no findings."""
    effects = explanation.verdict.shaded_effects(interactions, output)
    return [colour(effects[player]) if effects[player] else NO_FINDING for player in players]


def of_output(explanation: Explanation, output: int) -> str:
    """Which output, where there are several."""
    return f", output {one_line(explanation.outputs[output], 30)}" if explanation.outputs else ""


def at_least_one(top: int) -> int:
    """A number of interactions.

    Raises:
        ValueError: it is below 1.
    """
    if whole("top", top) < 1:
        raise ValueError(f"top={top} is below 1; give the number of interactions to draw")
    return top


def nothing(ax: Axes, what: str) -> None:
    """Write that there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, what, ha="center", va="center", color=SOFT, transform=ax.transAxes)


def save(page: Figure, path: Path, format: str, dpi: int) -> None:  # noqa: A002
    """Write a figure, the same bytes each time, and forget it."""
    from matplotlib import pyplot, rc_context

    with rc_context({"svg.hashsalt": "interplay"}):
        page.savefig(
            path,
            format=format,
            dpi=dpi,
            bbox_inches="tight",
            metadata={"Date": None} if format == "svg" else None,
        )
    pyplot.close(page)
