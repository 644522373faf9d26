r"""The best subset as a mixed-integer program for HiGHS.

The value is linear in the parities of the mask on the sets:

.. math:: f(m) = \sum_S F(S) \, (1 - 2 y_S), \qquad y_S = \oplus_{i \in S} m_i

with m_i binary and y_S continuous, tied to m by the facets of the parity polytope (Jeroslow 1975)

.. math:: \sum_{x \in A} x - \sum_{x \in B \setminus A} x \le |A| - 1
          \qquad (A \subseteq B = S \cup \{y_S\}, \; |A| \text{ odd}).

Only the facets that limit y_S in the direction of the objective are needed: 2^(|S| - 1) rows. Sets
of more than five players are chained through parities of at most five players or parities each.

The value nearest to a target c is the least t with f(m) - c <= t and c - f(m) <= t. Both directions
are limited there, so that each set has twice the rows.

The other common formulation has one variable per product of the m_i, with merged Moebius
coefficients. Both were timed with a third of the players kept. On spectra that ProxySPEX decoded
(27 to 270 players) both take at most 0.1 s. On planted spectra the bound of the relaxation by
products is 1.4 to 4.4 times as high. Where parities take 6 s (60 players, 150 terms up to order 5),
the bound by products is still four times the optimum after 12 s. The convex hull of each largest
set with its subsets has the tightest relaxation, but solving it takes longer than its fewer nodes
save.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.fourier.masks import every_mask
from interplay.fourier.sets import Members
from interplay.optimize.problem import Problem

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WIDEST = 5
"""The most players (or parities) in one parity constraint."""
_MAX_ROWS = 20_000
"""The most rows of a program: with more, HiGHS hardly gets past the relaxation in a minute."""


def solve(
    problem: Problem, known: float, seconds: float, gap: float = 0.0
) -> tuple[BoolArray | None, float]:
    """Solve the program.

    It has at most 20,000 rows. The weakest terms beyond that are left out, and |F| of each is added
    to the bound.

    Args:
        problem: what to maximise. At least one term of order 1 or more is not zero.
        known: the merit of an admissible mask.
        seconds: time limit.
        gap: stop once the bound is at most this much above the better of ``known`` and the mask.

    Returns:
        The best mask that the solver found, if any, and a bound on the merit of every mask.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, hstack

    sets, coefficients, orders = problem.sets, problem.coefficients, problem.orders
    both_ways = problem.target is not None
    taken = _affordable(coefficients, orders, both_ways)
    omitted = float(np.abs(coefficients[~taken]).sum())
    many = taken & (orders > 1)
    matrix, upper, terms = _facets(
        problem.n_players, sets[many], coefficients[many], orders[many], both_ways
    )
    players, offset = slice(problem.n_players), matrix.shape[1] - 1
    # HiGHS minimises (top - f) / scale. The top is the cost of a variable fixed at 1: the solver's
    # gap, which is relative to the objective, is then relative to top - known.
    top = max(problem.ceiling, known) if problem.target is None else problem.target
    scale = float(np.abs(coefficients[orders > 0]).max())
    below = np.zeros(offset + 1)  # top - f of the terms that are taken, by the variables
    below[players] = -problem.effects
    below[terms] = 2.0 * coefficients[many]
    below[offset] = top - coefficients[taken].sum()
    count = np.zeros(offset + 1)
    count[players] = 1.0
    lower, most, cost = np.zeros(offset + 1), np.ones(offset + 1), below / scale
    lower[offset] = 1.0
    limits = [(matrix, -np.inf, upper), (csr_array(count[None, :]), problem.low, problem.high)]
    best = top
    if both_ways:  # t, a last variable, is all the cost
        best, t_only = 0.0, csr_array(([-1.0, -1.0], ([0, 1], [0, 0])))
        sides = hstack([csr_array(np.stack([cost, -cost])), t_only])
        limits = [(_widened(part), low, high) for part, low, high in limits]
        limits.append((sides, -np.inf, 0.0))
        count, lower = np.append(count, 0.0), np.append(lower, 0.0)
        most, cost = np.append(most, np.inf), np.append(np.zeros(offset + 1), 1.0)
    solution = milp(
        cost,
        integrality=count.astype(np.int64),
        bounds=Bounds(lower, most),
        constraints=[LinearConstraint(*limit) for limit in limits],
        options={
            # HiGHS's presolve (of SciPy 1.17) cuts off optima of some of these programs and calls
            # the rest proven; without it they are right, and faster
            "presolve": False,
            "time_limit": seconds,
            "mip_rel_gap": min(1.0, gap / (best - known)) if best > known else 0.0,
        },
    )
    mask = None if solution.x is None else np.asarray(solution.x[players] > 0.5)
    if mask is not None and not problem.admits(mask):
        mask = None
    bound = problem.ceiling
    dual = solution.mip_dual_bound
    finished = solution.status in (0, 1)  # solved, or at a limit
    if finished and dual is not None and np.isfinite(dual):
        bound = min(bound, best - scale * float(dual) + omitted)
    return mask, bound


