"""Data: training rows, the player that each belongs to, and the test points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, IntArray, shown


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training rows, the player that each belongs to, and test points.

    :meth:`checked` makes one from a user's arrays.

    Attributes:
        features: ``(rows, ...)`` float64, finite.
        labels: the classes of the rows as numbers from 0, ``(rows,)``.
        owners: the player of each row, ``(rows,)``; -1: the row is always kept.
        players: the players' names, n of them.
        test_features: ``(k, ...)``.
        test_labels: ``(k,)``.
        classes: the classes' names; two or more.
    """

    features: npt.NDArray[np.float64]
    labels: IntArray
    owners: IntArray
    players: tuple[str, ...]
    test_features: npt.NDArray[np.float64]
    test_labels: IntArray
    classes: tuple[str, ...]

    @property
    def n_players(self) -> int:
        """The number of players."""
        return len(self.players)

    def rows(self, masks: BoolArray) -> BoolArray:
        """Return which rows the masks ``(m, n)`` keep: ``(m, rows)``."""
        always = np.ones((len(masks), 1), dtype=np.bool_)
        return np.hstack([masks, always])[:, self.owners]

    @classmethod
    def checked(
        cls,
        features: npt.ArrayLike,
        labels: Sequence[Any] | npt.NDArray[Any],
        test_features: npt.ArrayLike,
        test_labels: Sequence[Any] | npt.NDArray[Any],
        groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    ) -> TrainingData:
        """Check training rows and test points, and group the rows into players.

        Args:
            features: finite numbers, ``(rows, ...)``.
            labels: the class of each row: values that can be sorted.
            test_features: finite numbers, ``(k, ...)``, each test point shaped like a row.
            test_labels: the class of each test point: a class that some row has.
            groups: the id of each row's player: values that can be sorted. Players are in the order
                of the sorted ids. ``None``: each row is a player.

        Raises:
            ValueError: shapes do not match, numbers are not finite, labels or ids are missing or
                of kinds that do not sort together, there is only one class, or no row has a test
                point's class.
        """
        x, x_test = (np.asarray(f, dtype=np.float64) for f in (features, test_features))
        y, y_test = checked_ids("labels", labels), checked_ids("test_labels", test_labels)
        for name, array, classes_of, labels_name in (
            ("features", x, y, "labels"),
            ("test_features", x_test, y_test, "test_labels"),
        ):
            if array.ndim < 2 or not len(array) or classes_of.shape != (len(array),):
                raise ValueError(
                    f"{name} of shape {array.shape} and {labels_name} of shape {classes_of.shape} "
                    "do not match; give one row of features for each label, and at least one"
                )
            _refuse_missing(labels_name, classes_of)
            bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            if bad.any():
                raise ValueError(
                    f"{name} has numbers that are not finite in {int(bad.sum())} rows, the first "
                    f"of them row {int(bad.argmax())}; fill them in or leave these rows out"
                )
        if x.shape[1:] != x_test.shape[1:]:
            raise ValueError(
                f"a row of features has the shape {x.shape[1:]}, a test point "
                f"{x_test.shape[1:]}; they must be of one shape"
            )
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"all labels are {classes[0].item()!r}; a classifier needs two classes"
            )
        unknown = ~np.isin(y_test, classes)
        if unknown.any():
            first = int(unknown.argmax())
            raise ValueError(
                f"test point {first} is of class {y_test[first].item()!r}, which no training row "
                "has; leave it out"
            )
        ids = np.arange(len(y)) if groups is None else checked_ids("groups", groups)
        if ids.shape != y.shape:
            raise ValueError(
                f"group ids of shape {ids.shape} do not match {len(y)} training rows; give one id "
                "per row"
            )
        _refuse_missing("groups", ids)
        names, owners = np.unique(ids, return_inverse=True)
        return cls(
            features=x,
            labels=numbers.astype(np.int64),
            owners=owners.astype(np.int64),
            players=tuple(map(str, names.tolist())),
            test_features=x_test,
            test_labels=np.searchsorted(classes, y_test).astype(np.int64),
            classes=tuple(map(str, classes.tolist())),
        )


def checked_ids(what: str, ids: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Classes or ids as an array that holds as many different ones as came.

    Args:
        what: the name of the argument.
        ids: values that can be sorted.

    Raises:
        ValueError: two of them would become one, such as 1 and "1"; or they cannot be sorted.
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        return array
    try:
        came, kept = set(ids), len(np.unique(array))
    except TypeError as error:
        _refuse_missing(what, array)
        raise ValueError(
            f"{what} cannot be compared with each other ({error}); give all of them as numbers or "
            "all as texts"
        ) from error
    if len(came) > kept and not any(value != value for value in came):  # NaNs are told apart
        merged: dict[Any, Any] = {}
        for value, entry in zip(ids, array.tolist(), strict=True):
            if merged.setdefault(entry, value) != value:
                raise ValueError(
                    f"{what} has {shown(merged[entry])} and {shown(value)}, which would become "
                    "one; give all of them as numbers or all as texts"
                )
    return array


def _refuse_missing(what: str, ids: npt.NDArray[Any]) -> None:
    """Refuse empty ids: they would all become one class or one player."""
    for row, value in enumerate(ids.tolist()):
        if value is None or value != value or value == "":  # NaN does not equal itself
            raise ValueError(
                f"{what}[{row}] is {value!r}; give each row one, or leave out the rows without one"
            )
