"""How log-probabilities and texts are requested from a server, and read from its responses.

There are four methods. Each is a pair of functions: one makes the request's body (the arguments of
the client's ``create``), the other reads the response's first choice.

- ``echo``: plain completions repeat the prompt with its tokens' log-probabilities.
- ``prompt_logprobs``: the same in vLLM's own form.
- ``top_logprobs``: the likeliest next tokens, of plain or chat completions.
- ``generate``: the text that follows, of plain or chat completions.

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

METHODS = ("echo", "prompt_logprobs", "top_logprobs", "generate")
_UNLIKELY = -9999.0
"""What OpenAI's and vLLM's servers write for a token that is too unlikely for a number."""
_ROUNDING = 1e-4
"""So far above zero a log-probability may come out by rounding."""
_ALTERNATIVES = (
    "use Options or LogitDifference with answers of one token (method='top_logprobs'), which need "
    "the next token's log-probabilities only, or Generated, which needs none"
)


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


def echo_body(model: str, prompt: str, answer: str) -> Json:
    """Request the prompt and answer with log-probabilities, and nothing generated after them."""
    return {
        "model": model,
        "prompt": prompt + answer,
        "echo": True,
        "logprobs": 1,
        "max_tokens": 0,
        "temperature": 0,
    }


def read_echo(choice: Json, prompt: str, answer: str) -> Reading:
    """Read the answer's tokens: the prompt's last ones, before those generated."""
    listed, sent = choice.get("logprobs"), prompt + answer
    if not isinstance(listed, dict):
        raise RequestFailed(
            "the server answers without log-probabilities, which Response needs of the prompt's "
            "own tokens (echo=True with logprobs); if it is vLLM, try "
            f"method='prompt_logprobs'; otherwise {_ALTERNATIVES}"
        )
    if not str(choice.get("text", "")).startswith(sent):
        raise RequestFailed(
            "the server ignores echo=True: it gives log-probabilities of what it generates, not of "
            "the prompt's own tokens; if it is vLLM, try method='prompt_logprobs'; otherwise "
            f"{_ALTERNATIVES}"
        )
    tokens = [str(token) for token in listed["tokens"]]
    if len(listed["token_logprobs"]) != len(tokens):
        raise RequestFailed(
            f"the server lists {len(tokens)} tokens but {len(listed['token_logprobs'])} "
            f"log-probabilities, so that these belong to no tokens; {_ALTERNATIVES}"
        )
    stop = _end_of_prompt(tokens, sent, str(choice["text"])[len(sent) :])
    start = _start_by_texts(tokens[:stop], answer)
    if start is None:
        start = _start_by_offsets(tokens, listed["text_offset"], stop, prompt, answer)
    return _reading(tokens[start:stop], listed["token_logprobs"][start:stop], answer)


def _end_of_prompt(tokens: Sequence[str], sent: str, generated: str) -> int:
    """How many tokens stand before those generated."""
    stop = len(tokens)
    if generated:
        while stop and "".join(tokens[stop:]) != generated:
            stop -= 1
    elif tokens and not _is_piece(tokens[-1]) and not (tokens[-1] and sent.endswith(tokens[-1])):
        stop -= 1  # the end-of-text token, which is no part of the text
    return stop


def _start_by_texts(tokens: Sequence[str], answer: str) -> int | None:
    """Where the answer's tokens begin, by their texts: they are the last ones.

    ``None`` if a token is a piece of a character, as its text is not known then.
    """
    start, length = len(tokens), 0
    while start and length < len(answer):
        start -= 1
        length += len(tokens[start])
    last = tokens[start:]
    if "".join(last) == answer:
        return start
    if any(map(_is_piece, last)):
        return None
    if "".join(last).endswith(answer):
        raise RequestFailed(
            f"the server's token {last[0]!r} begins in the prompt and ends in the answer "
            f"{answer!r}, so the answer has no probability of its own; let the answer begin "
            "with the space (' Paris'), and the prompt end without one"
        )
    raise _other_text(last, answer)


def _start_by_offsets(
    tokens: Sequence[str], offsets: Sequence[int], stop: int, prompt: str, answer: str
) -> int:
    """Where the answer begins, by the offsets, if some of its tokens are pieces of a character."""
    shift = 0
    if not _is_piece(tokens[0]) and not (prompt + answer).startswith(tokens[0]):
        # the beginning-of-text token is listed, but is no part of the text
        shift = offsets[1] - offsets[0]
    starts = [offset - shift for offset in offsets[:stop]]
    last = tokens[stop - 1]
    # servers that count a piece as a whole character give wrong offsets from there on
    end = starts[-1] + (1 if _is_piece(last) else len(last))
    if end != len(prompt) + len(answer) or len(prompt) not in starts:
        raise _other_text(tokens[max(0, stop - len(answer)) : stop], answer)
    return starts.index(len(prompt))


def _is_piece(token: str) -> bool:
    """Whether a token is a piece of a character. Servers write these in one of two ways."""
    return "\N{REPLACEMENT CHARACTER}" in token or token.startswith("bytes:")


def prompt_logprobs_body(model: str, prompt: str, answer: str) -> Json:
    """Request the prompt's and answer's tokens from vLLM, and one generated token, as it must."""
    return {
        "model": model,
        "prompt": prompt + answer,
        "max_tokens": 1,
        "temperature": 0,
        "extra_body": {"prompt_logprobs": 1},
    }


def read_prompt_logprobs(choice: Json, prompt: str, answer: str) -> Reading:
    """Read the answer's tokens: the last ones. Their texts together are the answer."""
    positions = choice.get("prompt_logprobs")
    if not isinstance(positions, list):
        raise RequestFailed(
            "the server answers without prompt_logprobs, which is vLLM's own; try method='echo', "
            f"or {_ALTERNATIVES}"
        )
    # each position lists the prompt's own token, and the likeliest one if that is another
    entries = [max(listed.values(), key=_rank) if listed else {} for listed in positions]
    tokens = [str(entry.get("decoded_token", "")) for entry in entries]
    start = _start_by_texts(tokens, answer)
    if start is None:
        raise _other_text(tokens[-len(answer) :], answer)
    return _reading(tokens[start:], [entry.get("logprob") for entry in entries[start:]], answer)


