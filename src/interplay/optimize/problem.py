"""The problem of the best subset: values, limits on the size, and enumeration of small cases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.fourier.sets import Members
from interplay.fourier.spectrum import Spectrum
from interplay.fourier.transform import walsh_hadamard

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_ROUNDING = 2e-6


@dataclass(frozen=True, eq=False)
class Problem:
    """Maximise the merit of a mask over those that keep ``low`` to ``high`` players.

    The merit is the value f(m) = sum_S F(S) chi_S(m), or with a target c it is -|f(m) - c|.

    Attributes:
        n_players: n.
        sets: the S, as members ``(s, d)``.
        coefficients: F(S), ``(s,)``.
        orders: |S|, ``(s,)``.
        incidence: ``(n, s)``, 1 where a player belongs to a set.
        low: the fewest players to keep.
        high: the most.
        target: c; ``None``: the largest value is sought.
    """

    n_players: int
    sets: Members
    coefficients: FloatArray
    orders: IntArray
    incidence: csr_array
    low: int
    high: int
    target: float | None = None

    @classmethod
    def of(cls, spectrum: Spectrum, low: int, high: int, target: float | None = None) -> Problem:
        """Build the problem of a spectrum of one output."""
        from scipy.sparse import csr_array

        n_players, sets = spectrum.n_players, spectrum.members
        term, column = np.nonzero(sets < n_players)
        incidence = csr_array(
            (np.ones(len(term)), (sets[term, column], term)), shape=(n_players, len(sets))
        )
        coefficients = spectrum.coefficients
        return cls(n_players, sets, coefficients, spectrum.orders, incidence, low, high, target)

    def characters(self, mask: BoolArray) -> FloatArray:
        """chi_S(m) of every term, ``(s,)``."""
        return np.asarray(1.0 - 2.0 * ((self.incidence.T @ mask.astype(np.float64)) % 2.0))

    def value(self, mask: BoolArray) -> float:
        """The value f(m)."""
        return float(self.characters(mask) @ self.coefficients)

    def merits(self, values: FloatArray) -> FloatArray:
        """The merit of masks of these values."""
        return values if self.target is None else -np.abs(values - self.target)

    def merit(self, mask: BoolArray) -> float:
        """The merit of a mask."""
        return float(self.merits(np.array(self.value(mask))))

    def gains(self, value: float, changes: FloatArray) -> FloatArray:
        """What changes of a value gain in merit."""
        if self.target is None:
            return changes
        return self.merits(value + changes) - self.merits(np.array(value))

    def admits(self, mask: BoolArray) -> bool:
        """Whether the number of kept players is within the limits."""
        return bool(self.low <= mask.sum() <= self.high)

    @cached_property
    def effects(self) -> FloatArray:
        """The change of the value by the term of order 1 when each player is kept, ``(n,)``."""
        single = self.orders == 1
        return -2.0 * np.asarray(self.incidence[:, single] @ self.coefficients[single])

    def strongest(self, effects: FloatArray) -> BoolArray:
        """Find the admissible mask with the largest sum of effects ``(n,)``."""
        mask = np.zeros(self.n_players, dtype=np.bool_)
        count = int(np.clip((effects > 0).sum(), self.low, self.high))
        mask[np.argsort(-effects, kind="stable")[:count]] = True
        return mask

    @cached_property
    def ceiling(self) -> float:
        """A bound on every merit, from one on every value."""
        if self.target is None:
            return self._largest(1.0)
        above, below = self.target - self._largest(1.0), -self._largest(-1.0) - self.target
        return -max(above, below, 0.0)

    def _largest(self, sign: float) -> float:
        """A bound on f, or on -f: the best of orders 0 and 1, plus sum |F| of higher orders."""
        weak, effects = self.orders <= 1, sign * self.effects
        first = sign * self.coefficients[weak].sum() + effects[self.strongest(effects)].sum()
        return float(first + np.abs(self.coefficients[~weak]).sum())

    @cached_property
    def rounding(self) -> float:
        """The difference of values that counts as the solver's rounding: 2e-6 of sum |F|."""
        return _ROUNDING * float(np.abs(self.coefficients).sum())


def enumerate_all(problem: Problem) -> BoolArray:
    """Find the best mask from the values of all 2^n, by one Walsh-Hadamard transform."""
    bits = np.append(1 << np.arange(problem.n_players, dtype=np.int64), 0)
    table = np.zeros(1 << problem.n_players)
    np.add.at(table, bits[problem.sets].sum(axis=1), problem.coefficients)
    values = problem.merits(walsh_hadamard(table))
    kept = np.bitwise_count(np.arange(len(table)))
    values[(kept < problem.low) | (kept > problem.high)] = -np.inf
    return np.asarray((int(values.argmax()) >> np.arange(problem.n_players)) & 1 == 1)
