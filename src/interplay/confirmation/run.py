r"""Test the interactions that an explanation claims, by fresh ablations.

All on/off patterns of each claimed set are evaluated on the same few random backgrounds and on the
whole input. The patterns of some random sets are evaluated too, for comparison (see
:mod:`interplay.confirmation.patterns`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, Players
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.progress import say
from interplay.confirmation.patterns import (
    Values,
    averaged,
    derivatives,
    largest_containing,
    patterns,
    predicted_variance,
    removed,
)
from interplay.confirmation.verdict import LEVEL, UNCLEAR, Confirmation, Tested, interval, judge
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import distinct, every_mask, keys, uniform
from interplay.fourier.spectrum import Spectrum

DEFAULT_BUDGET = 500
MIN_BACKGROUNDS = 6
"""The fewest backgrounds from which an interval means anything."""
RANDOM_SETS = 5
"""The fewest random sets of each size, if there are so many."""
_TABLE_LIMIT = 12
"""Up to so many players, all masks are evaluated if the budget allows."""
_TRIES = 1000
"""How often a random set of one size is drawn before the search ends."""
_ROUNDING = 1e-9
"""The rounding error of a mean derivative, as a share of the largest value."""


def confirm(
    evaluator: Evaluator,
    spectrum: Spectrum,
    claims: Interactions,
    known: tuple[BoolArray, FloatArray],
    *,
    output: int,
    budget: int | None,
    random_state: int,
) -> Confirmation:
    """Test claims about a game (see ``Explanation.confirm``).

    The masks depend on nothing but the arguments. With a store, a confirmation that was interrupted
    therefore goes on where it was.

    Args:
        evaluator: evaluates the game that was explained.
        spectrum: the spectrum of the output in question.
        claims: the interactions to test, each of two or more players.
        known: the masks of the explanation, ``(m, n)``, and their values, ``(m,)`` or ``(m, k)``.
            These values are not evaluated again. The masks serve as backgrounds only if there are
            no others.
        output: the number of the output in question.
        budget: see ``Explanation.confirm``.
        random_state: seed of the backgrounds and of the random sets.
    """
    # explain spawns the first four from the same seed
    seeds = np.random.SeedSequence(random_state).spawn(6)[4:]
    design = _design(claims.sets, known[0], budget, *map(np.random.default_rng, seeds))
    masks = design.masks
    values = dict(zip(keys(known[0]), as_columns(known[1])[:, output], strict=True))
    missing = masks[[key not in values for key in keys(masks)]]
    if evaluator.progress and len(masks):
        say(
            f"Confirming {len(claims)} interactions by {len(masks):,} ablations, on "
            f"{len(design.backgrounds)} backgrounds and on the whole input"
        )
    n_new = 0
    if len(missing):
        before = len(evaluator.evaluated)
        values |= zip(keys(missing), evaluator.values(missing)[:, output], strict=True)
        n_new = len(evaluator.evaluated) - before

    def value_of(masks: BoolArray) -> FloatArray:
        flat = keys(masks.reshape(-1, masks.shape[-1]))
        return np.array([values[key] for key in flat]).reshape(masks.shape[:-1])

    exact = design.complete and evaluator.n_repeats == 1
    return Confirmation(
        tested=tuple(
            _test(claims, row, spectrum, design, value_of, exact) for row in range(len(claims))
        ),
        index=claims.index,
        order=claims.order,
        output=output,
        level=LEVEL,
        n_backgrounds=len(design.backgrounds),
        n_fresh=design.n_fresh,
        exact=exact,
        n_ablations=len(masks),
        n_evaluated=n_new,
        random_state=random_state,
    )


@dataclass(frozen=True, eq=False)
class _Design:
    """Which sets are switched on and off on which backgrounds.

    Attributes:
        backgrounds: ``(m, n)``.
        n_fresh: how many of the backgrounds took no part in the explanation.
        complete: the backgrounds are all 2^n masks.
        sets: the claimed sets.
        controls: the random sets.
        n_compared: the controls are evaluated on so many of the backgrounds, the first ones.
    """

    backgrounds: BoolArray
    n_fresh: int
    complete: bool
    sets: Sequence[Players]
    controls: Sequence[Players]
    n_compared: int

    @property
    def whole_input(self) -> BoolArray:
        """The whole input as a background, ``(1, n)``."""
        return np.ones((1, self.backgrounds.shape[1]), dtype=np.bool_)

    @property
    def masks(self) -> BoolArray:
        """All masks that are needed, each once."""
        backgrounds = np.concatenate([self.backgrounds, self.whole_input])
        compared = backgrounds[: self.n_compared]
        parts = [patterns(backgrounds, players) for players in self.sets]
        parts += [patterns(compared, players) for players in self.controls]
        flat = [part.reshape(-1, backgrounds.shape[1]) for part in parts]
        return distinct(np.concatenate([backgrounds[:0], *flat]))[0]


def _design(
    sets: Sequence[Players],
    known: BoolArray,
    budget: int | None,
    sets_rng: np.random.Generator,
    masks_rng: np.random.Generator,
) -> _Design:
    """Choose as many backgrounds as the budget allows, half of them for the random sets too.

    For the comparison, many random sets matter more than a precise value of each of them.
    """
    known = distinct(known)[0]
    n_players = known.shape[1]
    if not sets:
        return _Design(known[:0], 0, False, (), (), 0)
    controls = _random_sets(sets, n_players, sets_rng)
    available = 1 << n_players
    if n_players <= _TABLE_LIMIT and available <= (DEFAULT_BUDGET if budget is None else budget):
        fresh = available - len(known)
        return _Design(every_mask(n_players), fresh, True, sets, controls, available)
    m = min(_affordable(budget, sets, controls), available)
    fresh = min(m, available - len(known))
    backgrounds = uniform(fresh, n_players, masks_rng, exclude=known)
    reused = known[masks_rng.permutation(len(known))[: m - fresh]]
    backgrounds = np.concatenate([backgrounds, reused])
    return _Design(backgrounds, fresh, False, sets, controls, -(-m // 2))


def _affordable(budget: int | None, sets: Sequence[Players], controls: Sequence[Players]) -> int:
    """How many backgrounds a budget allows, at least :data:`MIN_BACKGROUNDS`."""
    claimed = _subsets(sets)
    n_claimed, n_controls = len(claimed), len(_subsets(controls) - claimed)

    def cost(m: int) -> int:
        return (m + 1) * n_claimed + -(-m // 2) * n_controls

    if budget is None:
        budget = max(DEFAULT_BUDGET, cost(MIN_BACKGROUNDS))
    if budget < cost(MIN_BACKGROUNDS):
        raise ValueError(
            f"budget={budget} is below the {cost(MIN_BACKGROUNDS)} ablations that {len(sets)} "
            f"interactions and the random sets beside them take on {MIN_BACKGROUNDS} backgrounds; "
            "use at least so many, or test fewer interactions (top) or smaller ones (order)"
        )
    m = MIN_BACKGROUNDS
    while cost(m + 1) <= budget:
        m += 1
    return m


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
            if len(_of_size(drawn, size)) >= RANDOM_SETS:
                break
            players = tuple(sorted(rng.choice(n_players, size, replace=False).tolist()))
            if all(len(set(players) & set(claim)) < 2 for claim in claimed):
                drawn.append(players)
    return drawn


def _of_size(sets: Sequence[Players], size: int) -> list[Players]:
    """The distinct subsets of the sets that have a size."""
    return list({subset: None for players in sets for subset in combinations(players, size)})


def _test(
    claims: Interactions,
    row: int,
    spectrum: Spectrum,
    design: _Design,
    value_of: Values,
    exact: bool,
) -> Tested:
    """Compare one claim with the values of its patterns."""
    players, value = claims.sets[row], float(claims.values[row])
    on_average = averaged(value_of, design.backgrounds, players, design.sets)
    on_whole_input = value_of(patterns(design.whole_input, players))
    effects = derivatives(on_average)
    predicted = float(spectrum.to("BII")[players])
    measured = low = high = float(effects.mean())
    if not exact and len(effects) > 1:
        larger = largest_containing(players, design.sets)
        floor = predicted_variance(spectrum, players, larger)
        low, high = interval(effects, floor, len(claims))
    rounding = _ROUNDING * float(np.abs(on_average).max())
    low, high = low - rounding, high + rounding
    compared = design.backgrounds[: design.n_compared]
    random = tuple(
        float(derivatives(averaged(value_of, compared, control, design.controls)).mean())
        for control in _of_size(design.controls, len(players))
    )
    verdict, reason = judge(value, predicted, measured, low, high, random)
    if not exact and len(effects) < 2:
        verdict, reason = UNCLEAR, "one background does not show the noise of a random game"
    return Tested(
        players=players,
        labels=tuple(claims.players[player] for player in players),
        value=value,
        predicted=predicted,
        measured=measured,
        low=low,
        high=high,
        whole=float(derivatives(on_whole_input)[0]),
        random=random,
        removed=removed(on_average),
        removed_from_whole=removed(on_whole_input),
        verdict=verdict,
        reason=reason,
    )
