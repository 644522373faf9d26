"""Interplay among shapiq's approximators: what shapiq asserts of its own, and in its explainers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay import INDICES
from interplay._types import BoolArray, FloatArray

shapiq = pytest.importorskip("shapiq", minversion="1.8")
bridge = ip.toolkits.shapiq
EFFICIENT = ("SV", "k-SII", "STII", "FSII")
N = 8


def order_of(index: str) -> int:
    return 1 if index in ("SV", "BV") else 2


def assert_same(values: Any, expected: Any, leave_out: bool = False) -> None:
    """Equal on all sets: those that ours does not list are zero. The empty one may be left out."""
    for players in values.interactions.keys() | expected.interactions.keys():
        if players or not leave_out:
            assert values[players] == pytest.approx(expected[players], abs=1e-12), players


class Recorded:
    """A game in which players 0 and 1 are alike, and player 7 does nothing; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[BoolArray] = []

    def __call__(self, masks: BoolArray) -> FloatArray:
        self.calls.append(np.array(masks))
        a, b, c, d, e, f, g, _ = np.asarray(masks, dtype=float).T
        return 5.0 + a + b + 2.0 * a * b - 1.5 * c * d + e * f * (1.0 - g)


def exact(game: Any, index: str, n_players: int = N) -> Any:
    computer = shapiq.ExactComputer(game, n_players)
    if index == "BV":
        return computer("FBII", 1)
    if index in ("FSII", "Moebius"):
        moebius = computer("Moebius")
        if index == "Moebius":
            return moebius.get_n_order(min_order=0, max_order=2)
        return shapiq.game_theory.MoebiusConverter(moebius)(index, 2)
    return computer(index, order_of(index))


@pytest.mark.slow
@pytest.mark.parametrize("index", INDICES.own)
def test_estimates(index: str) -> None:
    game, budget = Recorded(), 80
    approximator = bridge.Interplay(N, order_of(index), index, random_state=1)
    values = approximator.approximate(budget, game)
    assert (values.index, values.max_order, values.min_order) == (index, order_of(index), 0)
    assert values.estimated
    assert values.n_players == N
    # budget: distinct masks, both ends among them, all in one call
    (asked,) = game.calls
    assert asked.dtype == bool
    assert len(np.unique(asked, axis=0)) == len(asked) == values.estimation_budget
    assert budget - 2 <= len(asked) <= budget
    assert asked.all(axis=1).any()
    assert not asked.any(axis=1).all()
    # baseline
    assert values.baseline_value == 5.0
    if shapiq.game_theory.indices.is_empty_value_the_baseline(index):
        assert values[()] == 5.0
    # efficiency
    if index in EFFICIENT:
        assert sum(values.values) == pytest.approx(9.0 - 1.5, abs=1e-9)
    # symmetry, dummy, and the values themselves
    assert values[(0,)] == pytest.approx(values[(1,)], abs=0.1)
    assert abs(values[(7,)]) < 0.1
    expected = exact(game, index)
    for players in expected.interactions:
        assert values[players] == pytest.approx(expected[players], abs=0.15), players
    assert approximator.explanation.faithfulness.r2 > 0.99


@pytest.mark.parametrize("index", INDICES.own)
@pytest.mark.parametrize("decoder", ["auto", "proxyspex"])
def test_a_budget_of_all_masks_is_exact(index: str, decoder: str) -> None:
    game = Recorded()
    approximator = bridge.Interplay(N, 2, index.lower(), decoder=decoder)
    values = approximator(1000, game)  # more than there are masks
    assert not values.estimated
    assert values.estimation_budget == 1 << N
    assert sum(map(len, game.calls)) == 1 << N
    assert_same(values, exact(game, index))
    assert values[(0,)] == pytest.approx(values[(1,)], abs=1e-12)
    if index not in ("Fourier", "Co-Moebius"):
        assert values[(7,)] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("max_order", [1, 2, 3])
def test_orders(max_order: int) -> None:
    top = bridge.Interplay(N, max_order, "STII", top_order=True)
    assert top.min_order == top.max_order == max_order
    values = top.approximate(256, Recorded())
    assert values.interactions
    assert set(values.interactions) <= set(combinations(range(N), max_order))
    assert values.min_order == max_order
    assert top.interaction_lookup == values.interaction_lookup
    without = bridge.Interplay(N, max_order, "FBII", min_order=1).approximate(256, Recorded())
    assert {len(players) for players in without.interactions} == set(range(1, max_order + 1))


def test_orders_beyond_the_usual() -> None:
    def parity(masks: BoolArray) -> FloatArray:
        return 1.0 - 2.0 * (masks[:, :6].sum(axis=1) % 2)

    approximator = bridge.Interplay(12, 6, "Fourier", decoder="spex", random_state=0)
    values = approximator.approximate(3000, parity)
    assert values[tuple(range(6))] == pytest.approx(1.0, abs=1e-6)
    assert not bridge.Interplay(7, 6, "Fourier").approximate(128, parity).estimated


