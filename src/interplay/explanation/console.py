"""An explanation in words and tables: what the command line shows, and ``print(explanation)``."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from interplay._arrays import as_columns
from interplay._types import Json, visible
from interplay.ablation.terminal import Terminal
from interplay.explanation.cheaper import CHEAPER, in_words
from interplay.explanation.decisive import DecisiveSet
from interplay.explanation.differences import details_said, outcome_of, test_said, verdicts_said
from interplay.explanation.explanation import Explanation
from interplay.explanation.findings import findings
from interplay.explanation.reading import SHOWN_ORDER
from interplay.explanation.removal import Removal
from interplay.explanation.wording import signs
from interplay.fourier.interactions import LEVEL, Interactions

Part: TypeAlias = str | Text | Table
"""What is shown, from top to bottom. Texts of rich's markup, where names are escaped."""

COLUMNS = 80
"""The width of a text that is not shown on a terminal; tables are made to fit it."""
ORDER, TOP = SHOWN_ORDER, 10
_LONG = 100
"""Names of a set that are longer together stand one below the other."""
_LARGE = 1e5
"""From this size on values are written with an exponent."""
_SHOWN_ENDS = 4
_HEADER = 12
"""Columns that the name of an output may ask for; a longer one is folded."""
_PLAYERS = 30
"""Columns that are kept for the players' names."""
_COLOURS = {"usable": "green", "weak": "yellow", "not usable": "bold red", "unknown": "yellow"}


def as_text(parts: Sequence[tuple[str, Explanation]]) -> str:
    """Explanations as plain text, as the command line shows them on 80 columns.

    Args:
        parts: explanations, each with a title; of several, the titles are shown.
    """
    shown = []
    for title, explanation in parts:
        terminal = Terminal(file=io.StringIO(), width=COLUMNS, color_system=None)
        if len(parts) > 1:
            terminal.print(title, markup=False)
        for part in shown_of(explanation):
            terminal.print(part)
        lines = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]
        shown.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(shown) + "\n"


def shown_of(
    explanation: Explanation,
    index: str | None = None,
    order: int | None = None,
    top: int = TOP,
    *,
    everything: bool = False,
) -> Iterator[Part]:
    """The verdict, the strongest players and interactions, the faithfulness, and the cost.

    Args:
        explanation: what to show.
        index: the interaction index; ``None``: the explanation's.
        order: its largest order; ``None``: the explanation's.
        top: the most rows of a table.
        everything: list values too that are not distinguishable from zero.
    """
    yield from verdict(explanation)
    if explanation.compared is not None:
        outcome = outcome_of(explanation)
        yield Text(visible(f"{outcome.words}. {' '.join(outcome.reasons)}"), style="bold")
    yield from _ends(explanation)
    for finding in findings(explanation):
        yield Text(f"- {finding}")
    index, order = index or explanation.index, order or explanation.shown_order
    doubt = explanation.extrapolated(index)
    if doubt is not None:
        yield Text(f"  {doubt}", style="yellow")
    interactions = explanation.spectrum.to(index, order=order, players=explanation.players)
    if not interactions.filter().strength.any():
        yield "No player changes the value, alone or with others: there is nothing to rank."
    else:
        for what, least, most in (("single players", 1, 1), ("interactions", 2, None)):
            yield from _strongest(explanation, interactions, what, least, most, top, everything)
    removal = explanation.removal
    yield from decided(explanation.decisive, removal)
    yield from run(explanation)
    yield from confirmed(explanation)


def verdict(explanation: Explanation) -> Iterator[Part]:
    """Whether the explanation may be used, and why."""
    judged = explanation.verdict
    text = Text(f"{judged.level.capitalize()}.", style=_COLOURS[judged.level])
    yield text.append(f" {' '.join(judged.reasons)} {judged.outlook}", style="default not bold")
    for warning in judged.warnings:
        yield Text(f"  {warning.code}: {warning.message}")


