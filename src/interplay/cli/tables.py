"""What the command line prints of an explanation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from interplay._types import Json
from interplay.ablation.terminal import Terminal
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import LEVEL, Interactions

console = Terminal()


@contextmanager
def interruptible() -> Iterator[None]:
    """Print what is known of an interrupted run, instead of a bare Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for line in (str(interrupt), *getattr(interrupt, "__notes__", ())):
            if line:
                Terminal(stderr=True).print(line, style="yellow", markup=False, highlight=False)
        raise typer.Exit(130) from interrupt


_LINE = 100
_SHOWN_ENDS = 4


def _name(player: int, name: str) -> str:
    """A player's number, which is its key in interactions, and its name."""
    number = str(player)
    return number if name == number else f"[dim]{number}[/dim] {escape(name)}"


_COLOURS = {"usable": "green", "weak": "yellow", "not usable": "bold red", "unknown": "yellow"}


def print_verdict(explanation: Explanation) -> None:
    """Print whether the explanation may be used, and why."""
    verdict = explanation.verdict
    text = Text(f"{verdict.level.capitalize()}.", style=_COLOURS[verdict.level])
    text.append(f" {' '.join(verdict.reasons)} {verdict.outlook}", style="default not bold")
    console.print(text, highlight=False)
    for warning in verdict.warnings:
        console.print(f"  {warning.code}: {warning.message}", markup=False, highlight=False)


def print_explanation(
    explanation: Explanation, index: str | None, order: int, top: int, *, everything: bool = False
) -> None:
    """Print the verdict, the strongest players and interactions, the faithfulness, and the cost.

    Args:
        explanation: what to print.
        index: the interaction index; ``None``: the explanation's.
        order: its largest order.
        top: the most rows of a table.
        everything: list values too that are not distinguishable from zero.
    """
    print_verdict(explanation)
    print_measured_ends(explanation)
    index = index or explanation.index
    interactions = explanation.spectrum.to(index, order=order, players=explanation.players)
    doubt = explanation.extrapolated(index)
    if doubt is not None:
        console.print(f"  {doubt}", style="yellow", markup=False, highlight=False)
    outputs = explanation.outputs or ("value",)
    for what, least, most in (("single players", 1, 1), ("interactions", 2, None)):
        chosen, left_out = explanation.verdict.strongest(
            interactions, top, min_order=least, max_order=most, everything=everything
        )
        none = f"{left_out:,} {what} are not distinguishable from zero"
        if not len(chosen):
            console.print(
                f"No {what} to report" + (f": {none} (show --all lists them)." if left_out else ".")
            )
            continue
        certain = explanation.verdict.findings(chosen).reshape(len(chosen), -1)
        title = f"Strongest {what}" if certain.any() else f"No findings, but fitted: {what}"
        interval = "" if chosen.high is None else f", ± {LEVEL:.0%} interval"
        table = Table(
            title=f"{title} ({interactions.index}, order {interactions.order}{interval})",
            title_justify="left",
            min_width=60,
        )
        for output in outputs:
            table.add_column(escape(output), justify="right")
        table.add_column("players")
        for row, players in enumerate(chosen.sets):
            numbers = [
                number if certain[row, column] else f"[dim](zero?) {number}[/dim]"
                for column, number in enumerate(_numbers(chosen, row))
            ]
            names = [_name(player, explanation.players[player]) for player in players]
            joint = " × " if sum(map(len, names)) < _LINE else "\n"
            table.add_row(*numbers, joint.join(names))
        console.print(table)
        if left_out:
            console.print(none + ("" if everything else " and left out"), style="dim")
    print_run(explanation)
    if explanation.confirmation is not None:
        print_confirmation(explanation.confirmation)


def print_measured_ends(explanation: Explanation) -> None:
    """Print the values of the full and of the empty input, of up to four outputs."""
    if explanation.ends is None:
        return
    rows = explanation.ends.reshape(2, -1)
    shown = [", ".join(f"{value:.4g}" for value in row[:_SHOWN_ENDS]) for row in rows]
    more = ", ..." if rows.shape[1] > _SHOWN_ENDS else ""
    console.print(f"With everything: {shown[0]}{more}; with nothing: {shown[1]}{more}", style="dim")


def _numbers(interactions: Interactions, row: int) -> list[str]:
    """The value of a set for each output, with half the width of its interval if it has one."""
    values = np.atleast_1d(interactions.values[row]).tolist()
    if interactions.high is None:
        return [f"{value:+.4g}" for value in values]
    widths = np.atleast_1d(interactions.high[row] - interactions.values[row]).tolist()
    return [
        f"{value:+.3f} ± {w:.3f}" if max(abs(value), w) >= 0.01 else f"{value:+.1e} ± {w:.1e}"
        for value, w in zip(values, widths, strict=True)
    ]


def print_run(explanation: Explanation) -> None:
    """Print the faithfulness, and the cost."""
    budget = explanation.provenance["budget"]
    decoder = explanation.provenance["decoder"]
    seconds = explanation.provenance["seconds"]
    kind = "Faithfulness" if explanation.faithfulness.exact else "Held-out faithfulness"
    console.print(f"{kind}: [bold]{explanation.faithfulness}[/bold]")
    console.print(
        f"{budget['spent']} ablations ({budget['evaluated']} evaluated, {budget['from_store']} "
        f"from the store) in {seconds['ablations']:.1f} s, decoded in {seconds['decoding']:.1f} s "
        f"by {escape(decoder['ran'])}"
    )
    until = explanation.provenance.get("until")
    if until is not None:
        console.print(_stopped(until), markup=False, highlight=False)
    if decoder["ran"] == "exact":
        name = escape(decoder["requested"])
        console.print(f"The budget covers all 2^n masks, so that {name} was not needed.")
    if "summary" in decoder["diagnosis"]:
        console.print(decoder["diagnosis"]["summary"], markup=False)


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


def print_confirmation(confirmation: Confirmation) -> None:
    """Print each tested interaction: predicted, measured, and the verdict."""
    if confirmation.tested:
        table = Table(title="Confirmation", title_justify="left", min_width=60, show_lines=True)
        table.add_column("verdict", no_wrap=True)
        for column in ("predicted", "measured"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("players")
        for tested in confirmation.tested:
            names = map(_name, tested.players, tested.labels)
            table.add_row(
                tested.verdict,
                f"{tested.predicted:+.3g}",
                f"{tested.measured:+.3g}\n{tested.low:+.3g} to {tested.high:+.3g}",
                "\n".join((*names, *(f"[dim]{escape(line)}[/dim]" for line in tested.details))),
            )
        console.print(table)
    console.print(confirmation.summary, markup=False, highlight=False)
