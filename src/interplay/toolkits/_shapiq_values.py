"""Explanations and interactions as ``shapiq.InteractionValues``, and back.

``InteractionValues`` have no place for players' names, which shapiq's plots take as
``feature_names=explanation.players``, nor for intervals and the faithfulness: whether values may be
used is said by the explanation.

The empty set has a value of its own in shapiq, by a rule for each index:

============================ =======================================================================
SV, k-SII, STII, FSII        the value of the empty input
Moebius, Co-Moebius          likewise
SII, BII, Fourier            the index of the empty set: a mean of the game over masks
BV, FBII                     the constant of the best fit by sets up to the order, as shapiq's
                             ``RegressionFBII`` has; its ``ExactComputer("BV")`` has the mean
============================ =======================================================================

shapiq names an index of order 1 after what it is then: SII, k-SII, STII and FSII are ``"SV"``, BII
and FBII ``"BV"``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import chain, combinations
from math import comb

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns
from interplay._types import Players
from interplay.errors import MissingDependencyError
from interplay.explanation.explanation import Explanation
from interplay.extensions import INDICES, IndexName
from interplay.fourier.indices import get_index
from interplay.fourier.interactions import Interactions, names_of
from interplay.toolkits._tokens import is_exact

try:
    if tuple(map(int, version("shapiq").split(".")[:2])) < (1, 8):
        raise ImportError("this shapiq is older than 1.8")
    import shapiq
except ImportError as error:
    raise MissingDependencyError("shapiq>=1.8", "shapiq", "interplay.toolkits.shapiq") from error

Approximator = shapiq.approximator.Approximator
_OF_BASELINE = ("Moebius", "k-SII", "STII", "FSII")
"""The indices whose empty set has the value of the empty input."""
MOST_SETS = 1_000_000
"""The most sets that are written out where sets that are not listed have a value too."""


class Outputs(shapiq.InteractionValuesBatch):
    """``InteractionValues`` of several outputs: a ``shapiq.InteractionValuesBatch``.

    Unlike its base class it keeps the baseline, the value of the empty set, and whether values are
    estimated, of each output.

    Attributes:
        values: by set, the empty one left out, an array of one value for each output, ``(k,)``.
        baseline_value: the values of the empty input, ``(k,)``.
    """

    def __init__(self, outputs: Sequence[shapiq.InteractionValues]) -> None:
        self._outputs = tuple(outputs)
        columns = [part.interactions for part in self._outputs]
        first = self._outputs[0]
        super().__init__(
            {
                players: np.array([column[players] for column in columns])
                for players in columns[0]
                if players
            },
            n_instances=len(self._outputs),
            n_players=first.n_players,
            index=first.index,
            max_order=first.max_order,
            min_order=first.min_order,
            baseline_value=np.array([part.baseline_value for part in self._outputs]),
        )

    def _materialize(self, row: int) -> shapiq.InteractionValues:
        return self._outputs[row]


def to_shapiq(
    explanation: Explanation,
    index: IndexName | str | None = None,
    order: int | None = None,
    *,
    min_order: int = 0,
) -> shapiq.InteractionValues | Outputs:
    """Make ``shapiq.InteractionValues`` of an explanation.

    Example:
        >>> import interplay as ip
        >>> def f(masks):
        ...     return 1.0 + masks[:, 0] * (2.0 - masks[:, 1])
        >>> explanation = ip.explain(ip.FunctionGame(f, n_players=2))
        >>> values = explanation.to_shapiq("k-SII", order=2)
        >>> values[(0, 1)], values.baseline_value, values.estimated
        (-1.0, 1.0, False)

    Args:
        explanation: it.
        index: as for ``explanation.interactions``.
        order: likewise.
        min_order: the smallest number of players of a set; 0 has the empty set too.

    Returns:
        The values, with the value of the empty input as ``baseline_value``, the number of distinct
        evaluations as ``estimation_budget``, and ``estimated=False`` where all masks were
        evaluated. :class:`Outputs` for k outputs.

    Raises:
        ValueError: as for ``explanation.interactions``.
    """
    chosen = explanation.interactions(index, order=order)
    spectrum = explanation.spectrum
    baseline = explanation.baseline
    if baseline is None:  # a game without a value at the empty input
        baseline = spectrum.predict(np.zeros(spectrum.n_players, dtype=np.bool_))
    return interaction_values(
        chosen,
        baseline,
        empty=spectrum.to("FBII", order=1)[()] if chosen.index == "BV" else None,
        estimated=not is_exact(explanation),
        budget=explanation.provenance["budget"]["spent"],
        min_order=min_order,
    )


def interaction_values(
    interactions: Interactions,
    baseline: npt.ArrayLike | None = None,
    *,
    empty: npt.ArrayLike | None = None,
    estimated: bool = True,
    budget: int | None = None,
    min_order: int | None = None,
) -> shapiq.InteractionValues | Outputs:
    """Make ``shapiq.InteractionValues`` of interactions.

    All values stay as they are, to the bit, but for that of the empty set, which follows shapiq's
    rule (see :mod:`interplay.toolkits.shapiq`).

    Sets that are not listed but have a value, that of their size (``interactions.rest``), are
    written out, if they are at most :data:`MOST_SETS`.

    Args:
        interactions: under any index of :data:`interplay.INDICES`.
        baseline: the value of the empty input, or one for each output, ``(k,)``. ``None``: that of
            the empty set where the index gives it this value and lists it, else 0.
        empty: the value of the empty set if the interactions have none, as those of ``"SV"`` and
            ``"BV"``. ``None``: the baseline.
        estimated: whether the values are estimates.
        budget: the evaluations that they took.
        min_order: the smallest number of players of a set. ``None``: that of the smallest set.

    Returns:
        The values; :class:`Outputs` for k outputs.

    Warns:
        UserWarning: there are more sets with a value than :data:`MOST_SETS`. Only those listed have
            it.
    """
    sets = _all_sets(interactions)
    least = min(map(len, sets), default=0) if min_order is None else min_order
    sets = [players for players in sets if len(players) >= least]
    columns = as_columns(interactions.values)
    n_outputs = columns.shape[1]
    if baseline is None:
        of_empty_set = interactions.index in _OF_BASELINE and () in interactions
        baseline = interactions[()] if of_empty_set else 0.0
    baselines = np.broadcast_to(np.asarray(baseline, dtype=np.float64), (n_outputs,))
    constants = baselines if empty is None else np.broadcast_to(np.asarray(empty), (n_outputs,))
    outputs = []
    for column in range(n_outputs):
        part = interactions.output(column)
        entries: dict[Players, float] = {(): float(constants[column])} if least == 0 else {}
        entries |= {players: float(part[players]) for players in sets}
        # target_index is left to be the index itself: with SII as the index and k-SII as the target
        # these values would be aggregated a second time
        outputs.append(
            shapiq.InteractionValues(
                entries,
                index=interactions.index,
                max_order=interactions.order,
                min_order=least,
                n_players=interactions.n_players,
                estimated=estimated,
                estimation_budget=budget,
                baseline_value=float(baselines[column]),
            )
        )
    return outputs[0] if interactions.values.ndim == 1 else Outputs(outputs)


def _all_sets(interactions: Interactions) -> list[Players]:
    """The sets that have a value: those listed, and those that ``rest`` gives one."""
    if interactions.rest is None:
        return interactions.sets
    n, order = interactions.n_players, min(interactions.order, interactions.n_players)
    sizes = range(1 if get_index(interactions.index).single else 0, order + 1)
    count = sum(comb(n, size) for size in sizes)
    if count > MOST_SETS:
        warnings.warn(
            f"{count:,} sets of up to {order} of {n} players have a value under "
            f"{interactions.index}, of which the {len(interactions):,} listed are converted; the "
            f"others are up to {np.abs(interactions.rest[1:]).max():.3g} each and become zero. Ask "
            "for a smaller order to have all.",
            stacklevel=3,
        )
        return interactions.sets
    return list(chain.from_iterable(combinations(range(n), size) for size in sizes))


def interactions(
    values: shapiq.InteractionValues | Sequence[shapiq.InteractionValues],
    players: Sequence[str] | None = None,
) -> Interactions:
    """Make interactions of ``shapiq.InteractionValues``, of whatever estimator. Exact.

    A value of the empty set under ``"SV"`` or ``"BV"`` is left out: it is that of no player.

    Args:
        values: the values, or those of k outputs of one game, such as a batch.
        players: names for the players. By default they are numbered.

    Raises:
        ValueError: the outputs have different players, indices or orders, there are none, or the
            names are not as many as the players.
    """
    outputs = [values] if isinstance(values, shapiq.InteractionValues) else list(values)
    kinds = {(part.n_players, part.index, part.max_order) for part in outputs}
    if len(kinds) != 1:
        raise ValueError(
            f"values of {len(kinds)} different (players, index, order) came: {sorted(kinds)}; give "
            "those of one game under one index"
        )
    ((n_players, index, order),) = kinds
    entries = [_by_set(part.interactions) for part in outputs]
    listed = set(chain.from_iterable(entries))
    if index in INDICES and get_index(index).single:
        listed.discard(())
    sets = sorted(listed, key=lambda players: (len(players), players))
    width = max(map(len, sets), default=0)
    members = np.full((len(sets), width), n_players, dtype=np.int32)
    for row, chosen in enumerate(sets):
        members[row, : len(chosen)] = chosen
    columns = np.array([[part.get(chosen, 0.0) for part in entries] for chosen in sets])
    columns = columns.reshape(len(sets), len(entries))
    return Interactions(
        index,
        int(order),
        int(n_players),
        members,
        columns[:, 0] if isinstance(values, shapiq.InteractionValues) else columns,
        names_of(players, n_players),
    )


def _by_set(entries: Mapping[Iterable[int], float]) -> dict[Players, float]:
    return {tuple(sorted(map(int, players))): float(value) for players, value in entries.items()}
