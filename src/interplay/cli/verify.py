"""``interplay verify``: audits the folder of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from interplay._types import visible
from interplay.audit.checks import (
    MATCH,
    MISMATCH,
    Check,
    Trusted,
    Verification,
    left_out,
    unchecked,
)
from interplay.audit.result import DOCUMENT
from interplay.audit.result import PAGE as SET_PAGE
from interplay.audit.sets import PROMPTS, RECORDS
from interplay.audit.verify import verify
from interplay.audit.verify_set import verify_set
from interplay.cli.folders import PAGE, check_page, saved
from interplay.cli.manifest import MANIFEST, SIGNATURE, check_audit_hash, check_files, read_manifest
from interplay.cli.options import STORE, AllowPickle, command, existing
from interplay.cli.prompts import unit
from interplay.cli.recipes import RECIPE, Recipe, read_recipe, store_of
from interplay.cli.signatures import check_signature
from interplay.cli.tables import console, interruptible
from interplay.cli.trust import UNTRUSTED, Trust
from interplay.explanation.loading import load
from interplay.game import Game

EXIT_MISMATCH, EXIT_INCOMPLETE = 1, 3
"""The exit statuses of an audit that finds a difference, and of one that lacks something."""


_MOST_OTHERS = 20
"""The most files of a folder that are listed as taken on trust."""


@dataclass(frozen=True)
class SampleOptions:
    """What is evaluated again, and where the comparisons are written."""

    sample: Annotated[
        int,
        typer.Option(
            min=0,
            help="Evaluate so many of the stored ablations again; 0: do not load the model.",
        ),
    ] = 20
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="How far the stored value may lie from the model's; by default 0.1 % of the "
            "range of the model's values, 5 % in half precision and behind a server."
        ),
    ] = None
    random_state: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the sample; by default a new one.")
    ] = None
    store: Annotated[
        Path | None,
        typer.Option(help="The store of ablations, where it is not the one of the run."),
    ] = None
    record: Annotated[
        Path | None, typer.Option(help="Write every comparison to this file, as JSON.")
    ] = None


@dataclass(frozen=True)
class AnchorOptions:
    """What the folder is compared with that its maker cannot change."""

    expect: Annotated[
        str | None,
        typer.Option(help="The audit hash that the run printed, kept where nobody changes it."),
    ] = None
    signers: Annotated[
        Path | None,
        typer.Option(
            help="Who may have signed the run, as in `man ssh-keygen`, ALLOWED SIGNERS: on each "
            "line a name and a public key."
        ),
    ] = None
    identity: Annotated[
        str | None,
        typer.Option(help="Which of the --signers must have signed; by default any of them."),
    ] = None


@dataclass(frozen=True)
class TrustOptions:
    """What may be read, contacted and loaded because the folder says so."""

    allow_outside: Annotated[
        bool, typer.Option(help="Read files outside of DIR that its recipe names.")
    ] = False
    allow_server: Annotated[
        str | None,
        typer.Option(help="The address of the server that may be contacted, as in the recipe."),
    ] = None
    key_variable: Annotated[
        str | None,
        typer.Option(help="The environment variable whose content that server gets as its key."),
    ] = None
    allow_download: Annotated[
        bool, typer.Option(help="Look the recipe's model up on the model hub.")
    ] = False
    allow_pickle: AllowPickle = False

    @property
    def trust(self) -> Trust:
        """These options as what a recipe is given."""
        return Trust(
            outside=self.allow_outside,
            server=None if self.allow_server is None else self.allow_server.rstrip("/"),
            key_variable=self.key_variable,
            download=self.allow_download,
            pickle=self.allow_pickle,
        )


@command
def verify_command(
    path: Annotated[
        Path, typer.Argument(callback=existing, metavar="DIR", help="The --out folder of a run.")
    ],
    again: SampleOptions,
    anchor: AnchorOptions,
    allowed: TrustOptions,
) -> None:
    """Audit a run: its files, its store, its masks, its spectrum, and the model itself.

    Derives everything again from the store. Makes the game again from the run's recipe, and
    evaluates a random sample of the stored ablations. The exit code is 0 for MATCH, 1 for
    MISMATCH, and 3 for INCOMPLETE: nothing differs, but something is missing that a run has.

    The folder may come from somebody else. Nothing is read outside of it, nobody is contacted and
    no weights but safetensors are loaded, unless the options say so.

    Example: interplay verify out/loan --sample 20
    """
    trust = allowed.trust
    folder = path if path.is_dir() else path.parent
    if (folder / DOCUMENT).is_file() and path.is_dir():
        _verify_set(folder, again, anchor, trust)
        return
    files = [
        (name, trust.file(Path(file.name), folder, largest=None)) for name, file in saved(path)
    ]
    of_folder = _of_folder(folder, anchor, trust, again.record)
    recipe = read_recipe(folder, trust) if again.sample else None
    ablations = again.store or store_of(recipe, folder, trust)
    games: Iterator[Game | None] = iter(())
    if recipe is not None:
        inputs = recipe.check()
        of_folder.append(inputs)
        if inputs.status == MATCH:
            _announce(recipe, again.sample, trust)
            games = games_of(recipe, trust)
        else:
            console.print(
                "The inputs are not what was explained, so no game is made of them.",
                highlight=False,
            )
    elif again.sample:
        console.print(
            f"{folder} has no recipe of how its game was made, so the model is not evaluated. Make "
            "the game again in Python, and call\n  ip.verify(ip.load(...), game, store=...)",
            markup=False,
            highlight=False,
        )
    explanations = [load(file) for _, file in files]
    page = check_page(folder, explanations, trust) if path.is_dir() else None
    of_folder += [] if page is None else [page]
    results = []
    for (name, _), explanation in zip(files, explanations, strict=True):
        with interruptible():
            result = verify(
                explanation,
                next(games, None),
                store=ablations,
                sample=again.sample,
                tolerance=again.tolerance,
                random_state=again.random_state,
            )
        of_files = _trusted(folder, anchor.signers is not None, whole=path.is_dir())
        result = Verification((*of_folder, *result.checks), (*result.trusted, *of_files))
        results.append((name, result))
        _print(name, result)
    _end(results, again.record)


def _verify_set(folder: Path, again: SampleOptions, anchor: AnchorOptions, trust: Trust) -> None:
    """Audit the folder of a set of prompts, and print what differs or could not be checked."""
    of_folder = _of_folder(folder, anchor, trust, again.record)
    parts = (DOCUMENT, SET_PAGE, RECORDS, *sorted(f"{PROMPTS}/{p.name}" for p in _prompts(folder)))
    for name in parts:
        if (folder / name).exists() or (folder / name).is_symlink():
            trust.file(Path(name), folder, largest=None)
    store = again.store or store_of(None, folder, trust)
    with interruptible():
        result = verify_set(folder, store=store)
    reason = "the prompts are not made again here; ip.verify(audit.explanation(0), game) asks it"
    of_model = left_out("model", reason) if again.sample == 0 else unchecked("model", reason)
    result = Verification((*of_folder, *result.checks, of_model), result.trusted)
    differing = [check for check in result.checks if check.status != MATCH or check in of_folder]
    name = folder.resolve().name
    _print(name, replace(result, checks=tuple(differing)), result.summary)
    _end([(name, result)], again.record)


def _prompts(folder: Path) -> Iterator[Path]:
    """The explanations of a set's folder."""
    place = folder / PROMPTS
    return iter(()) if place.is_symlink() else place.glob("*.interplay")


