"""Faster products in float32: they are those of torch up to rounding, and nothing else changes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from interplay.text.inference import matmul


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses oneDNN whether or not it gains anything on this machine."""
    if not matmul.has_onednn():
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(matmul, "_gains", lambda: True)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 8), (3, 7), (2, 40)])
def test_products_are_the_usual_ones(bias: bool, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 96, bias=bias)
    inputs = torch.randn(*shape, 48)
    with torch.inference_mode():
        usual = linear(inputs)
        with matmul.faster_products(linear):
            faster = linear(inputs)
            parts = linear(inputs.transpose(0, 1)).transpose(0, 1)  # not contiguous
    assert torch.allclose(usual, faster, atol=1e-5)
    assert torch.allclose(usual, parts, atol=1e-5)


@pytest.mark.usefixtures("onednn")
def test_a_model_in_the_context_reads_weights_that_changed() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50}
    model: Any = LlamaForCausalLM(LlamaConfig(**sizes, **heads)).eval()
    ids = torch.arange(24).reshape(2, 12)
    for _ in range(2):
        with torch.inference_mode():
            usual = model(ids).logits
            with matmul.faster_products(model):
                assert torch.allclose(usual, model(ids).logits, atol=1e-5)
        model.model.layers[0].mlp.up_proj.weight.data *= 2


@pytest.mark.usefixtures("onednn")
def test_other_models_are_left_as_they_are() -> None:
    half = torch.nn.Linear(8, 8, dtype=torch.bfloat16)
    assert not isinstance(matmul.faster_products(half), matmul.OneDnn)
    # with gradients nothing is replaced either
    linear = torch.nn.Linear(8, 8)
    context: AbstractContextManager[Any] = matmul.faster_products(linear)
    assert isinstance(context, matmul.OneDnn)
    with context:
        linear(torch.ones(16, 8)).sum().backward()
    assert linear.weight.grad is not None


def test_without_a_gain_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "_gains", lambda: False)
    assert not isinstance(matmul.faster_products(torch.nn.Linear(8, 8)), matmul.OneDnn)


def test_what_is_used_follows_from_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch._C.has_mkl
    for intel in (False, True):
        monkeypatch.setattr(matmul, "_is_intel", lambda intel=intel: intel)
        assert matmul._gains.__wrapped__() == (wide and matmul.has_onednn() and not intel)
