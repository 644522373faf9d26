"""Adapters, weights on several devices, quantised weights: the values are those of plain passes."""

from __future__ import annotations

import copy
import logging
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import peft
import pytest
import torch
from torch.ao.quantization import quantize_dynamic
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    LlamaConfig,
)

import interplay as ip
from interplay import components
from interplay.text import Generated, Labels, Options, Response
from interplay.text.digests import model_digest
from tests.text.test_seq2seq import bartish
from tests.text.test_tokenizers import tokenizer_of
from tests.text.tiny import tiny

TEXT = "it is not good no is bad and good"
PROMPT = "Is it? {text} so:"
TARGETS = [Response(" Yes it"), Options((" Yes", " No"), "logprob")]
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
]


@cache
def original(family: str) -> Any:
    tokenizer = tokenizer_of(KIND[family])
    settings = {"vocab_size": len(tokenizer), "hidden_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 4, "intermediate_size": 64}  # fmt: skip
    if family == "llama":
        return tiny(AutoModelForCausalLM, LlamaConfig(**settings), scale=5.0)
    if family == "bart":
        return tiny(AutoModelForSeq2SeqLM, bartish(BartConfig, 2)(tokenizer), scale=6.0)
    return tiny(AutoModelForSequenceClassification, BertConfig(**settings), scale=6.0)


KIND = {
    "llama": "byte level",
    "bart": "byte level, begin and end",
    "bert": "byte level, begin and end",
}


def made(family: str) -> Any:
    return copy.deepcopy(original(family))


def with_lora(family: str, **settings: Any) -> Any:
    torch.manual_seed(1)
    modules = {"llama": ["q_proj", "down_proj"], "bart": ["q_proj", "fc2"], "bert": ["query"]}
    settings = {"r": 4, "lora_alpha": 8, "target_modules": modules[family]} | settings
    config = peft.LoraConfig(**settings, init_lora_weights=False, lora_dropout=0.4)
    return peft.get_peft_model(made(family), config).eval()


def game_of(model: Any, family: str = "llama", target: Any = None) -> ip.text.TextGame:
    targets = target or (Labels() if family == "bert" else TARGETS)
    return ip.text.TextGame(
        model, tokenizer_of(KIND[family]), TEXT, targets, by="word", prompt=PROMPT
    )


def masks_of(game: Any) -> Any:
    return np.random.default_rng(0).random((12, game.n_players)) < 0.5


def plain(model: Any, game: Any, answer: str) -> Any:
    """The log-probability of an answer under each mask, by passes of one row each."""
    tokenizer = tokenizer_of("byte level")
    tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
    totals = []
    for mask in masks_of(game):
        ids = tokenizer(game.prompt(mask))["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([ids + tokens[:-1]])).logits[0].double()
        table = logits.log_softmax(-1)[len(ids) - 1 :]
        totals.append(sum(float(table[at, token]) for at, token in enumerate(tokens)))
    return np.array(totals)


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}, {"use_rslora": True}])
@pytest.mark.parametrize("family", KIND)
def test_an_adapter_gives_the_values_of_the_merged_model(family: str, settings: Any) -> None:
    model = with_lora(family, **settings)
    game = game_of(model, family)
    masks = masks_of(game)
    values = game(masks)
    merged = copy.deepcopy(model).merge_and_unload().eval()
    expected = game_of(merged, family)(masks)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * scale)
    assert np.abs(values - game_of(made(family), family)(masks)).max() > 1e-2
    assert game.describe()["adapters"] == ["default"]
    assert "adapters" not in game_of(merged, family).describe()
    if family == "llama":
        assert game._scorer.reader is not None
        assert game._scorer.reader.strategy == "shared"
        np.testing.assert_allclose(values[:, 0], plain(model, game, " Yes it"), atol=1e-5 * scale)


@pytest.mark.parametrize(
    "config",
    [
        peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[], init_ia3_weights=False),
        peft.LoHaConfig(r=4, target_modules=["q_proj"], init_weights=False),
        peft.OFTConfig(target_modules=["q_proj"], oft_block_size=8, init_weights=False),
        peft.VeraConfig(r=4, target_modules=["q_proj"], init_weights=False),
    ],
    ids=lambda config: type(config).__name__,
)
def test_other_adapters_that_are_layers(config: Any) -> None:
    model = peft.get_peft_model(made("llama"), config).eval()
    game = game_of(model)
    values = game(masks_of(game))
    np.testing.assert_allclose(values[:, 0], plain(model, game, " Yes it"), rtol=0, atol=1e-5)
    assert np.abs(values - game_of(made("llama"))(masks_of(game))).max() > 1e-2
    assert game.fingerprint not in (None, game_of(made("llama")).fingerprint)


