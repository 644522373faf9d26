"""Relations: which training data work together, and which repeat each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._arrays import EPSILON, as_columns
from interplay._types import FloatArray, Json, Players, visible
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.fourier.spectrum import Spectrum

_ROUNDING = 1e-9
"""Interactions below this share of the largest coefficient are taken for rounding, as are those
of the size of rounding errors of the mean."""


@dataclass(frozen=True)
class Relation:
    """A set of players, and what they do together beyond what they do apart.

    Attributes:
        players: the players' numbers.
        label: their names, joined.
        value: the interaction, in the unit of the score; over many test points the mean.
        rms: its root mean square over the test points; at a single one its absolute value.
        same_class: whether all rows of these players are of one class.
    """

    players: Players
    label: str
    value: float
    rms: float
    same_class: bool

    def __str__(self) -> str:
        rms = "" if self.rms <= abs(self.value) else f" (rms {self.rms:.3g})"
        return visible(f"{self.label} {self.value:+.3g}{rms}")


@dataclass(frozen=True)
class Relations:
    """The strongest interactions, split by sign and by class, the strongest first.

    Attributes:
        point: the name of the test point; ``None``: the mean over all.
        synergies_same: players of one class that help more together than apart. The value is
            positive; for a loss, where lower is better, it is negative.
        synergies_mixed: the same for players of several classes.
        redundancies_same: interactions of the opposite sign, of players of one class: one of them
            would do.
        redundancies_mixed: the same for players of several classes.
    """

    point: str | None
    synergies_same: tuple[Relation, ...]
    synergies_mixed: tuple[Relation, ...]
    redundancies_same: tuple[Relation, ...]
    redundancies_mixed: tuple[Relation, ...]

    @property
    def kinds(self) -> tuple[tuple[str, tuple[Relation, ...]], ...]:
        """The name and the relations of each kind."""
        return (
            ("synergies, same class", self.synergies_same),
            ("synergies, mixed classes", self.synergies_mixed),
            ("redundancies, same class", self.redundancies_same),
            ("redundancies, mixed classes", self.redundancies_mixed),
        )

    def __str__(self) -> str:
        lines = [f"test point {self.point}" if self.point is not None else "all test points"]
        for title, of_kind in self.kinds:
            lines.append(f"  {title}: {'; '.join(map(str, of_kind)) or 'none'}")
        return visible("\n".join(lines))


def relations(
    explanation: Explanation,
    *,
    point: int | None = None,
    index: IndexName | str = "FSII",
    order: int = 2,
    min_order: int = 2,
    top: int = 5,
) -> Relations:
    """Find the strongest interactions of training data.

    Args:
        explanation: an explanation of a ``TrainingGame``, fresh or loaded.
        point: the number of a test point; ``None``: the mean over all test points.
        index: the interaction index.
        order: how many players an interaction has at most; 2 are pairs.
        min_order: how many players it has at least.
        top: how many interactions of each kind at most.

    Raises:
        ValueError: the explanation is of something else, the test point does not exist, or
            ``min_order`` is not between 2 and ``order``.

    Example:
        Rows 0 and 1 are duplicates, so one of them would do.

        >>> import interplay as ip
        >>> from interplay.training import Ridge, TrainingData, TrainingGame, relations
        >>> data = TrainingData.checked(
        ...     [[2.0], [2.0], [-2.0]], ["a", "a", "b"], [[1.0]], ["a"]
        ... )
        >>> explanation = ip.explain(TrainingGame(Ridge(), data), progress=False)
        >>> print(relations(explanation))
        all test points
          synergies, same class: none
          synergies, mixed classes: 0 x 2 +0.243; 1 x 2 +0.243
          redundancies, same class: 0 x 1 -1.2
          redundancies, mixed classes: none
    """
    description: Json = explanation.provenance["game"]["description"]
    if "rows_by_class" not in description:
        raise ValueError(
            f"this explains a {description.get('lens') or 'game'}, which has no training data; "
            "give an explanation of a TrainingGame"
        )
    if not 2 <= min_order <= order:
        raise ValueError(f"min_order={min_order} is not between 2 and order={order}")
    spectrum = at_point(explanation.spectrum, point)
    interactions = spectrum.to(index, order=order, players=explanation.players).filter(
        min_order=min_order
    )
    at_points: FloatArray = as_columns(
        (explanation.spectrum if point is None else spectrum)
        .to(index, order=order)
        .filter(min_order=min_order)
        .values
    )
    of_class = _classes(description["rows_by_class"])
    ranked = [
        Relation(
            members,
            interactions.label(members, " x "),
            float(value),
            float(np.sqrt((values**2).mean())),
            len({of_class[player] for player in members}) == 1 and of_class[members[0]] is not None,
        )
        for (members, value), values in zip(interactions, at_points, strict=True)
    ]
    ranked.sort(key=lambda relation: -abs(relation.value))

    sizes, is_mean = np.abs(spectrum.coefficients), spectrum.orders == 0
    least = _ROUNDING * float(sizes[~is_mean].max(initial=0.0))
    least += 64 * EPSILON * float(sizes[is_mean].max(initial=0.0))
    better = -1 if description["score"] == "loss" else 1

    def kind(sign: int, same: bool) -> tuple[Relation, ...]:
        of_kind = (
            relation
            for relation in ranked
            if relation.value * sign * better > least and relation.same_class is same
        )
        return tuple(of_kind)[:top]

    return Relations(
        None if point is None else _point_name(description, point),
        kind(1, True),
        kind(1, False),
        kind(-1, True),
        kind(-1, False),
    )


def at_point(spectrum: Spectrum, point: int | None) -> Spectrum:
    """Return the spectrum of one output, or of the mean over all outputs.

    Raises:
        ValueError: there is no such output.
    """
    return spectrum.mean_output() if point is None else spectrum.output(point)


def _point_name(description: Json, point: int) -> str:
    """The name of a test point, or its number if the game does not name it."""
    names: Sequence[str] = description.get("test_points", ())
    return names[point] if 0 <= point < len(names) else str(point)


def _classes(rows_by_class: Sequence[Sequence[int]]) -> list[int | None]:
    """Return the class of each player's rows; ``None`` if they are of several classes."""
    result: list[int | None] = []
    for counts in rows_by_class:
        present = [number for number, count in enumerate(counts) if count]
        result.append(present[0] if len(present) == 1 else None)
    return result
