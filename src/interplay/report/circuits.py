"""Circuits on the page: which players to keep, at each size, and what the game scores with them.

Some are given, as :func:`interplay.components.prune` returns them, with measured scores. The others
are the subsets that the spectrum predicts to be best, which nothing measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.explanation.explanation import Explanation
from interplay.fourier.masks import keys
from interplay.fourier.spectrum import Spectrum
from interplay.optimize.subset import best_subset

_SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_EACH = 16
"""Up to this number of players there is a circuit of each size, beyond it at these shares."""
_MOST_TERMS = 3000
"""The terms, the strongest ones, by which predicted circuits are searched."""
_BEST = (
    "Predicted best",
    "At each size the components with the largest predicted score, by a search that proves "
    "nothing. An optimum is drawn to the errors of its spectrum, so what is predicted of it is "
    "usually too good. Measure it before it is used: prune(..., rounds=2).",
)
_FAITHFUL = (
    "Predicted most faithful",
    "At each size the components whose predicted score is nearest to that of the whole model, by a "
    "search that proves nothing. Often many others are predicted to be as near. Measure it before "
    "it is used: prune(..., rounds=2, objective='faithful').",
)
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

    @property
    def test_is_known(self) -> bool:
        """Whether any was scored on other items."""
        return bool(np.isfinite(self.test).any())


def series_of(
    explanation: Explanation, spectrum: Spectrum, given: Sequence[Kept] | Compared
) -> tuple[Series, ...]:
    """The circuits that a page shows: those that were measured, by method, then predicted ones.

    Args:
        explanation: of the game.
        spectrum: what the page predicts by.
        given: circuits with measured scores. Of one method and size the last one counts.

    Raises:
        ValueError: a circuit has other players or scores than the explanation.
    """
    measured = (
        _pruned(explanation, spectrum, given)
        if isinstance(given, Sequence)
        else _compared(explanation, spectrum, given)
    )
    return (*measured, *_predicted(explanation, spectrum))


def _pruned(explanation: Explanation, spectrum: Spectrum, given: Sequence[Kept]) -> list[Series]:
    """Measured circuits by method."""
    for kept in given:
        _check(kept, spectrum)
    whole = next((np.asarray(kept.test) for kept in given if kept.method == "none"), None)
    by_method: dict[str, dict[int, Kept]] = {}
    for kept in given:
        if kept.method != "none":
            by_method.setdefault(kept.method, {})[int(kept.mask.sum())] = kept
    return [_given(explanation, name, of, whole) for name, of in by_method.items()]


def _check(kept: Kept, spectrum: Spectrum) -> None:
    n_outputs = spectrum.n_outputs or 1
    shapes = [np.shape(kept.mask), *(np.shape(x) for x in (kept.train, kept.test))]
    wanted = [(spectrum.n_players,), (n_outputs,), (n_outputs,)]
    if shapes != wanted:
        raise ValueError(
            f"a circuit of {kept.method!r} has a mask of shape {shapes[0]} and scores of shapes "
            f"{shapes[1]} and {shapes[2]}; the explanation has {spectrum.n_players} players and "
            f"{n_outputs} outputs, so give what prune returned for its game"
        )


def _compared(explanation: Explanation, spectrum: Spectrum, given: Compared) -> list[Series]:
    """Each method's circuits meant to score much, and those meant to be faithful."""
    n, n_outputs = spectrum.n_players, spectrum.n_outputs or 1
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
            measured = _recorded(explanation, masks[rows])
            none = np.full_like(test, np.nan)
            nothing, whole = given.ends[:, :n_outputs]
            made.append(
                Series(name, _JUDGED[aim], masks[rows], measured, test, none, none, whole, nothing)
            )
    return made


def _given(
    explanation: Explanation, name: str, by_size: dict[int, Kept], whole: FloatArray | None
) -> Series:
    """One method's measured circuits, with the empty and the whole model."""
    n = len(explanation.players)
    n_outputs = explanation.spectrum.n_outputs or 1
    missing = np.full(n_outputs, np.nan)
    rows: dict[int, tuple[BoolArray, FloatArray, FloatArray, FloatArray, FloatArray]] = {
        size: (kept.mask, kept.train, kept.test, kept.low, kept.high)
        for size, kept in by_size.items()
    }
    ends = explanation.ends
    if ends is not None:
        full, empty = ends.reshape(2, n_outputs)
        whole_test = missing if whole is None else whole
        rows.setdefault(n, (np.ones(n, np.bool_), full, whole_test, missing, missing))
        rows.setdefault(0, (np.zeros(n, np.bool_), empty, missing, missing, missing))
    columns = zip(*(rows[size] for size in sorted(rows)), strict=True)
    masks, measured, test, low, high = (np.stack(column) for column in columns)
    whole = missing if whole is None else whole
    return Series(f"{name}, measured", _MEASURED, masks, measured, test, low, high, whole, missing)


def _predicted(explanation: Explanation, spectrum: Spectrum) -> list[Series]:
    """What the spectrum predicts to be best, and most faithful; nothing if it predicts nothing."""
    verdict, n = explanation.verdict, spectrum.n_players
    if not verdict.trusted[0] or verdict.level == "not usable":
        return []
    by_spectrum = as_columns(spectrum.predict(np.ones((1, n), dtype=np.bool_)))[0, 0]
    full = np.nan if explanation.full is None else np.ravel(explanation.full)[0]
    target = float(full if np.isfinite(full) else by_spectrum)
    searched = spectrum.output(0)
    if n > _EACH and len(searched) > _MOST_TERMS:
        searched = searched.truncate(n_terms=_MOST_TERMS)
    made = []
    for (name, about), aim in ((_BEST, None), (_FAITHFUL, target)):
        # nothing need be proven, so that a greedy search does
        masks = np.stack(
            [best_subset(searched, keep=size, target=aim, gap=np.inf).mask for size in _sizes(n)]
        )
        measured = _recorded(explanation, masks)
        none = np.full_like(measured, np.nan)
        made.append(Series(name, about, masks, measured, none, none, none, none[0], none[0]))
    return made


def _sizes(n: int) -> list[int]:
    """The sizes of predicted circuits, ascending, the empty and the whole model included."""
    if n <= _EACH:
        return list(range(n + 1))
    return sorted({0, n, *(max(1, round(share * n)) for share in _SHARES)})


def _recorded(explanation: Explanation, masks: BoolArray) -> FloatArray:
    """The values of masks that the run evaluated, ``(c, k)``; NaN for all others."""
    known = explanation.ablations
    row_of = {key: row for row, key in enumerate(keys(known.masks))}
    values = as_columns(known.values)
    found = np.full((len(masks), values.shape[1]), np.nan)
    for row, key in enumerate(keys(masks)):
        if key in row_of:
            found[row] = values[row_of[key]]
    return found
