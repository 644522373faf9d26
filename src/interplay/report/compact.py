"""The compact view of an explanation in a notebook: a few lines of HTML, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from interplay._arrays import as_columns
from interplay._types import visible
from interplay.explanation.differences import outcome_of
from interplay.explanation.explanation import Explanation
from interplay.explanation.verdict import Verdict
from interplay.fourier.interactions import Interactions

_ROWS = 5
_OUTPUTS = 4
_NAME = 60
_COLOURS = {
    "usable": "#3d8361",
    "weak": "#b98a1f",
    "not usable": "#b3261e",
    "unknown": "#808a97",
}
_PLUS, _MINUS = "37,111,190", "204,78,32"
_CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"
_NUMBER = "text-align:right;padding:2px 10px 2px 6px;white-space:nowrap"


def compact(parts: Sequence[tuple[str, Explanation]]) -> str:
    """The scores of explanations, each with a title, and their strongest interactions and players.

    Returns:
        HTML without scripts, styled in its elements, legible on light and on dark.
    """
    return visible("".join(_compact(title, explanation) for title, explanation in parts))


def _compact(title: str, explanation: Explanation) -> Markup:
    spectrum, outputs, provenance = (
        explanation.spectrum,
        explanation.outputs,
        explanation.provenance,
    )
    faithfulness, verdict = explanation.faithfulness, explanation.verdict
    interactions = spectrum.to(
        explanation.index, order=explanation.shown_order, players=explanation.players
    )
    chosen, by, outcome = list(range(min(len(outputs), _OUTPUTS))) or [0], None, Markup("")
    if explanation.compared is not None:
        by = explanation.first_output or 0
        chosen, came = [by, *explanation.sides], outcome_of(explanation)
        outcome = Markup("<div><b>{words}.</b> {reasons}</div>").format(
            words=came.words, reasons=" ".join(came.reasons)
        )
    shown = tuple(outputs[column] for column in chosen) if outputs else (interactions.index,)
    kind = "Faithfulness" if faithfulness.exact else "Held-out faithfulness"
    which = "" if by is not None else "the first "
    more = f", {which}{len(shown)} of {len(outputs)} outputs" if len(outputs) > len(shown) else ""
    return Markup(
        '<div style="font-family:system-ui,sans-serif;font-size:13px;line-height:1.5">'
        '<div style="border-left:4px solid {colour};padding-left:8px;margin-bottom:4px">'
        "<b>{level}.</b> {reasons}{warnings}</div>"
        "<div><b>{title}</b> · {n_terms} terms · {spent} ablations · {decoder}</div>"
        "<div>{kind}: {score}</div>{outcome}"
        '<div style="opacity:.7">{index}, order {order}{more}</div>'
        '<table style="border-collapse:collapse">{interactions}{singles}</table></div>'
    ).format(
        colour=_COLOURS[verdict.level],
        level=verdict.level.capitalize(),
        reasons=" ".join((*verdict.reasons, verdict.outlook)),
        warnings=Markup("").join(
            Markup('<div style="opacity:.8">{message}</div>').format(message=warning.message)
            for warning in verdict.warnings
        ),
        title=title,
        n_terms=len(spectrum),
        spent=provenance["budget"]["spent"],
        decoder=provenance["decoder"]["ran"],
        kind=kind,
        score=str(faithfulness),
        index=interactions.index,
        order=interactions.order,
        more=more,
        outcome=outcome,
        interactions=_rows("interactions", verdict, interactions, (2, None), shown, chosen, by),
        singles=_rows("single players", verdict, interactions, (1, 1), shown, chosen, by),
    )


def _rows(
    what: str,
    verdict: Verdict,
    interactions: Interactions,
    orders: tuple[int, int | None],
    outputs: tuple[str, ...],
    chosen: list[int],
    by: int | None,
) -> Markup:
    """The strongest findings; of what is none, only the number is given.

    Args:
        what: they are.
        verdict: of the explanation.
        interactions: its, of all outputs.
        orders: the fewest and the most players.
        outputs: the names of the columns.
        chosen: the numbers of these outputs.
        by: the output that they are ranked by; ``None``: all.
    """
    interactions, left_out = verdict.strongest(
        interactions, _ROWS, min_order=orders[0], max_order=orders[1], by=by
    )
    values = as_columns(interactions.values)
    columns = values[:, chosen]
    certain = verdict.findings(interactions).reshape(values.shape)[:, chosen]
    largest = np.abs(columns).max(axis=0, initial=0.0).tolist()
    full = [verdict.full_shade(most, at) for at, most in zip(chosen, largest, strict=True)]
    head = Markup('<tr><th style="{cell}">{what}</th>{names}</tr>').format(
        cell=_CELL,
        what=what,
        names=Markup("").join(
            Markup('<th style="{style}">{name}</th>').format(style=_NUMBER, name=_short(name))
            for name in outputs
        ),
    )
    foot = Markup("")
    if left_out:
        foot = Markup(
            '<tr><td style="{cell};opacity:.7" colspan="{width}">{line}</td></tr>'
        ).format(
            cell=_CELL,
            width=1 + len(outputs),
            line=f"{left_out} {'more ' if len(interactions) else ''}not distinguishable from zero",
        )
    if not len(interactions):
        none = Markup('<tr><td style="{cell}">none found</td></tr>').format(cell=_CELL)
        return head + (foot or none)
    lines = []
    for at, (members, row) in enumerate(zip(interactions.sets, columns, strict=True)):
        names = Markup(" × ").join(
            _name(interactions.players[player], player) for player in members
        )
        cells = Markup("").join(
            Markup(
                '<td style="{style};background:rgba({colour},{alpha})">{value}{span}</td>'
            ).format(
                style=_NUMBER,
                colour=_PLUS if value >= 0 else _MINUS,
                alpha=f"{0.5 * abs(value) / full[column] if certain[at, column] else 0.0:.2f}",
                value=f"{value:+.4g}" if certain[at, column] else f"(zero?) {value:+.4g}",
                span=_span(interactions, at, chosen[column]),
            )
            for column, value in enumerate(row.tolist())
        )
        lines.append(
            Markup('<tr><td style="{cell}">{names}</td>{cells}</tr>').format(
                cell=_CELL, names=names, cells=cells
            )
        )
    return head + Markup("").join(lines) + foot


def _name(name: str, player: int) -> Markup:
    """A player's name with its number; the number alone where that is its name."""
    if name == str(player):
        return Markup(player)
    return Markup('{name}<sub style="opacity:.6">{number}</sub>').format(
        name=_short(name), number=player
    )


def _span(interactions: Interactions, row: int, column: int) -> Markup:
    """The interval of a value, where there is one."""
    if interactions.low is None or interactions.high is None:
        return Markup("")
    low, high = (
        float(as_columns(ends)[row, column]) for ends in (interactions.low, interactions.high)
    )
    return Markup('<div style="font-size:10px;opacity:.7">{low} to {high}</div>').format(
        low=f"{low:+.3g}", high=f"{high:+.3g}"
    )


def _short(name: str) -> str:
    name = visible(name)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
