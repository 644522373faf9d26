"""The best or the worst subset of players that a spectrum predicts, with a proven bound.

Or the subset whose predicted value is nearest to a target.

Up to 18 players every subset is tried. With more players a greedy search finds a mask at once. Then
a mixed-integer program (:mod:`interplay.optimize.program`) finds a better one or proves a bound on
how much better any mask can be.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np

from interplay._arrays import unit_of
from interplay._types import BoolArray, whole
from interplay.fourier.masks import describe
from interplay.fourier.spectrum import Spectrum
from interplay.optimize.greedy import greedy
from interplay.optimize.problem import Problem, enumerate_all
from interplay.optimize.program import solve

_ENUMERATED = 18
"""Up to this number of players every subset is tried."""
_GREEDY_SHARE = 0.25
"""The share of the time limit that the greedy search may take; it rarely does."""


@dataclass(frozen=True, eq=False)
class BestSubset:
    """A subset of players with the value that a spectrum predicts for it.

    Attributes:
        mask: ``(n,) bool``, ``True`` for a player that is kept.
        value: the predicted value, in the unit of the spectrum's values.
        bound: no admissible subset has a better value than this, up to the solver's rounding, 2e-6
            of the sum of the coefficients' sizes without the mean's. Same unit. With a target: none
            is nearer to it than this.
        proven: whether the gap is at most the requested one, up to that rounding.
        method: what found the mask: ``"enumeration"``, ``"milp"`` or ``"greedy"``.
        seconds: the time that the search took.
        target: what the value should be near to; ``None``: the best value was sought.
    """

    mask: BoolArray
    value: float
    bound: float
    proven: bool
    method: str
    seconds: float
    target: float | None = None

    @property
    def kept(self) -> tuple[int, ...]:
        """The players that are kept, ascending."""
        return tuple(np.flatnonzero(self.mask).tolist())

    @property
    def gap(self) -> float:
        """The most by which an admissible subset can be better than ``value``, in its unit."""
        return abs(self.bound - (self.value if self.target is None else self.distance))

    @property
    def distance(self) -> float:
        """How far the value is from the target; NaN where there is none."""
        return nan if self.target is None else abs(self.value - self.target)

    def __str__(self) -> str:
        best, prediction = "the best", f"predicted value {self.value:.6g}"
        if self.target is not None:
            best = "the nearest"
            prediction += f", {self.distance:.2g} from the target {self.target:.6g}"
        if not self.proven:
            quality = f"{best} has between that and {self.bound:.6g} (gap {self.gap:.2g})"
        elif self.gap <= 1e-6 * abs(self.value):
            quality = f"proven to be {best}"
        else:
            quality = f"proven to be {best} to within {self.gap:.2g}"
        return (
            f"{describe(self.mask)}: {prediction}, {quality}; {self.method}, {self.seconds:.1f} s"
        )


def best_subset(
    spectrum: Spectrum,
    *,
    keep: int | None = None,
    at_least: int | None = None,
    at_most: int | None = None,
    maximize: bool = True,
    target: float | None = None,
    output: int = 0,
    time_limit: float = 60.0,
    gap: float = 0.0,
) -> BestSubset:
    """Find the subset of players with the largest (or smallest) value that a spectrum predicts.

    With a target it is the subset whose predicted value is nearest to that. Usually many subsets
    are almost exactly there, so a gap saves time.

    The best subset by the spectrum need not be the best by the game. Where that matters, evaluate
    the game at the mask. Players that make no difference may be kept or removed.

    Args:
        spectrum: predicts the values.
        keep: keep exactly this many players.
        at_least: keep at least this many; not together with ``keep``.
        at_most: keep at most this many; not together with ``keep``.
        maximize: ``False`` for the smallest value.
        target: look for the value nearest to this one; not together with ``maximize=False``.
        output: which of k outputs.
        time_limit: seconds, after which the best mask so far is returned with the bound so far. Up
            to 18 players the search takes a fraction of a second, whatever the limit.
        gap: stop once no subset can be better by more than this, in the unit of the values.

    Raises:
        ValueError: a number of players is out of range or contradicts another, the time limit is
            not above 0, the gap is below 0, the target is not finite or contradicts ``maximize``,
            the output does not exist, or a coefficient is not finite.
    """
    started = time.perf_counter()
    low, high = _counts(spectrum.n_players, keep, at_least, at_most)
    if not time_limit > 0:
        raise ValueError(f"time_limit={time_limit} is not above 0; give seconds")
    if not gap >= 0:
        raise ValueError(f"gap={gap} is not 0 or more; give it in the unit of the values")
    if target is not None and (not maximize or not isfinite(target)):
        raise ValueError(
            f"target={target} came with maximize={maximize}; give a finite number, and leave "
            "maximize out"
        )
    chosen = _finite_output(spectrum, output)
    sign = 1.0 if maximize else -1.0
    # the search is for differences of about 1: neither their unit nor the mean matters
    unit = unit_of(chosen.coefficients[chosen.orders > 0])
    numbers = sign * chosen.coefficients / unit * (chosen.orders > 0)
    varying = replace(chosen, coefficients=numbers, deviations=None)
    mean = float(chosen.coefficients[chosen.orders == 0].sum())
    aim = None if target is None else (target - mean) / unit
    problem = Problem.of(varying, low, high, aim)
    if spectrum.n_players <= _ENUMERATED:
        mask, method = enumerate_all(problem), "enumeration"
        bound = problem.merit(mask)
    else:
        mask, bound, method = _search(problem, started, time_limit, gap / unit)
    missing = max(bound - problem.merit(mask), 0.0)
    value = float(chosen.predict(mask))
    if target is None:
        bound = value + sign * missing * unit
    else:
        bound = max(abs(value - target) - missing * unit, 0.0)
    return BestSubset(
        mask=mask,
        value=value,
        bound=bound,
        proven=missing <= gap / unit + problem.rounding,
        method=method,
        seconds=time.perf_counter() - started,
        target=target,
    )


def _search(
    problem: Problem, started: float, time_limit: float, gap: float
) -> tuple[BoolArray, float, str]:
    """Find a mask by the greedy search and the solver; give it, a bound and the method's name."""
    mask = greedy(problem, started + _GREEDY_SHARE * time_limit)
    merit = problem.merit(mask)
    if problem.ceiling - merit <= max(gap, problem.rounding):
        return mask, problem.ceiling, "greedy"
    seconds = max(started + time_limit - time.perf_counter(), 1e-3)
    solved, bound = solve(problem, merit, seconds, gap)
    if solved is None or problem.merit(solved) < merit:
        return mask, bound, "greedy"
    return solved, bound, "milp"


