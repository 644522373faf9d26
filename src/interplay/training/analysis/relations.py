"""Relations: which training data work together, and which repeat each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from interplay._arrays import EPSILON, as_columns
from interplay._types import FloatArray, Json, Players, visible
from interplay.explanation.explanation import Explanation
from interplay.explanation.verdict import in_some_output
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
        same_class: whether all rows of these players are of one class, or have one tag.
        certain: whether it can be told from zero at the test point; over many, at some of them.
    """

    players: Players
    label: str
    value: float
    rms: float
    same_class: bool
    certain: bool = True

    def __str__(self) -> str:
        rms = "" if self.rms <= abs(self.value) else f" (rms {self.rms:.3g})"
        doubt = "" if self.certain else "(zero?) "
        return visible(f"{doubt}{self.label} {self.value:+.3g}{rms}")


@dataclass(frozen=True)
class Relations:
    """The strongest interactions, split by kind and by class, the strongest first.

    Examples of a fine-tuning have tags in place of classes, and many of them hurt. Their
    interactions are therefore told apart by the players' own effects too: players that push the
    score in one direction and do more together are a synergy; those that do less together are
    redundant, whether they help or hurt; those that push it in opposite directions compete.

    What three or more players do together is the sum of their interaction and of those of all
    smaller sets of them. Of three copies the pairs are negative, and together they take away more
    than the interaction of all three, which is positive, adds: a redundancy all the same.

    Attributes:
        point: the name of the test point or question; ``None``: the mean over all.
        synergies_same: players of one class that help more together than apart. The value of a
            pair is positive; for a loss, where lower is better, it is negative.
        synergies_mixed: the same for players of several classes.
        redundancies_same: players of one class that help less together than apart: one of them
            would do.
        redundancies_mixed: the same for players of several classes.
        competing_same: examples of one tag that push in opposite directions; ``None``: the players
            have classes.
        competing_mixed: the same for examples of several tags, or without tags.
    """

    point: str | None
    synergies_same: tuple[Relation, ...]
    synergies_mixed: tuple[Relation, ...]
    redundancies_same: tuple[Relation, ...]
    redundancies_mixed: tuple[Relation, ...]
    competing_same: tuple[Relation, ...] | None = None
    competing_mixed: tuple[Relation, ...] | None = None

    @property
    def kinds(self) -> tuple[tuple[str, tuple[Relation, ...]], ...]:
        """The name and the relations of each kind."""
        if self.competing_same is not None and self.competing_mixed is not None:
            return (
                ("redundant, same tag", self.redundancies_same),
                ("redundant, other tags", self.redundancies_mixed),
                ("competing, same tag", self.competing_same),
                ("competing, other tags", self.competing_mixed),
                ("synergies, same tag", self.synergies_same),
                ("synergies, other tags", self.synergies_mixed),
            )
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
    index: IndexName | str | None = None,
    order: int = 2,
    min_order: int = 2,
    top: int = 5,
) -> Relations:
    """Find the strongest interactions of training data.

    Args:
        explanation: an explanation of a ``TrainingGame`` or a ``FineTuningGame``, fresh or loaded.
        point: the number of a test point or question; ``None``: the mean over all.
        index: the interaction index; by default the explanation's.
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
          synergies, mixed classes: 0 × 2 +0.243; 1 × 2 +0.243
          redundancies, same class: 0 × 1 -1.2
          redundancies, mixed classes: none
    """
    description = described_training(explanation)
    if not 2 <= min_order <= order:
        raise ValueError(f"min_order={min_order} is not between 2 and order={order}")
    spectrum = at_point(explanation.spectrum, point)
    index = index or explanation.index
    of_all_sizes = spectrum.to(index, order=order, players=explanation.players)
    interactions = of_all_sizes.filter(min_order=min_order)
    at_points: FloatArray = as_columns(
        (explanation.spectrum if point is None else spectrum)
        .to(index, order=order)
        .filter(min_order=min_order)
        .values
    )
    certain = certain_sets(explanation, point, index, order)
    tagged = "tags" in description
    of_class = classes_of(description)
    ranked = [
        Relation(
            members,
            interactions.label(members),
            float(value),
            float(np.sqrt((values**2).mean())),
            len({of_class[player] for player in members}) == 1 and of_class[members[0]] is not None,
            members in certain,
        )
        for (members, value), values in zip(interactions, at_points, strict=True)
    ]
    ranked.sort(key=lambda relation: -abs(relation.value))

    least = rounding_of(spectrum)
    better = -1 if description["score"] == "loss" else 1
    effects = effects_of(explanation, spectrum)[:, 0] if tagged else None

    by_set = {members: float(value) for members, value in of_all_sizes.filter(min_order=2)}

    def beyond(members: Players) -> float:
        """What players do together beyond what they do apart: as a pair, or in all smaller sets."""
        sizes = range(2, len(members) + 1)
        return sum(by_set.get(part, 0.0) for size in sizes for part in combinations(members, size))

    def kind_of(relation: Relation) -> int:
        """1 for a synergy, -1 for a redundancy, 0 if the players compete."""
        sign = int(np.sign(beyond(relation.players)))
        if effects is None:
            return sign * better
        signs = set(np.sign(effects[list(relation.players)]).tolist())
        return 0 if len(signs) > 1 else int(sign * signs.pop())

    def kind(number: int, same: bool) -> tuple[Relation, ...]:
        of_kind = (
            relation
            for relation in ranked
            if abs(relation.value) > least
            and kind_of(relation) == number
            and relation.same_class is same
        )
        return tuple(of_kind)[:top]

    return Relations(
        None if point is None else point_name(description, point),
        kind(1, True),
        kind(1, False),
        kind(-1, True),
        kind(-1, False),
        kind(0, True) if tagged else None,
        kind(0, False) if tagged else None,
    )


