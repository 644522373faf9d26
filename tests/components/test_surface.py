"""The Gaussian process that proposes subsets, and circuits found by its proposals."""

from __future__ import annotations

import numpy as np
import pytest

import interplay as ip
from interplay import components
from interplay._types import BoolArray, FloatArray
from interplay.components.analysis import adaptive, rounds, surface
from interplay.components.analysis.circuits import area, sizes_of
from interplay.explanation.explanation import Ablations
from interplay.fourier.masks import every_mask, keys
from interplay.game import Hints
from tests.components.test_rounds import Triples

N = 12


def function(masks: BoolArray) -> FloatArray:
    return Triples(N, 3).truth(masks)


def fitted(n_masks: int = 150, hints: FloatArray | None = None) -> surface.Surface:
    rng = np.random.default_rng(0)
    masks = every_mask(N)[rng.choice(1 << N, n_masks, replace=False)]
    return surface.fit(masks, function(masks), hints)


def of_size(n_kept: int) -> BoolArray:
    masks = every_mask(N)
    return masks[masks.sum(axis=1) == n_kept]


def test_the_gradient() -> None:
    rng = np.random.default_rng(1)
    signs, targets = rng.choice([-1.0, 1.0], (30, 7)), rng.normal(size=30)
    theta, hints = 0.3 * rng.normal(size=13), rng.normal(size=7)
    _, gradient = surface._objective(theta, signs, targets, hints)
    for number in range(len(theta)):
        step = np.zeros_like(theta)
        step[number] = 1e-5
        above, below = (
            surface._objective(theta + sign * step, signs, targets, hints)[0] for sign in (1, -1)
        )
        assert gradient[number] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_it_predicts_a_function_of_order_three() -> None:
    masks = every_mask(N)
    errors = function(masks) - fitted(300).predict(masks)
    assert errors.var() < 0.15 * function(masks).var()


def test_every_swap_is_predicted_at_once() -> None:
    process, mask = fitted(), np.arange(N) < 5
    kept, removed = np.flatnonzero(mask), np.flatnonzero(~mask)
    predicted = process._swapped(mask, kept, removed)
    for row, one in enumerate(kept):
        for column, other in enumerate(removed):
            swapped = mask.copy()
            swapped[one], swapped[other] = False, True
            assert predicted[row, column] == pytest.approx(process.predict(swapped[None])[0])


def test_every_removal_is_predicted_at_once_and_the_least_harmful_goes_first() -> None:
    process, mask = fitted(), np.arange(N) != 4
    kept = np.flatnonzero(mask)
    without = mask & ~np.eye(N, dtype=np.bool_)[kept]
    predicted = process.predict(without)
    np.testing.assert_allclose(process._without(mask, kept), predicted)
    np.testing.assert_array_equal(process.shrunk(mask, N - 2), without[predicted.argmax()])
    small = process.shrunk(mask, 5)
    assert small.sum() == 5
    assert not (small & ~mask).any()
    reached = process.predict(small[None])[0]
    inside = of_size(5)[(of_size(5) <= mask).all(axis=1)]
    assert (process.predict(inside) <= reached).mean() > 0.9
    assert (process.shrunk(mask, 11) == mask).all()


@pytest.mark.parametrize("target", [None, 1.0])
def test_the_best_subset_of_its_own_predictions(target: float | None) -> None:
    process, rng = fitted(), np.random.default_rng(0)
    masks = of_size(6)
    predicted = process.predict(masks)
    merits = predicted if target is None else -np.abs(predicted - target)
    first = process.best(6, set(), rng, target=target)
    assert first is not None
    assert first.sum() == 6
    value = process.predict(first[None])[0]
    reached = value if target is None else -abs(value - target)
    assert reached >= np.sort(merits)[-3 if target is None else -30]
    # the next is another one, and of all but one known masks the last
    second = process.best(6, set(keys(first[None])), rng, target=target)
    assert second is not None
    assert (second != first).any()
    last = process.best(6, set(keys(masks)) - set(keys(masks[7:8])), rng, target=target)
    assert last is None or (last == masks[7]).all()
    assert process.best(6, set(keys(masks)), rng, target=target) is None


def test_all_players_and_a_constant() -> None:
    process, rng = fitted(), np.random.default_rng(0)
    whole = process.best(N, set(), rng)
    assert whole is not None
    assert whole.all()
    masks = every_mask(4)
    flat = surface.fit(masks, np.full(16, 2.5))
    assert flat.predict(masks) == pytest.approx(np.full(16, 2.5))
    assert flat.best(2, set(), rng) is not None


