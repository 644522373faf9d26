"""A mask learned by gradients through the players' gates, and those gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.components.analysis.circuits import (
    FRACTIONS,
    Circuits,
    at_fractions,
    largest,
    partial_sizes,
)
from interplay.components.analysis.rounds import Objective, check_objective
from interplay.components.attribution import attributions
from interplay.components.game import ComponentGame
from interplay.text.readouts import Readout

GRADIENT = 3.0
"""What a gradient costs, in ablations."""
_BETA, _GAMMA, _ZETA = 2 / 3, -0.1, 1.1
"""Louizos et al. 2018, section 4: the spread of hard-concrete gates, and how far they stretch."""
_MOMENTS = (0.9, 0.99)
"""Adam's decay rates."""
_KEYS = (0x6C, 0x6D)
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


def learned_mask(
    game: ComponentGame,
    objective: Objective,
    *,
    fractions: Sequence[float] = FRACTIONS,
    output: int = 0,
    steps: int = 200,
    rate: float = 0.2,
    random_state: int = 0,
) -> Circuits:
    r"""Train a mask by gradients: hard-concrete gates, of which ever fewer are open.

    It follows masks learned by subnetwork probing (Cao et al. 2021, arXiv 2104.03514), with the
    gates of Louizos et al. (2018, arXiv 1712.01312): with u uniform noise,

    .. math::
        g_i = \min(1, \max(0, 1.2 s_i - 0.1)), \quad
        s_i = \sigma\left(\frac{\log u - \log(1 - u) + a_i}{2/3}\right), \quad
        a_i = \theta_i - \tau_k .

    Where subnetwork probing pays for the expected number of gates above 0, here it is k: the shift
    :math:`\tau_k` is solved for, and differentiated through. As in edge pruning (Bhaskar et al.
    2024, arXiv 2406.16778) the size falls during training, since a model of which most is removed
    at once has no useful gradient: from n to the size of each fraction in turn, the largest first.
    Each takes a share of the steps by the square root of what it counts in the area, and half of
    that share is spent at the size itself. The circuit of that size is then the players of the
    largest :math:`\theta`, which Adam trains from 0.

    Args:
        game: the game of the items to train on; each step uses all of them.
        objective: ``"best"`` maximises the score. ``"faithful"`` minimises the mean over items of
            the squared difference from the whole model's score.
        fractions: the sizes of circuits as shares of the players.
        output: which of several scores.
        steps: the number of gradients.
        rate: Adam's learning rate.
        random_state: seed of the noise.

    Raises:
        ValueError: the objective is unknown, there are no steps, no fraction is a part of the
            players, or the score has no gradient.
    """
    check_objective(objective)
    if steps < 1:
        raise ValueError(f"steps={steps} trains nothing; take 1 or more")
    n_players = game.n_players
    rng = np.random.default_rng([*_KEYS, random_state])
    readouts = game._readouts if objective == "best" else _distances(game, output)
    column, sign = (output, 1.0) if objective == "best" else (0, -1.0)
    theta, first, second = np.zeros((3, n_players))
    learned: dict[int, BoolArray] = {}
    schedule = _schedule(fractions, n_players, steps)
    for step, (open_gates, size) in enumerate(schedule, start=1):
        gates, slopes, opening = _hard_concrete(theta, open_gates, rng)
        gradient = sign * gradients(game, gates[None], readouts, column)[0] * slopes
        # the shift keeps the expected number of open gates: raising one closes the others
        gradient = gradient - gradient.sum() * opening
        first = _MOMENTS[0] * first + (1 - _MOMENTS[0]) * gradient
        second = _MOMENTS[1] * second + (1 - _MOMENTS[1]) * gradient**2
        mean, square = first / (1 - _MOMENTS[0] ** step), second / (1 - _MOMENTS[1] ** step)
        theta += rate * mean / (np.sqrt(square) + 1e-12)
        learned[size] = largest(theta, [size])[0]
    circuits = at_fractions(learned, fractions, n_players)
    return Circuits(circuits, circuits, GRADIENT * steps + (objective == "faithful"))


def gradients(
    game: ComponentGame,
    gates: FloatArray,
    readouts: Sequence[Readout],
    output: int,
    from_layer: int = 0,
) -> FloatArray:
    """The derivative of an output, mean over items, by the gates: ``(m, n)`` for ``(m, n)``.

    Of players below ``from_layer`` it may be 0.

    Raises:
        ValueError: the output is a step function.
    """
    n_outputs = len(game.task.scores)
    if readouts is not game._readouts:
        n_outputs = 1
    elif game.task.scores[output] == "correct":
        raise ValueError(
            f"output={output} is 'correct', a step function without gradient; use another score, "
            "such as 'margin'"
        )
    # to the gradient code the other outputs are steps, which it passes over
    left_out = [number != output for number in range(n_outputs)]
    effects, _ = attributions(game._passes, game._sequences, readouts, gates, left_out, from_layer)
    return np.asarray(-effects[..., output])


def _schedule(fractions: Sequence[float], n_players: int, steps: int) -> list[tuple[float, int]]:
    """The number of gates to keep open in each step, and the size that it falls to.

    Sizes that get no step for lack of steps are left out.
    """
    sizes, shares = partial_sizes(fractions, n_players)
    roots = np.sqrt(shares[::-1])
    ends = np.round(steps * np.cumsum(roots) / roots.sum()).astype(np.int64).tolist()
    schedule: list[tuple[float, int]] = []
    before = float(n_players)
    for size, end in zip(reversed(sizes), ends, strict=True):
        count = end - len(schedule)
        falls = np.minimum(np.arange(1, count + 1) * 2 / max(1, count), 1.0)
        schedule += [(number, size) for number in (before + (size - before) * falls).tolist()]
        before = size
    return schedule


def _distances(game: ComponentGame, output: int) -> list[Readout]:
    """Readouts whose value is the squared difference of an item's score from the whole model's."""
    whole = game.item_scores(np.ones((1, game.n_players), dtype=np.bool_))[0, :, output]

    def distance(readout: Readout, full: float) -> Readout:
        return replace(
            readout,
            combine=lambda by_feed: (readout.combine(by_feed)[:, [output]] - full) ** 2,
        )

    return [
        distance(readout, full)
        for readout, full in zip(game._readouts, whole.tolist(), strict=True)
    ]


def _hard_concrete(
    logits: FloatArray, size: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw gates of which ``size`` are expected above 0.

    Returns:
        The gates; their derivatives by the shifted logits; and each logit's share in the shift.
    """
    # P(g > 0) = sigmoid(a - beta log(-gamma / zeta))
    reach = _BETA * np.log(-_GAMMA / _ZETA)
    low, high = logits.min() - 50.0, logits.max() + 50.0
    for _ in range(60):
        shift = (low + high) / 2
        if _sigmoid(logits - shift - reach).sum() > size:
            low = shift
        else:
            high = shift
    shifted = logits - shift
    opens = _sigmoid(shifted - reach)
    noise = rng.uniform(1e-6, 1 - 1e-6, size=len(logits))
    concrete = _sigmoid((np.log(noise) - np.log1p(-noise) + shifted) / _BETA)
    stretched = concrete * (_ZETA - _GAMMA) + _GAMMA
    inside = (stretched > 0) & (stretched < 1)
    slopes = inside * (_ZETA - _GAMMA) * concrete * (1 - concrete) / _BETA
    moves = opens * (1 - opens)
    return np.clip(stretched, 0.0, 1.0), slopes, moves / moves.sum()


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