def test_the_model_s_own_answer_is_that_of_its_adapter() -> None:
    model = with_lora("llama")
    own = Response(max_tokens=4)
    written = game_of(model, target=own).targets[0]
    merged = copy.deepcopy(model).merge_and_unload().eval()
    assert written == game_of(merged, target=own).targets[0]
    assert written != game_of(made("llama"), target=own).targets[0]
    before = model.get_base_model().generation_config
    game_of(model, target=Generated(lambda a, b: float(len(a)), "length", 3))
    assert model.get_base_model().generation_config is before


def test_all_of_an_adapter_is_in_the_fingerprint() -> None:
    model = with_lora("llama")
    seen = {game_of(made("llama")).fingerprint, game_of(model).fingerprint}
    assert game_of(model).fingerprint in seen
    with model.disable_adapter():
        assert game_of(model).describe()["adapters"] == []
        seen.add(game_of(model).fingerprint)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    layer.scaling["default"] *= 2
    seen.add(game_of(model).fingerprint)
    with torch.no_grad():
        layer.lora_A["default"].weight[0, 0] += 1e-3
    seen.add(game_of(model).fingerprint)
    model.add_adapter("other", peft.LoraConfig(r=2, target_modules=["q_proj"]))
    model.set_adapter("other")
    model.eval()
    assert game_of(model).describe()["adapters"] == ["other"]
    seen.add(game_of(model).fingerprint)
    model.base_model.set_adapter(["default", "other"])
    assert game_of(model).describe()["adapters"] == ["default", "other"]
    seen.add(game_of(model).fingerprint)
    assert len(seen) == 7
    assert None not in seen


def test_an_adapter_without_a_wrapper() -> None:
    model = made("llama")
    model.add_adapter(
        peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, lora_dropout=0.4)
    )
    model.training = False  # as the model was before, unlike the adapter's dropout
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        game_of(model)
    game = game_of(model.eval())
    np.testing.assert_allclose(game(masks_of(game))[:, 0], plain(model, game, " Yes it"), atol=1e-4)
    assert game.describe()["adapters"] == ["default"]
    assert game.fingerprint not in (None, game_of(made("llama")).fingerprint)


@pytest.mark.parametrize(
    "config",
    [
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
        peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
        peft.LoraConfig(
            task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], init_lora_weights=False,
            alora_invocation_tokens=tokenizer_of("byte level")(" it")["input_ids"],
        ),
    ],
    ids=["prompt", "prefix", "activated"],
)  # fmt: skip
def test_adapters_that_are_not_layers_alone_are_refused(config: Any) -> None:
    model = peft.get_peft_model(made("llama"), config).eval()
    with pytest.raises(ValueError, match=r"PeftModelForCausalLM computes something else.*LoRA"):
        game_of(model)


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_a_folder_with_an_adapter_is_loaded_with_its_base_model(
    family: str, tmp_path: Path
) -> None:
    made(family).save_pretrained(tmp_path / "base")
    auto = AutoModelForSeq2SeqLM if family == "bart" else AutoModelForCausalLM
    base = auto.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    model = peft.get_peft_model(base, config).eval()
    model.save_pretrained(tmp_path / "adapter")
    tokenizer_of(KIND[family]).save_pretrained(tmp_path / "adapter")
    loaded, _ = ip.text.load_model(str(tmp_path / "adapter"), download=False)
    game, expected = game_of(loaded, family), game_of(model, family)
    np.testing.assert_allclose(game(masks_of(game)), expected(masks_of(game)), atol=1e-6)
    assert game.describe()["adapters"] == ["default"]
    assert game.fingerprint == expected.fingerprint


def test_components_of_a_model_with_an_adapter_are_refused() -> None:
    for model in (with_lora("llama"), with_lora("llama").get_base_model()):
        with pytest.raises(ValueError, match=r"merge_and_unload"):
            components.heads(model)
    scaled = peft.IA3Config(target_modules=["o_proj"], feedforward_modules=[])
    with pytest.raises(ValueError, match=r"merge_and_unload"):
        components.heads(peft.get_peft_model(made("llama"), scaled).eval())
    assert components.heads(with_lora("llama").merge_and_unload())


# --- weights on several devices -----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made("llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def mapped(folder: Path, devices: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, device_map=devices, offload_folder=folder.parent / "offload"
    ).eval()


DISK = {
    "model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk",
    "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "disk",
}  # fmt: skip


@pytest.mark.parametrize("devices", ["auto", {"": "cpu"}, DISK], ids=["auto", "cpu", "disk"])
def test_weights_on_several_devices(folder: Path, devices: Any) -> None:
    model = mapped(folder, devices)
    game = game_of(model)
    reference = game_of(AutoModelForCausalLM.from_pretrained(folder).eval())
    if devices is DISK:
        assert any(parameter.is_meta for parameter in model.parameters())
    masks = masks_of(game)
    np.testing.assert_allclose(game(masks), reference(masks), atol=1e-5)
    assert game.fingerprint == reference.fingerprint
    assert game.fingerprint is not None
    own = [
        game_of(each, target=Response(max_tokens=3)).targets for each in (model, reference.model)
    ]
    assert own[0] == own[1]