def test_hints_help_where_there_are_few_values() -> None:
    rng = np.random.default_rng(5)
    relevant = rng.choice(100, 8, replace=False)
    hints = np.full(100, 0.05)
    hints[relevant] = 1.0

    def wanted(masks: BoolArray) -> FloatArray:
        return masks[:, relevant[:4]].sum(axis=1) + 2.0 * masks[:, relevant[4:7]].all(axis=1)

    masks, others = rng.random((60, 100)) < 0.6, rng.random((500, 100)) < 0.6
    errors = [
        (surface.fit(masks, wanted(masks), given).predict(others) - wanted(others)).var()
        for given in (None, hints)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_circuits_are_found_where_the_area_gains() -> None:
    game = Triples(14, 5, "adaptive")
    explanation = ip.explain(
        game, decoder="gp", budget=80, measure=ip.Keep(0.1, 0.95), progress=False
    )
    game.n_evaluated = 0
    fractions = (0.1, 0.25, 0.5, 0.75, 1.0)
    circuits = components.adaptive_circuits(
        game, explanation, 60, fractions=fractions, progress=False
    )
    assert game.n_evaluated <= 61  # and the full model
    assert circuits.cost <= 80 + 60
    sizes = sizes_of(fractions, 14)
    assert (circuits.best.sum(axis=1) == sizes).all()
    assert circuits.best[-1].all()
    masks = every_mask(14)
    truth, counts = game.truth(masks), masks.sum(axis=1)
    optimum = np.array([truth[counts == size].max() for size in sizes])
    median = np.array([np.median(truth[counts == size]) for size in sizes])
    found, best, usual = (
        area(values, fractions) for values in (game.truth(circuits.best), optimum, median)
    )
    assert (found - usual) / (best - usual) > 0.8
    full = float(truth[-1])
    nearest = np.array([np.abs(truth[counts == size] - full).min() for size in sizes])
    distance = np.abs(game.truth(circuits.faithful) - full)
    found, best, usual = (
        area(values, fractions) for values in (distance, nearest, np.abs(median - full))
    )
    assert (found - best) / (usual - best) < 0.3


@pytest.mark.parametrize("hinted", [False, True])
def test_circuits_of_what_dies_without_many_of_its_parts(hinted: bool) -> None:
    """Masks that remove half of the parts tell nothing: what is left only guesses."""
    rng = np.random.default_rng(0)
    needed = rng.choice(60, 10, replace=False)
    weights, guess = rng.normal(0, 0.5, 60), rng.normal(size=60)
    weights[needed] = 0.0

    def score(masks: BoolArray) -> FloatArray:
        lives = masks[:, needed].all(axis=1)
        return np.where(lives, 4.0 + masks @ weights, np.sin(masks @ guess))

    class Hinted(ip.FunctionGame):
        def hints(self) -> Hints | None:
            likely = np.where(np.isin(np.arange(60), needed), 1.0, 0.3)
            return Hints("by hand", likely) if hinted else None

    game = Hinted(score, 60)
    explanation = ip.explain(
        game, decoder="gp", budget=40, measure=ip.Keep(0.1, 0.95), progress=False
    )
    circuits = components.adaptive_circuits(
        game, explanation, 150, fractions=(0.2, 0.5, 1.0), progress=False
    )
    assert circuits.best[:, needed].all()
    full = score(np.ones((1, 60), dtype=np.bool_))[0]
    best, faithful = score(circuits.best), score(circuits.faithful)
    assert best[1] > 1.3 * full
    assert faithful[1] == pytest.approx(full, rel=0.1)


def test_larger_subsets_that_no_smaller_one_is_as_good_as() -> None:
    sizes, scores = [2, 4, 5, 5, 6, 9, 10], [9.0, 1.0, 3.0, 2.0, 2.5, 4.0, 8.0]
    masks = np.arange(12) < np.array(sizes)[:, None]
    known = Ablations(masks, np.array(scores)[:, None])
    wanted = rounds.Wanted(3, rounds.Goal(0, None), 1)
    assert rounds._front(known, wanted).tolist() == [1, 2, 5]  # ten are too many
    faithful = rounds.Wanted(3, rounds.Goal(0, 2.4), 1)
    assert rounds._front(known, faithful).tolist() == [1, 3, 4]
    assert not len(rounds._front(known, rounds.Wanted(11, rounds.Goal(0, None), 1)))


def test_sizes_fall_to_those_that_are_wanted() -> None:
    sizes = [3, 15, 60]
    assert adaptive._falling(sizes, 120, 1e-9) == [15, 60, 119]
    assert adaptive._falling(sizes, 120, 0.25) == [9, 38, 90]
    assert adaptive._falling(sizes, 120, 0.5) == sizes
    assert adaptive._falling(sizes, 120, 1.0) == sizes


def test_circuits_of_a_store_cost_nothing_again(tmp_path: object) -> None:
    game = Triples(14, 5, "adaptive")
    explanation = ip.explain(game, decoder="lasso", budget=60, progress=False)
    store = f"{tmp_path}/a.db"
    first, second = (
        components.adaptive_circuits(
            game, explanation, 30, fractions=(0.3, 0.6, 1.0), store=store, progress=False
        )
        for _ in range(2)
    )
    assert (first.best == second.best).all()
    assert (first.faithful == second.faithful).all()
    evaluated = game.n_evaluated
    components.adaptive_circuits(
        game, explanation, 30, fractions=(0.3, 0.6, 1.0), store=store, progress=False
    )
    assert game.n_evaluated == evaluated


def test_circuits_of_another_game_are_refused() -> None:
    game, other = Triples(14, 5, "adaptive"), Triples(14, 6, "other")
    explanation = ip.explain(game, decoder="lasso", budget=60, progress=False)
    with pytest.raises(ValueError, match="give the game that was explained"):
        components.adaptive_circuits(other, explanation, 30, progress=False)
    with pytest.raises(ValueError, match="n_ablations=0 is below 1"):
        components.adaptive_circuits(game, explanation, 0, progress=False)


@pytest.mark.parametrize(
    "bounds", [(12.0, 12.0, 12.0, 12.0, -12.0), (12.0, -12.0, 0.0, 0.0, -12.0)]
)
def test_no_covariance_is_too_large_for_its_noise(bounds: tuple[float, ...]) -> None:
    """L-BFGS may try hyperparameters at their bounds, with relevances far apart."""
    rng = np.random.default_rng(1)
    signs, targets = rng.choice([-1.0, 1.0], (200, 300)), rng.normal(size=200)
    signs[100:] = signs[:100]
    theta = np.concatenate([rng.choice([-12.0, 12.0], 300), [0.0], bounds])
    value, gradient = surface._objective(theta, signs, targets, np.zeros(300))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    variance = np.exp(bounds[0]) + np.exp(bounds[2]) + np.exp(bounds[3])
    assert surface._noise(np.array(bounds)) >= 1e-6 * variance
