"""A greedy search for the best subset: good masks at once, no proof."""

from __future__ import annotations

import time

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.optimize.problem import Problem

_CANDIDATES = 200
"""Of the kept and of the removed players, so many take part in a step of two players."""
_RANDOM_STARTS = 5
_KICKS = 50
_MOST_SWAPS = 8


def greedy(problem: Problem, deadline: float) -> BoolArray:
    """The best of the local optima above several starts, then around the best of them.

    The starts follow the effects of single players: by the terms of order 1, next to the full and
    to the empty mask, and at random. Then a few kept and removed players of the best mask are
    swapped at random, and the climb begins anew. Without haste every call gives the same mask.

    Args:
        problem: what to maximise.
        deadline: by ``time.perf_counter()``; the search ends there.
    """
    rng = np.random.default_rng(0)
    every = np.ones(problem.n_players, dtype=np.bool_)
    starts = [
        problem.effects,
        -_changes(problem, every),
        _changes(problem, ~every),
        *rng.normal(size=(_RANDOM_STARTS, problem.n_players)),
    ]
    best, value = every, -np.inf
    for attempt in range(len(starts) + _KICKS):
        known = attempt < len(starts)
        start = problem.strongest(starts[attempt]) if known else _kicked(best, rng)
        mask = climb(problem, start, deadline)
        if problem.value(mask) > value:
            best, value = mask, problem.value(mask)
        if value >= problem.ceiling - problem.rounding or time.perf_counter() >= deadline:
            break
    return best


def climb(problem: Problem, start: BoolArray, deadline: float) -> BoolArray:
    r"""Flip the one or two players that gain most, until none gain or the time is up.

    With :math:`d_i = -2 \sum_{S \ni i} F(S) \chi_S(m)` flipping two players changes the value by
    :math:`d_i + d_j + 4 \sum_{S \ni i, j} F(S) \chi_S(m)`.
    """
    mask = start.copy()
    least = 1e-12 * float(np.abs(problem.coefficients).sum())
    while time.perf_counter() < deadline:
        change = _changes(problem, mask)
        by_gain = np.argsort(-change, kind="stable")
        some = np.concatenate(
            [by_gain[mask[by_gain] == side][:_CANDIDATES] for side in (False, True)]
        )
        block = problem.incidence[some]
        weighted = block * (problem.coefficients * problem.characters(mask))
        gains = change[some, None] + change[some] + 4.0 * (weighted @ block.T).toarray()
        step = np.where(mask[some], -1, 1)
        count = mask.sum() + step[:, None] + step
        np.fill_diagonal(gains, change[some])  # the diagonal holds the flips of one player
        np.fill_diagonal(count, mask.sum() + step)
        gains[(count < problem.low) | (count > problem.high)] = -np.inf
        i, j = np.unravel_index(int(gains.argmax()), gains.shape)
        if not gains[i, j] > least:
            break
        mask[some[np.unique([i, j])]] ^= True
    return mask


def _changes(problem: Problem, mask: BoolArray) -> FloatArray:
    """What flipping each player changes, ``(n,)``."""
    return -2.0 * np.asarray(problem.incidence @ (problem.coefficients * problem.characters(mask)))


def _kicked(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """The mask with some kept and as many removed players swapped."""
    swaps = min(int(rng.integers(2, _MOST_SWAPS + 1)), int(mask.sum()), int((~mask).sum()))
    result = mask.copy()
    for side in (False, True):
        result[rng.choice(np.flatnonzero(mask == side), swaps, replace=False)] ^= True
    return result
