r"""A Gaussian process for searching subsets: interactions of all orders, and every swap at once.

Decoders write a function down as terms that people can read. Whoever looks for the best subset of
some hundred players needs no terms: their optimum is drawn to the errors of those that are left
out. Here values have a Gaussian process as their prior, with the kernel

.. math:: k(x, x') = c + a\,q + s\, e^{\ell (q - 1)}, \qquad q = \frac1n \sum_i r_i x_i x'_i,

of masks x in {-1, 1}^n. The exponential is a product over players, so that it has interactions of
all orders, which are the weaker the higher they are. The relevances r have mean 1, and

.. math:: \log r_i = \gamma h_i + d_i,\quad d_i \sim N(0, 1),\quad \gamma \sim N(1, 0.5^2)

for a game's hints h (the logarithms, standardised). Hyperparameters have the largest posterior
density, by L-BFGS with the exact gradient.

Since the kernel is a product, the predictions of all subsets that keep player j in place of player
i are one product of matrices, n_kept x m by m x n_removed. The search climbs by the best swap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.gaussian.learn import standardised
from interplay.fourier.masks import keys

_HINTS_WEIGHT, _HINTS_DEVIATION = 1.0, 0.5
"""Prior mean and standard deviation of the hints' weight."""
_CENTRE = np.array([0.0, 0.0, -1.0, -0.5, -3.0])
"""Prior means of log s, log l, log a, log c and the log of the noise's variance, for values of
variance 1; their standard deviations are 1."""
_LEAST_NOISE = 1e-6
"""The least variance of the noise, as a share of a value's prior variance: a covariance that is
much larger than the noise could not be factorised."""
_ITERATIONS = 60
_LEARNED_FROM = 600
"""Hyperparameters are learned from at most so many values."""
_BOUND = 12.0
_CLIMBS, _MOST_SWAPS = 4, 400
_SHRINKING = 6
"""A subset shrinks in so many steps or more; what a removal changes is predicted anew in each."""
_SPREAD = 0.3
"""How far the starts of a search are from the players' effects, which are at most 0.5."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A Gaussian process conditioned on values. Build it with :func:`fit`.

    Attributes:
        signs: 1 where a player is kept and -1 where not, ``(m, n)``.
        targets: the values, standardised, ``(m,)``.
        mean: what was subtracted.
        scale: what they were divided by.
        relevances: r, ``(n,)``.
        shared: log s, log l, log a, log c and log noise, ``(5,)``.
    """

    signs: FloatArray
    targets: FloatArray
    mean: float
    scale: float
    relevances: FloatArray
    shared: FloatArray

    @cached_property
    def _weights(self) -> FloatArray:
        """(K + noise)^-1 y, ``(m,)``."""
        from scipy.linalg import cho_solve, cholesky

        covariance = _kernel(_agreement(self.signs, self.signs, self.relevances), self.shared)
        covariance[np.diag_indices_from(covariance)] += _noise(self.shared)
        lower = cholesky(covariance, lower=True)
        return np.asarray(cho_solve((lower, True), self.targets))

    @cached_property
    def _slopes(self) -> FloatArray:
        """What the linear part adds for each x_i, ``(n,)``."""
        per_player = self._weights @ self.signs / len(self.relevances)
        return np.asarray(np.exp(self.shared[2]) * self.relevances * per_player)

    @cached_property
    def _removal(self) -> FloatArray:
        """By what a kernel value is multiplied as a kept player is removed, ``(n, m)``."""
        share = self.relevances / len(self.relevances)
        return np.asarray(np.exp(-2 * np.exp(self.shared[1]) * share[:, None] * self.signs.T))

    def predict(self, masks: BoolArray) -> FloatArray:
        """The posterior mean at masks ``(h, n)``, in the values' units, ``(h,)``."""
        agreement = _agreement(_signs(masks), self.signs, self.relevances)
        standard = _kernel(agreement, self.shared) @ self._weights
        return np.asarray(self.mean + self.scale * standard)

    def part(self, share: float, rng: np.random.Generator) -> Surface:
        """The same prior, conditioned on a random part of the values."""
        n_values = len(self.targets)
        rows = np.sort(rng.choice(n_values, max(2, round(share * n_values)), replace=False))
        return replace(self, signs=self.signs[rows], targets=self.targets[rows])

    def best(
        self,
        n_kept: int,
        known: set[bytes],
        rng: np.random.Generator,
        *,
        target: float | None = None,
        starts: BoolArray | None = None,
    ) -> BoolArray | None:
        """Climb to the best subset of a size by this surface; one that is known is passed over.

        Args:
            n_kept: how many players it keeps.
            known: the keys (:func:`interplay.fourier.masks.keys`) of masks that are not wanted.
            rng: draws starts.
            target: look for the predicted value nearest to this; ``None``: for the largest.
            starts: further masks of that size to climb from, ``(s, n)``.

        Returns:
            The mask, ``(n,)``, or the best new one among its neighbours; ``None`` if all are known.
        """
        effects = self._weights @ self.signs * self.relevances
        effects = effects / (2 * np.abs(effects).max() or 1.0)
        drawn = [effects, self.relevances]
        drawn += [effects + rng.normal(0, _SPREAD, len(effects)) for _ in range(_CLIMBS - 2)]
        order = np.argsort(-np.array(drawn), axis=1, kind="stable")[:, :n_kept]
        begun = np.zeros((len(drawn), len(effects)), dtype=np.bool_)
        np.put_along_axis(begun, order, True, axis=1)
        if starts is not None:
            begun = np.concatenate([begun, starts])
        climbed = np.array([self._climb(mask, target) for mask in begun])
        merits = self._merits(self.predict(climbed), target)
        for row in np.argsort(-merits, kind="stable"):
            new = self._new(climbed[row], known, target)
            if new is not None:
                return new
        return None

    def shrunk(self, mask: BoolArray, n_kept: int) -> BoolArray:
        """Remove players from a larger subset ``(n,)``, those first without which it keeps most."""
        mask = mask.copy()
        at_once = max(1, (int(mask.sum()) - n_kept) // _SHRINKING)
        while (excess := int(mask.sum()) - n_kept) > 0:
            kept = np.flatnonzero(mask)
            order = np.argsort(-self._without(mask, kept), kind="stable")
            mask[kept[order[: min(at_once, excess)]]] = False
        return mask

    def _merits(self, values: FloatArray, target: float | None) -> FloatArray:
        return values if target is None else -np.abs(values - target)

    def _climb(self, start: BoolArray, target: float | None) -> BoolArray:
        """Swap a kept player for a removed one as long as that gains."""
        mask = start.copy()
        for _ in range(_MOST_SWAPS):
            kept, removed = np.flatnonzero(mask), np.flatnonzero(~mask)
            if not len(kept) or not len(removed):
                break
            merits = self._merits(self._swapped(mask, kept, removed), target)
            one, other = np.unravel_index(int(merits.argmax()), merits.shape)
            now = self._merits(self.predict(mask[None]), target)[0]
            if not merits[one, other] > now + 1e-9 * self.scale:
                break
            mask[kept[one]], mask[removed[other]] = False, True
        return mask

    def _swapped(self, mask: BoolArray, kept: IntArray, removed: IntArray) -> FloatArray:
        """The predictions with a kept player swapped for a removed one, ``(kept, removed)``."""
        at_mask, linear = self._at(mask)
        smooth = (self._removal[kept] * at_mask) @ (1.0 / self._removal[removed]).T
        change = 2 * (self._slopes[removed] - self._slopes[kept][:, None])
        return np.asarray(self.mean + self.scale * (smooth + linear + change))

    def _without(self, mask: BoolArray, kept: IntArray) -> FloatArray:
        """The predictions without one of the kept players, ``(kept,)``."""
        at_mask, linear = self._at(mask)
        smooth = self._removal[kept] @ at_mask
        return np.asarray(self.mean + self.scale * (smooth + linear - 2 * self._slopes[kept]))

    def _at(self, mask: BoolArray) -> tuple[FloatArray, float]:
        """What each value adds to the smooth part at a mask, ``(m,)``; and the rest of it."""
        signs = _signs(mask[None])
        agreement = _agreement(signs, self.signs, self.relevances)[0]
        strength, steepness = np.exp(self.shared[:2])
        at_mask = strength * np.exp(steepness * (agreement - 1)) * self._weights
        constant = np.exp(self.shared[3]) * self._weights.sum()
        return at_mask, float(signs[0] @ self._slopes + constant)

    def _new(self, mask: BoolArray, known: set[bytes], target: float | None) -> BoolArray | None:
        """The mask, or the best of its neighbours that is not known."""
        if keys(mask[None])[0] not in known:
            return mask
        kept, removed = np.flatnonzero(mask), np.flatnonzero(~mask)
        if not len(kept) or not len(removed):
            return None
        merits = self._merits(self._swapped(mask, kept, removed), target).ravel()
        for place in np.argsort(-merits, kind="stable"):
            one, other = divmod(int(place), len(removed))
            near = mask.copy()
            near[kept[one]], near[removed[other]] = False, True
            if keys(near[None])[0] not in known:
                return near
        return None


def fit(masks: BoolArray, values: FloatArray, hints: FloatArray | None = None) -> Surface:
    """Learn the hyperparameters and condition on values.

    Args:
        masks: ``(m, n)``, two or more.
        values: ``(m,)``.
        hints: which players are likely to matter, as of :class:`interplay.game.Hints`, ``(n,)``.
    """
    from scipy.optimize import minimize

    n_players = masks.shape[1]
    signs, mean, scale = _signs(masks), float(values.mean()), float(values.std()) or 1.0
    targets = (values - mean) / scale
    learned = np.arange(len(masks))
    if len(masks) > _LEARNED_FROM:
        learned = np.random.default_rng(0).choice(len(masks), _LEARNED_FROM, replace=False)
    expected = np.zeros(n_players) if hints is None else standardised(hints)
    start = np.concatenate([np.zeros(n_players), [_HINTS_WEIGHT], _CENTRE])
    optimum = minimize(
        _objective,
        start,
        args=(signs[learned], targets[learned], expected),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_BOUND, _BOUND)] * len(start),
        options={"maxiter": _ITERATIONS, "maxcor": 20},
    ).x
    relevances = _relevances(optimum, expected)
    return Surface(signs, targets, mean, scale, relevances, optimum[n_players + 1 :])


