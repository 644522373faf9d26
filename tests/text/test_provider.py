"""ProviderGame: any object with ``get_logprobs`` or ``generate``, and what it may not return."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import interplay as ip
from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.text import (
    Contrast,
    Generated,
    LogitDifference,
    LogitFunction,
    Options,
    ProviderGame,
    Response,
    TextGame,
)
from tests.text.servers import pieces, truth

TEXT = "The film is long. The cast is fine. I liked the end. My sister slept."
PROMPT = "Review: {text}\nIt is"
CHAT = [{"role": "user", "content": PROMPT}]
MASKS = every_mask(4)


class Provider:
    """Log-probabilities and answers that are known functions of the prompt."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def get_logprobs(self, prompt: Any, answer: str) -> list[float]:
        self.asked.append(prompt)
        text = prompt if isinstance(prompt, str) else prompt[0]["content"]
        found = []
        for token in pieces(answer):
            found.append(truth(text, token))
            text += token
        return found

    def generate(self, prompt: Any) -> str:
        self.asked.append(prompt)
        text = prompt if isinstance(prompt, str) else prompt[0]["content"]
        return " ".join(reversed(text.split()))


class Fixed:
    """Always returns the same."""

    def __init__(self, logprobs: Any = None, answer: Any = None) -> None:
        self.logprobs, self.answer = logprobs, answer

    def get_logprobs(self, prompt: Any, answer: str) -> Any:
        return self.logprobs

    def generate(self, prompt: Any) -> Any:
        return self.answer


def game(target: Any, provider: Any = None, **settings: Any) -> ProviderGame:
    return ProviderGame(provider or Provider(), TEXT, target, **{"prompt": PROMPT, **settings})


def logprobs(of: ProviderGame, answer: str) -> np.ndarray:
    prompts = [of.masked.render(mask) for mask in MASKS]
    return np.array([Provider().get_logprobs(prompt, answer) for prompt in prompts])


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("chat", [False, True])
def test_each_target_is_computed_from_what_the_provider_says(chat: bool, concurrency: int) -> None:
    settings: Any = {"concurrency": concurrency}
    plain = game(Response(" so"))
    long, short = logprobs(plain, " very good"), logprobs(plain, " bad")
    if chat:
        settings["prompt"] = CHAT
    for target, expected in (
        (Response(" very good"), long.sum(axis=1)),
        (Response(" very good", "prob"), np.exp(long.sum(axis=1))),
        (Response(" very good", reduction="mean"), long.mean(axis=1)),
        (Response(" very good", reduction="token"), long),
        (Options((" very good", " bad"), "logprob"), np.c_[long.sum(axis=1), short[:, 0]]),
        (Contrast(" very good", " bad"), long.sum(axis=1) - short[:, 0]),
        (LogitDifference(" so", " bad"), logprobs(plain, " so")[:, 0] - short[:, 0]),
    ):
        np.testing.assert_allclose(game(target, **settings)(MASKS), expected)


def test_the_messages_of_a_chat_go_to_the_provider() -> None:
    provider = Provider()
    system = {"role": "system", "content": "Be brief."}
    game(Response(" so"), provider, prompt=[system, *CHAT])(MASKS[-1:])
    assert provider.asked == [[system, {"role": "user", "content": PROMPT.replace("{text}", TEXT)}]]


def test_the_original_answer_is_asked_for_once() -> None:
    def shared(answer: str, original: str) -> float:
        return len(set(answer.split()) & set(original.split()))

    provider = Provider()
    made = game(Generated(shared, "shared"), provider)
    assert len(provider.asked) == 1
    values = made(MASKS)
    assert len(provider.asked) == 17
    assert values[-1] == max(values) == len(set(PROMPT.replace("{text}", TEXT).split()))
    pair = Generated(lambda a, b: (len(a), a == b), outputs=("length", "same"))
    assert game(pair)(MASKS).shape == (16, 2)
    assert game(pair).describe()["outputs"] == ["length", "same"]

    own = game(Response())
    assert own.target == Response(Provider().generate(own.masked.text))
    np.testing.assert_allclose(own(MASKS[-1:]), [sum(logprobs(own, own.target.answers[0])[-1])])


