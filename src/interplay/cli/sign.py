"""``interplay sign``: signs the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interplay.audit.checks import MISMATCH
from interplay.cli.folders import saved
from interplay.cli.manifest import SIGNATURE, check_files, put, read_manifest, write_manifest
from interplay.cli.options import existing
from interplay.cli.signatures import signature_of
from interplay.cli.tables import console


def sign_command(
    folder: Annotated[
        Path,
        typer.Argument(
            callback=existing, file_okay=False, metavar="DIR", help="The --out folder of a run."
        ),
    ],
    key: Annotated[
        Path,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="Your private SSH key, or the public one if ssh-agent holds the private one.",
        ),
    ],
) -> None:
    """Sign a run, so that others can tell that you made or checked it and nobody changed it since.

    Signs the manifest of the folder's files by `ssh-keygen -Y sign`. Files that came since the run,
    such as reports, are added to the manifest.

    Example: interplay sign out/loan --key ~/.ssh/id_ed25519
    """
    saved(folder)
    before = read_manifest(folder)
    if before is not None:
        check = check_files(folder, before)
        if check.status == MISMATCH:
            changed = ", ".join(repr(entry.what) for entry in check.entries if not entry.matches)
            raise ValueError(
                f"{folder} is not what its manifest says, so that it is not signed: {changed} "
                "changed or went; explain again, or remove the manifest if the change is meant"
            )
    manifest = write_manifest(folder)
    put(folder / SIGNATURE, signature_of(manifest, key))
    known = {} if before is None else before.hashes
    for name in manifest.hashes.keys() - known.keys():
        console.print(f"added: {name}", markup=False, highlight=False)
    console.print(f"signed: {folder / SIGNATURE}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"audit hash: {manifest.audit_hash}", highlight=False, soft_wrap=True)
