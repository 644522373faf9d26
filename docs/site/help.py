"""The commands' help as a page of the site, from the commands themselves."""

from __future__ import annotations

import inspect
from typing import Any

import typer


def commands() -> str:
    """A section for each command: what it does, its arguments and its options."""
    from interplay.cli.app import app

    group: Any = typer.main.get_command(app)
    parts = [
        "# Command line\n\n`interplay COMMAND --help` says the same in a shell. "
        "[Start in five minutes](../start.md) has commands to copy."
    ]
    for name, command in sorted(_leaves("interplay", group)):
        parts.append(f"## {name}\n\n{_text(command.help)}\n\n{_table(command.params)}")
    return "\n\n".join(parts) + "\n"


def _leaves(name: str, command: Any) -> list[tuple[str, Any]]:
    command = command.loaded() if hasattr(command, "loaded") else command
    if not hasattr(command, "commands"):
        return [(name, command)]
    inside = command.commands.items()
    return [leaf for word, part in inside for leaf in _leaves(f"{name} {word}", part)]


def _text(words: str | None) -> str:
    return inspect.cleandoc(words or "").replace("\f", "")


def _table(parameters: list[Any]) -> str:
    rows = ["| option or argument | what it does |", "|---|---|"]
    for parameter in parameters:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        options = [*parameter.opts, *parameter.secondary_opts]
        is_option = parameter.opts[0].startswith("-")
        names = (
            ", ".join(f"`{option}`" for option in options)
            if is_option
            else (f"`{parameter.name.upper()}`")
        )
        words = " ".join(_text(getattr(parameter, "help", None)).split())
        escaped = words.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
        rows.append(f"| {names} | {escaped} |")
    return "\n".join(rows) if len(rows) > 2 else ""
