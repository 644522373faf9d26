"""Which masks SPEX asks for: coded groups, and uniform masks with what is left of the budget.

Group c asks for M_c l + d over all l in F_2^b and all delays d (SPEX, arXiv 2502.13870, section 4).
The delays are the zero row and the p rows of the parity part of a BCH code, here moved by one
random offset a group: without it every group would ask for the p + 1 bare delays again. The offset
multiplies what a support S contributes by (-1)^<offset, 1_S>, which is known as soon as S is.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

import numpy as np

from interplay._arrays import pack, unpack
from interplay._types import ByteArray
from interplay.decoders.spex.bch import BCH, Bits, Ints, bch_code
from interplay.fourier.masks import distinct, every_mask, uniform

MIN_BITS = 3  # 24 bins in all; with fewer hardly a bin holds one coefficient alone


@dataclass(frozen=True)
class Plan:
    """What SPEX will do with a budget.

    Attributes:
        n: players.
        budget: masks that may be evaluated, those held out for scoring not counted.
        kind: "coded", or "exact" where the full table of 2^n masks fits the budget.
        t: errors that the code corrects; interactions of more than t players cannot be found.
        bits: for each group c the exponent b_c: the group has 2^b_c bins.
        n_delays: p + 1, masks for each bin.
        n_coded: coded masks, counted with those that may fall together.
        n_extra: uniform masks for the refit; the design adds one for each coded mask that fell
            together.
    """

    n: int
    budget: int
    kind: str
    t: int
    bits: tuple[int, ...]
    n_delays: int
    n_coded: int
    n_extra: int

    @property
    def n_bins(self) -> int:
        """Bins of all groups together: about how many coefficients can be told apart."""
        return sum(1 << b for b in self.bits)

    def __str__(self) -> str:
        head = f"SPEX plan for n={self.n} players, budget={self.budget:,} masks: "
        if self.kind == "exact":
            return (
                f"{head}exact transform. All 2^{self.n} = {1 << self.n:,} subsets are evaluated, "
                f"so nothing is decoded; {self.budget - (1 << self.n):,} masks stay unused."
            )
        sizes = " + ".join(f"2^{b}" for b in self.bits)
        return (
            f"{head}coded masks.\n"
            f"  {len(self.bits)} groups of {sizes} = {self.n_bins:,} bins x {self.n_delays} delays "
            f"(BCH, t={self.t}: interactions of up to {self.t} players) = {self.n_coded:,} masks\n"
            f"  {self.n_extra:,} uniform masks for the refit, and one more for each coded mask "
            f"that falls together with another"
        )


def plan(
    n: int, budget: int, *, t: int = 5, n_groups: int | None = None, min_bits: int = MIN_BITS
) -> Plan:
    """Chooses the groups for a budget.

    The full table is used where it fits. Otherwise, by default, two groups of unequal size share
    the bins (2^(b+1) + 2^b, or 2^(b+1) + 2^(b+1), or 2^(b+2) + 2^b, whichever is the most that can
    be paid): a bin's noise falls with its group's size, so that on noisy or dense functions this
    recovers more than the paper's three equal groups at the same number of masks. With ``n_groups``
    given, all groups get the same 2^b and while another 2^b bins can be paid for, one of them
    doubles; 3 is the paper's design. What is left goes to uniform masks for the refit.

    Args:
        n: players, at least 1.
        budget: distinct masks that may be evaluated for the fit.
        t: errors that the code corrects, the largest order that can be found. Fewer cost less.
        n_groups: equal groups C, at least 2; None: the two unequal ones.
        min_bits: smallest b allowed.

    Returns:
        The plan. It never spends more than the budget.

    Raises:
        ValueError: the budget is below the smallest design, or n, t, n_groups make no design.
    """
    n, budget = index(n), index(budget)
    if n < 1:
        raise ValueError(f"n={n} is not a number of players; use n >= 1.")
    if n_groups is not None and n_groups < 2:
        raise ValueError(f"n_groups={n_groups} cannot be peeled; use n_groups >= 2.")
    if min_bits < 1:
        raise ValueError(f"min_bits={min_bits} leaves one bin a group; use min_bits >= 1.")
    n_delays = bch_code(n, t).n_parity + 1
    if n < 63 and 1 << n <= budget:
        return Plan(n, budget, "exact", t, (), n_delays, 0, 0)
    units = 3 if n_groups is None else n_groups  # bins are bought in units x 2^b
    bits = min(min_bits, n)
    smallest = units * n_delays << bits
    if n < 63 and 1 << n <= smallest:
        raise ValueError(
            f"budget={budget} is below the {1 << n} masks of the full table, which for n={n} "
            f"players is the least that SPEX needs; use at least {1 << n}, or "
            f'decoder="proxyspex".'
        )
    if budget < smallest:
        raise ValueError(
            f"budget={budget} is below the {smallest} masks that SPEX needs for n={n} players at "
            f'b={bits}, t={t}; use at least {smallest}, or decoder="proxyspex".'
        )
    while units * n_delays << (bits + 1) <= budget:
        bits += 1
    groups: tuple[int, ...]
    more = (budget - (units * n_delays << bits)) // (n_delays << bits)  # < units
    if n_groups is None:
        groups = ((bits + 1, bits), (bits + 1, bits + 1), (bits + 2, bits))[more]
    else:
        groups = tuple(bits + (c < more) for c in range(n_groups))
    n_coded = sum(n_delays << b for b in groups)
    return Plan(n, budget, "coded", t, groups, n_delays, n_coded, budget - n_coded)


def minimum_budget(n: int, *, t: int = 5) -> int:
    """The fewest masks that SPEX takes: its smallest code, or the full table where that is less."""
    smallest = 3 * (bch_code(n, t).n_parity + 1) << min(MIN_BITS, n)
    return min(smallest, 1 << n) if n < 63 else smallest


@dataclass(frozen=True, eq=False)
class CodedDesign:
    """The masks of a plan, and where each coded one stands.

    Attributes:
        plan: the plan.
        masks: bool (m, n), distinct: coded masks first, then uniform ones. True = kept.
        rows: for each group, intp (n_delays, 2^b); the row of ``masks`` that holds M_c l + d +
            offset_c, where bit k of the column's number is l_k.
        hashes: intp (C, n); row i of M_c as a number. A support falls in the bin that is the XOR of
            its players' numbers.
        delays: bool (n_delays, n); the first row is zero.
        offsets: bool (C, n).
        n_coded: distinct coded masks, the first rows of ``masks``.
    """

    plan: Plan
    masks: Bits
    rows: tuple[Ints, ...]
    hashes: Ints
    delays: Bits
    offsets: Bits
    n_coded: int

    @property
    def kind(self) -> str:
        """``"coded"``, or ``"table"`` where the plan is exact."""
        return "coded" if self.plan.kind == "coded" else "table"

    @property
    def code(self) -> BCH:
        """The BCH code of the delays."""
        return bch_code(self.plan.n, self.plan.t)

    @property
    def folds(self) -> Ints:
        """A fold label for each mask, intp (m,): see ``refit``.

        Masks of one group and delay share a label, because an interaction that the model lacks
        looks the same on all of them up to the bin it falls in; a mask left out alone would be
        predicted by its neighbours. Uniform masks are dealt out over the same labels.
        """
        n_delays = len(self.delays)
        labels = np.arange(len(self.masks), dtype=np.intp) % (n_delays * max(1, len(self.rows)))
        for c in range(len(self.rows) - 1, -1, -1):
            labels[self.rows[c]] = (c * n_delays + np.arange(n_delays))[:, None]
        return labels


def design(
    n: int,
    budget: int,
    *,
    seed: int | np.random.SeedSequence | np.random.Generator | None = None,
    t: int = 5,
    n_groups: int | None = None,
    min_bits: int = MIN_BITS,
) -> CodedDesign:
    """Draws the masks of ``plan(n, budget)``.

    Args:
        n: players.
        budget: distinct masks that may be evaluated for the fit.
        seed: of the matrices, offsets and uniform masks. The same seed gives the same bytes.
        t: see ``plan``.
        n_groups: see ``plan``.
        min_bits: see ``plan``.

    Returns:
        The design; ``len(masks) <= budget``.

    Raises:
        ValueError: see ``plan``.
    """
    return draw(plan(n, budget, t=t, n_groups=n_groups, min_bits=min_bits), seed)


def draw(
    plan: Plan, seed: int | np.random.SeedSequence | np.random.Generator | None = None
) -> CodedDesign:
    """Draws the masks of a plan; see ``design``."""
    n = plan.n
    if plan.kind == "exact":
        masks = every_mask(n)
        empty = np.zeros((0, n), dtype=np.bool_)
        return CodedDesign(plan, masks, (), np.zeros((0, n), dtype=np.intp), empty, empty, 0)
    rng = np.random.default_rng(seed)
    hashes = np.stack([_hash(rng, n, b) for b in plan.bits])
    offsets = rng.integers(0, 2, size=(len(plan.bits), n), dtype=np.uint8)
    code = bch_code(n, plan.t)
    delays = np.vstack([np.zeros((1, n), dtype=np.bool_), code.parity.T])
    packed = []
    for c, b in enumerate(plan.bits):
        shift = pack(delays ^ offsets[c].astype(np.bool_))
        cosets = _span(hashes[c], b)
        packed.append((shift[:, None, :] ^ cosets[None, :, :]).reshape(-1, cosets.shape[1]))
    coded, inverse = distinct(unpack(np.concatenate(packed), n))
    rows, start = [], 0
    for b in plan.bits:
        size = plan.n_delays << b
        rows.append(inverse[start : start + size].reshape(plan.n_delays, 1 << b))
        start += size
    masks = np.concatenate([coded, uniform(plan.budget - len(coded), n, rng, exclude=coded)])
    return CodedDesign(
        plan, masks, tuple(rows), hashes, delays, offsets.astype(np.bool_), len(coded)
    )


def _hash(rng: np.random.Generator, n: int, b: int) -> Ints:
    """Rows of a random matrix in F_2^(n x b) of rank b, as numbers.

    No row is zero, so that no player is invisible, and values come equally often: single players
    fall in different bins as far as there are bins.
    """
    size = (1 << b) - 1
    while True:
        times = -(-n // size)
        rows = np.concatenate([rng.permutation(size) + 1 for _ in range(times)])[:n].astype(np.intp)
        if _rank(rows) == b:
            return rows


def _rank(rows: Ints) -> int:
    """Rank over F_2 of rows given as numbers."""
    basis: list[int] = []
    for row in rows.tolist():
        for value in basis:
            row = min(row, row ^ value)
        if row:
            basis.append(row)
    return len(basis)


def _span(hashes: Ints, b: int) -> ByteArray:
    """M l for all l in F_2^b, packed: (2^b, ceil(n / 8)) uint8, built by doubling."""
    columns = ((hashes[None, :] >> np.arange(b)[:, None]) & 1).astype(np.uint8)
    packed = pack(columns.astype(np.bool_))
    span = np.zeros((1 << b, packed.shape[1]), dtype=np.uint8)
    for k in range(b):
        span[1 << k : 2 << k] = span[: 1 << k] ^ packed[k]
    return span