def _counts(
    n_players: int, keep: int | None, at_least: int | None, at_most: int | None
) -> tuple[int, int]:
    """Check the numbers of players; give the fewest and the most to keep."""
    for name, count in (("keep", keep), ("at_least", at_least), ("at_most", at_most)):
        if count is None:
            continue
        if not 0 <= whole(name, count) <= n_players:
            raise ValueError(
                f"{name}={count} is not between 0 and {n_players}, the number of players; "
                "give how many players to keep"
            )
    if keep is not None:
        if at_least is not None or at_most is not None:
            raise ValueError(
                f"keep={keep} came with at_least={at_least} and at_most={at_most}; "
                "give either keep or the other two"
            )
        return int(keep), int(keep)
    low = 0 if at_least is None else int(at_least)
    high = n_players if at_most is None else int(at_most)
    if low > high:
        raise ValueError(f"at_least={low} is above at_most={high}; no subset keeps so many")
    return low, high


def _finite_output(spectrum: Spectrum, output: int) -> Spectrum:
    """Take one output of a spectrum and check that its coefficients are finite."""
    chosen = spectrum.output(output)
    bad = np.flatnonzero(~np.isfinite(chosen.coefficients))
    if len(bad):
        raise ValueError(
            f"the coefficient of {chosen.sets[bad[0]]} is {chosen.coefficients[bad[0]]}; "
            "coefficients must be finite numbers"
        )
    return chosen
