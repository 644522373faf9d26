r"""Circuits judged as the field judges them: faithfulness at each size, and its areas.

A circuit C is the set of players that are kept. With m the mean of a score over items, the
faithfulness of C is

.. math:: f(C) = \frac{m(C) - m(\emptyset)}{m(\text{all}) - m(\emptyset)} .

MIB (Mueller et al. 2025, arXiv 2504.13151) takes circuits at the fractions x of
:data:`FRACTIONS`, each of at most :math:`\lfloor x n \rfloor` of the n nodes, and two areas, both
by the trapezoid rule over x:

- **CPR** (integrated circuit performance ratio), the area under f: large if few players reach a
  large score. Players are ranked by their signed effects. It exceeds 1 where circuits score more
  than the whole model.
- **CMD** (integrated circuit-model distance), the area under :math:`|1 - f|`: small if few players
  score as the whole model does. Players are ranked by the size of their effects.

What differs from MIB's nodes: the nodes are the game's players (MIB: the embedding, all heads, all
MLPs; here what is no player always stays); what replaces a removed one is the game's own ablation
(MIB: what it adds in a counterfactual prompt); and m is the game's score, of which "margin" is
MIB's difference of logits where answers are single tokens and an item has one wrong answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's sizes of circuits, as shares of the players."""


@dataclass(frozen=True, eq=False)
class Circuits:
    """What a method proposes: a circuit for each fraction. They need not be nested.

    Attributes:
        best: circuits meant to score much, judged by CPR, ``(fractions, n) bool``.
        faithful: circuits meant to score as the whole model does, judged by CMD, likewise.
        cost: what they took, in ablations; see :class:`Ranking`.
    """

    best: BoolArray
    faithful: BoolArray
    cost: float = 0.0


@dataclass(frozen=True, eq=False)
class Ranking:
    """A method's scores of the players: a circuit of k players is the k of the largest scores.

    Attributes:
        scores: ``(n,)``, larger for players to keep.
        cost: what the scores took, in ablations: forward passes over all items of the game. A
            backward pass counts as two.
        is_effect: whether 0 means no effect, and below 0 that the player hurts. Circuits meant to
            be faithful then go by the scores' size, as MIB's do.

    Raises:
        ValueError: the scores are not ``(n,)`` finite numbers.
    """

    scores: FloatArray
    cost: float
    is_effect: bool = True

    def __post_init__(self) -> None:
        """Refuse scores that rank nothing."""
        scores = np.asarray(self.scores)
        if scores.ndim != 1 or not np.isfinite(scores).all():
            raise ValueError(
                f"scores of shape {scores.shape} hold {(~np.isfinite(scores)).sum()} that are not "
                "finite; give a finite number for each player, (n,)"
            )

    def circuits(self, fractions: Sequence[float] = FRACTIONS) -> Circuits:
        """Cut the ranking at each fraction; of equal scores the earlier player comes first."""
        by_size = np.abs(self.scores) if self.is_effect else self.scores
        sizes = sizes_of(fractions, len(self.scores))
        return Circuits(largest(self.scores, sizes), largest(by_size, sizes), self.cost)


def sizes_of(fractions: Sequence[float], n_players: int) -> IntArray:
    """The most players of a circuit at each fraction: the whole part of the fraction of n.

    Raises:
        ValueError: the fractions are not ascending in (0, 1], or fewer than two.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or len(shares) < 2 or shares[0] <= 0 or shares[-1] > 1:
        raise ValueError(f"fractions={fractions} are not two or more shares in (0, 1]")
    if (np.diff(shares) <= 0).any():
        raise ValueError(f"fractions={fractions} are not ascending; sort them, each once")
    # 0.29 * 100 is below 29 by rounding
    return np.floor(shares * n_players + 1e-9).astype(np.int64)


def largest(scores: FloatArray, sizes: Sequence[int] | IntArray) -> BoolArray:
    """The players of the largest scores, for each size: ``(sizes, n)``."""
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return np.asarray(ranks < np.asarray(sizes)[:, None])


def area(values: FloatArray, fractions: Sequence[float]) -> FloatArray:
    """The area under values at fractions, ``(..., fractions)``, by the trapezoid rule."""
    return np.asarray(values @ trapezoid_weights(fractions))


def trapezoid_weights(fractions: Sequence[float]) -> FloatArray:
    """What the value at each fraction counts in the area, ``(fractions,)``."""
    widths = np.diff(np.asarray(fractions, dtype=np.float64))
    return np.asarray((np.append(widths, 0.0) + np.append(0.0, widths)) / 2)


def at_fractions(
    circuits: Mapping[int, BoolArray], fractions: Sequence[float], n_players: int
) -> BoolArray:
    """The circuit for each fraction: of its size, or the next smaller one that there is."""
    known = {0: np.zeros(n_players, dtype=np.bool_), **circuits}
    known[n_players] = np.ones(n_players, dtype=np.bool_)
    sizes = sizes_of(fractions, n_players).tolist()
    return np.stack([known[max(size for size in known if size <= most)] for most in sizes])


def partial_sizes(fractions: Sequence[float], n_players: int) -> tuple[list[int], FloatArray]:
    """The distinct sizes that leave some players out but not all, and what they count in the area.

    Returns:
        The sizes, ascending, and their shares, which add up to 1.
    """
    sizes, weights = sizes_of(fractions, n_players), trapezoid_weights(fractions)
    parts = [size for size in np.unique(sizes).tolist() if 0 < size < n_players]
    if not parts:
        raise ValueError(
            f"none of fractions={tuple(fractions)} is a part of {n_players} players; give others"
        )
    counts = np.array([weights[sizes == size].sum() for size in parts])
    return parts, counts / counts.sum()
