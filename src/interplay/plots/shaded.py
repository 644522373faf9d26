"""The prompt as it was read, each segment shaded by its own effect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray, Json
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.game import cut_at
from interplay.plots import style
from interplay.plots.fonts import families

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 6.6
"""Of the text, in inches."""
_SIZE = 9.5
"""Of the letters, in points."""
_LEADING = 1.75
_MARGIN, _TITLE, _LEGEND = 12.0, 26.0, 30.0
"""Around the text, above it and, for the scale of colours, below it, in points."""
_DPI = 600
_ROUNDING = 1.04
"""Words are measured without a screen's rounding, given room for it, and drawn each at its own
place, so that what a screen adds to or takes from their widths does not add up along the line."""
_NUMBERED = 60
"""Up to so many players each carries its number; beyond, those of the strongest interactions."""
_STRONGEST = 10


@dataclass(frozen=True)
class _Piece:
    """A part of a line: where it begins and ends, in points, and whose it is."""

    words: str
    line: int
    left: float
    right: float
    player: int | None
    first: bool


def text(
    explanation: Explanation,
    *,
    index: IndexName | str | None = None,
    order: int = 3,
    output: int | None = None,
) -> Axes:
    """The prompt, each segment shaded by its own effect; what is always there is grey.

    Effects that are not distinguishable from zero are not shaded. The strongest shade is that of
    the largest effect, or of a tenth of the score's range if that is more.

    Args:
        explanation: of a text.
        index: the interaction index whose values of single players are shown; by default the
            explanation's.
        order: its largest order.
        output: which of several outputs; by default the first, of a comparison the difference.

    Raises:
        ValueError: the explanation is not of a text; a bad ``index``, ``order`` or ``output``.
        MissingDependencyError: matplotlib is not installed.
    """
    description = explanation.provenance["game"]["description"]
    if not description.keys() & {"spans", "pieces"}:
        raise ValueError(
            f"{explanation.title} has no text to shade; plots.bars(explanation, min_order=1) shows "
            "single players of any explanation"
        )
    output = style.output_of(explanation, output)
    interactions, what = style.chosen(explanation, index, order, output)
    effects = explanation.verdict.shaded_effects(interactions, output)
    numbered = set(range(interactions.n_players))
    if interactions.n_players > _NUMBERED:
        numbered = {
            player
            for members in explanation.verdict.strongest(
                interactions, _STRONGEST, min_order=2, output=output
            )[0].sets
            for player in members
        }
    measure = _measure(description["text"])
    pieces = list(_lines(_parts(description), numbered, 72 * _WIDTH, measure))
    step = _LEADING * _SIZE
    n_lines = 1 + max((piece.line for piece in pieces), default=0)
    inside = (72 * _WIDTH, n_lines * step + _LEGEND)
    width, height = inside[0] + 2 * _MARGIN, inside[1] + 2 * _MARGIN + _TITLE
    page = style.figure(width / 72, height / 72, fitted=False)
    # so that one unit of the axes is a point, as the widths of words are
    ax = page.add_axes((_MARGIN / width, _MARGIN / height, inside[0] / width, inside[1] / height))
    ax.set_axis_off()
    ax.set(xlim=(0, inside[0]), ylim=(inside[1], 0))
    style.title(ax, f"Each segment's own effect ({what})")
    largest = explanation.verdict.full_shade(float(np.abs(effects).max(initial=0.0)), output)
    _draw(ax, pieces, effects, numbered, step, measure, largest)
    return ax


def _draw(
    ax: Axes,
    pieces: list[_Piece],
    effects: FloatArray,
    numbered: set[int],
    step: float,
    measure: Callable[[str], float],
    largest: float,
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import FancyBboxPatch

    # at its strongest the shade still lets the words be read
    shade = ScalarMappable(Normalize(-1.7 * largest, 1.7 * largest), style.diverging())
    for piece in pieces:
        top = piece.line * step
        ink = style.SOFT if piece.player is None else style.INK
        if piece.player is not None and piece.right > piece.left:
            ax.add_artist(
                FancyBboxPatch(
                    (piece.left - 0.5, top + 0.14 * step),
                    piece.right - piece.left + 1.8,
                    0.76 * step,
                    boxstyle="round,pad=0,rounding_size=2",
                    facecolor=shade.to_rgba(effects[piece.player]),
                    edgecolor="#c3cad3",
                    linewidth=0.4,
                )
            )
        at = piece.left
        if piece.player is not None and piece.first and piece.player in numbered:
            ax.text(
                at + 0.5, top + 0.34 * step, str(piece.player), fontsize=5.5, color=style.SOFT,
                va="center",
            )  # fmt: skip
            at += _room(piece.player)
        style.literal(
            ax.text(
                at + measure(piece.words[: word.start()]),
                top + 0.68 * step,
                word[0],
                fontsize=_SIZE,
                color=ink,
                va="baseline",
            )
            for word in re.finditer(r"\S+", piece.words)
        )
    legend = ax.inset_axes((0, ax.get_ylim()[0] - 16, 160, 6), transform=ax.transData)
    legend.imshow(
        shade.to_rgba(np.linspace(-largest, largest, 256))[None],
        aspect="auto",
        extent=(-largest, largest, 0, 1),
    )
    legend.set_yticks([])
    legend.spines[:].set_visible(False)
    legend.tick_params(labelsize=7, length=2, color=style.SOFT)
    legend.locator_params(axis="x", nbins=5)


def _room(player: int) -> float:
    """The width of a player's number, in points."""
    return 1.5 + 3.6 * len(str(player))


