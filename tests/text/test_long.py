"""Masking by attention, and inputs of many tokens: equal to plain passes, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GPTBigCodeConfig,
    GPTNeoXConfig,
    JambaConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    RobertaConfig,
)

from interplay._types import BoolArray, FloatArray
from interplay.text import Readout, Response, load_model
from interplay.text.inference import layers
from interplay.text.inference import packing as packing_module
from interplay.text.inference.limits import cached_bytes_per_token, max_cached_tokens, stable_length
from interplay.text.inference.reader import Reader
from interplay.text.prompts.token_texts import TokenTexts
from interplay.text.prompts.tokens import Continuation
from interplay.text.readouts import answers_readout

VOCABULARY = 50
WINDOW = 40
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
    "qwen2": Qwen2Config(**GATED),
    "mistral": MistralConfig(**GATED, sliding_window=WINDOW),
    "gemma2": Gemma2Config(**GATED, head_dim=8, sliding_window=WINDOW),
    "gpt_neox": GPTNeoXConfig(**SMALL, intermediate_size=64),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4),
}
LONGROPE = Phi3Config(
    **GATED, max_position_embeddings=96, original_max_position_embeddings=24,
    rope_scaling={"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4},
)  # fmt: skip
DYNAMIC = LlamaConfig(
    **GATED,
    max_position_embeddings=24,
    rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
)


def tiny(config: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)  # so that positions and contexts matter
    return model


def whole_logits(model: Any, ids: Sequence[int]) -> FloatArray:
    with torch.inference_mode():
        logits: FloatArray = model(torch.tensor([list(ids)])).logits[0].double().numpy()
    return logits


def all_logits(*feeds: tuple[int, ...]) -> Readout:
    """Everything that is read, flattened: (prompts, feeds x positions x vocabulary)."""
    return Readout(
        feeds,
        lambda _, logits: logits.double().flatten(start_dim=1),
        lambda kept: np.concatenate(list(kept), axis=1),
        ("all",),
    )


def masked_logits(
    model: Any, prompt: Sequence[int], attention: BoolArray, feeds: Sequence[tuple[int, ...]]
) -> FloatArray:
    """What :func:`all_logits` reads, by a 2-D attention mask over the whole prompt."""
    rows = []
    for keep in attention:
        read = []
        for feed in feeds:
            ids = torch.tensor([[*prompt, *feed]])
            mask = torch.tensor([[*keep.astype(int).tolist(), *[1] * len(feed)]])
            positions = torch.arange(ids.shape[1])[None]
            with torch.inference_mode():
                logits = model(ids, attention_mask=mask, position_ids=positions).logits[0]
            # what follows the prompt is read at the last token that is attended to
            positions_read = [int(np.flatnonzero(keep)[-1]), *range(len(prompt), ids.shape[1])]
            read.append(logits[positions_read].double().numpy().reshape(-1))
        rows.append(np.concatenate(read))
    return np.stack(rows)


@st.composite
def attentions(draw: Any) -> tuple[list[int], BoolArray]:
    prompt = draw(st.lists(st.integers(3, 49), min_size=2, max_size=30))
    # made of blocks, so that rows share prefixes
    blocks = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    owner = np.repeat(np.arange(len(blocks)), blocks)[: len(prompt)]
    owner = np.concatenate([owner, np.full(len(prompt) - len(owner), len(blocks))])
    kept = st.lists(st.booleans(), min_size=len(blocks) + 1, max_size=len(blocks) + 1)
    rows = np.array(draw(st.lists(kept, min_size=1, max_size=10)))[:, owner]
    rows = rows[rows.any(axis=1)]
    return prompt, rows if len(rows) else np.ones((1, len(prompt)), dtype=np.bool_)


@pytest.mark.parametrize("kind", CONFIGS)
def test_masking_by_attention_is_a_mask_over_the_whole_prompt(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(CONFIGS[kind])
    # tokens that may attend to nothing have finite states in this implementation, and no token that
    # is read attends to them
    reference = tiny(CONFIGS[kind], attn_implementation="eager")
    reader = Reader(model)
    monkeypatch.setattr(packing_module, "THRESHOLDS", (1,))

    @given(attentions(), st.integers(1, 40), st.booleans())
    @settings(max_examples=15)
    def check(case: tuple[list[int], BoolArray], tokens_per_pass: int, several: bool) -> None:
        prompt, attention = case
        feeds: tuple[tuple[int, ...], ...] = ((7, 8), (), (7, 9, 3)) if several else ((),)
        reader.tokens_per_pass = tokens_per_pass
        logits = reader.attending(prompt, attention, all_logits(*feeds))
        expected = masked_logits(reference, prompt, attention, feeds)
        np.testing.assert_allclose(logits, expected, atol=3e-4 * np.abs(expected).max())

    check()
    assert reader.strategy == "shared"


def test_prompts_share_only_where_positions_agree() -> None:
    model = tiny(CONFIGS["llama"])
    reader = Reader(model)
    n_tokens: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: n_tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    prompt = [*range(3, 13)] * 10
    # the same 60 tokens, of which the first 50 are in the same places
    attention = np.zeros((2, 100), dtype=np.bool_)
    attention[:, :50] = True
    attention[0, 50:60] = attention[1, 60:70] = True
    values = reader.attending(prompt, attention, all_logits(()))
    assert np.abs(values[0] - values[1]).max() > 0.01
    n_tokens.clear()
    np.testing.assert_array_equal(reader.attending(prompt, attention, all_logits(())), values)
    assert sum(n_tokens) == 50 + 10 + 10


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BloomConfig(**SMALL), "it takes no position_ids"),
        (FalconConfig(**SMALL, alibi=True), "ALiBi"),
        (MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2), "position_ids"),
        (
            JambaConfig(
                **GATED, use_mamba_kernels=False, num_experts=2, attn_layer_period=2,
                attn_layer_offset=1, mamba_d_state=4,
            ),
            "logits differ by",
        ),
        (RobertaConfig(**SMALL, intermediate_size=64, is_decoder=True), "mask or positions"),
        (MistralConfig(**GATED, sliding_window=16), "beyond 16 tokens .* have 42"),
        (LONGROPE, "beyond 24 tokens .* have 42"),
        (DYNAMIC, "beyond 24 tokens .* have 42"),
    ],
    ids=["bloom", "alibi", "mamba", "jamba", "roberta", "window", "longrope", "dynamic"],
)  # fmt: skip
def test_models_that_do_not_allow_masking_by_attention(config: Any, reason: str) -> None:
    reader = Reader(tiny(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = type(reader.model).__name__
        message = f"cannot be used with {name} here: .*{reason}.*; delete the segments"
        for _ in range(2):  # the second call is no better
            with pytest.raises(ValueError, match=message):
                reader.attending(range(3, 43), np.ones((1, 40), dtype=np.bool_), all_logits((5, 6)))


def test_improper_attention() -> None:
    reader = Reader(tiny(CONFIGS["llama"]))
    with pytest.raises(ValueError, match=r"shape \(1, 9\) .* prompt of 10 tokens; give \(m, 10\)"):
        reader.attending(range(10), np.ones((1, 9), dtype=np.bool_), all_logits(()))
    with pytest.raises(ValueError, match="leaves no token"):
        reader.attending(range(10), np.zeros((1, 10), dtype=np.bool_), all_logits(()))


@pytest.mark.model
def test_masking_by_attention_on_the_packaged_model() -> None:
    model, tokenizer = load_model("smollm2", threads=1)
    prompt = tokenizer(
        "The acting is not bad, but the story never gets moving.\nThe sentiment of this review is"
    )["input_ids"]
    attention = np.random.default_rng(0).random((12, len(prompt))) < 0.6
    attention[:, -1] = True
    attention[:6, 0] = True
    answer = tokenizer(" rather negative", add_special_tokens=False)["input_ids"]
    target, texts = Response(" rather negative"), TokenTexts(tokenizer)
    readout = answers_readout(target, [Continuation(tuple(answer))], texts)
    values = Reader(model).attending(prompt, attention, readout)
    (feed,) = readout.feeds
    expected = []
    for keep in attention:
        mask = torch.tensor([[*keep.astype(int).tolist(), *[1] * len(feed)]])
        ids = torch.tensor([[*prompt, *feed]])
        with torch.inference_mode():
            positions = torch.arange(ids.shape[1])[None]
            logits = model(ids, attention_mask=mask, position_ids=positions).logits
        read = readout.read(0, logits[:, -len(feed) - 1 :]).numpy()
        expected.append(readout.combine([read])[0])
    assert np.ptp(expected) > 1
    # without the first token, others have nothing to attend to: undefined under a mask
    np.testing.assert_allclose(values[:6], expected[:6], atol=1e-3)
    assert np.isfinite(values).all()


LONG = st.lists(st.integers(3, 4), min_size=1, max_size=90).map(tuple)


@pytest.mark.parametrize("kind", CONFIGS)
def test_long_prompts_in_pieces(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(CONFIGS[kind])
    reader = Reader(model)
    # a first call short enough for sharing to be tried under the window of attention
    reader.values([tuple(range(3, 43)), tuple(range(3, 30))], all_logits(()))
    assert reader.strategy == "shared"
    pass_tokens: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: pass_tokens.append(kwargs["input_ids"].numel()),
        with_kwargs=True,
    )
    cached: list[int] = []

    class Watched(layers.Prefixes):
        def __init__(self, nodes: Any, *args: Any) -> None:
            super().__init__(nodes, *args)
            cached.append(self.size)

    monkeypatch.setattr(layers, "Prefixes", Watched)
    monkeypatch.setattr(packing_module, "THRESHOLDS", (1,))

    @given(st.lists(LONG, min_size=1, max_size=6), st.integers(8, 40), st.integers(1, 300))
    @settings(max_examples=15)
    def check(prompts: list[tuple[int, ...]], tokens_per_pass: int, room: int) -> None:
        feeds: tuple[tuple[int, ...], ...] = ((7, 8, 9), (7,))
        reader.tokens_per_pass, reader.max_cached_tokens = tokens_per_pass, room
        pass_tokens.clear()
        cached.clear()
        values = reader.values(prompts, all_logits(*feeds))
        for prompt, row in zip(prompts, values, strict=True):
            expected = np.concatenate(
                [whole_logits(reference, prompt + f)[-len(f) - 1 :].ravel() for f in feeds]
            )
            np.testing.assert_allclose(row, expected, atol=3e-4 * np.abs(expected).max())
        longest = max(map(len, prompts)) + 3
        whole = kind in ("mistral", "gemma2") and 2 * longest > WINDOW
        if not whole or longest > tokens_per_pass:
            assert max(pass_tokens) <= tokens_per_pass
        assert max(cached) <= max(room, longest)

    reference = tiny(CONFIGS[kind])
    check()


@pytest.mark.parametrize("config", [LONGROPE, DYNAMIC], ids=["longrope", "dynamic"])
def test_positions_that_change_with_the_length(config: Any) -> None:
    assert stable_length(tiny(config)) == 24
    reader = Reader(tiny(config))
    reader.values([range(3, 23), range(3, 22)], all_logits(()))
    assert reader.strategy == "shared"
    reader.tokens_per_pass = 64
    prompts = [tuple(range(3, 3 + size)) for size in (40, 40, 20, 12)]
    prompts[1] = (*prompts[1][:30], *prompts[1][:10])
    values = reader.values(prompts, all_logits(()))
    model = tiny(config)
    for prompt, row in zip(prompts, values, strict=True):
        expected = whole_logits(model, prompt)[-1]
        np.testing.assert_allclose(row, expected, atol=3e-4 * np.abs(expected).max())


def test_a_response_longer_than_a_pass() -> None:
    model = tiny(CONFIGS["llama"])
    reader = Reader(model)
    reader.tokens_per_pass = 16
    feed = tuple(range(3, 43))
    values = reader.values([tuple(range(10, 45)), (4, 5)], all_logits(feed))
    for prompt, row in zip([tuple(range(10, 45)), (4, 5)], values, strict=True):
        expected = whole_logits(model, prompt + feed)[-len(feed) - 1 :].reshape(-1)
        np.testing.assert_allclose(row, expected, atol=3e-4 * np.abs(expected).max())


def test_rows_of_few_tokens_with_long_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing_module, "WIDTHS", ())  # a row for each prompt
    model = tiny(CONFIGS["llama"])
    reader = Reader(model)
    prompts = [(*range(3, 43), *range(3, 43), token) for token in range(3, 33)]
    expected = reader.values(prompts, all_logits(()))
    rows: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    # two layers, an eighth: 81 tokens for each of five rows
    reader.max_cached_tokens = 81 * 5 * 8 // 2
    values = reader.values(prompts, all_logits(()))
    assert rows == [1] + [5] * 6
    np.testing.assert_allclose(values, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "bytes_per_token"),
    [
        (LlamaConfig(**GATED), 2 * 2 * 2 * 8 * 4),
        (FalconConfig(**SMALL), 2 * 2 * 1 * 8 * 4),  # one head of keys for all
        (GPTBigCodeConfig(vocab_size=50, n_embd=32, n_layer=2, n_head=4), 2 * 2 * 1 * 8 * 4),
        (MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2), 2 * 2 * 32 * 4),
    ],
    ids=["llama", "falcon", "gpt_bigcode", "mamba"],
)  # fmt: skip
def test_the_memory_of_a_token(config: Any, bytes_per_token: int) -> None:
    model = tiny(config)
    assert cached_bytes_per_token(model) == bytes_per_token
    assert max_cached_tokens(model, bytes_per_token) == 2**30 // bytes_per_token
    assert Reader(model).max_cached_tokens == 2**30 // bytes_per_token
    half = model.to(torch.bfloat16)
    assert cached_bytes_per_token(half) == bytes_per_token // 2


MEASURED = """
import re
from pathlib import Path
import numpy as np, torch
from transformers import AutoModelForCausalLM, LlamaConfig
from interplay.text import Readout
from interplay.text.inference.reader import Reader

