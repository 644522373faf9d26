"""Background rows and the row that is explained, as arrays or as a DataFrame, put together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray, shown

_NUMBERS = "biuf"
"""The kinds of dtypes that hold numbers."""
_EXACT = 2**53
"""Whole numbers below this are themselves as float64."""
_SEED = 20_250_601
"""Of the random numbers that stand for values in the hashes of composed rows."""


@dataclass(frozen=True, eq=False)
class Table:
    """Background rows and, as the last, the row that is explained. :meth:`of` makes one.

    Attributes:
        pool: ``(b + 1, c)``: an array, or a ``pandas.DataFrame``, which is what the model is given.
        columns: the names of the c columns.
    """

    pool: Any
    columns: tuple[str, ...]

    @classmethod
    def of(cls, background: Any, row: Any) -> Table:
        """Check background rows and a row.

        Args:
            background: ``(b, c)``: a ``DataFrame``, whose columns keep their dtypes, or an array.
            row: of the same columns. For a ``DataFrame`` a ``Series``, a mapping or a frame of one
                row, read by the columns' names; or c values in the background's order.

        Raises:
            ValueError: there are no rows or columns, names repeat, the row lacks a column, has
                another number of values, or a value that its column cannot hold.
        """
        if _is_frame(background):
            pool = _frame(background, row)
            return cls(pool, tuple(map(str, pool.columns)))
        if _is_frame(row) or _is_series(row):
            row = row.to_numpy()
        rows, one = _array(background), _array(row).reshape(-1)
        if rows.ndim != 2 or not rows.size or one.shape != (rows.shape[1],):
            raise ValueError(
                f"a background of shape {rows.shape} and a row of {one.size} values do not match; "
                "give background rows (b, c), at least one, and one row of c values"
            )
        return cls(np.vstack([rows, one[None]]), tuple(map(str, range(rows.shape[1]))))

    @property
    def is_frame(self) -> bool:
        """Whether the model is given a ``DataFrame``."""
        return not isinstance(self.pool, np.ndarray)

    @property
    def n_rows(self) -> int:
        """b, the number of background rows."""
        return len(self.pool) - 1

    def sample(self, n_rows: int, random_state: int) -> Table:
        """So many of the background rows, drawn without replacement; all of them if there are few.

        The rows stay in their order.
        """
        if n_rows >= self.n_rows:
            return self
        rng = np.random.default_rng(random_state)
        drawn = np.sort(rng.permutation(self.n_rows)[:n_rows])
        rows = np.append(drawn, self.n_rows)
        pool = self.pool.iloc[rows].reset_index(drop=True) if self.is_frame else self.pool[rows]
        return Table(pool, self.columns)

    def column(self, number: int) -> npt.NDArray[Any]:
        """A column's values, the row's last, ``(b + 1,)``: as objects unless they are numbers."""
        if not self.is_frame:
            return np.asarray(self.pool[:, number])
        series = self.pool.iloc[:, number]
        if series.dtype.kind not in _NUMBERS:
            return np.asarray(series.to_numpy(dtype=object))
        if isinstance(series.dtype, np.dtype):
            return np.asarray(series.to_numpy())
        # of pandas' own dtypes, which know missing values
        values = np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
        if (np.abs(values[np.isfinite(values)]) < _EXACT).all():
            return values
        return np.asarray(series.to_numpy(dtype=object))

    def is_number(self, number: int) -> bool:
        """Whether a column holds numbers (booleans count as numbers)."""
        return self.column(number).dtype.kind in _NUMBERS

    def in_numbers(self) -> Table:
        """The table with all columns as float64.

        Raises:
            ValueError: a column does not hold numbers, or holds some that are not finite.
        """
        for number, name in enumerate(self.columns):
            values = self.column(number)
            if not self.is_number(number) or not np.isfinite(values.astype(np.float64)).all():
                raise ValueError(
                    f'imputation="gaussian" needs finite numbers, and column {name!r} holds '
                    'others; use imputation="conditional", which takes any values'
                )
        return Table(self.pool.astype(np.float64), self.columns)

    def compose(self, kept: BoolArray, rows: IntArray, shifts: FloatArray | None = None) -> Any:
        """Rows for the model: kept columns from the row that is explained, others from background.

        Args:
            kept: which columns are kept, ``(p, c)``.
            rows: the background row of each, ``(p,)``.
            shifts: what is added to the background's values, ``(p, c)``; of a table in numbers.

        Returns:
            ``(p, c)``, an array or a ``DataFrame`` with the background's dtypes.
        """
        if isinstance(self.pool, np.ndarray):
            background = self.pool[rows] if shifts is None else self.pool[rows] + shifts
            return np.where(kept, self.pool[-1], background)
        import pandas as pd

        pool = self.pool
        kinds = set(pool.dtypes)
        if len(kinds) == 1 and isinstance(pool.dtypes.iloc[0], np.dtype):
            array = Table(self._array, self.columns).compose(kept, rows, shifts)
            return pd.DataFrame(array, columns=pool.columns)
        chosen = np.where(kept, self.n_rows, rows[:, None])
        columns = {j: pool.iloc[:, j].array.take(chosen[:, j]) for j in range(len(self.columns))}
        frame = pd.DataFrame(columns)
        frame.columns = pool.columns
        return frame

    @cached_property
    def _array(self) -> npt.NDArray[Any]:
        """The values of a frame whose columns share one dtype."""
        return np.asarray(self.pool.to_numpy())

    @cached_property
    def codes(self) -> IntArray:
        """A number for each value, equal where a column's values are, ``(b + 1, c)``."""
        return np.stack([_codes(self.column(j)) for j in range(len(self.columns))], axis=1)

    @cached_property
    def _hashes(self) -> npt.NDArray[np.uint64]:
        """64 random bits for each value of each column, ``(b + 1, c)``."""
        codes, rng = self.codes, np.random.default_rng(_SEED)
        size = int(codes.max()) + 1
        bits = rng.integers(0, 2**64, (codes.shape[1], size), dtype=np.uint64)
        return bits[np.arange(codes.shape[1]), codes]

    def keys(self, kept: BoolArray, masks: IntArray, rows: IntArray) -> npt.NDArray[np.uint64]:
        """A 64-bit key for each composed row, equal where the rows are.

        It is the sum of random numbers, one for each value, modulo 2^64, so that the keys of all
        pairs of a mask and a background row come from one matrix product. Different rows have the
        same key with a probability of 2^-64.

        Args:
            kept: ``(m, c)``.
            masks: the mask of each composed row, ``(p,)``.
            rows: its background row, ``(p,)``.
        """
        hashes = self._hashes
        background, change = hashes[:-1], hashes[-1] - hashes[:-1]
        table = kept.astype(np.uint64) @ change.T + background.sum(axis=1)
        return np.asarray(table[masks, rows])

    @cached_property
    def repeats(self) -> float:
        """The share of the background's values that are those of the row that is explained."""
        return float((self.codes[:-1] == self.codes[-1]).mean())

    def digest(self) -> str:
        """A hash of the names, dtypes and values."""
        digest = hashlib.sha256(repr((self.is_frame, self.pool.shape, self.columns)).encode())
        for number in range(len(self.columns)):
            dtype = self.pool.dtypes.iloc[number] if self.is_frame else self.pool.dtype
            values = self.column(number)
            digest.update(f"{dtype}\0".encode())
            if values.dtype.kind in _NUMBERS:
                digest.update(np.ascontiguousarray(values).tobytes())
            else:
                for value in values.tolist():
                    text = f"{type(value).__name__}:{value!r}".encode("utf-8", "surrogatepass")
                    digest.update(len(text).to_bytes(8, "little") + text)
        return digest.hexdigest()


