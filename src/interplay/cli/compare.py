"""``interplay compare``: two runs on the same masks, and what changed from one to the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from interplay.audit.checks import MATCH
from interplay.audit.compare import compare
from interplay.audit.pair import Pair
from interplay.audit.wanted import SHARE, read_expectations
from interplay.cli.folders import PAGE, print_written, refuse_another, saved
from interplay.cli.manifest import put_json, write_manifest
from interplay.cli.options import STORE, Out, Quiet, command, existing
from interplay.cli.recipes import read_recipe, store_of
from interplay.cli.status import EXIT_BELOW
from interplay.cli.tables import console, interruptible
from interplay.cli.trust import Trust
from interplay.cli.verify import TrustOptions
from interplay.confirmation.changes import EQUIVALENT
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.loading import load
from interplay.game import PlannedGame

RECORD = "comparison.json"

Run: TypeAlias = tuple[PlannedGame, Path, Explanation]
"""The game of a run, its store, and its explanation."""


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and what must come of it."""

    names: Annotated[
        tuple[str, str] | None,
        typer.Option(help="What the two are called; by default as their folders."),
    ] = None
    budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Ablations of each; by default as many as OLD took, whose stored ones are used "
            "again.",
        ),
    ] = None
    margin: Annotated[
        float | None,
        typer.Option(
            help="The largest difference of the values that counts as none; fails unless it is "
            "shown that nearly all are within."
        ),
    ] = None
    share: Annotated[
        float, typer.Option(help="The share of masks that must be within the margin.")
    ] = SHARE
    confirm: Annotated[
        int, typer.Option(min=0, help="Test so many of the changes by fresh ablations of both.")
    ] = 5
    order: Annotated[int, typer.Option(min=1, help="Largest number of players of a change.")] = 2
    expect: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="A TOML file of what is expected of NEW (docs/auditing.md); fails unless all of "
            "it is shown.",
        ),
    ] = None
    random_state: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the masks; by default that of OLD.")
    ] = None
    out: Out = None
    quiet: Quiet = False


@command
def compare_command(
    old: Annotated[
        Path, typer.Argument(callback=existing, metavar="OLD", help="The --out folder of a run.")
    ],
    new: Annotated[
        Path,
        typer.Argument(
            callback=existing, metavar="NEW", help="That of another: same players, other model."
        ),
    ],
    chosen: CompareOptions,
    allowed: TrustOptions,
) -> None:
    """Compare two runs: what changed from one model, prompt or masking to the other.

    The same masks are asked of both, and their difference is explained as an output of its own.
    The exit code is 4 if --margin or --expect is given and not all of it is shown.

    Example: interplay compare out/old out/new --margin 0.1
    """
    wanted = None if chosen.expect is None else read_expectations(chosen.expect)
    (first, first_store, run), (second, second_store, _) = (
        _game(folder, allowed.trust) for folder in (old, new)
    )
    out = chosen.out or Path("out") / "compare"
    request: dict[str, Any] = run.provenance.get("request") or {}
    recorded = {
        name: request[name] for name in ("decoder", "measure", "budget") if request.get(name)
    }
    if chosen.budget is not None:
        recorded["budget"] = chosen.budget
    seed = run.provenance["random_state"] if chosen.random_state is None else chosen.random_state
    names = chosen.names or _names(old, new)
    pair = Pair(first, second, names, (first, second))
    refuse_another(pair, out / FILE)
    out.mkdir(parents=True, exist_ok=True)
    with interruptible():
        comparison = compare(
            first,
            second,
            names=names,
            margin=chosen.margin,
            share=chosen.share,
            expectations=wanted,
            confirm=chosen.confirm,
            order=chosen.order,
            random_state=seed,
            store=out / STORE,
            stores=(first_store, second_store),
            progress=not chosen.quiet,
            **({"measure": "uniform"} | recorded),
        )
    explanation = comparison.explanation
    # of what was saved, as an audit makes it
    load(explanation.save(out / FILE)).to_html(out / PAGE)
    put_json(out / RECORD, comparison.to_json())
    write_manifest(out)
    console.print(str(comparison), markup=False, highlight=False, soft_wrap=True)
    print_written(out / PAGE)
    differs = comparison.equivalence is not None and comparison.equivalence.verdict != EQUIVALENT
    if differs or not all(one.is_met for one in comparison.expected):
        raise typer.Exit(EXIT_BELOW)


def _names(old: Path, new: Path) -> tuple[str, str]:
    """What two folders are called: by their last parts, from where on these differ."""
    first, second = (folder.resolve().parts for folder in (old, new))
    for count in range(1, min(len(first), len(second))):
        if first[-count] != second[-count]:
            return "/".join(first[-count:]), "/".join(second[-count:])
    raise ValueError(f"{old} and {new} cannot be told apart by their names; give two by --names")


def _game(folder: Path, trust: Trust) -> Run:
    """The game of a run's folder, made again from its recipe.

    Raises:
        ValueError: the folder has no recipe, its inputs are not what they were, or it is a
            hierarchical refinement, whose players differ from level to level.
    """
    (_, file), *levels = saved(folder)
    recipe = read_recipe(folder, trust)
    if recipe is None or levels or recipe.levels:
        what = "has no recipe" if recipe is None else "is a hierarchical refinement"
        raise ValueError(
            f"{folder} {what}; give the folder of a run of one explanation, or compare the games "
            "in Python: interplay.compare"
        )
    inputs = recipe.check()
    if inputs.status != MATCH:
        raise ValueError(f"the inputs of {folder} are not what was explained: {inputs}")
    return recipe.game(trust), store_of(recipe, folder, trust), load(file)
