"""A greedy search for the best subset: it finds good masks at once, but proves nothing."""

from __future__ import annotations

import time

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.optimize.problem import Problem

_CANDIDATES = 200
"""The most kept, and the most removed, players that a step of two players considers."""
_RANDOM_STARTS = 5
_KICKS = 50
_MOST_SWAPS = 8


def greedy(problem: Problem, deadline: float) -> BoolArray:
    """Climb from several starts, then again from random changes of the best mask so far.

    A start keeps the players with the largest effects. These effects are the terms of order 1, the
    changes of value next to the full and to the empty mask, and random numbers. Afterwards a few
    kept and removed players of the best mask are swapped at random, and the climb is repeated.
    Unless the deadline ends the search, every call gives the same mask.

    Args:
        problem: what to maximise.
        deadline: by ``time.perf_counter()``; the search ends there.

    Returns:
        The best mask, ``(n,)``.
    """
    rng = np.random.default_rng(0)
    full = np.ones(problem.n_players, dtype=np.bool_)
    effects = [
        problem.effects,
        -_changes(problem, full),
        _changes(problem, ~full),
        *rng.normal(size=(_RANDOM_STARTS, problem.n_players)),
    ]
    best, value = full, -np.inf
    for attempt in range(len(effects) + _KICKS):
        is_start = attempt < len(effects)
        start = problem.strongest(effects[attempt]) if is_start else _kicked(best, rng)
        mask = climb(problem, start, deadline)
        if problem.merit(mask) > value:
            best, value = mask, problem.merit(mask)
        if value >= problem.ceiling - problem.rounding or time.perf_counter() >= deadline:
            break
    return best


def climb(problem: Problem, start: BoolArray, deadline: float) -> BoolArray:
    r"""Flip the one or two players that gain most, until no flip gains or the time is up.

    Flipping player i changes the value by :math:`d_i = -2 \sum_{S \ni i} F(S) \chi_S(m)`. Flipping
    i and j changes it by :math:`d_i + d_j + 4 \sum_{S \ni i, j} F(S) \chi_S(m)`. With a target the
    gain is by how much the value comes nearer.
    """
    mask = start.copy()
    least = 1e-12 * float(np.abs(problem.coefficients).sum())
    while time.perf_counter() < deadline:
        value = problem.value(mask)
        change = _changes(problem, mask)
        by_gain = np.argsort(-problem.gains(value, change), kind="stable")
        players = np.concatenate(
            [by_gain[mask[by_gain] == side][:_CANDIDATES] for side in (False, True)]
        )
        block = problem.incidence[players]
        weighted = block * (problem.coefficients * problem.characters(mask))
        changes = change[players, None] + change[players] + 4.0 * (weighted @ block.T).toarray()
        step = np.where(mask[players], -1, 1)
        count = mask.sum() + step[:, None] + step
        np.fill_diagonal(changes, change[players])  # the diagonal holds the flips of one player
        np.fill_diagonal(count, mask.sum() + step)
        gains = problem.gains(value, changes)
        gains[(count < problem.low) | (count > problem.high)] = -np.inf
        i, j = np.unravel_index(int(gains.argmax()), gains.shape)
        if not gains[i, j] > least:
            break
        mask[players[np.unique([i, j])]] ^= True
    return mask


def _changes(problem: Problem, mask: BoolArray) -> FloatArray:
    """Compute the change of the value when each player is flipped, ``(n,)``."""
    return -2.0 * np.asarray(problem.incidence @ (problem.coefficients * problem.characters(mask)))


def _kicked(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Swap a few random kept players with as many removed ones."""
    swaps = min(int(rng.integers(2, _MOST_SWAPS + 1)), int(mask.sum()), int((~mask).sum()))
    result = mask.copy()
    for side in (False, True):
        result[rng.choice(np.flatnonzero(mask == side), swaps, replace=False)] ^= True
    return result
