r"""Hyperparameters of the kernel by marginal likelihood.

The k outputs share the kernel. For their standardised values Y ``(m, k)`` and C = K + s^2 I, L-BFGS
with the exact gradient minimises

.. math:: \tfrac12 \sum_j y_j^\top C^{-1} y_j + \tfrac k2 \log\det C - \log p(\theta).

The prior p keeps relevances within about a factor e of each other, and the other hyperparameters
near a line. Games differ most in one thing, how complex they are: a game with little order 3 has
little order 4, adjacency and noise as well. The line was fitted to games that take no other part in
the race (``benchmarks/tune_prior.py``).

A game's hints h (:class:`interplay.game.Hints`) move the prior of the relevances: with z the
logarithm of h, standardised over the players, :math:`\log r_i = \gamma z_i + d_i`, where d_i is
standard normal and :math:`\gamma \sim N(g, s^2)`. With :math:`\gamma` integrated out, log r has the
mean g z and the covariance :math:`I + s^2 z z^\top`, so there is nothing more to learn. Where the
ablations contradict the hints, :math:`\gamma` comes out near 0.

One hyperparameter for each player, fitted to the same few hundred values as everything else,
overfits. On a film review of 59 words and 174 ablations the leave-one-out R2 is 0.64, but R2 on
held-out masks is 0.29. The hyperparameters are therefore learned several times, on random parts of
the ablations. Each of them is conditioned on all ablations, and the posteriors are averaged
(held-out R2 there: 0.39). A leave-one-out error is a fair estimate only where the hyperparameters
were learned without its ablation; only such errors are used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from interplay._types import FloatArray, Json
from interplay.decoders.gaussian.inputs import Floats, Inputs, Panel, panels
from interplay.decoders.gaussian.kernel import MAX_DEGREE, Kernel

_DEVIATION = 1.0
"""Prior standard deviation of log relevances."""
_WEIGHT_MEAN, _WEIGHT_DEVIATION = 0.5, 0.5
"""Prior mean and standard deviation of the hints' weight gamma (``benchmarks/bench_hints.py``)."""
_SMALLEST_HINT = 1e-3
"""Smaller hints count as this share of the largest: the logarithm of 0 says too much."""
_FARTHEST = 3.0
"""Standardised hints are cut off there: one unusual player says little of the others."""
_CENTRE = np.array([-0.8, -2.3, -3.5, -4.3, -4.9, -3.1, -0.4, -5.0])
_LOADING = np.array([0.5, -0.9, -2.0, -2.9, -0.5, -1.9, 0.6, -2.9])
_RESIDUAL = np.array([0.4, 0.4, 0.4, 0.5, 0.9, 0.8, 0.7, 0.7])
"""The prior of log w_1 .. w_4, log c, log b, log lambda and log noise, as a factor model with one
factor: means, loadings, and standard deviations of the residuals.
"""
PRIOR_FIELDS = ("along", "weight", "centre", "covariance", "effects")
"""The names of the numbers of a :class:`Prior`."""
_ITERATIONS = 20
_BOUND = 12.0


def standardised(hints: FloatArray) -> FloatArray:
    """The logarithms z of hints ``(n,)``, of mean 0 and variance 1; zeros if all are alike."""
    largest = float(hints.max(initial=0.0))
    if largest == 0.0:
        return np.zeros_like(hints)
    logs = np.log(np.maximum(hints / largest, _SMALLEST_HINT))
    logs -= logs.mean()
    scale = float(logs.std())
    if scale < 1e-9:
        return np.zeros_like(hints)
    cut = np.clip(logs / scale, -_FARTHEST, _FARTHEST)
    return np.asarray(cut - cut.mean())


