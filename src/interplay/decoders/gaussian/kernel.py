r"""The kernel of a Gaussian process on masks: which sets of players are likely to matter.

With x = chi_{i}(m) in {-1, 1}^n and z_i = x_i x'_i,

.. math:: k(x, x') = c + \sum_{d=1}^{D} w_d \binom{n}{d}^{-1} e_d(r_1 z_1, \dots, r_n z_n)
          + \sum_{i<j} b_{ij} B_{ij}(x) B_{ij}(x')

* e_d is the elementary symmetric polynomial of degree d, so that the first sum says: Fourier
  coefficients are independent,
  :math:`F(S) \sim N(0, w_{|S|} \binom{n}{|S|}^{-1} \prod_{i \in S} r_i)`.
  Low orders are likelier, and players that matter alone are likelier to matter together: the
  hierarchy that ProxySPEX (arXiv 2505.17495) observes, as a prior. By Newton's identities the e_d
  come from power sums; even powers of z_i are 1, so that D = 4 needs two matrix products.
* B_ij(m) = m_i m_j prod_{i<k<j} (1 - m_k) is 1 where players i and j are kept and all between them
  are removed: what stands next to what, once something is left out. In texts neighbours interact,
  and removal makes neighbours. :math:`b_{ij} = b\, e^{-\lambda (j-i-1)} \sqrt{r_i r_j}\, 4/n` for
  j - i up to :data:`REACH`; where the order of the players means nothing, b is learned to be small.
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
"""How far apart two players may be that removal makes neighbours."""
MAX_DEGREE = 4


@dataclass(frozen=True, eq=False)
class Inputs:
    """Masks in the forms that the kernel reads. Made by :meth:`of`.

    Attributes:
        signs: (-1)^mask, ``(m, n)`` float64.
        adjacent: B_ij of the masks, ``(m, pairs)``, in the order of :func:`neighbours`.
    """

    signs: FloatArray
    adjacent: csr_array

    @classmethod
    def of(cls, masks: BoolArray) -> Inputs:
        """From masks ``(m, n)``."""
        n_masks, n_players = masks.shape
        blocks, alone = [], masks
        # alone[:, i]: i is kept, and all from i + 1 to i + gap - 1 are removed
        for gap in range(1, min(REACH, n_players - 1) + 1):
            alone, met = alone[:, : n_players - gap], masks[:, gap:]
            blocks.append(alone & met)
            alone = alone & ~met
        joined = np.hstack(blocks) if blocks else np.zeros((n_masks, 0), dtype=np.bool_)
        return cls(np.where(masks, -1.0, 1.0), csr_array(joined.astype(np.float64)))

    def __getitem__(self, rows: IntArray) -> Inputs:
        return Inputs(self.signs[rows], self.adjacent[rows])

    def __len__(self) -> int:
        return len(self.signs)


def neighbours(n_players: int) -> IntArray:
    """The pairs (i, j), j - i up to :data:`REACH`, ``(pairs, 2)``, nearest first."""
    pairs = [
        (i, i + gap)
        for gap in range(1, min(REACH, n_players - 1) + 1)
        for i in range(n_players - gap)
    ]
    return np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel by its hyperparameters, which are logarithms.

    Attributes:
        n_players: n.
        theta: ``(n + D + 4,)``, D at most n: log r (relevances; they count relative to their
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
        """r, of mean 1, ``(n,)``."""
        raw = np.exp(self.theta[: self.n_players] - self.theta[: self.n_players].max())
        return np.asarray(raw / raw.mean())

    @cached_property
    def weights(self) -> FloatArray:
        """w_d over the number of sets of that size, ``(D,)``."""
        n = self.n_players
        counts = [float(comb(n, d)) for d in range(1, self.degree + 1)]
        return np.asarray(np.exp(self.theta[n : n + self.degree]) / counts)

    @property
    def constant(self) -> float:
        """The variance c of the mean."""
        return float(np.exp(self.theta[-4]))

    @property
    def noise(self) -> float:
        """The variance of what the kernel cannot explain."""
        return float(np.exp(self.theta[-1]))

    @cached_property
    def adjacency(self) -> FloatArray:
        """b_ij, ``(pairs,)``."""
        pairs = neighbours(self.n_players)
        decay = np.exp(-np.exp(self.theta[-2]) * (pairs[:, 1] - pairs[:, 0] - 1))
        scale = np.exp(self.theta[-3]) * 4 / self.n_players
        return np.asarray(scale * decay * np.sqrt(self.relevances[pairs].prod(axis=1)))

    def powers(self, a: Inputs, b: Inputs) -> list[FloatArray]:
        """e_1 .. e_D of r z, each ``(len(a), len(b))``."""
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
        """The prior variance of F(S), the adjacency's part left out, ``(s,)``; orders 1 to D.

        Args:
            orders: ``(s,)``.
            members: the sets (see :mod:`interplay.sets`), ``(s, d)``.
        """
        r = np.append(self.relevances, 1.0)  # the padding counts for nothing
        weights = np.zeros(max(int(orders.max(initial=0)), self.degree) + 1)
        weights[0] = self.constant
        weights[1 : self.degree + 1] = self.weights
        return np.asarray(weights[orders] * r[members].prod(axis=1))

    def __call__(self, a: Inputs, b: Inputs) -> FloatArray:
        """The covariances of the values at masks, ``(len(a), len(b))``; without the noise."""
        return self.combine(self.powers(a, b), a, b)

    def combine(self, powers: list[FloatArray], a: Inputs, b: Inputs) -> FloatArray:
        """The same, from ``powers``."""
        total = self.weights[0] * powers[0]
        for weight, power in zip(self.weights[1:], powers[1:], strict=True):
            total += weight * power
        if len(self.adjacency):
            total += (a.adjacent * self.adjacency[None, :]) @ b.adjacent.T.toarray()
        total += self.constant
        return np.asarray(total)

    def gradient(self, powers: list[FloatArray], a: Inputs, outer: FloatArray) -> FloatArray:
        """The derivative of sum(outer * (k(a, a) + noise I)) by theta, ``(n + D + 4,)``.

        Args:
            powers: from :meth:`powers` of ``a`` and ``a``.
            a: the masks, m of them.
            outer: ``(m, m)``, symmetric.
        """
        n, degree, x, r, w = self.n_players, self.degree, a.signs, self.relevances, self.weights
        lower = [1.0, *powers[:-1]]  # e_0 .. e_{D-1}
        sums = [float(outer.sum()), *(float(np.vdot(outer, power)) for power in powers)]
        # d e_d / d r_i = sum_l (-r_i)^l z_i^(l+1) e_{d-1-l}; z_i^2 = 1
        by_player = np.zeros(n)
        for step in range(degree):
            factor, of = (-r) ** step, range(step + 1, degree + 1)
            if step % 2:
                by_player += factor * sum(w[d - 1] * sums[d - 1 - step] for d in of)
            else:
                mixed = sum(w[d - 1] * lower[d - 1 - step] for d in of)
                by_player += factor * np.einsum("mi,mi->i", x, (outer * mixed) @ x)
        pairs, b = neighbours(n), self.adjacency
        pull = np.asarray((a.adjacent.multiply(outer @ a.adjacent)).sum(axis=0)).ravel() * b
        if len(pairs):
            np.add.at(by_player, pairs.ravel(), np.repeat(pull / 2, 2) / r[pairs].ravel())
        along = by_player * r
        result = np.zeros(len(self.theta))
        result[:n] = along - r / n * along.sum()  # r is relative to its mean
        result[n : n + degree] = w * sums[1:]
        result[-4] = self.constant * sums[0]
        result[-3] = pull.sum()
        gaps = pairs[:, 1] - pairs[:, 0] - 1
        result[-2] = -np.exp(self.theta[-2]) * (pull * gaps).sum()
        result[-1] = self.noise * float(np.trace(outer))
        return result
