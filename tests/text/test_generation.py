"""Greedy answers to many prompts at once equal each prompt's own; targets that score them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BartConfig,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
)

from interplay.text import Generated
from interplay.text.inference.generation import AnswerReader, greedy_answers, own_answer
from interplay.text.prompts.token_texts import TokenTexts
from interplay.text.targets import settings_of
from tests.text.tiny import CLS, PAD, SEP, SPECIAL, VOCABULARY, tiny, word_tokenizer

BASE: dict[str, Any] = {
    "vocab_size": VOCABULARY, "pad_token_id": PAD, "bos_token_id": CLS, "eos_token_id": SEP,
}  # fmt: skip
SMALL: dict[str, Any] = {
    **BASE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
GATED: dict[str, Any] = {**SMALL, "intermediate_size": 64}
CONFIGS = {
    "llama": LlamaConfig(**GATED, num_key_value_heads=2),
    "mistral": MistralConfig(**GATED, num_key_value_heads=2, sliding_window=8),
    "gpt_neox": GPTNeoXConfig(**GATED),
    "gpt2": GPT2Config(**BASE, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "bloom": BloomConfig(**SMALL),
}
ORDINARY = range(len(SPECIAL), VOCABULARY)
LONG = list(ORDINARY[:20])
PROMPTS = st.lists(
    st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=20), min_size=1, max_size=8
)
ROUNDING = 1e-3
"""Logits closer than this share of the largest may come in either order."""


def stepwise(
    model: Any, ids: Sequence[int], max_tokens: int, end: int = SEP
) -> tuple[list[int], float]:
    """The likeliest tokens, each from a pass over all before it, and the closest second's gap."""
    tokens: list[int] = []
    closest = float("inf")
    for _ in range(max_tokens):
        with torch.inference_mode():
            logits = model(torch.tensor([[*ids, *tokens]])).logits[0, -1].double()
        first, second = logits.topk(2).values.tolist()
        closest = min(closest, (first - second) / float(logits.abs().max()))
        token = int(logits.argmax())
        if token == end:
            break
        tokens.append(token)
    return tokens, closest


@pytest.mark.parametrize("kind", CONFIGS)
def test_each_prompt_gets_the_answer_that_it_gets_alone(kind: str) -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS[kind]), word_tokenizer(framed=False)
    reader = AnswerReader(model, tokenizer)
    reader.answers([LONG, LONG[3:]], 1)
    assert reader.strategy == "padded"
    compared = 0

    @given(PROMPTS, st.integers(1, 200))
    @settings(max_examples=12)
    def check(prompts: list[list[int]], tokens: int) -> None:
        nonlocal compared
        reader._batches.tokens = tokens
        answers = reader.answers(prompts, 6)
        for prompt, answer in zip(prompts, answers, strict=True):
            expected, closest = stepwise(model, prompt, 6)
            if closest > ROUNDING:
                compared += 1
                assert answer == tokenizer.decode(expected, skip_special_tokens=True)

    check()
    assert compared > 20


def test_an_answer_ends_with_its_prompt_s_own_end() -> None:
    """A batch goes on until its last row ends; tokens after a row's end are not its answer."""
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["gpt2"]), word_tokenizer(framed=False)
    rng = np.random.default_rng(0)
    prompts = [rng.choice(ORDINARY, size).tolist() for size in rng.integers(1, 20, 40)]
    lengths = [len(answer.split()) for answer in greedy_answers(model, tokenizer, prompts, 12)]
    assert min(lengths) < 6
    assert max(lengths) == 12
    # another token ends answers where the model says so, or several do
    word = tokenizer.decode([stepwise(model, prompts[0], 12)[0][2]])
    model.generation_config.eos_token_id = [SEP, tokenizer.convert_tokens_to_ids(word)]
    for before, after in zip(lengths, greedy_answers(model, tokenizer, prompts, 12), strict=True):
        assert word not in after.split()
        assert len(after.split()) <= before
    assert len(greedy_answers(model, tokenizer, prompts[:1], 12)[0].split()) <= 2


