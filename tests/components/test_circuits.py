"""Curves of faithfulness and their areas, by hand and on functions that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interplay import components
from interplay._types import BoolArray, FloatArray
from interplay.components import Circuits, Ranking, compare_circuits, with_divergence
from interplay.components.analysis.circuits import FRACTIONS, area, sizes_of, trapezoid_weights
from tests.components.test_attribution import game, smooth

WEIGHTS = np.array([4.0, 3, 2, 1, 0, 0, 0, 0, 0, -2])
N, ITEMS = len(WEIGHTS), 30
THREE = (0.2, 0.5, 1.0)


class Additive:
    """Items whose scores are weights' sums, and how many of the first five players are kept."""

    n_players = N
    players = tuple(f"p{n}" for n in range(N))

    def __init__(self, noise: float = 0.0, fingerprint: str | None = None) -> None:
        self.fingerprint = fingerprint
        self.n_evaluated = 0
        self.weights = WEIGHTS + noise * np.random.default_rng(0).normal(size=(ITEMS, N))

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        self.n_evaluated += len(masks)
        kept = np.repeat(masks[:, None, :5].mean(axis=2), ITEMS, axis=1)
        return np.stack([masks @ self.weights.T + 1.0, kept], axis=2)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        return np.asarray(self.item_scores(masks).mean(axis=1))


def test_the_areas_by_hand() -> None:
    told = compare_circuits(Additive(), {"true": Ranking(WEIGHTS, 7)}, fractions=THREE)
    one = told.of("true")
    # of 10 players 2, 5 and 10; m(none) = 1, m(all) = 9
    np.testing.assert_allclose(told.ends, [[1, 0], [9, 1]])
    np.testing.assert_allclose(one.faithfulness[0], [7 / 8, 10 / 8, 1])
    # by size the player that hurts comes in before the one of weight 1, and the sum is whole
    np.testing.assert_allclose(one.faithfulness[1], [7 / 8, 8 / 8, 1])
    assert one.cpr.value == pytest.approx(0.3 * (7 + 10) / 16 + 0.5 * (10 + 8) / 16)
    assert one.cmd.value == pytest.approx(0.3 * (1 / 8) / 2)
    assert one.others["score 1"].value == pytest.approx((0.3 * 1.4 / 2 + 0.5 * 2 / 2) / 0.8)
    np.testing.assert_array_equal(one.masks.sum(axis=2), [[2, 5, 10]] * 2)
    assert one.cpr.low == pytest.approx(one.cpr.value) == one.cpr.high  # the items are alike
    assert one.cost == 7


def test_sizes_are_those_of_the_benchmark() -> None:
    assert sizes_of(FRACTIONS, 90).tolist() == [0, 0, 0, 0, 1, 4, 9, 18, 45, 90]
    assert sizes_of(FRACTIONS, 270).tolist() == [0, 0, 1, 2, 5, 13, 27, 54, 135, 270]
    assert sizes_of((0.29, 1.0), 100).tolist() == [29, 100]
    assert trapezoid_weights(THREE) == pytest.approx([0.15, 0.4, 0.25])
    assert area(np.ones((2, 10)), FRACTIONS) == pytest.approx([0.999] * 2)


def test_the_intervals_are_those_of_a_paired_bootstrap() -> None:
    report = Additive(noise=3.0)
    worse = Ranking(WEIGHTS[::-1].copy(), 1)
    told = compare_circuits(report, {"true": Ranking(WEIGHTS, 7), "worse": worse}, fractions=THREE)
    true = told.of("true")
    assert true.cpr.low < true.cpr.value < true.cpr.high
    itself = told.difference("true", "true")
    assert (itself.value, itself.low, itself.high) == (0, 0, 0)
    paired = told.difference("true", "worse")
    assert paired.value == pytest.approx(true.cpr.value - told.of("worse").cpr.value)
    # by hand, item by item
    rng, areas = np.random.default_rng(8), []
    masks = [one.masks[0] for one in told.judged]
    for _ in range(2000):
        weights = report.weights[rng.integers(ITEMS, size=ITEMS)].mean(axis=0)
        areas.append([area(mask @ weights / weights.sum(), THREE) for mask in masks])
    differences = np.diff(areas, axis=1)[:, 0] * -1
    spread = paired.high - paired.low
    low, high = np.quantile(differences, [0.025, 0.975])
    assert paired.low == pytest.approx(low, abs=0.1 * spread)
    assert paired.high == pytest.approx(high, abs=0.1 * spread)
    again = compare_circuits(report, {"true": Ranking(WEIGHTS, 7)}, fractions=THREE)
    assert again.of("true").cpr.low == pytest.approx(true.cpr.low)  # whatever is compared with it
    assert (
        compare_circuits(report, {"true": Ranking(WEIGHTS, 7)}, fractions=THREE, random_state=1)
        .of("true")
        .cpr
        != true.cpr
    )


def test_circuits_need_not_be_nested() -> None:
    best = np.zeros((3, N), dtype=bool)
    best[0, [2, 3]], best[1, [0, 1]], best[2] = True, True, True
    told = compare_circuits(Additive(), {"mine": Circuits(best, best, 3.0)}, fractions=THREE)
    np.testing.assert_allclose(told.of("mine").faithfulness, [[3 / 8, 7 / 8, 1]] * 2)


