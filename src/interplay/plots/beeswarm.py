"""The effects of the same players in many explanations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.explanation.explanation import Explanation
from interplay.extensions import INDICES, IndexName
from interplay.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 40
_ROW = 0.42
"""The height of a row, in inches."""
_BINS = 110
"""Dots whose effects fall into the same of so many parts of the axis stand above each other."""
_STEP = 0.085
"""How far above each other, where a row's height is 1 and there is room."""
_SHADES = 0.88
"""The share of the colour map that is used: its end is too bright on white."""


@dataclass
class _Row:
    """The dots of one role: the effects, the features' values, and which may be zero."""

    effects: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    certain: list[bool] = field(default_factory=list)

    def add(self, effect: float, value: float, certain: bool) -> None:
        self.effects.append(effect)
        self.values.append(value)
        self.certain.append(certain)

    @property
    def size(self) -> float:
        """The mean size of the effects, by which rows are ranked."""
        return float(np.abs(self.effects).mean())


def beeswarm(
    explanations: Explanation | Iterable[Explanation],
    *,
    roles: Sequence[Sequence[str | Sequence[str]]] | None = None,
    values: Sequence[Sequence[float]] | None = None,
    index: IndexName | str = "SV",
    top: int = 10,
    output: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The effects of the same players in many explanations, a dot for each.

    A row is a player that all have: a feature of a table, or a role in a prompt. The row with the
    largest mean size is on top. Players of one explanation that have the same role count together.
    Of the rows below the ``top`` first ones each explanation has the sum, so that all its dots add
    up to the difference between everything and nothing (under Shapley values, and if each player
    has one role). Dots that may be zero are hollow. Explanations that are not usable are left out.

    Args:
        explanations: of several rows of a table, or of several prompts.
        roles: for each explanation what each of its players is: a role, or several. By default the
            features' names, or else the players' names.
        values: for each explanation the values of its players, by which dots are coloured. By
            default the features' values, where these are numbers.
        index: ``"SV"``, Shapley values, or ``"BV"``, Banzhaf values.
        top: how many roles to draw by themselves.
        output: which of several outputs; by default the first, of a comparison the difference.
        ax: where to draw; by default a new figure of fitting height.

    Raises:
        ValueError: there is no explanation; not a role or a value for each player; or a bad
            ``index``, ``top`` or ``output``.
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> import interplay as ip
        >>> from interplay import plots
        >>> games = [
        ...     ip.FunctionGame(lambda m, size=size: size * m[:, 0], 2, players=["a", "b"])
        ...     for size in (1.0, 2.0, -1.0)
        ... ]
        >>> axes = plots.beeswarm([ip.explain(game) for game in games])
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['a', 'b']
    """
    index, top = INDICES.named(index), style.at_least_one(top)
    if index not in ("SV", "BV"):
        raise ValueError(
            f"index={index!r} is none of single players; give 'SV' or 'BV', or draw plots.bars"
        )
    given = [explanations] if isinstance(explanations, Explanation) else list(explanations)
    if not given:
        raise ValueError("there is no explanation to draw; give at least one, better many")
    for name, lists in (("roles", roles), ("values", values)):
        if lists is not None and len(lists) != len(given):
            raise ValueError(
                f"{len(lists)} lists of {name} for {len(given)} explanations; give one for each"
            )
    output = style.output_of(given[0], output)
    rows: dict[str, _Row] = defaultdict(_Row)
    by_role: list[dict[str, float]] = []
    totals: list[float] = []
    for number, explanation in enumerate(given):
        if explanation.verdict.level == "not usable":
            continue
        of_players = _roles(explanation) if roles is None else roles[number]
        sizes = _values(explanation) if values is None else values[number]
        for name, entries in (("roles", of_players), ("values", sizes)):
            if len(entries) != len(explanation.players):
                raise ValueError(
                    f"{len(entries)} {name} for the {len(explanation.players)} players of "
                    f"explanation {number}; give one for each player"
                )
        effects, certain = _effects(explanation, index, output)
        by_role.append(_add(rows, effects, certain, sizes, of_players))
        totals.append(float(effects.sum()))
    ranked = sorted(rows, key=lambda role: -rows[role].size)
    drawn = ranked[:top]
    n_rest = len(ranked) - len(drawn)
    ax = style.axes(ax, 7.2, 1.3 + _ROW * (len(drawn) + bool(n_rest)))
    which = "Shapley values" if index == "SV" else "Banzhaf values"
    count = f"{len(by_role):,} explanation{'' if len(by_role) == 1 else 's'}"
    style.title(ax, f"{which} in {count}{style.of_output(given[0], output)}")
    if not drawn:
        style.nothing(ax, "none of the explanations is usable")
        return ax
    labels = [style.one_line(role, _LABEL) for role in drawn]
    swarms = [rows[role] for role in drawn]
    if n_rest:
        labels.append(f"{n_rest:,} others together" if n_rest > 1 else "1 other")
        swarms.append(_Row())
        for total, effects_of in zip(totals, by_role, strict=True):
            shown = sum(effects_of.get(role, 0.0) for role in drawn)
            swarms[-1].add(total - shown, nan, certain=True)
    _draw(ax, swarms)
    notes = ["effect on the score"]
    if not all(all(row.certain) for row in swarms):
        notes.append("hollow: may be zero")
    if len(by_role) < len(given):
        notes.append(f"{len(given) - len(by_role):,} that are not usable are left out")
    style.literal([ax.set_xlabel("; ".join(notes), fontsize=style.SMALL)])
    ax.set_yticks(range(len(labels)), labels)
    style.literal(ax.get_yticklabels())
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def _roles(explanation: Explanation) -> list[str]:
    """The features' names without their values, or the players' names."""
    described: list[Json] = explanation.provenance["game"]["description"].get("features") or []
    names = [str(feature["name"]) for feature in described if "name" in feature]
    return names if len(names) == len(explanation.players) else list(explanation.players)


def _values(explanation: Explanation) -> list[float]:
    """The features' values, NaN where they are no numbers."""
    described: list[Json] = explanation.provenance["game"]["description"].get("features") or []
    values = [_number(feature.get("value")) for feature in described]
    n_players = len(explanation.players)
    return values if len(values) == n_players else [nan] * n_players


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return nan
    return number if isfinite(number) else nan


def _effects(explanation: Explanation, index: str, output: int) -> tuple[FloatArray, BoolArray]:
    """The effect of each player, ``(n,)``, and whether it is distinguishable from zero."""
    interactions = explanation.interactions(index, order=1).output(output)
    alone = interactions.orders == 1
    players = interactions.members[alone][:, 0]
    effects = np.zeros(interactions.n_players)
    if interactions.rest is not None:
        effects += interactions.rest[1]
    certain = np.zeros(len(effects), dtype=np.bool_)
    effects[players] = interactions.values[alone]
    certain[players] = explanation.verdict.findings(interactions, output)[alone]
    return effects, certain


def _add(
    rows: dict[str, _Row],
    effects: FloatArray,
    certain: BoolArray,
    values: Sequence[float],
    roles: Sequence[str | Sequence[str]],
) -> dict[str, float]:
    """Add one explanation to the rows, and return its effects by role."""
    players: dict[str, list[int]] = defaultdict(list)
    for player, given in enumerate(roles):
        for role in [given] if isinstance(given, str) else dict.fromkeys(given):
            players[role].append(player)
    sums = {role: float(effects[members].sum()) for role, members in players.items()}
    for role, members in players.items():
        value = float(np.mean([values[player] for player in members]))
        rows[role].add(sums[role], value, bool(certain[members].any()))
    return sums


def _draw(ax: Axes, swarms: Sequence[_Row]) -> None:
    """Draw the dots, coloured by the values of each row where it has any that differ."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable

    shades = colormaps["viridis"]
    everything = np.concatenate([row.effects for row in swarms])
    width = float(np.ptp(everything)) or 1.0
    coloured = False
    ax.axvline(0, color=style.SOFT, linewidth=0.8, zorder=1)
    for height, row in enumerate(swarms):
        effects, certain = np.array(row.effects), np.array(row.certain)
        ranks = _shares(np.array(row.values))
        colours = np.array([style.SOFT] * len(effects), dtype=object)
        for at in np.flatnonzero(np.isfinite(ranks)):
            colours[at], coloured = tuple(shades(_SHADES * ranks[at])), True
        ax.axhline(height, color=style.LINE, linewidth=0.6, zorder=0)
        ax.scatter(
            effects,
            height + _offsets(effects, width),
            s=16 if len(effects) < 400 else 7,
            facecolors=[
                colour if known else "white" for colour, known in zip(colours, certain, strict=True)
            ],
            edgecolors=list(colours),
            linewidths=0.9,
            zorder=2,
        )
    ax.margins(x=0.04)
    if coloured:
        scale = ScalarMappable(cmap=shades)
        scale.set_clim(0.0, 1.0 / _SHADES)
        bar = ax.figure.colorbar(
            scale, ax=ax, boundaries=np.linspace(0, 1, 65), ticks=[0, 1], aspect=28, pad=0.02
        )
        bar.set_ticklabels(["low", "high"])
        bar.ax.tick_params(length=0, labelsize=style.SMALL)
        bar.set_label("the feature's value", fontsize=style.SMALL, labelpad=-12)
        bar.outline.set_visible(False)


def _shares(values: FloatArray) -> FloatArray:
    """Where values lie between their 5th and 95th percentile; NaN if they do not differ."""
    known = values[np.isfinite(values)]
    if not len(known) or np.ptp(known) == 0:
        return np.full(len(values), nan)
    low, high = np.percentile(known, [5, 95])
    if low == high:
        low, high = known.min(), known.max()
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def _offsets(effects: FloatArray, width: float) -> FloatArray:
    """How far each dot stands from its row's line, so that dots of about one effect do not overlap.

    The first dot of a part of the axis stands on the line, the next ones above and below in turn.
    """
    parts = np.floor(effects / width * _BINS).astype(np.int64)
    place: dict[int, int] = defaultdict(int)
    offsets = np.zeros(len(effects))
    for at in np.argsort(effects, kind="stable"):
        nth = place[int(parts[at])]
        place[int(parts[at])] += 1
        offsets[at] = (nth + 1) // 2 * (1 if nth % 2 else -1)
    largest = float(np.abs(offsets).max(initial=0.0))
    return offsets * min(_STEP, 0.42 / (largest or 1.0))
