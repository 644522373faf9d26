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
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from interplay._types import Json, parse, shown
from interplay.audit.checks import Check, Entry, checked, texts
from interplay.cli.manifest import INPUTS, digest, put
from interplay.cli.options import STORE
from interplay.cli.trust import GAME_SECONDS, UNTRUSTED, Trust, check_model, time_limit
from interplay.errors import InterplayError
from interplay.extensions import COMMANDS
from interplay.game import PlannedGame
from interplay.text.api.account import public_address

RECIPE = "recipe.json"
_FORMAT = 1
_MODEL, _ADDRESS = "model", "base_url"
_LARGEST_RECIPE = 1 << 20
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
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

    def game(self, trust: Trust = UNTRUSTED, loaded: Any = None) -> PlannedGame:
        """The game, made by the options of its command.

        Args:
            trust: what the options may do.
            loaded: for the text lens, the model and its tokenizer where they are loaded already.

        Raises:
            ValueError: an option has another type than the command's, or asks for something that
                is not allowed; no game can be made of it, or not in :data:`GAME_SECONDS`.
            InterplayError: a package or an answer of a server is missing.
            OSError: there is no such model.
        """
        lens = COMMANDS[self.command]
        options = _checked(self.command, lens, self.options)
        if trust.anything:
            more = {} if loaded is None else {"loaded": loaded}
            game: PlannedGame = lens(**options).game(trust, **more)
            return game
        slow = f"the game of the recipe was not made within {GAME_SECONDS:.0f} s"
        try:
            with time_limit(GAME_SECONDS, f"{slow}; give --sample 0 to do without"):
                game = lens(**options).game(trust)
        except (InterplayError, ValueError, OSError):
            raise
        except Exception as error:  # of whatever library reads what the recipe names
            raise ValueError(
                f"no game can be made of the recipe: {type(error).__name__}: {shown(str(error))}; "
                "give --sample 0 to do without"
            ) from error
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
    put(folder / RECIPE, f"{text}\n".encode())


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
    if not path.is_file():
        raise ValueError(f"{path} is not a recipe but a folder; put the file back")
    if path.stat().st_size > _LARGEST_RECIPE:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes, above the {_LARGEST_RECIPE:,} of a recipe"
        )
    try:
        document: Json = _parsed(path)
        if document["format"] != _FORMAT:
            raise ValueError(
                f"{path} has format {shown(document['format'])}, but this version of interplay "
                f"reads {_FORMAT}; use the version that wrote it"
            )
        inputs: list[Entry] = []
        written = dict(document["options"])
        options = {
            name: _back(name, value, folder, trust, inputs) for name, value in written.items()
        }
        if isinstance(written.get(_MODEL), str) and written.get(_ADDRESS) is None:
            _check_hub_name(written[_MODEL], folder, trust)
        levels = tuple(
            (_of(str, level["by"]), tuple(_of(int, player) for player in level["chosen"]))
            for level in document["levels"]
        )
        store = _of(str, document["store"])
        return Recipe(_of(str, document["command"]), options, Path(store), levels, tuple(inputs))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a recipe ({shown(error)})") from error


def _parsed(path: Path) -> Any:
    try:
        return parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not a recipe: {error}") from error


def store_of(recipe: Recipe | None, folder: Path, trust: Trust) -> Path:
    """The file of ablations of a run, which need not exist; without a recipe the folder's own.

    Raises:
        ValueError: it may not be read.
    """
    path = Path(STORE) if recipe is None else recipe.store
    place = trust.place(path, folder)
    return trust.file(path, folder, largest=None) if place.exists() else place


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
    if isinstance(value, datetime):
        return value.isoformat()
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
    path = trust.file(Path(_of(str, value["path"])), folder, weights=name == _MODEL)
    if name == _MODEL:  # its weights are hashed by the fingerprint
        if not trust.anything:
            check_model(path)
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
    given = dict(options)
    for name, value in options.items():
        if types[name] is datetime and isinstance(value, str):
            with suppress(ValueError):
                value = given[name] = datetime.fromisoformat(value)
        if not _matches(value, types[name]):
            raise ValueError(
                f"the recipe's option {name}={shown(value)} is not of the type that "
                f"`interplay {command}` takes, {types[name]}"
            )
    return given


def _check_hub_name(name: str, folder: Path, trust: Trust) -> None:
    """Refuse a folder that a recipe gives as the name of a model, past the check of its paths.

    Raises:
        ValueError: it is none of the hub's names, or there is a file or folder of that name.
    """
    if not trust.anything and (not _HUB_NAME.fullmatch(name) or Path(name).exists()):
        raise ValueError(
            f"the recipe in {folder} names the model {shown(name)}, which is a folder here or not "
            "a name of the model hub; call the command elsewhere, or give --sample 0 to do without"
        )


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
        return digest(path)
    names_and_hashes = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        line = f"{file.relative_to(path).as_posix()}\0{digest(file)}\n"
        names_and_hashes.update(line.encode("utf-8", "surrogateescape"))
    return names_and_hashes.hexdigest()
