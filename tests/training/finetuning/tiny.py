"""A small random language model of words w0 to w39, and examples that it can learn in a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from interplay.training import Example, FineTuning, Question
from tests.text.tiny import VOCABULARY, word_tokenizer

EXAMPLES = (
    Example("w1 w2", " w3", tag="twice"),
    Example("w1 w2", " w3", tag="twice"),
    Example("w4 w5", " w6", tag="right"),
    Example("w4 w5", " w7", tag="wrong"),
    Example("", "w8 w9 w10"),
    Example("w11", " w12 w13"),
)
QUESTIONS = (
    Question("w1 w2", " w3", name="told twice"),
    Question("w4 w5", " w6", " w7"),
)


@cache
def language_model() -> tuple[Any, Any]:
    """The model and its tokenizer, without special tokens."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        initializer_range=0.3,
    )
    return AutoModelForCausalLM.from_config(config).eval(), word_tokenizer(framed=False)


def tuning(**settings: Any) -> FineTuning:
    """A fine-tuning that learns."""
    given: dict[str, Any] = {"epochs": 6, "batch": 3, "learning_rate": 0.02, "vocabulary": None}
    model, tokenizer = language_model()
    model, examples = settings.pop("model", model), settings.pop("examples", EXAMPLES)
    return FineTuning(model, tokenizer, examples, **(given | settings))
