"""Servers that answer anything: finite numbers, or an error of Interplay's own."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import interplay as ip
from interplay.fourier.masks import every_mask
from interplay.text import ApiGame, Generated, LogitDifference, Options, Response
from tests.text.servers import Reply, serving, truthful

MASKS = every_mask(2)
TARGETS: dict[str, Any] = {
    "echo": Response(" good"),
    "options": Options((" good", " bad")),
    "difference": LogitDifference(" good", " bad"),
    "generated": Generated(lambda answer: float(len(answer))),
}
NAMES = ("choices", "logprobs", "tokens", "token_logprobs", "text_offset", "top_logprobs",
         "content", "token", "logprob", "message", "text", "usage", "total_tokens", "model",
         "system_fingerprint", "bytes", "prompt_logprobs")  # fmt: skip
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([" good", "good", -0.5, 1e308, "\ud800", "\x1b]0;a\x07"])
)
anything = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, list[Any]]]:
    """A server, and the answer that it is to give next: to a request, its reply."""
    answers: list[Any] = []
    with serving(lambda body, number: answers[0](body)) as recorder:
        yield recorder, answers


def ask(server: tuple[Any, list[Any]], target: str, answer: Any, chat: bool) -> None:
    """Ask for all values; they are finite numbers, or there is an error."""
    recorder, answers = server
    answers[:] = [answer]
    prompt: Any = [{"role": "user", "content": "{text}"}] if chat else "{text} It is"
    told, values = "", np.zeros(len(MASKS))
    try:
        game = ApiGame("m", "One. Two.", TARGETS[target], base_url=recorder.url, prompt=prompt,
                       retries=0, timeout=20.0)  # fmt: skip
        values = game(MASKS)
        told = "values"
    except (ip.InterplayError, ValueError) as error:
        told = str(error)
    assert 0 < len(told) < 3000
    assert values.shape[0] == len(MASKS)
    assert np.isfinite(values).all()


def changed(document: Any, places: list[int], values: list[Any]) -> Any:
    """A document with other values at some of its places, counted depth first."""
    count = -1

    def walk(part: Any) -> Any:
        nonlocal count
        count += 1
        if count in places:
            return values[places.index(count)]
        if isinstance(part, dict):
            return {name: walk(member) for name, member in part.items()}
        if isinstance(part, list):
            return [walk(entry) for entry in part]
        return part

    return walk(document)


@pytest.mark.parametrize("target", TARGETS)
@given(
    places=st.lists(st.integers(0, 25), min_size=1, max_size=2, unique=True),
    values=st.lists(anything, min_size=2, max_size=2),
    chat=st.booleans(),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_answer_with_other_parts(
    server: tuple[Any, list[Any]], target: str, places: list[int], values: list[Any], chat: bool
) -> None:
    def answer(body: Any) -> Reply:
        return Reply(changed(truthful(body), places, values))

    ask(server, target, answer, chat and target != "echo")


@given(
    document=anything,
    target=st.sampled_from(sorted(TARGETS)),
    status=st.sampled_from([200, 200, 200, 204, 301, 400, 401, 404, 418]),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_answer(server: tuple[Any, list[Any]], document: Any, target: str, status: int) -> None:
    ask(server, target, lambda body: Reply(document, status=status), chat=False)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        '{"choices":' * 50_000,
        '{"choices": [{"text": "a", "logprobs": ' + "[" * 100_000,
        '{"choices": [' + "9" * 10_000 + "]}",
        '{"choices": [{"text": NaN, "logprobs": {"content": [{"top_logprobs": 7}]}}]}',
        "",
        "null",
        "\x00",
    ],
)
def test_a_body_that_is_no_answer(server: tuple[Any, list[Any]], target: str, body: str) -> None:
    ask(server, target, lambda request: Reply(body.encode()), chat=False)


@pytest.mark.parametrize("target", TARGETS)
def test_a_number_of_tokens_that_is_none(server: tuple[Any, list[Any]], target: str) -> None:
    for total in (float("inf"), float("nan"), -1, 10**300, True, "7", [7]):
        ask(
            server,
            target,
            lambda body, total=total: Reply(truthful(body) | {"usage": {"total_tokens": total}}),
            chat=False,
        )


def test_a_response_that_becomes_large_is_not_read(
    server: tuple[Any, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, answers = server
    game = ApiGame("m", "One. Two.", TARGETS["generated"], base_url=recorder.url,
                   prompt="{text} It is", retries=3)  # fmt: skip
    before = len(recorder)
    packed = gzip.compress(b" " * (50 << 20))
    answers[:] = [lambda body: Reply(packed, headers={"content-encoding": "gzip"})]
    with pytest.raises(ip.GameError, match="its response is compressed, though that was not"):
        game(MASKS[:1])
    monkeypatch.setattr("interplay.text.api.bounded.MOST_BYTES", 1 << 20)
    answers[:] = [lambda body: Reply(b" " * (1 << 21))]
    with pytest.raises(ip.GameError, match="its response has more than 1,048,576 bytes"):
        game(MASKS[:1])
    assert len(recorder) == before + 2, "it is not tried again"
    assert recorder.requests[-1].headers["accept-encoding"] == "identity"
