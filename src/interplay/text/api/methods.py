"""How log-probabilities and answers are asked of a server, and read from what it says.

Four methods, each a pair of functions: one makes the request's body (the arguments of the client's
``create``), the other reads the answer's first choice.

- ``echo``: plain completions repeat the prompt with its tokens' log-probabilities.
- ``prompt_logprobs``: likewise, in vLLM's own form.
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
"""What OpenAI's and vLLM's servers write for a token too unlikely to tell."""
_OTHERWISE = (
    "use Options or LogitDifference with answers of one token (method='top_logprobs'), which need "
    "the next token's log-probabilities only, or Generated, which needs none"
)


@dataclass(frozen=True)
class Reading:
    """One answer's log-probabilities.

    Attributes:
        logprobs: of its t tokens, ``(t,)``.
        tokens: their texts.
        unlisted: whether the one number is an upper bound, since the answer was not listed.
    """

    logprobs: FloatArray
    tokens: tuple[str, ...]
    unlisted: bool = False


def echo_body(model: str, prompt: str, answer: str) -> Json:
    """Ask for the prompt and answer again, with log-probabilities, and for nothing after them."""
    return {
        "model": model,
        "prompt": prompt + answer,
        "echo": True,
        "logprobs": 1,
        "max_tokens": 0,
        "temperature": 0,
    }


def read_echo(choice: Json, prompt: str, answer: str) -> Reading:
    """The answer's tokens: the last of the prompt's, before what was generated."""
    said, whole = choice.get("logprobs"), prompt + answer
    if not isinstance(said, dict):
        raise RequestFailed(
            "the server answers without log-probabilities, which Response needs of the prompt's "
            f"own tokens (echo=True with logprobs); where it is vLLM, try "
            f"method='prompt_logprobs'; otherwise {_OTHERWISE}"
        )
    if not str(choice.get("text", "")).startswith(whole):
        raise RequestFailed(
            "the server ignores echo=True: it gives log-probabilities of what it generates, not of "
            f"the prompt's own tokens; where it is vLLM, try method='prompt_logprobs'; otherwise "
            f"{_OTHERWISE}"
        )
    tokens = [str(token) for token in said["tokens"]]
    stop = _end_of_prompt(tokens, whole, str(choice["text"])[len(whole) :])
    start = _tail(tokens[:stop], answer)
    if start is None:
        start = _start_by_offsets(tokens, said["text_offset"], stop, prompt, answer)
    return _reading(tokens[start:stop], said["token_logprobs"][start:stop], answer)


def _end_of_prompt(tokens: Sequence[str], whole: str, generated: str) -> int:
    """How many tokens stand before those generated."""
    stop = len(tokens)
    if generated:
        while stop and "".join(tokens[stop:]) != generated:
            stop -= 1
    elif tokens and not _is_piece(tokens[-1]) and not (tokens[-1] and whole.endswith(tokens[-1])):
        stop -= 1  # a token that ends texts, which is no part of one
    return stop


def _tail(tokens: Sequence[str], answer: str) -> int | None:
    """Where the last tokens begin whose texts are the answer; ``None``: texts cannot tell."""
    start, length = len(tokens), 0
    while start and length < len(answer):
        start -= 1
        length += len(tokens[start])
    found = tokens[start:]
    if "".join(found) == answer:
        return start
    if any(map(_is_piece, found)):
        return None
    if "".join(found).endswith(answer):
        raise RequestFailed(
            f"the server's token {found[0]!r} begins in the prompt and ends in the answer "
            f"{answer!r}, so that the answer has no probability of its own; let the answer begin "
            "with the space (' Paris'), and the prompt end without one"
        )
    raise _other_text(found, answer)


def _start_by_offsets(
    tokens: Sequence[str], offsets: Sequence[int], stop: int, prompt: str, answer: str
) -> int:
    """Where the answer begins, by the offsets: some of its tokens are pieces of a character."""
    shift = 0
    if not _is_piece(tokens[0]) and not (prompt + answer).startswith(tokens[0]):
        # a token that begins every text is listed, but is no part of the text
        shift = offsets[1] - offsets[0]
    starts = [offset - shift for offset in offsets[:stop]]
    last = tokens[stop - 1]
    # servers that count a piece as a character of its own are off from there on
    end = starts[-1] + (1 if _is_piece(last) else len(last))
    if end != len(prompt) + len(answer) or len(prompt) not in starts:
        raise _other_text(tokens[max(0, stop - len(answer)) : stop], answer)
    return starts.index(len(prompt))


def _is_piece(token: str) -> bool:
    """Whether a token is a piece of a character, which servers write in one of these ways."""
    return "\N{REPLACEMENT CHARACTER}" in token or token.startswith("bytes:")


def prompt_logprobs_body(model: str, prompt: str, answer: str) -> Json:
    """Ask vLLM for the prompt's and answer's tokens. It must generate one, which is not read."""
    return {
        "model": model,
        "prompt": prompt + answer,
        "max_tokens": 1,
        "temperature": 0,
        "extra_body": {"prompt_logprobs": 1},
    }


def read_prompt_logprobs(choice: Json, prompt: str, answer: str) -> Reading:
    """The answer's tokens: the last ones, whose texts together are the answer."""
    said = choice.get("prompt_logprobs")
    if not isinstance(said, list):
        raise RequestFailed(
            "the server answers without prompt_logprobs, which is vLLM's own; try method='echo', "
            f"or {_OTHERWISE}"
        )
    # of each place the token that stands there, beside the likeliest where that is another
    entries = [max(listed.values(), key=_rank) if listed else {} for listed in said]
    tokens = [str(entry.get("decoded_token", "")) for entry in entries]
    start = _tail(tokens, answer)
    if start is None:
        raise _other_text(tokens[-len(answer) :], answer)
    return _reading(tokens[start:], [entry.get("logprob") for entry in entries[start:]], answer)


