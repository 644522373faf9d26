r"""Tests the interactions that an explanation found by ablations that are made for them.

All on/off patterns of each claimed set are evaluated on the same few random backgrounds and on the
whole input; those of some random sets beside them (see :mod:`interplay.patterns`).
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
    around,
    averaged,
    derivatives,
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
"""The fewest backgrounds that an interval is worth anything on."""
RANDOM_SETS = 5
"""Random sets of each size, at least, where there are so many."""
_TABLE_LIMIT = 12
"""Up to so many players, a budget for all masks makes them all."""
_TRIES = 1000
_ROUNDING = 1e-9


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

    The masks depend on nothing but the arguments, so that with a store an interrupted confirmation
    goes on where it was.

    Args:
        evaluator: of the game that was explained.
        spectrum: of the output in question.
        claims: its interactions to test, each of two or more players.
        known: the masks of the explanation, ``(m, n)``, which serve as backgrounds only where there
            are no others, and their values, ``(m,)`` or ``(m, k)``, which are not asked for again.
        output: which of the game's outputs.
        budget: see ``Explanation.confirm``.
        random_state: seed of the backgrounds and of the random sets.
    """
    # explain spawns four from the same seed
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

    def value_of(some: BoolArray) -> FloatArray:
        flat = keys(some.reshape(-1, some.shape[-1]))
        return np.array([values[key] for key in flat]).reshape(some.shape[:-1])

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
    """Which sets are switched on which backgrounds.

    Attributes:
        backgrounds: ``(m, n)``.
        n_fresh: how many of them took no part in the explanation.
        complete: they are all 2^n masks.
        sets: the claimed sets.
        controls: the random sets.
        n_compared: the controls are evaluated on so many backgrounds, the first.
    """

    backgrounds: BoolArray
    n_fresh: int
    complete: bool
    sets: Sequence[Players]
    controls: Sequence[Players]
    n_compared: int

    @property
    def whole(self) -> BoolArray:
        """The whole input as a background, ``(1, n)``."""
        return np.ones((1, self.backgrounds.shape[1]), dtype=np.bool_)

    @property
    def masks(self) -> BoolArray:
        """All masks that are needed, each once."""
        on = np.concatenate([self.backgrounds, self.whole])
        parts = [patterns(on, players) for players in self.sets]
        parts += [patterns(on[: self.n_compared], players) for players in self.controls]
        n_players = on.shape[1]
        return distinct(np.concatenate([on[:0], *(p.reshape(-1, n_players) for p in parts)]))[0]


def _design(
    sets: Sequence[Players],
    known: BoolArray,
    budget: int | None,
    sets_rng: np.random.Generator,
    masks_rng: np.random.Generator,
) -> _Design:
    """As many backgrounds as the budget allows; on half of them the random sets too.

    A comparison wants many sets more than it wants each of them measured well.
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
    again = known[masks_rng.permutation(len(known))[: m - fresh]]
    backgrounds = np.concatenate([backgrounds, again])
    return _Design(backgrounds, fresh, False, sets, controls, -(-m // 2))


def _affordable(budget: int | None, sets: Sequence[Players], controls: Sequence[Players]) -> int:
    """How many backgrounds a budget allows, from :data:`MIN_BACKGROUNDS` on."""
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
    """All subsets of the sets; flipped on a background they make all its masks, each once."""
    return {
        part
        for players in sets
        for s in range(len(players) + 1)
        for part in combinations(players, s)
    }


def _random_sets(
    claimed: Sequence[Players], n_players: int, rng: np.random.Generator
) -> list[Players]:
    """Random sets that have at most one player in common with each claimed one.

    Enough of them for :data:`RANDOM_SETS` of each claimed size, where there are so many; subsets
    of the larger serve as the smaller, and cost nothing.
    """
    drawn: list[Players] = []
    for size in sorted({len(players) for players in claimed}, reverse=True):
        for _ in range(_TRIES):
            if len(_of_size(drawn, size)) >= RANDOM_SETS:
                break
            players = tuple(sorted(rng.choice(n_players, size, replace=False).tolist()))
            if all(len(set(players) & set(other)) < 2 for other in claimed):
                drawn.append(players)
    return drawn


def _of_size(sets: Sequence[Players], size: int) -> list[Players]:
    """The distinct subsets of a size."""
    return list({part: None for players in sets for part in combinations(players, size)})


def _test(
    claims: Interactions,
    row: int,
    spectrum: Spectrum,
    design: _Design,
    value_of: Values,
    exact: bool,
) -> Tested:
    players, value = claims.sets[row], float(claims.values[row])
    on_average = averaged(value_of, design.backgrounds, players, design.sets)
    on_whole = value_of(patterns(design.whole, players))
    effects = derivatives(on_average)
    predicted = float(spectrum.to("BII")[players])
    measured = low = high = float(effects.mean())
    if not exact and len(effects) > 1:
        floor = predicted_variance(spectrum, players, around(players, design.sets))
        low, high = interval(effects, floor, len(claims))
    rounding = _ROUNDING * float(np.abs(on_average).max())
    low, high = low - rounding, high + rounding
    compared = design.backgrounds[: design.n_compared]
    random = tuple(
        float(derivatives(averaged(value_of, compared, other, design.controls)).mean())
        for other in _of_size(design.controls, len(players))
    )
    verdict, reason = judge(value, predicted, measured, low, high, random)
    if not exact and len(effects) < 2:
        verdict, reason = UNCLEAR, "one background tells nothing of a random game's noise"
    return Tested(
        players=players,
        labels=tuple(claims.players[player] for player in players),
        value=value,
        predicted=predicted,
        measured=measured,
        low=low,
        high=high,
        whole=float(derivatives(on_whole)[0]),
        random=random,
        removed=removed(on_average),
        removed_from_whole=removed(on_whole),
        verdict=verdict,
        reason=reason,
    )
