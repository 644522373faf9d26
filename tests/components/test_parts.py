"""Key-value groups and neurons: found by structure, and removed as edited weights would."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from interplay import components
from interplay.components.architecture import find_architecture
from interplay.components.sharing import shared_key_values
from tests.components.test_attribution import by_differences
from tests.components.test_units import (
    FAMILIES,
    HYBRID,
    N_HEADS,
    SMALL,
    alone,
    made,
    removed,
    task,
    tokenizer,
)
from tests.text.tiny import VOCABULARY, tiny

GROUPED = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"), 2),
    **{"mixtral": 2, "gemma": 1},
}
"""Families with fewer key-value heads than heads, and how many."""


def game(model: Any, family: str, players: Any, ablation: Any = "zero") -> Any:
    return components.ComponentGame(model, tokenizer(family), task(family), players, ablation)


# --- key-value groups ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_are_grouped_by_what_they_read(family: str) -> None:
    model = made(family)
    if family not in GROUPED:
        with pytest.raises(ValueError, match=r"each of the 4 heads in layer 0 .* take heads"):
            components.kv_groups(model)
        return
    n_groups = GROUPED[family]
    groups = components.kv_groups(model, [0, -1])
    assert [group.name for group in groups] == [
        f"L{layer}.KV{number}" for layer in (0, 2) for number in range(n_groups)
    ]
    per_group = N_HEADS // n_groups
    assert [unit for group in groups for unit in group.units] == list(
        components.heads(model, [0, 2])
    )
    assert {len(group.units) for group in groups} == {per_group}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("config", "groups"),
    [
        # names of their own for the number of key-value heads, and one fused projection
        (
            hf.FalconConfig(
                **{key: SMALL[key] for key in ("vocab_size", "hidden_size", "num_attention_heads")},
                num_hidden_layers=2,
                multi_query=True,
                new_decoder_architecture=False,
            ),
            ((0, 1, 2, 3),),
        ),
        (
            hf.FalconConfig(
                **{key: SMALL[key] for key in ("vocab_size", "hidden_size", "num_attention_heads")},
                num_hidden_layers=2,
                num_kv_heads=2,
                new_decoder_architecture=True,
            ),
            ((0, 1), (2, 3)),
        ),
        (
            hf.GPTBigCodeConfig(
                vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, multi_query=True
            ),
            ((0, 1, 2, 3),),
        ),
        # keys and values of each head from one small state: shared is only what they come from
        (
            hf.DeepseekV3Config(
                **SMALL,
                num_key_value_heads=4,
                n_routed_experts=4,
                num_experts_per_tok=2,
                n_group=1,
                topk_group=1,
                moe_intermediate_size=16,
                first_k_dense_replace=1,
                q_lora_rank=16,
                kv_lora_rank=12,
                qk_rope_head_dim=4,
                qk_nope_head_dim=8,
                v_head_dim=8,
            ),
            ((0,), (1,), (2,), (3,)),
        ),
    ],
    ids=["falcon, one", "falcon, two", "bigcode", "deepseek"],
)
def test_other_names_for_the_same(config: Any, groups: Any) -> None:
    model = tiny(hf.AutoModelForCausalLM, config, scale=6.0)
    assert shared_key_values(model, find_architecture(model), [0]) == {0: groups}


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma"])
def test_a_group_removed_is_its_values_set_to_zero(family: str) -> None:
    model = made(family)
    groups = components.kv_groups(model, [1])
    edited = deepcopy(model)
    values = edited.model.layers[1].self_attn.v_proj
    width = values.weight.shape[0] // len(groups)
    with torch.no_grad():
        values.weight[:width] = 0
        if values.bias is not None:
            values.bias[:width] = 0
    found = game(model, family, groups).item_scores(removed(groups, 0))[0]
    np.testing.assert_allclose(found, alone(edited, family), rtol=1e-4, atol=2e-4)


def test_layers_without_attention_are_passed_over() -> None:
    model = tiny(hf.AutoModelForCausalLM, HYBRID["lfm2"][1](), scale=6.0)
    assert [group.name for group in components.kv_groups(model)] == ["L1.KV0", "L1.KV1"]


# --- neurons -------------------------------------------------------------------------------------


def without_neurons(model: Any, layer: int, numbers: Any) -> Any:
    """A copy whose MLP does not read some neurons."""
    edited = deepcopy(model)
    mlp: Any = find_architecture(edited).layers[layer].mlp
    with torch.no_grad():
        if isinstance(mlp, torch.nn.Linear):
            mlp.weight[:, numbers] = 0
        else:  # GPT-2's, whose weights stand the other way round
            mlp.weight[numbers] = 0
    return edited


@pytest.mark.parametrize("family", FAMILIES)
def test_neurons_removed_are_weights_set_to_zero(family: str) -> None:
    model = made(family)
    if family == "mixtral":
        with pytest.raises(ValueError, match="no hidden neurons were found in layer 1"):
            components.neurons(model, [1], blocks=2)
        with pytest.raises(ValueError, match="no hidden neurons were found in Mixtral"):
            components.neurons(model, blocks=2)
        return
    blocks = components.neurons(model, [1], blocks=3)
    count = find_architecture(model).layers[1].n_neurons
    assert sorted(unit.head for block in blocks for unit in block.units) == list(range(count))
    assert blocks[0].name == f"L1.N0-{count // 3 - 1}"
    found = game(model, family, blocks).item_scores(np.array([[1, 0, 1], [1, 1, 1]], dtype=bool))
    numbers = [unit.head for unit in blocks[1].units]
    reference = alone(without_neurons(model, 1, numbers), family)
    assert np.abs(reference - alone(model, family)).max() > 1e-3
    np.testing.assert_allclose(found[0], reference, rtol=1e-3, atol=5e-4)
    np.testing.assert_allclose(found[1], alone(model, family), rtol=1e-4, atol=1e-5)


def test_single_neurons_and_groups_of_them() -> None:
    model = made("llama")
    units = components.neurons(model, [0, 2], indices=[5, 47, 6])
    assert [unit.name for unit in units[:3]] == ["L0.N5", "L0.N47", "L0.N6"]
    assert len(units) == 6
    group = components.Group("three", units[3:])  # type: ignore[arg-type]
    own = game(model, "llama", (*components.heads(model, [2]), group))
    found = own.item_scores(removed(own.players, 4))[0]
    expected = alone(without_neurons(model, 2, [5, 47, 6]), "llama")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("ablation", ["mean", "resample", components.Zero(rescale=True)], ids=str)
def test_ablations_of_neurons(ablation: Any) -> None:
    """All blocks of an MLP together are the MLP; rescaling is of heads only."""
    model = made("llama")
    blocks = components.neurons(model, [1], blocks=4)
    parts = game(model, "llama", blocks, ablation)
    whole = game(model, "llama", components.mlps(model, [1]), ablation)
    none = np.zeros((1, 1), dtype=bool)
    np.testing.assert_allclose(parts(none.repeat(4, 1)), whole(none), rtol=1e-4, atol=2e-4)


def test_heads_neurons_and_mlps_in_one_game_have_attributions() -> None:
    model = made("llama").double()
    players = (
        *components.kv_groups(model, [0]),
        *components.neurons(model, [1], blocks=2),
        *components.mlps(model, [0, 2]),
    )
    own = game(model, "llama", players)
    expected = by_differences(own, np.ones(own.n_players, dtype=bool))
    scale = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(own.attribution() / scale, expected / scale, atol=3e-3)


def test_a_description_counts_neurons_that_follow_each_other() -> None:
    model = made("llama")
    blocks = components.neurons(model, [1], blocks=2)
    own = game(model, "llama", (*components.heads(model, [1])[:1], *blocks))
    description = own.describe()
    assert description["units"] == [[[1, "head", 0]], [[1, "neuron", 0]], [[1, "neuron", 24]]]
    assert description["neurons"] == [[1], [24], [24]]
    assert description["view"]["kind"] == "grid"
    other = game(model, "llama", (*components.heads(model, [1])[:1], *reversed(blocks)))
    smaller = components.Group("L1.N0-23", blocks[0].units[:23])
    fewer = game(model, "llama", (*components.heads(model, [1])[:1], smaller, blocks[1]))
    assert len({own.fingerprint, other.fingerprint, fewer.fingerprint}) == 3
    by_layer = components.by_layers(blocks)
    assert by_layer[0].name == "L1 neuron"
    assert len(by_layer[0].units) == 48


def test_neurons_that_do_not_exist_are_refused() -> None:
    model = made("llama")
    with pytest.raises(ValueError, match=r"blocks=None and indices=None: give one of them"):
        components.neurons(model)
    with pytest.raises(ValueError, match=r"give one of them"):
        components.neurons(model, blocks=2, indices=[1])
    with pytest.raises(ValueError, match=r"blocks=49 of the 48 neurons in layer 0"):
        components.neurons(model, blocks=49)
    with pytest.raises(ValueError, match=r"L0\.N48 does not exist: layer 0 has 48 hidden neurons"):
        components.neurons(model, [0], indices=[48])
    neurons = components.neurons(model, [0], blocks=2)
    with pytest.raises(ValueError, match=r"L0\.N0 is a part of L0\.MLP"):
        game(model, "llama", neurons + components.mlps(model, [0]))
    with pytest.raises(ValueError, match=r"L0\.N3 belongs to two players"):
        game(model, "llama", neurons + components.neurons(model, [0], indices=[3]))