def test_masks_that_read_the_same_are_asked_for_once() -> None:
    provider = Provider()
    twins = ProviderGame(provider, "So. So.", Response(" good"), prompt=PROMPT)
    values = twins(every_mask(2))
    assert len(provider.asked) == 3
    assert values[1] == values[2]
    assert twins(np.zeros((0, 2), dtype=bool)).shape == (0,)


def test_so_many_threads_ask() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    class Slow(Provider):
        def get_logprobs(self, prompt: Any, answer: str) -> list[float]:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= 1
            return super().get_logprobs(prompt, answer)

    for concurrency in (1, 3):
        most[0] = 0
        game(Response(" so"), Slow(), concurrency=concurrency)(MASKS)
        assert most[0] == concurrency


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_log_probabilities_in_any_kind_of_list(kind: Any) -> None:
    numbers = kind([-1.0, -2.5])
    assert game(Response(" so so"), Fixed(numbers))(MASKS[:1]) == [-3.5]
    assert game(Response(" so"), Fixed(kind([1e-6])))(MASKS[:1]) == [0.0]


# --- what comes back is checked -------------------------------------------------------------------


@pytest.mark.parametrize(
    "returned",
    [
        None,
        [],
        -1.0,
        "-1.0",
        ["-1.0"],
        [None],
        [True],
        [[-1.0]],
        [-1.0, [-2.0]],
        [float("nan")],
        [float("-inf")],
        [0.5],
        [-1.0, 0.01],
        [-1.0] * 5,  # more than the answer has bytes
        {" so": -1.0},
    ],
)
def test_what_is_no_log_probability_is_refused(returned: Any) -> None:
    with pytest.raises(GameError, match=r"get_logprobs returned .*' so'; it must return a list"):
        game(Response(" so"), Fixed(returned))(MASKS)


@pytest.mark.parametrize("returned", [None, b"so", 7, ["so"], {"text": "so"}])
def test_what_is_no_text_is_refused(returned: Any) -> None:
    with pytest.raises(GameError, match=r"generate returned .*must return the text"):
        game(Generated(lambda a, b: 0.0), Fixed(answer=returned))


def test_an_empty_original_answer_is_refused() -> None:
    for target in (Generated(lambda a, b: 0.0), Response()):
        with pytest.raises(GameError, match="answers nothing to the whole prompt"):
            game(target, Fixed([-1.0], " "))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_what_the_provider_raises_comes_with_the_values_so_far(concurrency: int) -> None:
    class Failing(Provider):
        def get_logprobs(self, prompt: Any, answer: str) -> list[float]:
            if len(self.asked) >= 9:
                raise ConnectionError("no route")
            return super().get_logprobs(prompt, answer)

    made = game(Response(" so"), Failing(), concurrency=concurrency)
    with pytest.raises(GameError, match=r"get_logprobs raised ConnectionError: no route") as caught:
        made(MASKS)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert caught.value.masks is not None
    known = len(caught.value.masks)
    assert 1 <= known <= 9
    np.testing.assert_allclose(
        caught.value.values,
        logprobs(made, " so")[
            [list(map(bool, m)) in caught.value.masks.tolist() for m in MASKS], 0
        ],
    )


def test_a_scorer_that_raises() -> None:
    def scorer(answer: str, original: str) -> float:
        return 1.0 if answer == original else 1 / 0

    with pytest.raises(GameError, match="scorer raised ZeroDivisionError"):
        game(Generated(scorer))(MASKS)


