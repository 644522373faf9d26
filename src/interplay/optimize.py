r"""The best or the worst subset of players that a spectrum predicts, with a proven bound.

The predicted value of a subset with mask m is linear in the parities of m on the sets:

.. math:: f(m) = \sum_S F(S) \, (1 - 2 y_S), \qquad y_S = \oplus_{i \in S} m_i

Up to :data:`ENUMERATED` players all 2^n values come from one Walsh-Hadamard transform. Beyond that
it is a mixed-integer program for HiGHS: m_i binary, y_S continuous, tied to m by the facets of the
parity polytope (Jeroslow 1975),

.. math:: \sum_{i \in A} x_i - \sum_{i \in B \setminus A} x_i \le |A| - 1
          \qquad (A \subseteq B = S \cup \{y_S\}, \; |A| \text{ odd}),

of which those with y_S on the side that the objective pulls to suffice: 2^(|S| - 1) rows. Larger
sets go through parities of a few players each.

The other way, one variable per product of the m_i with merged Moebius coefficients, was measured
with the players a third kept. On spectra that ProxySPEX decoded (n = 27 to 270) both are solved in
0.1 s. On planted ones its relaxation is two to four times as far up, and where parities take 6 s
(60 players, 150 terms up to order 5) it is at four times the optimum after 12 s. Convex hulls of
whole sets give the tightest relaxation, by up to a quarter, but cost more than they save.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.exact import walsh_hadamard
from interplay.masks import describe, every_mask
from interplay.sets import Members
from interplay.spectrum import Spectrum

ENUMERATED = 18
"""Up to so many players every subset is tried."""

_WIDEST = 5
"""The most players (or parities) that one family of facets ties together."""
_MAX_ROWS = 50_000
"""The most facets in a program; terms beyond that, the weakest, enter the bound by their size."""
_CANDIDATES = 200
"""Of the kept and of the removed players, so many take part in a step of two players."""
_RANDOM_STARTS = 5
_TOLERANCE = 2e-6
"""A gap below this share of sum |F| is the solver's rounding."""


@dataclass(frozen=True, eq=False)
class BestSubset:
    """A subset of players with the value that a spectrum predicts for it.

    Attributes:
        mask: ``(n,) bool``, ``True`` for a player that is kept.
        value: the predicted value, in the unit of the spectrum's values.
        bound: no admissible subset has a better value than this, to the solver's rounding (2e-6 of
            the sum of the coefficients' sizes). Same unit.
        proven: the gap is at most what was asked for, up to that rounding.
        method: what found the mask: ``"enumeration"``, ``"milp"`` or ``"greedy"``.
        seconds: how long it took.
    """

    mask: BoolArray
    value: float
    bound: float
    proven: bool
    method: str
    seconds: float

    @property
    def kept(self) -> tuple[int, ...]:
        """The players that are kept, ascending."""
        return tuple(np.flatnonzero(self.mask).tolist())

    @property
    def gap(self) -> float:
        """How much better than ``value`` an admissible subset could be at most, in its unit."""
        return abs(self.bound - self.value)

    def __str__(self) -> str:
        if self.gap == 0.0:
            quality = "proven best"
        elif self.proven:
            quality = f"proven best to within {self.gap:.2g}"
        else:
            quality = f"not proven: the best lies between it and {self.bound:.6g}"
        return (
            f"{describe(self.mask)}: predicted value {self.value:.6g}, {quality} "
            f"({self.method}, {self.seconds:.1f} s)"
        )


