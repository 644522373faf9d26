"""Exact values from servers: by echo where they can, and whether they stay the same."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.text import ApiGame, Contrast, LogitDifference, Options, Response
from interplay.text.api import Usage
from interplay.text.api.account import RequestFailed
from interplay.text.api.prompt_tokens import read_echo, read_prompt_logprobs
from tests.text.servers import BEGINNING, Json, Reply, pieces, serving, truth, truthful

TEXT = "The film is long. The cast is fine. I liked the end. My sister slept."
PROMPT = "Review: {text}\nIt is"
CHAT = [{"role": "user", "content": PROMPT}]
MASKS = every_mask(4)
REPEATED = 3
"""Ablations that are asked again."""


def game(url: str, target: Any, **settings: Any) -> ApiGame:
    settings = {"prompt": PROMPT, "retries": 0, **settings}
    return ApiGame("m", TEXT, target, base_url=url, **settings)


def without_echo(body: Json, number: int) -> Reply:
    """As llama.cpp's server: it takes no notice of ``echo``."""
    return Reply(truthful({name: value for name, value in body.items() if name != "echo"}))


def refusing(status: int) -> Callable[[Json, int], Reply]:
    def respond(body: Json, number: int) -> Reply:
        if body.get("echo"):
            return Reply({"error": {"message": "echo is not supported"}}, status)
        return Reply(truthful(body))

    return respond


# --- by echo, or among the listed -----------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        Options((" good", " odd"), "logprob"),
        LogitDifference(" odd", " bad"),
        Contrast(" odd", " bad"),
    ],
)
def test_a_server_that_can_echo_does_so_unasked(target: Any) -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        asked = game(server.url, target)
        assert asked.method == "exact"
        assert asked.observed()["method"] is None
        values = asked(MASKS)
        expected = [[truth(asked.prompt(m), answer) for answer in target.answers] for m in MASKS]
        np.testing.assert_allclose(
            values,
            expected if isinstance(target, Options) else -np.diff(expected, axis=1)[:, 0],
        )
        assert asked.observed()["method"] == "echo"
        assert all(body["echo"] for body in server.bodies)
        assert asked.usage == Usage(requests=2 * (16 + REPEATED), tokens=20 * (16 + REPEATED))


@pytest.mark.parametrize("respond", [without_echo, *map(refusing, (400, 404, 405, 422))])
def test_a_server_that_cannot_echo_lists(respond: Callable[[Json, int], Reply]) -> None:
    with serving(respond) as server:
        asked = game(server.url, LogitDifference(" good", " bad"))
        expected = [truth(asked.prompt(m), " good") - truth(asked.prompt(m), " bad") for m in MASKS]
        before = asked.cost(MASKS)
        np.testing.assert_allclose(asked(MASKS), expected)
        assert asked.observed()["method"] == "top_logprobs"
        assert sum("echo" in body for body in server.bodies) <= 2
        # two requests for each ablation were planned, and one is made
        assert (before > 1.5 * asked.cost(MASKS)).all()
        fingerprint = asked.fingerprint
        assert fingerprint == game(server.url, LogitDifference(" good", " bad")).fingerprint


def test_an_answer_that_is_neither_echoed_nor_listed_has_no_value() -> None:
    with serving(without_echo) as server:
        for target in (Options((" good", " odd")), Contrast(" odd", " bad")):
            with pytest.raises(GameError, match=r"' odd' is not among.*asked for echo first"):
                game(server.url, target)(MASKS)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_other_failures_are_no_lack_of_echo(status: int) -> None:
    with serving(refusing(status)) as server:
        with pytest.raises(GameError):
            game(server.url, Options((" good", " bad")))(MASKS)
        assert len(server) == 1