def _signs(masks: BoolArray) -> FloatArray:
    return np.where(masks, 1.0, -1.0)


def _agreement(a: FloatArray, b: FloatArray, relevances: FloatArray) -> FloatArray:
    """The agreement q of masks with others, ``(a, b)``."""
    return np.asarray((a * (relevances / len(relevances))) @ b.T)


def _kernel(agreement: FloatArray, shared: FloatArray) -> FloatArray:
    strength, steepness, slope, constant, _ = np.exp(shared)
    return np.asarray(constant + slope * agreement + strength * np.exp(steepness * (agreement - 1)))


def _noise(shared: FloatArray) -> float:
    """The variance of the noise; c + a + s is a value's prior variance, since q is 1 there."""
    strength, _, slope, constant, noise = np.exp(shared)
    return float(noise + _LEAST_NOISE * (strength + slope + constant))


def _relevances(theta: FloatArray, hints: FloatArray) -> FloatArray:
    n_players = len(hints)
    logs = theta[:n_players] + theta[n_players] * hints
    raw = np.exp(logs - logs.max())
    return np.asarray(raw / raw.mean())


def _objective(
    theta: FloatArray, signs: FloatArray, targets: FloatArray, hints: FloatArray
) -> tuple[float, FloatArray]:
    """The negative logarithm of the posterior density, and its gradient.

    Args:
        theta: d, gamma and the shared hyperparameters, ``(n + 6,)``.
        signs: ``(m, n)``.
        targets: ``(m,)``.
        hints: standardised, ``(n,)``.
    """
    from scipy.linalg import cho_solve, cholesky

    n_players = len(hints)
    apart, gamma, shared = theta[:n_players], theta[n_players], theta[n_players + 1 :]
    strength, steepness, slope, constant, noise = np.exp(shared)
    least = _LEAST_NOISE * np.array([strength, 0.0, slope, constant, 0.0])
    relevances = _relevances(theta, hints)
    agreement = _agreement(signs, signs, relevances)
    smooth = strength * np.exp(steepness * (agreement - 1))
    covariance = constant + slope * agreement + smooth
    covariance[np.diag_indices_from(covariance)] += _noise(shared)
    lower = cholesky(covariance, lower=True)
    precision = cho_solve((lower, True), np.eye(len(targets)))
    weights = precision @ targets
    by_covariance = (precision - np.outer(weights, weights)) / 2
    value = targets @ weights / 2 + np.log(np.diagonal(lower)).sum()

    of_smooth = by_covariance * smooth
    by_shared = np.array(
        [
            of_smooth.sum(),
            steepness * (of_smooth * (agreement - 1)).sum(),
            slope * (by_covariance * agreement).sum(),
            constant * by_covariance.sum(),
            noise * np.trace(by_covariance),
        ]
    )
    by_shared += least * np.trace(by_covariance)
    by_agreement = slope * by_covariance + steepness * of_smooth
    by_relevance = ((by_agreement @ signs) * signs).sum(axis=0) / n_players
    by_log = relevances * (by_relevance - (by_relevance * relevances).mean())
    surprise = (gamma - _HINTS_WEIGHT) / _HINTS_DEVIATION
    value += (apart @ apart + surprise**2 + ((shared - _CENTRE) ** 2).sum()) / 2
    gradient = np.concatenate(
        [
            by_log + apart,
            [float(by_log @ hints) + surprise / _HINTS_DEVIATION],
            by_shared + shared - _CENTRE,
        ]
    )
    return float(value), gradient