def is_missing(value: Any) -> bool:
    """Whether a value is ``None``, NaN, or pandas' ``NA`` or ``NaT``."""
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _codes(values: npt.NDArray[Any]) -> IntArray:
    """A number for each value, equal where the values are the same to the bit."""
    if values.dtype.kind in _NUMBERS:
        if values.dtype.kind == "f":  # by its bits: 0 and -0 are two values, NaN is one
            values = values.astype(np.float64).view(np.int64)
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    numbers: dict[Any, int] = {}
    codes = []
    for position, value in enumerate(values.tolist()):
        known = value.hex() if isinstance(value, float) else value  # 0 and -0 are two values
        key = (type(value), "missing" if is_missing(value) else known)
        try:
            codes.append(numbers.setdefault(key, len(numbers)))
        except TypeError:  # cannot be hashed: a value of its own
            codes.append(numbers.setdefault(("row", position), len(numbers)))
    return np.array(codes, dtype=np.int64)


def _array(rows: Any) -> npt.NDArray[Any]:
    """Rows as an array; numbers and texts in one list stay what they are."""
    array = np.asarray(rows)
    if array.dtype.kind in "US" and not isinstance(rows, np.ndarray):
        return np.asarray(rows, dtype=object)
    return array


def _is_frame(value: Any) -> bool:
    """Whether it is a ``DataFrame``, without importing pandas."""
    return hasattr(value, "iloc") and hasattr(value, "columns")