def test_bounds_are_listed_and_have_a_fingerprint_of_their_own() -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        options = Options((" good", " odd"))
        exact, bounds = game(server.url, options), game(server.url, options, allow_bounds=True)
        assert bounds.method == "top_logprobs"
        prints = {
            exact.fingerprint,
            bounds.fingerprint,
            game(server.url, options, method="top_logprobs").fingerprint,
            game(server.url, options, allow_bounds=True, top_logprobs=5).fingerprint,
        }
        assert len(prints) == 4


def test_an_answer_that_begins_inside_a_token_has_no_value() -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        for target in (Options(("good", "bad")), Contrast("good", "bad"), Response("good")):
            with pytest.raises(GameError, match="token ' good' begins in the prompt and ends in"):
                game(server.url, target, prompt="{text}\nIt is ")(MASKS)


# --- pieces of characters, as vLLM lists them -----------------------------------------------------


def _listed(tokens: list[str]) -> tuple[Json, Json]:
    """The choices by echo and in vLLM's own form; log-probabilities are minus the positions."""
    starts = [len("".join(tokens[:at])) for at in range(len(tokens))]
    logprobs = [None, *(-float(at) for at in range(1, len(tokens)))]
    listed = {"tokens": tokens, "text_offset": starts, "token_logprobs": logprobs}
    positions = [
        value and {"7": {"logprob": value, "rank": 2, "decoded_token": token}}
        for token, value in zip(tokens, logprobs, strict=True)
    ]
    return {"text": "".join(tokens), "logprobs": listed}, {"prompt_logprobs": positions}


@pytest.mark.parametrize(
    ("tokens", "answer", "expected"),
    [
        # a space and a part of the letter, the rest of it, the next letter
        (["It", " is", "", " ἄ", "ν"], " ἄν", [-2.0, -3.0, -4.0]),
        (["Hi", "", " 😀", "", "", "😀"], " 😀😀", [-1.0, -2.0, -3.0, -4.0, -5.0]),
        (["Hi", "", " 😀", "", "", "😀"], "😀", [-3.0, -4.0, -5.0]),
        (["日", "", "本"], "本", [-1.0, -2.0]),
        (["It", " is", " good"], " good", [-2.0]),
        # a token without text that is no piece: what it belongs to has no pieces
        (["It", "", "so"], "so", [-2.0]),
    ],
)
def test_all_pieces_of_an_answers_characters_count(
    tokens: list[str], answer: str, expected: list[float]
) -> None:
    echoed, listed = _listed(tokens)
    prompt = "".join(tokens).removesuffix(answer)
    assert read_echo(echoed, prompt, answer).logprobs.tolist() == expected
    assert read_prompt_logprobs(listed, prompt, answer).logprobs.tolist() == expected


def test_a_character_that_begins_with_the_prompts_last_space() -> None:
    echoed, listed = _listed(["It", " is", "", " ἄ", "ν"])
    with pytest.raises(RequestFailed, match="token ' ἄ' begins in the prompt"):
        read_echo(echoed, "It is ", "ἄν")
    with pytest.raises(RequestFailed, match="token ' ἄ' begins in the prompt"):
        read_prompt_logprobs(listed, "It is ", "ἄν")


def test_an_end_token_that_the_server_appends_is_no_part_of_the_answer() -> None:
    for generated in ("", " more"):
        tokens = ["<s>", "It", " is", " good", "</s>", *([generated] if generated else [])]
        echoed, _ = _listed(tokens)
        echoed["text"] = "It is good" + generated
        assert read_echo(echoed, "It is", " good").logprobs.tolist() == [-3.0]


# --- texts without their spaces, as of Llama 2's tokens -------------------------------------------


