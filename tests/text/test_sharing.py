"""Shared prefixes: the tree of them, and logits that equal those of whole prompts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)

from interplay.text import Readout
from interplay.text.inference import packing as packing_module
from interplay.text.inference.packing import THRESHOLDS, cheapest, cost, lay_out, pack
from interplay.text.inference.reader import Reader
from interplay.text.inference.trie import PASS_TOKENS, build, flat, passes

VOCABULARY = 50
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GATED: dict[str, Any] = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2}
CONFIGS = {
    "llama": LlamaConfig(**GATED),
    "mistral": MistralConfig(**GATED, sliding_window=512),
    "qwen2": Qwen2Config(**GATED),
    "qwen3": Qwen3Config(**GATED, head_dim=8),
    "gemma2": Gemma2Config(**GATED, head_dim=8, sliding_window=512),
    "phi": PhiConfig(**SMALL, intermediate_size=64),
    "falcon": FalconConfig(**SMALL),
    "bloom": BloomConfig(**SMALL),
    "opt": OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=32),
    "gpt_neox": GPTNeoXConfig(**SMALL, intermediate_size=64),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4),
}


def tiny(config: Any, scale: float = 4.0) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)  # so that positions and contexts matter
    return model


def whole_logits(model: Any, ids: Sequence[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([list(ids)])).logits[0].double().numpy()


def all_logits(feeds: tuple[tuple[int, ...], ...]) -> Readout:
    """Everything that is read: (prompts, feeds, positions x vocabulary), flattened."""
    return Readout(
        feeds,
        lambda _, logits: logits.double().flatten(start_dim=1),
        lambda kept: np.concatenate(list(kept), axis=1),
        ("all",),
    )


PROMPTS = st.lists(
    # few different tokens, so that prefixes are shared, and prompts that begin others
    st.lists(st.integers(3, 5), min_size=1, max_size=30).map(tuple),
    min_size=1,
    max_size=12,
)


@given(PROMPTS, st.data())
@settings(max_examples=200)
def test_a_tree_holds_every_sequence(prompts: list[tuple[int, ...]], data: Any) -> None:
    sequences = list(dict.fromkeys(prompts))
    unshared = [data.draw(st.integers(1, len(s))) for s in sequences]
    min_saved, longest = (
        data.draw(st.integers(1, 20)),
        data.draw(st.sampled_from([1, 2, 5, 9, 1000])),
    )
    trie = build(sequences, unshared, min_saved, longest)

    def tokens_up_to(node: Any) -> tuple[int, ...]:
        before = tokens_up_to(trie.inner[node.parent]) if node.parent >= 0 else ()
        assert len(before) == node.start < node.stop
        assert node.depth == (trie.inner[node.parent].depth + 1 if node.parent >= 0 else 0)
        return before + sequences[node.sequence][node.start : node.stop]

    for row, leaf in enumerate(trie.leaves):
        assert leaf.sequence == row
        assert leaf.stop - leaf.start >= unshared[row]
        assert leaf.stop - leaf.start <= max(longest, unshared[row])
        assert tokens_up_to(leaf) == sequences[row]
    for number, node in enumerate(trie.inner):
        assert node.parent < number
        users = [n for n in (*trie.inner, *trie.leaves) if n.parent == number]
        assert 1 <= node.stop - node.start <= longest
        # a prefix that one sequence has is not shared: it is a piece of a long stretch
        assert len(users) >= 2 or (len(users) == 1 and longest < 1000)
    assert trie.size == sum(node.stop - node.start for node in trie.inner)


def test_a_prefix_that_saves_too_little_is_not_evaluated_by_itself() -> None:
    sequences = [(1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 8, 9), (1, 2, 3, 9, 9, 9, 9)]
    assert [(n.start, n.stop) for n in build(sequences, [1, 1, 1], min_saved=2).inner] == [
        (0, 3),
        (3, 5),
    ]
    assert [(n.start, n.stop) for n in build(sequences, [1, 1, 1], min_saved=6).inner] == [(0, 3)]
    assert build(sequences, [1, 1, 1], min_saved=7).inner == ()
    # tokens whose logits are read are not shared
    trie = build(sequences, [5, 1, 1], min_saved=1)
    assert [(n.start, n.stop) for n in trie.inner] == [(0, 2), (2, 3)]
    assert [leaf.start for leaf in trie.leaves] == [2, 3, 3]


def test_a_long_stretch_is_a_chain() -> None:
    def cuts(unshared: int) -> list[tuple[int, int]]:
        trie = build([range(25)], [unshared], longest=10)
        return [(node.start, node.stop) for node in (*trie.inner, *trie.leaves)]

    assert cuts(1) == [(0, 10), (10, 20), (20, 25)]
    assert cuts(7) == [(0, 10), (10, 18), (18, 25)]
    assert cuts(12) == [(0, 10), (10, 13), (13, 25)]  # unshared tokens stay together
    assert cuts(25) == [(0, 25)]


def test_of_several_trees_the_cheapest_is_evaluated() -> None:
    # the first six tokens are worth a pass of their own only if enough sequences share them
    for n_sequences, n_inner in ((2, 0), (30, 1)):
        sequences = [(0, 1, 2, 3, 4, 5, 10 + n) for n in range(n_sequences)]
        unshared = [1] * n_sequences
        trie, rows = cheapest(sequences, unshared, 512, several=False)
        assert len(trie.inner) == n_inner
        tries = [build(sequences, unshared, saved) for saved in THRESHOLDS]
        costs = [cost(one, pack(one, sequences, unshared, 0), 512) for one in tries]
        assert cost(trie, rows, 512) == min(costs)
    # a prefix of six tokens and thirty rows of one, in two passes
    assert cost(trie, rows, 512) == 6 + PASS_TOKENS + n_sequences + PASS_TOKENS
    # in rows of several, the prefix is not worth a pass
    trie, rows = cheapest(sequences, unshared, 512, several=True)
    assert not trie.inner
    assert cost(trie, rows, 512) < 6 + PASS_TOKENS + n_sequences + PASS_TOKENS


@given(PROMPTS, st.data())
@settings(max_examples=200)
def test_a_row_holds_several_sequences(prompts: list[tuple[int, ...]], data: Any) -> None:
    sequences = list(dict.fromkeys(prompts))
    unshared = [data.draw(st.integers(1, len(s))) for s in sequences]
    saved, width = data.draw(st.sampled_from([1, 9, 1000])), data.draw(st.integers(0, 90))
    trie = build(sequences, unshared, saved)
    rows = pack(trie, sequences, unshared, width)
    assert sorted(leaf for row in rows for leaf in row.leaves) == list(range(len(sequences)))
    for row in rows:
        leaves = [trie.leaves[number] for number in row.leaves]
        assert row.size <= width or len(leaves) == 1
        assert len({leaf.parent for leaf in leaves}) == 1
        layout = lay_out(row, trie, max(unshared))
        stop = row.size - sum(layout.n_read)
        for leaf, count in zip(leaves, layout.n_read, strict=True):
            stop += count
            assert count >= unshared[leaf.sequence]
            assert set(layout.leaf[stop - count : stop]) == {leaf.sequence}
            # what its last token attends to is the sequence, in order of the positions
            at = np.flatnonzero(layout.attends[stop - 1])
            at = at[np.argsort(layout.position[at])]
            assert layout.position[at].tolist() == list(range(leaf.start, leaf.stop))
            tokens = [sequences[layout.leaf[t]][layout.position[t]] for t in at]
            assert tuple(tokens) == sequences[leaf.sequence][leaf.start :]
            for place, t in enumerate(at):
                assert set(np.flatnonzero(layout.attends[t])) == set(at[: place + 1])
    flat_rows = pack(flat(sequences), sequences, unshared, width)
    assert sum(row.size for row in flat_rows) <= sum(map(len, sequences))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 120), st.integers(1, 9))
@settings(max_examples=100)
def test_passes_cost_the_least(sizes: list[int], limit: int, max_rows: int) -> None:
    sizes = sorted(sizes, reverse=True)

    def cost(counts: Sequence[int]) -> float:
        total, at = 0.0, 0
        for count in counts:
            tokens = count * sizes[at]
            if count > max_rows or (tokens > limit and count > 1):
                return float("inf")
            total, at = total + tokens + PASS_TOKENS, at + count
        return total

    def partitions(rows: int) -> Iterator[list[int]]:
        if rows == 0:
            yield []
        for first in range(1, rows + 1):
            yield from ([first, *others] for others in partitions(rows - first))

    counts = passes(sizes, limit, max_rows)
    assert sum(counts) == len(sizes)
    assert cost(counts) == min(map(cost, partitions(len(sizes))))


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_are_those_of_whole_prompts(kind: str) -> None:
    model = tiny(CONFIGS[kind])
    reader = Reader(model)

    @given(PROMPTS, st.integers(1, 40), st.booleans())
    @settings(max_examples=12)
    def check(prompts: list[tuple[int, ...]], tokens_per_pass: int, several: bool) -> None:
        feeds: tuple[tuple[int, ...], ...] = ((7, 8), (), (7, 9, 3)) if several else ((),)
        reader.tokens_per_pass = tokens_per_pass
        values = reader.values(prompts, all_logits(feeds))
        for prompt, row in zip(prompts, values, strict=True):
            expected = np.concatenate(
                [whole_logits(model, prompt + f)[-len(f) - 1 :].reshape(-1) for f in feeds]
            )
            np.testing.assert_allclose(row, expected, atol=3e-4 * np.abs(expected).max())

    # a first call with prompts long enough to check that this architecture can share prefixes
    reader.values([tuple(range(3, 43)), tuple(range(3, 30))], all_logits(((),)))
    assert reader.strategy == "shared", kind
    assert reader._packs == (kind != "bloom")  # which counts its own positions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing_module, "THRESHOLDS", (1,))
        check()
        # the fewest rows, so that a row holds several sequences
        patch.setattr(packing_module, "cost", lambda trie, rows, limit: len(rows))
        check()


def test_fewer_tokens_are_computed() -> None:
    model = tiny(CONFIGS["llama"])
    n_tokens: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: n_tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    reader = Reader(model)
    stem = tuple(range(3, 45)) * 3
    prompts = [(*stem, token, token) for token in range(3, 35)]
    reader.values(prompts[:2], all_logits(((),)))
    n_tokens.clear()
    reader.values(prompts, all_logits(((),)))
    assert sum(n_tokens) == len(stem) + 2 * len(prompts)
    assert len(prompts) * len(prompts[0]) > 20 * sum(n_tokens)


def test_a_prefix_too_short_for_a_pass_is_shared_in_a_row() -> None:
    model = tiny(CONFIGS["llama"])
    prompts = [(*range(3, 9), token, 5, 4, token) for token in range(20, 32)]
    expected = np.stack([whole_logits(model, prompt)[-1] for prompt in prompts])
    n_tokens: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: n_tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    reader = Reader(model)
    reader.values(prompts[:2], all_logits(((),)))
    n_tokens.clear()
    values = reader.values(prompts, all_logits(((),)))
    assert n_tokens == [6 + 4 * len(prompts)]
    np.testing.assert_allclose(values, expected, atol=3e-4 * np.abs(expected).max())


def test_a_model_without_keys_and_values_is_evaluated_whole() -> None:
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4)
    model = tiny(config, scale=1.0)
    reader = Reader(model)
    prompts = [(*range(3, 35), token) for token in range(3, 9)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = reader.values(prompts, all_logits(((),)))
    assert any("its prompts are evaluated whole" in str(w.message) for w in caught)
    assert reader.strategy in ("padded", "equal")
    expected = np.stack([whole_logits(model, prompt)[-1] for prompt in prompts])
    np.testing.assert_allclose(values, expected, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        RobertaConfig(**SMALL, intermediate_size=64, is_decoder=True, max_position_embeddings=90),
        BartConfig(
            vocab_size=VOCABULARY, d_model=32, decoder_layers=2, decoder_attention_heads=4,
            decoder_ffn_dim=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        ),
        GPTNeoConfig(
            vocab_size=VOCABULARY, hidden_size=32, num_layers=2, num_heads=4, window_size=8,
            attention_types=[[["global", "local"], 1]],
        ),
    ],
    ids=["roberta", "bart", "gpt_neo"],
)  # fmt: skip
def test_models_that_padding_changes_give_what_they_give_alone(config: Any) -> None:
    """They count positions of their own, or take no positions, or have local attention."""
    model = tiny(config, scale=2.0)
    reader = Reader(model)
    prompts = [(*range(3, 3 + size), 4, 9) for size in (40, 38, 38, 30, 22, 21)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = reader.values(prompts, all_logits(((),)))
    expected = np.stack([whole_logits(model, prompt)[-1] for prompt in prompts])
    np.testing.assert_allclose(values, expected, atol=1e-3 * np.abs(expected).max())


def test_a_window_of_attention_shorter_than_the_prompts() -> None:
    model = tiny(MistralConfig(**GATED, sliding_window=16))
    reader = Reader(model)
    prompts = [(*range(3, 3 + size), 4, 9) for size in (40, 38, 30, 22, 21)]
    values = reader.values(prompts, all_logits(((),)))
    expected = np.stack([whole_logits(model, prompt)[-1] for prompt in prompts])
    np.testing.assert_allclose(values, expected, atol=3e-4 * np.abs(expected).max())


def test_a_pass_that_does_not_fit_is_halved_and_the_size_remembered() -> None:
    model = tiny(CONFIGS["llama"])
    sizes: list[int] = []

    def limited(module: Any, args: Any, kwargs: Any) -> None:
        sizes.append(kwargs["input_ids"].numel())
        if sizes[-1] > 100:
            raise torch.OutOfMemoryError("out of memory")

    def never(module: Any, args: Any, kwargs: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    reader = Reader(model)
    prompts = [(token, *range(3, 20)) for token in range(3, 33)]
    expected = reader.values(prompts, all_logits(((),)))
    model.register_forward_pre_hook(limited, with_kwargs=True)
    np.testing.assert_allclose(reader.values(prompts, all_logits(((),))), expected, atol=1e-3)
    assert reader.tokens_per_pass <= 100
    sizes.clear()
    reader.values(prompts, all_logits(((),)))
    assert max(sizes) <= 100
    # a stretch that is longer is cut into pieces
    values = reader.values([tuple([5, 6, 7] * 50)], all_logits(((),)))
    assert max(sizes) <= 100
    expected = whole_logits(tiny(CONFIGS["llama"]), [5, 6, 7] * 50)[-1]
    np.testing.assert_allclose(values[0], expected, atol=1e-3)
    model.register_forward_pre_hook(never, with_kwargs=True)
    with pytest.raises(torch.OutOfMemoryError):
        reader.values([(5, 6, 7)], all_logits(((),)))
