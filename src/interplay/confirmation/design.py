"""Which sets a confirmation switches on and off on which backgrounds, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from interplay._types import BoolArray, Players
from interplay.confirmation.patterns import largest_containing, patterns
from interplay.confirmation.sample import Sample, ends_of, sample_of
from interplay.designs.measures import UNIFORM, Measure
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import distinct, every_mask, keys, uniform

DEFAULT_BUDGET = 500
MIN_BACKGROUNDS = 6
"""The fewest backgrounds from which an interval means anything."""
RANDOM_SETS = 5
"""The fewest random sets of each size, if there are so many and the budget pays for them."""
_FEWEST_RANDOM_SETS = 2
_TABLE_LIMIT = 12
"""Up to so many players, all masks are evaluated if the budget allows."""
_SIMULATED = 2_000
"""From so many backgrounds the variance that the explanation itself predicts is computed, under
measures other than ``"uniform"``."""
_TRIES = 1000
"""How often a random set of one size is drawn before the search ends."""


@dataclass(frozen=True)
class Cost:
    """What a confirmation takes, known before anything is evaluated.

    Attributes:
        n_claims: how many interactions are tested.
        n_left_out: how many more were asked for, which the budget does not pay for.
        n_ablations: distinct masks that are needed.
        n_new: how many of them the explanation did not evaluate. A store may know some.
        budget: the most new masks.
        exact: all 2^n masks are known then.
    """

    n_claims: int
    n_left_out: int
    n_ablations: int
    n_new: int
    budget: int
    exact: bool

    def __str__(self) -> str:
        tested = f"{self.n_claims} interaction{'' if self.n_claims == 1 else 's'}"
        left_out = (
            f"; {self.n_left_out} more would exceed the budget of {self.budget:,}"
            if self.n_left_out
            else ""
        )
        exact = ", after which all masks are known and the answer is exact" if self.exact else ""
        return (
            f"Confirming {tested} takes {self.n_ablations:,} ablations, {self.n_new:,} of them "
            f"new{exact}{left_out}."
        )


def cost_of(
    claims: Interactions,
    known: BoolArray,
    budget: int,
    random_state: int,
    measure: Measure,
    *,
    fewer: bool = True,
) -> tuple[Interactions, Cost]:
    """The strongest claims that a budget pays for, and what testing them costs.

    Args:
        claims: the interactions to test, strongest first.
        known: the masks of the explanation, ``(m, n)``.
        budget: the most masks to evaluate beyond these.
        random_state: seed of the backgrounds and of the random sets.
        measure: the measure that the backgrounds are drawn from.
        fewer: leave out the weakest claims where the budget does not pay for all.

    Raises:
        ValueError: the budget does not pay for all claims, or with ``fewer`` not for the strongest
            one alone.
    """
    count = len(claims)
    while True:
        try:
            design = choose_design(claims.sets[:count], known, budget, random_state, measure)
            break
        except ValueError:
            if count <= 1 or not fewer:
                raise
            count -= 1
    masks, values = design.masks, set(keys(known))
    n_new = sum(key not in values for key in keys(masks))
    cost = Cost(count, len(claims) - count, len(masks), n_new, budget, design.complete)
    return claims.take(np.arange(count)), cost


@dataclass(frozen=True, eq=False)
class Design:
    """Which sets are switched on and off on which backgrounds.

    Attributes:
        backgrounds: ``(m, n)``; under measures other than ``"uniform"`` some may be there twice.
        n_fresh: how many of the backgrounds took no part in the explanation.
        complete: the backgrounds are all 2^n masks.
        sets: the claimed sets.
        controls: the random sets.
        n_compared: the controls are evaluated on so many of the backgrounds, the first ones.
        measure: the measure that the backgrounds are drawn from.
        ends: the ends that are evaluated beside the backgrounds, for all sets, ``(e, n)``.
    """

    backgrounds: BoolArray
    n_fresh: int
    complete: bool
    sets: Sequence[Players]
    controls: Sequence[Players]
    n_compared: int
    measure: Measure
    ends: BoolArray

    @property
    def whole_input(self) -> BoolArray:
        """The whole input as a background, ``(1, n)``."""
        return np.ones((1, self.backgrounds.shape[1]), dtype=np.bool_)

    @property
    def masks(self) -> BoolArray:
        """All masks that are needed, each once."""
        backgrounds = np.concatenate([self.backgrounds, self.whole_input, self.ends])
        compared = np.concatenate([self.backgrounds[: self.n_compared], self.ends])
        parts = [patterns(backgrounds, players) for players in self.sets]
        parts += [patterns(compared, players) for players in self.controls]
        flat = [part.reshape(-1, backgrounds.shape[1]) for part in parts]
        return distinct(np.concatenate([backgrounds[:0], *flat]))[0]

    def sample(self, players: Players) -> tuple[Players, Sample]:
        """The largest claimed set T that contains the players, and its backgrounds."""
        larger = largest_containing(players, self.sets)
        return larger, self._sample(self.backgrounds, larger)

    def compared(self, players: Players) -> tuple[Players, Sample]:
        """The same for a random set."""
        larger = largest_containing(players, self.controls)
        return larger, self._sample(self.backgrounds[: self.n_compared], larger)

    def simulated(self, larger: Players) -> Sample:
        """Many backgrounds of T that are not evaluated, the same ones for every seed."""
        rng = np.random.default_rng(0)
        masks = self.measure.draw(_SIMULATED, self.backgrounds.shape[1], rng)
        return self._sample(masks, larger)

    def _sample(self, backgrounds: BoolArray, larger: Players) -> Sample:
        return sample_of(backgrounds, self.ends, self.complete, larger, self.measure)


def choose_design(
    sets: Sequence[Players],
    known: BoolArray,
    budget: int,
    random_state: int,
    measure: Measure = UNIFORM,
) -> Design:
    """Choose as many backgrounds as the budget allows, half of them for the random sets too.

    For the comparison, many random sets matter more than a precise value of each of them. Where the
    explanation's masks and the budget, or the masks that are chosen, make up all 2^n, the answer is
    exact.
    """
    # explain spawns the first four from the same seed
    seeds = np.random.SeedSequence(random_state).spawn(6)[4:]
    sets_rng, masks_rng = map(np.random.default_rng, seeds)
    known = distinct(known)[0]
    n_players = known.shape[1]
    if not sets:
        return Design(known[:0], 0, False, (), (), 0, measure, known[:0])
    controls: Sequence[Players] = _random_sets(sets, n_players, sets_rng)
    available = 1 << n_players
    unknown = available - len(known)

    def complete() -> Design:
        masks, no_end = every_mask(n_players), known[:0]
        return Design(masks, unknown, True, sets, controls, available, measure, no_end)

    if n_players <= _TABLE_LIMIT and unknown <= budget:
        return complete()
    ends = ends_of(n_players, max(map(len, sets)), measure)
    m, n_random = _affordable(budget, sets, controls, ends)
    m, controls = min(m, available), _fewer(controls, sets, n_random)
    if measure == UNIFORM:
        fresh = min(m, available - len(known))
        backgrounds = uniform(fresh, n_players, masks_rng, exclude=known)
        reused = known[masks_rng.permutation(len(known))[: m - fresh]]
        backgrounds = np.concatenate([backgrounds, reused])
    else:
        # one by one, so that those of a larger budget start with those of a smaller one
        drawn = [measure.draw(1, n_players, masks_rng) for _ in range(m)]
        backgrounds, seen = np.concatenate(drawn), set(keys(known))
        fresh = sum(key not in seen for key in keys(backgrounds))
    design = Design(backgrounds, fresh, False, sets, controls, -(-m // 2), measure, ends)
    if n_players <= _TABLE_LIMIT:
        together = distinct(np.concatenate([known, design.masks]))[0]
        if len(together) == available:
            return complete()
    return design


def least_budget(
    sets: Sequence[Players], known: BoolArray, random_state: int, measure: Measure = UNIFORM
) -> int:
    """The smallest budget with which :func:`choose_design` tests so many sets at all."""
    n_players = known.shape[1]
    sets_rng = np.random.default_rng(np.random.SeedSequence(random_state).spawn(6)[4])
    ends = ends_of(n_players, max(map(len, sets)), measure)
    controls = _random_sets(sets, n_players, sets_rng)
    return _costs(sets, controls, ends, _FEWEST_RANDOM_SETS)(MIN_BACKGROUNDS)


def _costs(
    sets: Sequence[Players], controls: Sequence[Players], ends: BoolArray, n_random: int
) -> Callable[[int], int]:
    """What sets cost by the number of backgrounds, beside so many random sets of each size."""
    claimed = _subsets(sets)
    n_controls = len(_subsets(_fewer(controls, sets, n_random)) - claimed)
    n_beside = 1 + int((~ends).all(axis=1).sum())
    return lambda m: (m + n_beside) * len(claimed) + (-(-m // 2) + len(ends)) * n_controls


def _affordable(
    budget: int, sets: Sequence[Players], controls: Sequence[Players], ends: BoolArray
) -> tuple[int, int]:
    """How many backgrounds a budget allows, and beside how many random sets of each size.

    The ends are paid for as well, and the whole input for the claimed sets in any case. There are
    at least :data:`MIN_BACKGROUNDS`. Random sets are given up only for these.
    """
    n_random, cost = RANDOM_SETS, _costs(sets, controls, ends, RANDOM_SETS)
    while cost(MIN_BACKGROUNDS) > budget and n_random > _FEWEST_RANDOM_SETS:
        n_random -= 1
        cost = _costs(sets, controls, ends, n_random)
    least = cost(MIN_BACKGROUNDS)
    if budget < least:
        plural = "" if len(sets) == 1 else "s"
        raise ValueError(
            f"budget={budget} is below the {least} ablations that {len(sets)} "
            f"interaction{plural} and the random sets beside them take on {MIN_BACKGROUNDS} "
            f"backgrounds; use budget={least} or more, or test fewer interactions (top) or "
            "smaller ones (order)"
        )
    pairs = (budget - cost(0)) // (cost(2) - cost(0))
    m = max(MIN_BACKGROUNDS, 2 * pairs)  # of an even number the cost is a multiple of the pairs
    return m + (cost(m + 1) <= budget), n_random


def _fewer(
    controls: Sequence[Players], claimed: Sequence[Players], n_random: int
) -> Sequence[Players]:
    """The first random sets that are enough for so many of each claimed size."""
    if n_random >= RANDOM_SETS:
        return controls
    wanted = {len(players) for players in claimed}
    for count in range(1, len(controls)):
        if all(len(of_size(controls[:count], size)) >= n_random for size in wanted):
            return controls[:count]
    return controls


def _subsets(sets: Iterable[Players]) -> set[Players]:
    """All subsets of the sets: each gives one mask per background, with its players flipped."""
    return {
        subset
        for players in sets
        for size in range(len(players) + 1)
        for subset in combinations(players, size)
    }


def _random_sets(
    claimed: Sequence[Players], n_players: int, rng: np.random.Generator
) -> list[Players]:
    """Draw random sets that share at most one player with each claimed set.

    They are enough for :data:`RANDOM_SETS` of each claimed size, if there are so many. The subsets
    of a larger random set serve as smaller random sets at no cost.
    """
    drawn: list[Players] = []
    for size in sorted({len(players) for players in claimed}, reverse=True):
        for _ in range(_TRIES):
            if len(of_size(drawn, size)) >= RANDOM_SETS:
                break
            players = tuple(sorted(rng.choice(n_players, size, replace=False).tolist()))
            if all(len(set(players) & set(claim)) < 2 for claim in claimed):
                drawn.append(players)
    return drawn


def of_size(sets: Sequence[Players], size: int) -> list[Players]:
    """The distinct subsets of the sets that have a size."""
    return list({subset: None for players in sets for subset in combinations(players, size)})
