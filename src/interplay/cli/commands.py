"""What ``interplay --help`` lists: each command, whose module is imported when it is called.

Importing them all takes many times longer than printing the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperCommand

from interplay.extensions import COMMANDS

START, EXPLAIN, READ, TRUST = "Start here", "Explain", "Read and keep", "Audit"


@dataclass(frozen=True)
class Command:
    """A command that is not imported yet.

    Attributes:
        at: its function, or the app of its subcommands: ``"module:attribute"``.
        panel: under which title it is listed.
        summary: the first sentence of its help.
    """

    at: str
    panel: str
    summary: str


LISTED = {
    "demo": Command(
        "interplay.cli.demo:demo_command",
        START,
        "Explain two answers of a small real language model: a review by word, a context by "
        "sentence.",
    ),
    "examples": Command(
        "interplay.cli.examples:examples_command",
        START,
        "Write inputs for the commands of the docs into a folder, and print these commands.",
    ),
    "studio": Command(
        "interplay.cli.studio:studio_command",
        START,
        "Paste a prompt in the browser, choose the players, run, and watch the explanation "
        "sharpen.",
    ),
    "text": Command(
        "interplay.cli.text:text_command",
        EXPLAIN,
        "Explain an answer of a language model by the words or sentences of its prompt.",
    ),
    "components": Command(
        "interplay.cli.components:components_command",
        EXPLAIN,
        "Explain a transformer's score on a task by its heads, MLPs, neurons or layers, and prune "
        "it.",
    ),
    "training": Command(
        "interplay.cli.training:training_command",
        EXPLAIN,
        "Find which training data act together: a classifier is retrained without some of them.",
    ),
    "finetune": Command(
        "interplay.cli.finetuning:finetuning_command",
        EXPLAIN,
        "Find which examples act together: a language model is fine-tuned without some of them.",
    ),
    "table": Command(
        "interplay.cli.table:table_command",
        EXPLAIN,
        "Explain a model's prediction for a row of a table by the row's features.",
    ),
    "image": Command(
        "interplay.cli.image:image_command",
        EXPLAIN,
        "Explain an image classifier's score by the regions of the image.",
    ),
    "compare": Command(
        "interplay.cli.compare:compare_command",
        EXPLAIN,
        "Compare two runs: what changed from one model, prompt or masking to the other.",
    ),
    "audit": Command(
        "interplay.cli.audit:audit_command",
        EXPLAIN,
        "Explain each prompt of a set, and tell what recurs, by field, document, role or pattern.",
    ),
    "plan": Command(
        "interplay.cli.text:plan_command",
        EXPLAIN,
        "Estimate what `interplay text` with the same options will evaluate and cost, in one "
        "process.",
    ),
    "show": Command(
        "interplay.cli.show:show_command",
        READ,
        "Print the interactions of a saved explanation under any index.",
    ),
    "report": Command(
        "interplay.cli.reports:report_command",
        READ,
        "Write one page for a set of explanations, with an index; or Markdown, JSON, or cards.",
    ),
    "open": Command(
        "interplay.cli.open:open_command",
        READ,
        "Serve the page of a run to this machine's browsers, with the model behind it.",
    ),
    "store": Command(
        "interplay.cli.store:store_app",
        READ,
        "Manage stores of ablations: list, verify, export, prune.",
    ),
    "verify": Command(
        "interplay.cli.verify:verify_command",
        TRUST,
        "Audit a run: its files, its store, its masks, its spectrum, and the model itself.",
    ),
    "sign": Command(
        "interplay.cli.sign:sign_command",
        TRUST,
        "Sign a run, so that others can tell that you made or checked it and nobody changed it "
        "since.",
    ),
}


class Deferred(TyperCommand):
    """A command that is made when it is called; until then it is a name and a summary.

    Its callback returns what the command is made of.
    """

    def loaded(self) -> Any:
        """The command itself."""
        assert self.callback is not None
        made = self.callback()
        if not isinstance(made, typer.Typer):
            function, made = made, typer.Typer(add_completion=False)
            made.command(self.name, help=_unwrapped(function.__doc__))(function)
        return typer.main.get_command(made)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Parse the arguments by the command itself, which is then the context's."""
        return self.loaded().make_context(info_name, args, parent, **extra)


def _unwrapped(text: str | None) -> str:
    """A docstring with each paragraph on one line, which help wraps to the terminal."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text or "").split("\n\n"))


def add_to(app: typer.Typer) -> None:
    """Add the commands, and those of the lenses of installed packages, to the command line."""
    for name, command in LISTED.items():
        _add(app, name, command.panel, command.summary, partial(_imported, command.at))
    for name in COMMANDS:
        if name not in COMMANDS.own and name not in LISTED:
            summary = f"Explain by the lens of the package {COMMANDS.package(name)}."
            _add(app, name, EXPLAIN, summary, partial(_lens, name))


def _add(app: typer.Typer, name: str, panel: str, summary: str, made: Callable[[], Any]) -> None:
    def load() -> Any:  # typer reads a callback's arguments, of which there are none
        return made()

    app.command(name, cls=Deferred, help=summary, rich_help_panel=panel)(load)


def _imported(place: str) -> Any:
    module, attribute = place.split(":")
    return getattr(import_module(module), attribute)


def _lens(name: str) -> Any:
    from interplay.cli.lens import lens_command

    return lens_command(name)
