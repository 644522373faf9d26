"""Units found by structure and removed, on every family, against models with edited weights."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from interplay import components
from interplay.components.architecture import find_architecture
from tests.text.tiny import PAD, VOCABULARY, tiny, word_tokenizer

N_LAYERS, N_HEADS = 3, 4
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": N_HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
OLD = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": N_LAYERS, "n_head": N_HEADS}
CAUSAL = {
    "llama": lambda: hf.LlamaConfig(**SMALL, num_key_value_heads=2),
    "mistral": lambda: hf.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=6),
    "qwen2": lambda: hf.Qwen2Config(**SMALL, num_key_value_heads=2),
    "qwen3": lambda: hf.Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=16),
    "gemma": lambda: hf.GemmaConfig(**SMALL, num_key_value_heads=1, head_dim=16),
    "gemma2": lambda: hf.Gemma2Config(
        **SMALL, num_key_value_heads=2, head_dim=16, sliding_window=6
    ),
    "gemma3": lambda: hf.Gemma3TextConfig(
        **SMALL, num_key_value_heads=2, head_dim=16, sliding_window=6
    ),
    "phi": lambda: hf.PhiConfig(**SMALL),
    "phi3": lambda: hf.Phi3Config(**SMALL, num_key_value_heads=2, pad_token_id=PAD),
    "gpt2": lambda: hf.GPT2Config(**OLD, n_positions=64),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**SMALL),
    "gptj": lambda: hf.GPTJConfig(**OLD, n_positions=64, rotary_dim=4),
    "bloom": lambda: hf.BloomConfig(
        vocab_size=VOCABULARY, hidden_size=32, n_layer=N_LAYERS, n_head=N_HEADS
    ),
    "opt": lambda: hf.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        ffn_dim=48,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
    ),
    "mixtral": lambda: hf.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4),
    "olmo2": lambda: hf.Olmo2Config(**SMALL),
}
ENCODERS = {
    "bert": lambda: hf.BertConfig(**SMALL),
    "roberta": lambda: hf.RobertaConfig(**SMALL),
    "modernbert": lambda: hf.ModernBertConfig(
        **SMALL, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
    ),
    "deberta": lambda: hf.DebertaV2Config(
        **SMALL,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=8,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
    ),
}
FAMILIES = [*CAUSAL, *ENCODERS]
PROMPTS = ("w1 w2 w3", "w1 w2 w9 w4 w7", "w5 w6 w7 w8 w9 w10 w11 w12", "w5 w6 w30")


def made(family: str) -> Any:
    if family in ENCODERS:
        return tiny(hf.AutoModelForMaskedLM, ENCODERS[family]())
    return tiny(hf.AutoModelForCausalLM, CAUSAL[family]())


def tokenizer(family: str) -> Any:
    words = word_tokenizer(framed=False)
    if family in ENCODERS:
        words.mask_token = "w39"
    return words


def task(family: str) -> components.Task:
    masked = " w39 w3" if family in ENCODERS else ""
    items = [components.Item(prompt + masked, " w20", (" w21", " w22")) for prompt in PROMPTS]
    return components.Task(tuple(items), ("margin", "logprob"))


def alone(model: Any, family: str) -> Any:
    """The task's scores by one plain pass per item, ``(items, 2)``."""
    words = tokenizer(family)
    rows = []
    for item in task(family).items:
        ids = words(item.prompt, return_tensors="pt", add_special_tokens=True)["input_ids"]
        with torch.inference_mode():
            cache = {} if family in ENCODERS else {"use_cache": False}
            logits = model(input_ids=ids, **cache).logits[0]
        at = ids[0].tolist().index(words.mask_token_id) if family in ENCODERS else -1
        logprobs = logits[at].double().log_softmax(-1)
        right, *wrong = (
            float(logprobs[words.convert_tokens_to_ids(answer.strip())])
            for answer in (item.answer, *item.wrong)
        )
        rows.append((right - max(wrong), right))
    return np.array(rows)


def without_columns(projection: Any, head: int, width: int) -> None:
    """The weights of an output projection, those that read one head set to zero."""
    own = slice(head * width, (head + 1) * width)
    with torch.no_grad():
        if isinstance(projection, torch.nn.Linear):
            projection.weight[:, own] = 0
        else:  # GPT-2's convolution, whose weights stand the other way round
            projection.weight[own] = 0


def removed(players: tuple[Any, ...], number: int) -> Any:
    mask = np.ones((1, len(players)), dtype=bool)
    mask[0, number] = False
    return mask