def spaceless(body: Json, number: int) -> Reply:
    """A server whose tokens are words with the space before them, and whose texts lack it."""
    assert body["max_tokens"] == 1
    tokens = pieces(body["prompt"])
    values = [truth("".join(tokens[:at]), token) for at, token in enumerate(tokens)]
    ids = [zlib.crc32(token.encode()) for token in tokens]
    texts = [token.strip(" ") or token for token in tokens]
    choice: Json = {"text": body["prompt"] if body.get("echo") else " so"}
    choice["logprobs"] = {
        "tokens": texts,
        "text_offset": [0] * len(tokens),
        "token_logprobs": [None, *values[1:]],
    }
    choice["prompt_token_ids"] = ids if body.get("return_token_ids") else None
    choice["prompt_logprobs"] = [None] + [
        {str(key): {"logprob": value, "decoded_token": text}}
        for key, value, text in list(zip(ids, values, texts, strict=True))[1:]
    ]
    return Reply({"choices": [choice]})


@pytest.mark.parametrize("method", ["echo", "prompt_logprobs"])
def test_an_answer_is_found_by_its_tokens_where_their_texts_lack_spaces(method: str) -> None:
    with serving(spaceless) as server:
        asked = game(server.url, Response(" very good"), method=method)
        expected = [
            truth(p, " very") + truth(f"{p} very", " good") for p in map(asked.prompt, MASKS)
        ]
        np.testing.assert_allclose(asked(MASKS), expected)
        # the first also by the texts
        assert asked.usage.requests == 1 + 2 * (16 + REPEATED)


@pytest.mark.parametrize("method", ["echo", "prompt_logprobs"])
def test_a_space_that_is_lost_is_no_border(method: str) -> None:
    """The last token is " good", and the space is the prompt's: its text alone would fit."""
    with serving(spaceless) as server, pytest.raises(GameError, match="begins in the prompt"):
        game(server.url, Response("good"), prompt="{text}\nIt is ", method=method)(MASKS)


@pytest.mark.parametrize("refuses", [False, True])
def test_where_texts_lack_spaces_and_there_are_no_tokens(refuses: bool) -> None:
    def respond(body: Json, number: int) -> Reply:
        if body.pop("return_token_ids", None) and refuses:
            return Reply({"error": {"message": "prompt_logprobs is unknown"}}, 400)
        return spaceless(body, number)

    for prompt, answer in ((PROMPT, " good"), ("{text}\nIt is ", "good")):
        with serving(respond) as server, pytest.raises(GameError, match=r"last tokens .* are not"):
            game(server.url, Response(answer), prompt=prompt)(MASKS)


# --- two beginnings -------------------------------------------------------------------------------


def test_a_beginning_token_that_the_server_adds_to_one_in_the_prompt() -> None:
    echoed, _ = _listed(["<s>", "<s>", "It", " is", " so"])
    echoed["text"] = "<s>It is so"
    with pytest.raises(RequestFailed, match=r"'<s>' twice.*leave it out of the prompt"):
        read_echo(echoed, "<s>It is", " so")
    echoed, _ = _listed(["so", "so", " so"])
    assert read_echo(echoed, "soso", " so").logprobs.tolist() == [-2.0]


# --- chats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        (Response("very good"), {}),
        (Response("very good", reduction="token"), {}),
        (Contrast("very good", "bad"), {}),
        (Options(("Yes", "rather not"), "logprob"), {}),
        (LogitDifference("Yes", "odd"), {"method": "prompt_logprobs"}),
    ],
)
def test_a_given_answer_in_a_chat_as_vllm_scores_it(target: Any, settings: Json) -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        asked = game(server.url, target, prompt=CHAT, **settings)
        assert asked.method == "prompt_logprobs"
        values = asked(MASKS)

        def logprobs(prompt: str, answer: str) -> list[float]:
            before = json.loads(prompt)[0]["content"] + BEGINNING
            first, _, second = answer.partition(" ")
            found = [truth(before, first)]
            return found + ([truth(before + first, f" {second}")] if second else [])

        by_answer = [[logprobs(asked.prompt(m), a) for a in target.answers] for m in MASKS]
        if isinstance(target, Response):
            found = [row[0] for row in by_answer]
            expected = np.array(found if target.reduction == "token" else [sum(r) for r in found])
        else:
            expected = np.array([[sum(answer) for answer in row] for row in by_answer])
            if not isinstance(target, Options):
                expected = expected[:, 0] - expected[:, 1]
        np.testing.assert_allclose(values, expected)
        n = len(target.answers)
        # where the answer begins is checked once
        assert asked.usage.requests == n * (16 + REPEATED + 1)
        assert server.bodies[0]["continue_final_message"] is True
        assert server.bodies[0]["add_generation_prompt"] is False
        assert "continue_final_message" not in server.bodies[1]


