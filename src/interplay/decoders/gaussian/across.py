r"""What earlier games say of the next one: a prior of hyperparameters that is learned across games.

Each player has features x (for text: its length, its place, whether it negates, ...). Over games
g with players i,

.. math:: \log r_{gi} = \beta^\top (x_{gi} - \bar x_g) + d_{gi}, \qquad
          F_g(\{i\}) = \alpha^\top (x_{gi}, 1) + e_{gi},

with standard normal d and e of the variance that the kernel gives it. The other hyperparameters of
a game are normal around a mean, which is learned too, with their covariance. It is a hierarchical
model. Coefficients have normal priors around 0 (:data:`_RIDGE`, :data:`_RIDGE_OF_EFFECTS`), and the
mean and the covariance are shrunk to those of any game.

It is learned by turns. Each game's hyperparameters are those of the largest posterior density under
the prior so far; then :math:`\beta` is a ridge regression of the relevances, and :math:`\alpha` a
generalised one of the values, with the covariances of their kernels. Only the standardised values
of a game take part, so that the units of games may differ.

A game unlike the others is found by the *evidence*: the difference of log marginal likelihoods of
its values with and without the learned prior, hyperparameters at the largest posterior density
of either. The determinants of the covariances are left out: the values say so little of most
hyperparameters that their posteriors are about as wide as their priors, which cancels. It is for
values that took no part in the learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.decoders.gaussian.inputs import Inputs, panels
from interplay.decoders.gaussian.kernel import MAX_DEGREE
from interplay.decoders.gaussian.learn import Prior, factor, learn, likelihood

_TURNS = 8
_RIDGE, _RIDGE_OF_EFFECTS = 30.0, 1000.0
"""The precision of the prior of a coefficient, features having variance 1 and values too."""
_MEAN_COUNTS, _COVARIANCE_COUNTS = 4.0, 8.0
"""The prior of any game counts as so many games."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is known of an earlier game.

    Attributes:
        features: those of its players, ``(n, f)``.
        masks: ``(m, n)``.
        values: ``(m,)``.
    """

    features: FloatArray
    masks: BoolArray
    values: FloatArray

    @property
    def varies(self) -> bool:
        """Whether there is anything to learn from it."""
        return float(np.ptp(self.values)) > 0.0


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned from several games, for games whose players have the same features.

    Attributes:
        scale: the standard deviations of features within a game, ``(f,)``; infinite where a feature
            does not vary.
        centre_of_features: their means, ``(f,)``.
        relevance: beta, of features of variance 1, ``(f,)``.
        effects: alpha, ``(f + 1,)``; zeros if effects were not learned.
        centre: of the hyperparameters that players share, ``(8,)``.
        covariance: theirs, ``(8, 8)``.
    """

    scale: FloatArray
    centre_of_features: FloatArray
    relevance: FloatArray
    effects: FloatArray
    centre: FloatArray
    covariance: FloatArray

    def prior(self, features: FloatArray) -> Prior:
        """The prior of a game with these features of its players, ``(n, f)``."""
        return Prior(
            along=self._within(features) @ self.relevance,
            weight=1.0,
            centre=self.centre,
            covariance=self.covariance,
            effects=self._with_one(features) @ self.effects,
        )

    def _within(self, features: FloatArray) -> FloatArray:
        return np.asarray((features - features.mean(axis=0)) / self.scale)

    def _with_one(self, features: FloatArray) -> FloatArray:
        scaled = (features - self.centre_of_features) / self.scale
        return np.column_stack([scaled, np.ones(len(features))])


def learn_across(lessons: Sequence[Lesson], *, effects: bool = False) -> Learned:
    """Learn from games.

    Args:
        lessons: the games, one or more, each with values that vary.
        effects: whether signed linear effects are learned too.

    Raises:
        ValueError: there is none, or one whose values do not vary.
    """
    if not lessons or not all(lesson.varies for lesson in lessons):
        raise ValueError(f"{len(lessons)} lessons, all of values that vary, and at least one")
    features = np.concatenate([lesson.features for lesson in lessons])
    within = np.concatenate([one.features - one.features.mean(axis=0) for one in lessons])
    deviations = within.std(axis=0)
    plain = Prior.plain(1)
    learned = Learned(
        scale=np.where(deviations > 1e-9, deviations, np.inf),
        centre_of_features=features.mean(axis=0),
        relevance=np.zeros(features.shape[1]),
        effects=np.zeros(features.shape[1] + 1),
        centre=plain.centre,
        covariance=plain.covariance,
    )
    games = [_Game.of(lesson) for lesson in lessons]
    for _ in range(_TURNS):
        learned = _turn(learned, games, effects)
    return learned


