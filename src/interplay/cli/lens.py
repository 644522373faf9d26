"""A lens of an installed package as a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from interplay.cli.folders import finish, refuse_another, write
from interplay.cli.options import (
    ConfirmOptions,
    GateOptions,
    RunOptions,
    ShownOptions,
    command,
)
from interplay.cli.tables import interruptible
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE
from interplay.extensions import COMMANDS
from interplay.game import Game


def explain_and_write(
    name: str,
    options: Any,
    game: Game,
    groups: tuple[RunOptions, ShownOptions, GateOptions],
    order: int,
    confirmation: ConfirmOptions | None = None,
) -> None:
    """Explain a game, write and show what comes of it, and end as the gate says.

    Args:
        name: of the command.
        options: a dataclass, from which the game was made; they are the recipe.
        game: the game.
        groups: how it is explained, what is shown, and what it must be.
        order: the order that is shown if none was asked for.
        confirmation: what is asked of the game afterwards; by then the explanation is written.
    """
    run, shown, gate = groups
    out = run.folder(name)
    gate.check_players(game)
    with interruptible():
        explanation = shown.recorded(explain(game, **run.settings(name)), run.order or order)
    page = write(explanation, out, name, asdict(options))
    if confirmation is not None:
        with interruptible():
            explanation = confirmation.tested(explanation, name, run)
        page = write(explanation, out, name, asdict(options))
    shown.print(explanation)
    finish(page, explanation, gate)


def lens_command(name: str) -> Callable[..., None]:
    """The command of a lens, by its options (:class:`interplay.cli.options.LensOptions`)."""

    def run_lens(options: Any, run: RunOptions, shown: ShownOptions, gate: GateOptions) -> None:
        game, out = options.game(), run.folder(name)
        refuse_another(game, out / FILE)
        explain_and_write(name, options, game, (run, shown, gate), ORDER)

    lens = COMMANDS[name]
    run_lens.__annotations__ = {
        "options": lens,
        "run": RunOptions,
        "shown": ShownOptions,
        "gate": GateOptions,
    }
    run_lens.__doc__ = lens.__doc__
    return command(run_lens)
