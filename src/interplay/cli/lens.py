"""A lens of an installed package as a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from interplay.cli.folders import print_written, refuse_another, write
from interplay.cli.options import STORE, GateOptions, RunOptions, ShownOptions, command
from interplay.cli.tables import interruptible
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE
from interplay.extensions import COMMANDS


def lens_command(name: str) -> Callable[..., None]:
    """The command of a lens, by its options (:class:`interplay.cli.options.LensOptions`)."""

    def run_lens(options: Any, run: RunOptions, shown: ShownOptions, gate: GateOptions) -> None:
        game, out = options.game(), run.folder(name)
        refuse_another(game, out / FILE)
        with interruptible():
            explanation = shown.recorded(explain(game, **run.settings(name)), run.order or ORDER)
        page = write(explanation, out, name, asdict(options))
        shown.print(explanation)
        print_written(page)
        gate.end(explanation, out / STORE)

    lens = COMMANDS[name]
    run_lens.__annotations__ = {
        "options": lens,
        "run": RunOptions,
        "shown": ShownOptions,
        "gate": GateOptions,
    }
    run_lens.__doc__ = lens.__doc__
    return command(run_lens)