def _rank(entry: Json) -> int:
    return entry.get("rank") or 0


def next_token_body(model: str, prompt: str, top_logprobs: int, chat: bool) -> Json:
    """Request one token and the ``top_logprobs`` likeliest ones."""
    body: Json = {"model": model, "max_tokens": 1, "temperature": 0}
    if chat:
        options = {"logprobs": True, "top_logprobs": top_logprobs}
        return body | options | {"messages": json.loads(prompt)}
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
        for token, logprob in ((token, _logprob(value)) for token, value in pairs)
        if math.isfinite(logprob) and logprob > _UNLIKELY
    ]


def generate_body(model: str, prompt: str, max_tokens: int, chat: bool) -> Json:
    """Request the likeliest continuation."""
    contents = {"messages": json.loads(prompt)} if chat else {"prompt": prompt}
    return {"model": model, "max_tokens": max_tokens, "temperature": 0} | contents


def read_generated(choice: Json, chat: bool) -> str:
    """Read the generated text; empty if there is none."""
    text = choice["message"].get("content") if chat else choice["text"]
    return str(text or "")


def _other_text(tokens: Sequence[str], answer: str) -> RequestFailed:
    return RequestFailed(
        f"the server's last tokens {list(tokens)!r} are not the answer {answer!r}: it changes the "
        f"text, or cuts characters in pieces that cannot be distinguished; {_ALTERNATIVES}"
    )


def _logprob(value: object) -> float:
    """A log-probability of a server's; NaN for what is none: no number, or above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value > _ROUNDING:
        return math.nan
    return min(float(value), 0.0)


def _reading(tokens: Sequence[str], logprobs: Sequence[object], answer: str) -> Reading:
    values = [_logprob(value) for value in logprobs]
    if len(values) != len(tokens) or not values or not all(map(math.isfinite, values)):
        raise RequestFailed(
            f"the server gives no log-probability for some token of the answer {answer!r} "
            f"({logprobs!r} for {list(tokens)!r}); {_ALTERNATIVES}"
        )
    return Reading(np.array(values, dtype=np.float64), tuple(tokens))
