"""Compare two games on the same masks: what changed, confirmed, and whether it matters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, FloatArray, Json, visible
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.audit.expectations import Expected, examined, is_unchanged
from interplay.audit.pair import Pair
from interplay.audit.wanted import (
    SHARE,
    Expectations,
    check_players,
    check_within,
    enough_masks,
    expectations_of,
)
from interplay.confirmation.changes import Equivalence
from interplay.confirmation.equivalence import equivalence_of
from interplay.designs.measures import AnyMeasure
from interplay.explanation.differences import Change, changes_of, outcome_of
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.explanation.verdict import told_from_zero
from interplay.extensions import BackendName, DecoderName, IndexName
from interplay.fourier.masks import describe
from interplay.game import Game, players_of

MASKS = 100
"""Fresh masks on which the values of both games are compared with the margin; more where a larger
share than 0.97 is asked for, which so few do not show."""
_SEED = 0x5AFE
"""The stream of these masks, beside those of the run."""
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of :func:`interplay.compare`.

    Attributes:
        explanation: of the :class:`~interplay.audit.pair.Pair`: the outputs of the first game,
            those of the second, and their differences. It has pages, files and audits as any.
        names: of the two games.
        equivalence: whether the values agree within a margin; ``None``: no margin was given.
        expected: what was expected of the second game, and what came of it.
        order: the largest number of players of a change, as it was asked for.
    """

    explanation: Explanation
    names: tuple[str, str]
    equivalence: Equivalence | None = None
    expected: tuple[Expected, ...] = ()
    order: int = 2

    @property
    def n_outputs(self) -> int:
        """The number of outputs of each game."""
        return self.explanation.sides[1]

    def changes(
        self, index: IndexName | str | None = None, *, order: int | None = None, output: int = 0
    ) -> tuple[Change, ...]:
        """The players and interactions whose difference can be told from zero, largest first.

        Each interval holds by itself. Of very many sets some look changed by chance: what counts
        is what is ``confirmed``.

        Args:
            index: the interaction index; by default the explanation's.
            order: the largest number of players in an interaction; by default as it was asked for.
            output: which of several outputs of each game.

        Raises:
            ValueError: the index is unknown, or there is no such output.
        """
        order = self.order if order is None else order
        interactions = self.explanation.interactions(index, order=order)
        return changes_of(self.explanation, interactions, output)

    @property
    def confirmed(self) -> tuple[Change, ...]:
        """The changes of the first output that fresh ablations confirm."""
        return tuple(change for change in self.changes() if change.confirmed)

    @property
    def summary(self) -> str:
        """What changed, in words."""
        lines = [outcome_of(self.explanation).reasons[0]]
        if self.equivalence is not None:
            lines.append(self.equivalence.summary)
        return " ".join(lines)

    def __str__(self) -> str:
        changes = self.changes()
        shown = [f"  {change}" for change in changes[:_SHOWN]]
        more = len(changes) - len(shown)
        rest = [f"  and {more} more that can be told from zero"] if more > 0 else []
        expected = [str(one) for one in self.expected]
        return visible("\n".join([self.summary, *shown, *rest, *expected]))

    def to_json(self) -> Json:
        """What changed, whether the values agree, and what was expected, as JSON."""
        equal = None if self.equivalence is None else self.equivalence.to_json()
        by_output = [self.changes(output=output) for output in range(self.n_outputs)]
        return {
            "names": list(self.names),
            "summary": self.summary,
            "changes": [[asdict(change) for change in changes] for changes in by_output],
            "equivalence": equal,
            "expected": [asdict(one) for one in self.expected],
        }


