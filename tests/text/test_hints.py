"""Hints of text games: segments' lengths, and the gradient of the score against differences."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from interplay._types import FloatArray
from interplay.game import HintingGame, hints_of
from interplay.text import (
    ApiGame,
    Generated,
    LogitDifference,
    Options,
    ProviderGame,
    Replace,
    Response,
    TextGame,
)
from tests.text.tiny import VOCABULARY, tiny, word_tokenizer

TEXT = "w1 w2 w3 w4 w5 w6"
TOKENIZER = word_tokenizer(framed=False)
STEP = 1e-3  # norms are in single precision, whatever the weights are
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
)


def game_of(target: Any, **options: Any) -> TextGame:
    model = tiny(AutoModelForCausalLM, CONFIG, scale=4.0).double()
    options = {"by": "word", "prompt": "w20 {text} w21", "hints": "gradient"} | options
    return TextGame(model, TOKENIZER, TEXT, target, **options)


def by_differences(game: TextGame) -> FloatArray:
    """The norms by moving the embedding of each word, which stands in the prompt once, ``(n,)``."""
    every = np.ones((1, game.n_players), dtype=bool)
    weight = game.model.get_input_embeddings().weight
    squares = np.zeros(game.n_players)
    for player, name in enumerate(game.players):
        slopes = []
        for word in re.findall(r"w\d+", name):
            token = TOKENIZER.convert_tokens_to_ids(word)
            for direction in range(weight.shape[1]):
                sides = []
                for step in (STEP, -STEP):
                    with torch.no_grad():
                        weight[token, direction] += step
                        sides.append(np.atleast_2d(game(every))[0])
                        weight[token, direction] -= step
                slopes.append((sides[0] - sides[1]) / (2 * STEP))
        squares[player] = (np.array(slopes) ** 2).sum()
    return np.sqrt(squares)


@pytest.mark.parametrize(
    "target",
    [
        LogitDifference(" w30", " w31"),
        Response(" w30 w31 w32", score="prob"),
        Response(" w30 w31", score="logit"),
    ],
)
def test_gradient_is_that_of_differences(target: Any) -> None:
    game = game_of(target)
    hints = hints_of(game)
    assert hints is not None
    assert hints.kind == "gradient"
    expected = by_differences(game)
    np.testing.assert_allclose(
        hints.values / np.linalg.norm(hints.values), expected / np.linalg.norm(expected), rtol=5e-3
    )
    n_fed = 0 if isinstance(target, LogitDifference) else len(target.text.split()) - 1
    assert hints.cost == 3 * (len(game.unmasked_ids) + n_fed)


def test_gradient_of_segments_of_several_tokens() -> None:
    game = game_of(LogitDifference(" w30", " w31"), by=re.compile(r"w1 w2|w3 w4|w6"))
    hints, expected = game.hints().values, by_differences(game)
    np.testing.assert_allclose(
        hints / np.linalg.norm(hints), expected / np.linalg.norm(expected), rtol=5e-3
    )


@pytest.mark.parametrize("masking", ["attention", "delete", Replace("w9")])
def test_gradient_does_not_depend_on_the_masking(masking: Any) -> None:
    target = LogitDifference(" w30", " w31")
    expected = game_of(target).hints().values
    np.testing.assert_array_equal(game_of(target, masking=masking).hints().values, expected)


@pytest.mark.parametrize("n_outputs", [2, 12])
def test_several_outputs_count_alike(n_outputs: int) -> None:
    game = game_of(Options([f" w{20 + n}" for n in range(n_outputs)], score="logprob"))
    hints = game.hints()
    n_backward = min(n_outputs, 8)
    assert (hints.values**2).sum() == pytest.approx(n_backward)
    assert hints.cost % (1 + 2 * n_backward) == 0
    np.testing.assert_array_equal(hints.values, game.hints().values)
    if n_outputs == 2:
        single = [
            game_of(Response(text, score="logprob")).hints().values for text in (" w20", " w21")
        ]
        expected = np.sqrt(sum((one / np.linalg.norm(one)) ** 2 for one in single))
        np.testing.assert_allclose(hints.values, expected, rtol=1e-4)


def test_the_model_stays_as_it_was() -> None:
    game = game_of(LogitDifference(" w30", " w31"))
    before = game.fingerprint
    game.hints()
    assert game.fingerprint == before is not None
    assert all(parameter.grad is None for parameter in game.model.parameters())


def test_tokens_are_the_default_and_change_nothing_else() -> None:
    options = {"by": re.compile(r"w1 w2 w3|w4|w5 w6")}
    by_gradient = game_of(LogitDifference(" w30", " w31"), **options)
    model = by_gradient.model
    target = LogitDifference(" w30", " w31")
    game = TextGame(model, TOKENIZER, TEXT, target, prompt="w20 {text} w21", **options)
    hints = hints_of(game)
    assert isinstance(game, HintingGame)
    assert hints is not None
    assert (hints.kind, hints.values.tolist(), hints.cost) == ("tokens", [3.0, 1.0, 2.0], 0.0)
    assert game.fingerprint == by_gradient.fingerprint
    assert game.describe() == by_gradient.describe()
    finer, _ = game.refined([0], "word")
    assert finer.hints().values.tolist() == [1.0, 1.0, 1.0, 1.0, 2.0]


def test_hints_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="hints='attention' is unknown; choose one of tokens"):
        game_of(LogitDifference(" w30", " w31"), hints="attention")
    with pytest.raises(ValueError, match="hints='gradient' needs a target that is read off"):
        game_of(Generated(lambda answer, original: 0.0))


def test_a_gradient_that_cannot_be_computed() -> None:
    game = game_of(LogitDifference(" w30", " w31"))
    game.model.requires_grad_(False)
    assert (game.hints().values > 0).all()  # only the embeddings' is needed
    broken = RuntimeError("no derivative of int8")
    game.model.model.layers[0].register_forward_hook(lambda *_: (_ for _ in ()).throw(broken))
    with pytest.raises(ValueError, match=r"no derivative of int8.*use hints='tokens'"):
        game.hints()


class Provider:
    def get_logprobs(self, prompt: str, answer: str) -> list[float]:
        return [-1.0]


def test_games_without_tokens_take_characters() -> None:
    text, target = "A dog. It barks loudly.", Response(" so")
    prompt = "{text} It is"
    for game in (
        ProviderGame(Provider(), text, target, prompt=prompt),
        ApiGame("m", text, target, base_url="http://127.0.0.1:1/v1", prompt=prompt),
    ):
        hints = hints_of(game)
        assert hints is not None
        assert (hints.kind, hints.values.tolist(), hints.cost) == ("characters", [6.0, 16.0], 0.0)
