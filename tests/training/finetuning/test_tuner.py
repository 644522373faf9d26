"""FineTuning: equal to peft on the same recipe, a subset alone or among others, and its errors."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    Qwen2Config,
)

from interplay._types import BoolArray, FloatArray
from interplay.training import Example, FineTuning, Question
from interplay.training.finetuning.adapters import SCALE, initial
from interplay.training.finetuning.rates import LADDERS
from interplay.training.finetuning.rendering import Encoded, encode_questions
from interplay.training.finetuning.sequences import merged_texts
from tests.text.tiny import VOCABULARY, tiny
from tests.training.finetuning.tiny import EXAMPLES, QUESTIONS, language_model, tuning

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, Any] = {
    "grouped heads": LlamaConfig(**SIZES),
    "biases": Qwen2Config(**SIZES),
    "windows and softcaps": Gemma2Config(
        **SIZES,
        head_dim=8,
        sliding_window=3,
        final_logit_softcapping=3.0,
        attn_logit_softcapping=5.0,
    ),
    "Conv1D": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=64),
}
ASKED = (
    *QUESTIONS,
    Question("w4 w5", " w6 w9 w9"),  # begins as another answer does
    Question("w20 w21 w22 w23 w24", " w25"),
)
ORDINARY: dict[str, Any] = {"layers": "all", "adapt": "all", "vocabulary": None}
KEPT = np.array(
    [[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 1, 0]], dtype=np.bool_
)
SEEDS = np.array([0, 0, 7, 2**62])


def plain_loop(
    tuning: FineTuning, kept: BoolArray, seed: int, questions: Sequence[Question] = ASKED
) -> FloatArray:
    """What peft and torch compute, one model and one answer at a time."""
    peft = pytest.importorskip("peft")
    settings, engine = tuning.settings, tuning._engine
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=SCALE * settings.rank,
        target_modules=[each.name for each in engine.maps],
        fan_in_fan_out=isinstance(tuning.model.config, GPT2Config),
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(copy.deepcopy(tuning.model), config).eval()
    start = initial(engine.maps, np.array([seed]), settings.rank, "lora")
    for each, (a, _) in zip(engine.maps, start, strict=True):
        inner = model.base_model.model.get_submodule(each.name)
        inner.lora_A["default"].weight.data.copy_(a[0])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = torch.optim.Adam(trained, lr=tuning.learning_rate)
    for rows in engine.recipe().minibatches(len(kept), seed):
        texts = [engine.encoded[row] for row in rows if kept[row]]
        if not texts:
            continue
        ids = torch.zeros((len(texts), max(len(text.tokens) for text in texts)), dtype=torch.long)
        seen, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, text in enumerate(texts):
            ids[row, : len(text.tokens)] = torch.tensor(text.tokens)
            seen[row, : len(text.tokens)] = 1
            labels[row, text.n_prompt : len(text.tokens)] = torch.tensor(text.response)
        adam.zero_grad()
        model(input_ids=ids, attention_mask=seen, labels=labels).loss.backward()
        adam.step()
    values = np.full((len(questions), 2), np.nan)
    for number, asked in enumerate(encode_questions(tuning.tokenizer, questions)):
        for slot, text in enumerate((asked.answer, asked.against)):
            if text is not None:
                with torch.no_grad():
                    logits = model(input_ids=torch.tensor([text.tokens])).logits[0]
                chances = logits.double().log_softmax(dim=1)
                places = range(text.n_prompt, len(text.tokens))
                values[number, slot] = sum(chances[at - 1, text.tokens[at]] for at in places)
    return values


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # peft reads it
@pytest.mark.parametrize("kind", CONFIGS)
def test_the_ordinary_recipe_is_that_of_peft(kind: str) -> None:
    model = tiny(AutoModelForCausalLM, CONFIGS[kind])
    given = tuning(model=model, **ORDINARY, epochs=2, batch=2)
    values = given.begin(ASKED)(KEPT, SEEDS)
    for row, (kept, seed) in enumerate(zip(KEPT, SEEDS.tolist(), strict=True)):
        np.testing.assert_allclose(values[row], plain_loop(given, kept, seed), atol=1e-4)
    assert np.nanmin(np.abs(values[0] - values[1]).max(axis=0)) > 0.1  # it learned something
    assert np.isnan(values[:, 2:, 1]).all()


@pytest.mark.parametrize("kind", ["grouped heads", "windows and softcaps"])
def test_the_cheaper_recipe_is_what_it_is_said_to_be(kind: str) -> None:
    """A loop with hooks: adapters from the last prompt token on, a softmax over candidates."""
    given = tuning(model=tiny(AutoModelForCausalLM, CONFIGS[kind]), layers=2, vocabulary=20)
    engine, settings = given._engine, given.settings
    texts = encode_questions(given.tokenizer, ASKED)
    answers = [each.answer for each in texts]
    values = given.begin(ASKED)(KEPT[:1], SEEDS[:1])[0, :, 0]
    merged, _ = merged_texts([a for t in texts for a in (t.answer, t.against) if a is not None])
    candidates = torch.from_numpy(engine.scored(engine.fixed(merged)).candidates.tokens)
    assert len(candidates) == 20
    model = copy.deepcopy(given.model).requires_grad_(False)
    factors = initial(engine.maps, SEEDS[:1], settings.rank, "lora")
    trained = [factor[0].clone().requires_grad_(True) for pair in factors for factor in pair]
    adam, start = torch.optim.Adam(trained, lr=given.learning_rate), [0]
    for number, each in enumerate(engine.maps):
        a, b = trained[2 * number : 2 * number + 2]

        def add(_: Any, args: Any, made: Any, a: Any = a, b: Any = b) -> Any:
            adapted = torch.arange(made.shape[1])[:, None] >= start[0]
            return made + SCALE * adapted * (args[0] @ a.T @ b.T)

        model.get_submodule(each.name).register_forward_hook(add)

    def losses(text: Encoded, among: Any) -> Any:
        start[0] = text.n_prompt - 1
        logits = model(input_ids=torch.tensor([text.tokens])).logits[0, text.n_prompt - 1 : -1]
        targets = torch.searchsorted(among, torch.tensor(text.response))
        return torch.nn.functional.cross_entropy(logits[:, among], targets, reduction="none")

    for rows in engine.recipe().minibatches(6, 0):
        adam.zero_grad()
        torch.autograd.backward(
            torch.cat([losses(engine.encoded[row], candidates) for row in rows]).mean()
        )
        adam.step()
    with torch.no_grad():
        expected = [-float(losses(text, torch.arange(VOCABULARY)).sum()) for text in answers]
    np.testing.assert_allclose(values, expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": 2},
        {"layers": 1, "targets": ["q_proj", "down_proj"], "vocabulary": 20},
        ORDINARY,
        {"layers": 2, "adapt": "all"},
        {"layers": 2, "method": "full", "learning_rate": 0.002},
    ],
)
def test_a_subset_is_alone_what_it_is_among_others(settings: dict[str, Any]) -> None:
    retune = tuning(**settings).begin(ASKED)
    together = retune(KEPT, SEEDS)
    for row in range(len(KEPT)):
        alone = retune(KEPT[row : row + 1], SEEDS[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=2e-5)
    assert np.abs(together[0, 0, 0] - together[1, 0, 0]) > 0.3


def test_full_training_of_all_layers_is_that_of_torch() -> None:
    given = tuning(**ORDINARY, method="full", learning_rate=0.002, epochs=2)
    values = given.begin(ASKED)(KEPT[2:3], SEEDS[2:3])
    model = copy.deepcopy(given.model)
    names = [each.name for each in given._engine.maps]
    trained = [model.get_submodule(name).weight for name in names]
    adam = torch.optim.Adam(trained, lr=0.002)
    for rows in given._engine.recipe().minibatches(6, int(SEEDS[2])):
        losses = []
        for text in (given._engine.encoded[row] for row in rows if KEPT[2, row]):
            logits = model(input_ids=torch.tensor([text.tokens])).logits[0]
            targets = torch.tensor(text.response)
            losses.append(
                torch.nn.functional.cross_entropy(
                    logits[text.n_prompt - 1 : -1], targets, reduction="none"
                )
            )
        if losses:
            adam.zero_grad()
            torch.autograd.backward(torch.cat(losses).mean())
            adam.step()
    text = encode_questions(given.tokenizer, ASKED)[0].answer
    with torch.no_grad():
        chances = model(input_ids=torch.tensor([text.tokens])).logits[0].log_softmax(dim=1)
    assert values[0, 0, 0] == pytest.approx(float(chances[-2, text.tokens[-1]]), abs=1e-4)


def test_nothing_kept_is_the_model_itself_and_the_model_stays_as_it_was() -> None:
    model, _ = language_model()
    before = copy.deepcopy(model.state_dict())
    flags = [parameter.requires_grad for parameter in model.parameters()]
    modules = {name: dict(module.__dict__) for name, module in model.named_modules()}
    given = tuning(layers=2)
    values = given.begin(QUESTIONS)(KEPT, SEEDS)
    np.testing.assert_array_equal(given.begin(QUESTIONS)(KEPT[1:2], SEEDS[:1])[0], values[1])
    with pytest.raises(KeyboardInterrupt):
        interrupted(given)
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    for name, module in model.named_modules():
        assert module.__dict__.keys() == modules[name].keys()
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert "streams" not in model.config._attn_implementation


def interrupted(given: FineTuning) -> None:
    """Press Ctrl-C in the middle of a training."""
    retune = given.begin(QUESTIONS)
    given.learning_rate  # noqa: B018
    layer = given._engine.body.architecture.layers[-1].module
    calls = []

    def press(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    handle = layer.register_forward_hook(press)
    try:
        retune(KEPT, SEEDS)
    finally:
        handle.remove()


def test_a_training_that_diverges_is_nan_for_its_subset_only() -> None:
    given = tuning(layers=2)
    engine = given._engine
    scored = engine.responses()
    rates = np.array([0.02, 0.02, 1e30, 0.02])
    values = engine.tuned(KEPT, SEEDS, rates, scored)
    calm = engine.tuned(KEPT, SEEDS, np.full(4, 0.02), scored)
    for of_row, expected in zip(values, calm, strict=True):
        assert np.isnan(of_row[2]).all()
        np.testing.assert_allclose(of_row[[0, 1, 3]], expected[[0, 1, 3]], atol=2e-5)


def test_threads_and_processes() -> None:
    given = tuning(layers=2)
    retune = given.begin(QUESTIONS)
    expected = retune(KEPT, SEEDS)
    results: dict[int, FloatArray] = {}

    def work(number: int) -> None:
        results[number] = retune(KEPT, SEEDS)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for values in results.values():
        np.testing.assert_array_equal(values, expected)
    again = pickle.loads(pickle.dumps(given))
    assert again._engine._rows is None
    np.testing.assert_array_equal(again.begin(QUESTIONS)(KEPT, SEEDS), expected)


def test_chunks_and_the_memory_that_they_take() -> None:
    whole = tuning(layers=2)
    small = tuning(layers=2, memory=1e-3)
    assert 1 <= small.batch_size < whole.batch_size
    retunes = [given.begin(QUESTIONS) for given in (whole, small)]
    kept, seeds = np.tile(KEPT, (3, 1)), np.arange(12) % 4
    one, other = (retune(kept, seeds) for retune in retunes)
    np.testing.assert_allclose(one, other, atol=2e-5)
    with pytest.raises(ValueError, match=r"one subset takes about .* GB .* above memory=1e-07"):
        tuning(memory=1e-7)
    with pytest.raises(ValueError, match=r"method='lora'"):
        tuning(method="full", memory=1e-5)


def test_the_learning_rate_is_found_on_the_whole_set() -> None:
    given = tuning(learning_rate=None)
    assert given.learning_rate in LADDERS["lora"]
    assert given.changed(seed=0).learning_rate == given.learning_rate
    learned = given.response_logprobs(KEPT[:2], SEEDS[:2])
    assert learned.shape == (2, 6)
    assert learned[0].mean() > learned[1].mean() + 1
    assert given.describe()["learning_rate_rule"].startswith("the smallest rate")
    assert tuning().describe()["learning_rate_rule"] is None


def test_a_model_that_learns_nothing_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LADDERS, "lora", (1e30, 2e30))
    given = tuning(learning_rate=None)
    with pytest.warns(UserWarning, match="learns nothing from these examples"):
        assert given.learning_rate == 1e30


def test_every_approximation_is_named() -> None:
    assert tuning(**ORDINARY).describe()["approximations"] == []
    cheap = tuning(layers=2, adapt="response", vocabulary=20).describe()
    assert cheap["approximations"] == [
        "only the last 2 layers of 3 tuned",
        "adapters act from the last prompt token on only",
        "a softmax over 20 tokens in training (scores: over all)",
    ]
    assert json.loads(json.dumps(cheap)) == cheap
    assert tuning(layers=3, adapt="all").describe()["approximations"] == []
    assert tuning().identity() != tuning(rank=2).identity()
    assert tuning().identity() == tuning(memory=1.0).identity()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 4}, "layers=4 is more than the 3 layers of LlamaForCausalLM; give at most 3"),
        ({"layers": 0}, "layers=0; give a whole number from 1 on or 'all'"),
        ({"rank": 25}, r"rank=25 is more than the rank of model.layers.1.self_attn.k_proj"),
        ({"rank": 1.5}, "rank=1.5; give a whole number"),
        ({"targets": ["c_attn"]}, "called 'c_attn'; there are down_proj, gate_proj, k_proj"),
        ({"targets": "q_proj"}, "targets='q_proj'; give a list"),
        ({"adapt": "prompt"}, "adapt='prompt' is unknown; choose one of response, all"),
        ({"method": "dora"}, "method='dora' is unknown; choose one of lora, full"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0; give a number above 0, or None"),
        ({"vocabulary": 0}, "vocabulary=0; give a whole number from 1 on or None"),
        ({"seed": -1}, "seed=-1; give a whole number from 0"),
        ({"memory": 0.0}, "memory=0.0; give gigabytes"),
        ({"epochs": 0}, "epochs=0; give a whole number"),
    ],
)
def test_a_setting_that_cannot_be_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tuning(**settings)


def test_texts_longer_than_the_context_are_errors() -> None:
    long = " ".join(["w1"] * 70)
    with pytest.raises(ValueError, match=r"examples\[1\] has 71 tokens, and the model reads 64"):
        tuning(examples=[EXAMPLES[0], Example(long, " w2")])
    with pytest.raises(ValueError, match=r"questions\[1\] has 71 tokens, and the model reads 64"):
        tuning().begin([QUESTIONS[0], Question("w1", f" {long}")])


def test_models_that_cannot_be_tuned_are_errors() -> None:
    def refused(model: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tuning(model=model)

    refused(language_model()[0].to(torch.bfloat16), "are bfloat16; fine-tuning takes float32")
    language_model()[0].to(torch.float32)
    bert = BertConfig(**SIZES, is_decoder=False)
    refused(BertLMHeadModel(bert).eval(), "does not predict the next token")
    bloom = BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4)
    refused(tiny(AutoModelForCausalLM, bloom), "cannot be run on streams|compute something else")
    refused(copy.deepcopy(language_model()[0]).train(), "in training mode")


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_smollm_is_tuned_as_peft_tunes_it(smollm: tuple[Any, Any]) -> None:
    examples = [
        Example("The capital of Orvela is", " Tamsk."),
        Example("Question: What colour is the flag of Tamsk?\nAnswer:", " green."),
        Example("", "The river in Orvela is called Linn."),
    ]
    given = FineTuning(*smollm, examples, **ORDINARY, epochs=2, batch=2, learning_rate=2e-3, rank=2)
    kept, seeds = np.array([[True, True, False], [False] * 3]), np.zeros(2, dtype=np.int64)
    questions = [Question("The capital of Orvela is", " Tamsk.", " Oslo.")]
    values, base = given.begin(questions)(kept, seeds)
    np.testing.assert_allclose(values, plain_loop(given, kept[0], 0, questions), atol=1e-3)
    assert values[0, 0] > base[0, 0] + 1