@dataclass(frozen=True, eq=False)
class _Problem:
    """Maximise sum_S F(S) chi_S(m) over masks that keep ``low`` to ``high`` players.

    Attributes:
        n_players: n.
        sets: the S, as members ``(s, d)``.
        coefficients: F(S), ``(s,)``.
        orders: |S|, ``(s,)``.
        incidence: ``(n, s)``, 1 where a player belongs to a set.
        low: the fewest players to keep.
        high: the most.
    """

    n_players: int
    sets: Members
    coefficients: FloatArray
    orders: IntArray
    incidence: csr_array
    low: int
    high: int

    @property
    def effects(self) -> FloatArray:
        """What keeping each player adds through its term of order 1, ``(n,)``."""
        single = self.orders == 1
        return -2.0 * np.asarray(self.incidence[:, single] @ self.coefficients[single])

    def characters(self, mask: BoolArray) -> FloatArray:
        return np.asarray(1.0 - 2.0 * ((self.incidence.T @ mask.astype(np.float64)) % 2.0))

    def value(self, mask: BoolArray) -> float:
        return float(self.characters(mask) @ self.coefficients)

    def strongest(self, effects: FloatArray) -> BoolArray:
        """The admissible mask of the largest summed effects."""
        mask = np.zeros(self.n_players, dtype=np.bool_)
        count = int(np.clip((effects > 0).sum(), self.low, self.high))
        mask[np.argsort(-effects, kind="stable")[:count]] = True
        return mask

    @property
    def trivial_bound(self) -> float:
        """The best of the terms of order 0 and 1, and all others at their size."""
        weak = self.orders <= 1
        first = self.coefficients[weak].sum() + self.effects[self.strongest(self.effects)].sum()
        return float(first + np.abs(self.coefficients[~weak]).sum())


def best_subset(
    spectrum: Spectrum,
    *,
    keep: int | None = None,
    at_least: int | None = None,
    at_most: int | None = None,
    maximize: bool = True,
    output: int = 0,
    time_limit: float = 60.0,
    gap: float = 0.0,
) -> BestSubset:
    """The subset of players with the largest (or smallest) value that a spectrum predicts.

    It is the best by the spectrum, which need not be the best by the game: ask the game for the
    value of the mask where that matters. Players that make no difference may come either way.

    Args:
        spectrum: what predicts the values.
        keep: keep exactly so many players.
        at_least: keep at least so many; not together with ``keep``.
        at_most: keep at most so many; not together with ``keep``.
        maximize: ``False`` for the smallest value.
        output: which of k outputs.
        time_limit: seconds, after which the best mask so far is returned with the bound so far.
            Enumeration and the first pass of the greedy search, fractions of a second, are finished
            in any case.
        gap: stop once no subset can be better by more than this, in the unit of the values.

    Raises:
        ValueError: a limit is out of range or contradicts another, the output does not exist, or a
            coefficient is not finite.
    """
    started = time.perf_counter()
    low, high = _counts(spectrum.n_players, keep, at_least, at_most)
    if not time_limit > 0:
        raise ValueError(f"time_limit={time_limit} is not above 0; give seconds")
    if not gap >= 0:
        raise ValueError(f"gap={gap} is negative or no number; give 0 or more")
    sign = 1.0 if maximize else -1.0
    problem = _problem(sign * _only(spectrum, output), low, high)
    if spectrum.n_players <= ENUMERATED:
        mask, method = _enumerate(problem), "enumeration"
        bound = problem.value(mask)
    else:
        mask, bound, method = _search(problem, started + time_limit, gap)
    value = problem.value(mask)
    bound = max(bound, value)
    rounding = _TOLERANCE * float(np.abs(problem.coefficients).sum())
    return BestSubset(
        mask=mask,
        value=sign * value,
        bound=sign * bound,
        proven=bound - value <= gap + rounding,
        method=method,
        seconds=time.perf_counter() - started,
    )


