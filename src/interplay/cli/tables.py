"""What the command line prints of an explanation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

from interplay.ablation.terminal import Terminal
from interplay.cli.status import EXIT_INTERRUPTED, said_of
from interplay.explanation.console import Part, run, shown_of, verdict
from interplay.explanation.explanation import Explanation

console = Terminal()


@contextmanager
def interruptible() -> Iterator[None]:
    """Print what is known of an interrupted run, instead of a bare Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for line in said_of(interrupt):
            Terminal(stderr=True).print(line, style="yellow", markup=False, highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt


@contextmanager
def silenced(quiet: bool) -> Iterator[None]:
    """Print nothing to stdout meanwhile, if it is asked for."""
    before = console.quiet
    console.quiet = quiet or before
    try:
        yield
    finally:
        console.quiet = before


def print_parts(parts: Iterable[Part]) -> None:
    """Print what :mod:`interplay.explanation.console` shows."""
    for part in parts:
        console.print(part, highlight=False)


def print_verdict(explanation: Explanation) -> None:
    """Print whether the explanation may be used, and why."""
    print_parts(verdict(explanation))


def print_explanation(
    explanation: Explanation,
    index: str | None = None,
    order: int | None = None,
    top: int = 10,
    *,
    everything: bool = False,
) -> None:
    """Print the verdict, the strongest players and interactions, the faithfulness, and the cost.

    Args:
        explanation: what to print.
        index: the interaction index; ``None``: the explanation's.
        order: its largest order; ``None``: the explanation's.
        top: the most rows of a table.
        everything: list values too that are not distinguishable from zero.
    """
    print_parts(shown_of(explanation, index, order, top, everything=everything))


def print_run(explanation: Explanation) -> None:
    """Print the faithfulness, and the cost."""
    print_parts(run(explanation))
