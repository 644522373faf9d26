"""The command line of the stores of ablations: ``interplay store ls | verify | export | prune``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from interplay.ablation.maintenance import StoredGame, export, games, prunable, prune
from interplay.ablation.soundness import has_checksums, verify
from interplay.ablation.terminal import Terminal
from interplay.cli.options import existing

store_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Manage stores of ablations: list, verify, export, prune.",
)
_console = Terminal()
_SHORTEST = 12
_LINE = 40
_FIRST = ("lens", "model", "target", "by", "dtype", "text", "trainer", "score", "classes")


def _shown(text: str) -> str:
    """A text of a file as it may be printed: nothing in it is markup or steers the terminal."""
    return escape(text)


_Path = Annotated[
    Path, typer.Argument(callback=existing, dir_okay=False, help="A store of ablations.")
]
_Fingerprint = Annotated[
    str | None, typer.Option("--fingerprint", help="The start of one game's fingerprint.")
]


@store_app.command("ls")
def list_games(path: _Path) -> None:
    """List the games of a store, and how many ablations each has."""
    _print_games(f"{path}", games(path))


def _print_games(title: str, listed: Sequence[StoredGame]) -> None:
    """A table of the numbers, and below it what each game is, which needs the whole width."""
    table = Table(title=_shown(title), title_justify="left")
    table.add_column("game", no_wrap=True)
    for column in ("players", "outputs", "ablations"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("updated", no_wrap=True)
    length = _shortest_distinct(listed)
    for game in listed:
        table.add_row(
            _shown(game.fingerprint[:length]),
            str(game.n_players),
            "-" if game.n_outputs is None else str(game.n_outputs or 1),
            f"{game.n_ablations:,}",
            datetime.fromtimestamp(game.updated).strftime("%Y-%m-%d %H:%M"),
        )
    _console.print(table)
    for game in listed:
        _console.print(f"{_shown(game.fingerprint[:length])}: {_shown(_summary(game))}")


def _shortest_distinct(listed: Sequence[StoredGame]) -> int:
    """How many characters of the fingerprints distinguish the games."""
    length = _SHORTEST
    while len({game.fingerprint[:length] for game in listed}) < len(listed):
        length += 1
    return length


def _summary(game: StoredGame) -> str:
    """The entries of a description that distinguish games."""
    parts = []
    known = game.description
    for key in [key for key in _FIRST if key in known] if "lens" in known else known:
        # a string from a description may hold anything: as JSON it stays on its line
        value = known[key]
        text = json.dumps(value, ensure_ascii=False)
        parts.append(f"{key}: {text if len(text) <= _LINE else text[:_LINE] + '…'}")
    return ", ".join(parts)


@store_app.command("verify")
def verify_store(path: _Path) -> None:
    """Look for damage. If there is any, list it and exit with 1. Nothing is changed."""
    problems = verify(path)
    for problem in problems:
        _console.print(f"[bold red]problem:[/bold red] {_shown(problem)}")
    if problems:
        plural = "" if len(problems) == 1 else "s"
        _console.print(f"{len(problems)} problem{plural} in {_shown(str(path))}")
        raise typer.Exit(1)
    _console.print(f"sound: {_amount(games(path))} in {_shown(str(path))}")
    if not has_checksums(path):
        _console.print(
            "The file is of an older version, whose rows have no checksums: a value that was "
            "changed to another number is not noticed. The next run that uses the store adds them."
        )


def _amount(listed: Sequence[StoredGame]) -> str:
    ablations = sum(game.n_ablations for game in listed)
    return f"{ablations:,} ablations of {len(listed)} game{'' if len(listed) == 1 else 's'}"


@store_app.command("export")
def export_game(
    path: _Path,
    out: Annotated[Path, typer.Option(help="The file to write, in .npz or .csv.")],
    fingerprint: _Fingerprint = None,
) -> None:
    """Write the masks and values of one game to a file; with one game no fingerprint is needed."""
    game = export(path, fingerprint, out)
    _console.print(f"{game.n_ablations:,} ablations written to {_shown(str(out))}")


@store_app.command("prune")
def prune_store(
    path: _Path,
    fingerprint: _Fingerprint = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", help="Only games without new values for so many days."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove games with all their ablations, after asking, and shrink the file."""
    chosen = prunable(path, fingerprint, older_than)
    if not chosen:
        _console.print("nothing to prune")
        return
    _print_games(f"to be removed from {path}", chosen)
    if not yes:
        typer.confirm(f"Remove {_amount(chosen)} for good?", abort=True)
    removed = prune(path, fingerprint, older_than)
    _console.print(f"{removed:,} ablations removed")
