"""The recipe of a run: the options that a command was given, by which its game can be made again.

``recipe.json`` lies beside the explanation. Files are named by their way from the recipe's folder
and known again by their hash. Keys and passwords are not in it: of a server's address only what may
be shown, and of a key the name of its environment variable.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from interplay._types import Json
from interplay.audit.checks import Check, Entry, checked, texts
from interplay.extensions import COMMANDS
from interplay.game import PlannedGame
from interplay.text.api.account import public_address

RECIPE = "recipe.json"
_FORMAT = 1
_MODEL, _ADDRESS = "model", "base_url"


@dataclass(frozen=True)
class Recipe:
    """How a command made its game.

    Attributes:
        command: one of :data:`interplay.extensions.COMMANDS`.
        options: what the command's game is made by.
        store: the file of ablations.
        levels: of a drill-down, for each level but the first its unit and the players that were
            cut for it.
        inputs: the files among the options, each with its hash then and now.
    """

    command: str
    options: dict[str, Any]
    store: Path
    levels: tuple[tuple[str, tuple[int, ...]], ...] = ()
    inputs: tuple[Entry, ...] = ()

    def game(self) -> PlannedGame:
        """The game, made by the options of its command.

        Raises:
            ValueError: the command is unknown, or it has no such options.
        """
        lens = COMMANDS[self.command]
        wanted = {field.name for field in fields(lens)}
        if unknown := sorted(self.options.keys() - wanted):
            raise ValueError(
                f"the recipe has options that `interplay {self.command}` does not have: "
                f"{', '.join(unknown)}"
            )
        game: PlannedGame = lens(**self.options).game()
        return game

    def check(self) -> Check:
        """Whether the input files are what they were."""
        return checked("inputs", "the input files are what they were", self.inputs)


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Leave a recipe in a folder, which must be there."""
    document = {
        "format": _FORMAT,
        "command": recipe.command,
        "options": {name: _plain(name, each, folder) for name, each in recipe.options.items()},
        "store": _way(recipe.store, folder),
        "levels": [{"by": by, "chosen": list(chosen)} for by, chosen in recipe.levels],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / RECIPE).write_text(text + "\n", encoding="utf-8")


def read_recipe(folder: Path) -> Recipe | None:
    """The recipe of a folder; ``None`` where it has none.

    Raises:
        ValueError: it is damaged or of another version, or names a file that is not there.
    """
    path = folder / RECIPE
    if not path.exists():
        return None
    try:
        document: Json = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError(
                f"{path} has format {document['format']}, but this version of interplay reads "
                f"{_FORMAT}; use the version that wrote it"
            )
        inputs: list[Entry] = []
        options = {
            name: _back(name, each, folder, inputs) for name, each in document["options"].items()
        }
        return Recipe(
            document["command"],
            options,
            folder / document["store"],
            tuple((level["by"], tuple(level["chosen"])) for level in document["levels"]),
            tuple(inputs),
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a recipe ({error!r})") from error


def _plain(name: str, value: Any, folder: Path) -> Any:
    if name == _MODEL and isinstance(value, str) and Path(value).is_dir():
        value = Path(value)
    if isinstance(value, Path):
        return {"path": _way(value, folder), "sha256": _digest(value)}
    if name == _ADDRESS and value is not None:
        shown = public_address(value)
        return shown if shown == value.rstrip("/") else {"withheld": shown}
    return value


def _back(name: str, value: Any, folder: Path, inputs: list[Entry]) -> Any:
    if not isinstance(value, Mapping):
        return value
    if "withheld" in value:
        raise ValueError(
            f"the recipe in {folder} does not hold the whole address of the server "
            f"{value['withheld']}, which has a password or a query in it; make the game in Python, "
            "and call ip.verify(explanation, game, store=...)"
        )
    path = folder / value["path"]
    if not path.exists():
        raise ValueError(
            f"the recipe in {folder} needs {path}, which is not there; put it back, or give "
            "--sample 0 to check the store and the spectrum only"
        )
    if value["sha256"] is not None:
        inputs.append(texts(value["path"], value["sha256"], _digest(path)))
    return str(path) if name == _MODEL else path


def _way(path: Path, folder: Path) -> str:
    """The way to a file from a folder; from the root where there is none, as between drives."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def _digest(path: Path) -> str | None:
    """A file's hash; ``None`` for a folder."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
