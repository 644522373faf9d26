"""Regions of an image: a grid, superpixels, boxes, or parts that somebody marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from interplay._types import IntArray, Json, whole
from interplay.images.outlines import outlines
from interplay.images.pictures import Pixels, digest
from interplay.images.superpixels import cut

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are outside, as in Pillow."""
Cut: TypeAlias = Any
"""What :func:`regions_of` takes."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Which player each pixel belongs to.

    Attributes:
        labels: the player of each pixel, ``(h, w)``; -1 for pixels that are always kept.
        names: the players' names.
        by: what they are, in words: ``"4 × 6 grid"``.
    """

    labels: IntArray
    names: tuple[str, ...]
    by: str

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"the regions are {labels.dtype} of the shape {labels.shape}; whole numbers (h, w) "
                "are expected: the region of each pixel, -1 for what is always kept"
            )
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise ValueError(f"several regions have the name {twice[0]!r}; give each its own")
        numbers = np.unique(self.labels)
        numbers = numbers[numbers >= 0]
        if not len(numbers):
            raise ValueError("no pixel belongs to a region; mark some by numbers from 0 on")
        if labels.min() < -1 or numbers.tolist() != list(range(len(self.names))):
            missing = sorted(set(range(len(self.names))) - set(numbers.tolist()))
            without = f"; {self.names[missing[0]]!r} has no pixel" if missing else ""
            raise ValueError(
                f"the regions have the numbers {labels.min()} to {labels.max()} for "
                f"{len(self.names)} names{without}; each number from 0 on, or -1, is expected"
            )

    def __len__(self) -> int:
        return len(self.names)

    def refined(
        self, chosen: Iterable[int], n_rows: int, n_columns: int
    ) -> tuple[Regions, tuple[tuple[int, ...], ...]]:
        """Cut some regions by a grid over the box around each.

        Args:
            chosen: the regions to cut; the others stay as they are.
            n_rows: the rows of each grid.
            n_columns: its columns. A cell without a pixel of the region is left out.

        Returns:
            The finer regions, and for each region of these its numbers among the finer ones.
        """
        chosen = set(chosen)
        labels = np.full_like(self.labels, -1)
        names: list[str] = []
        children: list[tuple[int, ...]] = []
        for region, name in enumerate(self.names):
            first = len(names)
            rows, columns = np.nonzero(self.labels == region)
            cells = np.zeros(len(rows), dtype=np.int64)
            if region in chosen:
                cells = _bins(rows, n_rows) * n_columns + _bins(columns, n_columns)
            for cell in np.unique(cells).tolist():
                inside = cells == cell
                labels[rows[inside], columns[inside]] = len(names)
                row, column = divmod(cell, n_columns)
                names.append(f"{name} ({row + 1}, {column + 1})" if region in chosen else name)
            children.append(tuple(range(first, len(names))))
        finer = Regions(labels, tuple(names), f"{self.by}, {n_rows} × {n_columns} of each")
        return finer, tuple(children)

    def describe(self) -> Json:
        """Their outlines for reports, as JSON."""
        return outlines(self.labels, len(self))

    def digest(self) -> str:
        """A hash of which pixel belongs to which player."""
        return digest(self.labels.astype(np.int32))


def _bins(places: IntArray, count: int) -> IntArray:
    """Which of so many equal parts of their range each place lies in."""
    low, span = int(places.min()), int(np.ptp(places)) + 1
    return (places - low) * count // span


def grid(image: Any, n_rows: int, n_columns: int) -> Regions:
    """Cut an image into rows and columns of rectangles.

    Args:
        image: an array ``(h, w)`` or ``(h, w, c)``.
        n_rows: how many rows, at most h.
        n_columns: how many columns, at most w.

    Raises:
        ValueError: fewer than one, or more than there are pixels.

    Example:
        >>> import numpy as np
        >>> grid(np.zeros((4, 6)), 2, 3).names
        ('row 1, column 1', 'row 1, column 2', 'row 1, column 3', 'row 2, column 1', \
'row 2, column 2', 'row 2, column 3')
    """
    height, width = np.shape(image)[:2]
    n_rows, n_columns = whole("rows", n_rows), whole("columns", n_columns)
    for name, count, side in (("rows", n_rows, height), ("columns", n_columns, width)):
        if not 1 <= count <= side:
            raise ValueError(
                f"a grid of {count} {name} does not fit an image of {side} pixels that way; give "
                f"1 to {side}"
            )
    rows, columns = np.arange(height) * n_rows // height, np.arange(width) * n_columns // width
    names = [f"row {r + 1}, column {c + 1}" for r in range(n_rows) for c in range(n_columns)]
    labels = rows[:, None] * n_columns + columns[None, :]
    return Regions(labels, tuple(names), f"{n_rows} × {n_columns} grid")


