"""How log-probabilities and texts are requested from a server, and read from its responses.

There are four methods. Each is a pair of functions: one makes the request's body (the arguments of
the client's ``create``), the other reads the response's first choice. Those of the first two are in
:mod:`interplay.text.api.prompt_tokens`.

- ``echo``: plain completions repeat the prompt with its tokens' log-probabilities.
- ``prompt_logprobs``: the same in vLLM's own form, of plain or chat completions.
- ``top_logprobs``: the likeliest next tokens, of plain or chat completions.
- ``generate``: the text that follows, of plain or chat completions.

A game may also say ``exact``: by ``echo`` where the server can, else by ``top_logprobs``.

The prompt of a chat is its messages as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import FloatArray, Json
from interplay.text.api.account import RequestFailed
from interplay.text.api.prompts import chat_body

METHODS = ("exact", "echo", "prompt_logprobs", "top_logprobs", "generate")
_UNLIKELY = -9999.0
"""What OpenAI's and vLLM's servers write for a token that is too unlikely for a number."""
_ROUNDING = 1e-4
"""So far above zero a log-probability may come out by rounding."""


@dataclass(frozen=True)
class Reading:
    """One answer's log-probabilities.

    Attributes:
        logprobs: of its t tokens, ``(t,)``.
        tokens: the texts of these tokens.
        unlisted: whether the answer was not listed, so that its one number is an upper bound.
    """

    logprobs: FloatArray
    tokens: tuple[str, ...]
    unlisted: bool = False


def next_token_body(model: str, prompt: str, top_logprobs: int, chat: bool) -> Json:
    """Request one token and the ``top_logprobs`` likeliest ones."""
    body: Json = {"model": model, "max_tokens": 1, "temperature": 0}
    if chat:
        options = {"logprobs": True, "top_logprobs": top_logprobs}
        return body | options | chat_body(prompt)
    return body | {"logprobs": top_logprobs, "prompt": prompt}


def read_next_token(choice: Json, answers: Sequence[str], chat: bool) -> list[Reading]:
    """Read each answer's log-probability as the next token.

    An answer that is not listed cannot be likelier than those that are. It gets the least
    log-probability listed. In a chat, the first token mostly lacks the leading space that the same
    word has elsewhere. An answer with a leading space therefore stands for both forms together.
    """
    listed = _listed(choice)
    if not listed:
        raise RequestFailed(
            "the server answers without the next token's log-probabilities (top_logprobs); use "
            "Generated, which needs none, or a server that gives them"
        )
    least = min(logprob for _, logprob in listed)
    readings = []
    for answer in answers:
        forms = {answer, answer.removeprefix(" ")} if chat else {answer}
        matches = [logprob for token, logprob in listed if token in forms]
        logprob = np.logaddexp.reduce(matches) if matches else least
        readings.append(Reading(np.array([logprob], dtype=np.float64), (answer,), not matches))
    return readings


def _listed(choice: Json) -> list[tuple[str, float]]:
    """The next token's candidates and their log-probabilities.

    They come in the form of chat or of plain completions. llama.cpp's server uses the form of chat
    for both.
    """
    logprobs = choice.get("logprobs") or {}
    if logprobs.get("content"):
        entries = logprobs["content"][0]["top_logprobs"]
        pairs = [(entry["token"], entry["logprob"]) for entry in entries]
    elif logprobs.get("top_logprobs"):
        pairs = list((logprobs["top_logprobs"][0] or {}).items())
    else:
        return []
    return [
        (str(token), logprob)
        for token, logprob in ((token, as_logprob(value)) for token, value in pairs)
        if math.isfinite(logprob) and logprob > _UNLIKELY
    ]


def generate_body(model: str, prompt: str, max_tokens: int, chat: bool) -> Json:
    """Request the likeliest continuation."""
    contents = chat_body(prompt) if chat else {"prompt": prompt}
    return {"model": model, "max_tokens": max_tokens, "temperature": 0} | contents


def read_generated(choice: Json, chat: bool) -> str:
    """Read the generated text, and a line of JSON for each tool that it calls; empty if neither."""
    if not chat:
        return str(choice["text"] or "")
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    lines = [
        json.dumps({"name": call["name"], "arguments": call["arguments"]}, ensure_ascii=False)
        for call in calls
    ]
    return "\n".join([*([str(message["content"])] if message.get("content") else []), *lines])


def as_logprob(value: object) -> float:
    """A log-probability of a server's; NaN for what is none: no number, or above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value > _ROUNDING:
        return math.nan
    return min(float(value), 0.0)
