"""Pipelines of transformers in the place of a model and its tokenizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
)

import interplay as ip
from interplay.components import ComponentGame, Item, Task, layers
from interplay.text import Label, Response, TextGame, from_pipeline
from tests.text.tiny import VOCABULARY, tiny, word_tokenizer

GPT = GPT2Config(
    vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64, eos_token_id=2
)
BERT = BertConfig(
    vocab_size=VOCABULARY,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    num_labels=3,
)
TEXT = "w1 w2 w3 w4"


def generation() -> Any:
    return transformers.pipeline(
        "text-generation",
        model=tiny(AutoModelForCausalLM, GPT, 3.0),
        tokenizer=word_tokenizer(framed=False),
    )


def value(game: Any) -> Any:
    return game(np.ones((1, game.n_players), dtype=bool))[0]


def test_what_a_pipeline_decides_is_what_a_game_scores() -> None:
    pipe = transformers.pipeline(
        "text-classification",
        model=tiny(AutoModelForSequenceClassification, BERT, 4.0),
        tokenizer=word_tokenizer(),
    )
    (decided,) = pipe(TEXT)
    game = TextGame(pipe, None, TEXT, Label(decided["label"], score="prob"), by="word")
    assert value(game) == pytest.approx(decided["score"], abs=1e-6)
    assert game.model is pipe.model


def test_what_a_pipeline_writes_is_what_a_game_scores() -> None:
    pipe = generation()
    asked = {"max_new_tokens": 4, "do_sample": False, "return_full_text": False}
    (answered,) = pipe(TEXT, **asked)
    game = TextGame(pipe, None, TEXT, Response(max_tokens=4), by="word", prompt="w0 {text}")
    (answered,) = pipe(f"w0 {TEXT}", **asked)
    assert game.targets[0].text is not None
    assert game.targets[0].text.split() == answered["generated_text"].split()
    plain = TextGame(pipe.model, pipe.tokenizer, TEXT, Response(" w5"), prompt="w0 {text}")
    own = TextGame(*from_pipeline(pipe), TEXT, Response(" w5"), prompt="w0 {text}")
    assert plain.fingerprint == own.fingerprint
    task = Task((Item(TEXT, " w5", (" w6",)),))
    heads = ComponentGame(pipe, None, task, layers(pipe.model))
    assert ip.explain(heads).faithfulness.exact


def test_what_is_refused() -> None:
    pipe = generation()
    masked = transformers.pipeline(
        "fill-mask", model=tiny(AutoModelForMaskedLM, BERT), tokenizer=masking_tokenizer()
    )
    for given, message in [
        ((masked, None), "the pipeline is for 'fill-mask', of which no game is made; give one of"),
        ((pipe, word_tokenizer()), "another tokenizer than its own"),
        ((pipe.model, None), "tokenizer=None goes with a pipeline, but the model is a GPT2LMHead"),
    ]:
        with pytest.raises(ValueError, match=message):
            TextGame(*given, TEXT, Response(" w5"), prompt="w0 {text}")
    with pytest.raises(ValueError, match="a GPT2LMHeadModel was given, but no pipeline"):
        from_pipeline(pipe.model)
    pipe.tokenizer = None
    with pytest.raises(ValueError, match="'text-generation' has no tokenizer"):
        from_pipeline(pipe)


def masking_tokenizer() -> Any:
    tokenizer = word_tokenizer()
    tokenizer.mask_token = "w39"
    return tokenizer