def superpixels(image: Pixels, n_regions: int, *, compactness: float = 10.0) -> Regions:
    """Cut an image into about so many connected regions of similar colour.

    They follow the borders of things better than a grid does. It is SLIC (Achanta et al. 2012); see
    :func:`interplay.images.superpixels.cut`. Segments of another algorithm go to :func:`parts`.

    Args:
        image: an array ``(h, w)`` or ``(h, w, c)``.
        n_regions: about how many; those that lose all their pixels are missing.
        compactness: larger values give squarer regions. Colours differ by up to 100 or so.

    Raises:
        ValueError: ``n_regions`` is below 1 or above the number of pixels.
    """
    height, width = image.shape[:2]
    if not 1 <= whole("n_regions", n_regions) <= height * width:
        raise ValueError(
            f"n_regions={n_regions} superpixels of an image of {height * width} pixels; give 1 to "
            f"{height * width}"
        )
    if not 0 < compactness < np.inf:
        raise ValueError(f"compactness={compactness} is not above 0; 10 is usual")
    labels = cut(image, n_regions, compactness)
    names = tuple(f"superpixel {number}" for number in range(labels.max() + 1))
    return Regions(labels, names, "superpixel")


def parts(image: Any, masks: Mapping[str, Any], *, rest: str | None = None) -> Regions:
    """Regions that somebody marked, such as the objects that a segmentation found.

    Args:
        image: an array ``(h, w)`` or ``(h, w, c)``.
        masks: for each player's name its pixels, ``(h, w) bool``. A pixel of several belongs to
            the first of them.
        rest: the name of a player that has all other pixels; ``None``: these are always kept.

    Raises:
        ValueError: a mask of another shape or type, or a region without a pixel of its own.
    """
    labels = np.full(np.shape(image)[:2], -1)
    for number, (name, mask) in enumerate(masks.items()):
        marked = np.asarray(mask)
        if marked.shape != labels.shape or marked.dtype != np.bool_:
            raise ValueError(
                f"the mask of {name!r} is {marked.dtype} of the shape {marked.shape}; bool of the "
                f"shape {labels.shape} is expected"
            )
        labels[marked & (labels < 0)] = number
    names = [*masks]
    if rest is not None and (labels < 0).any():
        labels[labels < 0] = len(names)
        names.append(rest)
    return Regions(labels, tuple(names), "part")


def boxes(image: Any, places: Mapping[str, Box], *, rest: str | None = None) -> Regions:
    """Boxes, such as those that a detector found.

    Args:
        image: an array ``(h, w)`` or ``(h, w, c)``.
        places: for each player's name ``(left, top, right, bottom)`` in pixels, the last two
            outside. A pixel of several boxes belongs to the first of them.
        rest: the name of a player that has all other pixels; ``None``: these are always kept.

    Raises:
        ValueError: a box outside of the image, or without a pixel of its own.
    """
    height, width = np.shape(image)[:2]
    masks = {}
    for name, place in places.items():
        if np.shape(place) != (4,):
            raise ValueError(
                f"the box of {name!r} is {place!r}; (left, top, right, bottom) in pixels is "
                "expected, of all regions or of none"
            )
        left, top, right, bottom = (whole(f"the box of {name!r}:", side) for side in place)
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(
                f"the box of {name!r} is ({left}, {top}, {right}, {bottom}); left < right <= "
                f"{width} and top < bottom <= {height} are expected"
            )
        masks[name] = np.zeros((height, width), dtype=np.bool_)
        masks[name][top:bottom, left:right] = True
    return parts(image, masks, rest=rest)


def regions_of(image: Pixels, regions: Cut) -> Regions:
    """The regions that are meant by what an argument ``regions`` takes.

    Args:
        image: an array ``(h, w)`` or ``(h, w, c)``.
        regions: :class:`Regions`; ``(rows, columns)`` of a grid; about how many superpixels; an
            array ``(h, w)`` of numbers from 0 on; or a mapping of names to boxes or masks.

    Raises:
        ValueError: something else, or something that does not fit the image.
    """
    made = _made(image, regions)
    if made.labels.shape != image.shape[:2]:
        raise ValueError(
            f"the regions have the shape {made.labels.shape}, the image {image.shape[:2]}; give "
            "regions of this image"
        )
    return made


def _made(image: Pixels, regions: Cut) -> Regions:
    if isinstance(regions, Regions):
        return regions
    if isinstance(regions, int | np.integer) and not isinstance(regions, bool):
        return superpixels(image, int(regions))
    if isinstance(regions, Mapping):
        are_masks = [np.ndim(place) == 2 for place in regions.values()]
        return parts(image, regions) if all(are_masks) else boxes(image, regions)
    if np.ndim(regions) == 2:
        numbers = np.asarray(regions)
        count = int(numbers.max()) + 1 if numbers.dtype.kind in "iu" else 0
        return Regions(numbers, tuple(f"region {number}" for number in range(count)), "region")
    if isinstance(regions, Sequence) and not isinstance(regions, str) and len(regions) == 2:
        return grid(image, regions[0], regions[1])
    raise ValueError(
        f"regions={regions!r} cannot be read; give (rows, columns), a number of superpixels, an "
        "array of numbers (h, w), or a mapping of names to boxes or masks"
    )