@dataclass(frozen=True, eq=False)
class Prior:
    r"""The prior of a game's hyperparameters, and of its linear effects.

    Attributes:
        along: z, what is expected of the logarithms of the relevances, up to a factor
            :math:`\gamma \sim N(g, s^2)`, ``(n,)`` of mean 0.
        weight: g.
        centre: the mean of log w_1 .. w_4, log c, log b, log lambda and log noise, ``(8,)``.
        covariance: theirs, ``(8, 8)``.
        effects: the expected Fourier coefficients of single players, in standard deviations of
            the values, ``(n,)``.
    """

    along: FloatArray
    weight: float
    centre: FloatArray
    covariance: FloatArray
    effects: FloatArray

    @classmethod
    def plain(cls, n_players: int, hints: FloatArray | None = None) -> Prior:
        """The prior of any game, with its hints of :func:`standardised` if it has any."""
        zeros = np.zeros(n_players)
        covariance = np.outer(_LOADING, _LOADING) + np.diag(_RESIDUAL**2)
        return cls(zeros if hints is None else hints, _WEIGHT_MEAN, _CENTRE, covariance, zeros)

    def to_json(self) -> Json:
        """The prior as JSON, for the provenance."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in PRIOR_FIELDS}

    @classmethod
    def recorded(cls, document: Json) -> Prior:
        """Read :meth:`to_json`.

        Raises:
            ValueError: an array has another shape, or a number is not finite.
        """
        arrays = {name: np.array(document[name], dtype=np.float64) for name in PRIOR_FIELDS}
        n_players, shared = arrays["along"].shape, _CENTRE.shape
        shapes = dict(
            zip(PRIOR_FIELDS, (n_players, (), shared, shared * 2, n_players), strict=True)
        )
        for name, array in arrays.items():
            if array.shape != shapes[name] or not np.isfinite(array).all():
                raise ValueError(
                    f"the prior's {name} has the shape {array.shape}; finite numbers of the shape "
                    f"{shapes[name]} are expected"
                )
        along, weight, centre, covariance, effects = arrays.values()
        return cls(along, float(weight), centre, covariance, effects)

    @property
    def expected(self) -> FloatArray:
        """The mean of log r, ``(n,)``."""
        return self.weight * self.along

    @property
    def freed(self) -> float:
        """s^2 / (1 + s^2 z z): what the covariance s^2 z z^T takes off the precision of log r."""
        variance = _WEIGHT_DEVIATION**2
        return float(variance / (_DEVIATION**2 + variance * (self.along @ self.along)))

    def weight_in(self, kernel: Kernel) -> float:
        """The weight gamma that a kernel gives to z."""
        relevances = kernel.theta[: kernel.n_players]
        surprise = relevances - relevances.mean() - self.expected
        return self.weight + self.freed * float(self.along @ surprise)


def learn(
    inputs: Inputs,
    values: FloatArray,
    degree: int,
    trust: float = 1.0,
    prior: Prior | None = None,
) -> Kernel:
    """Find the hyperparameters of the largest posterior density.

    Args:
        inputs: m masks.
        values: ``(m, k)``, each column of mean 0 and variance 1, less what the prior expects.
        degree: D, 1 to 4.
        trust: the weight of the prior of the hyperparameters that all players share.
        prior: of the hyperparameters; ``None``: the plain one, without hints.
    """
    from scipy.optimize import minimize

    n_players = inputs.signs.shape[1]
    prior = prior or Prior.plain(n_players)
    used = [*range(degree), *range(MAX_DEGREE, len(_CENTRE))]
    centre = prior.centre[used]
    precision = trust * np.linalg.inv(prior.covariance[np.ix_(used, used)])
    hinted, expected, freed = prior.along, prior.expected, prior.freed
    kernel = Kernel(n_players, np.concatenate([expected, centre]))
    in_double, in_single = list(panels(inputs)), list(panels(inputs.single()))

    def objective(theta: FloatArray) -> tuple[float, FloatArray]:
        tried = replace(kernel, theta=theta)
        value, gradient = likelihood(
            tried, in_single if tried.suits_single(len(inputs)) else in_double, values
        )
        relevances, shared = theta[:n_players], theta[n_players:] - centre
        centred, pull = relevances - relevances.mean() - expected, precision @ shared
        along = hinted @ centred
        gradient[:n_players] += (centred - freed * along * hinted) / _DEVIATION**2
        gradient[:n_players] += relevances.mean() / n_players
        gradient[n_players:] += pull
        surprise = (centred**2).sum() - freed * along**2
        penalty = surprise / _DEVIATION**2 + relevances.mean() ** 2 + shared @ pull
        return value + float(penalty) / 2, gradient

    optimum = minimize(
        objective,
        kernel.theta,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_BOUND, _BOUND)] * len(kernel.theta),
        options={"maxiter": _ITERATIONS, "maxcor": 20},
    )
    return replace(kernel, theta=np.asarray(optimum.x))


def likelihood(kernel: Kernel, parts: list[Panel], values: FloatArray) -> tuple[float, FloatArray]:
    """The negative log marginal likelihood without its constant, and its gradient.

    Args:
        kernel: with the hyperparameters.
        parts: the panels of the m masks, which give the precision of the arithmetic.
        values: ``(m, k)``.
    """
    from scipy.linalg import cho_solve

    n_outputs, dtype = values.shape[1], parts[0].adjacent.dtype
    covariance = np.empty((len(values), len(values)), dtype=dtype)
    powers = []
    for part in parts:
        block, first, third = kernel.of_panel(part)
        covariance[part.start :, part.start : part.stop] = block
        powers.append((part, first, third))
    lower = factor(covariance, kernel.noise)
    weights = cho_solve((lower.T, False), values.astype(dtype), check_finite=False)
    fit = 0.5 * float((values * weights).sum())
    volume = n_outputs * float(np.log(np.diagonal(lower), dtype=np.float64).sum())
    precision = inverse(lower)
    width = parts[0].stop
    half = np.tri(width, dtype=dtype) - np.eye(width, dtype=dtype) / 2

    def doubled(part: Panel) -> Floats:
        """A panel of the derivative (k C^-1 - w w^T) / 2, as :meth:`Kernel.gradient` takes it."""
        block = precision[part.start :, part.start : part.stop] * n_outputs
        block -= weights[part.start :] @ weights[part.start : part.stop].T
        width = part.stop - part.start
        block[:width] *= half[:width, :width]
        return np.asarray(block)

    gradient = kernel.gradient((part, first, third, doubled(part)) for part, first, third in powers)
    return fit + volume, gradient


def factor(covariance: Floats, noise: float) -> Floats:
    """Compute the lower Cholesky factor of covariance + noise I, in its place.

    Args:
        covariance: ``(m, m)``, in row-major order; only what is on and below the diagonal is read.
        noise: s^2.
    """
    from scipy.linalg import cholesky

    diagonal = np.diagonal(covariance)
    ridge = noise + 1e-8 * float(np.abs(diagonal).max(initial=1.0))
    covariance[np.diag_indices_from(covariance)] += ridge
    # LAPACK works in place on column-major order: on the transpose, whose upper half this is
    upper = cholesky(covariance.T, lower=False, overwrite_a=True, check_finite=False)
    return np.asarray(upper.T)


def inverse(lower: Floats) -> Floats:
    """Compute the lower half of the inverse of L L^T, ``(m, m)``, with zeros above."""
    from scipy.linalg import get_lapack_funcs

    (invert,) = get_lapack_funcs(("potri",), (lower,))
    upper, _ = invert(lower.T, lower=False, overwrite_c=True)  # zeros remain below the diagonal
    return np.asarray(upper.T)
