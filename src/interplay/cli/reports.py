"""``interplay report``: one page or file for a set of explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.folders import saved
from interplay.cli.tables import console
from interplay.explanation.exports import export
from interplay.explanation.loading import load
from interplay.extensions import EXPORTS


def report_command(
    paths: Annotated[
        list[Path],
        typer.Argument(exists=True, metavar="DIR...", help="Folders of runs, or explanations."),
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
) -> None:
    """Write one page for a set of explanations, with an index; or Markdown, or JSON.

    Example: interplay report out/loan out/triage -o report.html
    """
    named = [(name, load(file)) for path in paths for name, file in saved(path)]
    parts = [(f"{name}: {explanation.title}", explanation) for name, explanation in named]
    page = export(parts, out, format=format)
    plural = "" if len(named) == 1 else "s"
    console.print(f"{len(named)} explanation{plural}: {page}", markup=False, highlight=False)
