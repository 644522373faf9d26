"""``interplay show``: a saved explanation on the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.folders import print_written, saved
from interplay.cli.options import ScoreOptions, ShownOptions, command, existing
from interplay.cli.tables import print_explanation, print_run, print_verdict
from interplay.cli.training import RELATIONS, ShownPoint, print_training
from interplay.explanation.console import ORDER, TOP
from interplay.explanation.loading import load

_WITHOUT_INDEX = ("energy", "faithfulness", "budget")
"""Views that show no values of an index."""


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
    svg: Annotated[
        Path | None, typer.Option(help="Draw --view into this file, as SVG (needs matplotlib).")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw --view into this file, as PNG.")] = None,
    view: Annotated[
        str,
        typer.Option(
            help="For --svg and --png: bars, waterfall, force, network, upset, text, energy, "
            "faithfulness or budget."
        ),
    ] = "bars",
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
    for draw, file in ((explanation.to_svg, svg), (explanation.to_png, png)):
        if file is not None:
            given = {} if shown.index is None or view in _WITHOUT_INDEX else {"index": shown.index}
            print_written(draw(file, view, **given))
    gate.check(explanation)
