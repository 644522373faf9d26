"""Groups: ids of training rows; rows with one id become one player."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import IntArray, whole
from interplay.training.data import checked_ids


def _flat(features: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim < 2 or not len(array):
        raise ValueError(f"features of shape {array.shape} are not rows; give (rows, ...)")
    return array.reshape(len(array), -1)


def within_classes(
    labels: Sequence[Any] | npt.NDArray[Any], n_groups: int, random_state: int = 0
) -> npt.NDArray[np.str_]:
    """Make random groups of nearly equal size, each of rows of one class.

    Args:
        labels: the class of each row.
        n_groups: how many in all. Each class gets a number by its size, at least one.
        random_state: seed of the draw.

    Returns:
        An id for each row, ``(rows,)``: its class and a number, such as ``"coat #07"``.

    Raises:
        ValueError: there are fewer groups than classes, or more than rows; or two labels would
            become one, such as 1 and "1".
    """
    array, n_groups = checked_ids("labels", labels), whole("n_groups", n_groups)
    classes, sizes = np.unique(array, return_counts=True)
    if not len(classes) <= n_groups <= len(array):
        raise ValueError(
            f"n_groups={n_groups} is not between the {len(classes)} classes and the {len(array)} "
            "rows"
        )
    parts = np.ones(len(classes), dtype=np.int64)
    while parts.sum() < n_groups:  # one more for the class with the largest groups
        parts[np.argmax(sizes / parts)] += 1
    rng = np.random.default_rng(random_state)
    digits = len(str(int(parts.max()) - 1))  # equal lengths: names then sort as their numbers
    ids = np.empty(len(array), dtype=object)
    for label, count in zip(classes.tolist(), parts.tolist(), strict=True):
        names = [f"{label} #{number:0{digits}d}" for number in range(count)]
        rows = rng.permutation(np.flatnonzero(array == label))
        ids[rows] = [names[place % count] for place in range(len(rows))]
    return ids.astype(np.str_)


def clusters(features: npt.ArrayLike, n_groups: int, random_state: int = 0) -> IntArray:
    """Cluster similar rows by k-means.

    Args:
        features: ``(rows, ...)``.
        n_groups: how many.
        random_state: seed.

    Raises:
        ValueError: there are no groups, or more groups than rows.
    """
    from sklearn.cluster import KMeans

    rows, n_groups = _flat(features), whole("n_groups", n_groups)
    if not 1 <= n_groups <= len(rows):
        raise ValueError(f"n_groups={n_groups} is not between 1 and the {len(rows)} rows")
    model = KMeans(n_groups, n_init=1, random_state=random_state).fit(rows)
    return np.asarray(model.labels_, dtype=np.int64)


def near_duplicates(features: npt.ArrayLike, radius: float) -> IntArray:
    """Give one id to rows that are linked by steps of at most ``radius`` (Euclidean).

    Args:
        features: ``(rows, ...)``.
        radius: in the unit of the features; 0 finds equal rows.

    Raises:
        ValueError: ``radius`` is negative.
    """
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import radius_neighbors_graph

    if radius < 0:
        raise ValueError(f"radius={radius} is negative")
    rows = _flat(features)
    # a radius of zero must find equal rows too, and rounding may give them a distance
    close = radius_neighbors_graph(rows, max(radius, 1e-9), include_self=True)
    return np.asarray(connected_components(close, directed=False)[1], dtype=np.int64)
