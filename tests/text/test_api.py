"""ApiGame against servers on the loopback address, most of which behave badly in one way."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.errors import GameError, MissingDependencyError
from interplay.fourier.masks import every_mask, sorted_by_prefix, uniform
from interplay.text.api import ApiGame, Usage
from interplay.text.api import client as api_client
from interplay.text.api import game as api_game
from interplay.text.api.account import RequestFailed
from interplay.text.api.prompt_tokens import read_echo
from interplay.text.inference.generation import Generated
from interplay.text.prompts.masking import Replace
from interplay.text.targets import Contrast, LogitDifference, Options, Response
from tests.conftest import replaced
from tests.text.servers import (
    LISTED,
    LONG,
    Json,
    Recorder,
    Reply,
    Respond,
    answer_to,
    pieces,
    serving,
    truth,
    truthful,
)

TEXT = "The film is long. The cast is fine. I liked the end. My sister slept."
PROMPT = "Review: {text}\nIt is"
CHAT = [{"role": "user", "content": PROMPT}]
DIFFERENCE = LogitDifference(" good", " bad")
KEY = "sk-sentinel/9f3+A7c1"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_FIRST_WAIT", 0.01)
    # requests are counted here; tests/text/test_api_exact.py is about those that are made twice
    monkeypatch.setattr(api_game, "_REPEATED", 0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def game(server: Recorder | str, target: Any = DIFFERENCE, **settings: Any) -> ApiGame:
    """One request for each ablation where the target is the difference of the listed answers."""
    url = server if isinstance(server, str) else server.url
    if target is DIFFERENCE:
        settings = {"method": "top_logprobs", **settings}
    return ApiGame("m", TEXT, target, **{"base_url": url, "prompt": PROMPT, **settings})


def difference(prompt: str) -> float:
    return truth(prompt, " good") - truth(prompt, " bad")


def wanted(of: ApiGame, masks: Any) -> list[float]:
    return [difference(of.prompt(mask)) for mask in masks]


def first_bad(reply: Reply | Callable[[Json], Reply], times: int) -> Callable[[Json, int], Reply]:
    """The first ``times`` requests get ``reply``, the others the truth."""

    def respond(body: Json, number: int) -> Reply:
        if number >= times:
            return Reply(truthful(body))
        return reply(body) if callable(reply) else reply

    return respond


# --- values ---------------------------------------------------------------------------------------


def test_each_method_reads_the_servers_numbers() -> None:
    masks = every_mask(4)
    with serving(lambda body, _: Reply(truthful(body))) as server:
        plain = game(server)
        np.testing.assert_allclose(plain(masks), wanted(plain, masks))

        options = game(server, Options((" good", " fine"), "logprob"))
        prompts = [options.prompt(mask) for mask in masks]
        found = options(masks)
        np.testing.assert_allclose(found, [[truth(p, " good"), truth(p, " fine")] for p in prompts])
        assert options.describe()["outputs"] == [" good", " fine"]

        chat = game(
            server,
            Options(("Yes", " No"), "logprob"),
            prompt=[{"role": "system", "content": "Be brief."}, *CHAT],
        )
        np.testing.assert_allclose(
            chat(masks),
            [[truth(f"Be brief.\n{p}", "Yes"), truth(f"Be brief.\n{p}", "No")] for p in prompts],
        )

        words = " very good indeed"
        response = game(server, Response(words, reduction="token"))
        each = [
            [truth(p + words[: words.index(piece)], piece) for piece in pieces(words)]
            for p in prompts
        ]
        np.testing.assert_allclose(response(masks), each)
        assert response.describe()["outputs"] == [" very", " good", " indeed"]
        np.testing.assert_allclose(
            game(server, Response(words, "prob"))(masks), np.exp(np.sum(each, axis=1))
        )

        several = Options((" very good", " bad"), "logprob")
        np.testing.assert_allclose(
            game(server, several)(masks),
            [[truth(p, " very") + truth(f"{p} very", " good"), truth(p, " bad")] for p in prompts],
        )
        # the difference by echo needs two requests, and is exact also where an answer is unlisted
        rare = game(server, LogitDifference(" odd", " bad"), method="echo")
        np.testing.assert_allclose(
            rare(masks), [truth(p, " odd") - truth(p, " bad") for p in prompts]
        )
        assert rare.usage == Usage(requests=32, tokens=320)


@pytest.mark.parametrize("chat", [False, True])
def test_generated_asks_for_the_original_answer_once(chat: bool) -> None:
    def shared(answer: str, original: str) -> float:
        return len(set(answer.split()) & set(original.split())) / len(set(original.split()))

    masks = every_mask(4)
    with serving(lambda body, _: Reply(truthful(body))) as server:
        plain = game(server)
        prompt = CHAT if chat else PROMPT
        similar = game(server, Generated(shared, "shared words", max_tokens=9), prompt=prompt)
        whole = answer_to(plain.prompt(masks[-1]))
        expected = [shared(answer_to(plain.prompt(mask)), whole) for mask in masks]
        np.testing.assert_allclose(similar(masks[:3]), expected[:3])
        assert len(server) == 4
        assert server.bodies[0]["max_tokens"] == 9
        np.testing.assert_allclose(similar(masks[3:]), expected[3:])
        assert len(server) == 4 + 13
        assert server.requests[0].path.endswith("chat/completions" if chat else "/v1/completions")
        assert similar.fingerprint is not None
        assert game(server, Generated(shared)).fingerprint is None

        def broken(answer: str, original: str) -> float:
            return 1.0 if answer == original else 1 / 0

        with pytest.raises(GameError, match="scorer raised ZeroDivisionError") as caught:
            game(server, Generated(broken), prompt=prompt)(masks)
        assert caught.value.masks is not None
        assert caught.value.masks.tolist() == [[True] * 4]
    with (
        serving(lambda body, _: Reply({"choices": [{"text": " ", "message": {}}]})) as server,
        pytest.raises(GameError, match="the model answers nothing to the whole prompt") as caught,
    ):
        game(server, Generated(shared), prompt=prompt)(masks)
    assert caught.value.masks is None


def test_a_scorer_of_several_numbers() -> None:
    masks = every_mask(4)
    with serving(lambda body, _: Reply(truthful(body))) as server:
        target = Generated(
            lambda answer, original: (len(answer), answer == original), outputs=("length", "same")
        )
        several = game(server, target)
        assert several.describe()["outputs"] == ["length", "same"]
        answers = [answer_to(several.prompt(mask)) for mask in masks]
        np.testing.assert_array_equal(
            several(masks), [(len(answer), answer == answers[-1]) for answer in answers]
        )
        unnamed = game(server, Generated(lambda answer, original: (1.0, 2.0)))
        with pytest.raises(GameError, match=r"scorer raised ValueError: .* one is due"):
            unnamed(masks)


def test_masks_that_read_the_same_are_one_request() -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        twins = ApiGame("m", "So. So.", Response(" good"), base_url=server.url, prompt=PROMPT)
        values = twins(every_mask(2))
        assert len(server) == 3
        assert values[1] == values[2]
        assert twins(np.zeros((0, 2), dtype=bool)).shape == (0,)
        assert len(server) == 3


def test_an_unlisted_answer_gets_an_upper_bound_and_one_warning() -> None:
    masks = every_mask(4)
    with serving(lambda body, _: Reply(truthful(body))) as server:
        rare = game(server, Options((" good", " odd"), "logprob"), allow_bounds=True)
        with pytest.warns(UserWarning, match=r"^5 answers' probabilities .*upper bound"):
            values = rare(masks[:5])
        np.testing.assert_allclose(
            values[:, 1], [min(truth(rare.prompt(m), each) for each in LISTED) for m in masks[:5]]
        )
        rare(masks[5:])
        assert rare.usage.unlisted == 16
        few = game(server, Options((" good", " bad"), "logprob"), top_logprobs=2, allow_bounds=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = few(masks)
        truths = np.array([[truth(few.prompt(m), a) for a in (" good", " bad")] for m in masks])
        assert (values >= truths - 1e-12).all()
        listed = [sorted(LISTED, key=lambda t, m=m: -truth(few.prompt(m), t))[:2] for m in masks]
        assert few.usage.unlisted == sum(
            a not in each for each in listed for a in (" good", " bad")
        )


def test_marks_for_the_unlikely_are_no_log_probabilities() -> None:
    top = {" good": -0.1, " fine": -4.0, " bad": -9999.0, " odd": None}
    choice = {"text": " good", "logprobs": {"top_logprobs": [top]}}
    with (
        serving(lambda body, _: Reply({"choices": [choice]})) as server,
        pytest.warns(UserWarning, match="1 answers' probabilities"),
    ):
        assert game(server, allow_bounds=True)(every_mask(4)[:1])[0] == pytest.approx(-0.1 - -4.0)


def test_a_beginning_token_that_is_no_part_of_the_text() -> None:
    """Some servers list it and count its characters, some count none."""

    def respond(body: Json, number: int) -> Reply:
        said = truthful(body)
        logprobs = said["choices"][0]["logprobs"]
        length = len("<s>") if number % 2 else 0
        logprobs["tokens"].insert(0, "<s>")
        logprobs["token_logprobs"].insert(0, None)
        logprobs["text_offset"] = [0] + [length + start for start in logprobs["text_offset"]]
        return Reply(said)

    with serving(respond) as server:
        response = game(server, Response(" very good"))
        masks = every_mask(4)
        prompts = [response.prompt(mask) for mask in masks]
        np.testing.assert_allclose(
            response(masks), [truth(p, " very") + truth(f"{p} very", " good") for p in prompts]
        )


def _echoed(tokens: list[str], offsets: list[int], text: str) -> Json:
    logprobs = [None, *(-float(at) for at in range(1, len(tokens)))]
    said = {"tokens": tokens, "text_offset": offsets, "token_logprobs": logprobs}
    return {"text": text, "logprobs": said}


def test_the_answers_tokens_are_found_where_characters_come_in_pieces() -> None:
    piece = "\N{REPLACEMENT CHARACTER}"
    # offsets that count each piece as a character: the answer's own texts tell where it is
    drifted = _echoed([piece, piece, " is", " good"], [0, 1, 2, 5], "é is good")
    assert read_echo(drifted, "é is", " good").logprobs.tolist() == [-3.0]
    # with one token generated, and with one that ends texts
    more = _echoed(["It", " is", " so", " so", " so"], [0, 2, 5, 8, 11], "It is so so so")
    assert read_echo(more, "It is", " so so").logprobs.tolist() == [-2.0, -3.0]
    ended = _echoed(["It", " is", " so", "</s>"], [0, 2, 5, 8], "It is so")
    assert read_echo(ended, "It is", " so").logprobs.tolist() == [-2.0]
    # pieces in the answer: the offsets tell, where they add up
    exact = _echoed(["<s>", "It", " is", f" {piece}", piece], [0, 3, 5, 8, 9], "It is é")
    assert read_echo(exact, "It is", " é").logprobs.tolist() == [-3.0, -4.0]
    octets = _echoed(["It", " is", "bytes: \\xc3", "bytes:\\xa9"], [0, 2, 5, 6], "It is é")
    assert read_echo(octets, "It is", " é").logprobs.tolist() == [-2.0, -3.0]
    for prompt, tokens, offsets in (
        ("It is", ["It", " is", f" {piece}", piece], [0, 2, 5, 7]),
        ("é is", [piece, piece, " is", f" {piece}", piece], [0, 1, 2, 5, 7]),
    ):
        with pytest.raises(RequestFailed, match="cuts characters in pieces"):
            read_echo(_echoed(tokens, offsets, f"{prompt} é"), prompt, " é")


def test_the_token_that_is_generated_after_an_echo_does_not_count() -> None:
    def respond(body: Json, number: int) -> Reply:
        assert body["max_tokens"] == 1  # to some servers, 0 is without end
        said = truthful(body)
        said["choices"][0]["text"] += " more"
        logprobs = said["choices"][0]["logprobs"]
        for name, value in (("tokens", " more"), ("token_logprobs", -1.0)):
            logprobs[name].append(value)
        logprobs["text_offset"].append(len(body["prompt"]))
        return Reply(said)

    masks = every_mask(4)
    with serving(respond) as server:
        response = game(server, Response(" good"))
        expected = [truth(response.prompt(mask), " good") for mask in masks]
        np.testing.assert_allclose(response(masks), expected)
        assert response.usage == Usage(requests=16, tokens=160)


def test_openais_newer_name_for_the_length() -> None:
    def respond(body: Json, number: int) -> Reply:
        if "max_tokens" in body:
            message = "'max_tokens' is not supported; use 'max_completion_tokens' instead."
            return Reply({"error": {"message": message}}, 400)
        return Reply(truthful(body))

    with serving(respond) as server:
        similar = game(server, Generated(lambda a, b: float(a == b)), prompt=CHAT)
        assert similar(every_mask(4))[-1] == 1.0
        assert len(server) == 17
        assert all(body["max_completion_tokens"] == 64 for body in server.bodies[1:])


# --- what goes wrong and passes -------------------------------------------------------------------

GARBLED = {
    "429": Reply({"error": {"message": "slow down"}}, 429),
    "429 with Retry-After": Reply({}, 429, {"retry-after": "0.05"}),
    "500": Reply(b"oops", 500),
    "503": Reply({"detail": "loading"}, 503, {"retry-after": "0"}),
    "hang-up in mid body": Reply({"choices": [{"text": "x" * 500}]}, cut=40),
    "hang-up at once": Reply({"choices": []}, cut=0),
    "truncated JSON": Reply(b'{"choices": [{"text": " go'),
    "not JSON": Reply(b"<html>busy</html>", headers={"content-type": "text/html"}),
    "no choices": Reply({"choices": []}),
    "an error for an answer": Reply({"error": {"message": "overloaded"}}),
    "not an object": Reply(b"[1]"),
    "too slow": Reply(never=True),
}


@pytest.fixture
def time_is_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the time-outs that the client has set expire now: when, no clock decides."""
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Timeout]] = []

    @asynccontextmanager
    async def timeout(seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(seconds) as limit:
            running.append((asyncio.get_running_loop(), limit))
            try:
                yield
            finally:
                running.pop()

    def expire() -> None:
        for loop, limit in running:
            loop.call_soon_threadsafe(limit.reschedule, loop.time())

    monkeypatch.setattr(api_client, "asyncio", replaced(asyncio, timeout=timeout))
    return expire


def impatient(respond: Respond, expire: Callable[[], None]) -> Respond:
    """As ``respond``, but the time is up as soon as a request has come that is never answered."""

    def impatiently(body: Json, number: int) -> Reply:
        reply = respond(body, number)
        if reply.never:
            expire()
        return reply

    return impatiently


@pytest.mark.parametrize("kind", GARBLED)
def test_what_passes_is_tried_again(kind: str, time_is_up: Callable[[], None]) -> None:
    masks = every_mask(4)
    with serving(impatient(first_bad(GARBLED[kind], 3), time_is_up)) as server:
        tried = game(server, timeout=LONG, concurrency=1)
        np.testing.assert_allclose(tried(masks), wanted(tried, masks))
        assert len(server) == 16 + 3
        assert (tried.usage.requests, tried.usage.retries) == (19, 3)


@pytest.mark.parametrize("kind", GARBLED)
def test_after_the_last_attempt_the_error_says_what_came(
    kind: str, time_is_up: Callable[[], None]
) -> None:
    said = {
        "429": "answered 429: slow down",
        "429 with Retry-After": "answered 429",
        "500": "answered 500: oops",
        "503": "answered 503: loading",
        "hang-up in mid body": "the connection to the server .* failed",
        "hang-up at once": "the connection to the server .* failed",
        "truncated JSON": "not JSON, or only part of it",
        "not JSON": "<html>busy</html>",
        "no choices": "without choices",
        "an error for an answer": "without choices.*overloaded",
        "not an object": r"without choices: '\[1\]'",
        "too slow": "did not answer within timeout=600 s; raise timeout",
    }
    with (
        serving(impatient(lambda body, number: GARBLED[kind], time_is_up)) as server,
        pytest.raises(GameError, match=rf"(?s){said[kind]}.*\(3 attempts\)") as caught,
    ):
        game(server, timeout=LONG, retries=2)(every_mask(4))
    assert len(server) == 3
    assert caught.value.masks is None


def test_all_errors_at_once_under_load() -> None:
    """Two prompts of three fail at first, each in another way, and all the values are right."""
    bad = [GARBLED[kind] for kind in GARBLED if kind != "too slow"]
    tries: dict[str, int] = {}

    def respond(body: Json, number: int) -> Reply:
        before = tries.get(body["prompt"], 0)
        tries[body["prompt"]] = before + 1
        if before < zlib.crc32(body["prompt"].encode()) % 3:
            return bad[number % len(bad)]
        return Reply(truthful(body))

    masks = uniform(60, 7, np.random.default_rng(0))
    with serving(respond) as server:
        many = ApiGame(
            "m",
            "a b c d e f g",
            DIFFERENCE,
            by="word",
            base_url=server.url,
            prompt=PROMPT,
            method="top_logprobs",
        )
        np.testing.assert_allclose(many(masks), wanted(many, masks))
        assert many.usage.requests == len(server) == 60 + many.usage.retries
        failing = [zlib.crc32(many.prompt(mask).encode()) % 3 for mask in masks]
        assert many.usage.retries == sum(failing) > 40


class Clock:
    """The client's clock: it stands still but for the client's own sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.slept = threading.Event()
        monkeypatch.setattr(api_client, "asyncio", replaced(asyncio, sleep=self.sleep))
        monkeypatch.setattr(api_client, "time", replaced(time, monotonic=lambda: self.now))

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.set()
        await asyncio.sleep(0)


def test_retry_after_is_honoured_by_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    came: dict[int, float] = {}

    def respond(body: Json, number: int) -> Reply:
        came[number] = clock.now
        if number == 1:
            server.wait_for(requests=3)
            return Reply({}, 429, {"retry-after": "0.6"})
        if number == 2:  # beside it, in flight until the client has read that it must wait
            assert clock.slept.wait(LONG)
        return Reply(truthful(body))

    masks = every_mask(4)
    with serving(respond) as server:
        game(server, concurrency=2)(masks)
    assert len(came) == 17
    # the first alone, the one that is put off, and one other beside it; all that follow wait
    assert [came[number] for number in range(3)] == [0.0] * 3
    assert all(came[number] == pytest.approx(0.6) for number in range(3, 17))


def test_retry_after_as_a_date_and_one_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=250), usegmt=True)
    with serving(first_bad(Reply({}, 503, {"retry-after": soon}), 1)) as server:
        game(server)(every_mask(4)[:1])
        assert len(server) == 2
    assert 0.0 < clock.now <= 250.0
    with (
        serving(lambda body, number: Reply({}, 429, {"retry-after": "7200"})) as server,
        pytest.raises(
            GameError, match=r"asks to wait 7200 s, above the longest wait of 300 s; run again"
        ),
    ):
        game(server)(every_mask(4))
    assert len(server) == 1


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_at_most_so_many_requests_at_once(concurrency: int) -> None:
    def respond(body: Json, number: int) -> Reply:
        if number:  # the first is sent alone; the others are held until there are enough of them
            server.wait_for(at_once=concurrency)
        return Reply(truthful(body), delay=0.01)  # in which one too many could come

    with serving(respond) as server:
        game(server, concurrency=concurrency)(every_mask(4))
    assert server.most_at_once == concurrency


# --- what goes wrong for good ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_refusals_are_not_tried_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    said = {
        400: "answered 400: no such luck",
        401: "does not accept the key that was read from the environment variable MY_KEY; set that",
        403: "does not accept the key that was read from the environment variable MY_KEY; set that",
        404: "answered 404: no such luck; check the model's name, and that base_url",
        422: "answered 422: no such luck",
    }
    with (
        serving(
            lambda body, number: Reply({"error": {"message": "no such luck"}}, status)
        ) as server,
        pytest.raises(GameError, match=said[status]),
    ):
        game(server, key_variable="MY_KEY")(every_mask(4))
    assert len(server) == 1


def test_a_server_here_that_asks_for_a_key_after_all() -> None:
    with (
        serving(lambda body, number: Reply({}, 401)) as server,
        pytest.raises(GameError, match="it asks for a key in the environment variable OPENAI_API"),
    ):
        game(server)(every_mask(4))


def test_an_exhausted_quota_is_for_good() -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    with (
        serving(lambda _, number: Reply(body, 429)) as server,
        pytest.raises(GameError, match="You exceeded your quota"),
    ):
        game(server)(every_mask(4))
    assert len(server) == 1


def test_a_game_that_counts_what_it_spends_stays_in_its_process() -> None:
    with pytest.raises(TypeError, match='use backend="local" and let concurrency'):
        pickle.dumps(game("http://127.0.0.1:9/v1"))


def test_nobody_listens() -> None:
    with serving(lambda body, number: Reply()) as server:
        url = server.url
    with pytest.raises(GameError, match=r"connection to the server .* failed.*check base_url"):
        game(url, retries=1)(every_mask(4))


def test_values_paid_for_come_with_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One prompt is refused; those in flight are finished, and nothing new is begun."""
    send, refused_there = api_client.Connection.send, threading.Event()

    async def noted(*given: Any) -> Any:
        try:
            return await send(*given)
        except RequestFailed:
            refused_there.set()
            raise

    monkeypatch.setattr(api_client.Connection, "send", noted)

    def respond(body: Json, number: int) -> Reply:
        if 1 <= number <= 4:
            server.wait_for(requests=5)
        elif number == 5:
            server.wait_for(requests=9)  # with three beside it
            return Reply({"error": {"message": "this text is not allowed"}}, 400)
        elif number in (6, 7, 8):
            assert refused_there.wait(LONG)  # they are in flight when the client reads that
        return Reply(truthful(body))

    masks = every_mask(4)
    with serving(respond) as server:
        refused = game(server, concurrency=4)
        with pytest.raises(GameError, match="this text is not allowed") as caught:
            refused(masks)
        # the first alone, four at once, then the one refused with three beside it
        assert len(server) == 9
    error = caught.value
    assert error.masks is not None
    assert error.values is not None
    assert len(error.masks) == 8
    assert "8 of the 16 masks of this call have values" in str(error)
    np.testing.assert_allclose(error.values, wanted(refused, error.masks))


def test_caps_are_exact_and_hold_across_calls() -> None:
    masks = every_mask(4)
    with serving(lambda body, number: Reply(truthful(body))) as server:
        capped = game(server, max_requests=10)
        capped(masks[:4])
        with pytest.raises(
            GameError, match=r"would pass max_requests=10.*10 requests and 100 tokens"
        ) as caught:
            capped(masks[4:])
        assert len(server) == 10
        assert caught.value.masks is not None
        assert caught.value.values is not None
        assert len(caught.value.masks) == 6
        np.testing.assert_allclose(caught.value.values, wanted(capped, caught.value.masks))
        with pytest.raises(GameError, match="would pass max_requests=10"):
            capped(masks[:1])
        assert len(server) == 10
        assert capped.usage == Usage(requests=10, tokens=100)


def test_retries_count_against_the_cap() -> None:
    with serving(lambda body, number: GARBLED["500"]) as server:
        capped = game(server, max_requests=3)
        with pytest.raises(GameError, match=r"would pass max_requests=3.*3 requests and 0 tokens"):
            capped(every_mask(4))
        assert len(server) == 3


@pytest.mark.parametrize("reports", [True, False])
def test_the_cap_on_tokens(reports: bool) -> None:
    def respond(body: Json, number: int) -> Reply:
        said = truthful(body)
        said["usage"] = {"total_tokens": 50} if reports else None
        return Reply(said)

    masks = every_mask(4)
    with serving(respond) as server:
        capped = game(server, max_tokens=520, concurrency=4)
        if reports:
            # estimates are a fraction of what is reported, which the first answer shows
            with pytest.raises(GameError, match=r"would pass max_tokens=520.* tokens"):
                capped(masks)
            assert 400 < capped.usage.tokens <= 520
            assert capped.usage.tokens == 50 * len(server)
        else:
            capped(masks)
            estimates = [math.ceil(len(body["prompt"]) / 4) + 1 for body in server.bodies]
            assert capped.usage.tokens == sum(estimates) <= 520


# --- servers that cannot do what is needed --------------------------------------------------------


def _without(*path: str | int, value: Any = None) -> Callable[[Json, int], Reply]:
    """The truthful answer with one part of its first choice replaced."""

    def respond(body: Json, number: int) -> Reply:
        said = truthful(body)
        part = said["choices"][0]
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value
        return Reply(said)

    return respond


@pytest.mark.parametrize(
    ("target", "settings", "respond", "message"),
    [
        (
            Response(" good"),
            {},
            _without("logprobs"),
            "without the log-probabilities of the prompt's own tokens.*use "
            "Options or LogitDifference.*or Generated",
        ),
        (Response(" good"), {}, _without("text", value=" good"), "ignores echo=True"),
        (
            Response(" good"),
            {},
            _without("logprobs", "token_logprobs", -1),
            "no log-probability for some token of the answer ' good'",
        ),
        (Response(" good"), {}, _without("logprobs", "tokens"), "cannot be read.*protocol"),
        (Response("good"), {"prompt": "{text} It is "}, None, "token ' good' begins in the prompt"),
        (
            Response(" good"),
            {"method": "prompt_logprobs"},
            None,
            "without prompt_logprobs, which is vLLM's own; outside of a chat try method='echo'",
        ),
        (DIFFERENCE, {}, _without("logprobs"), "without the next token's.*use Generated"),
        (DIFFERENCE, {"prompt": CHAT}, _without("logprobs"), "without the next token's"),
        (DIFFERENCE, {}, _without("logprobs", "top_logprobs", value=[None]), "without the next"),
        (DIFFERENCE, {}, _without("logprobs", value="many"), "cannot be read"),
        (Generated(lambda a, b: 0.0), {"prompt": CHAT}, _without("message"), "cannot be read"),
        (
            LogitDifference(" good-ish", " bad"),
            {"method": "echo"},
            lambda body, number: Reply(_halved(truthful(body))),
            "the answer ' good-ish' is 2 tokens, but a logit difference",
        ),
    ],
)
def test_one_request_shows_what_a_server_cannot_do(
    target: Any, settings: Json, respond: Any, message: str
) -> None:
    with (
        serving(respond or (lambda body, number: Reply(truthful(body)))) as server,
        pytest.raises(GameError, match=message),
    ):
        game(server, target, **settings)(every_mask(4))
    if respond is None and "prompt" in settings:
        return
    assert len(server) == 1


def _halved(said: Json) -> Json:
    """The last token in two."""
    logprobs = said["choices"][0]["logprobs"]
    last, start = logprobs["tokens"].pop(), logprobs["text_offset"].pop()
    logprobs["tokens"] += [last[:3], last[3:]]
    logprobs["text_offset"] += [start, start + 3]
    logprobs["token_logprobs"].append(-1.0)
    return said


def test_tokens_that_change_with_the_prompt_have_no_outputs_of_their_own() -> None:
    def respond(body: Json, number: int) -> Reply:
        said = truthful(body)
        return Reply(_halved(said) if number == 1 else said)

    with serving(respond) as server, pytest.raises(GameError, match="use score='logprob'"):
        game(server, Response(" good", reduction="token"), concurrency=1)(every_mask(4))
    with serving(respond) as server:
        assert game(server, Response(" good"), concurrency=1)(every_mask(4)).shape == (16,)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (Response(), {}, "the response has no text"),
        (Response(" x", tokens=(7,)), {}, "the tokens of a response need a local model"),
        (" good", {}, r"target=' good' is nothing that a server can score"),
        (LogitDifference(" a", " b c"), {}, "' b c' is of several words, but a logit difference"),
        (Options((" a", "")), {}, "is empty; give texts"),
        (DIFFERENCE, {"method": "generate"}, "choose one of exact, top_logprobs, echo, prompt_"),
        (
            DIFFERENCE,
            {"method": "echo", "prompt": CHAT},
            "choose one of top_logprobs, prompt_logprobs, or leave",
        ),
        (DIFFERENCE, {"prompt": "none"}, r"holds \{text\} 0 times"),
        (DIFFERENCE, {"prompt": "{text}"}, "with every segment removed the prompt is empty"),
        (DIFFERENCE, {"masking": "attention"}, "is of tokens, which a server does not take"),
        (DIFFERENCE, {"by": "token"}, "needs a local model's tokenizer"),
        (Response(" x y", part="y"), {}, "needs a local model; with a server let the prompt end"),
        (DIFFERENCE, {"base_url": "localhost:80"}, "is no http address; give one such as"),
        (DIFFERENCE, {"concurrency": 0}, "concurrency=0 is below 1"),
        (DIFFERENCE, {"retries": -1}, "retries=-1 is below 0"),
        (DIFFERENCE, {"timeout": 0}, "timeout=0 is not above 0"),
        (DIFFERENCE, {"top_logprobs": 0}, "top_logprobs=0 is below 1"),
        (DIFFERENCE, {"max_requests": 0}, "max_requests=0 is below 1"),
        (DIFFERENCE, {"max_tokens": -5}, "max_tokens=-5 is below 1"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_sent(
    target: Any, settings: Json, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        game("http://127.0.0.1:9/v1", target, **settings)


def test_the_plan() -> None:
    planned = game("http://user:secret@127.0.0.1:9/v1/?api-version=3", concurrency=5)
    assert planned.n_players == 4
    assert planned.players[1] == "The cast is fine."
    assert planned.batch_size == 20
    masks = every_mask(4)
    # nothing that is paid for is shared, so every call is a stride: a stopped run loses none
    np.testing.assert_array_equal(planned.arrange(masks), np.arange(16))
    lengths = np.array([len(planned.prompt(mask)) for mask in masks])
    np.testing.assert_allclose(planned.cost(masks), lengths / 4 + 1, atol=0.6)
    filled = game("http://127.0.0.1:9/v1", Options((" a b", " c")), masking=Replace("[...]"))
    lengths = np.array([len(filled.prompt(mask)) for mask in masks])
    np.testing.assert_allclose(filled.cost(masks), 2 * lengths / 4 + 6 / 4, atol=1e-9)
    description = planned.describe()
    assert description["base_url"] == "http://127.0.0.1:9/v1"
    assert description["lens"] == "text"
    assert description["paid"] is True
    assert description["method"] == "top_logprobs"
    assert description["targets"] == [
        {"kind": "LogitDifference", "positive": " good", "negative": " bad"}
    ]
    assert "secret" not in json.dumps(description) + repr(planned)
    assert game("https://example.com/v1")._endpoint.loopback is False
    assert game("", base_url=None).describe()["base_url"] == "https://api.openai.com/v1"


def test_the_fingerprint_is_of_what_is_asked() -> None:
    url = "http://127.0.0.1:9/v1"
    first = game(url)
    same = [game(url, concurrency=2, timeout=1.0, retries=0, max_requests=5, max_tokens=9)]
    same.append(game(url, key_variable="OTHER"))
    same.append(game("http://127.0.0.1:9/v1/"))
    # without bounds, an answer that is not listed has no value
    same.append(game(url, top_logprobs=5))
    assert {each.fingerprint for each in same} == {first.fingerprint}
    others = [
        game(url, revision="2"),
        game(url, prompt=CHAT),
        game(url, prompt=[{"role": "system", "content": "x"}, *CHAT]),
        game(url, method="echo"),
        game(url, method="exact"),
        game(url, allow_bounds=True),
        game(url, allow_bounds=True, top_logprobs=5),
        game(url, Contrast(" good", " bad")),
        game(url, LogitDifference(" good", " fine")),
        game(url, Options((" good", " bad"))),
        game(url, Options((" good", " bad"), "share")),
        game(url, Generated(lambda a, b: 0.0, "zero")),
        game(url, Generated(lambda a, b: 0.0, "zero", max_tokens=3)),
        game(url, by="word"),
        game(url, masking=Replace("_")),
        game(url, prompt="{text} So"),
        game("http://127.0.0.1:10/v1"),
        ApiGame("other", TEXT, DIFFERENCE, base_url=url, prompt=PROMPT, method="top_logprobs"),
    ]
    assert len({each.fingerprint for each in [first, *others]}) == 1 + len(others)


@pytest.mark.slow
def test_the_client_is_imported_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from interplay.text import ApiGame, Generated; "
        "ApiGame('m', 'A b.', Generated(len), by='word', prompt='x{text}'); "
        "assert not {'openai', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setattr(api_client, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "interplay\[api\]"'):
        game("http://127.0.0.1:9/v1")


# --- where it is called from ----------------------------------------------------------------------


def test_inside_of_a_running_event_loop() -> None:
    masks = every_mask(4)
    with serving(lambda body, number: Reply(truthful(body))) as server:

        async def notebook() -> Any:
            called = game(server)
            return called(masks), wanted(called, masks)

        found, expected = asyncio.run(notebook())
    np.testing.assert_allclose(found, expected)


def test_an_interrupt_ends_the_call_and_keeps_what_came() -> None:
    """Without waiting for the two requests in flight, which are never answered."""
    masks = every_mask(4)

    def respond(body: Json, number: int) -> Reply:
        if number == 5:  # of two at a time: the first four have been read
            os.kill(os.getpid(), signal.SIGINT)
        return Reply(truthful(body), never=number >= 4)

    with serving(respond) as server:
        stopped = game(server, concurrency=2, timeout=2 * LONG)
        with pytest.raises(KeyboardInterrupt) as caught:
            stopped(masks)
        assert not server.closing.is_set()
        # they are asked in an order in which neighbours share their beginning
        first = masks[np.sort(sorted_by_prefix(masks)[:4])]
        assert caught.value.masks.tolist() == first.tolist()  # type: ignore[attr-defined]
        np.testing.assert_allclose(
            caught.value.values,  # type: ignore[attr-defined]
            wanted(stopped, first),
        )


def test_end_to_end_with_a_store(tmp_path: Path) -> None:
    with serving(lambda body, number: Reply(truthful(body))) as server:
        store = tmp_path / "runs.db"
        words = {"by": "word", "text": "one two three four five six seven"}
        asked = ApiGame(
            "m", words["text"], Response(" good"), by="word", base_url=server.url, prompt=PROMPT
        )
        first = ip.explain(asked, decoder="lasso", budget=40, store=store)
        assert len(server) == 40
        again = ApiGame(
            "m", words["text"], Response(" good"), by="word", base_url=server.url, prompt=PROMPT
        )
        second = ip.explain(again, decoder="lasso", budget=40, store=store)
        assert len(server) == 40
        assert again.usage == Usage()
        assert first.spectrum.predict(every_mask(7)) == pytest.approx(
            second.spectrum.predict(every_mask(7))
        )


# --- the key --------------------------------------------------------------------------------------


def test_the_key_appears_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    traces: list[str] = []

    def authorised(server: Recorder) -> None:
        assert server.requests
        assert all(r.headers["authorization"] == f"Bearer {KEY}" for r in server.requests)

    with serving(lambda body, number: Reply(truthful(body))) as server:
        asked = game(server, Options((" good", " odd")), allow_bounds=True)
        store = tmp_path / "runs.db"
        with pytest.warns(UserWarning, match="upper bound") as warned:
            explanation = ip.explain(asked, budget=16, store=store)
        authorised(server)
        explanation.save(tmp_path / "a.interplay")
        explanation.to_html(tmp_path / "a.html")
        traces += [str(each.message) for each in warned]
        traces += [repr(asked), json.dumps(asked.describe()), str(asked.fingerprint)]
        traces += [repr(vars(asked)), repr(explanation), repr(vars(asked._endpoint))]

    def echoing(status: int) -> Callable[[Json, int], Reply]:
        said = f"bad header Authorization: Bearer {KEY} "
        body = {"error": {"message": said, "again": json.dumps(said)}}
        return lambda _, number: Reply(body, status)

    def raw(body: Json, number: int) -> Reply:
        return Reply(f"not JSON {KEY} {KEY.replace('/', '%2F').replace('+', '%2B')}".encode())

    failing: list[Callable[[Json, int], Reply]] = [
        echoing(s) for s in (400, 401, 403, 404, 429, 500)
    ]
    failing += [raw, lambda body, number: Reply({"oops": KEY})]
    failing += [lambda body, number: Reply({"choices": [{"text": KEY, "logprobs": KEY}]})]
    for respond in failing:
        with serving(respond) as server, pytest.raises(GameError) as caught:
            game(server, retries=1)(every_mask(4))
        authorised(server)
        error: BaseException | None = caught.value
        while error is not None:
            traces += [str(error), repr(error), repr(error.__dict__)]
            assert not hasattr(error, "request")
            error = error.__cause__ or error.__context__
        traces.append(str(caught.getrepr(style="long", showlocals=True)))

    traces.append(caplog.text)
    assert "httpcore" in caplog.text  # the logs were on
    traces += [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir() if path.is_file()]
    with zipfile.ZipFile(tmp_path / "a.interplay") as saved:
        traces += [saved.read(name).decode("latin-1") for name in saved.namelist()]
    assert len(traces) > 30
    for trace in traces:
        for form in (KEY, KEY.replace("/", "%2F").replace("+", "%2B"), KEY[3:15]):
            assert form not in trace


def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda body, number: Reply(truthful(body))) as server:
        game(server)(every_mask(4)[:1])
        # a server on this machine mostly asks for none
        assert server.requests[0].headers["authorization"] == "Bearer none"
        monkeypatch.setenv("MY_KEY", " first\n")
        called = game(server, key_variable="MY_KEY")
        called(every_mask(4)[:1])
        monkeypatch.setenv("MY_KEY", "second")
        called(every_mask(4)[:1])
        sent = [asked.headers["authorization"] for asked in server.requests[1:]]
        assert sent == ["Bearer first", "Bearer second"]
        monkeypatch.setenv("MY_KEY", "zwei Wörter")
        with pytest.raises(GameError, match="MY_KEY holds white space or characters outside") as e:
            called(every_mask(4)[:1])
        assert "Wörter" not in str(e.value)
    monkeypatch.delenv("MY_KEY")
    far = game("https://models.invalid/v1", key_variable="MY_KEY")
    with pytest.raises(GameError, match=r"MY_KEY is not set; set it to the key for https://models"):
        far(every_mask(4))
    assert far.usage == Usage()


def test_the_query_of_the_address_is_sent_and_not_shown() -> None:
    with serving(lambda body, number: Reply(truthful(body))) as server:
        versioned = game(server.url + "?api-version=7")
        versioned(every_mask(4)[:1])
        assert server.requests[0].path == "/v1/completions?api-version=7"
        assert "api-version" not in repr(versioned) + json.dumps(versioned.describe())