@pytest.mark.parametrize("family", FAMILIES)
def test_units_of_every_family_and_the_whole_model(family: str) -> None:
    model = made(family)
    architecture = find_architecture(model)
    assert [layer.n_heads for layer in architecture.layers] == [N_HEADS] * N_LAYERS
    assert all(layer.mlp is not None for layer in architecture.layers)
    assert architecture.predicts == ("mask" if family in ENCODERS else "next")
    players = components.heads(model) + components.mlps(model)
    game = components.ComponentGame(model, tokenizer(family), task(family), players)
    scores = game.item_scores(np.ones((2, game.n_players), dtype=bool))
    np.testing.assert_allclose(scores[0], alone(model, family), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_all_kept_is_the_untouched_model_bit_by_bit(family: str) -> None:
    model = made(family)
    players = components.heads(model) + components.mlps(model)
    game = components.ComponentGame(model, tokenizer(family), task(family), players)
    from interplay.components.patching import removing, sites_of

    ids = torch.arange(4, 24).reshape(2, 10)
    kept = torch.ones((2, len(players) + 1), dtype=torch.bool)
    whole = components.ComponentGame(
        model, tokenizer(family), task(family), components.layers(model)
    )
    with torch.inference_mode():
        plain = model(input_ids=ids).logits
        for checked in (game, whole):
            sites = sites_of(find_architecture(model), checked._players)
            with removing(sites, kept, {}):
                assert torch.equal(model(input_ids=ids).logits, plain)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 3), (2, 0)])
def test_a_head_removed_is_its_columns_set_to_zero(family: str, layer: int, head: int) -> None:
    model = made(family)
    players = components.heads(model, [layer])
    game = components.ComponentGame(model, tokenizer(family), task(family), players)
    edited = deepcopy(model)
    projection: Any = find_architecture(edited).layers[layer].projection
    width = projection.weight.shape[0 if projection.__class__.__name__ == "Conv1D" else 1]
    without_columns(projection, head, width // N_HEADS)
    reference = alone(edited, family)
    assert np.abs(reference - alone(model, family)).max() > 1e-3
    found = game.item_scores(removed(players, head))[0]
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 2])
def test_an_mlp_removed_is_its_output_weights_set_to_zero(family: str, layer: int) -> None:
    model = made(family)
    players = components.mlps(model, [layer])
    game = components.ComponentGame(model, tokenizer(family), task(family), players)
    edited = deepcopy(model)
    mlp: Any = find_architecture(edited).layers[layer].mlp
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.zero_()
    reference = alone(edited, family)
    assert np.abs(reference - alone(model, family)).max() > 1e-3
    found = game.item_scores(removed(players, 0))[0]
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=2e-4)


HYBRID: dict[str, tuple[str, Any]] = {
    "lfm2": (
        "feed_forward",
        lambda: hf.Lfm2Config(
            **SMALL, num_key_value_heads=2, layer_types=["conv", "full_attention", "conv"]
        ),
    ),
    "qwen3_next": (
        "mlp",
        lambda: hf.Qwen3NextConfig(
            **SMALL,
            num_key_value_heads=2,
            head_dim=8,
            layer_types=["linear_attention", "full_attention", "linear_attention"],
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
            linear_num_value_heads=4,
            linear_num_key_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
        ),
    ),
    "phimoe": (
        "mlp",
        lambda: hf.PhimoeConfig(**SMALL, num_key_value_heads=2, num_local_experts=4),
    ),
    "llama4": (
        "feed_forward",
        lambda: hf.Llama4TextConfig(
            **SMALL,
            num_key_value_heads=2,
            head_dim=8,
            num_local_experts=4,
            intermediate_size_mlp=48,
            pad_token_id=PAD,
        ),
    ),
}


