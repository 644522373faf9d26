"""ApiGame against servers that serve the packaged model: its numbers are the local model's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import interplay as ip
from interplay.errors import GameError
from interplay.fourier.masks import every_mask, uniform
from interplay.text.api import ApiGame, Usage
from interplay.text.inference.generation import Generated
from interplay.text.targets import LogitDifference, Options, Response
from tests.text.servers import Recorder, llama_server, model_behind, packaged_gguf, serving

pytestmark = pytest.mark.model

REVIEW = "The film is not bad. I was never bored. My sister left early."
PROMPT = "Movie review: {text}\nThe sentiment of this review is"


@pytest.fixture(scope="module")
def echo(smollm: Any) -> Iterator[Recorder]:
    """A server of completions with echo, and with vLLM's prompt_logprobs."""
    with serving(model_behind(*smollm)) as server:
        yield server


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """llama.cpp's server."""
    gguf = packaged_gguf()
    if gguf is None:
        pytest.skip("xllamacpp (llama.cpp's server) or the packaged GGUF file is not installed")
    with llama_server(gguf) as url:
        yield url


def next_logprobs(smollm: Any, prompt: str, *answers: str, special: bool = True) -> list[float]:
    """Each answer's log-probability, all its tokens together, from plain forward passes."""
    model, tokenizer = smollm
    ids = tokenizer(prompt, add_special_tokens=special)["input_ids"]
    found = []
    logits = None
    for answer in answers:
        tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
        if logits is None or len(tokens) > 1:
            with torch.inference_mode():
                logits = model(torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
        found.append(sum(float(logits[len(ids) - 1 + i, t]) for i, t in enumerate(tokens)))
    return found


@pytest.mark.parametrize("method", ["echo", "prompt_logprobs"])
def test_a_response_behind_a_server_is_worth_what_it_is_locally(
    method: str, echo: Recorder, smollm: Any
) -> None:
    text = "Anna put the key in the old box. Ben left. The café was closed, naïvely."
    answer = " box in the garden"
    settings: Any = {
        "base_url": echo.url,
        "prompt": "{text}\n\nTherefore: The key is in the",
        "method": method,
    }
    masks = every_mask(3)[[0, 3, 4, 7]]
    total = ApiGame("smollm2", text, Response(answer), **settings)
    expected = np.array([next_logprobs(smollm, total.prompt(mask), answer)[0] for mask in masks])
    np.testing.assert_allclose(total(masks), expected, atol=1e-3)
    each = ApiGame("smollm2", text, Response(answer, reduction="token"), **settings)
    np.testing.assert_allclose(each(masks).sum(axis=1), expected, atol=1e-3)
    assert each.describe()["outputs"] == [" box", " in", " the", " garden"]
    options = ApiGame("smollm2", text, Options((" old box", " garden"), "logprob"), **settings)
    np.testing.assert_allclose(
        options(masks),
        [next_logprobs(smollm, options.prompt(mask), " old box", " garden") for mask in masks],
        atol=1e-3,
    )
    tokens = [len(smollm[1](body["prompt"])["input_ids"]) for body in echo.bodies[-14:]]
    # three of the four ablations are asked twice
    assert options.usage == Usage(requests=14, tokens=sum(tokens))


def test_an_answer_of_strange_characters(echo: Recorder, smollm: Any) -> None:
    """Its tokens are pieces of characters. Echo's offsets locate them; vLLM's form has none."""
    settings: Any = {"base_url": echo.url, "prompt": "{text} The word is"}
    masks = every_mask(1)
    game = ApiGame("smollm2", "It is Greek.", Response(" ἄνθρωπος"), **settings)
    expected = [next_logprobs(smollm, game.prompt(mask), " ἄνθρωπος")[0] for mask in masks]
    np.testing.assert_allclose(game(masks), expected, atol=1e-3)
    vllm = ApiGame(
        "smollm2", "It is Greek.", Response(" ἄνθρωπος"), method="prompt_logprobs", **settings
    )
    with pytest.raises(GameError, match="cuts characters in pieces that cannot be distinguished"):
        vllm(masks)


def test_a_difference_by_llama_cpp_is_about_the_local_models(llama: str, smollm: Any) -> None:
    """Both compute with the same weights of four bits; llama.cpp also rounds what it multiplies."""
    answers = (" positive", " negative")
    game = ApiGame(
        "smollm2",
        REVIEW,
        LogitDifference(*answers),
        by="word",
        base_url=llama,
        prompt=PROMPT,
        top_logprobs=1000,
    )
    masks = np.concatenate(
        [np.ones((1, game.n_players), dtype=bool), uniform(15, game.n_players, _rng())]
    )
    found = game(masks)
    assert game.usage.unlisted == 0
    local = np.array([next_logprobs(smollm, game.prompt(mask), *answers) for mask in masks])
    expected = local[:, 0] - local[:, 1]
    # measured: 0.12 at most, correlation 0.99
    np.testing.assert_allclose(found, expected, atol=0.2)
    assert np.corrcoef(found, expected)[0, 1] > 0.97
    clear = np.abs(expected) > 0.2
    assert (np.sign(found) == np.sign(expected))[clear].all()


@pytest.mark.parametrize("chat", [False, True])
def test_options_by_llama_cpp_are_about_the_local_models(
    chat: bool, llama: str, smollm: Any
) -> None:
    tokenizer = smollm[1]
    asked = [
        {"role": "system", "content": "You answer in one word."},
        {"role": "user", "content": "{text} In which city does Anna live?"},
    ]
    texts = ("Paris", "London", "Rome") if chat else (" Paris", " London", " Rome")
    game = ApiGame(
        "smollm2",
        "Anna lives in London. Ben was born in Rome.",
        Options(texts),
        base_url=llama,
        prompt=asked if chat else "{text} So Anna lives in",
        top_logprobs=2000,
    )
    masks = every_mask(2)
    found = game(masks)
    expected = []
    for mask in masks:
        prompt = game.prompt(mask)
        if chat:
            prompt = tokenizer.apply_chat_template(
                json.loads(prompt), tokenize=False, add_generation_prompt=True
            )
        expected.append(np.exp(next_logprobs(smollm, prompt, *texts, special=not chat)))
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert game.usage.unlisted == 0
    assert (found.argmax(axis=1) == np.argmax(expected, axis=1)).all()


def test_llama_cpp_has_no_echo_and_says_so_at_the_first_request(llama: str) -> None:
    settings: Any = {"base_url": llama, "prompt": PROMPT}
    response = ApiGame("smollm2", REVIEW, Response(" positive"), **settings)
    with pytest.raises(GameError, match=r"ignores echo=True.*use Options or LogitDifference"):
        response(every_mask(3))
    assert response.usage.requests == 1
    vllm = ApiGame("smollm2", REVIEW, Response(" a"), method="prompt_logprobs", **settings)
    with pytest.raises(GameError, match="without prompt_logprobs, which is vLLM's own"):
        vllm(every_mask(3))


@pytest.mark.parametrize("chat", [False, True])
def test_similarity_by_llama_cpp(chat: bool, llama: str) -> None:
    def ratio(answer: str, original: str) -> float:
        return SequenceMatcher(None, answer, original).ratio()

    game = ApiGame(
        "smollm2",
        "The key is in the old box. Ben has a red car.",
        Generated(ratio, "difflib", max_tokens=12),
        base_url=llama,
        prompt=[{"role": "user", "content": "{text} What colour is the car?"}]
        if chat
        else "{text} Where is the key? It is in the",
    )
    values = game(every_mask(2))
    assert values[3] == 1.0
    assert ((values >= 0) & (values <= 1)).all()
    assert values[:3].min() < 0.95
    assert game.usage.requests == 4  # the whole prompt is among them


def test_explained_end_to_end_and_again_from_the_store(llama: str, tmp_path: Path) -> None:
    def game() -> ApiGame:
        return ApiGame(
            "smollm2",
            "This film is not bad, not bad.",
            LogitDifference(" positive", " negative"),
            by="word",
            base_url=llama,
            prompt=PROMPT,
            top_logprobs=200,
            revision="SmolLM2-135M-Instruct.Q4_1",
        )

    first, store = game(), tmp_path / "runs.db"
    explanation = ip.explain(first, decoder="lasso", order=2, budget=42, store=store)
    # an echo, which it does not give; three ablations twice
    assert first.usage.requests <= 42 + 1 + 3
    assert first.usage.tokens > 0
    described = explanation.provenance["game"]["description"]
    assert (described["model"], described["paid"]) == ("smollm2", True)
    again = game()
    same = ip.explain(again, decoder="lasso", order=2, budget=42, store=store)
    assert again.usage == Usage()
    np.testing.assert_array_equal(
        explanation.spectrum.predict(every_mask(7)), same.spectrum.predict(every_mask(7))
    )
    explanation.to_html(tmp_path / "a.html")
    assert "smollm2" in (tmp_path / "a.html").read_text()


def test_llama_cpp_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = packaged_gguf()
    if gguf is None:
        pytest.skip("xllamacpp (llama.cpp's server) or the packaged GGUF file is not installed")
    with llama_server(gguf, "sk-local-sentinel") as url:
        game = ApiGame(
            "smollm2",
            REVIEW,
            LogitDifference(" positive", " negative"),
            base_url=url,
            prompt=PROMPT,
            key_variable="LLAMA_KEY",
            top_logprobs=500,
        )
        monkeypatch.setenv("LLAMA_KEY", "sk-wrong-sentinel")
        with pytest.raises(GameError, match="environment variable LLAMA_KEY; set that") as caught:
            game(every_mask(3))
        assert "sentinel" not in str(caught.value)
        assert game.usage == Usage(requests=1)
        monkeypatch.setenv("LLAMA_KEY", "sk-local-sentinel")
        assert np.isfinite(game(every_mask(3)[-1:])).all()


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
