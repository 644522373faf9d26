r"""What the terms that are written down leave out of a posterior, where masks are not uniform.

A posterior has a Fourier coefficient for each of :math:`\sum_{d \le 4} \binom{n}{d}` sets, of which
a family is written down (:mod:`.terms`). Over uniform masks characters are orthogonal, so that
leaving weak ones out costs their energy and nothing more. Near the intact input all characters of
one order have nearly the same sign, and many weak ones add up. In the p-biased basis their sum is
of a low order. It is fitted to the difference between the posterior's predictions and those of the
family, at masks that are drawn for it; no ablation is needed. The strongest terms of the p-biased
basis, which people read, are fitted in the same way where p is not the same for all masks, so that
they are not orthogonal.

The same regression H takes an uncertain function to uncertain coefficients (:class:`Projection`):
if a posterior has the covariance C at the masks, they have :math:`H C H^\top`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.random import Generator

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.gaussian.inputs import Inputs
from interplay.decoders.gaussian.terms import Posterior
from interplay.designs.measures import Measure
from interplay.fourier.biased import FOURIER, biased, rebase, truncate
from interplay.fourier.sets import Members, tuples
from interplay.fourier.spectrum import Spectrum

_MOST_TERMS = 800
"""The most terms of the fit: the mean, all players, the pairs of the most relevant ones."""
_MASKS_PER_TERM = 5
_RIDGE = 1e-3
"""In units of the number of masks: the basis is about orthonormal there."""
_ROWS_AT_ONCE = 1000


def projected(
    written: Spectrum,
    n_terms: int,
    posteriors: list[Posterior],
    measure: Measure,
    weights: FloatArray,
    others: Spectrum,
    rng: Generator,
) -> tuple[Spectrum, Spectrum]:
    """The terms that were written down with what they leave out, and the strongest of all of these.

    Args:
        written: terms of k outputs: the posteriors' mean times its weight, and ``others``.
        n_terms: how many terms of the p-biased basis are the strongest.
        posteriors: of a Gaussian process.
        measure: the law of the masks.
        weights: the blend weights of the Gaussian process, ``(k,)``.
        others: what else the terms have, times its weight, exactly.
        rng: draws masks.
    """
    n = written.n_players
    sets = _low(n, np.mean([posterior.kernel.relevances for posterior in posteriors], axis=0))
    masks = measure.draw(_MASKS_PER_TERM * max(len(sets), n_terms), n, rng)
    wanted = weights * _predictions(posteriors, masks) + others.predict(masks)
    everything = written + _fitted(sets, masks, wanted - written.predict(masks), measure.mean)
    strongest = truncate(everything, measure.mean, n_terms)
    if len(measure.law(0)) == 1:
        return everything, strongest
    terms = rebase(strongest.members, strongest.coefficients, n, FOURIER, biased(measure.mean))
    support = Spectrum.from_members(n, *terms).truncate(n_terms=n_terms)
    missed = wanted - strongest.predict(masks)
    return everything, strongest + _fitted(support.members, masks, missed, measure.mean)


@dataclass(frozen=True, eq=False)
class Projection:
    """The regression of functions on some sets of the p-biased basis, at masks of a measure.

    Attributes:
        sets: the sets, ``(s, d)``.
        n_players: n.
        p: the measure's mean share of kept players.
        masks: where functions are compared, ``(m, n)``.
        hat: H, what makes coefficients of values at the masks, ``(s, m)``.
    """

    sets: Members
    n_players: int
    p: float
    masks: BoolArray
    hat: FloatArray

    @classmethod
    def on(cls, spectrum: Spectrum, n_terms: int, measure: Measure, rng: Generator) -> Projection:
        """The projection on the strongest terms that a spectrum has in the p-biased basis."""
        n, p = spectrum.n_players, measure.mean
        terms = rebase(spectrum.members, spectrum.coefficients, n, FOURIER, biased(p))
        sets = Spectrum.from_members(n, *terms).truncate(n_terms=n_terms).members
        masks = measure.draw(_MASKS_PER_TERM * len(sets), n, rng)
        return cls(sets, n, p, masks, _regression(_functions(sets, masks, p)))

    def functions(self, masks: BoolArray) -> FloatArray:
        """The sets' functions at masks ``(h, n)``, ``(h, s)``."""
        return _functions(self.sets, masks, self.p)

    def means(self, posteriors: list[Posterior]) -> FloatArray:
        """The coefficients of the posterior means, ``(posteriors, s, k)``."""
        return np.stack([self.hat @ _predictions([one], self.masks) for one in posteriors])

    def of(self, spectrum: Spectrum) -> FloatArray:
        """The coefficients of another function, ``(s,)`` or ``(s, k)``."""
        return np.asarray(self.hat @ spectrum.predict(self.masks))

    def covariance(self, posterior: Posterior) -> FloatArray:
        """The posterior covariance of the coefficients, ``(s, s)``."""
        from scipy.linalg import solve_triangular

        kernel, inputs = posterior.kernel, Inputs.of(self.masks)
        half = solve_triangular(
            posterior.lower, kernel(posterior.inputs, inputs) @ self.hat.T, lower=True
        )
        prior = np.zeros((len(self.sets),) * 2)
        for start in range(0, len(self.masks), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            block = kernel(Inputs.of(self.masks[rows]), inputs)
            prior += self.hat[:, rows] @ (block @ self.hat.T)
        return np.asarray(prior - half.T @ half)

    def in_fourier(self, factor: FloatArray, spectrum: Spectrum) -> FloatArray:
        """Convert a factor of the covariance, ``(s, k, c)``, to one of a spectrum's terms.

        Subsets of the sets that the spectrum lacks are left out.
        """
        columns = factor.reshape(len(factor), -1)
        members, converted = rebase(self.sets, columns, self.n_players, biased(self.p), FOURIER)
        rows = {players: row for row, players in enumerate(spectrum.sets)}
        placed = np.zeros((len(spectrum), columns.shape[1]))
        for players, values in zip(tuples(members, self.n_players), converted, strict=True):
            if players in rows:
                placed[rows[players]] = values
        return placed.reshape(len(spectrum), *factor.shape[1:])


def _fitted(sets: Members, masks: BoolArray, values: FloatArray, p: float) -> Spectrum:
    """The regression of values ``(m, k)`` on functions of the p-biased basis."""
    fitted = _regression(_functions(sets, masks, p)) @ values
    n = masks.shape[1]
    return Spectrum.from_members(n, *rebase(sets, fitted, n, biased(p), FOURIER))


def _functions(sets: Members, masks: BoolArray, p: float) -> FloatArray:
    """The p-biased functions of sets at masks, ``(m, s)``."""
    players = np.column_stack([(p - masks) / np.sqrt(p * (1.0 - p)), np.ones(len(masks))])
    functions = np.ones((len(masks), len(sets)))
    for column in sets.T:
        functions *= players[:, column]
    return functions


def _regression(functions: FloatArray) -> FloatArray:
    """What makes the coefficients of a regression of values at m masks, ``(s, m)``."""
    from scipy.linalg import solve

    gram = functions.T @ functions
    gram[np.diag_indices_from(gram)] += _RIDGE * len(functions)
    return np.asarray(solve(gram, functions.T, assume_a="pos"))


def _predictions(posteriors: list[Posterior], masks: BoolArray) -> FloatArray:
    """The posterior mean at masks, ``(m, k)``, averaged over posteriors."""
    blocks = []
    for start in range(0, len(masks), _ROWS_AT_ONCE):
        inputs = Inputs.of(masks[start : start + _ROWS_AT_ONCE])
        each = [p.kernel(inputs, p.inputs) @ p.weights for p in posteriors]
        blocks.append(np.mean(each, axis=0))
    return np.concatenate(blocks)


def _low(n_players: int, relevances: FloatArray) -> Members:
    """The empty set, players, and the pairs of the most relevant ones, ``(s, 2)``."""
    most: IntArray = np.argsort(-relevances, kind="stable")
    singles = np.sort(most[: _MOST_TERMS - 1])
    room = _MOST_TERMS - 1 - len(singles)
    n_paired = int((1 + np.sqrt(1 + 8 * room)) // 2)  # so many players have at most so many pairs
    paired = np.sort(most[:n_paired]).tolist()
    pairs = list(combinations(paired, 2))
    sets = np.full((1 + len(singles) + len(pairs), 2), n_players, dtype=np.int32)
    sets[1 : 1 + len(singles), 0] = singles
    if pairs:
        sets[1 + len(singles) :] = pairs
    return sets
