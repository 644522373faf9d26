r"""The mean of a derivative over the backgrounds of a measure: from which of them, and its error.

A measure keeps each player with a probability p that is drawn for each mask. What its masks keep of
the players outside a set S is therefore what the measure says of these players alone, and the same
backgrounds serve all sets. Under ``"shapley"`` the backgrounds of S have every size from 0 to n - s
alike, and the mean of the discrete derivative is the Shapley interaction index (Grabisch and
Roubens 1999, "An axiomatic approach to the concept of interaction among players"),

.. math:: SII(S) = \frac{1}{n-s+1} \sum_{t=0}^{n-s} \binom{n-s}{t}^{-1}
          \sum_{B \subseteq N \setminus S,\, |B| = t} \Delta_S f(B).

Under ``"uniform"`` it is the Banzhaf interaction index, and under another measure the same mean
over masks of that one.

**Ends.** There is one background of size 0 and one of size n - s, and their probability is large
under most measures: 1 / (n - s + 1) each under ``"shapley"``. Both are evaluated and count with
their exact probability. The other backgrounds are drawn independently, so that some may be drawn
again; these count again and cost nothing. An effect at an end, where it is often unlike all others,
is thus never missed. Among uniform masks the ends are as rare as any other mask, and none is drawn
twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._arrays import unpack
from interplay._types import BoolArray, FloatArray, IntArray, Players
from interplay.designs.measures import UNIFORM, Measure
from interplay.fourier.masks import distinct, every_mask
from interplay.fourier.spectrum import Spectrum

RARE = 1e-6
"""An end of a smaller probability is not evaluated, and counts as nothing."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The backgrounds over which the derivative of a set is averaged.

    Attributes:
        outside: the backgrounds, ``(b, n)``, without the players of the set T whose patterns are
            evaluated on each.
        exact: the probabilities of the first e of them, ``(e,)``. The others were drawn at random
            from the rest of the law.
    """

    outside: BoolArray
    exact: FloatArray

    @property
    def n_drawn(self) -> int:
        """How many were drawn at random."""
        return len(self.outside) - len(self.exact)

    def mean(self, values: FloatArray) -> FloatArray:
        """The mean under the measure of values on the backgrounds, ``(b, ...)``."""
        n_exact = len(self.exact)
        if not self.n_drawn:
            return np.asarray(np.tensordot(self.exact / self.exact.sum(), values, 1))
        drawn = values[n_exact:].mean(axis=0)
        if not n_exact:
            return np.asarray(drawn)
        return np.asarray(self._share * drawn + np.tensordot(self.exact, values[:n_exact], 1))

    def count(self, noisy: bool) -> float:
        """How many independent values a mean is worth: its variance is theirs divided by this.

        Args:
            noisy: the values have noise. The ends then have an error too, and a background that was
                drawn twice has the same one both times.
        """
        if not self.n_drawn:
            return float(1.0 / (self.exact @ self.exact))
        scale = self.n_drawn / self._share
        squares = float(self.n_drawn)
        if noisy:
            times = np.bincount(distinct(self.outside[len(self.exact) :])[1])
            squares = float(times @ times) + scale**2 * float(self.exact @ self.exact)
        return float(scale**2 / squares)

    @property
    def _share(self) -> float:
        """The probability of all backgrounds that are not counted exactly."""
        return 1.0 - float(self.exact.sum())


def sample_of(
    backgrounds: BoolArray, ends: BoolArray, complete: bool, larger: Players, measure: Measure
) -> Sample:
    """What backgrounds say of a set T.

    Args:
        backgrounds: masks of the measure, ``(m, n)``.
        ends: the ends that are evaluated beside them, ``(e, n)``.
        complete: the backgrounds are all 2^n masks.
        larger: T.
        measure: the measure.
    """
    masks = np.concatenate([ends, backgrounds])
    masks[:, list(larger)] = False
    outside, place = distinct(masks)  # all patterns of T are evaluated on each
    if measure == UNIFORM:
        return Sample(outside, np.zeros(0))
    n_exact = len(outside) if complete else len(distinct(masks[: len(ends)])[0])
    outside = np.concatenate([outside[:n_exact], masks[place >= n_exact]])
    kept = outside[:n_exact].sum(axis=1)
    n_others = masks.shape[1] - len(larger)
    return Sample(outside, np.exp(log_chance(measure, kept, n_others)))


def ends_of(n_players: int, largest: int, measure: Measure) -> BoolArray:
    """The ends that count exactly, ``(e, n)``: the full input, the empty one, both or none.

    Args:
        n_players: n.
        largest: the largest number of players of a set.
        measure: the measure.
    """
    n_others = n_players - largest
    chances = log_chance(measure, np.array([n_others, 0]), n_others)
    likely = np.exp(chances) > RARE if measure != UNIFORM else np.zeros(2, dtype=np.bool_)
    return np.array([[True] * n_players, [False] * n_players])[likely]


def log_chance(measure: Measure, kept: IntArray, n_players: int) -> FloatArray:
    """The logarithm of the probability of one mask that keeps so many of n players."""
    from scipy.special import betainc, betaln, logsumexp

    removed = n_players - kept
    parts = []
    for low, high in measure.ranges:
        if low < high:
            upper, lower = (betainc(kept + 1, removed + 1, end) for end in (high, low))
            with np.errstate(divide="ignore"):
                density = np.log((upper - lower) / (high - low))
            parts.append(density + betaln(kept + 1, removed + 1))
        else:
            parts.append(kept * np.log(low) + removed * np.log1p(-low))
    return np.asarray(logsumexp(parts, axis=0) - np.log(len(parts)))


def pattern_chances(
    outside: BoolArray, players: Players, larger: Players, measure: Measure
) -> FloatArray:
    """The probability of what T keeps outside S, for each pattern of T: ``(b, 2**|T|)``.

    It is conditional on the background, since a measure that draws p tells of p by the size.

    Args:
        outside: backgrounds without T, ``(b, n)``.
        players: S.
        larger: T.
        measure: the measure.
    """
    n_free = len(larger) - len(players)
    if measure == UNIFORM:
        return np.full((len(outside), 1 << len(larger)), 0.5**n_free)
    free = [player not in players for player in larger]
    kept_free = every_mask(len(larger))[:, free].sum(axis=1)
    n_outside, kept = outside.shape[1] - len(larger), outside.sum(axis=1)
    together = log_chance(measure, kept[:, None] + np.arange(n_free + 1), n_outside + n_free)
    chances = np.exp(together - log_chance(measure, kept, n_outside)[:, None])
    return np.asarray(chances[:, kept_free])


def mean_derivative(spectrum: Spectrum, players: Players, measure: Measure) -> float:
    r"""What a spectrum predicts for the mean derivative of S, in closed form.

    .. math:: (-2)^s \sum_{T \supseteq S} F(T)\, E[(1 - 2p)^{|T| - s}],

    and what the measured ends add to it, where the spectrum has some (see
    :mod:`interplay.fourier.ends`). It is BII(S) under ``"uniform"`` and SII(S) under ``"shapley"``.

    Args:
        spectrum: F, of one output.
        players: S.
        measure: the measure.
    """
    containing = containing_terms(spectrum, players)
    others = containing.orders - len(players)
    law = measure.law(int(others.max(initial=0)))
    weights = sum(weight * (1.0 - 2.0 * p) ** others for p, weight in law)
    predicted = float((-2.0) ** len(players) * (containing.coefficients @ weights)) + 0.0
    if spectrum.ends is None or measure == UNIFORM:
        return predicted
    n_others = spectrum.n_players - len(players)
    chances = np.exp(log_chance(measure, np.array([n_others, 0]), n_others))
    full, empty = spectrum.end_errors * chances
    return predicted + float(full) + (-1.0) ** len(players) * float(empty)


def containing_terms(spectrum: Spectrum, players: Players) -> Spectrum:
    """The terms of a spectrum whose sets contain the players."""
    rows = unpack(spectrum.supports, spectrum.n_players)[:, list(players)].all(axis=1)
    return Spectrum(spectrum.n_players, spectrum.supports[rows], spectrum.coefficients[rows])
