"""The problem of the best subset: values, limits on the size, and enumeration of small cases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.fourier.sets import Members
from interplay.fourier.spectrum import Spectrum
from interplay.fourier.transform import walsh_hadamard

_ROUNDING = 2e-6


@dataclass(frozen=True, eq=False)
class Problem:
    """Maximise f(m) = sum_S F(S) chi_S(m) over masks that keep ``low`` to ``high`` players.

    Attributes:
        n_players: n.
        sets: the S, as members ``(s, d)``.
        coefficients: F(S), ``(s,)``.
        orders: |S|, ``(s,)``.
        incidence: ``(n, s)``, 1 where a player belongs to a set.
        low: the fewest players to keep.
        high: the most.
    """

    n_players: int
    sets: Members
    coefficients: FloatArray
    orders: IntArray
    incidence: csr_array
    low: int
    high: int

    @classmethod
    def of(cls, spectrum: Spectrum, low: int, high: int) -> Problem:
        """Build the problem of a spectrum of one output."""
        n_players, sets = spectrum.n_players, spectrum.members
        term, column = np.nonzero(sets < n_players)
        incidence = csr_array(
            (np.ones(len(term)), (sets[term, column], term)), shape=(n_players, len(sets))
        )
        coefficients = spectrum.coefficients
        return cls(n_players, sets, coefficients, spectrum.orders, incidence, low, high)

    def characters(self, mask: BoolArray) -> FloatArray:
        """chi_S(m) of every term, ``(s,)``."""
        return np.asarray(1.0 - 2.0 * ((self.incidence.T @ mask.astype(np.float64)) % 2.0))

    def value(self, mask: BoolArray) -> float:
        """The value f(m)."""
        return float(self.characters(mask) @ self.coefficients)

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
        """A bound on every value: the best of orders 0 and 1, plus sum |F| of higher orders."""
        weak = self.orders <= 1
        first = self.coefficients[weak].sum() + self.effects[self.strongest(self.effects)].sum()
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
    values = walsh_hadamard(table)
    kept = np.bitwise_count(np.arange(len(table)))
    values[(kept < problem.low) | (kept > problem.high)] = -np.inf
    return np.asarray((int(values.argmax()) >> np.arange(problem.n_players)) & 1 == 1)