def _ends(explanation: Explanation) -> Iterator[Part]:
    """The values of the full and of the empty input, of up to four outputs."""
    if explanation.ends is None:
        return
    rows = explanation.ends.reshape(2, -1)
    names = explanation.outputs or ("",) * rows.shape[1]
    shown = [
        ", ".join(
            f"{name} {value:.4g}".strip()
            for name, value in zip(names[:_SHOWN_ENDS], row[:_SHOWN_ENDS].tolist(), strict=True)
        )
        for row in rows
    ]
    shown = list(map(visible, shown))
    more = ", ..." if rows.shape[1] > _SHOWN_ENDS else ""
    several = explanation.outputs and explanation.compared is None  # 0 is a border of the first
    meant = "" if several else signs(explanation.provenance["game"]["description"])
    tail = visible(f" ({meant})") if meant else ""
    whole, nothing = explanation.removal.ends
    line = f"{whole.capitalize()}: {shown[0]}{more}; {nothing}: {shown[1]}{more}{tail}"
    yield Text(line, style="dim")


def _strongest(
    explanation: Explanation,
    interactions: Interactions,
    what: str,
    least: int,
    most: int | None,
    top: int,
    everything: bool,
) -> Iterator[Part]:
    """The strongest sets of some sizes, or that there are none."""
    chosen, left_out = explanation.verdict.strongest(
        interactions,
        top,
        min_order=least,
        max_order=most,
        by=explanation.first_output if explanation.compared else None,
        everything=everything,
    )
    none = f"{left_out:,} {what} are not distinguishable from zero"
    if not len(chosen):
        yield f"No {what} to report" + (f": {none} (show --all lists them)." if left_out else ".")
        return
    certain = explanation.verdict.findings(chosen).reshape(len(chosen), -1)
    title = f"Strongest {what}" if certain.any() else f"No findings, but fitted: {what}"
    interval = "" if chosen.high is None else f", ± {LEVEL:.0%} interval"
    table = Table(
        title=f"{title} ({interactions.index}, order {interactions.order}{interval})",
        title_justify="left",
        min_width=60,
    )
    cells = [
        [
            number if certain[row, column] else f"(zero?) {number}"
            for column, number in enumerate(_numbers(chosen, row))
        ]
        for row in range(len(chosen))
    ]
    outputs = explanation.outputs or ("value",)
    if explanation.compared is not None:
        by = explanation.first_output or 0
        both = as_columns(chosen.values)[:, explanation.sides].tolist()
        outputs = (outputs[by], " → ".join(explanation.compared))
        cells = [
            [cells[row][by], f"{old:+.3g} → {new:+.3g}"] for row, (old, new) in enumerate(both)
        ]
    widths = [
        max(min(len(output), _HEADER), *(len(row[column]) for row in cells))
        for column, output in enumerate(outputs)
    ]
    if len(outputs) > 1 and sum(width + 3 for width in widths) + _PLAYERS > COLUMNS:
        strongest = np.abs(chosen.values).argmax(axis=1)
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column(f"largest of {len(outputs)} outputs", justify="right", max_width=32)
        cells = [
            [f"{chosen.strength[row]:.3g}", f"{cells[row][at]} at {outputs[at]}"]
            for row, at in enumerate(strongest.tolist())
        ]
    else:
        for output, width in zip(outputs, widths, strict=True):
            header = Text(output, overflow="fold")
            table.add_column(header, justify="right", min_width=width, max_width=width)
    table.add_column("players")
    for row, players in enumerate(chosen.sets):
        names = [_name(player, explanation.players[player]) for player in players]
        styled = (
            Text(cell, style="dim" if cell.startswith("(zero?)") else "") for cell in cells[row]
        )
        table.add_row(*styled, _set(names))
    yield table
    if left_out:
        yield Text(none + ("" if everything else " and left out"), style="dim")


def _name(player: int, name: str) -> str:
    """A player's number, which is its key in interactions, and its name."""
    number, line = str(player), " ".join(name.split())
    return number if line == number else f"[dim]{number}[/dim] {escape(line)}"