def test_the_models_own_generation_settings_do_not_count() -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    prompts = [LONG, LONG[:7], LONG[:3]]
    expected = greedy_answers(model, tokenizer, prompts, 10)
    for name, value in {
        "repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "suppress_tokens": LONG,
        "do_sample": True, "temperature": 5.0, "max_length": 3, "num_beams": 3,
    }.items():  # fmt: skip
        setattr(model.generation_config, name, value)
    changed = model.generate(torch.tensor([LONG]), max_new_tokens=10)
    assert tokenizer.decode(changed[0, len(LONG) :]) != expected[0]
    assert greedy_answers(model, tokenizer, prompts, 10) == expected
    assert model.generation_config.repetition_penalty == 9.0


def test_prompts_that_are_the_same_are_answered_once() -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    reader = AnswerReader(model, tokenizer)
    (expected,) = reader.answers([LONG], 4)
    rows: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    assert reader.answers([LONG] * 5, 4) == [expected] * 5
    assert set(rows) == {1}
    assert reader.answers([], 4) == []


def test_a_batch_that_does_not_fit_is_halved_and_the_size_remembered() -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    reader = AnswerReader(model, tokenizer)
    prompts = [[token, *LONG] for token in ORDINARY[:12]]
    expected = reader.answers(prompts, 4)
    rows: list[int] = []

    def limited(module: Any, args: Any, kwargs: Any) -> None:
        rows.append(len(kwargs["input_ids"]))
        if rows[-1] > 3:
            raise torch.OutOfMemoryError("out of memory")

    model.register_forward_pre_hook(limited, with_kwargs=True)
    assert reader.answers(prompts, 4) == expected
    rows.clear()
    assert reader.answers(prompts, 4) == expected
    assert max(rows) <= 3


def test_a_model_that_padding_changes_is_given_prompts_of_one_length() -> None:
    config = BartConfig(
        **BASE, d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64,
        max_position_embeddings=64,
    )  # fmt: skip
    model, tokenizer = tiny(AutoModelForCausalLM, config), word_tokenizer(framed=False)
    reader = AnswerReader(model, tokenizer)
    prompts = [[token, *LONG[at:]] for at in (1, 9) for token in ORDINARY[:4]]
    with pytest.warns(UserWarning, match=r"logits differ by .*others of their length"):
        answers = reader.answers(prompts, 5)
    assert reader.strategy == "equal"
    expected = [stepwise(model, prompt, 5) for prompt in prompts]
    for answer, (tokens, closest) in zip(answers, expected, strict=True):
        assert answer == tokenizer.decode(tokens, skip_special_tokens=True) or closest < ROUNDING
    assert sum(closest > ROUNDING for _, closest in expected) > 4


def test_what_cannot_be_answered() -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    with pytest.raises(ValueError, match=r"of 20 tokens and an answer of 45 are above .* of 64"):
        greedy_answers(model, tokenizer, [LONG], 45)
    with pytest.raises(ValueError, match="a prompt has no tokens to answer to"):
        greedy_answers(model, tokenizer, [LONG, []], 4)
    with pytest.raises(ValueError, match="LlamaModel does not generate; load a model with task"):
        greedy_answers(tiny(AutoModel, CONFIGS["llama"]), tokenizer, [LONG], 4)


def test_the_answer_to_one_prompt() -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    tokens, closest = stepwise(model, LONG, 20)
    assert closest > ROUNDING
    reader, texts = AnswerReader(model, tokenizer), TokenTexts(tokenizer)
    assert own_answer(reader, texts, LONG, 20) == tuple(tokens)


@pytest.mark.model
def test_the_real_model_answers_in_a_batch_as_alone(smollm: Any) -> None:
    model, tokenizer = smollm
    text = "The film is not bad. I was never bored, and my sister laughed a lot."
    prompts = tokenizer([f"{text[at:]} Did I like it? I" for at in (0, 21, 38)])["input_ids"]
    assert len({len(prompt) for prompt in prompts}) == 3
    reader = AnswerReader(model, tokenizer)
    answers = reader.answers(prompts, 6)
    assert reader.strategy == "padded"
    expected = [stepwise(model, prompt, 6, tokenizer.eos_token_id) for prompt in prompts]
    clear = [closest > 1e-4 for _, closest in expected]  # in float32 a batch is off by about 1e-6
    assert sum(clear) >= 2
    for answer, (tokens, _), is_clear in zip(answers, expected, clear, strict=True):
        assert answer == tokenizer.decode(tokens) or not is_clear


