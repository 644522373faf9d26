"""Circuits with measured scores: which players a method keeps, at each size, and what they score.

They are what :func:`interplay.components.prune` and ``compare_circuits`` return, as a saved
explanation holds them and a page shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypedDict

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, Count, FloatArray, IntArray, Json, plain, shown
from interplay.fourier.masks import keys

Known: TypeAlias = tuple[BoolArray, FloatArray]
"""What a run evaluated: masks, ``(m, n)``, and values, ``(m,)`` or ``(m, k)``."""
_MOST = 1_000
"""The most series that an explanation holds."""
_BY_CIRCUIT = ("measured", "test", "low", "high")
_OF_ITEMS = ("whole", "nothing")
_MEASURED = (
    "Measured on the items that the choice was made by, where a choice among many looks better "
    "than it is, and on other items with intervals over these."
)
_AIMS = ("cpr", "cmd")
_JUDGED = {
    "cpr": "Meant to score much, and judged on items that took no part in finding them.",
    "cmd": "Meant to score as the whole model does, and judged on items that took no part in "
    "finding them.",
}


class Kept(Protocol):
    """Players that a method keeps, and measured scores: what ``prune`` returns is of this form."""

    @property
    def method(self) -> str:
        """The method's name; ``"none"``: nothing was removed."""

    @property
    def objective(self) -> str:
        """What was wanted: ``"best"``, a large score, or ``"faithful"``, that of the whole."""

    @property
    def mask(self) -> BoolArray:
        """The players kept, ``(n,)``."""

    @property
    def train(self) -> FloatArray:
        """The scores of the game that was explained, ``(k,)``."""

    @property
    def test(self) -> FloatArray:
        """The scores on other items, ``(k,)``."""

    @property
    def low(self) -> FloatArray:
        """The lower end of an interval of ``test``, ``(k,)``."""

    @property
    def high(self) -> FloatArray:
        """The upper end."""


class Judged(Protocol):
    """One method's circuits in a :class:`Compared`."""

    @property
    def method(self) -> str:
        """The method's name."""

    @property
    def masks(self) -> BoolArray:
        """``(2, fractions, n)``: those meant to score much, then those meant to be faithful."""

    @property
    def scores(self) -> FloatArray:
        """Their scores, ``(2, fractions, k)``."""

    @property
    def cpr(self) -> object:
        """The area of the first ones, as text."""

    @property
    def cmd(self) -> object:
        """The area of the others, as text."""


class Compared(Protocol):
    """Methods' circuits judged on other items: what ``compare_circuits`` returns has this form."""

    @property
    def judged(self) -> Sequence[Judged]:
        """The methods."""

    @property
    def ends(self) -> FloatArray:
        """The scores of the empty and of the whole model, ``(2, k)``."""


@dataclass(frozen=True, eq=False)
class Series:
    """One method's circuits, the smallest first.

    Attributes:
        name: of the method.
        about: how they were chosen, in a sentence or more.
        masks: ``(c, n)``.
        measured: their scores by the game, ``(c, k)``; NaN where it was not evaluated.
        test: their scores on other items, ``(c, k)``; NaN where these are not known.
        low: the lower end of an interval of ``test``.
        high: the upper end.
        whole: the scores of the whole model on these other items, ``(k,)`` or NaN.
        nothing: those of the empty model on them, likewise.
    """

    name: str
    about: str
    masks: BoolArray
    measured: FloatArray
    test: FloatArray
    low: FloatArray
    high: FloatArray
    whole: FloatArray
    nothing: FloatArray

    @property
    def sizes(self) -> IntArray:
        """How many players each keeps, ``(c,)``."""
        return np.asarray(self.masks.sum(axis=1))

    def to_json(self) -> Json:
        """The circuits as JSON: the players that each keeps, by number, and its scores."""
        kept = [np.flatnonzero(mask).tolist() for mask in self.masks]
        scores = {name: plain(getattr(self, name)) for name in (*_BY_CIRCUIT, *_OF_ITEMS)}
        return {"name": self.name, "about": self.about, "kept": kept, **scores}

    @classmethod
    def from_json(cls, record: Json, n_players: int) -> Series:
        """What :meth:`to_json` gave."""
        masks = np.zeros((len(record["kept"]), n_players), dtype=np.bool_)
        for mask, players in zip(masks, record["kept"], strict=True):
            mask[players] = True
        scores: dict[str, Any] = {
            name: np.array(record[name], dtype=np.float64) for name in (*_BY_CIRCUIT, *_OF_ITEMS)
        }
        return cls(name=record["name"], about=record["about"], masks=masks, **scores)

    @property
    def test_is_known(self) -> bool:
        """Whether any was scored on other items."""
        return bool(np.isfinite(self.test).any())


class SeriesJson(TypedDict):
    """A :class:`Series` as JSON: scores that are not known are null."""

    name: str
    about: str
    kept: list[list[Count]]
    measured: list[list[float | None]]
    test: list[list[float | None]]
    low: list[list[float | None]]
    high: list[list[float | None]]
    whole: list[float | None]
    nothing: list[float | None]


def measured_circuits(
    given: Sequence[Kept] | Compared, known: Known, ends: FloatArray | None
) -> tuple[Series, ...]:
    """Circuits that were measured, by method.

    Args:
        given: circuits with measured scores. Of one method and size the last one counts.
        known: what the run evaluated that explained the game.
        ends: the values of the full and of the empty input, ``(2,)`` or ``(2, k)``; ``None``: they
            are not known.

    Raises:
        ValueError: a circuit has other players or scores than the explanation.
    """
    if isinstance(given, Sequence):
        return tuple(_pruned(given, known, ends))
    return tuple(_compared(given, known))