def _widened(rows: csr_array) -> csr_array:
    """Rows with an empty last column."""
    from scipy.sparse import csr_array

    return csr_array(
        (rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], rows.shape[1] + 1)
    )


def _affordable(coefficients: FloatArray, orders: IntArray, both_ways: bool = False) -> BoolArray:
    """Choose the strongest terms that fit into the rows, and all of order 0 and 1, ``(s,)``."""
    links = np.maximum(0, -(-(orders - _WIDEST) // (_WIDEST - 1)))
    last = np.maximum(orders - (_WIDEST - 1) * links, 1)
    rows = np.where(orders > 1, links * (1 << _WIDEST) + (1 << (last - 1 + both_ways)), 0)
    strongest = np.argsort(-np.abs(coefficients), kind="stable")
    taken = np.zeros(len(orders), dtype=np.bool_)
    taken[strongest] = np.cumsum(rows[strongest]) <= _MAX_ROWS
    return taken | (orders <= 1)


def _facets(
    n_players: int,
    sets: Members,
    coefficients: FloatArray,
    orders: IntArray,
    both_ways: bool = False,
) -> tuple[csr_array, FloatArray, IntArray]:
    """Build the rows ``matrix @ x <= upper`` that tie each term's variable to the players'.

    Args:
        n_players: n.
        sets: the terms, of order 2 or more.
        coefficients: theirs.
        orders: theirs.
        both_ways: limit each parity on both sides, and not only where it raises the value.

    Returns:
        The matrix, with an empty last column; ``upper``; and the number of each term's variable.
    """
    from scipy.sparse import csr_array

    size = n_players
    ties: list[tuple[IntArray, IntArray, bool]] = []
    terms = np.zeros(len(sets), dtype=np.int64)
    for order in np.unique(orders):
        rows = np.flatnonzero(orders == order)
        inputs: IntArray = sets[rows, :order].astype(np.int64)
        while inputs.shape[1] > _WIDEST:
            heads, which = np.unique(inputs[:, :_WIDEST], axis=0, return_inverse=True)
            links = size + np.arange(len(heads))
            size += len(heads)
            ties += [(heads, links, above) for above in (False, True)]  # limited on both sides
            inputs = np.column_stack([links[which.reshape(-1)], inputs[:, _WIDEST:]])
        terms[rows] = size + np.arange(len(rows))
        size += len(rows)
        for above in (False, True):
            chosen = both_ways | ((coefficients[rows] < 0) == above)
            ties.append((inputs[chosen], terms[rows[chosen]], above))
    row, column, signs, upper = [], [], [], [np.zeros(0)]
    n_rows = 0
    for inputs, outputs, above in ties:
        # the sets A: odd, with the output on the side in question
        odd = every_mask(inputs.shape[1])
        odd = odd[odd.sum(axis=1) % 2 != above]
        odd = np.column_stack([odd, np.full(len(odd), above)])
        shape = (len(inputs), *odd.shape)
        variables = np.column_stack([inputs, outputs])[:, None, :]
        numbers = n_rows + np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1)
        row.append(np.broadcast_to(numbers, shape).reshape(-1))
        column.append(np.broadcast_to(variables, shape).reshape(-1))
        signs.append(np.broadcast_to(np.where(odd, 1.0, -1.0), shape).reshape(-1))
        upper.append(np.tile(odd.sum(axis=1) - 1.0, len(inputs)))
        n_rows += shape[0] * shape[1]
    if not ties:
        return csr_array((0, size + 1)), np.zeros(0), terms
    entries = np.concatenate(signs), (np.concatenate(row), np.concatenate(column))
    return csr_array(entries, shape=(n_rows, size + 1)), np.concatenate(upper), terms
