"""Early exit: the model ends after some layers, shares its weights, and is another game."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.fourier.masks import every_mask
from tests.text.tiny import tiny, word_tokenizer

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

LLAMA: dict[str, Any] = {
    **{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
}
GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64}
BERT = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}
MODELS = {
    "llama": lambda: tiny(hf.AutoModelForCausalLM, hf.LlamaConfig(**LLAMA)),
    "gpt2": lambda: tiny(hf.AutoModelForCausalLM, hf.GPT2Config(**GPT2)),
    "bert": lambda: tiny(hf.AutoModelForMaskedLM, hf.BertConfig(**BERT)),
}
IDS = [[3, 9, 4, 1, 7]]


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_rest_of_the_model_applied_to_an_earlier_layer(name: str) -> None:
    model = MODELS[name]()
    ids = torch.tensor(IDS)
    n_weights, whole = sum(1 for _ in model.parameters()), model(ids).logits
    shallow = ip.text.early_exit(model, 2)
    by_hand = MODELS[name]()
    by_hand.load_state_dict(model.state_dict())
    later = next(
        child
        for child in by_hand.modules()
        if isinstance(child, torch.nn.ModuleList) and len(child) == 4
    )
    for layer in later[2:]:  # a residual layer that adds nothing hands on what it got

        def unchanged(hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
            return hidden_states

        layer.forward = unchanged
    with torch.inference_mode():
        np.testing.assert_array_equal(shallow(ids).logits, by_hand(ids).logits)
        assert not torch.equal(shallow(ids).logits, whole)
        np.testing.assert_array_equal(model(ids).logits, whole.detach())
    assert shallow.config.num_hidden_layers == 2
    assert model.config.num_hidden_layers == 4
    assert sum(1 for _ in model.parameters()) == n_weights
    mine = {id(weight) for weight in model.parameters()}
    assert all(id(weight) in mine for weight in shallow.parameters())


def test_a_game_of_it_is_another_one() -> None:
    model = MODELS["llama"]()
    words = "w1 w7 w3 w9 w12 w4 w2"
    tokenizer = word_tokenizer(framed=False)
    games = [
        ip.text.TextGame(
            m, tokenizer, words, ip.text.Response(" w5"), by="word", prompt="w8 {text} w6"
        )
        for m in (model, ip.text.early_exit(model, 1))
    ]
    assert games[0].fingerprint != games[1].fingerprint
    assert games[0].players == games[1].players
    masks = every_mask(games[0].n_players)[-20:]
    assert not np.allclose(games[0](masks), games[1](masks))


@pytest.mark.parametrize("layers", [0, 4, 9])
def test_other_numbers_of_layers(layers: int) -> None:
    with pytest.raises(ValueError, match="layers"):
        ip.text.early_exit(MODELS["llama"](), layers)


def test_an_encoder_decoder_has_two_stacks() -> None:
    settings = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 4}
    model = tiny(hf.AutoModelForSeq2SeqLM, hf.T5Config(**settings, num_heads=4))
    with pytest.raises(ValueError, match="2 stacks of 4 layers"):
        ip.text.early_exit(model, 2)