def _set(names: Sequence[str]) -> str:
    """The names of a set: in a line, or one below the other."""
    return (" × " if sum(map(len, names)) < _LONG else "\n× ").join(names)


def _numbers(interactions: Interactions, row: int) -> list[str]:
    """The value of a set for each output, with half the width of its interval if it has one."""
    values = np.atleast_1d(interactions.values[row]).tolist()
    if interactions.high is None:
        return [f"{value:+.4g}" for value in values]
    widths = np.atleast_1d(interactions.high[row] - interactions.values[row]).tolist()
    return [
        f"{value:+.3f} ± {w:.3f}"
        if 0.01 <= max(abs(value), w) < _LARGE
        else f"{value:+.1e} ± {w:.1e}"
        for value, w in zip(values, widths, strict=True)
    ]


def run(explanation: Explanation) -> Iterator[Part]:
    """The faithfulness, and the cost."""
    budget = explanation.provenance["budget"]
    decoder = explanation.provenance["decoder"]
    seconds = explanation.provenance["seconds"]
    kind = "Faithfulness" if explanation.faithfulness.exact else "Held-out faithfulness"
    yield f"{kind}: [bold]{explanation.faithfulness}[/bold]"
    yield (
        f"{budget['spent']} ablations ({budget['evaluated']} evaluated, {budget['from_store']} "
        f"from the store) in {seconds['ablations']:.1f} s, decoded in {seconds['decoding']:.1f} s "
        f"by {escape(decoder['ran'])}"
    )
    until = explanation.provenance.get("until")
    if until is not None:
        yield Text(_stopped(until))
    if decoder["ran"] == "exact":
        name = escape(decoder["requested"])
        yield f"The budget covers all 2^n masks, so that {name} was not needed."
    if CHEAPER in decoder["diagnosis"]:
        yield Text(in_words(explanation.provenance))
    if "summary" in decoder["diagnosis"]:
        yield Text(decoder["diagnosis"]["summary"])


def _stopped(until: Json) -> str:
    """Why the stopping rule ended the run, in a line."""
    scores = ", ".join(
        f"{step['ablations']}: "
        + ("not known" if step["cv_r2"] is None else f"{step['cv_r2']:.3f}")
        for step in until["steps"]
    )
    return (
        f"Stopped since {until['stopped_since']}; the goal was a cross-validated R2 of "
        f"{until['goal']:g}" + (f" ({scores})" if scores else "")
    )


def decided(sets: Sequence[DecisiveSet], removal: Removal) -> Iterator[Part]:
    """Decisive sets: the players, the values, and what is proven and measured."""
    for chosen in sets:
        names = list(map(_name, chosen.players or (), chosen.labels))
        empty = "none found" if chosen.players is None else "nothing; no player is needed"
        yield f"[bold]{chosen.question_of(removal)}[/bold]: {_set(names) if names else empty}"
        values = chosen.values_of(removal)
        for line in filter(None, (values, chosen.evidence)):
            yield Text(f"  {line}", style="" if line == values else "dim")


def confirmed(explanation: Explanation) -> Iterator[Part]:
    """Each tested interaction: predicted, measured, and the verdict."""
    confirmation = explanation.confirmation
    if confirmation is None:
        return
    if confirmation.tested:
        table = Table(title="Confirmation", title_justify="left", min_width=60, show_lines=True)
        table.add_column("verdict", no_wrap=True)
        for column in ("predicted", "measured"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("players")
        said_of = zip(verdicts_said(explanation), details_said(explanation), strict=True)
        for tested, (said, lines) in zip(confirmation.tested, said_of, strict=True):
            names = map(_name, tested.players, tested.labels)
            details = (f"[dim]{escape(line)}[/dim]" for line in lines)
            table.add_row(
                said,
                f"{tested.predicted:+.3g}",
                f"{tested.measured:+.3g}\n{tested.low:+.3g} to {tested.high:+.3g}",
                "\n".join(("\n× ".join(names), *details)),
            )
        yield table
    yield Text(test_said(explanation))
