"""The folder of a run: the explanation, its page, its recipe and its store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interplay.cli.options import STORE
from interplay.cli.recipes import Recipe, write_recipe
from interplay.explanation.explanation import FILE, Explanation, load
from interplay.game import PlannedGame, fingerprint_of
from interplay.text.analysis.drill import LEVEL_FILE, Refinement

PAGE = "explanation.html"


def write(
    result: Explanation | Refinement,
    folder: Path,
    command: str,
    options: dict[str, Any],
    **more: Any,
) -> Path:
    """Save an explanation, its recipe and its page into a folder.

    Args:
        result: the explanation, or the levels of a hierarchical refinement.
        folder: where to write.
        command: the command that made it.
        options: the options from which the command makes its game.
        **more: the recipe's ``store``, if it is not in the folder, and its ``levels``.

    Returns:
        The path of the page.
    """
    if isinstance(result, Refinement):
        result.save(folder)
    else:
        result.save(folder / FILE)
    write_recipe(Recipe(command, options, **({"store": folder / STORE} | more)), folder)
    return result.to_html(folder / PAGE)


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
    levels = sorted(path.glob(LEVEL_FILE.format("*")), key=lambda level: int(level.stem[5:]))
    if not levels:
        raise ValueError(
            f"{path} holds no explanation; give the --out folder of a run, or a file that "
            "Explanation.save wrote"
        )
    return [(f"{name}, level {number}", level) for number, level in enumerate(levels, 1)]


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