def _is_series(value: Any) -> bool:
    return hasattr(value, "iloc") and not hasattr(value, "columns")


def _frame(background: Any, row: Any) -> Any:
    """The background with the row as its last, in the background's dtypes."""
    import pandas as pd

    if background.empty:
        raise ValueError(
            f"the background has {len(background)} rows of {background.shape[1]} columns; give at "
            "least one row and one column"
        )
    if not background.columns.is_unique:
        twice = background.columns[background.columns.duplicated()][0]
        raise ValueError(f"the background has two columns {twice!r}; give each its own name")
    values = _values(row, list(background.columns))
    columns = [
        _with(background.iloc[:, number].reset_index(drop=True), value)
        for number, value in enumerate(values)
    ]
    pool = pd.concat(columns, axis=1)
    pool.columns = background.columns
    return pool


def _values(row: Any, names: Sequence[Any]) -> list[Any]:
    """A row's values in the order of the columns."""
    if _is_frame(row):
        if len(row) != 1:
            raise ValueError(f"row has {len(row)} rows; give one, such as X.iloc[[0]]")
        row = {name: row[name].iloc[0] for name in row.columns}
    if _is_series(row) or isinstance(row, Mapping):
        missing = [name for name in names if name not in row]
        if missing:
            raise ValueError(
                f"row lacks {', '.join(map(repr, missing[:5]))} of the background's {len(names)} "
                "columns; give all of them"
            )
        return [row[name] for name in names]
    values = list(row)
    if len(values) != len(names):
        raise ValueError(
            f"row has {len(values)} values and the background {len(names)} columns; give one value "
            "for each"
        )
    return values


def _with(column: Any, value: Any) -> Any:
    """A column with a value behind it, in the column's dtype where that holds the value."""
    import pandas as pd

    def refuse(reason: object) -> ValueError:
        return ValueError(
            f"the row's {column.name} is {shown(value)}, which the background's dtype "
            f"{column.dtype} does not hold ({reason}); convert one of them"
        )

    if isinstance(column.dtype, pd.CategoricalDtype):
        if not pd.isna(value) and value not in column.dtype.categories:
            raise refuse("it is none of the categories")
        last = pd.Series([value], dtype=column.dtype)
        return pd.concat([column, last], ignore_index=True)
    is_number = isinstance(value, Real) and pd.api.types.is_numeric_dtype(column.dtype)
    try:
        last = pd.Series([value], dtype=column.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        if not is_number:
            raise refuse(error) from error
        # a fraction, or nothing, in a column of whole numbers
        column, last = column.astype(np.float64), pd.Series([float(value)])
    if not (is_number or pd.isna(value) or last.iloc[0] == value):
        raise refuse("it would become another value")
    if is_number and column.dtype.kind == "b" and value not in (0, 1):
        raise refuse("it would become True")
    return pd.concat([column, last], ignore_index=True)
