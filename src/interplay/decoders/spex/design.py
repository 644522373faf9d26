r"""The masks that SPEX asks for: coded groups, and uniform masks with what is left of the budget.

Group c asks for the masks

.. math:: m = M_c l + d + p_c, \qquad l \in F_2^{b_c}

for every delay d (SPEX, arXiv 2502.13870). The delays are the zero row and the p rows of the parity
part of a BCH code. The random offset p_c is not in the paper. Without it every group would ask for
the p + 1 delays themselves (l = 0) again. It multiplies what a set S contributes to a bin by
(-1)^<p_c, 1_S>, which is known as soon as S is.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

import numpy as np

from interplay._arrays import pack, unpack
from interplay._types import BoolArray, ByteArray, IntArray
from interplay.decoders.spex.bch import BCH, bch_code
from interplay.fourier.masks import distinct, every_mask, uniform

MIN_BITS = 3
"""The smallest exponent b by default: 24 bins in all. With fewer hardly a bin holds one coefficient
alone.
"""
_UNITS = 3
"""Two unequal groups have 3, 4 or 5 times 2^b bins; 6 times 2^b are 3 times 2^(b+1)."""
_TABLE_BITS = 63
"""From so many players on, no budget pays for all 2^n masks."""


@dataclass(frozen=True)
class Plan:
    """What SPEX does with a budget.

    Attributes:
        n_players: n.
        budget: the most masks to evaluate; those held out for scoring are not among them.
        kind: ``"coded"``; or ``"exact"`` where the full table of 2^n masks is within the budget.
        t: the errors that the code corrects. Interactions of more than t players cannot be found.
        bits: the exponent b_c of each group c, which has 2^b_c bins.
        n_delays: p + 1, the masks for each bin.
        n_coded: the coded masks; equal ones are counted each time.
        n_extra: uniform masks for the refit. The design adds one for each coded mask that equals
            another.
    """

    n_players: int
    budget: int
    kind: str
    t: int
    bits: tuple[int, ...]
    n_delays: int
    n_coded: int
    n_extra: int

    @property
    def n_bins(self) -> int:
        """The bins of all groups: about how many coefficients can be told apart."""
        return sum(1 << b for b in self.bits)

    def __str__(self) -> str:
        head = f"SPEX plan for n={self.n_players} players, budget={self.budget:,} masks: "
        if self.kind == "exact":
            n_masks = 1 << self.n_players
            return (
                f"{head}exact transform. All 2^{self.n_players} = {n_masks:,} subsets are "
                f"evaluated, so nothing is decoded; {self.budget - n_masks:,} masks stay unused."
            )
        sizes = " + ".join(f"2^{b}" for b in self.bits)
        return (
            f"{head}coded masks.\n"
            f"  {len(self.bits)} groups of {sizes} = {self.n_bins:,} bins x {self.n_delays} delays "
            f"(BCH, t={self.t}: interactions of up to {self.t} players) = {self.n_coded:,} masks\n"
            f"  {self.n_extra:,} uniform masks for the refit, and one more for each coded mask "
            f"that falls together with another"
        )


@dataclass(frozen=True, eq=False)
class CodedDesign:
    """The masks of a plan, and which of them is which coded mask.

    Attributes:
        plan: the plan.
        masks: distinct, coded masks first, then uniform ones, ``(m, n)``.
        rows: for each group the rows of M_c l + d + p_c in ``masks``, ``(p + 1, 2^b_c)``; bit k of
            the column's number is l_k.
        hashes: row i of M_c, its bits as a number, for each group and player, ``(C, n)``. The bin
            of a set is the XOR of its players' numbers.
        delays: ``(p + 1, n)``; the first is zero.
        offsets: p_c, ``(C, n)``.
        n_coded: how many distinct coded masks there are: the first rows of ``masks``.
    """

    plan: Plan
    masks: BoolArray
    rows: tuple[IntArray, ...]
    hashes: IntArray
    delays: BoolArray
    offsets: BoolArray
    n_coded: int

    @property
    def kind(self) -> str:
        """``"coded"``; or ``"table"`` where the plan is exact."""
        return "coded" if self.plan.kind == "coded" else "table"

    @property
    def code(self) -> BCH:
        """The BCH code of the delays."""
        return bch_code(self.plan.n_players, self.plan.t)

    @property
    def folds(self) -> IntArray:
        """The label of each mask for cross-validation, ``(m,)``.

        Masks of the same label are left out together: those of one group and delay. An interaction
        that the fit lacks looks the same on all of them, up to the bin that it falls in. A mask
        that is left out alone would be predicted by the others of its label. Uniform masks are
        dealt out over the same labels.
        """
        n_delays = len(self.delays)
        labels = np.arange(len(self.masks), dtype=np.int64) % (n_delays * max(1, len(self.rows)))
        for c in range(len(self.rows) - 1, -1, -1):
            labels[self.rows[c]] = (c * n_delays + np.arange(n_delays))[:, None]
        return labels


def plan(
    n_players: int,
    budget: int,
    *,
    t: int = 5,
    n_groups: int | None = None,
    min_bits: int = MIN_BITS,
) -> Plan:
    """Choose the groups for a budget.

    The full table is taken where the budget allows it. Otherwise, by default, two groups share the
    bins: 2^(b+1) + 2^b, 2^(b+1) + 2^(b+1) or 2^(b+2) + 2^b, the most that the budget allows. The
    more bins a group has, the less noise there is in each. On noisy or dense functions two unequal
    groups therefore recover more than the paper's three equal ones for the same number of masks.
    With ``n_groups`` all groups get 2^b bins, for the largest b that the budget allows; then groups
    are doubled one by one while the budget lasts. ``n_groups=3`` is the paper's design. What is
    left goes to uniform masks for the refit.

    Args:
        n_players: n.
        budget: the most distinct masks to evaluate for the fit. The plan never exceeds it.
        t: the errors that the code corrects, and the largest order that can be found. A smaller t
            takes fewer masks.
        n_groups: C, for equal groups; ``None``: two unequal ones.
        min_bits: the smallest b allowed.

    Raises:
        ValueError: the budget is below the smallest design; or ``n_players``, ``t``, ``n_groups``
            or ``min_bits`` make no design.
    """
    n_players, budget = index(n_players), index(budget)
    if n_players < 1:
        raise ValueError(f"n_players={n_players} is not a number of players; use n_players >= 1")
    if n_groups is not None and n_groups < 2:
        raise ValueError(f"n_groups={n_groups} cannot be peeled; use n_groups >= 2")
    if min_bits < 1:
        raise ValueError(f"min_bits={min_bits} leaves one bin a group; use min_bits >= 1")
    n_delays = bch_code(n_players, t).n_parity + 1
    has_table = n_players < _TABLE_BITS
    if has_table and 1 << n_players <= budget:
        return Plan(n_players, budget, "exact", t, (), n_delays, 0, 0)
    units = _UNITS if n_groups is None else n_groups
    bits = min(min_bits, n_players)
    smallest = units * n_delays << bits
    if has_table and 1 << n_players <= smallest:
        raise ValueError(
            f"budget={budget} is below the {1 << n_players} masks of the full table, the fewest "
            f"that SPEX needs for n={n_players} players; use at least {1 << n_players}, or "
            'decoder="proxyspex"'
        )
    if budget < smallest:
        raise ValueError(
            f"budget={budget} is below the {smallest} masks that SPEX needs for n={n_players} "
            f'players at b={bits}, t={t}; use at least {smallest}, or decoder="proxyspex"'
        )
    while units * n_delays << (bits + 1) <= budget:
        bits += 1
    left = budget - (units * n_delays << bits)
    more = left // (n_delays << bits)  # units that it still pays for, fewer than `units`
    groups: tuple[int, ...]
    if n_groups is None:
        groups = ((bits + 1, bits), (bits + 1, bits + 1), (bits + 2, bits))[more]
    else:
        groups = tuple(bits + (c < more) for c in range(n_groups))
    n_coded = sum(n_delays << b for b in groups)
    return Plan(n_players, budget, "coded", t, groups, n_delays, n_coded, budget - n_coded)


def minimum_budget(n_players: int, *, t: int = 5) -> int:
    """Count the masks that SPEX needs at least: its smallest code, or the full table if smaller.

    Args:
        n_players: n.
        t: the errors that the code corrects, and the largest order that can be found.

    Raises:
        ValueError: ``n_players`` or ``t`` is below 1, or there are too many players for a code.
    """
    n_delays = bch_code(n_players, t).n_parity + 1
    smallest = _UNITS * n_delays << min(MIN_BITS, n_players)
    return min(smallest, 1 << n_players) if n_players < _TABLE_BITS else smallest


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

    Args:
        n_players: n.
        budget: the most distinct masks to evaluate for the fit.
        random_state: draws matrices, offsets and uniform masks; the same seed gives the same masks,
            ``None`` other ones each time.
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
    n_players = plan.n_players
    if plan.kind == "exact":
        masks, none = every_mask(n_players), np.zeros((0, n_players), dtype=np.bool_)
        return CodedDesign(plan, masks, (), none.astype(np.int64), none, none, 0)
    rng = np.random.default_rng(random_state)
    hashes = np.stack([_hashes(n_players, b, rng) for b in plan.bits])
    offsets = rng.integers(0, 2, size=(len(plan.bits), n_players), dtype=np.uint8).astype(np.bool_)
    code = bch_code(n_players, plan.t)
    delays = np.vstack([np.zeros((1, n_players), dtype=np.bool_), code.parity.T])
    packed = []
    for c, b in enumerate(plan.bits):
        moved = pack(delays ^ offsets[c])
        span = _span(hashes[c], b)
        packed.append((moved[:, None, :] ^ span[None, :, :]).reshape(-1, span.shape[1]))
    coded, inverse = distinct(unpack(np.concatenate(packed), n_players))
    rows, start = [], 0
    for b in plan.bits:
        size = plan.n_delays << b
        rows.append(inverse[start : start + size].reshape(plan.n_delays, 1 << b))
        start += size
    others = uniform(plan.budget - len(coded), n_players, rng, exclude=coded)
    masks = np.concatenate([coded, others])
    return CodedDesign(plan, masks, tuple(rows), hashes, delays, offsets, len(coded))


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
        if _rank(rows) == bits:
            return rows


def _rank(rows: IntArray) -> int:
    """Compute the rank over F_2 of rows given as numbers."""
    basis: list[int] = []
    for row in rows.tolist():
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
