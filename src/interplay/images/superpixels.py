"""Superpixels: compact regions of similar colour."""

from __future__ import annotations

from collections import Counter

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.images.pictures import Pixels, as_bytes

_ROUNDS = 10
_SIDE = 320
"""The longest side of the image that is cut; a larger one is cut on a coarser grid of pixels."""
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""From linear sRGB to XYZ (IEC 61966-2-1)."""
_WHITE = np.array([0.9505, 1.0, 1.089])


def cut(pixels: Pixels, n_regions: int, compactness: float) -> IntArray:
    r"""Cut an image into about so many connected regions of similar colour.

    Lloyd's iterations in the five dimensions of SLIC (Achanta et al. 2012): colour in CIELAB, and
    place. The distance of a pixel to a centre is

    .. math:: D^2 = \Delta_{Lab}^2 + (m / S)^2 \, \Delta_{xy}^2

    with the compactness m and the distance S of the centres of a regular grid, from which the
    iterations start. Pieces that are not connected with the largest of their centre go to the
    neighbour with the longest border.

    Args:
        pixels: the image.
        n_regions: about how many regions.
        compactness: m; larger values give squarer regions.

    Returns:
        The region of each pixel, ``(h, w)``, numbered from 0 on in reading order.
    """
    height, width = pixels.shape[:2]
    step = max(1, -(-max(height, width) // _SIDE))
    colours = _lab(pixels[::step, ::step])
    small = _connected(_clusters(colours, n_regions, compactness))
    labels = np.repeat(np.repeat(small, step, axis=0), step, axis=1)[:height, :width]
    _, firsts, numbers = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(firsts))
    return np.asarray(rank[numbers].reshape(height, width))


def _lab(pixels: Pixels) -> FloatArray:
    """CIELAB under D65, ``(h, w, 3)``."""
    shown = as_bytes(pixels).astype(np.float64) / 255.0
    if shown.ndim == 2:
        shown = np.repeat(shown[..., None], 3, axis=2)
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(linear @ _TO_XYZ.T / _WHITE, 2, 0)
    x, y, z = (
        np.where(v > (6 / 29) ** 3, np.cbrt(v), v / (3 * (6 / 29) ** 2) + 4 / 29) for v in (x, y, z)
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


def _clusters(colours: FloatArray, n_regions: int, compactness: float) -> IntArray:
    """The nearest centre of each pixel, ``(h, w)``."""
    height, width, _ = colours.shape
    spacing = np.sqrt(height * width / n_regions)
    n_rows = max(1, round(height / spacing))
    n_columns = max(1, round(n_regions / n_rows))
    rows, columns = (
        ((np.arange(count) + 0.5) * side / count).astype(int)
        for count, side in ((n_rows, height), (n_columns, width))
    )
    places = np.stack(np.meshgrid(*map(np.arange, (height, width)), indexing="ij"), axis=2)
    points = np.concatenate([colours, places * compactness / spacing], axis=2)
    centres = points[np.ix_(rows, columns)].reshape(-1, 5)
    points = points.reshape(-1, 5)
    nearest = np.zeros(len(points), dtype=np.int64)
    for _ in range(_ROUNDS):
        best = np.full(len(points), np.inf)
        for number, centre in enumerate(centres):  # one by one: memory for n pixels only
            distance = ((points - centre) ** 2).sum(axis=1)
            closer = distance < best
            best[closer], nearest[closer] = distance[closer], number
        counts = np.bincount(nearest, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, p, len(centres)) for p in points.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    return nearest.reshape(height, width)


def _connected(labels: IntArray) -> IntArray:
    """The regions with each piece but the largest given to a neighbour."""
    from scipy import ndimage

    pieces, owners, n_pieces = np.zeros_like(labels), [], 0
    for label in np.unique(labels):
        of_label, count = ndimage.label(labels == label)
        pieces[of_label > 0] = of_label[of_label > 0] + n_pieces
        sizes = np.bincount(of_label.ravel())[1:]
        owners += [n_pieces + 1 + int(np.argmax(sizes))] * count
        n_pieces += count
    pieces -= 1
    into = _merged(pieces, np.array(owners) - 1)
    return np.asarray(into[pieces])


def _merged(pieces: IntArray, owners: IntArray) -> IntArray:
    """Into which piece each one goes: the small ones first, to the longest border."""
    around: list[Counter[int]] = [Counter() for _ in owners]
    for one, other in ((pieces[1:], pieces[:-1]), (pieces[:, 1:], pieces[:, :-1])):
        borders = np.stack([one[one != other], other[one != other]], axis=1)
        for (a, b), length in Counter(map(tuple, borders.tolist())).items():
            around[a][b] += length
            around[b][a] += length
    into = np.arange(len(owners))
    for piece in np.argsort(np.bincount(pieces.ravel()), kind="stable").tolist():
        if owners[piece] == piece:
            continue
        nearest = max(around[piece], key=lambda other: (around[piece][other], -other))
        into[piece] = nearest
        for other, length in around[piece].items():
            del around[other][piece]
            if other != nearest:
                around[nearest][other] += length
                around[other][nearest] += length
    while (into[into] != into).any():
        into = into[into]
    return into
