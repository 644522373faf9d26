r"""The kernel of a Gaussian process on masks: which sets of players are likely to matter.

With x = chi_{i}(m) in {-1, 1}^n and z_i = x_i x'_i,

.. math:: k(x, x') = c + \sum_{d=1}^{D} w_d \binom{n}{d}^{-1} e_d(r_1 z_1, \dots, r_n z_n)
          + \sum_{i<j} b_{ij} B_{ij}(x) B_{ij}(x')

* e_d is the elementary symmetric polynomial of degree d. The first sum therefore makes Fourier
  coefficients independent,
  :math:`F(S) \sim N(0, w_{|S|} \binom{n}{|S|}^{-1} \prod_{i \in S} r_i)`,
  with a relevance r_i for each player i. Low orders are likelier, and players that matter alone are
  likelier to matter together. This is the hierarchy that ProxySPEX (arXiv 2505.17495) observes, as
  a prior. By Newton's identities the e_d come from power sums. Even powers of z_i are 1, so D = 4
  needs only two matrix products.
* B_ij(m) = m_i m_j prod_{i<k<j} (1 - m_k) is 1 where players i and j are kept and all between them
  are removed: the removal makes them neighbours, and in texts neighbours interact.
  :math:`b_{ij} = b\, e^{-\lambda (j-i-1)} \sqrt{r_i r_j}\, 4/n` for j - i up to :data:`REACH`.
  Where the order of the players means nothing, b is learned to be small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from scipy.sparse import csr_array

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.fourier.sets import Members

REACH = 4
"""The largest j - i of players that removal makes neighbours."""
MAX_DEGREE = 4
"""The largest D."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Masks in the forms that the kernel takes. Build it with :meth:`of`.

    Attributes:
        signs: (-1)^mask, ``(m, n)`` float64.
        adjacent: B_ij of the masks, ``(m, pairs)``, in the order of :func:`neighbours`.
    """

    signs: FloatArray
    adjacent: csr_array

    @classmethod
    def of(cls, masks: BoolArray) -> Inputs:
        """Convert masks ``(m, n)``."""
        n_masks, n_players = masks.shape
        blocks, alone = [], masks
        # alone[:, i]: i is kept, and all from i + 1 to i + gap - 1 are removed
        for gap in range(1, min(REACH, n_players - 1) + 1):
            alone, partner = alone[:, : n_players - gap], masks[:, gap:]
            blocks.append(alone & partner)
            alone = alone & ~partner
        joined = np.hstack(blocks) if blocks else np.zeros((n_masks, 0), dtype=np.bool_)
        return cls(np.where(masks, -1.0, 1.0), csr_array(joined.astype(np.float64)))

    def __getitem__(self, rows: IntArray) -> Inputs:
        return Inputs(self.signs[rows], self.adjacent[rows])

    def __len__(self) -> int:
        return len(self.signs)


def neighbours(n_players: int) -> IntArray:
    """List the pairs (i, j) with j - i up to :data:`REACH`, ``(pairs, 2)``, nearest first."""
    pairs = [
        (i, i + gap)
        for gap in range(1, min(REACH, n_players - 1) + 1)
        for i in range(n_players - gap)
    ]
    return np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)


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

    @cached_property
    def adjacency(self) -> FloatArray:
        """b_ij, ``(pairs,)``."""
        pairs = neighbours(self.n_players)
        decay = np.exp(-np.exp(self.theta[-2]) * (pairs[:, 1] - pairs[:, 0] - 1))
        scale = np.exp(self.theta[-3]) * 4 / self.n_players
        return np.asarray(scale * decay * np.sqrt(self.relevances[pairs].prod(axis=1)))

    def powers(self, a: Inputs, b: Inputs) -> list[FloatArray]:
        """Compute e_1 .. e_D of r z, each ``(len(a), len(b))``."""
        r, degree = self.relevances, self.degree
        p2, p4 = float((r**2).sum()), float((r**4).sum())
        e1 = (a.signs * r) @ b.signs.T
        if degree == 1:
            return [e1]
        # in place: new arrays of this size cost more than the arithmetic
        e2 = e1 * e1
        e2 -= p2
        e2 *= 0.5
        if degree == 2:
            return [e1, e2]
        p3 = (a.signs * r**3) @ b.signs.T
        e3 = e2 - p2
        e3 *= e1
        e3 += p3
        e3 /= 3
        if degree == 3:
            return [e1, e2, e3]
        e4 = np.add(e3, p3, out=p3)
        e4 *= e1
        e4 -= p2 * e2
        e4 -= p4
        e4 *= 0.25
        return [e1, e2, e3, e4]

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

    def __call__(self, a: Inputs, b: Inputs) -> FloatArray:
        """The covariances of the values at masks, ``(len(a), len(b))``; without the noise."""
        return self.combine(self.powers(a, b), a, b)

    def combine(self, powers: list[FloatArray], a: Inputs, b: Inputs) -> FloatArray:
        """Add up the covariances of :meth:`__call__`, given the result of :meth:`powers`."""
        total = self.weights[0] * powers[0]
        for weight, power in zip(self.weights[1:], powers[1:], strict=True):
            total += weight * power
        if len(self.adjacency):
            total += (a.adjacent * self.adjacency[None, :]) @ b.adjacent.T.toarray()
        total += self.constant
        return np.asarray(total)

    def gradient(self, powers: list[FloatArray], a: Inputs, outer: FloatArray) -> FloatArray:
        """The derivative of sum(outer * (k(a, a) + noise I)) with respect to theta.

        Args:
            powers: the result of :meth:`powers` for ``a`` and ``a``.
            a: the m masks.
            outer: ``(m, m)``, symmetric.

        Returns:
            ``(n + D + 4,)``.
        """
        n, degree, x, r, w = self.n_players, self.degree, a.signs, self.relevances, self.weights
        lower = [1.0, *powers[:-1]]  # e_0 .. e_{D-1}
        sums = [float(outer.sum()), *(float(np.vdot(outer, power)) for power in powers)]
        # d e_d / d r_i = sum_l (-r_i)^l z_i^(l+1) e_{d-1-l}; z_i^2 = 1
        by_player = np.zeros(n)
        for step in range(degree):
            factor, degrees = (-r) ** step, range(step + 1, degree + 1)
            if step % 2:
                by_player += factor * sum(w[d - 1] * sums[d - 1 - step] for d in degrees)
            else:
                mixed = sum(w[d - 1] * lower[d - 1 - step] for d in degrees)
                by_player += factor * np.einsum("mi,mi->i", x, (outer * mixed) @ x)
        pairs, b = neighbours(n), self.adjacency
        by_pair = np.asarray((a.adjacent.multiply(outer @ a.adjacent)).sum(axis=0)).ravel() * b
        if len(pairs):
            np.add.at(by_player, pairs.ravel(), np.repeat(by_pair / 2, 2) / r[pairs].ravel())
        by_log = by_player * r
        result = np.zeros(len(self.theta))
        result[:n] = by_log - r / n * by_log.sum()  # r is divided by its mean
        result[n : n + degree] = w * sums[1:]
        result[-4] = self.constant * sums[0]
        result[-3] = by_pair.sum()
        gaps = pairs[:, 1] - pairs[:, 0] - 1
        result[-2] = -np.exp(self.theta[-2]) * (by_pair * gaps).sum()
        result[-1] = self.noise * float(np.trace(outer))
        return result