def test_scores_that_are_no_effects_are_ranked_as_they_are() -> None:
    ranking = Ranking(WEIGHTS, 1, is_effect=False)
    told = compare_circuits(Additive(), {"mine": ranking}, fractions=THREE)
    np.testing.assert_allclose(told.of("mine").faithfulness, [[7 / 8, 10 / 8, 1]] * 2)


def test_a_store_answers_the_second_time(tmp_path: Path) -> None:
    areas = []
    for _ in range(2):
        report = Additive(1.0, "additive")
        told = compare_circuits(
            report, {"true": Ranking(WEIGHTS, 7)}, fractions=THREE, store=tmp_path / "a.db"
        )
        areas.append(told.of("true").cpr)
    assert report.n_evaluated == 0
    assert areas[0] == areas[1]


def test_the_table() -> None:
    methods = {"true": Ranking(WEIGHTS, 1234.0), "a\x1b[31m": Ranking(-WEIGHTS, 1)}
    table = str(compare_circuits(Additive(), methods, fractions=THREE))
    assert "30 items" in table
    assert "circuits of up to 2, 5, 10 players" in table
    assert "1,234" in table
    assert "0.88 (0.88 to 0.88)" in table
    assert "\x1b" not in table


def test_a_single_item_has_no_interval() -> None:
    class One(Additive):
        def item_scores(self, masks: BoolArray, /) -> FloatArray:
            return super().item_scores(masks)[:, :1]

    rankings = {"up": Ranking(WEIGHTS, 1), "down": Ranking(-WEIGHTS, 1)}
    told = compare_circuits(One(), rankings, fractions=THREE)
    assert np.isnan([told.of("up").cpr.low, told.difference("up", "down").high]).all()
    assert "(no interval)" in str(told)
    assert "nan" not in str(told)


def test_what_is_refused() -> None:
    ranking = {"one": Ranking(WEIGHTS, 1)}
    for fractions in ((0.5,), (0.0, 1.0), (0.5, 1.1)):
        with pytest.raises(ValueError, match="are not two or more shares"):
            compare_circuits(Additive(), ranking, fractions=fractions)
    with pytest.raises(ValueError, match="not ascending"):
        compare_circuits(Additive(), ranking, fractions=(0.5, 0.2))
    with pytest.raises(ValueError, match="output=2 is none of the 2 scores"):
        compare_circuits(Additive(), ranking, output=2)
    with pytest.raises(ValueError, match="no methods"):
        compare_circuits(Additive(), {})
    with pytest.raises(ValueError, match=r"\(10,\) hold 1 that are not finite"):
        Ranking(np.where(np.arange(N) == 3, np.nan, WEIGHTS), 1)
    full = np.ones((3, N), dtype=bool)
    with pytest.raises(ValueError, match="keeps 10 players, above the 2"):
        compare_circuits(Additive(), {"all": Circuits(full, full)}, fractions=THREE)
    with pytest.raises(ValueError, match=r"shape \(3, 10\); give \(2, 10\)"):
        compare_circuits(Additive(), {"all": Circuits(full, full)}, fractions=(0.5, 1.0))
    with pytest.raises(ValueError, match=r"shape \(3, 4\); give \(3, 10\)"):
        compare_circuits(Additive(), {"short": Ranking(WEIGHTS[:4], 1)}, fractions=THREE)
    nothing = Additive()
    nothing.weights = 0 * nothing.weights
    with pytest.raises(ValueError, match=r"both score 1, so that shares"):
        compare_circuits(nothing, ranking)
    told = compare_circuits(Additive(), ranking, fractions=THREE)
    with pytest.raises(ValueError, match="'two' is none of the methods one"):
        told.difference("one", "two")
    with pytest.raises(ValueError, match="choose one of cpr, cmd, score 1"):
        told.difference("one", "one", "accuracy")


def test_the_divergence_from_the_whole_model() -> None:
    own = game(smooth())
    seen: list[Any] = []

    def keep(logits: torch.Tensor, _: components.Item) -> torch.Tensor:
        seen.append(logits.log_softmax(dim=-1).numpy().copy())
        return logits[:, 0]

    masks = np.ones((2, own.n_players), dtype=bool)
    masks[1, ::2] = False
    own.on(components.Task(own.task.items[:1], (components.LogitScore(keep),)))(masks)
    whole, part = np.concatenate(seen)
    told = with_divergence(own)
    scores = told.item_scores(masks)
    assert scores.shape == (2, 3, 2)
    np.testing.assert_allclose(scores[0, :, 1], 0, atol=1e-12)
    assert scores[1, 0, 1] == pytest.approx(float((np.exp(whole) * (whole - part)).sum()))
    np.testing.assert_array_equal(scores[:, :, 0], own.item_scores(masks)[:, :, 0])
    ranking = {"any": Ranking(np.arange(own.n_players, dtype=float) - 5, 1)}
    one = compare_circuits(told, ranking).of("any")
    # of the circuits that are meant to be faithful
    by_size = area(one.scores[1, :, 1], FRACTIONS) / 0.999
    assert one.others["divergence"].value == pytest.approx(float(by_size))
