"""``interplay report``: one page or file for a set of explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.folders import saved
from interplay.cli.options import existing
from interplay.cli.tables import console
from interplay.explanation.exports import export
from interplay.explanation.loading import load
from interplay.extensions import EXPORTS


def report_command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            callback=existing, metavar="DIR...", help="Folders of runs, or explanations."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write: .html, .md or .json.")
    ],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--format",
            help=f"{EXPORTS.listed}; by default as --out ends. JSON follows a schema that "
            "docs/auditing.md describes.",
        ),
    ] = None,
    card: Annotated[
        bool,
        typer.Option(
            "--card",
            help="Explanation cards instead: what was asked, how well it was explained, what must "
            "not be concluded, and where the record of it is; .md or .html.",
        ),
    ] = False,
) -> None:
    """Write one page for a set of explanations, with an index; or Markdown, JSON, or cards.

    Example: interplay report out/loan out/triage -o report.html
    """
    named = [(name, load(file)) for path in paths for name, file in saved(path)]
    parts = [(f"{name}: {explanation.title}", explanation) for name, explanation in named]
    if card and format is not None:
        raise ValueError(f"--card and --format {format} were both given; choose one of them")
    if card and out.suffix.lower() not in (".md", ".html"):
        raise ValueError(f"{out} does not say what to write; let a card end in .md or .html")
    if card:
        format = "card-html" if out.suffix.lower() == ".html" else "card"  # noqa: A001
    page = export(parts, out, format=format)
    plural = "" if len(named) == 1 else "s"
    console.print(f"{len(named)} explanation{plural}: {page}", markup=False, highlight=False)
