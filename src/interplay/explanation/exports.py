"""Write explanations as pages, tables and documents, in the formats of the extension point."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from interplay.extensions import EXPORTS

Titled: TypeAlias = Sequence[tuple[str, Any]]
"""Explanations, each with a title."""


def exported(parts: Titled, format: str) -> str:  # noqa: A002
    """The text of explanations, each with a title, in a format.

    Raises:
        ValueError: there is no such format.
    """
    text: str = EXPORTS[format](parts)
    return text


def toolkit(name: str) -> Any:
    """The module ``interplay.toolkits.NAME``, imported now: it needs a package of that name.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    return import_module(f"interplay.toolkits.{name}")


def export(
    parts: Titled,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
) -> Path:
    """Write explanations, each with a title, to a file.

    Args:
        parts: explanations, each with a title.
        path: the file. Its folder is made if it is missing.
        format: one of :data:`interplay.extensions.EXPORTS`. ``None``: the ending of the path
            decides.

    Returns:
        The path.

    Raises:
        ValueError: there is no such format, or the ending of the path is not a format.
    """
    path = Path(path)
    name = path.suffix.removeprefix(".").lower() if format is None else format
    if format is None and name not in EXPORTS:
        raise ValueError(
            f"{path} does not say what to write; let it end in "
            f"{', '.join(f'.{known}' for known in EXPORTS)}, or give the format"
        )
    text = exported(parts, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
