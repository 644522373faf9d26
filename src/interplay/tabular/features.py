"""Features: the columns that make up each player, and how their values are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interplay.tabular.tables import Table, is_missing

_LONGEST = 40
"""The most characters of a value that are shown."""
_MOST_VALUES = 3
"""The most values of a group's columns that are shown."""


@dataclass(frozen=True)
class Feature:
    """A player: a column, or several that belong together.

    Attributes:
        name: the column's, or the group's.
        columns: their numbers, ascending.
        value: those of the row that is explained, for people to read.
        background: what the background rows have there, for people to read.
    """

    name: str
    columns: tuple[int, ...]
    value: str
    background: str

    @property
    def player(self) -> str:
        """The player's name: ``age = 40``."""
        return f"{self.name} = {self.value}"


def features_of(table: Table, groups: Mapping[str, Sequence[Any]] | None) -> tuple[Feature, ...]:
    """The features of a table: each group, and each column that is in none.

    Args:
        table: the rows.
        groups: for each name its columns, by name; of arrays by number. A group stands where its
            first column does.

    Raises:
        ValueError: a group is empty, names a column that there is not, or one of another group.
    """
    numbers: dict[Any, int] = {name: number for number, name in enumerate(table.columns)}
    if table.is_frame:
        numbers |= {name: number for number, name in enumerate(table.pool.columns)}
    else:
        numbers = dict(enumerate(range(len(table.columns))))
    taken: dict[int, str] = {}
    members: dict[str, tuple[int, ...]] = {}
    for group, names in (groups or {}).items():
        if isinstance(names, str) or not len(names):
            raise ValueError(
                f"the group {group!r} is {names!r}; give a list of columns, at least one"
            )
        for name in names:
            if name not in numbers:
                listed = ", ".join(map(repr, list(numbers)[:10]))
                raise ValueError(
                    f"the group {group!r} names the column {name!r}, which there is not; the "
                    f"columns are {listed}{', ...' if len(numbers) > 10 else ''}"
                )
            if numbers[name] in taken:
                raise ValueError(
                    f"the column {name!r} is named twice in groups ({taken[numbers[name]]!r}, "
                    f"{group!r}); a column belongs to one player"
                )
            taken[numbers[name]] = group
        members[group] = tuple(sorted(numbers[name] for name in names))
    made = [(columns, group) for group, columns in members.items()]
    made += [((j,), name) for j, name in enumerate(table.columns) if j not in taken]
    return tuple(
        Feature(name, columns, *_texts(table, name, columns)) for columns, name in sorted(made)
    )


def one_hot(background: Any, separator: str = "_") -> dict[str, list[str]]:
    """The groups of one-hot columns of a ``DataFrame``, such as ``pandas.get_dummies`` makes.

    Columns are a group if their names begin with the same text and a separator, there are two or
    more of them, they hold only 0 and 1, and exactly one of them is 1 in every row. Where such
    groups overlap the larger one counts. Columns of which one category was left out are not found.

    Args:
        background: a ``DataFrame``.
        separator: what stands between the feature and the category.

    Returns:
        For each feature its columns, in the table's order: what ``TabularGame`` takes as
        ``groups``.

    Example:
        >>> import pandas as pd
        >>> from interplay.tabular import one_hot
        >>> one_hot(pd.DataFrame({"city_a": [1, 0], "age": [40, 31], "city_b": [0, 1]}))
        {'city': ['city_a', 'city_b']}
    """
    columns = [name for name in background.columns if isinstance(name, str)]
    is_binary = {
        name: background[name].isin([0, 1]).all() and background[name].dtype.kind in "biuf"
        for name in columns
    }
    by_prefix: dict[str, list[str]] = {}
    for name in columns:
        for cut in re.finditer(re.escape(separator), name):
            if is_binary[name] and cut.start():
                by_prefix.setdefault(name[: cut.start()], []).append(name)
    groups: dict[str, list[str]] = {}
    taken: set[str] = set()
    for prefix, names in sorted(by_prefix.items(), key=_largest_first):
        if len(names) < 2 or not taken.isdisjoint(names):
            continue
        if (background[names].astype(np.float64).sum(axis=1) == 1).all():
            groups[prefix] = names
            taken.update(names)
    return groups


def _largest_first(entry: tuple[str, list[str]]) -> tuple[int, int]:
    """Of the same columns the longest common beginning is the feature's name."""
    prefix, columns = entry
    return -len(columns), -len(prefix)


def text_of(value: Any) -> str:
    """A value in a few characters."""
    if is_missing(value):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return (
            f"{number + 0.0:.0f}" if number.is_integer() and abs(number) < 1e9 else f"{number:.4g}"
        )
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _texts(table: Table, name: str, columns: tuple[int, ...]) -> tuple[str, str]:
    """The value of a player in the row that is explained, and what the background has there."""
    if len(columns) == 1:
        values = table.column(columns[0])
        if table.is_number(columns[0]) and values.dtype.kind != "b":
            return text_of(values[-1]), _spread(values[:-1].astype(np.float64))
        return text_of(values[-1]), _share(table, columns)
    row = [table.column(number)[-1] for number in columns]
    names = [table.columns[number] for number in columns]
    active = [label for label, value in zip(names, row, strict=True) if value == 1]
    if len(active) == 1 and all(value in (0, 1) for value in row):
        return text_of(re.sub(rf"^{re.escape(name)}[_=:. -]", "", active[0])), _share(
            table, columns
        )
    pairs = [f"{label} {text_of(value)}" for label, value in zip(names, row, strict=True)]
    more = ["…"] if len(pairs) > _MOST_VALUES else []
    return f"({', '.join(pairs[:_MOST_VALUES] + more)})", _share(table, columns)


def _spread(values: Any) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "no values"
    low, middle, high = map(text_of, np.quantile(known, [0.05, 0.5, 0.95]).tolist())
    return f"median {middle}, 5 to 95 %: {low} to {high}"


def _share(table: Table, columns: tuple[int, ...]) -> str:
    codes = table.codes[:, list(columns)]
    share = float((codes[:-1] == codes[-1]).all(axis=1).mean())
    return f"{share:.0%} have it"