# --- scores of answers ----------------------------------------------------------------------------


def shared(answer: str, original: str) -> float:
    """The Jaccard similarity of two answers' words."""
    a, b = set(answer.split()), set(original.split())
    return len(a & b) / max(len(a | b), 1)


def test_generated_scores_answers_against_the_original() -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    reader = AnswerReader(model, tokenizer)
    prompts = [LONG, LONG[:7], LONG[2:], LONG]
    answers = greedy_answers(model, tokenizer, prompts, 9)
    calls: list[tuple[str, str]] = []

    def counted(answer: str, original: str) -> float:
        calls.append((answer, original))
        return shared(answer, original)

    readout = Generated(counted, max_tokens=9).prepare(reader, LONG)
    assert readout.original == answers[0]
    assert readout.outputs == ()
    values = reader.values(prompts, readout)
    np.testing.assert_array_equal(values, [shared(answer, answers[0]) for answer in answers])
    assert values[0] == 1.0
    assert values.min() < 1.0
    assert calls == [(answer, answers[0]) for answer in dict.fromkeys(answers)]
    assert reader.values([], readout).shape == (0,)

    both = Generated(
        lambda a, b: (shared(a, b), len(a.split())), max_tokens=9, outputs=("shared", "words")
    ).prepare(reader, LONG)
    assert both.outputs == ("shared", "words")
    np.testing.assert_array_equal(
        reader.values(prompts, both),
        np.column_stack([values, [len(answer.split()) for answer in answers]]),
    )
    assert reader.values([], both).shape == (0, 2)


def test_a_scorer_may_bring_its_name() -> None:
    class Named:
        name = "shared words"

        def __call__(self, answer: str, original: str) -> float:
            return shared(answer, original)

    assert Generated(Named()).name == "shared words"
    assert Generated(Named(), "mine").name == "mine"
    assert Generated(shared).name is None
    named = Generated(shared, "mine", outputs=["a", "b"])  # type: ignore[arg-type]
    assert settings_of(named) == {
        "kind": "Generated", "name": "mine", "max_tokens": 64, "outputs": ("a", "b"),
    }  # fmt: skip
    assert str(named) == "mine"


def test_scorers_and_settings_that_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gave 2 numbers of shape \(2,\), but one is due; give"):
        Generated(lambda a, b: (1.0, 2.0)).score("a", "b")
    with pytest.raises(ValueError, match=r"gave 1 numbers .* names 2"):
        Generated(lambda a, b: 1.0, outputs=("a", "b")).score("a", "b")
    with pytest.raises(ValueError, match="max_tokens=0 of Generated is below 1"):
        Generated(shared, max_tokens=0)
    with pytest.raises(ValueError, match="are not different names"):
        Generated(shared, outputs=("a", "a"))
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["llama"]), word_tokenizer(framed=False)
    model.generation_config.eos_token_id = list(range(VOCABULARY))
    with pytest.raises(
        ValueError, match=r"answers nothing to the whole prompt.*nothing to compare"
    ):
        Generated(shared, max_tokens=9).prepare(AnswerReader(model, tokenizer), LONG[:5])
    with pytest.raises(ValueError, match="answers nothing to the whole prompt; give a response"):
        own_answer(AnswerReader(model, tokenizer), TokenTexts(tokenizer), LONG[:5], 9)


@given(PROMPTS)
@settings(max_examples=5)
def test_scores_do_not_depend_on_the_other_prompts(prompts: list[list[int]]) -> None:
    model, tokenizer = tiny(AutoModelForCausalLM, CONFIGS["gpt2"]), word_tokenizer(framed=False)
    assume(all(stepwise(model, prompt, 4)[1] > ROUNDING for prompt in [*prompts, LONG]))
    reader = AnswerReader(model, tokenizer)
    readout = Generated(shared, max_tokens=4).prepare(reader, LONG)
    together = reader.values(prompts, readout)
    apart = [reader.values([prompt], readout)[0] for prompt in prompts]
    np.testing.assert_array_equal(together, apart)
