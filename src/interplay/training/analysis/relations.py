"""Relations: which training data work together, and which repeat each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._arrays import as_columns
from interplay._types import FloatArray, Json, Players
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.fourier.spectrum import Spectrum

_ROUNDING = 1e-9
"""Of the largest coefficient, with that of the empty set: smaller interactions are rounding."""


@dataclass(frozen=True)
class Relation:
    """Some players, and what they do together beyond what they do apart.

    Attributes:
        players: their numbers.
        label: their names, joined.
        value: the interaction, in the unit of the score; over many test points the mean.
        rms: its root mean square over the test points; at a single one its size.
        same_class: whether all their rows are of one class.
    """

    players: Players
    label: str
    value: float
    rms: float
    same_class: bool

    def __str__(self) -> str:
        spread = "" if self.rms <= abs(self.value) else f" (rms {self.rms:.3g})"
        return f"{self.label} {self.value:+.3g}{spread}"


@dataclass(frozen=True)
class Relations:
    """The strongest interactions, split by sign and by class, the strongest first.

    Attributes:
        point: the name of the test point; ``None``: the mean over all.
        synergies_same: of players of one class, which help more together; positive, and of a loss,
            which is better low, negative.
        synergies_mixed: of players of several classes.
        redundancies_same: of the other sign, of one class: either would do.
        redundancies_mixed: of several classes.
    """

    point: str | None
    synergies_same: tuple[Relation, ...]
    synergies_mixed: tuple[Relation, ...]
    redundancies_same: tuple[Relation, ...]
    redundancies_mixed: tuple[Relation, ...]

    @property
    def kinds(self) -> tuple[tuple[str, tuple[Relation, ...]], ...]:
        """Each kind's name, and those of this kind."""
        return (
            ("synergies, same class", self.synergies_same),
            ("synergies, mixed classes", self.synergies_mixed),
            ("redundancies, same class", self.redundancies_same),
            ("redundancies, mixed classes", self.redundancies_mixed),
        )

    def __str__(self) -> str:
        lines = [f"test point {self.point}" if self.point is not None else "all test points"]
        for title, found in self.kinds:
            lines.append(f"  {title}: {'; '.join(map(str, found)) or 'none'}")
        return "\n".join(lines)


def relations(
    explanation: Explanation,
    *,
    point: int | None = None,
    index: IndexName | str = "FSII",
    order: int = 2,
    min_order: int = 2,
    top: int = 5,
) -> Relations:
    """The strongest interactions of training data.

    Args:
        explanation: of a ``TrainingGame``, loaded or not.
        point: the number of a test point; ``None``: the mean over all of them.
        index: the interactions' index.
        order: its order: how large the sets are at most; 2 are pairs.
        min_order: how large they are at least.
        top: how many of each kind.

    Raises:
        ValueError: an explanation of something else, a test point that does not exist, or
            ``min_order`` is not between 2 and ``order``.
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
    found = spectrum.to(index, order=order, players=explanation.players).filter(min_order=min_order)
    per_point: FloatArray = as_columns(
        (explanation.spectrum if point is None else spectrum)
        .to(index, order=order)
        .filter(min_order=min_order)
        .values
    )
    of_class = _classes(description["rows_by_class"])
    ranked = [
        Relation(
            members,
            found.label(members, " x "),
            float(value),
            float(np.sqrt((each**2).mean())),
            len({of_class[player] for player in members}) == 1 and of_class[members[0]] is not None,
        )
        for (members, value), each in zip(found, per_point, strict=True)
    ]
    ranked.sort(key=lambda relation: -abs(relation.value))

    least = _ROUNDING * float(np.abs(spectrum.coefficients).max(initial=0.0))
    better = -1 if description["score"] == "loss" else 1

    def kind(sign: int, same: bool) -> tuple[Relation, ...]:
        chosen = (
            each
            for each in ranked
            if each.value * sign * better > least and each.same_class is same
        )
        return tuple(chosen)[:top]

    return Relations(
        None if point is None else description["test_points"][point],
        kind(1, True),
        kind(1, False),
        kind(-1, True),
        kind(-1, False),
    )


def at_point(spectrum: Spectrum, point: int | None) -> Spectrum:
    """The spectrum of one output, or of the mean over all.

    Raises:
        ValueError: there is no such output.
    """
    return spectrum.mean_output() if point is None else spectrum.output(point)


def _classes(rows_by_class: Sequence[Sequence[int]]) -> list[int | None]:
    """The class of each player's rows; ``None`` where they are of several."""
    result: list[int | None] = []
    for counts in rows_by_class:
        present = [number for number, count in enumerate(counts) if count]
        result.append(present[0] if len(present) == 1 else None)
    return result