def _end(results: list[tuple[str, Verification]], record: Path | None) -> None:
    """Write every comparison, if that was asked for, and end with the status."""
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        document = [{"explanation": name} | result.to_json() for name, result in results]
        record.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    verdicts = {result.verdict for _, result in results}
    if verdicts != {MATCH}:
        raise typer.Exit(EXIT_MISMATCH if MISMATCH in verdicts else EXIT_INCOMPLETE)


def _of_folder(
    folder: Path, anchor: AnchorOptions, trust: Trust, record: Path | None
) -> list[Check]:
    """The checks of the folder's files, audit hash and signature."""
    if anchor.identity is not None and anchor.signers is None:
        raise ValueError("--identity names one of the signers; give their file by --signers")
    manifest = read_manifest(folder, trust)
    if manifest is not None:
        console.print(f"audit hash: {manifest.audit_hash}", highlight=False, soft_wrap=True)
    checks = [check_files(folder, manifest, trust, record)]
    if anchor.expect is not None:
        checks.append(check_audit_hash(manifest, anchor.expect))
    if anchor.signers is not None:
        checks.append(check_signature(folder, manifest, anchor.signers, anchor.identity, trust))
    return checks


def _announce(recipe: Recipe, sample: int, trust: Trust) -> None:
    """Print whom the game would contact, before it does; a ValueError if that is not allowed."""
    if recipe.server is None:
        return
    trust.check_server(recipe.server)
    key = f"the key in ${trust.key_variable}" if trust.key_variable else "no key"
    console.print(
        f"{sample} prompts go to {recipe.server}, with {key}. Some of them may be asked twice, to "
        "see whether the answers repeat.",
        markup=False,
        highlight=False,
    )


def _trusted(folder: Path, signature_was_checked: bool, whole: bool) -> Iterator[Trusted]:
    """What of a run's folder is compared with nothing.

    Args:
        folder: the folder.
        signature_was_checked: whether its signature was.
        whole: whether the folder is audited, and not one explanation in it.
    """
    if (folder / RECIPE).exists():
        reason = "they do not change what is computed"
        yield Trusted("recipe.json", "options that the fingerprint does not cover", reason)
    if (folder / SIGNATURE).exists() and not signature_was_checked:
        yield Trusted("signature", SIGNATURE, "it is not checked without --signers FILE")
    if not whole:
        return
    if not (folder / PAGE).exists():
        yield Trusted("page", "none", "nothing shows whether there was one")
    others = sorted(path.name for path in folder.iterdir() if _is_other(path))
    for name in others[:_MOST_OTHERS]:
        yield Trusted(visible(name), "a file", "its hash at most is compared, not what it says")
    if len(others) > _MOST_OTHERS:
        yield Trusted("other files", str(len(others)), "they are too many to be listed")


def _is_other(path: Path) -> bool:
    """Whether a run does not write a file of that name."""
    known = (PAGE, STORE, RECIPE, MANIFEST, SIGNATURE, f"{STORE}-wal", f"{STORE}-shm")
    return path.name not in known and path.suffix != ".interplay" and not path.is_dir()


def games_of(recipe: Recipe, trust: Trust = UNTRUSTED) -> Iterator[Game]:
    """The recipe's game; of a hierarchical refinement the game of each level in turn."""
    game: Any = recipe.game(trust)
    yield game
    for by, chosen in recipe.levels:
        game, _ = game.refined(chosen, unit(by))
        yield game


def _print(name: str, result: Verification, summary: str | None = None) -> None:
    """Print each check, and each ablation that was evaluated again."""
    lines = [f"{name}"]
    for check in result.checks:
        lines += [str(check)]
        if check.name == "model":
            lines += [f"  {entry}" for entry in check.entries if entry.matches]
    lines += [*map(str, result.trusted), summary or result.summary]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