def compare(
    first: Game,
    second: Game,
    *,
    names: tuple[str, str] = ("first", "second"),
    budget: int | None = None,
    margin: float | None = None,
    share: float = SHARE,
    confirm: int = 5,
    expectations: Expectations | str | Path | None = None,
    order: int = 2,
    decoder: DecoderName | str = "auto",
    measure: AnyMeasure | None = None,
    random_state: int = 0,
    store: str | Path | None = None,
    stores: tuple[str | Path | None, str | Path | None] | None = None,
    backend: BackendName | str | Backend = "local",
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Ask the same masks of two games, and explain their difference as an output of its own.

    The games may be two models, two prompts or two ways of removing, of the same players. What one
    explanation has and another has not may be chance; here the difference has its own intervals,
    its strongest changes are tested by fresh ablations of both, and with a ``margin`` the values
    themselves are compared on fresh masks.

    Args:
        first: a game.
        second: another one, of the same players in the same order.
        names: what they are called.
        budget: ablations of each game, as for :func:`interplay.explain`.
        margin: the largest difference of the values that counts as none, in their unit. Choose it
            before you look. ``None``: no such test is made.
        share: the share of masks of the measure that must be within the margin, up to 0.999. 100
            fresh masks are asked, and more for a share above 0.97, which 100 cannot show.
        confirm: how many of the strongest changes of the first output are tested by fresh
            ablations, players and interactions alike; 0: none.
        expectations: what is expected of the second game, as for :func:`interplay.expect`; its
            ``unchanged`` has a margin and a share.
        order: the largest number of players of a change.
        decoder: as for :func:`interplay.explain`.
        measure: as there; by default that of the first game.
        random_state: as there.
        store: where the ablations of both are stored.
        stores: where the ablations of either game are, if these are other files: those of runs
            with the same budget and seed are used again.
        backend: as there.
        batch_size: as there.
        progress: as there.

    Raises:
        ValueError: the players differ, or an argument is out of range.
        GameError: a game failed; what was evaluated is in the store.
        StoreError: a store cannot be used.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.

    Example:
        >>> import interplay as ip
        >>> old = ip.FunctionGame(lambda masks: masks[:, 0] + masks[:, 1], n_players=8)
        >>> new = ip.FunctionGame(lambda masks: masks[:, 0] - 0.5 * masks[:, 1], n_players=8)
        >>> comparison = ip.compare(old, new, names=("old", "new"), margin=0.1)
        >>> print(comparison.changes()[0])
        1: +1 -> -0.5, reversed by -1.5 (-1.5 to -1.5), confirmed
        >>> comparison.equivalence.verdict
        'different'
    """
    if confirm < 0:
        raise ValueError(f"confirm={confirm} is below 0; give the number of changes to test")
    wanted: Expectations = {} if expectations is None else expectations_of(expectations)
    if "unchanged" in wanted:
        if margin is not None:
            raise ValueError("margin and unchanged in the expectations were both given; keep one")
        margin, share = wanted["unchanged"]["margin"], wanted["unchanged"].get("share", share)
    if margin is not None:
        check_within(margin, share, "compare")
    check_players(wanted, players_of(second))
    of_each = stores or (store, store)
    with (
        Evaluator.of(first, store=of_each[0], backend=backend, progress=False) as one,
        Evaluator.of(second, store=of_each[1], backend=backend, progress=False) as other,
    ):
        asked = _Counting(one, other)
        pair = Pair(first, second, names, (asked.first, other.values))
        explanation = explain(
            pair,
            budget=budget,
            decoder=decoder,
            measure=measure,
            random_state=random_state,
            store=store,
            batch_size=batch_size,
            progress=progress,
        )
        spent = explanation.provenance["budget"]
        entries = {
            "shown": {"index": explanation.index, "order": order},
            "budget": spent
            | {
                "evaluated": spent["evaluated"] - asked.n_known,
                "from_store": spent["from_store"] + asked.n_known,
            },
        }
        explanation = replace(explanation, provenance=explanation.provenance | entries)
        column = explanation.first_output or 0
        n_claims = min(confirm, _n_to_test(explanation, column))
        if n_claims:
            confirmation = explanation.confirm(
                n_claims,
                min_order=1,
                store=store,
                random_state=random_state,
                progress=progress,
            )
            explanation = replace(explanation, confirmation=confirmation)
        equal = None if margin is None else _within(pair, explanation, margin, share, random_state)
        expected = examined(explanation, wanted, other, explanation.sides[1], 0, random_state)
    if equal is not None:
        agreement = {
            "margin": float(equal.margin),
            "share": float(equal.share),
            "n_masks": len(equal.changes),
            "n_within": equal.n_within,
        }
        provenance = explanation.provenance | {"agreement": agreement}
        explanation = replace(explanation, provenance=provenance)
    if equal is not None and "unchanged" in wanted:
        expected = (*expected, is_unchanged(equal))
    return Comparison(replace(explanation, game=None), pair.names, equal, expected, order)


class _Counting:
    """Counts the masks whose values both games have in their stores.

    Args:
        one: of the first game, which is asked first.
        other: of the second.
    """

    def __init__(self, one: Evaluator, other: Evaluator) -> None:
        self._one, self._other, self.n_known = one, other, 0

    def first(self, masks: BoolArray) -> FloatArray:
        """The values of the first game."""
        self.n_known += int((self._one.known(masks) & self._other.known(masks)).sum())
        return self._one.values(masks)


def _n_to_test(explanation: Explanation, column: int) -> int:
    """How many differences can be told from zero by their own intervals.

    Fresh ablations say what they are worth, also where the score is too uncertain to trust them.
    """
    if not explanation.faithfulness.by_output[column] > 0.0:
        return 0
    interactions = explanation.interactions(order=explanation.shown_order).output(column).filter()
    return int(told_from_zero(interactions, (explanation.verdict.ranges[column],)).sum())


def _within(
    pair: Pair, explanation: Explanation, margin: float, share: float, random_state: int
) -> Equivalence:
    """Whether the first output of both agrees within a margin, on fresh masks of the measure."""
    rng = np.random.default_rng([_SEED, random_state])
    n_masks = max(MASKS, enough_masks(share))
    masks = explanation.measure.draw(n_masks, pair.n_players, rng)
    values = pair(masks)
    differences = values[:, explanation.first_output or 0]
    old, new = pair.names
    return equivalence_of(
        differences,
        margin=margin,
        share=share,
        player=f"{new} in the place of {old}",
        titles=[describe(mask) for mask in masks],
        unit="fresh masks",
    )
