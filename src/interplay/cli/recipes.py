"""The recipe of a run: the options of its command, from which the game can be made again.

``recipe.json`` lies beside the explanation, with copies of the input files and their hashes. It
holds no key and no password: of a server's address only the part that may be shown, of a key only
the name of its environment variable.

A recipe is data of whoever made the folder. What it may do when it is read says
:class:`interplay.cli.trust.Trust`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from interplay._types import Json
from interplay.audit.checks import Check, Entry, checked, texts
from interplay.cli.manifest import INPUTS
from interplay.cli.trust import UNTRUSTED, Trust
from interplay.extensions import COMMANDS
from interplay.game import PlannedGame
from interplay.text.api.account import public_address

RECIPE = "recipe.json"
_FORMAT = 1
_MODEL, _ADDRESS = "model", "base_url"
_LARGEST_RECIPE = 1 << 20
_T = TypeVar("_T")


@dataclass(frozen=True)
class Recipe:
    """How a command made its game.

    Attributes:
        command: one of :data:`interplay.extensions.COMMANDS`.
        options: the options from which the command makes its game.
        store: the file of ablations.
        levels: of a hierarchical refinement, for each level but the first its unit and the
            players that were refined for it.
        inputs: the files among the options, each with its recorded and its present hash.
    """

    command: str
    options: dict[str, Any]
    store: Path
    levels: tuple[tuple[str, tuple[int, ...]], ...] = ()
    inputs: tuple[Entry, ...] = ()

    @property
    def server(self) -> str | None:
        """The server that the game would contact; ``None``: none."""
        return self.options.get(_ADDRESS)

    def game(self, trust: Trust = UNTRUSTED) -> PlannedGame:
        """The game, made by the options of its command.

        Args:
            trust: what the options may do.

        Raises:
            ValueError: an option has another type than the command's, or asks for something that
                is not allowed.
        """
        lens = COMMANDS[self.command]
        game: PlannedGame = lens(**_checked(self.command, lens, self.options)).game(trust)
        return game

    def check(self) -> Check:
        """Whether the input files are unchanged."""
        return checked("inputs", "the input files are what they were", self.inputs)


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Write a recipe into a folder, which must exist, with copies of its input files.

    The copies are in ``inputs``, so that the folder can be audited on its own.
    """
    document = {
        "format": _FORMAT,
        "command": recipe.command,
        "options": {name: _plain(name, value, folder) for name, value in recipe.options.items()},
        "store": _relative(recipe.store, folder),
        "levels": [{"by": by, "chosen": list(chosen)} for by, chosen in recipe.levels],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / RECIPE).write_text(text + "\n", encoding="utf-8")


def read_recipe(folder: Path, trust: Trust = UNTRUSTED) -> Recipe | None:
    """The recipe of a folder; ``None`` where it has none. Nothing but its files is read.

    Args:
        folder: of a run.
        trust: which files may be read.

    Raises:
        ValueError: it is damaged or of another version, or names a file that may not be read or has
            no hash.
    """
    path = folder / RECIPE
    if not path.exists():
        return None
    path = trust.file(Path(RECIPE), folder)
    if path.stat().st_size > _LARGEST_RECIPE:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes, above the {_LARGEST_RECIPE:,} of a recipe"
        )
    try:
        document: Json = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError(
                f"{path} has format {document['format']}, but this version of interplay reads "
                f"{_FORMAT}; use the version that wrote it"
            )
        inputs: list[Entry] = []
        options = {
            str(name): _back(name, value, folder, trust, inputs)
            for name, value in dict(document["options"]).items()
        }
        levels = tuple(
            (_of(str, level["by"]), tuple(_of(int, player) for player in level["chosen"]))
            for level in document["levels"]
        )
        store = _of(str, document["store"])
        return Recipe(_of(str, document["command"]), options, Path(store), levels, tuple(inputs))
    except (
        *(KeyError, TypeError, AttributeError, RecursionError, OverflowError),
        *(json.JSONDecodeError, UnicodeError),
    ) as error:
        raise ValueError(f"{path} is not a recipe ({error!r})") from error


def store_of(recipe: Recipe, folder: Path, trust: Trust) -> Path:
    """The file of ablations of a run, which need not exist.

    Raises:
        ValueError: it may not be read.
    """
    place = trust.place(recipe.store, folder)
    return trust.file(recipe.store, folder) if place.exists() else place


def _plain(name: str, value: Any, folder: Path) -> Any:
    if name == _MODEL and isinstance(value, str) and Path(value).is_dir():
        return {"path": _relative(Path(value), folder), "sha256": None}
    if isinstance(value, Path):
        if value.is_file() and not value.resolve().is_relative_to(folder.resolve()):
            copy = folder / INPUTS / f"{name}-{value.name}"
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(value, copy)
            value = copy
        return {"path": _relative(value, folder), "sha256": _digest(value)}
    if name == _ADDRESS and value is not None:
        shown = public_address(value)
        return shown if shown == value.rstrip("/") else {"withheld": shown}
    return value


def _back(name: str, value: Any, folder: Path, trust: Trust, inputs: list[Entry]) -> Any:
    if not isinstance(value, Mapping):
        return value
    if "withheld" in value:
        raise ValueError(
            f"the recipe in {folder} does not hold the whole address of the server "
            f"{value['withheld']}, which has a password or a query in it; make the game in Python, "
            "and call ip.verify(explanation, game, store=...)"
        )
    path = trust.file(Path(_of(str, value["path"])), folder)
    if name == _MODEL:  # its weights are hashed by the fingerprint
        return str(path)
    if not isinstance(value["sha256"], str):
        raise ValueError(
            f"the recipe in {folder} has no hash of {value['path']}, so that it cannot be told "
            "whether that is what was explained; give --sample 0 to do without"
        )
    inputs.append(texts(value["path"], value["sha256"], _digest(path)))
    return path


def _of(kind: type[_T], value: Any) -> _T:
    """A value of a JSON document, of the type that it must have."""
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


def _checked(command: str, lens: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the names and types of a command's.

    Raises:
        ValueError: others.
    """
    types = get_type_hints(lens)
    wanted = {field.name for field in fields(lens)}
    if unknown := sorted(options.keys() - wanted):
        raise ValueError(
            f"the recipe has options that `interplay {command}` does not have: {', '.join(unknown)}"
        )
    required = {field.name for field in fields(lens) if field.default is MISSING}
    if missing := sorted(required - options.keys()):
        raise ValueError(
            f"the recipe lacks options that `interplay {command}` needs: {', '.join(missing)}"
        )
    for name, value in options.items():
        if not _matches(value, types[name]):
            raise ValueError(
                f"the recipe's option {name}={value!r} is not of the type that "
                f"`interplay {command}` takes, {types[name]}"
            )
    return dict(options)


def _matches(value: Any, kind: Any) -> bool:
    """Whether a value is of a type: plain, ``list`` of plain ones, or a union."""
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_matches(value, argument) for argument in arguments)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_matches(item, arguments[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _relative(path: Path, folder: Path) -> str:
    """The path of a file relative to a folder; absolute between two drives, which have none."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def _digest(path: Path) -> str:
    """The hash of a file; of a folder that of its files' names and hashes."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        line = f"{file.relative_to(path).as_posix()}\0{_digest(file)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
