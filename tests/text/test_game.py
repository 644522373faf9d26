"""TextGame on tiny random models of several architectures, and on the packaged real model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, Qwen2Config

import interplay as ip
from interplay.fourier.masks import uniform
from interplay.text import (
    LogitDifference,
    Options,
    Readout,
    Replace,
    Response,
    TextGame,
)
from interplay.text.digests import model_digest

pytestmark = pytest.mark.model

TEXT = "The film is not bad. I was never bored, and my sister laughed a lot."
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = {
    "llama": lambda v: LlamaConfig(
        vocab_size=v, intermediate_size=64, num_key_value_heads=2, **SMALL
    ),
    "qwen2": lambda v: Qwen2Config(
        vocab_size=v, intermediate_size=64, num_key_value_heads=2, **SMALL
    ),
    "gpt_neox": lambda v: GPTNeoXConfig(vocab_size=v, intermediate_size=64, **SMALL),
    "gpt2": lambda v: GPT2Config(vocab_size=v, n_embd=32, n_layer=2, n_head=4),
}


def tiny(kind: str, tokenizer: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    # weights of a size at which positions and contexts matter
    model = AutoModelForCausalLM.from_config(CONFIGS[kind](len(tokenizer))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return model


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("target", [Response(" good indeed"), LogitDifference(" good", " bad")])
def test_a_batch_equals_single_evaluations(kind: str, target: Any, smollm: Any) -> None:
    _, tokenizer = smollm
    model = tiny(kind, tokenizer)
    game = TextGame(model, tokenizer, TEXT, target, by="word", prompt="Review: {text}\nIt is")
    masks = uniform(40, game.n_players, np.random.default_rng(0))
    together = game(masks)
    alone = np.concatenate([game(mask[None]) for mask in masks])
    np.testing.assert_allclose(together, alone, atol=2e-4 * np.abs(alone).max())
    assert together.std() > 0.01


def plain_logprobs(model: Any, tokenizer: Any, prompt: str, response: str) -> list[float]:
    """Each response token's log-probability, from one unpadded pass with all logits."""
    ids = tokenizer(prompt)["input_ids"]
    answer = tokenizer(response, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = model(torch.tensor([ids + answer])).logits[0].double().log_softmax(-1)
    return [float(logits[len(ids) - 1 + at, token]) for at, token in enumerate(answer)]


def test_scores_are_what_they_say(smollm: Any) -> None:
    model, tokenizer = smollm
    text = "Anna put the key in the old box. Ben left."
    response = " box in the garden"
    settings = {"by": "sentence", "prompt": "{text}\n\nTherefore: The key is in the"}
    mask = np.array([[True, False]])
    prompt = "Anna put the key in the old box.\n\nTherefore: The key is in the"
    logprobs = plain_logprobs(model, tokenizer, prompt, response)
    assert len(logprobs) == 4
    total = sum(logprobs)
    wanted = {
        "logprob": total,
        "prob": math.exp(total),
        "logit": total - math.log1p(-math.exp(total)),
    }
    targets = [Response(response, score) for score in wanted]  # type: ignore[arg-type]
    for target, value in zip(targets, wanted.values(), strict=True):
        game = TextGame(model, tokenizer, text, target, **settings)  # type: ignore[arg-type]
        assert game.prompt(mask[0]) == prompt
        assert game(mask)[0] == pytest.approx(value, rel=1e-4), target
    mean = Response(response, "prob", "mean")
    tokens = Response(response, reduction="token")
    part = Response(response, "prob", part="in the")
    difference = LogitDifference(" box", " garden")
    several = TextGame(
        model, tokenizer, text, [*targets, mean, tokens, part, difference], **settings
    )  # type: ignore[arg-type]
    assert several.describe()["outputs"][:4] == [
        f"logprob of {response!r}",
        f"prob of {response!r}",
        f"logit of {response!r}",
        f"mean prob of {response!r}",
    ]
    assert several.describe()["outputs"][4:8] == [" box", " in", " the", " garden"]
    expected = [*wanted.values(), math.exp(total / 4), *logprobs, math.exp(sum(logprobs[1:3]))]
    np.testing.assert_allclose(several(mask)[0, :-1], expected, rtol=1e-4)
    ids = tokenizer(prompt)["input_ids"]
    with torch.inference_mode():
        last = model(torch.tensor([ids])).logits[0, -1]
    box, garden = (tokenizer(word)["input_ids"][0] for word in (" box", " garden"))
    game = TextGame(model, tokenizer, text, LogitDifference(" box", " garden"), **settings)  # type: ignore[arg-type]
    assert game(mask)[0] == pytest.approx(float(last[box] - last[garden]), abs=1e-4)


def test_the_logit_scale_is_finite_for_a_certain_answer() -> None:
    for logprob in (0.0, -1e-300):
        (value,) = Response(" x", "logit").combine([np.array([[logprob]])])
        assert 20 < value < 30


def test_the_models_own_answer(smollm: Any) -> None:
    model, tokenizer = smollm
    game = TextGame(
        model,
        tokenizer,
        "The sky is blue. The grass is green.",
        Response(),
        prompt="{text} The sky is",
    )
    (target,) = game.targets
    assert isinstance(target, Response)
    assert target.text is not None
    whole = game.prompt(np.ones(2, dtype=bool))
    # each of its tokens is the likeliest one, so no other first token scores higher
    first = tokenizer.decode(tokenizer(target.text, add_special_tokens=False)["input_ids"][:1])
    assert whole == "The sky is blue. The grass is green. The sky is"
    assert all(
        plain_logprobs(model, tokenizer, whole, first)[0]
        >= plain_logprobs(model, tokenizer, whole, other)[0]
        for other in (" blue", " green", " not", " a", " the", " red")
    )


def test_the_fingerprint_is_of_what_is_computed(smollm: Any) -> None:
    _, tokenizer = smollm
    model = tiny("llama", tokenizer)
    settings: dict[str, Any] = {"by": "word", "prompt": "{text} So"}
    first = TextGame(model, tokenizer, TEXT, Response(" good"), **settings)
    same = TextGame(tiny("llama", tokenizer), tokenizer, TEXT, Response(" good"), **settings)
    assert first.fingerprint == same.fingerprint
    nudged = tiny("llama", tokenizer)
    with torch.no_grad():
        nudged.model.layers[1].self_attn.o_proj.weight[5, 7] += 1e-3
    swapped = tiny("llama", tokenizer)
    with torch.no_grad():
        swapped.model.embed_tokens.weight[[900, 901]] = swapped.model.embed_tokens.weight[
            [901, 900]
        ]
    others = [
        TextGame(nudged, tokenizer, TEXT, Response(" good"), **settings),
        TextGame(swapped, tokenizer, TEXT, Response(" good"), **settings),
        TextGame(tiny("llama", tokenizer, seed=1), tokenizer, TEXT, Response(" good"), **settings),
        TextGame(
            tiny("llama", tokenizer).bfloat16(), tokenizer, TEXT, Response(" good"), **settings
        ),
        TextGame(model, tokenizer, TEXT, Response(" bad"), **settings),
        TextGame(model, tokenizer, TEXT, Response(" good", "prob"), **settings),
        TextGame(model, tokenizer, TEXT, Options((" good", " bad")), **settings),
        TextGame(model, tokenizer, TEXT, Options((" good", " bad"), "share"), **settings),
        TextGame(model, tokenizer, TEXT + " Yes.", Response(" good"), **settings),
        TextGame(model, tokenizer, TEXT, Response(" good"), **{**settings, "by": "sentence"}),
        TextGame(model, tokenizer, TEXT, Response(" good"), **settings, masking=Replace("_")),
        TextGame(model, tokenizer, TEXT, Response(" good"), by="word", prompt="{text} Then"),
    ]
    assert len({game.fingerprint for game in [first, *others]}) == 1 + len(others)

    assert TextGame(model, tokenizer, TEXT, _Margin(), **settings).fingerprint is None
    before = first.fingerprint
    with torch.no_grad():
        model.lm_head.weight.mul_(2.0)
    assert first.fingerprint != before
    hook = model.register_forward_hook(lambda *_: None)
    assert first.fingerprint is None
    hook.remove()
    assert first.fingerprint is not None


@dataclass(frozen=True)
class _Margin:
    """A target of the user's own: how far the best token is ahead of the second."""

    def prepare(self, tokenizer: Any) -> Readout:
        def read(feed: int, logits: torch.Tensor) -> torch.Tensor:
            best = logits[:, -1].double().topk(2).values
            return best[:, [0]] - best[:, [1]]

        return Readout(((),), read, lambda kept: kept[0][:, 0])


def test_an_explanation_hashes_the_weights_once(
    smollm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each explanation does: weights that change in place are noticed."""
    _, tokenizer = smollm
    model = tiny("llama", tokenizer)
    game = TextGame(model, tokenizer, TEXT, Response(" good"), by="word", prompt="It is: {text}")
    hashed = []

    def counted(of: Any) -> str | None:
        hashed.append(model_digest(of))
        return hashed[-1]

    monkeypatch.setattr("interplay.text.game.model_digest", counted)
    ip.explain(game, budget=60)
    assert len(hashed) == 1
    ip.explain(game, budget=80, until=0.99)
    assert len(hashed) == 2
    assert hashed[0] == hashed[1]
    next(model.parameters()).data.mul_(1.5)
    ip.explain(game, budget=60)
    assert len(hashed) == 3
    assert hashed[2] != hashed[1]


def test_a_target_of_the_users_own(smollm: Any) -> None:
    _, tokenizer = smollm
    game = TextGame(
        tiny("llama", tokenizer), tokenizer, TEXT, _Margin(), by="word", prompt="{text} So"
    )
    masks = uniform(5, game.n_players, np.random.default_rng(0))
    assert (game(masks) >= 0).all()
    explanation = ip.explain(game, budget=100)
    assert explanation.provenance["game"]["description"]["targets"] == [{"kind": "_Margin"}]


def test_bad_input(smollm: Any) -> None:
    _, tokenizer = smollm
    model = tiny("gpt2", tokenizer)

    def game(text: str = TEXT, target: Any = Response(" good"), **settings: Any) -> TextGame:  # noqa: B008
        return TextGame(model, tokenizer, text, target, **{"prompt": "{text} So", **settings})

    with pytest.raises(ValueError, match="the text '' is empty"):
        game("")
    with pytest.raises(ValueError, match=r"holds \{text\} 0 times; it must stand once"):
        game(prompt="no place")
    with pytest.raises(ValueError, match="the response '' has no tokens"):
        game(target=Response(""))
    with pytest.raises(ValueError, match="score='odds' is unknown; choose one of logprob"):
        game(target=Response(" x", "odds"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the answer ' unbelievably good' is \d tokens"):
        game(target=LogitDifference(" unbelievably good", " bad"))
    with pytest.raises(ValueError, match="has no mask token, so masking='mask_token' does not fit"):
        game(masking="mask_token")
    with pytest.raises(ValueError, match=r"chat template were given, but the prompt is no chat"):
        game(template={"tools": [{"name": "x"}]})
    with pytest.raises(ValueError, match="no target was given"):
        game(target=[])
    with pytest.raises(ValueError, match="above the model's context of 1024; shorten the text"):
        game("word " * 1200, by="word")
    with pytest.raises(ValueError, match="with every segment removed the prompt has no tokens"):
        game(prompt="{text}")
    with pytest.raises(ValueError, match=r"target=' good' is no target; give Response\(' good'\)"):
        game(target=" good")
    with pytest.raises(ValueError, match=r"call model\.eval"):
        TextGame(
            tiny("gpt2", tokenizer).train(), tokenizer, TEXT, Response(" x"), prompt="A {text}"
        )
    long = game(TEXT * 5, by="word", masking=Replace("[A LONG REPLACEMENT OF SEVERAL TOKENS] " * 3))
    with pytest.raises(ValueError, match="above the model's context of 1024"):
        long(np.zeros((1, long.n_players), dtype=bool))
    template, tokenizer.chat_template = tokenizer.chat_template, None
    try:
        with pytest.raises(ValueError, match="has no chat template, which a prompt of chat"):
            game(prompt=[{"role": "user", "content": "{text}"}])
    finally:
        tokenizer.chat_template = template


def test_one_word_is_a_game_of_one_player(smollm: Any) -> None:
    _, tokenizer = smollm
    game = TextGame(
        tiny("llama", tokenizer), tokenizer, "Good", Response(" x"), by="word", prompt="A: {text}"
    )
    explanation = ip.explain(game)
    whole, nothing = game(np.array([[True], [False]]))
    assert explanation.interactions("SV")[(0,)] == pytest.approx(whole - nothing)


@pytest.mark.parametrize(("name", "budget"), [("review", 300), ("handover", 160)])
def test_the_demo_finds_the_intended_interactions(name: str, budget: int, demo: Any) -> None:
    """The sets that the demo's texts were written to have are among the three strongest.

    With fewer ablations than the demo itself makes, which would take a minute more.
    """
    case, explanation = demo(name, budget)
    top = explanation.interactions("FSII", order=3).top(3, min_order=2).sets
    assert set(case.intended) <= set(top)
    assert explanation.faithfulness.r2 > 0.7  # each by a fit without it
