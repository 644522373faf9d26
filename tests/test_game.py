from __future__ import annotations

import numpy as np
import pytest

from interplay import FunctionGame, Game, GameError
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.game import call, seeds_of


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
