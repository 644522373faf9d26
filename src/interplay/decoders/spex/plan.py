"""What SPEX does with a budget: how many groups of coded masks, and how large they are.

Groups grow by doubling, the smallest one first. The sizes that a budget passes through are its
levels. A level has all masks of the levels before it (see :mod:`.design`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from operator import index

from interplay.decoders.spex.bch import bch_code

MIN_BITS = 3
"""The smallest exponent b by default: 24 bins in all. With fewer hardly a bin holds one coefficient
alone.
"""
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
        n_extra: masks of the next level, for the refit. The design adds one for each coded mask
            that equals another.
        start: the exponents of the first level.
    """

    n_players: int
    budget: int
    kind: str
    t: int
    bits: tuple[int, ...]
    n_delays: int
    n_coded: int
    n_extra: int
    start: tuple[int, ...]

    @classmethod
    def of_level(
        cls, n_players: int, budget: int, t: int, start: tuple[int, ...], bits: tuple[int, ...]
    ) -> Plan:
        """Make the plan whose groups have the exponents ``bits``."""
        n_coded = n_masks_of(bits, n_players, t)
        n_delays = bch_code(n_players, t).n_parity + 1
        return cls(n_players, budget, "coded", t, bits, n_delays, n_coded, budget - n_coded, start)

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
            f"  {self.n_extra:,} masks of the next larger code for the refit, and one more for "
            f"each coded mask that falls together with another"
        )


def levels(start: tuple[int, ...], n_players: int) -> Iterator[tuple[int, ...]]:
    """List the exponents of all levels: from one to the next the smallest group is doubled."""
    bits = list(start)
    while True:
        yield tuple(bits)
        smallest = bits.index(min(bits))
        if bits[smallest] == n_players:
            return
        bits[smallest] += 1


def first_level(n_players: int, min_bits: int, n_groups: int | None = None) -> tuple[int, ...]:
    """The exponents of the smallest design: equal groups, or by default b + 1 and b."""
    bits = min(min_bits, n_players)
    if n_groups is None:
        return min(bits + 1, n_players), bits
    return (bits,) * n_groups


def n_masks_of(bits: tuple[int, ...], n_players: int, t: int) -> int:
    """Count the masks of groups, equal ones each time."""
    return (bch_code(n_players, t).n_parity + 1) * sum(1 << b for b in bits)


def plan(
    n_players: int,
    budget: int,
    *,
    t: int = 5,
    n_groups: int | None = None,
    min_bits: int = MIN_BITS,
) -> Plan:
    """Choose the groups for a budget.

    The full table is taken where the budget allows it. Otherwise there are by default two groups of
    2^(b+1) + 2^b or 2^(b+1) + 2^(b+1) bins, the most that the budget allows. The more bins a group
    has, the less noise there is in each. On noisy or dense functions two groups therefore recover
    more than the paper's three for the same number of masks. With ``n_groups`` all groups get 2^b
    bins, for the largest b that the budget allows; then groups are doubled one by one while the
    budget lasts. ``n_groups=3`` is the paper's design. What is left goes to masks of the next
    level, for the refit.

    Args:
        n_players: n.
        budget: the most distinct masks to evaluate for the fit. The plan never exceeds it.
        t: the errors that the code corrects, and the largest order that can be found. A smaller t
            takes fewer masks.
        n_groups: C, for equal groups; ``None``: two, the first of them twice as large to begin
            with.
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
        return Plan(n_players, budget, "exact", t, (), n_delays, 0, 0, ())
    start = first_level(n_players, min_bits, n_groups)
    smallest = n_masks_of(start, n_players, t)
    if has_table and 1 << n_players <= smallest:
        raise ValueError(
            f"budget={budget} is below the {1 << n_players} masks of the full table, the fewest "
            f"that SPEX needs for n={n_players} players; use at least {1 << n_players}, or "
            'decoder="proxyspex"'
        )
    if budget < smallest:
        raise ValueError(
            f"budget={budget} is below the {smallest} masks that SPEX needs for n={n_players} "
            f'players at b={min(start)}, t={t}; use at least {smallest}, or decoder="proxyspex"'
        )
    *_, groups = takewhile(
        lambda bits: n_masks_of(bits, n_players, t) <= budget, levels(start, n_players)
    )
    return Plan.of_level(n_players, budget, t, start, groups)


def minimum_budget(n_players: int, *, t: int = 5) -> int:
    """Count the masks that SPEX needs at least: its smallest code, or the full table if smaller.

    Args:
        n_players: n.
        t: the errors that the code corrects, and the largest order that can be found.

    Raises:
        ValueError: ``n_players`` or ``t`` is below 1, or there are too many players for a code.
    """
    smallest = n_masks_of(first_level(n_players, MIN_BITS), n_players, t)
    return min(smallest, 1 << n_players) if n_players < _TABLE_BITS else smallest