@dataclass(frozen=True, eq=False)
class _Game:
    """A lesson with standardised values, ``(m, 1)``."""

    lesson: Lesson
    inputs: Inputs
    values: FloatArray

    @classmethod
    def of(cls, lesson: Lesson) -> _Game:
        values = lesson.values / np.abs(lesson.values).max()  # squares of tiny numbers are zero
        return cls(
            lesson, Inputs.of(lesson.masks), ((values - values.mean()) / values.std())[:, None]
        )

    @property
    def degree(self) -> int:
        return min(MAX_DEGREE, int(self.lesson.masks.shape[1]))

    def surprise(self, prior: Prior) -> FloatArray:
        """The values less what is expected of them, ``(m, 1)``."""
        return self.values - (self.inputs.signs @ prior.effects)[:, None]


def _turn(learned: Learned, games: Sequence[_Game], effects: bool) -> Learned:
    """One turn: the hyperparameters of each game, then what they have in common."""
    from scipy.linalg import cho_solve

    size = len(learned.relevance)
    gram, moment = _RIDGE * np.eye(size), np.zeros(size)
    gram_of_effects = _RIDGE_OF_EFFECTS * np.eye(size + 1)
    moment_of_effects = np.zeros(size + 1)
    shared = []
    for game in games:
        features, n_players = game.lesson.features, game.inputs.signs.shape[1]
        prior = learned.prior(features)
        kernel = learn(game.inputs, game.surprise(prior), game.degree, prior=prior)
        relevances, within = kernel.theta[:n_players], learned._within(features)
        gram += within.T @ within
        moment += within.T @ (relevances - relevances.mean())
        # what a game of few players has no order for stays as it was expected
        of_game = learned.centre.copy()
        used = [*range(game.degree), *range(MAX_DEGREE, len(of_game))]
        of_game[used] = kernel.theta[n_players:]
        shared.append(of_game)
        if effects:
            linear = game.inputs.signs @ learned._with_one(features)
            lower = factor(kernel.lower(game.inputs), kernel.noise)
            whitened = cho_solve((lower.T, False), np.hstack([linear, game.values]))
            gram_of_effects += linear.T @ whitened[:, :-1]
            moment_of_effects += linear.T @ whitened[:, -1]
    plain, of_games = Prior.plain(1), np.array(shared)
    count = len(of_games)
    centre = (_MEAN_COUNTS * plain.centre + of_games.sum(axis=0)) / (_MEAN_COUNTS + count)
    deviations = of_games - centre
    covariance = _COVARIANCE_COUNTS * plain.covariance + deviations.T @ deviations
    return Learned(
        scale=learned.scale,
        centre_of_features=learned.centre_of_features,
        relevance=np.asarray(np.linalg.solve(gram, moment), dtype=np.float64),
        effects=np.asarray(np.linalg.solve(gram_of_effects, moment_of_effects), dtype=np.float64),
        centre=centre,
        covariance=covariance / (_COVARIANCE_COUNTS + count),
    )


def evidence(lesson: Lesson, prior: Prior, plain: Prior) -> float:
    """How much likelier a game's values are under a prior than under another, as a logarithm.

    Args:
        lesson: the game; it took no part in the learning.
        prior: a learned one.
        plain: one without what was learned.

    Returns:
        The difference of the log densities of values and hyperparameters, at the hyperparameters of
        the largest one under either prior. Below 0 the values speak against what was learned.
    """
    game = _Game.of(lesson)
    return _log_density(game, prior) - _log_density(game, plain)


def _log_density(game: _Game, prior: Prior) -> float:
    """The largest log density of values and hyperparameters, up to a constant."""
    n_players = game.inputs.signs.shape[1]
    values = game.surprise(prior)
    kernel = learn(game.inputs, values, game.degree, prior=prior)
    misfit, _ = likelihood(kernel, list(panels(game.inputs)), values)
    relevances, used = (
        kernel.theta[:n_players],
        [*range(game.degree), *range(MAX_DEGREE, len(prior.centre))],
    )
    centred = relevances - relevances.mean() - prior.expected
    along = float(prior.along @ centred)
    shared = kernel.theta[n_players:] - prior.centre[used]
    covariance = prior.covariance[np.ix_(used, used)]
    penalty = (
        float(centred @ centred)
        - prior.freed * along**2
        + float(shared @ np.linalg.solve(covariance, shared))
    )
    return -misfit - penalty / 2
