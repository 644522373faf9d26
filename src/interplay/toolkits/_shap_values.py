"""Values of explanations in the layout of SHAP's arrays, and the objects that hold them.

SHAP is imported when it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from interplay._types import FloatArray, IntArray, Json, Players
from interplay.explanation.explanation import Explanation
from interplay.extensions import INDICES as ALL_INDICES
from interplay.extensions import unknown
from interplay.fourier.interactions import LEVEL
from interplay.toolkits._tokens import is_exact

if TYPE_CHECKING:
    import shap

INDICES = ("SV", "k-SII", "STII")
"""The indices that SHAP has: Shapley values, and pairs whose rows add up to them."""
_WIDTH = float(ndtri((1 + LEVEL) / 2))


def to_shap(explanation: Explanation, index: str = "SV", *, data: Any = None) -> shap.Explanation:
    """Make a ``shap.Explanation`` of one instance. :meth:`Explanation.to_shap` has the details."""
    import shap

    index = ALL_INDICES.named(index)
    if index not in INDICES:
        raise unknown("index", index, INDICES)
    if explanation.baseline is None:
        raise ValueError(
            "this explanation has no measured value of the empty input, which SHAP's values start "
            "from; explain the game without on_error='skip', or a game that has a value there"
        )
    found = Values.of(explanation, index)
    uncertain = not np.isnan(found.deviations).all()
    return shap.Explanation(
        found.values,
        base_values=explanation.baseline if explanation.outputs else float(explanation.baseline),
        data=_tokens(explanation) if data is None else np.asarray(data),
        feature_names=list(explanation.players),
        output_names=list(explanation.outputs) or None,
        lower_bounds=found.low if uncertain else None,
        upper_bounds=found.high if uncertain else None,
        error_std=found.deviations if uncertain else None,
        compute_time=explanation.provenance["seconds"]["total"],
    )


def _tokens(explanation: Explanation) -> Any:
    """The segments of a text, each with the blanks that follow; ``None`` for another game."""
    description: Json = explanation.provenance["game"]["description"]
    text, spans = description.get("text"), description.get("spans")
    if text is None or spans is None:
        return None
    gaps = [text[stop:start] for (_, stop), (start, _) in pairwise(spans)] + [""]
    # what lies between segments and is no blank belongs to none of them
    blanks = [gap if gap.isspace() or not gap else " " for gap in gaps]
    return np.array([text[a:b] + blank for (a, b), blank in zip(spans, blanks, strict=True)])


@dataclass(frozen=True, eq=False)
class Values:
    """Values in the layout of SHAP.

    Attributes:
        values: ``(n,)``, or ``(n, n)`` for pairs, and one more axis for k outputs.
        deviations: their standard deviations: zero if they are exact, NaN if nothing is known.
    """

    values: FloatArray
    deviations: FloatArray

    @property
    def low(self) -> FloatArray:
        """Lower ends of the intervals."""
        return self.values - _WIDTH * self.deviations

    @property
    def high(self) -> FloatArray:
        """Upper ends of the intervals."""
        return self.values + _WIDTH * self.deviations

    @classmethod
    def of(cls, explanation: Explanation, index: str) -> Values:
        """The values of ``"SV"``, ``"k-SII"`` or ``"STII"``."""
        n, axes = len(explanation.players), 1 if index == "SV" else 2
        interactions = explanation.interactions(index, order=min(axes, n))
        orders, sets = interactions.orders, interactions.sets
        (single,) = _members(sets, 1)
        first, second = _members(sets, 2)

        def laid_out(numbers: FloatArray, rest: FloatArray | None) -> FloatArray:
            array = np.zeros((n,) * axes + numbers.shape[1:])
            if axes == 2:
                if rest is not None and n > 1:
                    array += rest[2] / 2  # pairs that are not listed
                array[first, second] = array[second, first] = numbers[orders == 2] / 2
                array[np.arange(n), np.arange(n)] = 0.0
            array[(single,) * axes] = numbers[orders == 1]
            return array

        values = laid_out(interactions.values, interactions.rest)
        if interactions.deviations is None:
            uncertain = 0.0 if is_exact(explanation) else nan
            return cls(values, np.full_like(values, uncertain))
        # what the ends add to a pair counts as uncertain by its own size
        rest = None if interactions.rest is None else np.abs(interactions.rest)
        return cls(values, laid_out(interactions.deviations, rest))

    def over_inputs(self, player_of: IntArray, axes: int) -> Values:
        """Share each player's value evenly among its inputs.

        Args:
            player_of: the player of each input, ``(M,)``; -1: none, so that its value is zero.
            axes: 1, or 2 for pairs.
        """
        inputs = np.flatnonzero(player_of >= 0)
        players = player_of[inputs]
        shares = 1.0 / np.bincount(players)[players]
        at = np.ix_(*(inputs,) * axes)
        where = np.ix_(*(players,) * axes)
        share = shares if axes == 1 else np.multiply.outer(shares, shares)

        def spread(array: FloatArray) -> FloatArray:
            spread_out = np.zeros((len(player_of),) * axes + array.shape[axes:])
            spread_out[at] = (array[where].T * share.T).T
            return spread_out

        return Values(spread(self.values), spread(self.deviations))


def _members(sets: Sequence[Players], size: int) -> IntArray:
    """The sets of a size, ``(size, s)``."""
    chosen = [players for players in sets if len(players) == size]
    return np.array(chosen, dtype=np.int64).reshape(-1, size).T


@dataclass(frozen=True, eq=False)
class Row:
    """What was found of a row.

    Attributes:
        explanation: ours; ``None`` if no input varies.
        shown: the values of the M inputs, or of their pairs.
        shapes: the shape of each argument of the model, which have M inputs together.
        outputs: the names of the outputs; empty: they have none.
    """

    explanation: Explanation | None
    shown: Values
    shapes: Sequence[tuple[int, ...]]
    outputs: tuple[str, ...]

    def part(self, array: FloatArray, number: int) -> FloatArray:
        """The entries of one argument of the model, in its shape."""
        start = sum(prod(shape) for shape in self.shapes[:number])
        shape = self.shapes[number]
        return array[start : start + prod(shape)].reshape(*shape, *array.shape[1:])


def stacked(arrays: Sequence[npt.NDArray[Any]]) -> Any:
    """Arrays in one, with a first axis for them: an array of arrays if their shapes differ."""
    if len({array.shape for array in arrays}) == 1:
        return np.array(arrays)
    ragged = np.empty(len(arrays), dtype=object)
    for number, array in enumerate(arrays):
        ragged[number] = array
    return ragged


def columns_of(full: FloatArray, outputs: Any, *, named: bool) -> IntArray | int | None:
    """The columns of the model's outputs to explain; ``None``: it has no columns.

    A single column without a name that is not asked for is taken as a plain number.

    Args:
        full: the values of a row, ``()`` or ``(k,)``.
        outputs: as ``Explainer.__call__`` takes it.
        named: whether the columns have names.
    """
    import shap

    if not np.ndim(full):
        return None
    if isinstance(outputs, shap.utils.OpChain):
        outputs = outputs.apply(shap.Explanation(full)).values
    if outputs is None:
        return np.arange(len(full)) if named or len(full) > 1 else 0
    return np.atleast_1d(np.asarray(outputs))


def wants_pairs(interactions: bool | int) -> bool:
    """Whether pairs are asked for, in SHAP's words."""
    if interactions is True or (interactions is not False and interactions == 2):
        return True
    if interactions is False or interactions == 1:
        return False
    raise ValueError(
        f"interactions={interactions!r} is not 1, 2, False or True; SHAP's arrays hold pairs at "
        "most, and result.interplay[row].interactions(...) has larger ones"
    )


