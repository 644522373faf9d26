"""What a run leaves in its folder: the explanation, its page, and the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interplay.cli.options import STORE
from interplay.cli.recipes import Recipe, write_recipe
from interplay.explanation.explanation import FILE, Explanation, load
from interplay.game import PlannedGame, fingerprint_of
from interplay.text.analysis.drill import LEVEL_FILE, Drilled

PAGE = "explanation.html"


def write(
    found: Explanation | Drilled, folder: Path, command: str, options: dict[str, Any], **more: Any
) -> Path:
    """Save what was found, its recipe and its page into a folder; returns the page.

    Args:
        found: what was found.
        folder: where to.
        command: that found it.
        options: by which the command makes its game.
        **more: the recipe's ``store``, where it is not in the folder, and its ``levels``.
    """
    if isinstance(found, Drilled):
        found.save(folder)
    else:
        found.save(folder / FILE)
    write_recipe(Recipe(command, options, **({"store": folder / STORE} | more)), folder)
    return found.to_html(folder / PAGE)


def saved(path: Path) -> list[tuple[str, Path]]:
    """The explanations at a path, each with a name: a file, a folder of one, a drill-down's levels.

    Raises:
        ValueError: there is none.
    """
    if path.is_file():
        return [(path.stem, path)]
    name = path.resolve().name
    if (path / FILE).exists():
        return [(name, path / FILE)]
    levels = sorted(path.glob(LEVEL_FILE.format("*")), key=lambda each: int(each.stem[5:]))
    if not levels:
        raise ValueError(
            f"{path} holds no explanation; give the --out folder of a run, or a file that "
            "Explanation.save wrote"
        )
    return [(f"{name}, level {number}", each) for number, each in enumerate(levels, 1)]


def finest(found: Explanation | Drilled) -> Explanation:
    """The explanation, or the finest of several."""
    return found.finest if isinstance(found, Drilled) else found


def refuse_another(game: PlannedGame, known: Path) -> None:
    """Refuse to replace what is known of another game, before anything is paid for."""
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
