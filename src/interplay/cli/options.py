"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Decoder = Annotated[str, typer.Option(help="auto, gp, proxyspex, spex or lasso.")]
Decoding = Annotated[str | None, typer.Option(help="For spex: soft or hard.")]
Order = Annotated[int | None, typer.Option(help="Largest order of interaction.")]
Budget = Annotated[
    int | None, typer.Option(help="Most ablations; by default 4 n log2 n, at least 100.")
]
Until = Annotated[
    float | None,
    typer.Option(
        help="Stop once the cross-validated R2 reaches this (1: once it no longer grows), or "
        "--budget, now by default 8 n log2 n, is spent."
    ),
]
Holdout = Annotated[float, typer.Option(help="Share (or number, from 10) of ablations held out.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of masks and fits.")]
Dtype = Annotated[
    str,
    typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where this machine gains."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Threads = Annotated[
    int | None, typer.Option(help="Torch threads; 1 where other processes run beside.")
]
BatchSize = Annotated[
    int | None, typer.Option(help="Ablations per call, which is what a kill may lose.")
]
RunsOn = Annotated[str, typer.Option(help="Where it runs: local or ray.")]
OnError = Annotated[str, typer.Option(help="When an ablation fails: raise, or skip (at most 1 %).")]
Confirm = Annotated[int, typer.Option(help="Test so many of the interactions by fresh ablations.")]
Out = Annotated[Path, typer.Option(help="Folder for the page, explanation and store.")]
