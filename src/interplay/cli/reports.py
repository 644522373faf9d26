"""``interplay report``: one page or file for a set of explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.folders import saved
from interplay.cli.tables import console
from interplay.explanation.explanation import load
from interplay.report.export import write_json, write_markdown
from interplay.report.html import write_page

_FORMATS = {".html": "html", ".md": "md", ".json": "json"}


def report_command(
    paths: Annotated[
        list[Path],
        typer.Argument(exists=True, metavar="DIR...", help="Folders of runs, or explanations."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write: .html, .md or .json.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="html, md or json; by default as --out ends. JSON follows a schema that "
            "docs/auditing.md describes.",
        ),
    ] = None,
) -> None:
    """Write one page for a set of explanations, with an index; or Markdown, or JSON.

    Example: interplay report out/loan out/triage -o report.html
    """
    kind = _FORMATS.get(out.suffix.lower()) if kind is None else kind
    if kind not in _FORMATS.values():
        raise ValueError(
            f"--out {out} does not say what to write; let it end in .html, .md or .json, or give "
            "--format html, md or json"
        )
    named = [(name, load(file)) for path in paths for name, file in saved(path)]
    titles = [f"{name}: {explanation.title}" for name, explanation in named]
    if kind == "html":
        bodies = [explanation.body() for _, explanation in named]
        page = write_page(out, list(zip(titles, bodies, strict=True)))
    else:
        write = write_json if kind == "json" else write_markdown
        records = [
            explanation.record(title) for title, (_, explanation) in zip(titles, named, strict=True)
        ]
        page = write(out, records)
    plural = "" if len(named) == 1 else "s"
    console.print(f"{len(named)} explanation{plural}: {page}", markup=False, highlight=False)
