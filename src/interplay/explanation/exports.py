"""Explanations as pages, tables and documents, by the formats of :mod:`interplay.extensions`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from interplay.extensions import EXPORTS

Titled: TypeAlias = Sequence[tuple[str, Any]]
"""Explanations, each with a title."""


def exported(parts: Titled, format: str) -> str:  # noqa: A002
    """Explanations, each with a title, in a format.

    Raises:
        ValueError: there is no such format.
    """
    text: str = EXPORTS[format](parts)
    return text


def export(
    parts: Titled,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
) -> Path:
    """Write explanations, each with a title, to a file.

    Args:
        parts: explanations, each with a title.
        path: where to; its folder is made.
        format: one of :data:`interplay.extensions.EXPORTS`; ``None``: as the path ends.

    Returns:
        The path.

    Raises:
        ValueError: there is no such format, or the path ends in none.
    """
    path = Path(path)
    if format is None:
        format = path.suffix.removeprefix(".").lower()  # noqa: A001
        if format not in EXPORTS:
            raise ValueError(
                f"{path} does not say what to write; let it end in "
                f"{', '.join(f'.{name}' for name in EXPORTS)}, or give the format"
            )
    text = exported(parts, format)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