def test_what_hooks_of_accelerate_do_is_known_or_nothing_is_stored() -> None:
    model = accelerate.dispatch_model(made("llama"), {"": "cpu"}, force_hooks=True)
    assert hasattr(model.lm_head, "_hf_hook")
    assert game_of(model).fingerprint == game_of(made("llama")).fingerprint

    class Louder(accelerate.hooks.ModelHook):  # type: ignore[misc]
        def post_forward(self, module: Any, output: Any) -> Any:
            return 2 * output

    accelerate.hooks.add_hook_to_module(model.lm_head, Louder(), append=True)
    assert game_of(model).fingerprint is None


def test_a_model_on_no_device_is_refused() -> None:
    model = accelerate.cpu_offload(made("llama"), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"device='meta'.*device_map"):
        game_of(model)


# --- quantised weights --------------------------------------------------------------------------


def quantised(model: Any) -> Any:
    """torch's dynamic int8: the scale of an activation depends on all that is in the batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to drop these
        return quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def test_that_rows_depend_on_each_other_is_found_below_the_head_too() -> None:
    model = made("llama")
    model.model = quantised(model.model)
    game = game_of(model)
    with pytest.warns(UserWarning, match=r"equal: logits differ .* one by one"):
        values = game(masks_of(game))
    np.testing.assert_allclose(values[:, 0], plain(model, game, " Yes it"), rtol=0, atol=1e-6)


def test_a_model_whose_rows_depend_on_each_other_reads_one_prompt_at_a_time() -> None:
    model = quantised(made("llama"))
    game = game_of(model)
    masks = masks_of(game)
    with pytest.warns(UserWarning, match=r"evaluated whole, one by one, which takes longer"):
        values = game(masks)
    assert game._scorer.reader is not None
    assert game._scorer.reader.strategy == "alone"
    np.testing.assert_allclose(values[:, 0], plain(model, game, " Yes it"), rtol=0, atol=1e-9)
    assert np.abs(values - game_of(made("llama"))(masks)).max() > 1e-3
    with pytest.warns(UserWarning, match="one by one"):
        written = game_of(model, target=Generated(lambda a, b: float(len(a)), "length", 4))(masks)
    lengths = []
    for mask in masks:
        ids = torch.tensor([tokenizer_of("byte level")(game.prompt(mask))["input_ids"]])
        answer = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False,
            eos_token_id=2, pad_token_id=3,
        )[0, ids.shape[1] :]  # fmt: skip
        lengths.append(len(tokenizer_of("byte level").decode(answer, skip_special_tokens=True)))
    assert written.tolist() == lengths
    masked = ip.text.TextGame(
        model, tokenizer_of("byte level"), TEXT, TARGETS, by="word", masking="attention"
    )
    with pytest.raises(ValueError, match="masking by attention cannot"):
        masked(masks_of(masked))


def test_quantised_weights_are_in_the_fingerprint() -> None:
    digests = [model_digest(quantised(made("llama"))) for _ in range(2)]
    assert digests[0] == digests[1] is not None
    other = made("llama")
    with torch.no_grad():
        other.lm_head.weight[0] *= 1.1
    assert model_digest(quantised(other)) not in (None, digests[0])
    assert model_digest(made("llama")) not in digests
    strange = made("llama")
    strange.register_module("extra", _Extra())
    assert model_digest(strange) is None


class _Extra(torch.nn.Module):
    """A module with a state that cannot be read."""

    def get_extra_state(self) -> Any:
        return object()


def test_a_quantised_encoder_and_encoder_decoder() -> None:
    game = game_of(quantised(made("bert")), "bert")
    reference = game_of(made("bert"), "bert")
    with pytest.warns(UserWarning, match="one by one"):
        values = game(masks_of(game))
    exact = reference(masks_of(game))
    assert 1e-4 < np.abs(values - exact).max() < 0.2 * np.abs(exact).max()
    game = game_of(quantised(made("bart")), "bart")
    with pytest.raises(ValueError, match="do not give what the whole model gives"):
        game(masks_of(game))
    encoder = quantised(tiny(AutoModel, made("bert").config))
    assert model_digest(encoder) is not None


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_quantised_by_bitsandbytes(folder: Path, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    settings: Any = {"load_in_8bit": True}
    if bits == 4:
        settings = {"load_in_4bit": True, "bnb_4bit_compute_dtype": torch.float32}
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    digests = []
    for _ in range(2):
        model = AutoModelForCausalLM.from_pretrained(
            folder, quantization_config=BitsAndBytesConfig(**settings), device_map={"": "cpu"}
        ).eval()
        digests.append(model_digest(model))
    game = game_of(model)
    values = game(masks_of(game))
    digests.append(model_digest(model))  # the first pass packs the weights
    assert len(set(digests)) == 1
    assert digests[0] is not None
    np.testing.assert_allclose(values[:, 0], plain(model, game, " Yes it"), atol=5e-3)
