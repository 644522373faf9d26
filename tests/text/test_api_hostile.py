"""Servers that mean no good, or are broken: nothing of theirs is believed that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

import interplay as ip
from interplay import GameError
from interplay.fourier.masks import every_mask
from interplay.text import ApiGame, Options, Response
from tests.text.servers import Json, Reply, serving

TEXT = "One. Two. Three."
MASKS = every_mask(3)


def game(url: str, target: Any, **more: Any) -> ApiGame:
    return ApiGame("m", TEXT, target, base_url=url, prompt="{text} It is", retries=0, **more)


def echoed(body: Json, logprobs: list[Any], tokens: list[str] | None = None) -> Reply:
    """An answer to a request with ``echo``, whose last token is the answer."""
    prompt, answer = body["prompt"][: -len(" good")], " good"
    listed = tokens or [prompt, answer]
    return Reply(
        {
            "choices": [
                {
                    "text": body["prompt"],
                    "logprobs": {
                        "tokens": listed,
                        "token_logprobs": logprobs,
                        "text_offset": [0, len(prompt)],
                    },
                }
            ]
        }
    )


def test_a_redirect_is_not_followed() -> None:
    with serving(lambda body, number: Reply({})) as other:
        elsewhere = {"location": f"{other.url}/completions?token=secret"}
        with serving(lambda body, number: Reply({}, status=307, headers=elsewhere)) as server:
            with pytest.raises(
                GameError, match=r"answered 307.*points to http://127.*base_url"
            ) as e:
                game(server.url, Response(" good"))(MASKS)
            assert "secret" not in str(e.value)
        assert not other.requests


@pytest.mark.parametrize("value", [0.5, True, False, "-1", None, float("nan"), float("-inf")])
def test_what_is_no_log_probability_is_refused(value: Any) -> None:
    with (
        serving(lambda body, number: echoed(body, [None, value])) as server,
        pytest.raises(GameError, match=r"no log-probability for some token|is not JSON"),
    ):
        game(server.url, Response(" good"), method="echo")(MASKS)


def test_a_little_above_zero_is_rounding() -> None:
    with serving(lambda body, number: echoed(body, [None, 1e-6])) as server:
        assert (game(server.url, Response(" good"), method="echo")(MASKS) == 0.0).all()


@pytest.mark.parametrize("logprobs", [[None], [None, -1.0, -1.0, -2.0]])
def test_as_many_log_probabilities_as_tokens(logprobs: list[Any]) -> None:
    with (
        serving(lambda body, number: echoed(body, logprobs)) as server,
        pytest.raises(GameError, match="lists 2 tokens but"),
    ):
        game(server.url, Response(" good"), method="echo")(MASKS)


def test_listed_tokens_above_zero_count_for_nothing() -> None:
    listed = {" good": 3.0, " bad": -1.0, " so": True}
    choice = {"text": " good", "logprobs": {"top_logprobs": [listed]}}
    with serving(lambda body, number: Reply({"choices": [choice]})) as server:
        made = game(server.url, Options((" good", " bad"), score="logprob"), allow_bounds=True)
        with pytest.warns(UserWarning, match="upper bound"):
            values = made(MASKS)
        assert (values == -1.0).all()


def test_a_bound_is_no_value_unless_that_is_asked_for() -> None:
    choice = {"text": " good", "logprobs": {"top_logprobs": [{" good": -0.1, " so": -3.0}]}}
    with serving(lambda body, number: Reply({"choices": [choice]})) as server:
        options = Options((" good", " bad"), score="logprob")
        with pytest.raises(GameError, match=r"' bad' is not among the 20 .*allow_bounds=True"):
            game(server.url, options)(MASKS)
        assert len(server) == 2  # the first asks for an echo
        with pytest.warns(UserWarning, match="upper bound"):
            assert (game(server.url, options, allow_bounds=True)(MASKS)[:, 1] == -3.0).all()


def test_a_password_is_not_shown_in_any_form() -> None:
    import base64

    pair = base64.b64encode(b"me:pass-word").decode()
    told = {"error": {"message": f"Basic {pair} and pass-word are wrong"}}
    with serving(lambda body, number: Reply(told, status=400)) as server:
        url = server.url.replace("http://", "http://me:pass-word@")
        with pytest.raises(GameError) as error:
            game(url, Response(" good"))(MASKS)
        assert "pass-word" not in str(error.value)
        assert pair not in str(error.value)
        assert "[key]" in str(error.value)


def test_the_model_that_answers_is_recorded_and_a_change_is_told() -> None:
    def respond(body: Json, number: int) -> Reply:
        choice = {"text": " good", "logprobs": {"top_logprobs": [{" good": -0.1, " bad": -3.0}]}}
        name = "m-2026-05" if number < 12 else "m-2026-06"
        return Reply({"choices": [choice], "model": name, "system_fingerprint": "fp_1"})

    with serving(respond) as server:
        asked = game(server.url, Options((" good", " bad"), score="logprob"))
        explanation = ip.explain(asked, budget=8)
        (identity,) = explanation.provenance["observed"]["answered_by"]
        assert identity == {"model": "m-2026-05", "system_fingerprint": "fp_1"}
        with pytest.warns(UserWarning, match=r"answers with another model than before: .*2026-06"):
            asked(MASKS)
        assert len(asked.observed()["answered_by"]) == 2
