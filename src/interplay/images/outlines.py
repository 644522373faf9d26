"""The outlines of regions, for reports: closed lines along the borders of pixels."""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray, IntArray, Json

FINEST = 240
"""The longest side of the map of regions whose outlines are taken."""


def outlines(labels: IntArray, n_regions: int) -> Json:
    """Outlines of all regions as JSON, on a coarser map if the image is large.

    Args:
        labels: the region of each pixel, ``(h, w)``; -1 for none.
        n_regions: how many regions there are.

    Returns:
        ``map``, its width and height; for each region its closed lines in ``outlines``, each as
        ``[x0, y0, x1, y1, ...]`` without the first point at the end, holes the other way round; and
        ``places``, the cell ``[x, y]`` of each region that is farthest from its outline. A region
        that is too small for the map has the square of a cell.
    """
    from scipy import ndimage

    height, width = labels.shape
    step = max(1.0, max(height, width) / FINEST)
    rows, columns = (
        np.minimum(((np.arange(max(1, round(side / step))) + 0.5) * step).astype(int), side - 1)
        for side in (height, width)
    )
    coarse = labels[np.ix_(rows, columns)]
    lines, places = [], []
    for region in range(n_regions):
        inside = coarse == region
        if not inside.any():
            y, x = np.argwhere(labels == region)[0]
            inside[min(int(y / step), len(rows) - 1), min(int(x / step), len(columns) - 1)] = True
        lines.append(_loops(inside))
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        places.append([int(column), int(row)])
    return {"map": [len(columns), len(rows)], "outlines": lines, "places": places}


def _loops(inside: BoolArray) -> list[list[int]]:
    """The closed lines around a set of cells, which lies to the right of each step."""
    padded = np.pad(inside, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # a side of a cell: where its neighbour is, where the side begins in the cell, its direction
    sides = (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (0, 1)),
        ((1, 0), (1, 1), (-1, 0)),
        ((0, -1), (0, 1), (0, -1)),
    )
    for (dy, dx), (x0, y0), (along, down) in sides:
        beside = np.roll(padded, (-dy, -dx), axis=(0, 1))[1:-1, 1:-1]
        for y, x in np.argwhere(inside & ~beside).tolist():
            start = (x + x0, y + y0)
            steps.setdefault(start, []).append((start[0] + along, start[1] + down))
    loops = []
    while steps:
        start = point = next(iter(steps))
        line = [start]
        while True:
            point = _taken(steps, point)
            if point == start:
                break
            line.append(point)
        loops.append(_corners(line))
    return loops


def _taken(
    steps: dict[tuple[int, int], list[tuple[int, int]]], point: tuple[int, int]
) -> tuple[int, int]:
    """Where a line goes from a point; that step is not taken again."""
    ends = steps[point]
    end = ends.pop()
    if not ends:
        del steps[point]
    return end


def _corners(line: list[tuple[int, int]]) -> list[int]:
    """A closed line without the points at which it does not turn."""
    flat: list[int] = []
    for number, (x, y) in enumerate(line):
        (x0, y0), (x1, y1) = line[number - 1], line[(number + 1) % len(line)]
        if not (x0 == x == x1 or y0 == y == y1):
            flat += [x, y]
    return flat