def trimmed(said: Json, body: Json) -> Json:
    """A template without what it writes before an answer, where a message is continued."""
    if body.get("continue_final_message"):
        at = len(said["prompt_token_ids"]) - 3
        del said["prompt_token_ids"][at], said["prompt_logprobs"][at]
    return said


def test_a_template_that_continues_a_message_differently_is_refused() -> None:
    with (
        serving(lambda body, _: Reply(trimmed(truthful(body), body))) as server,
        pytest.raises(GameError, match=r"does not continue the chat by the answer 'very good'"),
    ):
        game(server.url, Response("very good"), prompt=CHAT)(MASKS)
    assert len(server) == 2


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("prompt_token_ids", "does not give the tokens of a chat"),
        ("prompt_logprobs", "without prompt_logprobs, which is vLLM's own"),
    ],
)
def test_a_chat_needs_vllm_for_a_given_answer(missing: str, message: str) -> None:
    def respond(body: Json, number: int) -> Reply:
        return Reply({k: v for k, v in truthful(body).items() if k != missing})

    with serving(respond) as server, pytest.raises(GameError, match=message):
        game(server.url, Response("very good"), prompt=CHAT)(MASKS)
    assert len(server) <= 2


# --- the same again -------------------------------------------------------------------------------


def test_a_few_ablations_are_asked_again_before_the_rest() -> None:
    with serving(lambda body, _: Reply(truthful(body))) as server:
        asked = game(server.url, Response(" good"))
        explanation = ip.explain(asked, budget=16)
        prompts = [body["prompt"] for body in server.bodies]
        assert len(prompts) == 16 + REPEATED
        (start,) = (
            at for at in range(len(prompts)) if prompts[at : at + 3] == prompts[at - 3 : at][::-1]
        )
        assert start <= 6  # of the first call that has more than three
        assert explanation.provenance["observed"] == {
            "method": "echo",
            "answered_by": [{"model": None, "system_fingerprint": None}],
            "asked_again": {"ablations": 3, "largest_difference": 0.0},
        }
        asked(MASKS[:4])
        assert len(server) == 16 + REPEATED + 4


def test_a_server_whose_numbers_depend_on_the_order_is_told() -> None:
    seen: dict[str, int] = {}

    def respond(body: Json, number: int) -> Reply:
        said = truthful(body)
        seen[body["prompt"]] = seen.get(body["prompt"], -1) + 1
        said["choices"][0]["logprobs"]["token_logprobs"][-1] -= 0.25 * seen[body["prompt"]]
        return Reply(said)

    with serving(respond) as server:
        asked = game(server.url, Response(" good"))
        with pytest.warns(UserWarning, match=r"depend on the order .* 3 ablations.* up to 0\.25"):
            values = asked(MASKS)
        np.testing.assert_allclose(values, [truth(asked.prompt(m), " good") for m in MASKS])
        assert asked.observed()["asked_again"]["largest_difference"] == pytest.approx(0.25)
        few = game(server.url, Response(" good"))
        few(MASKS[:2])
        assert few.observed()["asked_again"] is None


def test_a_failure_while_asking_again_keeps_what_came() -> None:
    def respond(body: Json, number: int) -> Reply:
        return Reply(truthful(body)) if number < 4 else Reply({"error": {"message": "enough"}}, 400)

    with serving(respond) as server, pytest.raises(GameError, match="enough") as caught:
        game(server.url, Response(" good"))(MASKS)
    assert caught.value.masks is not None
    assert len(caught.value.masks) == 3
