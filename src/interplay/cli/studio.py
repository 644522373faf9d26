"""``interplay studio``: from a prompt to its explanation, in the browser."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.open import ServerOptions, announce, require_live
from interplay.cli.options import ModelOptions, command


@dataclass(frozen=True)
class StudioModel(ModelOptions):
    """Which model answers: the page cannot name another."""

    model: Annotated[
        str,
        typer.Option(help='Folder or hub name of a language model, or "smollm2" (packaged).'),
    ] = "smollm2"


@command
def studio_command(
    chosen: StudioModel,
    server: ServerOptions,
    out: Annotated[
        Path, typer.Option(help="Folder of the runs, each in a folder of its own.")
    ] = Path("out/studio"),
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Show the runs; load no model and evaluate nothing."),
    ] = False,
) -> None:
    """Paste a prompt in the browser, choose the players, run, and watch the explanation sharpen.

    The page shows the players and what a run will cost before it begins. While ablations arrive it
    is explained again and again; stop when you have seen enough. Each run is a folder as
    `interplay text` writes it, which `show`, `verify` and `open` read.

    Example: interplay studio --model smollm2
    """
    require_live()
    from interplay.cli.live.events import Events
    from interplay.cli.live.routes import of_studio
    from interplay.cli.live.server import Listening
    from interplay.cli.live.session import Session
    from interplay.cli.live.studio import Studio
    from interplay.cli.text import TextOptions

    model = TextOptions(**asdict(chosen))
    listening = Listening(server.host, server.port)
    server.warn()
    session = Session(Events())
    studio = Studio(out, model, session, read_only=read_only)
    try:
        routes = of_studio(studio, session)
        listening.serve(routes, session, announce=announce, show=server.browser)
    finally:
        studio.close()