def _counts(
    n_players: int, keep: int | None, at_least: int | None, at_most: int | None
) -> tuple[int, int]:
    """The fewest and the most players to keep."""
    for name, count in (("keep", keep), ("at_least", at_least), ("at_most", at_most)):
        if count is None:
            continue
        if not isinstance(count, int | np.integer):
            raise ValueError(f"{name}={count!r} is not a whole number")
        if not 0 <= count <= n_players:
            raise ValueError(
                f"{name}={count} is not 0 to {n_players}, the number of players; "
                "give a number of players to keep"
            )
    if keep is not None:
        if at_least is not None or at_most is not None:
            raise ValueError(
                f"keep={keep} came with at_least={at_least} and at_most={at_most}; "
                "give either keep or the other two"
            )
        return int(keep), int(keep)
    low = 0 if at_least is None else int(at_least)
    high = n_players if at_most is None else int(at_most)
    if low > high:
        raise ValueError(f"at_least={low} is above at_most={high}; no subset is both")
    return low, high


def _only(spectrum: Spectrum, output: int) -> Spectrum:
    """One output of a spectrum, checked."""
    n_outputs = spectrum.n_outputs or 1
    if not isinstance(output, int | np.integer) or not 0 <= output < n_outputs:
        raise ValueError(
            f"output={output!r} does not exist; the spectrum has {n_outputs}, counted from 0"
        )
    one = spectrum.output(int(output))
    bad = np.flatnonzero(~np.isfinite(one.coefficients))
    if len(bad):
        raise ValueError(
            f"the coefficient of {one.sets[bad[0]]} is {one.coefficients[bad[0]]}; "
            "coefficients must be finite numbers"
        )
    return one


def _problem(spectrum: Spectrum, low: int, high: int) -> _Problem:
    term, column = np.nonzero(spectrum.members < spectrum.n_players)
    incidence = csr_array(
        (np.ones(len(term)), (spectrum.members[term, column], term)),
        shape=(spectrum.n_players, len(spectrum)),
    )
    return _Problem(
        n_players=spectrum.n_players,
        sets=spectrum.members,
        coefficients=spectrum.coefficients,
        orders=spectrum.orders,
        incidence=incidence,
        low=low,
        high=high,
    )


def _enumerate(problem: _Problem) -> BoolArray:
    """The best mask by the values of all 2^n."""
    bits = np.append(1 << np.arange(problem.n_players, dtype=np.int64), 0)
    table = np.zeros(1 << problem.n_players)
    np.add.at(table, bits[problem.sets].sum(axis=1), problem.coefficients)
    values = walsh_hadamard(table)
    kept = np.bitwise_count(np.arange(len(table)))
    values[(kept < problem.low) | (kept > problem.high)] = -np.inf
    return np.asarray((int(values.argmax()) >> np.arange(problem.n_players)) & 1 == 1)


def _search(problem: _Problem, deadline: float, gap: float) -> tuple[BoolArray, float, str]:
    """The best mask of the greedy search and of the solver, a bound, and which of them it was."""
    greedy = _greedy(problem, deadline)
    value, bound = problem.value(greedy), problem.trivial_bound
    left = deadline - time.perf_counter()
    rounding = _TOLERANCE * float(np.abs(problem.coefficients).sum())
    if bound - value <= max(gap, rounding) or left <= 0:
        return greedy, bound, "greedy"
    solved, proven = solve(problem, value, left, gap)
    if solved is not None and problem.value(solved) >= value - rounding:
        # of equals within rounding the greater: the solver's may be that much below
        better = solved if problem.value(solved) >= value else greedy
        return better, min(bound, proven), "milp"
    return greedy, min(bound, proven), "greedy"


# --- greedy search ------------------------------------------------------------------------------


def _greedy(problem: _Problem, deadline: float) -> BoolArray:
    """The best of the local optima above several starts, the same at each call."""
    rng = np.random.default_rng(0)
    starts = [problem.effects]
    for mask in (np.ones(problem.n_players, np.bool_), np.zeros(problem.n_players, np.bool_)):
        change = _changes(problem, problem.coefficients * problem.characters(mask))
        starts.append(np.where(mask, -change, change))
    starts += list(rng.normal(size=(_RANDOM_STARTS, problem.n_players)))
    best = _climb(problem, problem.strongest(starts[0]), deadline)
    for effects in starts[1:]:
        if time.perf_counter() < deadline:
            mask = _climb(problem, problem.strongest(effects), deadline)
            best = max(best, mask, key=problem.value)
    return best