def _measure(prompt: str) -> Callable[[str], float]:
    """The width of words of a prompt, in points."""
    try:
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.font_manager import FontProperties
    except ImportError as error:
        raise style.missing() from error

    renderer: Any = RendererAgg(1, 1, _DPI)  # type: ignore[no-untyped-call]
    font = FontProperties(family=families([prompt]), size=_SIZE)

    @cache
    def width(words: str) -> float:
        pixels = renderer.get_text_width_height_descent(words, font, ismath=False)[0]
        return float(pixels) * _ROUNDING * 72 / _DPI

    return width


def _lines(
    parts: Iterable[tuple[int | None, str]],
    numbered: set[int],
    width: float,
    measure: Callable[[str], float],
) -> Iterator[_Piece]:
    """Break a prompt into lines; a segment has a piece on each line that it is on."""
    at, line = 0.0, 0
    for player, words in parts:
        first, start, held = True, at, ""
        room = _room(player) if player is not None and player in numbered else 0.0
        for token in _tokens(words, width, measure):
            if token == "\n":
                if held.strip():
                    yield _Piece(held.rstrip(), line, start, start + room + measure(held.rstrip()),
                                 player, first)  # fmt: skip
                    first, room = False, 0.0
                at, line, start, held = 0.0, line + 1, 0.0, ""
                continue
            if start + room + measure((held + token).rstrip()) > width and (held or start):
                if held.strip():
                    yield _Piece(held.rstrip(), line, start, start + room + measure(held.rstrip()),
                                 player, first)  # fmt: skip
                    first, room = False, 0.0
                line, start, held = line + 1, 0.0, ""
                token = token.lstrip()
            held += token
        if held.strip():
            shown = held.rstrip()
            yield _Piece(shown, line, start, start + room + measure(shown), player, first)
        at = start + (room if held.strip() else 0.0) + measure(held)
        # a gap between neighbours that have no white space between them
        at += 2.0 if player is not None and held == held.rstrip() else 0.0


def _parts(description: Json) -> Iterator[tuple[int | None, str]]:
    """The prompt in order: what is fixed, and the players'."""
    if "pieces" in description:  # of a game whose players are not just spans
        yield from ((player, words) for words, player in description["pieces"])
        return
    prompt = description["text"]
    for start, stop, player in cut_at(prompt, description["spans"]):
        yield player, prompt[start:stop]


def _tokens(words: str, width: float, measure: Callable[[str], float]) -> Iterator[str]:
    """Line breaks, and words with the white space before them; a word too long is cut."""
    for token in re.findall(r"\n|[^\S\n]*\S+|[^\S\n]+", words):
        if token == "\n":
            yield token
            continue
        token = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", token)
        while measure(token) > 0.9 * width:
            cut = max(1, int(0.9 * width / measure(token) * len(token)))
            yield token[:cut]
            token = token[cut:]
        yield token
