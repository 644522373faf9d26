"""The rows of ``interplay training``: a table, or images that a table names."""

from __future__ import annotations

import base64
import csv
import io
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.errors import MissingDependencyError
from interplay.extensions import nearest

SIZE = 28
"""Images are converted to grey, with so many pixels each way."""
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
"""Other formats, such as EPS, make Pillow start other programs."""
_MOST_PIXELS = 50_000_000
_FILE = "file"
_MOST_THUMBNAILS = 200
_NO_IMAGE = (OSError, ValueError, SyntaxError, EOFError, OverflowError, struct.error, zlib.error)
"""What Pillow raises on malformed files."""
_SNIPPET = 80
_NAMED = 10
"""The most columns that an error lists."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows.

    Attributes:
        features: ``(rows, columns)``, or ``(rows, SIZE, SIZE)`` grey images from 0 to 1.
        labels: the class of each.
        groups: the group of each; ``None`` without such a column.
        notes: a description of each; ``None`` without such a column.
        names: the file of each, or its line in the table.
        columns: the features' names; empty for images.
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
        """Select rows by their numbers."""
        numbers = [int(n) for n in chosen]

        def of(column: list[str]) -> list[str]:
            return [column[n] for n in numbers]

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
        note: the column that describes a row.
        images: a folder; the table's column ``file`` names an image in it for each row.
        columns: the features, which are numbers; ``None``: all other columns. Not read of images.

    Raises:
        ValueError: a column or an image that is not there, no rows, an empty class or group, or a
            feature that is no finite number.
        MissingDependencyError: Pillow is not installed, and there are images.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write the mark
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            lines = list(reader)
    except csv.Error as error:
        raise ValueError(f"{table} is no CSV that can be read: {error}") from error
    special = [name for name in (label, group, note) if name is not None]
    if images is not None:
        named: Sequence[str] = ()
    else:
        named = [c for c in header if c not in special] if columns is None else columns
    for name in (*special, *named, *([_FILE] if images is not None else [])):
        if name not in header:
            raise no_column(table, name, header)
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
        features = _images(images, [line[_FILE] or "" for line in lines])
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
    """The description of each player's first row, and how many more rows the player has."""
    texts = []
    for player in range(n_players):
        rows = np.flatnonzero(owners == player)
        text = " ".join(notes[rows[0]].split())
        text = text if len(text) <= _SNIPPET else f"{text[: _SNIPPET - 1]}…"
        texts.append(text if len(rows) == 1 else f"{text} (and {len(rows) - 1} more)")
    return texts


def thumbnails(images: FloatArray, owners: IntArray, n_players: int) -> list[str] | None:
    """Each player's first image, a PNG in base64; ``None`` for too many players."""
    from PIL import Image

    if n_players > _MOST_THUMBNAILS:
        return None
    images_of_players = []
    for player in range(n_players):
        file = io.BytesIO()
        grey = np.uint8(np.round(images[np.argmax(owners == player)] * 255))
        Image.fromarray(grey).save(file, "PNG", optimize=True)
        images_of_players.append(base64.b64encode(file.getvalue()).decode())
    return images_of_players


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


def _images(folder: Path, names: list[str]) -> FloatArray:
    """Read images, ``(images, SIZE, SIZE)`` from 0 to 1.

    Raises:
        ValueError: a name leads out of the folder, or to no image that can be read.
        MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "images", "reading images") from error
    images = []
    for name in names:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"the image {name!r} lies outside of the folder {folder}; put it there, or give "
                "the folder that holds all images"
            )
        if not path.is_file():  # a pipe would be waited for
            raise ValueError(f"{path} is no image that can be read: there is no such file")
        try:
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(
                        f"it has {image.width} x {image.height} pixels, above {_MOST_PIXELS:,}"
                    )
                grey = image.convert("L").resize((SIZE, SIZE))
        except _NO_IMAGE as error:  # cut off, of another format, damaged
            raise ValueError(f"{path} is no image that can be read: {error}") from error
        except Image.DecompressionBombError as error:
            raise ValueError(f"{path} is no image that can be read: {error}") from error
        images.append(np.asarray(grey, dtype=np.float64) / 255.0)
    return np.stack(images)


def no_column(table: Path, name: str, header: Sequence[str]) -> ValueError:
    """The error for a column that a table does not have."""
    listed = ", ".join(header[:_NAMED]) + (", ..." if len(header) > _NAMED else "")
    return ValueError(f"{table} has no column {name!r}; it has {listed}{nearest(name, header)}")
