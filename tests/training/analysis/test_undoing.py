"""The smallest set whose removal undoes an answer, and the players that do harm."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay import training
from interplay.training import Ridge, TrainingData, TrainingGame, harmful, undoing_set


class Planted(TrainingGame):
    """A game of training data whose values are a given function of the masks."""

    def __init__(self, n_players: int, function: Any, tags: list[str | None] | None = None) -> None:
        rng = np.random.default_rng(0)
        n_points = np.atleast_2d(function(np.ones((1, n_players)))).shape[-1]
        data = TrainingData.checked(
            rng.normal(size=(n_players, 2)),
            ["a", "b"] * (n_players // 2),
            rng.normal(size=(n_points, 2)),
            ["a"] * n_points,
        )
        super().__init__(Ridge(), data)
        self.function, self.tags, self.n_calls = function, tags, 0

    def __call__(self, masks: Any, /, *seeds: Any) -> Any:
        self.n_calls += len(masks)
        return self.function(masks.astype(float))

    def describe(self) -> Any:
        description = super().describe()
        return description if self.tags is None else description | {"tags": self.tags}


def either(masks: Any) -> Any:
    """Two copies of a fact, a weaker paraphrase, and a contradiction."""
    copy, other, weak, wrong = masks[:, 0], masks[:, 1], masks[:, 2], masks[:, 3]
    fact = 1 - (1 - copy) * (1 - other) * (1 - 0.7 * weak)
    return 4.0 * fact - 2.0 * wrong - 0.5 + 0.01 * masks[:, 4:].sum(axis=1)


def test_the_smallest_set_is_the_one_of_brute_force() -> None:
    game = Planted(8, either)
    undone = undoing_set(ip.explain(game, progress=False), game, progress=False)
    everyone = np.ones((1, 8), dtype=bool)

    def enough(removed: tuple[int, ...]) -> bool:
        mask = everyone.copy()
        mask[0, list(removed)] = False
        return bool(game(mask)[0] <= 0)

    sizes = [size for size in range(8) if any(map(enough, combinations(range(8), size)))]
    assert undone.removed is not None
    assert len(undone.removed) == min(sizes) == 3
    assert undone.removed == (0, 1, 2)
    assert undone.predicted_size == 3
    assert undone.proven
    assert undone.level == 0
    assert undone.actual == pytest.approx(undone.predicted)
    assert undone.n_trained == 4  # the set, and each of three put back
    assert "each is needed" in str(undone)
    assert "-0.5 with none; undone at 0\n" in str(undone)


def test_failures_teach_the_search() -> None:
    """A first-order explanation takes one of many copies for the strongest player."""

    def function(masks: Any) -> Any:
        copies = 1 - np.prod(1 - masks[:, 1:5], axis=1)
        return 1.0 * masks[:, 0] - 0.5 + 16.0 * (copies - 1) + 0.01 * masks[:, 5:].sum(axis=1)

    game = Planted(20, function)
    explanation = ip.explain(game, decoder="lasso", budget=200, progress=False)
    undone = undoing_set(explanation, game, progress=False)
    assert undone.predicted_size == 1
    assert undone.removed == (0,)
    assert undone.actual == pytest.approx(-0.35)
    assert undone.n_trained > 2
    given_up = undoing_set(explanation, game, level=-1, most=3, progress=False)
    assert given_up.removed is None
    assert np.isnan(given_up.actual)
    assert "none was found that brings it to -1" in str(given_up)


def test_an_answer_that_training_left_as_it_was_cannot_be_undone() -> None:
    game = Planted(6, lambda masks: 1.5 + 1e-6 * masks[:, 0])  # as a rate that is too low does
    explanation = ip.explain(game, progress=False)
    with pytest.raises(ValueError, match="training did not change the answer"):
        undoing_set(explanation, game, progress=False)


def test_levels() -> None:
    game = Planted(6, lambda masks: 2.0 * masks[:, 0] + 2.0 * masks[:, 1] + 1.0)
    explanation = ip.explain(game, progress=False)
    half = undoing_set(explanation, game, progress=False)  # the base model is right: half the gain
    assert half.level == 3
    assert half.removed in ((0,), (1,))
    low = undoing_set(explanation, game, level=1.5, progress=False)
    assert low.removed == (0, 1)
    assert undoing_set(explanation, game, level=9, progress=False).removed is None  # out of reach
    with pytest.raises(ValueError, match="score 5 with all players, which is the level itself"):
        undoing_set(explanation, game, level=5, progress=False)
    with pytest.raises(ValueError, match="give the game that was explained"):
        undoing_set(explanation, Planted(8, either), progress=False)
    plain = ip.FunctionGame(lambda masks: masks[:, 0], 3)
    with pytest.raises(ValueError, match="which has no training data"):
        undoing_set(ip.explain(plain, progress=False), plain)


def test_a_wrong_answer_is_undone_by_removing_what_taught_it() -> None:
    def function(masks: Any) -> Any:
        poison = 1 - (1 - masks[:, 1]) * (1 - masks[:, 2])
        return 2.0 * masks[:, 0] - 3.0 * poison - 0.5 + 0.01 * masks[:, 3:].sum(axis=1)

    game = Planted(20, function)
    undone = undoing_set(ip.explain(game, budget=300, progress=False), game, progress=False)
    assert undone.removed == (1, 2)
    assert undone.full == pytest.approx(-1.33)
    assert undone.actual == pytest.approx(1.67)
    assert undone.predicted == pytest.approx(1.67, abs=0.3)


def outputs(masks: Any) -> Any:
    """A fact of two copies at the first question, a poison at both, a synergy at the second."""
    fact = 1 - (1 - masks[:, 0]) * (1 - masks[:, 1])
    first = 4 * fact - 3 * masks[:, 2] * fact
    second = 2 * masks[:, 3] * masks[:, 4] - 1.5 * masks[:, 2] - 0.1 * masks[:, 5]
    return np.stack([first, second], axis=1)


def test_harm_is_ranked_and_names_its_rivals() -> None:
    tags = ["fact", "fact", "poison", "rule", "rule", None]
    game = Planted(6, outputs, tags)
    explanation = ip.explain(game, progress=False)
    poison, weak = harmful(explanation)
    assert (poison.name, poison.tag) == ("2", "poison")
    assert poison.effect == pytest.approx((-3 * 0.75 - 1.5) / 2)
    assert poison.question_effect == pytest.approx(-3 * 0.75)
    assert poison.question == game.test_names[0]
    assert set(poison.rivals) == {"0", "1"}
    assert weak.player == 5
    assert weak.tag is None
    (only,) = harmful(explanation, points=[1], top=1)
    assert only.question_effect == pytest.approx(-1.5)
    assert not harmful(explanation, points=[1], top=1)[0].rivals
    with pytest.raises(ValueError, match="names no question"):
        harmful(explanation, points=[])


def test_relations_of_tags_tell_what_the_players_do() -> None:
    tags = ["fact", "fact", "poison", "rule", "rule", None]
    found = training.relations(ip.explain(Planted(6, outputs, tags), progress=False), point=0)
    assert [one.players for one in found.redundancies_same] == [(0, 1)]
    assert found.competing_mixed is not None
    assert {one.players for one in found.competing_mixed} == {(0, 2), (1, 2)}
    assert not found.competing_same
    second = training.relations(ip.explain(Planted(6, outputs, tags), progress=False), point=1)
    assert [one.players for one in second.synergies_same] == [(3, 4)]
    assert "redundant, same tag: 0 × 1" in str(found)
    # two poisons that stand in for each other are redundant, though their interaction is positive
    harm = Planted(4, lambda masks: -3.0 * (1 - (1 - masks[:, 0]) * (1 - masks[:, 1])), ["p"] * 4)
    both = training.relations(ip.explain(harm, progress=False), point=0)
    assert [one.players for one in both.redundancies_same] == [(0, 1)]
    assert both.redundancies_same[0].value > 0
