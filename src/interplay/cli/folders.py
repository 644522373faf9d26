"""The folder of a run: the explanation, its page, its recipe, its manifest and its store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interplay.audit.checks import MISMATCH, Check, Entry, checked, unchecked
from interplay.cli.manifest import digest, put_json, read_manifest, write_manifest
from interplay.cli.options import STORE, GateOptions
from interplay.cli.recipes import Recipe, write_recipe
from interplay.cli.tables import console
from interplay.cli.trust import UNTRUSTED, Trust
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.loading import load
from interplay.explanation.provenance import versions
from interplay.game import PlannedGame, fingerprint_of
from interplay.text.analysis.drill import LEVEL_FILE, Refinement

PAGE = "explanation.html"
EXPECTED = "expected.json"
"""What was expected of the run, and what came of it."""


def write(
    result: Explanation | Refinement,
    folder: Path,
    command: str,
    options: dict[str, Any],
    **more: Any,
) -> Path:
    """Save an explanation, its recipe and its page into a folder, and a manifest of them.

    The page is made of what was saved, so that an audit can make it again.

    Args:
        result: the explanation, or the levels of a hierarchical refinement.
        folder: where to write.
        command: the command that made it.
        options: the options from which the command makes its game.
        **more: the recipe's ``store``, if it is not in the folder, and its ``levels``.

    Returns:
        The path of the page.
    """
    refined = isinstance(result, Refinement)
    files = result.save(folder) if isinstance(result, Refinement) else [result.save(folder / FILE)]
    write_recipe(Recipe(command, options, **({"store": folder / STORE} | more)), folder)
    page = _write_page([load(file) for file in files], refined, folder / PAGE)
    write_manifest(folder)
    return page


def rewrite(explanations: Sequence[Explanation], folder: Path) -> Path:
    """Save the explanations of a run again, with its page and manifest; its recipe stays.

    Args:
        explanations: those in the folder, the coarsest level first.
        folder: of the run.

    Returns:
        The path of the page.
    """
    files = [file for _, file in saved(folder)]
    for explanation, file in zip(explanations, files, strict=True):
        explanation.save(file)
    refined = not (folder / FILE).exists()
    page = _write_page([load(file) for file in files], refined, folder / PAGE)
    write_manifest(folder)
    return page


def _write_page(explanations: Sequence[Explanation], refined: bool, path: Path) -> Path:
    """Write the page of an explanation, or of the levels of a hierarchical refinement."""
    if refined:
        return Refinement(tuple(explanations), (), ()).to_html(path)
    return explanations[0].to_html(path)


def print_written(page: Path) -> None:
    """Print where the page of a run is, and the run's audit hash."""
    console.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)
    manifest = read_manifest(page.parent)
    if manifest is not None:
        console.print(f"audit hash: {manifest.audit_hash}", highlight=False, soft_wrap=True)


def finish(page: Path, explanation: Explanation, gate: GateOptions) -> None:
    """End a run whose page is written: test what is expected of it, and print where it is.

    What came of it is written beside the page, before the audit hash is printed, which covers it.

    Args:
        page: that of the run.
        explanation: with its game.
        gate: what must come of it.

    Raises:
        typer.Exit: the run was interrupted, or something is not as it must be.
    """
    folder = page.parent
    known = folder / EXPECTED
    outcomes = gate.outcomes(explanation, folder / STORE)
    if outcomes is not None:
        put_json(known, {"expected": [asdict(one) for one in outcomes]})
    if outcomes is not None or known.exists():
        if outcomes is None:  # of an earlier run
            known.unlink()
        write_manifest(folder)
    print_written(page)
    gate.end(explanation, outcomes)


def check_page(
    folder: Path, explanations: Sequence[Explanation], trust: Trust = UNTRUSTED
) -> Check | None:
    """Check that the page of a folder is the one that its explanations give.

    Args:
        folder: of a run.
        explanations: those in the folder, the coarsest level first.
        trust: which files may be read.

    Returns:
        ``None`` if there is no page. Not checked if it differs and another version of Interplay
        wrote it.

    Raises:
        ValueError: the page may not be read.
    """
    path = folder / PAGE
    if not path.exists() and not path.is_symlink():
        return None
    path = trust.file(Path(PAGE), folder)
    if not path.is_file():
        raise ValueError(f"{path} is not a page but a folder; put the file back, or remove it")
    with TemporaryDirectory() as private:
        refined = not (folder / FILE).exists()
        again = digest(_write_page(explanations, refined, Path(private) / PAGE))
    recorded = digest(path)
    entry = Entry(f"sha256 of {PAGE}", recorded, again, recorded == again)
    check = checked("page", "the page is the one that the explanation gives", [entry])
    then = explanations[0].provenance["versions"].get("interplay")
    now = versions()["interplay"]
    if check.status == MISMATCH and then != now:
        reason = f"interplay {then} wrote the page, and {now} writes it differently"
        return unchecked("page", reason)
    return check


def saved(path: Path) -> list[tuple[str, Path]]:
    """The explanations at a path, each with a name.

    The path is a file, the folder of a run, or that of a hierarchical refinement with its levels.

    Raises:
        ValueError: there is none.
    """
    if path.is_file():
        return [(path.stem, path)]
    name = path.resolve().name
    if (path / FILE).exists():
        return [(name, path / FILE)]
    numbers = {
        int(level.stem[5:]): level
        for level in path.glob(LEVEL_FILE.format("*"))
        if re.fullmatch(r"[1-9][0-9]{0,5}", level.stem[5:])
    }
    levels = [numbers[number] for number in sorted(numbers)]
    if not levels:
        raise ValueError(f"{path} holds no explanation{_instead(path)}")
    return [(f"{name}, level {number}", level) for number, level in enumerate(levels, 1)]


def _instead(path: Path) -> str:
    """What to do about a folder without an explanation."""
    runs = sorted(str(file.parent) for file in path.glob(f"*/{FILE}"))
    if runs:
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        return f"; it holds runs: give one of them ({runs[0]}{more})"
    if (path / STORE).exists():
        return (
            ", but ablations of a run that was interrupted before it had enough of them; "
            "the same command again goes on with it"
        )
    return "; give the --out folder of a run, or a file that Explanation.save wrote"


def finest(result: Explanation | Refinement) -> Explanation:
    """The explanation, or the finest of several."""
    return result.finest if isinstance(result, Refinement) else result


def refuse_another(game: PlannedGame, known: Path) -> None:
    """Refuse to overwrite the explanation of another game, before anything is evaluated."""
    if not known.exists():
        return
    provenance = load(known).provenance["game"]
    there, here = provenance["fingerprint"], fingerprint_of(game)
    if there == here:
        return
    old, new = provenance["description"], game.describe()
    differ = ", ".join(
        sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    )
    raise ValueError(
        f"{known.parent} holds the explanation of another game, with the fingerprint {there}; this "
        f"one has {here}. They differ in: {differ or 'weights, tokenizer or data'}. Give another "
        "folder by --out, or remove that one"
    )
