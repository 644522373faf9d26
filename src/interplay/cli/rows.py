"""What ``interplay training`` is given: a table, or images that a table names."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.errors import MissingDependencyError

SIZE = 28
"""Images are made grey and of so many pixels each way."""
_FILE = "file"
_MOST_THUMBNAILS = 200
_SNIPPET = 80


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows.

    Attributes:
        features: ``(rows, columns)``, or ``(rows, SIZE, SIZE)`` grey images from 0 to 1.
        labels: the class of each.
        groups: the group of each; ``None`` where there is no such column.
        notes: what each is, in words; ``None`` where there is no such column.
        names: the file of each, or its line in the table.
        columns: the features' names; none where they are images.
    """

    features: FloatArray
    labels: list[str]
    groups: list[str] | None
    notes: list[str] | None
    names: list[str]
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Iterable[int]) -> Rows:
        """Those rows, by their numbers."""
        numbers = [int(n) for n in chosen]

        def of(given: list[str]) -> list[str]:
            return [given[n] for n in numbers]

        return Rows(
            self.features[numbers],
            of(self.labels),
            None if self.groups is None else of(self.groups),
            None if self.notes is None else of(self.notes),
            of(self.names),
            self.columns,
        )


def read_rows(
    table: Path,
    label: str,
    group: str | None = None,
    note: str | None = None,
    images: Path | None = None,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Read a CSV file with a header.

    Args:
        table: the file.
        label: the column with the class.
        group: the column with the group.
        note: the column with what a row is, in words.
        images: a folder; the table's column ``file`` names an image in it for each row.
        columns: the features, which are numbers; ``None``: all other columns. Not read of images.

    Raises:
        ValueError: a column or an image that is not there, no rows, an empty class or group, or a
            feature that is no finite number.
        MissingDependencyError: Pillow is not installed, and there are images.
    """
    with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write the mark
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        lines = list(reader)
    own = [name for name in (label, group, note) if name is not None]
    if images is not None:
        named: Sequence[str] = ()
    else:
        named = [c for c in header if c not in own] if columns is None else columns
    for name in (*own, *named, *([_FILE] if images is not None else [])):
        if name not in header:
            raise ValueError(f"{table} has no column {name!r}; it has {', '.join(header)}")
    if not lines:
        raise ValueError(f"{table} has no rows")
    if images is None and not named:
        raise ValueError(f"{table} has no columns of features beside {', '.join(header)}")

    def texts(name: str | None) -> list[str] | None:
        return None if name is None else [line[name] or "" for line in lines]

    for column in (label, group):
        empty = [n for n, text in enumerate(texts(column) or (), 2) if not text]
        if empty:
            raise ValueError(
                f"{table}, line {empty[0]}: column {column!r} is empty; fill it in, or leave the "
                "line out"
            )
    if images is not None:
        features = _images([images / (line[_FILE] or "") for line in lines])
    else:
        features = np.array(
            [
                [_number(line[name], name, number, table) for name in named]
                for number, line in enumerate(lines, 2)
            ]
        )
    return Rows(
        features,
        texts(label) or [],
        texts(group),
        texts(note),
        (texts(_FILE) if images is not None else None)
        or [f"line {number}" for number in range(2, len(lines) + 2)],
        tuple(named),
    )


def standardised(train: FloatArray, test: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns with the mean 0 and the standard deviation 1 over the training rows."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread <= 1e-12 * np.abs(mean)] = 1.0  # of those that never vary, but for rounding
    return (train - mean) / spread, (test - mean) / spread


def snippets(notes: Sequence[str], owners: IntArray, n_players: int) -> list[str]:
    """What each player's first row is, in words, and how many rows more it has."""
    made = []
    for player in range(n_players):
        own = np.flatnonzero(owners == player)
        text = " ".join(notes[own[0]].split())
        text = text if len(text) <= _SNIPPET else f"{text[: _SNIPPET - 1]}…"
        made.append(text if len(own) == 1 else f"{text} (and {len(own) - 1} more)")
    return made


def thumbnails(images: FloatArray, owners: IntArray, n_players: int) -> list[str] | None:
    """Each player's first image, a PNG in base64; ``None`` for too many players."""
    from PIL import Image

    if n_players > _MOST_THUMBNAILS:
        return None
    made = []
    for player in range(n_players):
        file = io.BytesIO()
        grey = np.uint8(np.round(images[np.argmax(owners == player)] * 255))
        Image.fromarray(grey).save(file, "PNG", optimize=True)
        made.append(base64.b64encode(file.getvalue()).decode())
    return made


def _number(text: str | None, column: str, line: int, table: Path) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{table}, line {line}: {text!r} in column {column!r} is no finite number; encode it "
            "as one, or leave the column out"
        )
    return number


def _images(paths: list[Path]) -> FloatArray:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "images", "reading images") from error
    made = []
    for path in paths:
        try:
            with Image.open(path) as image:
                grey = image.convert("L").resize((SIZE, SIZE))
        except OSError as error:  # not there, a folder, no image, cut off
            raise ValueError(f"{path} is no image that can be read: {error}") from error
        made.append(np.asarray(grey, dtype=np.float64) / 255.0)
    return np.stack(made)