def _pruned(given: Sequence[Kept], known: Known, ends: FloatArray | None) -> list[Series]:
    """Measured circuits by method."""
    n_players, n_outputs = _sizes(known)
    for kept in given:
        _check(kept, n_players, n_outputs)
    whole = next((np.asarray(kept.test) for kept in given if kept.method == "none"), None)
    by_method: dict[str, dict[int, Kept]] = {}
    for kept in given:
        if kept.method != "none":
            name = kept.method if kept.objective == "best" else f"{kept.method}, {kept.objective}"
            by_method.setdefault(name, {})[int(kept.mask.sum())] = kept
    return [_given(name, of, whole, known, ends) for name, of in by_method.items()]


def _sizes(known: Known) -> tuple[int, int]:
    """The number of players and of outputs."""
    masks, values = known
    return masks.shape[1], as_columns(values).shape[1]


def _check(kept: Kept, n_players: int, n_outputs: int) -> None:
    shapes = [np.shape(kept.mask), *(np.shape(x) for x in (kept.train, kept.test))]
    wanted = [(n_players,), (n_outputs,), (n_outputs,)]
    if shapes != wanted:
        raise ValueError(
            f"a circuit of {kept.method!r} has a mask of shape {shapes[0]} and scores of shapes "
            f"{shapes[1]} and {shapes[2]}; the explanation has {n_players} players and "
            f"{n_outputs} outputs, so give what prune returned for its game"
        )


def _compared(given: Compared, known: Known) -> list[Series]:
    """Each method's circuits meant to score much, and those meant to be faithful."""
    n, n_outputs = _sizes(known)
    made = []
    for one in given.judged:
        if one.masks.shape[-1] != n or one.scores.shape[-1] < n_outputs:
            raise ValueError(
                f"the circuits of {one.method!r} are of {one.masks.shape[-1]} players and "
                f"{one.scores.shape[-1]} scores; the explanation has {n} and {n_outputs}, so give "
                "what compare_circuits returned for the same players and scores"
            )
        for masks, scores, aim in zip(one.masks, one.scores, _AIMS, strict=True):
            # small fractions may be of no player, or of one size
            _, rows = np.unique(masks.sum(axis=1), return_index=True)
            test = scores[rows][:, :n_outputs]  # what comes behind is a score that was added
            name = f"{one.method}, {aim.upper()} {getattr(one, aim)}"
            measured = recorded_values(known, masks[rows])
            none = np.full_like(test, np.nan)
            nothing, whole = given.ends[:, :n_outputs]
            made.append(
                Series(name, _JUDGED[aim], masks[rows], measured, test, none, none, whole, nothing)
            )
    return made


def _given(
    name: str,
    by_size: dict[int, Kept],
    whole: FloatArray | None,
    known: Known,
    ends: FloatArray | None,
) -> Series:
    """One method's measured circuits, with the empty and the whole model."""
    n, n_outputs = _sizes(known)
    missing = np.full(n_outputs, np.nan)
    rows: dict[int, tuple[BoolArray, FloatArray, FloatArray, FloatArray, FloatArray]] = {
        size: (kept.mask, kept.train, kept.test, kept.low, kept.high)
        for size, kept in by_size.items()
    }
    if ends is not None:
        full, empty = ends.reshape(2, n_outputs)
        whole_test = missing if whole is None else whole
        rows.setdefault(n, (np.ones(n, np.bool_), full, whole_test, missing, missing))
        rows.setdefault(0, (np.zeros(n, np.bool_), empty, missing, missing, missing))
    columns = zip(*(rows[size] for size in sorted(rows)), strict=True)
    masks, measured, test, low, high = (np.stack(column) for column in columns)
    whole = missing if whole is None else whole
    return Series(f"{name}, measured", _MEASURED, masks, measured, test, low, high, whole, missing)


def recorded_values(known: Known, masks: BoolArray) -> FloatArray:
    """The values of masks that a run evaluated, ``(c, k)``; NaN for all others."""
    row_of = {key: row for row, key in enumerate(keys(known[0]))}
    values = as_columns(known[1])
    scores = np.full((len(masks), values.shape[1]), np.nan)
    for row, key in enumerate(keys(masks)):
        if key in row_of:
            scores[row] = values[row_of[key]]
    return scores


def check_circuits(records: Sequence[Json], n_players: int, n_outputs: int) -> None:
    """Check the sizes of circuits in a document, whose types are right.

    Raises:
        ValueError: what is wrong, where, and what is expected.
    """
    if len(records) > _MOST:
        raise ValueError(f"circuits has {len(records)} entries; at most {_MOST} are expected")
    for number, record in enumerate(records):
        where = f"circuits[{number}]"
        for players in record["kept"]:
            if players != sorted({*players}) or (players and players[-1] >= n_players):
                raise ValueError(
                    f"{where}.kept has {shown(players[:10])}; ascending numbers of players from 0 "
                    f"to {n_players - 1} are expected"
                )
        for name in _BY_CIRCUIT:
            lengths = [len(scores) for scores in record[name]]
            if lengths != [n_outputs] * len(record["kept"]):
                raise ValueError(
                    f"{where}.{name} has {len(lengths)} entries of {shown(lengths[:10])} scores; "
                    f"{len(record['kept'])} of {n_outputs} are expected"
                )
        for name in _OF_ITEMS:
            if len(record[name]) != n_outputs:
                raise ValueError(
                    f"{where}.{name} has {len(record[name])} scores; {n_outputs} are expected"
                )