torch.set_num_threads(1)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_config(LlamaConfig(
    vocab_size=49152, max_position_embeddings=16384, hidden_size=32, intermediate_size=64,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
)).eval()
ids = np.random.default_rng(0).integers(3, 49152, 10_300)
attention = np.ones((3, len(ids)), dtype=bool)
attention[1, 4000:4300] = attention[2, 9000:9900] = False
prompts = [ids[row].tolist() for row in attention]
readout = Readout(((7, 8),), lambda _, l: l.double().flatten(1), lambda k: k[0])
reader = Reader(model)
status = Path("/proc/self/status")
before = int(re.search(r"VmRSS:\\s*(\\d+) kB", status.read_text())[1])
values = reader.values(prompts, readout)
attending = reader.attending(ids.tolist(), attention[2:], readout)
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1])
print("MiB", (peak - before) / 2**10)

kept = np.append(np.flatnonzero(attention[2]), [len(ids), len(ids) + 1])
ids = torch.tensor([prompts[2] + [7, 8]])
for positions, row in ((np.arange(len(kept)), values[2]), (kept, attending[0])):
    with torch.inference_mode():
        expected = model(ids, attention_mask=torch.ones_like(ids), logits_to_keep=3,
                       position_ids=torch.tensor(positions)[None]).logits.double().flatten()
    assert abs(expected.numpy() - row).max() < 1e-4 * expected.abs().max()
print("values agree")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_of_ten_thousand_tokens() -> None:
    """Full logits would take 2 GB for each prompt, a mask of all pairs of tokens 400 MB."""
    # With arrays in memory of their own, the peak is what is alive: what the C library keeps of
    # freed arrays varies from run to run by half of it.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    process = subprocess.run(
        [sys.executable, "-c", MEASURED],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "values agree" in process.stdout, process.stderr
    assert float(process.stdout.split()[1]) < 130, process.stdout