@pytest.mark.parametrize("family", HYBRID)
@pytest.mark.parametrize("layer", [0, 1])
def test_the_mlp_is_not_what_stands_beside_it(family: str, layer: int) -> None:
    """Layers that mix positions by a convolution, and routers that give several things."""
    name, config = HYBRID[family]
    model = tiny(hf.AutoModelForCausalLM, config(), scale=6.0)
    own = model.model.layers[layer]
    players = components.mlps(model, [layer])
    game = components.ComponentGame(model, tokenizer(family), task("llama"), players)
    hook = getattr(own, name).register_forward_hook(
        lambda _, args, output: (
            (output[0] * 0, *output[1:]) if isinstance(output, tuple) else output * 0
        )
    )
    reference = alone(model, "llama")
    hook.remove()
    assert np.abs(reference - alone(model, "llama")).max() > 1e-3
    np.testing.assert_allclose(
        game.item_scores(removed(players, 0))[0], reference, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_removed_is_a_model_without_it(family: str, layer: int) -> None:
    model = made(family)
    players = components.layers(model)
    game = components.ComponentGame(model, tokenizer(family), task(family), players)
    edited = deepcopy(model)
    stack = next(
        module
        for module in edited.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == N_LAYERS
    )
    config = edited.config
    if getattr(config, "layer_types", None):  # each layer keeps its own kind of attention
        config.layer_types = [k for n, k in enumerate(config.layer_types) if n != layer]
    del stack[layer]
    config.num_hidden_layers = N_LAYERS - 1
    reference = alone(edited, family)
    found = game.item_scores(removed(players, layer))[0]
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_sharing_changes_nothing(family: str) -> None:
    """Passes cut at layers and prefix trees give what full passes over each prompt give."""
    model = made(family)
    players = components.heads(model) + components.mlps(model, [2])
    game = components.ComponentGame(model, tokenizer(family), task(family), players)
    masks = np.random.default_rng(0).random((24, game.n_players)) < 0.7
    masks[:, :N_HEADS] = masks[0, :N_HEADS]
    masks[:, N_HEADS : 2 * N_HEADS] = masks[np.arange(24) % 3, N_HEADS : 2 * N_HEADS]
    shared = game.item_scores(masks)
    passes = game._passes
    assert passes._cuts == (1, 2)
    window = getattr(model.config, "sliding_window", None)
    # prefix trees need position ids, an attention mask and no sliding window
    assert passes._shares_prefixes is (None if window or family in ENCODERS else family != "bloom")
    passes._cuts, passes._shares_prefixes = (), False
    np.testing.assert_allclose(shared, game.item_scores(masks), rtol=1e-4, atol=2e-4)


def test_prefix_trees_fit_windows_that_are_long_enough() -> None:
    model = tiny(
        hf.AutoModelForCausalLM, hf.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=32)
    )
    game = components.ComponentGame(
        model, tokenizer("mistral"), task("mistral"), components.heads(model)
    )
    whole = game.item_scores(np.ones((1, game.n_players), dtype=bool))
    assert game._passes._shares_prefixes is True
    np.testing.assert_allclose(whole[0], alone(model, "mistral"), rtol=1e-4, atol=1e-5)


def test_a_task_of_longer_prompts_may_leave_the_window() -> None:
    model = tiny(
        hf.AutoModelForCausalLM, hf.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=6)
    )
    players = components.heads(model)
    short, long = (
        components.Task(
            tuple(components.Item(f"{words} w{n}", " w20", (" w21",)) for n in (30, 31))
        )
        for words in ("w1 w2", "w1 w2 w3 w4 w5 w6 w7 w8 w9")
    )
    masks = np.random.default_rng(0).random((4, len(players))) < 0.7
    game = components.ComponentGame(model, tokenizer("mistral"), short, players)
    game(masks)
    assert game._passes._shares_prefixes is True
    anew = components.ComponentGame(model, tokenizer("mistral"), long, players)
    np.testing.assert_allclose(game.on(long)(masks), anew(masks), rtol=1e-4, atol=1e-5)


def test_names_groups_and_unions() -> None:
    model = made("llama")
    units = (
        components.heads(model, [0, -1])
        + components.mlps(model, [1])
        + components.layers(model, [1])
    )
    names = [unit.name for unit in units]
    assert names == [
        *(f"L{layer}.H{head}" for layer in (0, 2) for head in range(4)),
        "L1.MLP",
        "L1",
    ]
    groups = components.by_layers(components.heads(model) + components.mlps(model), 2)
    assert [group.name for group in groups] == ["L0-1 head+mlp", "L2 head+mlp"]
    assert [len(group.units) for group in groups] == [10, 5]
    by_one = components.by_layers(components.heads(model))
    assert [group.name for group in by_one] == ["L0 head", "L1 head", "L2 head"]
    game = components.ComponentGame(model, tokenizer("llama"), task("llama"), groups)
    fine = components.ComponentGame(
        model, tokenizer("llama"), task("llama"), tuple(u for g in groups for u in g.units)
    )
    coarse = np.array([[True, False], [False, True]])
    spread = np.repeat(coarse, [10, 5], axis=1)
    np.testing.assert_allclose(game(coarse), fine(spread), rtol=1e-5)


