"""TabularGame: the features of a row as players, a model's prediction as the value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from interplay._arrays import real_numbers
from interplay._types import BoolArray, FloatArray, IntArray, Json, whole
from interplay.extensions import unknown
from interplay.fourier.masks import as_masks
from interplay.tabular.features import features_of, text_of
from interplay.tabular.imputation import MOST_ROWS, NAMES, imputation_of
from interplay.tabular.tables import Table

_CODE_VERSION = 1
"""Part of the fingerprint: increased when a change of the code changes values."""
_CELLS = 1 << 21
"""The most values, rows times columns, in one call of the model: 16 MB of float64."""
_WORTH_COMPARING = 0.02
"""Composed rows are compared with each other if the background shares so much with the row."""


class TabularGame:
    """How a model's prediction for a row depends on which of its features are known.

    A player is a column, or a group of columns that belong together. The value of a mask is the
    mean of the model over background rows in which the kept columns have the row's values
    (:mod:`interplay.tabular.imputation`):

    - ``"marginal"``: all background rows count alike. This is SHAP's interventional value.
    - ``"conditional"``: rows count by how near they are to the row in the kept columns. Assumes
      that the background has rows like it.
    - ``"gaussian"``: conditional too, of numbers only, by linear regression of the removed columns
      on the kept ones. Exact if the columns are jointly normal.

    Composed rows that are the same are evaluated once, where the row shares values with the
    background.

    Args:
        predict: takes rows as the background has them, a ``DataFrame`` with its dtypes or an array,
            and returns finite numbers, ``(rows,)`` or ``(rows, k)``: ``model.predict_proba``. A
            function with attributes ``fingerprint`` and ``outputs``, such as
            :func:`interplay.tabular.load_model` gives, needs no such arguments.
        row: the row to explain: ``X.iloc[0]``, a mapping, or c values.
        background: what stands in for removed features: a ``DataFrame`` or an array, ``(b, c)``.
        imputation: see above.
        bandwidth: of ``"conditional"``, in standard deviations of a column; by default 0.3.
        n_background: the most background rows that are used, drawn with ``random_state``; by
            default 100, of ``"conditional"`` 1,000. Scales and covariances are those of all rows.
        groups: players of several columns, such as ``{"city": ["city_a", "city_b"]}``. One-hot
            columns are found by :func:`interplay.tabular.one_hot`.
        outputs: the names of the k outputs; by default the classes of the model that ``predict`` is
            a method of, or their numbers.
        output: explain only this one of the outputs, by its name or number.
        fingerprint: identifies ``predict`` and all that it depends on, such as
            ``"credit model 3.1"``. With it values can be stored and used again; without it they are
            not, since a function cannot be hashed.
        random_state: seed of the background rows that are drawn.

    Raises:
        ValueError: rows and columns do not match, a group or an output is unknown, or the model
            returns something else than numbers for each row.

    Example:
        >>> import numpy as np
        >>> from interplay.tabular import TabularGame
        >>> def model(rows):
        ...     return rows[:, 0] * rows[:, 1]
        >>> game = TabularGame(model, [2.0, 3.0], background=np.array([[0.0, 1.0], [1.0, 1.0]]))
        >>> game.players
        ('0 = 2', '1 = 3')
        >>> game(np.array([[True, True], [True, False], [False, False]]))
        array([6. , 2. , 0.5])
    """

    def __init__(
        self,
        predict: Callable[[Any], Any],
        row: Any,
        *,
        background: Any,
        imputation: str = "marginal",
        bandwidth: float | None = None,
        n_background: int | None = None,
        groups: Mapping[str, Sequence[Any]] | None = None,
        outputs: Sequence[str] | None = None,
        output: str | int | None = None,
        fingerprint: str | None = None,
        random_state: int = 0,
    ) -> None:
        if not callable(predict):
            raise ValueError(
                f"predict is a {type(predict).__name__}, which cannot be called; give a function, "
                "such as model.predict_proba"
            )
        if imputation not in NAMES:
            raise unknown("imputation", imputation, NAMES)
        most = MOST_ROWS[imputation] if n_background is None else n_background
        self._whole = Table.of(background, row)
        self._table = self._whole.sample(whole("n_background", most, 1), random_state)
        self._imputation = imputation_of(imputation, self._whole, self._table, bandwidth)
        if imputation == "gaussian":
            self._table = self._table.in_numbers()
        self.features = features_of(self._whole, groups)
        self._owners = np.empty(len(self._table.columns), dtype=np.int64)
        for player, feature in enumerate(self.features):
            self._owners[list(feature.columns)] = player
        self._predict = predict
        self._settings: Json = {
            "n_background": self._table.n_rows,
            "of": self._whole.n_rows,
            "random_state": int(random_state),
        }
        everything = np.ones((1, len(self._owners)), dtype=np.bool_)
        n_outputs = self._asked(self._table.compose(everything, np.zeros(1, np.int64))).shape[1]
        names = _output_names(predict, outputs, n_outputs)
        self._shown = None if output is None else _number_of(output, names)
        self.outputs = names if self._shown is None else (names[self._shown],)
        self._identity = fingerprint or getattr(predict, "fingerprint", None)

    @property
    def n_players(self) -> int:
        """The number of players."""
        return len(self.features)

    @property
    def players(self) -> tuple[str, ...]:
        """The players' names, each with its value: ``age = 40``."""
        return tuple(feature.player for feature in self.features)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """The mean of the model over the background, ``(m,)``, or ``(m, k)`` for k outputs."""
        kept = as_masks(masks, self.n_players)[:, self._owners]
        values = np.empty((len(kept), len(self.outputs)))
        for start in range(0, len(kept), self.batch_size):
            part = slice(start, start + self.batch_size)
            values[part] = self._means(kept[part])
        return values if values.shape[1] > 1 else values[:, 0]

    def _weights(self, kept: BoolArray) -> FloatArray:
        """The weights of background rows, ``(m, b)``; of an intact row one row is enough."""
        weights = self._imputation.weights(kept)
        intact = kept.all(axis=1)
        weights[intact] = 0.0
        weights[intact, 0] = 1.0
        return weights

    def _means(self, kept: BoolArray) -> FloatArray:
        """The weighted mean over composed rows for each mask of columns ``(m, c)``: ``(m, k)``."""
        weights, shifts = self._weights(kept), self._imputation.shifts(kept)
        masks, rows = np.nonzero(weights)
        asked = answers = np.arange(len(masks))
        if shifts is None and self._table.repeats > _WORTH_COMPARING:
            keys = self._table.keys(kept, masks, rows)
            _, asked, answers = np.unique(keys, return_index=True, return_inverse=True)
        predictions = np.empty((len(asked), len(self.outputs)))
        for start in range(0, len(asked), self._rows_per_call):
            chosen = asked[start : start + self._rows_per_call]
            composed = self._table.compose(
                kept[masks[chosen]],
                rows[chosen],
                None if shifts is None else shifts[masks[chosen], rows[chosen]],
            )
            answer = self._asked(composed)
            predictions[start : start + len(chosen)] = (
                answer if self._shown is None else answer[:, [self._shown]]
            )
        weighted = predictions[answers] * weights[masks, rows][:, None]
        starts = np.searchsorted(masks, np.arange(len(kept)))
        return np.asarray(np.add.reduceat(weighted, starts, axis=0))

    def _asked(self, rows: Any) -> FloatArray:
        """The model's predictions for composed rows, ``(r, k)``."""
        answer = real_numbers(self._predict(rows), f"the predictions of {self!r}")
        if answer.ndim not in (1, 2) or len(answer) != len(rows) or not answer.size:
            raise ValueError(
                f"the predictions of {self!r} for {len(rows)} rows have the shape {answer.shape}; "
                f"({len(rows)},) or ({len(rows)}, k) is expected"
            )
        return answer.reshape(len(rows), -1)

    @property
    def _rows_per_call(self) -> int:
        return max(1, _CELLS // len(self._owners))

    @property
    def batch_size(self) -> int:
        """How many masks a call should have, by the memory that their rows take."""
        return max(1, self._rows_per_call // self._table.n_rows)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Return the masks' order of evaluation, ``(m,)``: any will do here."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """Count the rows that the model is asked for, ``(m,)``, before any that repeat."""
        kept = as_masks(masks, self.n_players)[:, self._owners]
        counts = np.empty(len(kept))
        for start in range(0, len(kept), self.batch_size):
            part = slice(start, start + self.batch_size)
            counts[part] = np.count_nonzero(self._weights(kept[part]), axis=1)
        return counts

    def rows_behind(self, masks: BoolArray, /) -> FloatArray:
        """How many background rows each value rests on, ``(m,)``: 1 / sum of squared weights.

        Under ``"conditional"`` few rows may be near: a value that rests on two of them is the
        model's at two rows. The intact row rests on itself alone.
        """
        kept = as_masks(masks, self.n_players)[:, self._owners]
        counts = np.empty(len(kept))
        for start in range(0, len(kept), self.batch_size):
            part = slice(start, start + self.batch_size)
            counts[part] = 1.0 / (self._weights(kept[part]) ** 2).sum(axis=1)
        return counts

    def describe(self) -> Json:
        """Describe the features with their values, the imputation and the model as JSON."""
        return {
            "lens": "tabular",
            "view": {"kind": "tiles", "title": "The row"},
            "outputs": list(self.outputs) if len(self.outputs) > 1 else [],
            "score": self.outputs[0] if len(self.outputs) == 1 else None,
            "features": [
                {
                    "name": feature.name,
                    "value": feature.value,
                    "background": feature.background,
                    "columns": [self._table.columns[number] for number in feature.columns],
                }
                for feature in self.features
            ],
            "imputation": self._imputation.describe() | self._settings,
            "model": _name_of(self._predict),
        }

    @property
    def fingerprint(self) -> str | None:
        """A hash of what identifies the model, of the row and background, and of the settings.

        ``None`` if nothing identifies the model.
        """
        if self._identity is None:
            return None
        identity = {
            "code": _CODE_VERSION,
            "model": self._identity,
            "table": self._whole.digest(),
            "columns": [feature.columns for feature in self.features],
            "imputation": self._imputation.describe() | self._settings,
            "output": self._shown,
        }
        text = json.dumps(identity, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def __repr__(self) -> str:
        return f"TabularGame({_name_of(self._predict)}, n_players={self.n_players})"


def _name_of(predict: Any) -> str:
    """What a function is called, with the class of the model that it is a method of."""
    owner, name = getattr(predict, "__self__", None), getattr(predict, "__name__", None)
    if name is None:
        return str(getattr(predict, "name", type(predict).__name__))
    return name if owner is None else f"{type(owner).__name__}.{name}"


def _output_names(predict: Any, given: Sequence[str] | None, n_outputs: int) -> tuple[str, ...]:
    """The names of the outputs: those given, the model's classes, or numbers.

    Raises:
        ValueError: those given are not so many.
    """
    names = getattr(predict, "outputs", None) if given is None else given
    if names is None and n_outputs > 1:
        names = getattr(getattr(predict, "__self__", None), "classes_", None)
        names = None if names is None or len(names) != n_outputs else list(map(text_of, names))
    if names is None:
        return ("prediction",) if n_outputs == 1 else tuple(map(str, range(n_outputs)))
    if isinstance(names, str) or len(names) != n_outputs:
        raise ValueError(
            f"outputs={names!r} for a model of {n_outputs} output"
            f"{'' if n_outputs == 1 else 's'}; give as many names"
        )
    return tuple(map(str, names))


def _number_of(output: str | int, names: Sequence[str]) -> int:
    """The number of an output, by its name or number.

    A whole number that is a name means that output: labels may be 1 and 2.

    Raises:
        ValueError: there is none, or several have the name.
    """
    if str(output) in names:
        output = str(output)
    if isinstance(output, int | np.integer) and not isinstance(output, bool):
        if not 0 <= output < len(names):
            raise ValueError(f"output={output} is not one of 0 to {len(names) - 1}")
        return int(output)
    if list(names).count(str(output)) != 1:
        raise unknown("output", str(output), names)
    return list(names).index(str(output))