def described_training(explanation: Explanation) -> Json:
    """Return the description of the training data that an explanation is about.

    Raises:
        ValueError: it is about something else.
    """
    description: Json = explanation.provenance["game"]["description"]
    if not {"rows_by_class", "tags"} & description.keys():
        raise ValueError(
            f"this explains a {description.get('lens') or 'game'}, which has no training data; "
            "give an explanation of a TrainingGame or a FineTuningGame"
        )
    return description


def single_index(explanation: Explanation) -> IndexName:
    """Return the index of single players that looks where the explanation's masks are."""
    return "SV" if str(explanation.measure) == "shapley" else "BV"


def effects_of(explanation: Explanation, spectrum: Spectrum) -> FloatArray:
    """Return what each player adds to each output on average, ``(n, k)``.

    The average is over the masks that the explanation is about: Shapley values for ``"shapley"``,
    Banzhaf values for other measures.
    """
    interactions = spectrum.to(single_index(explanation), order=1)
    effects = np.zeros((spectrum.n_players, spectrum.n_outputs or 1))
    if interactions.rest is not None:
        effects += as_columns(interactions.rest[1:2])
    singles = interactions.orders == 1
    effects[interactions.members[singles, 0]] = as_columns(interactions.values)[singles]
    return effects


def certain_sets(
    explanation: Explanation, point: int | None, index: IndexName | str, order: int
) -> set[Players]:
    """Return the sets whose value is a finding at a test point; without one, at some of them.

    The intervals of several points do not determine those of their mean.
    """
    interactions = explanation.spectrum.to(index, order=order)
    findings = explanation.verdict.findings(interactions)
    if point is not None and findings.ndim == 2:
        findings = findings[:, [point]]
    sure = in_some_output(findings)
    return {members for members, one in zip(interactions.sets, sure, strict=True) if one}


def at_point(spectrum: Spectrum, point: int | None) -> Spectrum:
    """Return the spectrum of one output, or of the mean over all outputs.

    Raises:
        ValueError: there is no such output.
    """
    return spectrum.mean_output() if point is None else spectrum.output(point)


def point_name(description: Json, point: int) -> str:
    """The name of a test point, or its number if the game does not name it."""
    names: Sequence[str] = description.get("test_points", ())
    return names[point] if 0 <= point < len(names) else str(point)


def classes_of(description: Json) -> list[str | None]:
    """Return the tag or class of each player's rows; ``None`` if there are several or none."""
    if "tags" in description:
        return list(description["tags"])
    result: list[str | None] = []
    for counts in description["rows_by_class"]:
        present = [number for number, count in enumerate(counts) if count]
        result.append(description["classes"][present[0]] if len(present) == 1 else None)
    return result


def rounding_of(spectrum: Spectrum) -> float:
    """Return the size up to which values of a spectrum's indices are taken for rounding."""
    sizes, is_mean = np.abs(as_columns(spectrum.coefficients)), spectrum.orders == 0
    return _ROUNDING * float(sizes[~is_mean].max(initial=0.0)) + 64 * EPSILON * float(
        sizes[is_mean].max(initial=0.0)
    )
