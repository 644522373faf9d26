"""The two ends of a game, and whether the answer that is scored is one that the model gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interplay.fourier.masks import end_masks
from interplay.text import LogitDifference, Options, Response, TextGame
from interplay.text.answers import ends

CHAT = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "The door is green. Which colour has it?", "fixed": True},
]


def chat_game(smollm: tuple[Any, Any], target: Any) -> TextGame:
    return TextGame(*smollm, CHAT, target, by="word")


@pytest.mark.model
def test_a_negligible_form_is_told_with_the_one_that_is_meant(smollm: tuple[Any, Any]) -> None:
    game = chat_game(smollm, Response(" green"))
    described = ends(game, game(end_masks(game.n_players)))
    (answer,) = described.answers
    assert answer.is_negligible
    assert answer.probability == pytest.approx(np.exp(described.full[0]), rel=1e-4)
    assert answer.likelier == "Green"
    assert answer.warning is not None
    assert "'Green' has" in answer.warning
    fine = chat_game(smollm, Response("Green"))
    (answer,) = ends(fine, fine(end_masks(fine.n_players))).answers
    assert answer.warning is None


@pytest.mark.model
def test_every_answer_of_a_target_is_judged(smollm: tuple[Any, Any]) -> None:
    for target in (Options((" green", "Green")), LogitDifference(" green", "Green")):
        game = chat_game(smollm, target)
        described = ends(game, game(end_masks(game.n_players)))
        assert [answer.is_negligible for answer in described.answers] == [True, False]
        assert described.own_answer


@pytest.mark.model
def test_long_answers_are_judged_by_the_token(smollm: tuple[Any, Any]) -> None:
    game = chat_game(smollm, Response())
    described = ends(game, game(end_masks(game.n_players)))
    (answer,) = described.answers
    assert np.exp(described.full[0]) < 1e-3
    assert not answer.is_negligible
    values = game(end_masks(game.n_players))
    np.testing.assert_array_equal([described.full[0], described.empty[0]], values)
