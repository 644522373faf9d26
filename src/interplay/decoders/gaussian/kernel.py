r"""The kernel of a Gaussian process on masks: which sets of players are likely to matter.

With x = chi_{i}(m) in {-1, 1}^n and z_i = x_i x'_i,

.. math:: k(x, x') = c + \sum_{d=1}^{D} w_d \binom{n}{d}^{-1} e_d(r_1 z_1, \dots, r_n z_n)
          + \sum_{i<j} b_{ij} B_{ij}(x) B_{ij}(x')

* e_d is the elementary symmetric polynomial of degree d. The first sum therefore makes Fourier
  coefficients independent,
  :math:`F(S) \sim N(0, w_{|S|} \binom{n}{|S|}^{-1} \prod_{i \in S} r_i)`,
  with a relevance r_i for each player i. Low orders are likelier, and players that matter alone are
  likelier to matter together. This is the hierarchy that ProxySPEX (arXiv 2505.17495) observes, as
  a prior. By Newton's identities the e_d are polynomials in the power sums
  :math:`p_l = \sum_i (r_i z_i)^l`. Even powers of z_i are 1, so D = 4 needs only two matrix
  products. With p = p_1 and q = p_3 the sum is a polynomial of degree 4 in p, plus q times one of
  degree 1.
* B_ij(m) = m_i m_j prod_{i<k<j} (1 - m_k) is 1 where players i and j are kept and all between them
  are removed: the removal makes them neighbours, and in texts neighbours interact.
  :math:`b_{ij} = b\, e^{-\lambda (j-i-1)} \sqrt{r_i r_j}\, 4/n` for j - i up to
  :data:`.inputs.REACH`. Where the order of the players means nothing, b is learned to be small.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import TypeAlias

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.decoders.gaussian.inputs import Floats, Inputs, Panel, neighbours, panels
from interplay.fourier.sets import Members

MAX_DEGREE = 4
"""The largest D."""
_LEAST_NOISE_OF_SINGLE = 1e-3
"""The least noise for float32, as a share of a bound on the variance of everything else."""
_MOST_IN_DOUBLE = 256
"""Up to so many masks everything is in float64: there is hardly any time to be saved."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel, given by the logarithms of its hyperparameters.

    Attributes:
        n_players: n.
        theta: ``(n + D + 4,)``, D at most n: log r (the relevances, which are divided by their
            mean), log w of degrees 1 to D, log c, log b, log lambda, and log of the noise's
            variance.
    """

    n_players: int
    theta: FloatArray

    @property
    def degree(self) -> int:
        """D."""
        return len(self.theta) - self.n_players - 4

    @cached_property
    def relevances(self) -> FloatArray:
        """The relevances r, of mean 1, ``(n,)``."""
        raw = np.exp(self.theta[: self.n_players] - self.theta[: self.n_players].max())
        return np.asarray(raw / raw.mean())

    @cached_property
    def weights(self) -> FloatArray:
        """w_d divided by the number of sets of that size, ``(D,)``."""
        n = self.n_players
        counts = [float(comb(n, d)) for d in range(1, self.degree + 1)]
        return np.asarray(np.exp(self.theta[n : n + self.degree]) / counts)

    @property
    def constant(self) -> float:
        """The variance c of the mean."""
        return float(np.exp(self.theta[-4]))

    @property
    def noise(self) -> float:
        """The variance s^2 of what the kernel cannot explain."""
        return float(np.exp(self.theta[-1]))

    def suits_single(self, n_masks: int) -> bool:
        """Whether float32 will do for the covariances between m masks, with the noise.

        They must be far enough from singular, and so many that it is worth it.
        """
        of_sizes = float(np.exp(self.theta[self.n_players : -4]).sum())
        signal = self.constant + of_sizes + float(self.adjacency.sum())
        return n_masks > _MOST_IN_DOUBLE and self.noise > _LEAST_NOISE_OF_SINGLE * signal

    @cached_property
    def adjacency(self) -> FloatArray:
        """b_ij, ``(pairs,)``."""
        pairs = neighbours(self.n_players)
        decay = np.exp(-np.exp(self.theta[-2]) * (pairs[:, 1] - pairs[:, 0] - 1))
        scale = np.exp(self.theta[-3]) * 4 / self.n_players
        return np.asarray(scale * decay * np.sqrt(self.relevances[pairs].prod(axis=1)))

    def power_sums(self, a: Inputs, b: Inputs) -> tuple[Floats, Floats | None]:
        """Compute the power sums of r z: sum_i r_i z_i, and sum_i (r_i z_i)^3 where D > 2.

        Each is ``(len(a), len(b))``. The even ones do not depend on the masks.
        """
        relevances = self.relevances.astype(b.signs.dtype)
        first = a.signs @ (b.signs * relevances).T
        if self.degree < 3:
            return first, None
        return first, a.signs @ (b.signs * relevances**3).T

    def prior(self, orders: IntArray, members: Members) -> FloatArray:
        """The prior variance of F(S), without the part of the adjacency, ``(s,)``.

        It is 0 for orders above D.

        Args:
            orders: ``(s,)``.
            members: the sets (see :mod:`interplay.fourier.sets`), ``(s, d)``.
        """
        r = np.append(self.relevances, 1.0)  # padding has the factor 1
        weights = np.zeros(max(int(orders.max(initial=0)), self.degree) + 1)
        weights[0] = self.constant
        weights[1 : self.degree + 1] = self.weights
        return np.asarray(weights[orders] * r[members].prod(axis=1))

    def __call__(self, a: Inputs, b: Inputs) -> Floats:
        """The covariances of the values at masks, ``(len(a), len(b))``; without the noise.

        They are of the inputs' type.
        """
        return self.combine(*self.power_sums(a, b), a, b.adjacent.T.toarray())

    def lower(self, inputs: Inputs) -> Floats:
        """The covariances between m masks, ``(m, m)``; what is above the diagonal is undefined."""
        total = np.empty((len(inputs), len(inputs)), dtype=inputs.signs.dtype)
        for panel in panels(inputs):
            total[panel.start :, panel.start : panel.stop] = self.of_panel(panel)[0]
        return total

    def of_panel(self, panel: Panel) -> tuple[Floats, Floats, Floats | None]:
        """The covariances of a panel, ``(h, b)``, and its two power sums."""
        first, third = self.power_sums(panel.rows, panel.columns)
        return self.combine(first, third, panel.rows, panel.adjacent), first, third

    @cached_property
    def _polynomial(self) -> tuple[list[float], list[float]]:
        """The kernel without its adjacency, as sum_d a_d p^d + q sum_d b_d p^d.

        p and q are the results of :meth:`power_sums`.

        Returns:
            The coefficients a, and the coefficients b.
        """
        p2, p4 = (float((self.relevances**power).sum()) for power in (2, 4))
        w1, w2, w3, w4 = [*self.weights.tolist(), 0.0, 0.0, 0.0][:4]
        constant = self.constant - w2 * p2 / 2 + w4 * (p2 * p2 - 2 * p4) / 8
        of_first = [constant, w1 - w3 * p2 / 2, w2 / 2 - w4 * p2 / 4, w3 / 6, w4 / 24]
        return of_first[: self.degree + 1], [w3 / 3, w4 / 3][: max(0, self.degree - 2)]

    def combine(self, first: Floats, third: Floats | None, a: Inputs, adjacent: Floats) -> Floats:
        """Compute the covariances from power sums.

        Args:
            first: from :meth:`power_sums` for the masks ``a`` and others.
            third: the same.
            a: h masks.
            adjacent: B_ij of the b other masks, ``(pairs, b)``.
        """
        of_first, of_third = self._polynomial
        total = _horner(of_first, first)
        if third is not None:
            total += _horner(of_third, first) * third
        if len(self.adjacency):
            scale = self.adjacency.astype(adjacent.dtype)[:, None]
            total += a.adjacent @ (adjacent * scale)
        return total

    def gradient(self, parts: Iterable[Part]) -> FloatArray:
        """The derivative of sum(outer * (k(x, x) + noise I)) with respect to theta.

        ``outer`` is symmetric, ``(m, m)``.

        Args:
            parts: its panels, each with the panel's power sums and weights T: below the diagonal
                twice ``outer``, on the diagonal ``outer``, above it 0.

        Returns:
            ``(n + D + 4,)``.
        """
        n, degree, r, w = self.n_players, self.degree, self.relevances, self.weights
        of_first, of_third = self._polynomial
        slope = [power * number for power, number in enumerate(of_first)][1:]
        moments, trace = np.zeros(7), 0.0
        by_first, by_third, by_pair = np.zeros(n), np.zeros(n), np.zeros(len(self.adjacency))
        for panel, first, third, weights in parts:
            weighted, square = weights * first, first * first
            moments[:3] += weights.sum(), weighted.sum(), np.vdot(weights, square)
            moments[3:5] += np.vdot(weighted, square), np.vdot(weights * square, square)
            by_p = _horner(slope, first)
            if third is not None:
                moments[5:] += np.vdot(weights, third), np.vdot(weighted, third)
                if degree > 3:
                    by_p += of_third[1] * third
                by_third += panel.forms(weights * _horner(of_third, first))
            by_first += panel.forms(weights * by_p)
            if len(by_pair):
                by_pair += panel.adjacent_forms(weights)
            trace += float(np.trace(weights))
        sums = self._elementary(moments)
        # through the power sums p_1 to p_4, of which the even ones are numbers
        by_second = -sum(w[d - 1] * sums[d - 2] for d in range(2, degree + 1))
        by_fourth = -w[3] * sums[0] if degree > 3 else 0.0
        by_player = by_first + by_second * r + 3 * by_third * r**2 + by_fourth * r**3
        pairs, by_pair = neighbours(n), by_pair * self.adjacency
        if len(pairs):
            np.add.at(by_player, pairs.ravel(), np.repeat(by_pair / 2, 2) / r[pairs].ravel())
        by_log = by_player * r
        result = np.zeros(len(self.theta))
        result[:n] = by_log - r / n * by_log.sum()  # r is divided by its mean
        result[n : n + degree] = w * sums[1 : degree + 1]
        result[-4] = self.constant * sums[0]
        result[-3] = by_pair.sum()
        gaps = pairs[:, 1] - pairs[:, 0] - 1
        result[-2] = -np.exp(self.theta[-2]) * (by_pair * gaps).sum()
        result[-1] = self.noise * trace
        return result

    def _elementary(self, moments: FloatArray) -> list[float]:
        """The sums of T times e_0 to e_4, by Newton's identities.

        Args:
            moments: the sums of T times 1, p, p^2, p^3, p^4, q and p q, with p and q the results of
                :meth:`power_sums`, ``(7,)``.
        """
        p2, p4 = (float((self.relevances**power).sum()) for power in (2, 4))
        of_1, of_p, of_p2, of_p3, of_p4, of_q, of_pq = moments.tolist()
        return [
            of_1,
            of_p,
            (of_p2 - p2 * of_1) / 2,
            (of_p3 - 3 * p2 * of_p + 2 * of_q) / 6,
            (of_p4 - 6 * p2 * of_p2 + (3 * p2**2 - 6 * p4) * of_1 + 8 * of_pq) / 24,
        ]


Part: TypeAlias = tuple[Panel, Floats, Floats | None, Floats]
"""A panel, its two power sums, and its weights T (see :meth:`Kernel.gradient`)."""


def _horner(coefficients: list[float], x: Floats) -> Floats:
    """The polynomial sum_d c_d x^d, in as few passes as there are."""
    if len(coefficients) == 1:
        return np.full_like(x, coefficients[0])
    total = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= x
    total += coefficients[0]
    return total
