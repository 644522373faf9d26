"""Conversions to and from shapiq's values, against what shapiq itself computes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay import INDICES
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import numbers_of

shapiq = pytest.importorskip("shapiq", minversion="1.8")
bridge = ip.toolkits.shapiq
EFFICIENT = ("SV", "k-SII", "STII", "FSII")


def table_game(n_players: int, seed: int = 0) -> Callable[[BoolArray], FloatArray]:
    """A game of random values, one of each mask."""
    values = np.random.default_rng(seed).normal(3.0, 2.0, size=1 << n_players)
    return lambda masks: values[numbers_of(np.asarray(masks, dtype=bool))]


def exact(game: Any, n_players: int, index: str, order: int) -> Any:
    """What shapiq computes of all masks."""
    computer = shapiq.ExactComputer(game, n_players)
    if index == "FSII":  # its own is a regression that holds the ends by a large weight, to 1e-7
        return shapiq.game_theory.MoebiusConverter(computer("Moebius"))(index, order)
    if (
        index == "BV"
    ):  # as RegressionFBII: the constant of the additive fit stands for the empty set
        return computer("FBII", 1)
    return computer(index, order)


@pytest.mark.parametrize(("n_players", "order"), [(3, 1), (5, 2), (6, 3), (4, 4), (9, 2)])
@pytest.mark.parametrize("index", INDICES.own)
def test_equals_what_shapiq_computes(index: str, n_players: int, order: int) -> None:
    game = table_game(n_players)
    order = {"SV": 1, "BV": 1, "Moebius": n_players}.get(index, order)
    explanation = ip.explain(ip.FunctionGame(game, n_players), budget=1 << n_players)
    values, expected = explanation.to_shapiq(index, order), exact(game, n_players, index, order)
    assert isinstance(values, shapiq.InteractionValues)
    assert values.interactions.keys() == expected.interactions.keys()
    for players, value in expected.interactions.items():
        assert values[players] == pytest.approx(value, rel=1e-12, abs=1e-12), players
    assert (values.index, values.n_players) == (expected.index, expected.n_players)
    assert (values.max_order, values.min_order) == (expected.max_order, expected.min_order)
    assert not values.estimated
    assert values.estimation_budget == 1 << n_players
    empty = np.zeros((1, n_players), dtype=bool)
    assert values.baseline_value == game(empty)[0]


@pytest.mark.parametrize("index", INDICES.own)
def test_there_and_back_changes_nothing(index: str) -> None:
    explanation = ip.explain(ip.FunctionGame(table_game(6), 6, players=list("aabbcc")))
    before = explanation.interactions(index, order=3)
    values = bridge.interaction_values(before, explanation.baseline, min_order=0)
    after = bridge.interactions(values, explanation.players)
    if index in ("SV", "BV"):
        assert () in values.interactions
    assert after.sets == before.sets
    sets = after.orders > 0  # to the bit; the empty set's value is the baseline by shapiq's rule
    np.testing.assert_array_equal(after.values[sets], before.values[sets])
    if index != "Co-Moebius":
        np.testing.assert_allclose(after.values, before.values, rtol=1e-12)
    assert (after.index, after.order, after.n_players) == (index, before.order, 6)
    assert after.players == before.players
    again = bridge.interaction_values(after, explanation.baseline, min_order=0)
    assert again == values
    assert again.interactions == values.interactions


def test_selections_keep_their_sets() -> None:
    explanation = ip.explain(ip.FunctionGame(table_game(6), 6))
    chosen = explanation.interactions("STII", order=3).top(7, min_order=2)
    values = bridge.interaction_values(chosen)
    assert set(values.interactions) == set(chosen.sets)
    assert values.min_order == 2
    assert all(values[players] == chosen[players] for players in chosen.sets)
    assert set(bridge.interactions(values).sets) == set(chosen.sets)


def test_several_outputs_are_a_batch(tmp_path: Path) -> None:
    games = [table_game(5, seed) for seed in range(3)]
    explanation = ip.explain(
        ip.FunctionGame(lambda masks: np.stack([game(masks) for game in games], axis=1), 5)
    )
    for index in ("SV", "BV", "k-SII", "SII"):
        batch = explanation.to_shapiq(index, order=2)
        assert isinstance(batch, shapiq.InteractionValuesBatch)
        assert len(batch) == 3
        for game, values in zip(games, batch, strict=True):
            expected = exact(game, 5, index, 1 if index[1:] == "V" else 2)
            assert values.interactions == pytest.approx(expected.interactions, rel=1e-12, abs=1e-12)
            assert values.baseline_value == game(np.zeros((1, 5), dtype=bool))[0]
            assert not values.estimated
        assert batch.values[(0,)].shape == (3,)
        assert [part[(0,)] for part in batch[1:]] == batch.values[(0,)][1:].tolist()
        back, ours = bridge.interactions(batch), explanation.interactions(index, order=2)
        sets = ours.orders > 0
        assert back.sets == ours.sets
        np.testing.assert_array_equal(back.values[sets], ours.values[sets])
    with pytest.raises(ValueError, match="values of 2 different"):
        bridge.interactions([explanation.to_shapiq("SV")[0], batch[0]])


@pytest.mark.slow
def test_sets_that_are_not_listed_have_their_value_too(monkeypatch: pytest.MonkeyPatch) -> None:
    n_players = 110

    def conjunction(masks: BoolArray) -> FloatArray:
        return masks[:, 0] * 1.0 + masks[:, 1] * masks[:, 2] + 3.0 * masks.all(axis=1)

    explanation = ip.explain(
        ip.FunctionGame(conjunction, n_players), decoder="lasso", measure="shapley", budget=400
    )
    ours = explanation.interactions("k-SII", order=2)
    assert ours.rest is not None
    values = explanation.to_shapiq("k-SII", 2)
    assert values.estimated
    assert len(values) == 1 + n_players + n_players * (n_players - 1) // 2
    parts = [value for players, value in values.interactions.items() if players]
    assert sum(parts) == pytest.approx(float(explanation.full - explanation.baseline), abs=1e-9)
    assert values[(7, 70)] == ours[(7, 70)] != 0.0
    monkeypatch.setattr("interplay.toolkits._shapiq_values.MOST_SETS", 6_000)
    with pytest.warns(UserWarning, match="of which the .* listed are converted"):
        assert len(explanation.to_shapiq("k-SII", 2)) < 6_000


def test_estimates_say_so() -> None:
    game = ip.FunctionGame(table_game(8), 8)
    values = ip.explain(game, budget=120).to_shapiq("SII", 2)
    assert values.estimated
    assert values.estimation_budget == 120
    # of all masks, the order that is asked for is only what is listed
    assert not ip.explain(game, budget=256, order=2).to_shapiq("SII", 2).estimated

    def noisy(masks: BoolArray, seeds: Any) -> FloatArray:
        return masks[:, 0] + seeds % 7

    assert ip.explain(ip.FunctionGame(noisy, 3, n_repeats=3)).to_shapiq("SV").estimated


def test_values_of_their_estimators_are_interactions() -> None:
    game = table_game(6)
    theirs = shapiq.KernelSHAPIQ(n=6, max_order=2, index="k-SII", random_state=1)(40, game)
    ours = bridge.interactions(theirs, players=list("abcdef"))
    assert ours.index == "k-SII"
    assert [ours[players] for players in combinations(range(6), 2)] == [
        theirs[players] for players in combinations(range(6), 2)
    ]
    assert ours.top(1).sets[0] == max(
        (players for players in theirs.interactions if players), key=lambda p: abs(theirs[p])
    )
    unsorted = shapiq.InteractionValues(
        {(2, 0): 1.5}, index="CHII", max_order=2, min_order=2, n_players=3
    )
    assert bridge.interactions(unsorted)[(0, 2)] == 1.5  # an index that only shapiq has
    with pytest.raises(ValueError, match="2 names were given for 6 players"):
        bridge.interactions(theirs, players=["a", "b"])


class Vote(shapiq.Game):  # type: ignore[misc]
    """A weighted vote of named players, centred by shapiq."""

    def __init__(self, names: list[str] | None) -> None:
        self.weights = np.array([3.0, 2.0, 2.0, 1.0])
        super().__init__(4, normalize=True, normalization_value=1.0, player_names=names)

    def value_function(self, coalitions: BoolArray) -> FloatArray:
        return 1.0 + (coalitions @ self.weights > 4.0)


@pytest.mark.parametrize("precomputed", [False, True])
def test_their_games_are_games(precomputed: bool) -> None:
    game = Vote(["the", "cat", "the", "mat"])
    if precomputed:
        game.precompute()
    explanation = ip.explain(game)
    assert explanation.baseline == 0.0
    expected = shapiq.ExactComputer(game)("k-SII", 2)
    values = explanation.to_shapiq("k-SII", 2)
    assert values.interactions == pytest.approx(expected.interactions, abs=1e-12)
    assert explanation.players == ("0", "cat", "the", "mat")  # their lookup keeps one "the"
    assert len(explanation.interactions("SV")) == 4
    assert ip.explain(Vote(None)).players == ("0", "1", "2", "3")
    assert explanation.confirm(1).tested


def test_a_table_of_theirs_that_lacks_masks_says_which() -> None:
    game = Vote(None)
    game.precompute(np.eye(4, dtype=bool))
    game._precompute_flag = True
    with pytest.raises(ip.GameError, match="is not stored in the game"):
        ip.explain(game)


def test_our_games_are_games_to_them() -> None:
    game = ip.FunctionGame(table_game(5), 5)
    explainer = shapiq.AgnosticExplainer(game, n_players=5, index="SII", max_order=2)
    theirs = explainer.explain(budget=32)
    ours = ip.explain(game).to_shapiq("SII", 2)
    for players in combinations(range(5), 2):
        assert theirs[players] == pytest.approx(ours[players], abs=1e-6)


PLOTS: dict[str, Callable[[Any, list[str]], Any]] = {
    "network": lambda v, names: v.plot_network(feature_names=names, show=False),
    "si_graph": lambda v, names: v.plot_si_graph(feature_names=names, show=False),
    "upset": lambda v, names: v.plot_upset(feature_names=names, show=False),
    "force": lambda v, names: v.plot_force(np.array(names), show=False),
    "waterfall": lambda v, names: v.plot_waterfall(np.array(names), show=False),
    "sentence": lambda v, names: v.plot_sentence(names, show=False),
    "stacked_bar": lambda v, names: v.plot_stacked_bar(feature_names=names, show=False),
    "bar": lambda v, names: shapiq.bar_plot([v], feature_names=names, show=False),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", PLOTS)
def test_their_plots_draw_ours(name: str) -> None:
    mpl = pytest.importorskip("matplotlib")
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    words = ["the", "food", "was", "not", "bad", "but", "the", "room", "was", "dark"]
    explanation = ip.explain(
        ip.FunctionGame(
            lambda masks: masks[:, 4] * (2.0 * masks[:, 3] - 1.0) - masks[:, 9] * masks[:, 7],
            10,
            players=words,
        ),
        budget=1024,
    )
    drawn = PLOTS[name](explanation.to_shapiq("k-SII", 2), words)
    assert drawn is not None
    plt.close("all")