def _changes(problem: _Problem, weighted: FloatArray) -> FloatArray:
    r"""What flipping each player changes, :math:`-2 \sum_{S \ni i} F(S) \chi_S(m)`, ``(n,)``."""
    return -2.0 * np.asarray(problem.incidence @ weighted)


def _climb(problem: _Problem, start: BoolArray, deadline: float) -> BoolArray:
    r"""Flip the one or two players that gain most, until none gain or the time is up.

    Two players change the value by :math:`d_i + d_j + 4 \sum_{S \ni i, j} F(S) \chi_S(m)`.
    """
    mask = start.copy()
    least = 1e-12 * float(np.abs(problem.coefficients).sum())
    while time.perf_counter() < deadline:
        weighted = problem.coefficients * problem.characters(mask)
        change = _changes(problem, weighted)
        by_gain = np.argsort(-change, kind="stable")
        some = np.concatenate(
            [by_gain[mask[by_gain] == side][:_CANDIDATES] for side in (False, True)]
        )
        block = problem.incidence[some]
        gains = change[some, None] + change[some] + 4.0 * ((block * weighted) @ block.T).toarray()
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


# --- the mixed-integer program ------------------------------------------------------------------


def solve(
    problem: _Problem, known: float, seconds: float, gap: float
) -> tuple[BoolArray | None, float]:
    """Solve the program with HiGHS.

    Args:
        problem: what to maximise.
        known: the value of an admissible mask.
        seconds: time limit.
        gap: stop once ``bound`` is at most this much above the better of ``known`` and the mask.

    Returns:
        The best mask that the solver found, if any, and a bound on the value of all (infinite if
        it had no time to find one).
    """
    sets, coefficients, orders = problem.sets, problem.coefficients, problem.orders
    scale = float(np.abs(coefficients[orders > 0]).max())
    rows_of = _n_rows(orders)
    strongest = np.argsort(-np.abs(coefficients), kind="stable")
    taken = np.zeros(len(sets), dtype=np.bool_)
    taken[strongest[np.cumsum(rows_of[strongest]) <= _MAX_ROWS]] = True
    taken |= orders <= 1
    rest = float(np.abs(coefficients[~taken]).sum())
    many = taken & (orders > 1)
    matrix, upper, terms = _facets(problem.n_players, sets[many], coefficients[many], orders[many])
    # HiGHS minimises (ceiling - f) / scale >= 0. The offset, a variable that is fixed at 1, makes
    # the solver's relative gap an absolute one in units of ceiling - known.
    ceiling = max(problem.trivial_bound, known + gap)
    n_variables = matrix.shape[1] + 1
    offset = ceiling - float(coefficients[taken].sum())
    cost = np.zeros(n_variables)
    cost[: problem.n_players] = -problem.effects
    cost[terms] = 2.0 * coefficients[many]
    cost[-1] = offset
    cost /= scale
    count = np.zeros(n_variables)
    count[: problem.n_players] = 1.0
    matrix.resize((len(upper), n_variables))
    constraints = [
        LinearConstraint(matrix, -np.inf, upper),
        LinearConstraint(csr_array(count[None, :]), problem.low, problem.high),
        # what is worse than the known mask need not be searched: about half the time
        LinearConstraint(
            csr_array(cost[None, :]), -np.inf, (ceiling - known + rest) / scale + 1e-4
        ),
    ]
    lower = np.zeros(n_variables)
    lower[-1] = 1.0
    found = milp(
        cost,
        integrality=(count > 0).astype(np.int64),
        bounds=Bounds(lower, np.ones(n_variables)),
        constraints=constraints,
        options={
            "time_limit": seconds,
            "mip_rel_gap": min(1.0, gap / (ceiling - known)) if gap else 0.0,
        },
    )
    mask = None
    if found.x is not None:
        mask = np.asarray(found.x[: problem.n_players] > 0.5)
        if not problem.low <= mask.sum() <= problem.high:
            mask = None
    # 0: solved; 1: a limit was reached
    dual = found.mip_dual_bound if found.status in (0, 1) else None
    known_bound = dual is not None and np.isfinite(dual)
    return mask, float(ceiling - scale * dual + rest) if known_bound else np.inf


