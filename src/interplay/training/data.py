"""Data: what models are trained on in groups, and the test points that they are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training rows with the player that each belongs to, and test points. Made by :meth:`checked`.

    Attributes:
        features: ``(rows, ...)`` float64, finite.
        labels: the classes of the rows as numbers from 0, ``(rows,)``.
        owners: for each row its player, ``(rows,)``; -1: it is always kept.
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
        """Which rows are kept under masks ``(m, n)``: ``(m, rows)``."""
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
        """Check what is trained and tested on.

        Args:
            features: ``(rows, ...)`` finite numbers.
            labels: the class of each row: anything that sorts.
            test_features: ``(k, ...)``, of the same width.
            test_labels: the class of each test point, each of which a row has too.
            groups: for each row the id of its player: anything that sorts, players are in the order
                of the sorted ids; ``None``: each row is a player.

        Raises:
            ValueError: numbers that do not match or are not finite, labels or ids that are missing,
                or one class only.
        """
        x, x_test = (np.asarray(f, dtype=np.float64) for f in (features, test_features))
        y, y_test = (np.asarray(each) for each in (labels, test_labels))
        for name, array, own, other in (
            ("features", x, y, "labels"),
            ("test_features", x_test, y_test, "test_labels"),
        ):
            if array.ndim < 2 or not len(array) or own.shape != (len(array),):
                raise ValueError(
                    f"{name} of shape {array.shape} and {other} of shape {own.shape} do not go "
                    "together; give one row of features for each label, and at least one"
                )
            _refuse_missing(other, own)
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
        strange = ~np.isin(y_test, classes)
        if strange.any():
            first = int(strange.argmax())
            raise ValueError(
                f"test point {first} is of class {y_test[first].item()!r}, which no training row "
                "has; leave it out"
            )
        ids = np.arange(len(y)) if groups is None else np.asarray(groups)
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


def _refuse_missing(what: str, ids: npt.NDArray[Any]) -> None:
    """Refuse ids that say nothing, which would all become one class or one player."""
    for row, each in enumerate(ids.tolist()):
        if each is None or each != each or each == "":  # NaN is not itself
            raise ValueError(
                f"{what}[{row}] is {each!r}; give each row one, or leave the rows without out"
            )