def _rank(entry: Json) -> int:
    return entry.get("rank") or 0


def next_token_body(model: str, prompt: str, top_logprobs: int, chat: bool) -> Json:
    """Ask for one token and the ``top_logprobs`` likeliest ones."""
    body: Json = {"model": model, "max_tokens": 1, "temperature": 0}
    if chat:
        listed = {"logprobs": True, "top_logprobs": top_logprobs}
        return body | listed | {"messages": json.loads(prompt)}
    return body | {"logprobs": top_logprobs, "prompt": prompt}


def read_next_token(choice: Json, answers: Sequence[str], chat: bool) -> list[Reading]:
    """Each answer's log-probability as the next token.

    An answer that is not listed gets the least log-probability that is: it cannot be likelier.
    In a chat the answer's first token mostly goes without the space that the same word has
    elsewhere: an answer with a leading space stands for both forms together.
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
        found = [logprob for token, logprob in listed if token in forms]
        logprob = np.logaddexp.reduce(found) if found else least
        readings.append(Reading(np.array([logprob], dtype=np.float64), (answer,), not found))
    return readings


def _listed(choice: Json) -> list[tuple[str, float]]:
    """The next token's candidates, in the form of chat or of plain completions.

    llama.cpp's server uses the form of chat for both.
    """
    said = choice.get("logprobs") or {}
    if said.get("content"):
        pairs = [(each["token"], each["logprob"]) for each in said["content"][0]["top_logprobs"]]
    elif said.get("top_logprobs"):
        pairs = list((said["top_logprobs"][0] or {}).items())
    else:
        return []
    return [
        (str(token), float(logprob))
        for token, logprob in pairs
        if logprob is not None and math.isfinite(logprob) and logprob > _UNLIKELY
    ]


def generate_body(model: str, prompt: str, max_tokens: int, chat: bool) -> Json:
    """Ask for the likeliest continuation."""
    asked = {"messages": json.loads(prompt)} if chat else {"prompt": prompt}
    return {"model": model, "max_tokens": max_tokens, "temperature": 0} | asked


def read_generated(choice: Json, chat: bool) -> str:
    """The text generated; empty where there is none."""
    said = choice["message"].get("content") if chat else choice["text"]
    return str(said or "")


def _other_text(tokens: Sequence[str], answer: str) -> RequestFailed:
    return RequestFailed(
        f"the server's last tokens {list(tokens)!r} are not the answer {answer!r}: it changes the "
        f"text, or cuts characters in pieces, which cannot be told apart; {_OTHERWISE}"
    )


def _reading(tokens: Sequence[str], logprobs: Sequence[object], answer: str) -> Reading:
    values = [each if isinstance(each, int | float) else math.nan for each in logprobs]
    if not values or not all(map(math.isfinite, values)):
        raise RequestFailed(
            f"the server gives no log-probability for some token of the answer {answer!r} "
            f"({logprobs!r} for {list(tokens)!r}); {_OTHERWISE}"
        )
    return Reading(np.array(values, dtype=np.float64), tuple(tokens))
