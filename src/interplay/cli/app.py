"""The command line: ``interplay demo | text | components | training | finetune | table | ...``."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from interplay import __version__
from interplay.cli.commands import add_to
from interplay.cli.status import EXIT_INTERRUPTED, said_of
from interplay.errors import InterplayError


class _Root(TyperGroup):
    """The command ``interplay``: an interrupt of any of its commands is told, and is a status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            for line in said_of(interrupt):
                _say(line, "yellow")
            raise typer.Exit(EXIT_INTERRUPTED) from interrupt


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"interplay {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and stop."
        ),
    ] = False,
) -> None:
    """Find the interactions that drive a model's behaviour, by ablation."""


def _say(text: str, style: str, label: str = "") -> None:
    """Print a line on stderr."""
    from rich.text import Text

    from interplay.ablation.terminal import Terminal

    if text:
        Terminal(stderr=True).print(Text.assemble((label, "bold red"), (text, style)))


def main() -> None:
    """Run the command line; errors that a user can mend are printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for what it lacks
    try:
        app(standalone_mode=True)
    except (ValueError, OSError, InterplayError) as error:
        _say(str(error), "default", "error: ")
        raise SystemExit(2) from error
