from __future__ import annotations

import numpy as np
import pytest

from interplay import FunctionGame, Game, GameError
from interplay._types import BoolArray, FloatArray
from interplay.game import call


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


def test_values_that_are_not_finite_name_the_mask_and_the_game() -> None:
    def f(masks: BoolArray) -> FloatArray:
        return np.where(masks[:, 1], 1.0, np.nan)

    with pytest.raises(GameError) as caught:
        call(FunctionGame(f, 3), MASKS)
    message = str(caught.value)
    assert "f, n_players=3) returned nan" in message
    assert "mask keeping 2 of 3 players (removed: 1)" in message
    assert caught.value.masks is not None
    assert caught.value.masks.tolist() == [[True, True, True]]
    assert caught.value.values is not None
    assert caught.value.values.tolist() == [1.0]


@pytest.mark.parametrize("shape", [(2,), (3, 0), (3, 2, 1), ()])
def test_values_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(GameError, match=r"must return \(3,\) or \(3, k\)"):
        call(FunctionGame(lambda masks: np.zeros(shape), 3), MASKS)


def test_the_number_of_outputs_may_not_change() -> None:
    game = FunctionGame(lambda masks: np.zeros((len(masks), 2)), 3)
    assert call(game, MASKS, n_outputs=2).shape == (3, 2)
    with pytest.raises(GameError, match="as before"):
        call(game, MASKS, n_outputs=0)
    with pytest.raises(GameError, match="as before"):
        call(game, MASKS, n_outputs=3)


def test_an_error_of_the_users_own_is_kept_as_the_cause() -> None:
    def f(masks: BoolArray) -> FloatArray:
        raise KeyError("no such model")

    with pytest.raises(GameError, match=r"raised KeyError on mask keeping 3 of 3") as caught:
        call(FunctionGame(f, 3), MASKS[:1])
    assert isinstance(caught.value.__cause__, KeyError)
