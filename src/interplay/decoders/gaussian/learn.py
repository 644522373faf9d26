r"""Hyperparameters of the kernel by marginal likelihood.

The k outputs share the kernel. For their standardised values Y ``(m, k)`` and C = K + s^2 I, L-BFGS
with the exact gradient minimises

.. math:: \tfrac12 \sum_j y_j^\top C^{-1} y_j + \tfrac k2 \log\det C - \log p(\theta).

The prior p keeps relevances within about a factor e of each other, and the other hyperparameters
near a line. Games differ most in one thing, how complex they are: a game with little order 3 has
little order 4, adjacency and noise as well. The line was fitted to games that take no other part in
the race (``benchmarks/tune_prior.py``).

One hyperparameter for each player, fitted to the same few hundred values as everything else,
overfits. On a film review of 59 words and 174 ablations the leave-one-out R2 is 0.64, but R2 on
held-out masks is 0.29. The hyperparameters are therefore learned several times, on random parts of
the ablations. Each of them is conditioned on all ablations, and the posteriors are averaged
(held-out R2 there: 0.39). A leave-one-out error is a fair estimate only where the hyperparameters
were learned without its ablation; only such errors are used.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_solve, cholesky, lapack
from scipy.optimize import minimize

from interplay._types import FloatArray
from interplay.decoders.gaussian.kernel import MAX_DEGREE, Inputs, Kernel

_DEVIATION = 1.0
"""Prior standard deviation of log relevances."""
_CENTRE = np.array([-0.8, -2.3, -3.5, -4.3, -4.9, -3.1, -0.4, -5.0])
_LOADING = np.array([0.5, -0.9, -2.0, -2.9, -0.5, -1.9, 0.6, -2.9])
_RESIDUAL = np.array([0.4, 0.4, 0.4, 0.5, 0.9, 0.8, 0.7, 0.7])
"""The prior of log w_1 .. w_4, log c, log b, log lambda and log noise, as a factor model with one
factor: means, loadings, and standard deviations of the residuals.
"""
_ITERATIONS = 20
_BOUND = 12.0


def learn(inputs: Inputs, values: FloatArray, degree: int, trust: float = 1.0) -> Kernel:
    """Find the hyperparameters of the largest posterior density.

    Args:
        inputs: m masks.
        values: ``(m, k)``, each column of mean 0 and variance 1.
        degree: D, 1 to 4.
        trust: the weight of the prior of the hyperparameters that all players share.
    """
    n_players = inputs.signs.shape[1]
    used = [*range(degree), *range(MAX_DEGREE, len(_CENTRE))]
    centre = _CENTRE[used]
    covariance = np.outer(_LOADING, _LOADING) + np.diag(_RESIDUAL**2)
    precision = trust * np.linalg.inv(covariance[np.ix_(used, used)])
    kernel = Kernel(n_players, np.concatenate([np.zeros(n_players), centre]))

    def objective(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _likelihood(replace(kernel, theta=theta), inputs, values)
        relevances, shared = theta[:n_players], theta[n_players:] - centre
        centred, pull = relevances - relevances.mean(), precision @ shared
        gradient[:n_players] += centred / _DEVIATION**2 + relevances.mean() / n_players
        gradient[n_players:] += pull
        penalty = (centred**2).sum() / _DEVIATION**2 + relevances.mean() ** 2 + shared @ pull
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


def _likelihood(kernel: Kernel, inputs: Inputs, values: FloatArray) -> tuple[float, FloatArray]:
    """The negative log marginal likelihood without its constant, and its gradient."""
    n_outputs = values.shape[1]
    powers = kernel.powers(inputs, inputs)
    lower = factor(kernel.combine(powers, inputs, inputs), kernel.noise)
    weights = cho_solve((lower, True), values)
    fit = 0.5 * float((values * weights).sum())
    volume = n_outputs * float(np.log(np.diagonal(lower)).sum())
    outer = (n_outputs * inverse(lower) - weights @ weights.T) / 2
    return fit + volume, kernel.gradient(powers, inputs, outer)


def factor(covariance: FloatArray, noise: float) -> FloatArray:
    """Compute the lower Cholesky factor of covariance + noise I; overwrites the covariance."""
    ridge = noise + 1e-8 * float(np.abs(np.diagonal(covariance)).max(initial=1.0))
    covariance[np.diag_indices_from(covariance)] += ridge
    return np.asarray(cholesky(covariance, lower=True, overwrite_a=True, check_finite=False))


def inverse(lower: FloatArray) -> FloatArray:
    """Compute the inverse of L L^T."""
    half, _ = lapack.dpotri(lower, lower=True)  # zeros remain above the diagonal
    diagonal = np.diagonal(half).copy()
    half += half.T
    half[np.diag_indices_from(half)] = diagonal
    return np.asarray(half)