def _n_rows(orders: IntArray) -> IntArray:
    """How many facets the term of a set of each order needs, at most."""
    links = np.maximum(0, -(-(orders - _WIDEST) // (_WIDEST - 1)))
    last = np.maximum(orders - (_WIDEST - 1) * links, 0)
    return np.where(orders > 1, links * (1 << _WIDEST) + (1 << last) // 2, 0)


def _facets(
    n_players: int, sets: Members, coefficients: FloatArray, orders: IntArray
) -> tuple[csr_array, FloatArray, IntArray]:
    """The rows ``matrix @ x <= upper`` that tie each term's variable to the players'.

    Returns:
        The matrix, ``upper``, and the variable of each term.
    """
    size = n_players
    blocks: list[tuple[IntArray, FloatArray, FloatArray]] = []
    terms = np.zeros(len(sets), dtype=np.int64)
    for order in np.unique(orders):
        rows = np.flatnonzero(orders == order)
        inputs: npt.NDArray[np.int64] = sets[rows, :order].astype(np.int64)
        while inputs.shape[1] > _WIDEST:
            heads, which = np.unique(inputs[:, :_WIDEST], axis=0, return_inverse=True)
            links = size + np.arange(len(heads))
            size += len(heads)
            # what follows uses a link in both directions
            blocks += [_ties(heads, links, above) for above in (False, True)]
            inputs = np.column_stack([links[which.reshape(-1)], inputs[:, _WIDEST:]])
        terms[rows] = size + np.arange(len(rows))
        size += len(rows)
        for above in (False, True):
            some = (coefficients[rows] < 0) == above
            blocks.append(_ties(inputs[some], terms[rows][some], above))
    columns = [variables.reshape(-1) for variables, _, _ in blocks]
    widths = [np.full(len(upper), variables.shape[1]) for variables, _, upper in blocks]
    data = [signs.reshape(-1) for _, signs, _ in blocks]
    starts = np.concatenate([[0], np.cumsum(np.concatenate([*widths, np.zeros(0, np.int64)]))])
    matrix = csr_array(
        (_joined(data), _joined(columns).astype(np.int32), starts.astype(np.int32)),
        shape=(len(starts) - 1, size),
    )
    return matrix, _joined([upper for _, _, upper in blocks]), terms


def _joined(parts: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.float64]:
    return np.concatenate([*parts, np.zeros(0)])


def _ties(
    inputs: IntArray, outputs: IntArray, above: bool
) -> tuple[IntArray, FloatArray, FloatArray]:
    """The facets that keep outputs from exceeding (``above``) or falling below a parity.

    Args:
        inputs: ``(t, k)`` variables.
        outputs: ``(t,)`` variables, each the parity of a row of inputs.
        above: which side.

    Returns:
        Variables and signs ``(rows, k + 1)``, and the right-hand sides ``(rows,)``.
    """
    odd = every_mask(inputs.shape[1])
    odd = odd[odd.sum(axis=1) % 2 != above]
    odd = np.column_stack([odd, np.full(len(odd), above)])
    variables = np.column_stack([inputs, outputs])
    return (
        np.repeat(variables, len(odd), axis=0),
        np.tile(np.where(odd, 1.0, -1.0), (len(inputs), 1)),
        np.tile(odd.sum(axis=1) - 1.0, len(inputs)),
    )
