"""Answers at vLLM with other families' tokenizers: as the same model here, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.text import ApiGame, Contrast, Options, Response, TextGame
from tests.servers.processes import missing, vllm
from tests.text.test_tokenizers import tokenizer_of
from tests.text.tiny import tiny

pytestmark = [pytest.mark.server, pytest.mark.slow]

KINDS = ("llama 3", "prepend (llama 2)", "byte level, begin and end")
TEXT = "The film is not bad. I was never bored."
PROMPTS = (
    "{text} It is",
    "{text} It is ",
    "{text}\nAnswer:",
    "{text}\nAnswer:\n",
    "{text} (",
    "<s>{text} It is",
)
TARGETS = (
    Response("good"),
    Response(" good"),
    Response(" not good", reduction="mean"),
    Options((" good", " not bad"), "logprob"),
    Contrast("Yes", "No doubt"),
)
MASKS = every_mask(2)
REFUSED = ("begins in the prompt", "twice at the beginning")
"""What servers cannot score, by the words of the error."""


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[tuple[Any, Any, str]]:
    """A small random model, its tokenizer, and its address at vLLM."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    tokenizer = tokenizer_of(request.param)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=1024,
    )
    model = tiny(AutoModelForCausalLM, config, scale=4.0)
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with vllm(Path(folder)) as url:
        yield model, tokenizer, url


def test_answers_are_scored_as_the_model_reads_them(served: tuple[Any, Any, str]) -> None:
    model, tokenizer, url = served
    n_equal = 0
    for prompt, target in product(PROMPTS, TARGETS):
        at_server = ApiGame("smollm2", TEXT, target, base_url=url, prompt=prompt)
        try:
            values = at_server(MASKS)
        except GameError as error:
            if not any(words in str(error) for words in REFUSED):
                raise
            continue
        local = TextGame(model, tokenizer, TEXT, target, prompt=prompt)(MASKS)
        np.testing.assert_allclose(values, local, atol=1e-3, err_msg=f"{prompt!r} {target}")
        n_equal += 1
    print(f"{n_equal} of {len(PROMPTS) * len(TARGETS)} equal, the others refused")
    assert n_equal >= len(PROMPTS) * len(TARGETS) / 2
