r"""The masks that SPEX asks for: coded groups, each a beginning of a larger one.

Group c asks for the masks

.. math:: m = M_c l + d + p_c, \qquad l \in F_2^{b_c}

for every delay d (SPEX, arXiv 2502.13870). The delays are the zero row and the p rows of the parity
part of a BCH code. The random offset p_c is not in the paper. Without it every group would ask for
the p + 1 delays themselves (l = 0) again. It multiplies what a set S contributes to a bin by
(-1)^<p_c, 1_S>, which is known as soon as S is.

A group is doubled by a further column of M_c: the masks so far, and each of them shifted by that
column. The masks of all levels (see :mod:`.plan`) are therefore one sequence, and a design is a
beginning of it. Masks beyond the largest whole level serve the regression on all ablations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from interplay._arrays import pack, unpack
from interplay._types import BoolArray, ByteArray, IntArray
from interplay.decoders.spex.bch import BCH, bch_code
from interplay.decoders.spex.plan import MIN_BITS, Plan, levels, plan
from interplay.designs.base import all_but, joined
from interplay.fourier.masks import every_mask

CODED = "coded"


@dataclass(frozen=True, eq=False)
class CodedDesign:
    """The masks of a plan, and which of them is which coded mask.

    Attributes:
        plan: the plan.
        masks: distinct, ``(m, n)``.
        rows: for each group the rows of M_c l + d + p_c in ``masks``, ``(p + 1, 2^b_c)``; bit k of
            the column's number is l_k.
        hashes: row i of M_c, its bits as a number, for each group and player, ``(C, n)``. The bin
            of a set is the XOR of its players' numbers.
        delays: ``(p + 1, n)``; the first is zero.
        offsets: p_c, ``(C, n)``.
        representative: ``(m,)``; all where there are no others (see
            :class:`interplay.designs.base.Design`).
        kind: ``"coded"``; ``"table"`` where the plan is exact; or the kind of a design that the
            coded masks are a part of.
    """

    plan: Plan
    masks: BoolArray
    rows: tuple[IntArray, ...]
    hashes: IntArray
    delays: BoolArray
    offsets: BoolArray
    representative: BoolArray
    kind: str = CODED

    @property
    def code(self) -> BCH:
        """The BCH code of the delays."""
        return bch_code(self.plan.n_players, self.plan.t)

    @property
    def is_coded(self) -> BoolArray:
        """Which masks the bins are made of, ``(m,)``."""
        chosen = np.zeros(len(self.masks), dtype=np.bool_)
        for rows in self.rows:
            chosen[rows] = True
        return chosen

    def without(self, rows: IntArray) -> CodedDesign:
        """See :class:`interplay.designs.base.Design`."""
        keep = all_but(rows, len(self.masks))
        assert keep[self.is_coded].all(), "a code needs all of its masks"
        place = np.cumsum(keep) - 1
        return replace(
            self,
            masks=self.masks[keep],
            rows=tuple(place[coded] for coded in self.rows),
            representative=self.representative[keep],
        )

    def with_more(self, masks: BoolArray) -> CodedDesign:
        """See :class:`interplay.designs.base.Design`."""
        together, representative = joined(self, masks)
        return replace(self, masks=together, representative=representative)

    @property
    def n_coded(self) -> int:
        """How many distinct coded masks there are."""
        return int(self.is_coded.sum())

    @property
    def folds(self) -> IntArray:
        """The label of each mask for cross-validation, ``(m,)``.

        Masks of the same label are left out together: those of one group and delay. An interaction
        that the fit lacks looks the same on all of them, up to the bin that it falls in. A mask
        that is left out alone would be predicted by the others of its label. Other masks are dealt
        out over the same labels.
        """
        n_delays = len(self.delays)
        labels = np.arange(len(self.masks), dtype=np.int64) % (n_delays * max(1, len(self.rows)))
        for c in range(len(self.rows) - 1, -1, -1):
            labels[self.rows[c]] = (c * n_delays + np.arange(n_delays))[:, None]
        return labels


def design(
    n_players: int,
    budget: int,
    *,
    random_state: int | np.random.SeedSequence | np.random.Generator | None = None,
    t: int = 5,
    n_groups: int | None = None,
    min_bits: int = MIN_BITS,
) -> CodedDesign:
    """Draw the masks of ``plan(n_players, budget)``.

    For the same seed a larger design starts with the smaller one, but for the full table, which has
    all masks in the order of their numbers.

    Args:
        n_players: n.
        budget: the most distinct masks to evaluate for the fit.
        random_state: draws matrices, offsets and the order of the masks; the same seed gives the
            same masks, ``None`` other ones each time.
        t: the errors that the code corrects (see :func:`plan`).
        n_groups: for equal groups (see :func:`plan`).
        min_bits: the smallest b allowed (see :func:`plan`).

    Returns:
        The design, of at most ``budget`` masks.

    Raises:
        ValueError: there is no such plan (see :func:`plan`).
    """
    chosen = plan(n_players, budget, t=t, n_groups=n_groups, min_bits=min_bits)
    return draw(chosen, random_state=random_state)


def draw(
    plan: Plan, *, random_state: int | np.random.SeedSequence | np.random.Generator | None = None
) -> CodedDesign:
    """Draw the masks of a plan (see :func:`design`)."""
    n_players, budget = plan.n_players, plan.budget
    if plan.kind == "exact":
        masks, none = every_mask(n_players), np.zeros((0, n_players), dtype=np.bool_)
        return CodedDesign(
            plan,
            masks,
            (),
            none.astype(np.int64),
            none,
            none,
            np.ones(len(masks), dtype=np.bool_),
            "table",
        )
    seed = int(np.random.default_rng(random_state).integers(1 << 63))
    n_masks = budget
    while True:  # equal masks count once, so there may have to be more
        sequence = CodedMasks.draw(n_players, plan.t, plan.start, n_masks, seed)
        packed, place = first_appearances(sequence.packed)
        if len(packed) >= budget or len(sequence.packed) < n_masks:
            break
        n_masks += budget
    return sequence.design(plan, unpack(packed[:budget], n_players), place)


def first_appearances(packed: ByteArray) -> tuple[ByteArray, IntArray]:
    """Find the distinct rows in order of first appearance, and the place of each row in them."""
    row = np.dtype((np.void, packed.shape[1]))
    keys = np.ascontiguousarray(packed).view(row).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return packed[first[order]], rank[inverse.reshape(-1)]


@dataclass(frozen=True, eq=False)
class CodedMasks:
    """The first masks of the sequence of all levels; equal ones are in it each time.

    Attributes:
        packed: the masks, ``(q, ceil(n / 8))``: level after level, each in random order.
        places: where in the sequence M_c l + d + p_c stands, for each group ``(p + 1, 2^b)``; bit k
            of the column's number is l_k.
        hashes: row i of M_c as a number, ``(C, n)``.
        delays: ``(p + 1, n)``.
        offsets: ``(C, n)``.
    """

    packed: ByteArray
    places: tuple[IntArray, ...]
    hashes: IntArray
    delays: BoolArray
    offsets: BoolArray

    @classmethod
    def draw(
        cls, n_players: int, t: int, start: tuple[int, ...], n_masks: int, seed: int
    ) -> CodedMasks:
        """Draw whole levels until there are at least so many masks, or no larger level exists.

        Args:
            n_players: n.
            t: the errors that the code corrects.
            start: the exponents of the first level.
            n_masks: how many masks there are to be.
            seed: draws the sequence.
        """
        code = bch_code(n_players, t)
        delays = np.vstack([np.zeros((1, n_players), dtype=np.bool_), code.parity.T])
        order, *rngs = np.random.default_rng(seed).spawn(1 + len(start))
        hashes = np.stack([_hashes(n_players, b, rng) for b, rng in zip(start, rngs, strict=True)])
        offsets = np.stack(
            [rng.integers(0, 2, size=n_players, dtype=np.uint8).astype(np.bool_) for rng in rngs]
        )
        groups = []
        for c, b in enumerate(start):
            moved = pack(delays ^ offsets[c])
            groups.append(moved[:, None, :] ^ _span(hashes[c], b)[None, :, :])
        first = np.concatenate([group.reshape(-1, group.shape[2]) for group in groups])
        places: list[IntArray] = [np.empty(0, dtype=np.int64)] * len(groups)
        shuffled, place = _shuffled(first, 0, order)
        sequence, size = [shuffled], 0
        for c, group in enumerate(groups):
            n_own = group.shape[0] * group.shape[1]
            places[c] = place[size : size + n_own].reshape(group.shape[:2])
            size += n_own
        for before, after in pairwise(levels(start, n_players)):
            if size >= n_masks:
                break
            c = next(c for c, (old, new) in enumerate(zip(before, after, strict=True)) if old < new)
            column = _column(hashes[c], before[c], rngs[c])
            hashes[c] |= column.astype(np.int64) << before[c]
            doubled = groups[c] ^ pack(column[None, :])
            shuffled, place = _shuffled(doubled.reshape(-1, doubled.shape[2]), size, order)
            sequence.append(shuffled)
            groups[c] = np.concatenate([groups[c], doubled], axis=1)
            places[c] = np.concatenate([places[c], place.reshape(doubled.shape[:2])], axis=1)
            size += len(shuffled)
        return cls(np.concatenate(sequence), tuple(places), hashes, delays, offsets)

    def is_whole(self, bits: tuple[int, ...], place: IntArray, n_masks: int) -> bool:
        """Whether all masks of a level were drawn, and are among the first ones of a design.

        Args:
            bits: the exponents of the level.
            place: where in the design each mask of the sequence stands, ``(q,)``.
            n_masks: of the design.
        """
        return all(
            places.shape[1] >= 1 << b and bool((place[places[:, : 1 << b]] < n_masks).all())
            for places, b in zip(self.places, bits, strict=True)
        )

    def design(
        self,
        plan: Plan,
        masks: BoolArray,
        place: IntArray,
        representative: BoolArray | None = None,
        kind: str = CODED,
    ) -> CodedDesign:
        """Make the design of a plan.

        Args:
            plan: its level must be whole.
            masks: of the design, ``(m, n)``.
            place: where in ``masks`` each mask of the sequence stands, ``(q,)``.
            representative: which of ``masks`` are, ``(m,)``; ``None``: all.
            kind: of the design.
        """
        if representative is None:
            representative = np.ones(len(masks), dtype=np.bool_)
        rows = tuple(
            place[places[:, : 1 << b]] for places, b in zip(self.places, plan.bits, strict=True)
        )
        numbers = np.array([(1 << b) - 1 for b in plan.bits], dtype=np.int64)
        return CodedDesign(
            plan,
            masks,
            rows,
            self.hashes & numbers[:, None],
            self.delays,
            self.offsets,
            representative,
            kind,
        )


def _shuffled(
    packed: ByteArray, start: int, rng: np.random.Generator
) -> tuple[ByteArray, IntArray]:
    """Put masks in random order; and say where each stands in a sequence of ``start`` others."""
    order = rng.permutation(len(packed))
    place = np.empty(len(packed), dtype=np.int64)
    place[order] = start + np.arange(len(packed))
    return packed[order], place


def _hashes(n_players: int, bits: int, rng: np.random.Generator) -> IntArray:
    """Draw a matrix in F_2^(n x b) of rank b, each row as a number, ``(n,)``.

    No row is zero: every player changes the bin. Values come equally often, so that single players
    fall in different bins as far as there are enough.
    """
    size = (1 << bits) - 1
    times = -(-n_players // size)
    while True:
        values = np.concatenate([rng.permutation(size) + 1 for _ in range(times)])
        rows = values[:n_players].astype(np.int64)
        if _rank(rows.tolist()) == bits:
            return rows


def _column(hashes: IntArray, bits: int, rng: np.random.Generator) -> BoolArray:
    """Draw a further column of a matrix of rank b, ``(n,)``: its rank grows.

    Of the players that share a bin, half change it.
    """
    while True:
        shuffled = rng.permutation(len(hashes))
        shuffled = shuffled[np.argsort(hashes[shuffled], kind="stable")]
        _, start, counts = np.unique(hashes[shuffled], return_index=True, return_counts=True)
        number = np.arange(len(hashes)) - np.repeat(start, counts)
        first = rng.integers(0, 2, size=len(counts))
        column = np.zeros(len(hashes), dtype=np.bool_)
        column[shuffled] = (number + np.repeat(first, counts)) & 1 == 1
        rows = hashes | column.astype(np.int64) << bits
        if _rank(rows.tolist()) == bits + 1:
            return column


def _rank(rows: Sequence[int]) -> int:
    """Compute the rank over F_2 of rows given as numbers."""
    basis: list[int] = []
    for row in rows:
        for value in basis:
            row = min(row, row ^ value)
        if row:
            basis.append(row)
    return len(basis)


def _span(hashes: IntArray, bits: int) -> ByteArray:
    """Compute M l for all l in F_2^b, packed, ``(2^b, ceil(n / 8))``; each bit of l doubles it."""
    columns = ((hashes[None, :] >> np.arange(bits)[:, None]) & 1).astype(np.bool_)
    packed = pack(columns)
    span = np.zeros((1 << bits, packed.shape[1]), dtype=np.uint8)
    for k in range(bits):
        span[1 << k : 2 << k] = span[: 1 << k] ^ packed[k]
    return span