def warn_of_unusable(explanations: Sequence[Explanation | None]) -> None:
    """Warn where verdicts say so: SHAP's result has no place for them."""
    verdicts = {
        row: explanation.verdict
        for row, explanation in enumerate(explanations)
        if explanation is not None and explanation.verdict.level == "not usable"
    }
    if verdicts:
        first, verdict = next(iter(verdicts.items()))
        warnings.warn(
            f"the values of {len(verdicts)} of {len(explanations)} rows may not be used; of row "
            f"{first}: {verdict.reasons[0]} Raise max_evals, and see "
            f"result.interplay[{first}].verdict",
            stacklevel=3,
        )


def completed(result: shap.Explanation, rows: Sequence[Row], number: int) -> shap.Explanation:
    """SHAP's result for one argument of the model, with pairs, bounds and our explanations."""
    import shap

    def packed(kind: str) -> Any:
        return stacked([row.part(getattr(row.shown, kind), number) for row in rows])

    names = list(dict.fromkeys(row.outputs for row in rows))
    by_row = stacked([np.array(row.outputs) for row in rows])

    uncertain = not all(np.isnan(row.shown.deviations).all() for row in rows)
    assembled = shap.Explanation(
        packed("values"),
        base_values=result.base_values,
        data=result.data,
        feature_names=result.feature_names,
        output_names=by_row if len(names) > 1 else list(names[0]) or None,
        lower_bounds=packed("low") if uncertain else None,
        upper_bounds=packed("high") if uncertain else None,
        error_std=packed("deviations") if uncertain else None,
        clustering=result.clustering,
        compute_time=result.compute_time,
    )
    assembled.interplay = tuple(row.explanation for row in rows)
    return assembled
