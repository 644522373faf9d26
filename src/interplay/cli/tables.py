"""What the command line prints of an explanation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from interplay._types import Json
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import LEVEL, Interactions

console = Console()


@contextmanager
def interruptible() -> Iterator[None]:
    """Print what is known of an interrupted run, instead of a bare Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for line in (str(interrupt), *getattr(interrupt, "__notes__", ())):
            if line:
                Console(stderr=True).print(line, style="yellow", markup=False, highlight=False)
        raise typer.Exit(130) from interrupt


_LINE = 100


def _name(player: int, name: str) -> str:
    """A player's number, which is its key in interactions, and its name."""
    number = str(player)
    return number if name == number else f"[dim]{number}[/dim] {escape(name)}"


def print_explanation(explanation: Explanation, index: str, order: int, top: int) -> None:
    """Print the strongest players and interactions, the faithfulness, and the cost."""
    interactions = explanation.interactions(index, order=order)
    outputs = explanation.outputs or ("value",)
    for title, chosen in (
        ("Strongest single players", interactions.top(top, max_order=1)),
        ("Strongest interactions", interactions.top(top, min_order=2)),
    ):
        interval = "" if chosen.high is None else f", ± {LEVEL:.0%} interval"
        table = Table(
            title=f"{title} ({index}, order {interactions.order}{interval})",
            title_justify="left",
            min_width=60,
        )
        for output in outputs:
            table.add_column(escape(output), justify="right")
        table.add_column("players")
        for row, players in enumerate(chosen.sets):
            numbers = _numbers(chosen, row)
            names = [_name(player, explanation.players[player]) for player in players]
            joint = " × " if sum(map(len, names)) < _LINE else "\n"
            table.add_row(*numbers, joint.join(names))
        console.print(table)
    print_run(explanation)
    if explanation.confirmation is not None:
        print_confirmation(explanation.confirmation)


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
        f"by {decoder['ran']}"
    )
    until = explanation.provenance.get("until")
    if until is not None:
        console.print(_stopped(until), highlight=False)
    if budget["interrupted"]:
        console.print(
            f"[yellow]Interrupted: this rests on {budget['spent']} of {budget['planned']} "
            "ablations.[/yellow]"
        )
    if budget["skipped"]:
        console.print(f"[yellow]{budget['skipped']} ablations failed and were left out.[/yellow]")
    if decoder["ran"] == "exact":
        console.print(
            f"The budget covers all 2^n masks, so that {decoder['requested']} was not needed."
        )
    elif decoder["ran"] != decoder["requested"] and "picked" not in decoder["settings"]:
        console.print(
            f"{decoder['requested']} needs all its masks; {decoder['ran']} decoded what there is."
        )
    if "summary" in decoder["diagnosis"]:
        console.print(decoder["diagnosis"]["summary"])


def _stopped(until: Json) -> str:
    """Why the stopping rule ended the run, in a line."""
    scores = ", ".join(f"{step['ablations']}: {step['cv_r2']:.3f}" for step in until["steps"])
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
