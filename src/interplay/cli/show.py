"""``interplay show``: a saved explanation on the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.options import FailUnder, GateOptions
from interplay.cli.tables import print_explanation, print_run, print_verdict
from interplay.cli.training import ShownPoint, print_training
from interplay.explanation.explanation import FILE
from interplay.explanation.loading import load


def show_command(
    path: Annotated[Path, typer.Argument(exists=True, help="A saved explanation or its folder.")],
    index: Annotated[
        str | None,
        typer.Option(
            help="FSII, STII, SII, k-SII, FBII, BII, Co-Moebius, ..., in any case; by default the "
            "one that looks where the run's masks are."
        ),
    ] = None,
    order: Annotated[int, typer.Option(help="Largest order of interaction.")] = 2,
    top: Annotated[int, typer.Option(help="How many rows.")] = 10,
    everything: Annotated[
        bool, typer.Option("--all", help="List values too that are not distinguishable from zero.")
    ] = False,
    point: ShownPoint = None,
    fail_under: FailUnder = None,
) -> None:
    """Print the interactions of a saved explanation under any index."""
    explanation = load(path / FILE if path.is_dir() else path)
    if explanation.view.get("table") == "relations":
        print_verdict(explanation)
        print_training(explanation, point, index, order, top)
        print_run(explanation)
    else:
        print_explanation(explanation, index, order, top, everything=everything)
    GateOptions(fail_under).check(explanation)
