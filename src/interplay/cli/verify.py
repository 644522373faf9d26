"""``interplay verify``: audits what a run left in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from interplay.audit.checks import Verification
from interplay.audit.verify import verify
from interplay.cli.folders import saved
from interplay.cli.options import STORE
from interplay.cli.prompts import unit
from interplay.cli.recipes import Recipe, read_recipe
from interplay.cli.tables import console, interruptible
from interplay.explanation.explanation import load
from interplay.game import Game


def verify_command(
    path: Annotated[
        Path, typer.Argument(exists=True, metavar="DIR", help="The --out folder of a run.")
    ],
    sample: Annotated[
        int,
        typer.Option(
            min=0,
            help="Ask the model for so many of the stored ablations again; 0: do not load it.",
        ),
    ] = 20,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="How far the model's value may lie from the stored one; by default 0.1 % of the "
            "range of the stored values, 5 % in half precision and behind a server."
        ),
    ] = None,
    random_state: Annotated[int, typer.Option("--seed", help="Seed of the sample.")] = 0,
    store: Annotated[
        Path | None,
        typer.Option(help="The store of ablations, where it is not the one of the run."),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write every comparison to this file, as JSON.")
    ] = None,
) -> None:
    """Ask again what a run found: its store, its masks, its spectrum, and the model itself.

    Makes the spectrum again from the store, and the game from the run's recipe, of which a random
    sample of the stored ablations is asked. The exit code is 1 where anything does not match.

    Example: interplay verify out/loan --sample 20
    """
    folder = path if path.is_dir() else path.parent
    files = saved(path)
    recipe = read_recipe(folder) if sample else None
    kept = store or (recipe.store if recipe else folder / STORE)
    games: Iterator[Game | None] = iter([None] * len(files))
    if recipe is not None:
        games = games_of(recipe)
    elif sample:
        console.print(
            f"{folder} has no recipe of how its game was made: the model is not asked. Make the "
            "game again in Python, and call\n  ip.verify(ip.load(...), game, store=...)",
            markup=False,
            highlight=False,
        )
    found = []
    for name, file in files:
        with interruptible():
            result = verify(
                load(file),
                next(games),
                store=kept,
                sample=sample,
                tolerance=tolerance,
                random_state=random_state,
            )
        if recipe is not None and recipe.inputs:
            result = Verification((recipe.check(), *result.checks))
        found.append((name, result))
        _print(name, result)
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        document = [{"explanation": name} | result.to_json() for name, result in found]
        record.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if not all(result.matches for _, result in found):
        raise typer.Exit(1)


def games_of(recipe: Recipe) -> Iterator[Game]:
    """The recipe's game; of a drill-down, one level's after another."""
    game: Any = recipe.game()
    yield game
    for by, chosen in recipe.levels:
        game, _ = game.refined(chosen, unit(by))
        yield game


def _print(name: str, result: Verification) -> None:
    """Each check, and each ablation that the model was asked for."""
    lines = [f"{name}"]
    for check in result.checks:
        lines += [str(check)]
        if check.name == "model":
            lines += [f"  {entry}" for entry in check.entries if entry.matches]
    lines.append(result.summary)
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