def test_the_same_seed_gives_the_same() -> None:
    def noise(masks: BoolArray) -> FloatArray:
        return np.cos(np.asarray(masks) @ np.arange(1.0, N + 1) ** 2)

    def run(approximator: Any) -> FloatArray:
        return np.array(approximator.approximate(60, noise).values)

    seeded = bridge.Interplay(N, 1, "BV", decoder="lasso", random_state=7)
    first = run(seeded)
    np.testing.assert_array_equal(run(seeded), first)
    other = bridge.Interplay(N, 1, "BV", decoder="lasso")
    assert not np.array_equal(run(other), run(other))
    other.set_random_state(7)
    np.testing.assert_array_equal(run(other), first)


def test_names_of_indices() -> None:
    assert bridge.Interplay(5, 2, "ksii").index == "k-SII"
    assert bridge.Interplay(5, 1, "Shapley").index == "SV"
    with pytest.raises(ValueError, match=r"index='CHII' is unknown; choose one of Fourier, .*FBII"):
        bridge.Interplay(5, 2, "CHII")
    assert "max_order=2" in repr(bridge.Interplay(5))


def test_a_budget_that_is_too_small_says_what_is_needed() -> None:
    with pytest.raises(ValueError, match="use a budget of at least"):
        bridge.Interplay(N, 2, "SII").approximate(12, Recorded())


def test_it_travels_to_other_processes() -> None:
    approximator = bridge.Interplay(N, 1, "SV", random_state=0)
    approximator.approximate(256, Recorded())
    again = pickle.loads(pickle.dumps(approximator))
    assert again.approximate(256, Recorded()) == approximator.approximate(256, Recorded())


def boosted() -> tuple[Callable[[FloatArray], FloatArray], FloatArray]:
    """The probability by boosted trees that a tumour is benign, from eight features."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    features, labels = load_breast_cancer(return_X_y=True)
    features = features[:, :N]
    model = GradientBoostingClassifier(n_estimators=30, random_state=0).fit(features, labels)
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1]), features


@pytest.mark.parametrize("index", ["SV", "SII", "k-SII", "STII", "FSII", "BV", "FBII"])
def test_in_the_tabular_explainer(index: str) -> None:
    predict, features = boosted()
    explainer = shapiq.TabularExplainer(
        predict,
        features[:40],
        index=index,
        max_order=order_of(index),
        approximator=bridge.Interplay(N, order_of(index), index, random_state=0),
        sample_size=40,
        random_state=0,
    )
    values = explainer.explain(features[100], budget=1 << N)
    assert not values.estimated
    assert values.baseline_value == pytest.approx(predict(features[:40]).mean(), abs=1e-12)
    # the imputer is centred, and the explainer puts the baseline back
    assert_same(values, exact(explainer.imputer, index), leave_out=index in EFFICIENT)
    if index in EFFICIENT:
        assert values[()] == values.baseline_value
    if index in EFFICIENT:
        assert sum(values.values) == pytest.approx(predict(features[[100]])[0], abs=1e-12)


@pytest.mark.slow
def test_many_rows_at_half_the_masks() -> None:
    predict, features = boosted()
    explainer = shapiq.TabularExplainer(
        predict,
        features[:40],
        index="SV",
        approximator=bridge.Interplay(N, 1, "SV", random_state=0),
        sample_size=40,
        random_state=0,
    )
    for row, values in zip(features[:2], explainer.explain_X(features[:2], budget=70), strict=True):
        assert values.estimated
        assert sum(values.values) == pytest.approx(predict(row[None])[0], abs=1e-9)
        explainer.imputer.fit(row)
        expected = exact(explainer.imputer, "SV")
        for player in range(N):
            assert values[(player,)] == pytest.approx(expected[(player,)], abs=0.02)


@pytest.mark.filterwarnings("ignore:.*past_key_values.*:FutureWarning")
def test_in_the_agnostic_explainer_on_a_language_model(smollm: tuple[Any, Any]) -> None:
    game = ip.text.TextGame(
        *smollm,
        "not bad and not dull",
        ip.text.Contrast(" positive", " negative"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    n_players = game.n_players
    for index, order in (("SV", 1), ("k-SII", 2), ("FBII", 2)):
        explainer = shapiq.AgnosticExplainer(
            game,
            n_players=n_players,
            index=index,
            max_order=order,
            approximator=bridge.Interplay(n_players, order, index),
        )
        values = explainer.explain(budget=1 << n_players)
        expected = exact(game, index, n_players)
        assert values.interactions == pytest.approx(expected.interactions, abs=1e-4), index
    # "not bad" and "not dull": the two "not" are two players
    assert values[(0, 1)] > 0 < values[(3, 4)]
