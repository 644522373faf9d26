from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interplay import FunctionGame, Game, GameError, explain, verify
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.game import Hints, call, hints_of, seeds_of


def test_function_game_is_a_game() -> None:
    game = FunctionGame(lambda masks: masks.sum(axis=1), 3, players=["a", "b", "a"])
    assert isinstance(game, Game)
    assert game.players == ("a", "b", "a")
    assert game(np.ones((2, 3), dtype=bool)).tolist() == [3.0, 3.0]
    assert game.fingerprint is None


def test_bad_games() -> None:
    with pytest.raises(ValueError, match="n_players=0 is below 1"):
        FunctionGame(len, 0)
    with pytest.raises(ValueError, match="1 names were given for 2 players"):
        FunctionGame(len, 2, players=["a"])
    with pytest.raises(ValueError, match="identifies nothing"):
        FunctionGame(len, 2, fingerprint="")


class Plain:
    """A game of another package: nothing but a number of players and values."""

    n_players = 3

    def __call__(self, masks: BoolArray) -> FloatArray:
        return masks[:, 0] * 2.0 + masks[:, 1] * masks[:, 2]


def test_names_and_a_fingerprint_are_not_needed() -> None:
    game = Plain()
    assert isinstance(game, Game)
    explanation = explain(game)
    assert explanation.players == ("0", "1", "2")
    assert explanation.provenance["game"]["fingerprint"] is None
    assert explanation.interactions("moebius").top(2).sets == [(0,), (1, 2)]
    assert explanation.confirm(1).tested[0].verdict == "holds"
    assert "its players and its description match" in str(verify(explanation, sample=2))


def test_names_by_a_lookup_of_numbers() -> None:
    game: Any = Plain()
    game.player_name_lookup = {"the": 2, "cat": 1}  # the first "the" lost its name to the other
    assert explain(game).players == ("0", "cat", "the")
    game.player_name_lookup = {}
    assert explain(game).players == ("0", "1", "2")
    game.players = ["x", "y", "y"]
    assert explain(game).players == ("x", "y", "y")


MASKS = np.array([[True, True, True], [True, False, True], [False, False, False]])


@pytest.mark.parametrize("shape", [(2,), (3, 0), (3, 2, 1), ()])
def test_values_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(GameError, match=r"must return \(3,\) or \(3, k\)"):
        call(FunctionGame(lambda masks: np.zeros(shape), 3), MASKS)


def test_seeds_belong_to_masks_and_repeats() -> None:
    seeds = seeds_of(MASKS, 4)
    assert len(set(seeds.tolist())) == 12
    assert (seeds >= 0).all()
    np.testing.assert_array_equal(seeds_of(MASKS[[2, 0]], 4), seeds[[8, 9, 10, 11, 0, 1, 2, 3]])
    np.testing.assert_array_equal(seeds_of(MASKS[:1], 2), seeds[:2])


def test_repeats_come_side_by_side() -> None:
    def f(masks: BoolArray, seeds: IntArray) -> FloatArray:
        return np.stack([masks[:, 0] + 0.0, seeds], axis=1)

    values = call(FunctionGame(f, 3, n_repeats=2), MASKS, 2)
    seeds = seeds_of(MASKS, 2).reshape(3, 2)
    np.testing.assert_array_equal(values[:, [1, 3]], seeds)
    np.testing.assert_array_equal(values[:, 0], MASKS[:, 0])


class Hinting(FunctionGame):
    """A game that gives what it is told as hints."""

    def __init__(self, given: Any) -> None:
        super().__init__(lambda masks: masks.sum(axis=1), 3)
        self.given = given

    def hints(self) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def test_hints_are_checked_at_the_door() -> None:
    assert hints_of(FunctionGame(len, 3)) is None
    assert hints_of(Hinting(None)) is None
    hints = hints_of(Hinting(Hints("size", np.array([1, 0, 2]), cost=5)))
    assert hints is not None
    assert hints.to_json() == {"kind": "size", "values": [1.0, 0.0, 2.0], "cost": 5.0}
    with pytest.raises(ValueError, match=r"have shape \(2,\); \(3,\) is expected"):
        hints_of(Hinting(Hints("size", np.ones(2))))
    for number in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"value of player 1 .* is {number}; a finite number"):
            hints_of(Hinting(Hints("size", np.array([1.0, number, 1.0]))))
    with pytest.raises(ValueError, match="are complex numbers"):
        hints_of(Hinting(Hints("size", np.ones(3) * 1j)))
    with pytest.raises(ValueError, match=r"interplay\.game\.Hints or None is expected"):
        hints_of(Hinting(np.ones(3)))
    with pytest.raises(ValueError, match=r"kind='' and cost=0\.0"):
        hints_of(Hinting(Hints("", np.ones(3))))
    with pytest.raises(GameError, match="raised KeyError: 'no size'; correct it, or let it return"):
        hints_of(Hinting(KeyError("no size")))