def test_a_configuration_that_knows_of_no_padding() -> None:
    model = tiny(hf.AutoModelForCausalLM, hf.CodeGenConfig(**OLD, n_positions=64, rotary_dim=4))
    assert not hasattr(model.config, "pad_token_id")
    players = components.heads(model)
    game = components.ComponentGame(model, tokenizer("codegen"), task("codegen"), players)
    whole = game.item_scores(np.ones((1, len(players)), dtype=bool))[0]
    np.testing.assert_allclose(whole, alone(model, "codegen"), rtol=1e-4, atol=1e-5)
    assert not hasattr(model.config, "pad_token_id")


def test_players_that_the_model_lacks_are_refused() -> None:
    model = made("llama")
    heads = components.heads(model)

    def game(players: Any) -> Any:
        return components.ComponentGame(model, tokenizer("llama"), task("llama"), players)

    with pytest.raises(ValueError, match="layer 3 does not exist: the model has 3 layers"):
        components.heads(model, [3])
    with pytest.raises(ValueError, match=r"L1\.H4 does not exist: layer 1 has 4 heads"):
        game((components.Unit(1, "head", 4),))
    with pytest.raises(ValueError, match="layer 7 does not exist"):
        game((components.Unit(7, "mlp"),))
    with pytest.raises(ValueError, match="there are no players"):
        game(())
    with pytest.raises(ValueError, match=r"L0\.H0 belongs to two players"):
        game((*heads, components.Group("again", heads[:1])))
    with pytest.raises(ValueError, match=r"L0\.H0 is a part of L0"):
        game(heads + components.layers(model, [0]))
    one, other = components.heads(model, [0])[:2]
    named = components.Group("a", (one,)), components.Group("a", (other,))
    for players in (named, (components.Group(other.name, (one,)), other)):
        with pytest.raises(ValueError, match=r"two players have the name '(a|L0\.H1)'"):
            game(players)
    with pytest.raises(ValueError, match="the group 'none' is empty"):
        game((components.Group("none", ()),))
    with pytest.raises(ValueError, match=r"'L0\.H0' is no unit"):
        game(("L0.H0",))
    with pytest.raises(ValueError, match="size=0 is below 1"):
        components.by_layers(heads, 0)


def test_models_without_heads_are_refused() -> None:
    mamba = hf.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2)
    with pytest.raises(ValueError, match="no attention was found in MambaForCausalLM"):
        components.heads(tiny(hf.AutoModelForCausalLM, mamba, scale=1.0))
    albert = tiny(hf.AutoModelForMaskedLM, hf.AlbertConfig(**SMALL, embedding_size=32))
    with pytest.raises(ValueError, match="used several times each in one pass"):
        components.heads(albert)
    t5 = hf.T5Config(vocab_size=VOCABULARY, d_model=32, num_layers=2, num_heads=4, d_ff=32, d_kv=8)
    with pytest.raises(ValueError, match="has an encoder and a decoder"):
        components.heads(tiny(hf.AutoModelForSeq2SeqLM, t5))
    # its output projection is no linear map of torch; the router comes next and is not taken for it
    jetmoe = hf.JetMoeConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_key_value_heads=2,
        kv_channels=8,
        intermediate_size=48,
    )
    with pytest.raises(ValueError, match="no attention was found in JetMoeForCausalLM"):
        components.heads(tiny(hf.AutoModelForCausalLM, jetmoe))
    xlnet = hf.XLNetConfig(vocab_size=VOCABULARY, d_model=32, n_layer=2, n_head=4, d_inner=48)
    with pytest.raises(ValueError, match=r"takes hidden states of shape \(5, 3, 32\)"):
        components.heads(tiny(hf.AutoModelForCausalLM, xlnet))
    adapted = made("llama")
    adapted.model.layers[0].mlp.lora_A = torch.nn.Linear(32, 2)
    with pytest.raises(ValueError, match="merge them into the weights first"):
        components.mlps(adapted)
    bare = tiny(hf.AutoModel, CAUSAL["llama"]())
    with pytest.raises(ValueError, match="has no logits"):
        components.ComponentGame(bare, tokenizer("llama"), task("llama"), components.heads(bare))
    training = made("llama").train()
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        components.ComponentGame(
            training, tokenizer("llama"), task("llama"), components.heads(training)
        )
