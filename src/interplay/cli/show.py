"""``interplay show``: a saved explanation on the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.folders import saved
from interplay.cli.options import ScoreOptions, ShownOptions, command, existing
from interplay.cli.tables import print_explanation, print_run, print_verdict
from interplay.cli.training import RELATIONS, ShownPoint, print_training
from interplay.explanation.console import ORDER, TOP
from interplay.explanation.loading import load


@command
def show_command(
    path: Annotated[
        Path,
        typer.Argument(
            callback=existing, metavar="DIR", help="The --out folder of a run, or an explanation."
        ),
    ],
    shown: ShownOptions,
    gate: ScoreOptions,
    order: Annotated[
        int | None,
        typer.Option(min=1, help="Largest order of interaction; by default that of the run."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="List values too that are not distinguishable from zero.")
    ] = False,
    point: ShownPoint = None,
) -> None:
    """Print the interactions of a saved explanation under any index.

    The index and the order are those that the run showed, unless others are given. Of a
    hierarchical refinement, the finest level is shown.

    Example: interplay show out/key --index SII --order 2
    """
    explanation = load(saved(path)[-1][1])
    shown.print_json((explanation.title, explanation))
    if explanation.view.get("table") == "relations":
        print_verdict(explanation)
        asked = order or explanation.order or ORDER
        print_training(explanation, point, shown.index, asked, shown.top or RELATIONS)
        print_run(explanation)
    else:
        rows = shown.top or TOP
        print_explanation(explanation, shown.index, order, rows, everything=everything)
    gate.check(explanation)