def test_lengths_that_do_not_fit_the_target() -> None:
    class Changing(Provider):
        def get_logprobs(self, prompt: Any, answer: str) -> list[float]:
            return [-1.0] * (1 + ("long" in prompt))

    with pytest.raises(GameError, match="2 tokens here and 1 before; use reduction='sum'"):
        game(Response(" so", reduction="token"), Changing())(MASKS)
    assert game(Response(" so"), Changing())(MASKS).shape == (16,)
    with pytest.raises(GameError, match="is 2 tokens, but a logit difference needs"):
        game(LogitDifference(" so", " no"), Changing())(MASKS)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (Response(" x"), {"provider": object()}, "object has no method get_logprobs, which Resp"),
        (Generated(lambda a, b: 0.0), {"provider": object()}, "no method generate, which Generat"),
        (Response(), {"provider": object()}, "no method get_logprobs"),
        (Response(" x y", part="y"), {}, "needs a local model"),
        (LogitFunction(lambda logits: logits[:, 0]), {}, "nothing that a server can score"),
        (" x", {}, "nothing that a server can score"),
        (Options(("", " x")), {}, "is empty; give texts"),
        (Response(" x"), {"prompt": "{text}"}, "with every segment removed the prompt is empty"),
        (Response(" x"), {"masking": "attention"}, "is of tokens"),
        (Response(" x"), {"concurrency": 0}, "concurrency=0 is below 1"),
        (Response(" x"), {"name": ""}, "name='' identifies nothing"),
    ],
)
def test_bad_settings_are_refused(target: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        game(target, **settings)


# --- a game like any other ------------------------------------------------------------------------


def test_the_fingerprint_needs_a_name() -> None:
    assert game(Response(" so")).fingerprint is None
    first = game(Response(" so"), name="m, version 1")
    same = game(Response(" so"), Fixed([-1.0]), name="m, version 1", concurrency=3)
    assert same.fingerprint == first.fingerprint
    others = [
        game(Response(" so"), name="m, version 2"),
        game(Response(" no"), name="m, version 1"),
        game(Response(), name="m, version 1"),
        game(Contrast(" so", " no"), name="m, version 1"),
        game(Response(" so"), name="m, version 1", by="word"),
        game(Response(" so"), name="m, version 1", prompt=CHAT),
        game(Generated(lambda a, b: 0.0, "zero"), name="m, version 1"),
        game(Generated(lambda a, b: 0.0, "zero"), Fixed(answer="so"), name="m, version 1"),
    ]
    assert len({each.fingerprint for each in [first, *others]}) == 1 + len(others)
    assert game(Generated(lambda a, b: 0.0), name="m, version 1").fingerprint is None


def test_it_holds_no_state_and_travels() -> None:
    made = pickle.loads(pickle.dumps(game(Response(" so"))))
    before = {name: repr(value) for name, value in vars(made).items() if name != "provider"}
    first = made(MASKS)
    np.testing.assert_array_equal(made(MASKS[::-1]), first[::-1])
    assert {n: repr(v) for n, v in vars(made).items() if n != "provider"} == before


def test_explained_with_a_store_and_refined(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    made = game(Response(" so"), name="m, version 1")
    explanation = ip.explain(made, budget=16, store=store)
    assert explanation.faithfulness.exact
    again = game(Response(" so"), name="m, version 1")
    ip.explain(again, budget=16, store=store)
    assert again.provider.asked == []  # type: ignore[union-attr]
    finer, children = made.refined([0, 2], "word")
    assert finer.n_players == sum(map(len, children)) > 4
    assert np.isfinite(finer(np.ones((1, finer.n_players), dtype=bool))).all()
    np.testing.assert_allclose(
        made.cost(MASKS), [len(made.masked.render(m)) / 4 for m in MASKS], atol=0.6
    )


@pytest.mark.model
def test_a_local_model_behind_a_provider_is_worth_the_same(smollm: Any) -> None:
    model, tokenizer = smollm

    class Local:
        def get_logprobs(self, prompt: str, answer: str) -> list[float]:
            before = len(tokenizer(prompt)["input_ids"])
            ids = tokenizer(prompt + answer, return_tensors="pt")["input_ids"]
            with torch.inference_mode():
                logprobs = model(ids).logits[0].double().log_softmax(-1)
            return [float(logprobs[at - 1, ids[0, at]]) for at in range(before, len(ids[0]))]

    settings: Any = {"prompt": "{text}\n\nTherefore: The key is in the"}
    text = "Anna put the key in the old box. Ben left the garden."
    for target in (Response(" box in the garden"), Contrast(" old box", " garden")):
        np.testing.assert_allclose(
            ProviderGame(Local(), text, target, **settings)(every_mask(2)),
            TextGame(model, tokenizer, text, target, **settings)(every_mask(2)),
            atol=1e-4,
        )
