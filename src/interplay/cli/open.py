"""``interplay open``: the page of a run, with the model behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from interplay.audit.checks import MATCH
from interplay.cli.folders import saved
from interplay.cli.manifest import SIGNATURE
from interplay.cli.options import command, existing
from interplay.cli.recipes import RECIPE, Recipe, read_recipe, store_of
from interplay.cli.tables import console
from interplay.cli.trust import Trust
from interplay.cli.verify import TrustOptions, games_of
from interplay.errors import MissingDependencyError
from interplay.explanation.loading import load
from interplay.game import Game, fingerprint_of

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServerOptions:
    """Where a page is served."""

    host: Annotated[
        str,
        typer.Option(
            help="The address of this machine to listen at. At any but 127.0.0.1 the page, its "
            "token and what is asked go through the network in the clear."
        ),
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0
    browser: Annotated[
        bool, typer.Option(help="Open the address in this machine's browser too.")
    ] = True

    def warn(self) -> None:
        """Warn of an address that others reach."""
        if self.host not in _LOOPBACK:
            console.print(
                f"Warning: {self.host} can be reached from the network, without encryption: "
                "whoever reads the traffic or has the address can use the model and change the "
                "run. `ssh -L` to 127.0.0.1 does without that.",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )


def require_live() -> None:
    """Raise a MissingDependencyError if what serves pages is not installed."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "live", "serving a page")


def announce(address: str) -> None:
    """Print the address, once, and how to end."""
    console.print(f"open {address}", markup=False, highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends; everything is stored.", style="dim", highlight=False)


@command
def open_command(
    path: Annotated[
        Path, typer.Argument(callback=existing, metavar="DIR", help="The --out folder of a run.")
    ],
    server: ServerOptions,
    allowed: TrustOptions,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Show the page; load no model and evaluate nothing."),
    ] = False,
) -> None:
    """Serve the page of a run to this machine's browsers, with the model behind it.

    Click a segment away and the model answers. Confirm a finding by fresh ablations, or add
    ablations until R2 reaches a goal; the folder and its store then are what the command line would
    have written. The game is made from the run's recipe, as by `interplay verify`: nothing outside
    of the folder is read, nobody contacted and no code loaded unless the options say so.

    Example: interplay open out/key
    """
    require_live()
    from interplay.cli.live.answers import Answers
    from interplay.cli.live.events import Events
    from interplay.cli.live.routes import of_run
    from interplay.cli.live.run import Run
    from interplay.cli.live.server import Listening
    from interplay.cli.live.session import Session

    folder = path if path.is_dir() else path.parent
    saved(folder)
    answers = None
    if not read_only:
        games, recipe, store = _made(folder, allowed.trust)
        answers = Answers(lambda: games, store, recipe.command)
        if (folder / SIGNATURE).exists():
            console.print(
                "The run is signed. Confirming or adding ablations changes its files, and the "
                "signature goes; --read-only changes nothing.",
                style="yellow",
                soft_wrap=True,
            )
    listening = Listening(server.host, server.port)
    server.warn()
    session = Session(Events())
    run = Run(folder, session, answers)
    routes = of_run("/", lambda request: run, session)
    listening.serve(routes, session, announce=announce, show=server.browser)


def _made(folder: Path, trust: Trust) -> tuple[Sequence[Game], Recipe, Path]:
    """The games of a run's explanations, made from its recipe, and its store.

    Raises:
        ValueError: there is no recipe, its inputs are not what they were, it asks for something
            that is not allowed, or the game is another than the one that was explained.
    """
    without = "or give --read-only to do without the model"
    try:
        recipe = read_recipe(folder, trust)
        if recipe is None:
            raise ValueError(f"{folder} has no {RECIPE}, by which its game is made; run it again")
        inputs = recipe.check()
        if inputs.status != MATCH:
            raise ValueError(f"the inputs of {folder} are not what was explained: {inputs}")
        if recipe.server is not None:
            trust.check_server(recipe.server)
        store = store_of(recipe, folder, trust)
        games = list(games_of(recipe, trust))
    except ValueError as error:
        text = str(error).replace("--sample 0", "--read-only")
        raise ValueError(text if "--read-only" in text else f"{text}; {without}") from error
    explained = [load(file).provenance["game"]["fingerprint"] for _, file in saved(folder)]
    made = [fingerprint_of(game) for game in games]
    if made != explained:
        raise ValueError(
            f"{folder} explains the game {explained[-1]}, but its recipe gives {made[-1]} here: "
            f"the model or the version of interplay is another. Run it again, {without}"
        )
    return games, recipe, store
