"""Masks that are held out in turn: which they are, and what predicts them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import interplay as ip
from interplay.designs.measures import AnyMeasure
from interplay.explanation.run_plan import Request, RunPlan
from interplay.fourier.masks import keys
from tests.conftest import planted


def plan_of(n_players: int, budget: int, **request: object) -> RunPlan:
    game = ip.FunctionGame(lambda masks: masks[:, 0], n_players)
    return Request(budget=budget, **request).run_plan(game)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "measure", ["shapley", ip.Keep(0.9), ip.Keep(0.5, 0.97), ("shapley", "uniform")]
)
def test_their_sizes_follow_the_measure(measure: AnyMeasure) -> None:
    for seed in range(3):
        plan = plan_of(40, 1000, measure=measure, random_state=seed)
        together = np.concatenate(
            [plan.design.masks[plan.design.representative], plan.held_out]
        ).sum(axis=1)
        held = plan.held_out.sum(axis=1)
        assert abs(held.mean() - together.mean()) < 0.2 * together.std()
        assert held.std() == pytest.approx(together.std(), rel=0.15)


@pytest.mark.parametrize(("n_players", "budget"), [(10, 150), (15, 900), (15, 4000), (40, 301)])
def test_complements_stay_together(n_players: int, budget: int) -> None:
    plan = plan_of(n_players, budget)
    turn_of = dict(zip(keys(plan.held_out), plan.turns.tolist(), strict=True))
    drawn = {*keys(plan.design.masks[plan.design.representative]), *turn_of}
    for mask, turn in zip(plan.held_out, plan.turns.tolist(), strict=True):
        (other,) = keys(~mask[None])
        assert turn_of.get(other, None if other not in drawn else -1) in (turn, None)


@pytest.mark.parametrize("n_players", [15, 30])
def test_a_larger_budget_holds_out_nothing_that_a_smaller_one_fitted(n_players: int) -> None:
    plans = [plan_of(n_players, budget) for budget in (91, 111, 167, 600, 900, 1350, 2025)]
    for smaller, larger in pairwise(plans):
        assert not set(keys(larger.held_out)) & set(keys(smaller.design.masks))


def test_there_are_about_a_hundred_in_at_most_five_turns() -> None:
    for budget, share, n_held, n_turns in (
        (100, 0.1, 48, 5),
        (300, 0.02, 100, 5),
        (350, 0.1, 100, 3),
    ):
        plan = plan_of(30, budget, holdout=share)
        assert len(plan.held_out) == pytest.approx(n_held, abs=3)
        assert plan.turns.max() == n_turns - 1
    assert 200 < len(plan_of(30, 3000).held_out) < 300  # a tenth of those without the code


def test_a_run_that_ends_with_all_masks_is_verified() -> None:
    truth = planted(6, 5, np.random.default_rng(0))
    explanation = ip.explain(ip.FunctionGame(truth.predict, 6), budget="auto", progress=False)
    until = explanation.provenance["until"]
    assert (until["stopped_since"], until["measure"]) == ("all masks were made", "shapley")
    assert explanation.measure == "uniform"
    assert ip.verify(explanation).named("mismatch") == []
