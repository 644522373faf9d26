"""The best subset: brute force is the oracle."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interplay import Spectrum, optimize
from interplay.fourier.masks import every_mask
from interplay.optimize import program
from interplay.optimize.greedy import climb, greedy
from interplay.optimize.problem import Problem, enumerate_all
from interplay.optimize.subset import best_subset
from tests.conftest import planted

LATER = float("inf")
HOUR = 3600.0


def random_spectrum(n: int, n_terms: int, rng: np.random.Generator) -> Spectrum:
    """Sets of any order, up to all players."""
    sets = [np.flatnonzero(rng.random(n) < rng.uniform(0, 1)).tolist() for _ in range(n_terms)]
    return Spectrum.from_terms(n, sets, rng.normal(size=n_terms))


def brute_force(spectrum: Spectrum, low: int, high: int) -> tuple[float, float]:
    """The smallest and the largest value of an admissible mask."""
    masks = every_mask(spectrum.n_players)
    values = spectrum.predict(masks[(masks.sum(axis=1) >= low) & (masks.sum(axis=1) <= high)])
    return float(values.min()), float(values.max())


@given(
    n=st.integers(1, 10),
    n_terms=st.integers(0, 40),
    form=st.sampled_from(["free", "keep", "at_least", "at_most", "between"]),
    seed=st.integers(0, 999),
)
def test_the_best_and_the_worst_are_those_of_brute_force(
    n: int, n_terms: int, form: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spectrum = random_spectrum(n, n_terms, rng)
    a, b = sorted(rng.integers(0, n + 1, size=2).tolist())
    limits, low, high = {
        "free": ({}, 0, n),
        "keep": ({"keep": a}, a, a),
        "at_least": ({"at_least": a}, a, n),
        "at_most": ({"at_most": b}, 0, b),
        "between": ({"at_least": a, "at_most": b}, a, b),
    }[form]
    least, most = brute_force(spectrum, low, high)
    for maximize, truth in ((True, most), (False, least)):
        found = best_subset(spectrum, maximize=maximize, **limits)
        assert found.value == pytest.approx(truth, abs=1e-9)
        assert found.value == pytest.approx(float(spectrum.predict(found.mask)), abs=1e-9)
        assert found.method == "enumeration"
        assert found.proven
        assert found.gap == 0.0
        assert low <= len(found.kept) <= high
        assert found.kept == tuple(np.flatnonzero(found.mask))


@pytest.mark.slow
@given(
    n=st.integers(2, 10), n_terms=st.integers(1, 25), free=st.booleans(), seed=st.integers(0, 999)
)
@example(n=7, n_terms=1, free=False, seed=0)  # HiGHS's presolve cut the optimum off
def test_the_program_and_the_greedy_search_against_brute_force(
    n: int, n_terms: int, free: bool, seed: int
) -> None:
    """Sets of up to all ten players, so that parities are chained too."""
    rng = np.random.default_rng(seed)
    spectrum = random_spectrum(n, n_terms, rng) + Spectrum.from_dict(n, {(0,): 0.1})
    low, high = (0, n) if free else sorted(rng.integers(0, n + 1, size=2).tolist())
    problem = Problem.of(spectrum, low, high)
    _, truth = brute_force(spectrum, low, high)
    start = greedy(problem, LATER)
    assert problem.admits(start)
    assert problem.value(start) <= truth + 1e-9
    assert truth <= problem.ceiling + 1e-9
    mask, bound = program.solve(problem, problem.value(start), seconds=HOUR)
    assert mask is not None
    assert problem.admits(mask)
    assert spectrum.predict(mask) == pytest.approx(truth, abs=1e-6)
    assert bound == pytest.approx(truth, abs=problem.rounding)
    assert spectrum.predict(enumerate_all(problem)) == pytest.approx(truth, abs=1e-9)


def test_long_sets_are_chained_exactly() -> None:
    """One set of each order up to 14, alone, with either sign: the best is known to be +1."""
    for order in range(2, 15):
        for sign in (1.0, -1.0):
            spectrum = Spectrum.from_dict(14, {tuple(range(order)): sign})
            problem = Problem.of(spectrum, 3, 3)
            mask, bound = program.solve(problem, -1.0, seconds=HOUR)
            _, truth = brute_force(spectrum, 3, 3)
            assert mask is not None
            assert (spectrum.predict(mask), bound) == pytest.approx((truth, truth), abs=1e-6)


@pytest.mark.slow
@given(rows=st.integers(0, 200), seed=st.integers(0, 99))
def test_terms_that_do_not_fit_the_program_stay_in_the_bound(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spectrum = random_spectrum(9, 25, rng) + Spectrum.from_dict(9, {(0,): 0.1})
    _, truth = brute_force(spectrum, 4, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_MAX_ROWS", rows)
        mask, bound = program.solve(Problem.of(spectrum, 4, 4), -100.0, seconds=HOUR)
        taken = program._affordable(spectrum.coefficients, spectrum.orders) & (spectrum.orders > 1)
    terms = spectrum.members[taken], spectrum.coefficients[taken], spectrum.orders[taken]
    assert program._facets(9, *terms)[0].shape[0] <= rows
    assert mask is not None
    assert mask.sum() == 4
    assert spectrum.predict(mask) <= truth + 1e-9
    assert bound >= truth - 1e-6


@given(n=st.integers(2, 9), free=st.booleans(), seed=st.integers(0, 99))
def test_a_climb_ends_where_no_flip_of_one_or_two_players_gains(
    n: int, free: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spectrum = random_spectrum(n, 20, rng)
    start = rng.random(n) < 0.5
    low, high = (0, n) if free else (int(start.sum()), int(start.sum()))
    mask = climb(Problem.of(spectrum, low, high), start, LATER)
    flips = every_mask(n)
    near = mask ^ flips[flips.sum(axis=1) <= 2]
    near = near[(near.sum(axis=1) >= low) & (near.sum(axis=1) <= high)]
    assert spectrum.predict(mask) >= spectrum.predict(near).max() - 1e-9
    assert spectrum.predict(mask) >= spectrum.predict(start) - 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("limits", [{"keep": 20}, {"at_least": 35, "at_most": 40}])
def test_a_planted_function_of_60_players_is_solved_to_proof(
    maximize: bool, limits: dict[str, int]
) -> None:
    spectrum = planted(60, 70, np.random.default_rng(1))
    found = best_subset(spectrum, maximize=maximize, **limits)
    assert found.proven
    assert found.gap <= 2e-6 * np.abs(spectrum.coefficients).sum()
    assert found.value == pytest.approx(float(spectrum.predict(found.mask)))
    sign = 1.0 if maximize else -1.0
    # no climb from a random start exceeds the proven optimum
    problem = Problem.of(sign * spectrum, limits.get("keep", 35), limits.get("keep", 40))
    rng = np.random.default_rng(7)
    for _ in range(20):
        mask = climb(problem, problem.strongest(rng.normal(size=60)), LATER)
        assert problem.value(mask) <= sign * found.value + 1e-6


def test_parts_that_share_no_player_are_solved_together() -> None:
    """Three copies of a function of eight players: the optimum is three times that of one."""
    part = random_spectrum(8, 20, np.random.default_rng(3))
    shifted = [tuple(8 * k + i for i in players) for k in range(3) for players in part.sets]
    found = best_subset(Spectrum.from_terms(24, shifted, np.tile(part.coefficients, 3)))
    assert found.proven
    assert found.method in ("milp", "greedy")
    assert found.value == pytest.approx(3 * brute_force(part, 0, 8)[1], abs=1e-6)


def test_a_search_that_runs_out_of_time_has_a_mask_and_a_valid_bound() -> None:
    spectrum = random_spectrum(20, 150, np.random.default_rng(0))
    _, truth = brute_force(spectrum, 7, 7)
    for time_limit in (1e-9, 0.05, 0.5):
        started = time.process_time()  # not the clock: others may be on the machine
        found = best_subset(spectrum, keep=7, time_limit=time_limit)
        assert time.process_time() - started < time_limit + 3.0
        assert found.mask.sum() == 7
        assert found.value == pytest.approx(float(spectrum.predict(found.mask)))
        assert found.value <= truth + 1e-9
        assert found.bound >= truth - 1e-6
        assert found.gap == pytest.approx(found.bound - found.value)
        assert found.proven == (found.gap <= 2e-6 * np.abs(spectrum.coefficients).sum())
        if not found.proven:
            assert f"the best has between that and {found.bound:.6g}" in str(found)
    assert not best_subset(spectrum, keep=7, time_limit=1e-9).proven
    lowest = best_subset(spectrum, keep=7, time_limit=1e-9, maximize=False)
    assert lowest.bound <= brute_force(spectrum, 7, 7)[0] <= lowest.value


def test_the_requested_gap_is_reached() -> None:
    spectrum = planted(40, 60, np.random.default_rng(2), max_order=3)
    best = best_subset(spectrum, keep=15)
    for gap in (0.5, 10.0, 1e3):
        found = best_subset(spectrum, keep=15, gap=gap)
        assert found.proven
        assert found.gap <= gap + 1e-6
        assert found.value <= best.value + 1e-6 <= found.bound + 2e-6


def test_greedy_is_proven_where_the_trivial_bound_is_met() -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(size=300)
    spectrum = Spectrum.from_terms(300, [(i,) for i in range(300)], effects)
    found = best_subset(spectrum, keep=40)
    assert (found.method, found.proven) == ("greedy", True)
    assert set(found.kept) == set(np.argsort(effects)[:40].tolist())


@pytest.mark.parametrize("n", [5, 30])
def test_edges(n: int) -> None:
    spectrum = planted(n, 12, np.random.default_rng(0), max_order=min(n, 4))
    everyone = tuple(range(n))
    assert best_subset(spectrum, keep=0).kept == best_subset(spectrum, at_most=0).kept == ()
    assert best_subset(spectrum, keep=n).kept == everyone
    for terms in ({}, {(): 3.0}, {(0,): 0.0, (0, 1): 0.0}):
        found = best_subset(Spectrum.from_dict(n, terms), keep=2)
        assert found.proven
        assert len(found.kept) == 2
        assert found.value == found.bound == sum(terms.values())


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_values_does_not_matter(scale: float) -> None:
    spectrum = planted(24, 40, np.random.default_rng(4))
    plain, scaled = best_subset(spectrum, keep=8), best_subset(scale * spectrum, keep=8)
    assert plain.proven
    assert scaled.proven
    assert scaled.value == pytest.approx(scale * plain.value, rel=1e-6)


def test_one_of_several_outputs() -> None:
    rng = np.random.default_rng(0)
    spectrum = Spectrum.from_terms(6, [(0,), (1, 2), (3, 4, 5)], rng.normal(size=(3, 2)))
    for output in (0, 1):
        found = best_subset(spectrum, keep=3, output=output)
        assert found.value == pytest.approx(brute_force(spectrum.output(output), 3, 3)[1])


def test_it_reads_well() -> None:
    spectrum = Spectrum.from_dict(6, {(): 1.0, (0,): -1.0, (1, 2): -0.5})
    found = optimize.best_subset(spectrum, keep=2)
    assert found.kept[0] == 0
    assert str(found).startswith("mask keeping 2 of 6 players (kept: 0, 1): predicted value 2.5, ")
    assert "proven to be the best; enumeration, 0." in str(found)


def test_bad_requests_are_refused() -> None:
    spectrum = Spectrum.from_dict(6, {(): 1.0, (0, 1): 2.0})
    for name in ("keep", "at_least", "at_most"):
        for count in (-1, 7):
            with pytest.raises(ValueError, match=f"{name}={count} is not between 0 and 6"):
                best_subset(spectrum, **{name: count})
        with pytest.raises(ValueError, match=rf"{name}=2\.5 is not a whole number"):
            best_subset(spectrum, **{name: 2.5})
    with pytest.raises(ValueError, match="at_least=4 is above at_most=3"):
        best_subset(spectrum, at_least=4, at_most=3)
    with pytest.raises(ValueError, match=r"keep=3 came with at_least=2 and at_most=None; give"):
        best_subset(spectrum, keep=3, at_least=2)
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"time_limit={limit} is not above 0"):
            best_subset(spectrum, time_limit=limit)
    with pytest.raises(ValueError, match=r"gap=-0\.1 is not 0 or more"):
        best_subset(spectrum, gap=-0.1)
    for output in (1, -1):
        with pytest.raises(ValueError, match=f"output={output} is not"):
            best_subset(spectrum, output=output)
    bad = Spectrum.from_dict(6, {(): 1.0, (0, 1): float("nan")})
    with pytest.raises(ValueError, match=r"the coefficient of \(0, 1\) is nan"):
        best_subset(bad)


@pytest.mark.parametrize(("scale", "offset"), [(1e-150, 0.0), (-1e148, 0.0), (1.0, 1e12)])
@pytest.mark.parametrize("n", [12, 40])
def test_neither_the_unit_nor_an_offset_matters(n: int, scale: float, offset: float) -> None:
    plain = planted(n, 25, np.random.default_rng(3), max_order=3)
    other = plain * scale + Spectrum.from_dict(n, {(): scale * offset})
    wanted = best_subset(plain, at_most=n // 2, maximize=scale > 0)
    found = best_subset(other, at_most=n // 2)
    assert found.mask.tolist() == wanted.mask.tolist()
    assert found.proven
    assert wanted.proven


@given(
    n=st.integers(1, 10),
    n_terms=st.integers(0, 40),
    free=st.booleans(),
    target=st.floats(-9.0, 9.0),
    seed=st.integers(0, 999),
)
def test_the_nearest_to_a_target_is_that_of_brute_force(
    n: int, n_terms: int, free: bool, target: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spectrum = random_spectrum(n, n_terms, rng)
    low, high = (0, n) if free else sorted(rng.integers(0, n + 1, size=2).tolist())
    nearest = best_subset(spectrum, at_least=low, at_most=high, target=target)
    masks = every_mask(n)
    masks = masks[(masks.sum(axis=1) >= low) & (masks.sum(axis=1) <= high)]
    truth = np.abs(spectrum.predict(masks) - target).min()
    assert nearest.distance == pytest.approx(truth, abs=1e-9)
    assert nearest.value == pytest.approx(float(spectrum.predict(nearest.mask)), abs=1e-9)
    assert (nearest.proven, nearest.gap) == (True, 0.0)
    assert low <= len(nearest.kept) <= high


@pytest.mark.slow
@given(n=st.integers(2, 9), target=st.floats(-9.0, 9.0), seed=st.integers(0, 999))
def test_the_program_with_a_target_against_brute_force(n: int, target: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spectrum = random_spectrum(n, 15, rng) + Spectrum.from_dict(n, {(0,): 0.1})
    low, high = sorted(rng.integers(0, n + 1, size=2).tolist())
    problem = Problem.of(spectrum, low, high, target)
    masks = every_mask(n)
    masks = masks[(masks.sum(axis=1) >= low) & (masks.sum(axis=1) <= high)]
    truth = -np.abs(spectrum.predict(masks) - target).min()
    start = greedy(problem, LATER)
    assert problem.merit(start) <= truth + 1e-9 <= problem.ceiling + 2e-9
    mask, bound = program.solve(problem, problem.merit(start), seconds=HOUR)
    assert mask is not None
    assert problem.admits(mask)
    assert problem.merit(mask) == pytest.approx(truth, abs=problem.rounding)
    assert bound == pytest.approx(truth, abs=problem.rounding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_MAX_ROWS", 40)  # terms that do not fit stay in the bound
        _, bound = program.solve(problem, problem.merit(start), seconds=HOUR)
    assert bound >= truth - 1e-6


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_target_out_of_reach_is_approached_and_one_within_reach_met(scale: float) -> None:
    spectrum = planted(24, 40, np.random.default_rng(4)) * scale
    spectrum = spectrum + Spectrum.from_dict(24, {(): 5.0 * scale})
    best = best_subset(spectrum, keep=8)
    far = best_subset(spectrum, keep=8, target=best.value + 3.0 * scale)
    assert far.proven
    assert far.value == pytest.approx(best.value, rel=1e-6)
    assert far.bound == pytest.approx(3.0 * scale, rel=1e-4)
    middle = best_subset(spectrum, keep=8, target=5.0 * scale, gap=0.05 * scale)
    assert middle.proven
    assert middle.distance <= 0.05 * scale
    assert middle.gap <= middle.distance
    assert f"from the target {5.0 * scale:.6g}, proven to be the nearest" in str(middle)


def test_a_target_that_cannot_be_is_refused() -> None:
    spectrum = Spectrum.from_dict(6, {(): 1.0, (0, 1): 2.0})
    for target, maximize in ((float("nan"), True), (1.0, False)):
        with pytest.raises(ValueError, match=f"target={target} came with maximize={maximize}"):
            best_subset(spectrum, target=target, maximize=maximize)
