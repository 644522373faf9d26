"""What ``interplay training`` is given: a table, or images that a table names."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interplay._types import FloatArray
from interplay.errors import MissingDependencyError


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows.

    Attributes:
        features: ``(rows, columns)``, or ``(rows, height, width)`` grey images from 0 to 1.
        labels: the class of each.
        groups: the group of each; ``None`` where there is no such column.
    """

    features: FloatArray
    labels: list[str]
    groups: list[str] | None

    def __len__(self) -> int:
        return len(self.labels)


def read_rows(
    table: Path, label: str, group: str | None, images: Path | None = None, size: int = 28
) -> Rows:
    """Read a CSV file with a header.

    Args:
        table: the file; without ``images`` all its other columns are features, numbers.
        label: the column with the class.
        group: the column with the group.
        images: a folder; the table's column ``file`` names an image in it for each row.
        size: images are made grey and of so many pixels each way.

    Raises:
        ValueError: a column or an image that is not there, or a feature that is no number.
        MissingDependencyError: Pillow is not installed, and there are images.
    """
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        lines = list(reader)
    for name in (label, *([group] if group is not None else []), *(["file"] if images else [])):
        if name not in columns:
            raise ValueError(f"{table} has no column {name!r}; it has {', '.join(columns)}")
    if not lines:
        raise ValueError(f"{table} has no rows")
    if images is not None:
        features = _images([images / line["file"] for line in lines], size)
    else:
        named = [name for name in columns if name not in (label, group)]
        features = np.array(
            [
                [_number(line[name], name, number, table) for name in named]
                for number, line in enumerate(lines, 2)
            ]
        ).reshape(len(lines), len(named))
        if not named:
            raise ValueError(f"{table} has no columns of features beside {', '.join(columns)}")
    groups = None if group is None else [line[group] for line in lines]
    return Rows(features, [line[label] for line in lines], groups)


def _number(text: str | None, column: str, line: int, table: Path) -> float:
    try:
        return float(text or "")
    except ValueError as error:
        raise ValueError(
            f"{table}, line {line}: {text!r} in column {column!r} is no number; encode it as one, "
            "or leave the column out"
        ) from error


def _images(paths: list[Path], size: int) -> FloatArray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingDependencyError("pillow", "images", "reading images") from error
    made = []
    for path in paths:
        try:
            with Image.open(path) as image:
                grey = image.convert("L").resize((size, size))
        except (FileNotFoundError, UnidentifiedImageError) as error:
            raise ValueError(f"{path} is no image that can be read: {error}") from error
        made.append(np.asarray(grey, dtype=np.float64) / 255.0)
    return np.stack(made)
