"""The command line: ``interplay demo | text | components | training | table | show | ...``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from interplay.ablation.terminal import Terminal
from interplay.cli.components import components_command
from interplay.cli.demo import demo_command
from interplay.cli.lens import lens_command
from interplay.cli.options import FailUnder, GateOptions
from interplay.cli.reports import report_command
from interplay.cli.sign import sign_command
from interplay.cli.store import store_app
from interplay.cli.table import table_command
from interplay.cli.tables import print_explanation, print_run, print_verdict
from interplay.cli.text import plan_command, text_command
from interplay.cli.training import ShownPoint, print_training, training_command
from interplay.cli.verify import verify_command
from interplay.errors import GameError, MissingDependencyError, StoreError
from interplay.explanation.explanation import FILE
from interplay.explanation.loading import load
from interplay.extensions import COMMANDS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the interactions that drive a model's behaviour, by ablation.",
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo_command,
    "text": text_command,
    "components": components_command,
    "training": training_command,
    "table": table_command,
    "plan": plan_command,
    "verify": verify_command,
    "sign": sign_command,
    "report": report_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
for _name in COMMANDS:
    if _name not in COMMANDS.own:
        app.command(_name)(lens_command(_name))
app.add_typer(store_app, name="store")
_errors = Terminal(stderr=True)


@app.command()
def show(
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


def main() -> None:
    """Run the command line; errors that a user can mend are printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for what it lacks
    try:
        app(standalone_mode=True)
    except (ValueError, OSError, GameError, StoreError, MissingDependencyError) as error:
        _errors.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        raise SystemExit(2) from error
