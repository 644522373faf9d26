"""Rankings of players, on models and functions whose circuits are known."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

import interplay as ip
from interplay import components
from interplay._types import FloatArray
from interplay.components import baselines, compare_circuits
from interplay.components.analysis.baselines import (
    attribution_patching,
    eap_ig,
    random_search,
    single_importance,
)
from interplay.components.analysis.learned import _hard_concrete, _schedule, learned_mask
from tests.components.test_attribution import WORDS, at_gates, game, smooth

ONE_TOKEN = tuple(
    components.Item(prompt, " w20", (" w21",))
    for prompt in ("w1 w2 w3", "w1 w2 w9 w4 w7", "w5 w6 w30 w8")
)


def linear() -> components.ComponentGame:
    """Heads of the last layer, whose effects nothing after them changes: no MLP and no norm."""
    model = smooth()
    model.model.norm = torch.nn.Identity()
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight.zero_()
    return components.ComponentGame(
        model,
        WORDS,
        components.Task(ONE_TOKEN, ("margin", "correct")),
        components.heads(model, [2]),
    )


def planted(essential: tuple[tuple[int, int], ...]) -> components.ComponentGame:
    """All heads of a model in which only a few add anything."""
    model = smooth()
    for number, layer in enumerate(model.model.layers):
        weight = layer.self_attn.o_proj.weight
        width = weight.shape[1] // 4
        with torch.no_grad():
            for head in range(4):
                if (number, head) not in essential:
                    weight[:, head * width : (head + 1) * width] = 0
    return components.ComponentGame(
        model, WORDS, components.Task(ONE_TOKEN), components.heads(model)
    )


# --- effects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_one_step_is_attribution_patching(ablation: Any) -> None:
    own = game(smooth(), ablation=ablation)
    told = attribution_patching(own)
    np.testing.assert_allclose(told.scores, -own.attribution(), rtol=1e-9)
    assert told.cost == 3
    for by_layer, n_gradients in ((False, 1), (True, 6)):
        one = eap_ig(own, steps=1, by_layer=by_layer)
        np.testing.assert_allclose(one.scores, told.scores, rtol=1e-6, atol=1e-9)
        assert one.cost == 3 * n_gradients


def test_all_are_exact_where_the_score_is_linear() -> None:
    own = linear()
    single = single_importance(own, progress=False)
    assert single.cost == own.n_players + 1
    assert np.abs(single.scores).min() > 1e-3
    for told in (attribution_patching(own), eap_ig(own, steps=4), eap_ig(own, by_layer=True)):
        np.testing.assert_allclose(told.scores, single.scores, rtol=1e-4)


def test_gradients_on_the_way_add_up_to_what_all_players_do() -> None:
    own = game(smooth(), ablation="mean")
    ends = own(np.repeat([[False], [True]], own.n_players, axis=1))
    errors = [
        abs(eap_ig(own, steps=steps).scores.sum() - (ends[1] - ends[0])) for steps in (50, 400)
    ]
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.05 * abs(ends[1] - ends[0])


def test_the_way_by_layer_is_that_of_differences() -> None:
    own = game(smooth())
    steps, width = 3, 1e-3
    told = eap_ig(own, steps=steps, by_layer=True)
    for player, unit in enumerate(own._players):
        assert isinstance(unit, components.Unit)
        moving = np.array(
            [(one.units[0].layer, one.units[0].kind) for one in own._players], dtype=object
        )
        together = (moving == np.array([unit.layer, unit.kind], dtype=object)).all(axis=1)
        slopes = []
        for alpha in (np.arange(steps) + 1) / steps:
            gates = np.where(together, alpha, 1.0)
            move = width * (np.arange(own.n_players) == player)
            above, below = at_gates(own, np.stack([gates + move, gates - move]))[:, 0]
            slopes.append((above - below) / (2 * width))
        assert told.scores[player] == pytest.approx(np.mean(slopes), rel=3e-3, abs=3e-4)


# --- the learned mask -----------------------------------------------------------------------------


@pytest.mark.parametrize("essential", [((0, 1), (2, 3)), ((0, 3), (2, 0))])
def test_the_learned_mask_finds_a_planted_circuit(essential: tuple[tuple[int, int], ...]) -> None:
    own = planted(essential)
    share = len(essential) / own.n_players + 1e-6
    told = learned_mask(own, "faithful", fractions=(share, 1.0), steps=80)
    kept = told.faithful[0]
    names = {f"L{layer}.H{head}" for layer, head in essential}
    assert {name for name, keep in zip(own.players, kept, strict=True) if keep} == names
    assert told.cost == 241


def test_the_learned_mask_keeps_what_adds_most() -> None:
    own = linear()
    effects = single_importance(own, progress=False).scores
    fractions = (0.25, 0.5, 0.75, 1.0)
    told = learned_mask(own, "best", fractions=fractions, steps=80)
    order = np.argsort(np.argsort(-effects))
    np.testing.assert_array_equal(told.best, order < np.arange(1, 5)[:, None])
    again = learned_mask(own, "best", fractions=fractions, steps=80)
    np.testing.assert_array_equal(again.best, told.best)
    # sizes that got no step have the circuit of a smaller one
    short = learned_mask(own, "best", fractions=fractions, steps=1)
    assert short.best.sum(axis=1).tolist()[-1] == 4
    assert (short.best.sum(axis=1) <= np.arange(1, 5)).all()


def test_the_number_of_open_gates_falls_to_each_size_and_stays_there() -> None:
    schedule, towards = np.array(_schedule((0.1, 0.5, 1.0), 40, 60)).T
    assert towards.tolist() == [20] * 36 + [4] * 24
    assert len(schedule) == 60
    assert 20 < schedule[0] < 40
    assert (np.diff(schedule) <= 0).all()
    # the areas' weights are 0.2 and 0.45, whose roots are as 2 to 3
    assert (schedule == 20).sum() == 19
    assert (schedule == 4).sum() == 13
    assert len(_schedule((0.1, 0.5, 1.0), 40, 1)) == 1


def test_as_many_gates_are_open_as_asked_for() -> None:
    logits = np.random.default_rng(0).normal(size=30) * 3
    for size in (1, 7, 29):
        rng = np.random.default_rng(1)
        n_open = [(_hard_concrete(logits, size, rng)[0] > 0).sum() for _ in range(2000)]
        assert np.mean(n_open) == pytest.approx(size, abs=0.15)


def test_gradients_of_the_gates_are_those_of_differences() -> None:
    logits = np.random.default_rng(2).normal(size=8)

    def gates(moved: FloatArray) -> FloatArray:
        return _hard_concrete(moved, 3, np.random.default_rng(9))[0]

    values, slopes, shares = _hard_concrete(logits, 3, np.random.default_rng(9))
    assert ((values > 0) & (values < 1)).sum() > 2
    steps = 1e-5 * np.eye(8)
    expected = np.stack([gates(logits + s) - gates(logits - s) for s in steps]) / 2e-5
    np.testing.assert_allclose(np.diag(slopes) - np.outer(shares, slopes), expected, atol=1e-6)


# --- random circuits, and all together -----------------------------------------------------------


def test_random_search_keeps_the_best_and_the_most_faithful() -> None:
    weights = np.array([3.0, 2, 1, -4, 0, 0])
    own = ip.FunctionGame(lambda masks: masks @ weights, 6)
    told = random_search(own, 401, fractions=(0.1, 0.5, 1.0), progress=False)
    assert told.cost == 401
    np.testing.assert_array_equal(told.best.sum(axis=1), [0, 3, 6])
    np.testing.assert_array_equal(told.best[1], [1, 1, 1, 0, 0, 0])
    near = min(abs(sum(weights[list(chosen)]) - 2) for chosen in combinations(range(6), 3))
    assert abs(told.faithful[1] @ weights - 2) == near
    with pytest.raises(ValueError, match="n_ablations=1 are too few for 1 sizes"):
        random_search(own, 1, fractions=(0.1, 0.5, 1.0))
    with pytest.raises(ValueError, match="is a part of 6 players"):
        random_search(own, 9, fractions=(0.1, 1.0))


def test_all_of_them_are_compared_on_other_items() -> None:
    own = game(smooth(), scores=("margin", "correct"))
    found = baselines(own, ig_steps=2, training_steps=3, progress=False)
    assert list(found) == [
        "single",
        "attribution",
        "eap-ig",
        "learned mask, best",
        "learned mask, faithful",
        "random",
    ]
    report = own.on(components.Task(ONE_TOKEN, ("margin", "correct")))
    told = compare_circuits(report, found, progress=False)
    assert told.scores == ("margin", "correct")
    assert list(told.of("single").others) == ["correct"]
    assert [one.cost for one in told.judged] == [16, 3, 6, 9, 10, 16]
    assert len(str(told).splitlines()) == 2 + len(found)


def test_what_is_refused() -> None:
    own = linear()
    with pytest.raises(ValueError, match="steps=0 leaves no gradient"):
        eap_ig(own, steps=0)
    with pytest.raises(ValueError, match="output=1 is 'correct', a step function"):
        eap_ig(own, output=1)
    with pytest.raises(ValueError, match="objective='small' is unknown"):
        learned_mask(own, "small")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps=0 trains nothing"):
        learned_mask(own, "best", steps=0)
