"""Log-probabilities of an answer that was sent behind its prompt: by echo, and in vLLM's form.

The server cuts prompt and answer into tokens together, as the model reads them. The answer's tokens
are the last ones. They are found by their texts, or by their offsets where a token is a piece of a
character. Where texts and prompt differ, as where a tokenizer's spaces are lost, they are found by
the tokens of the prompt alone, if the server gives them. An answer that begins inside a token is
refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from interplay._types import Json
from interplay.text.api.account import RequestFailed
from interplay.text.api.methods import Reading, as_logprob, next_token_body
from interplay.text.api.prompts import chat_body

_ALTERNATIVES = (
    "use Options or LogitDifference with answers of one token (method='top_logprobs'), which need "
    "the next token's log-probabilities only, or Generated, which needs none"
)


class NoEcho(RequestFailed):
    """The server gives no log-probabilities of the prompt's own tokens."""


class OtherText(RequestFailed):
    """The texts of the server's tokens are not those of the prompt and the answer."""


def echo_body(model: str, prompt: str, answer: str) -> Json:
    """Request the prompt and answer with log-probabilities, and one generated token.

    Some servers refuse to generate none, or take none for as many as they like.
    """
    return {
        "model": model,
        "prompt": prompt + answer,
        "echo": True,
        "logprobs": 1,
        "max_tokens": 1,
        "temperature": 0,
    }


def read_echo(choice: Json, prompt: str, answer: str) -> Reading:
    """Read the answer's tokens: the prompt's last ones, before those generated."""
    listed, sent = choice.get("logprobs"), prompt + answer
    if not isinstance(listed, dict):
        raise NoEcho(
            "the server answers without the log-probabilities of the prompt's own tokens "
            "(echo=True with logprobs), which this target needs; if it is vLLM, try "
            f"method='prompt_logprobs'; otherwise {_ALTERNATIVES}"
        )
    if not str(choice.get("text", "")).startswith(sent):
        raise NoEcho(
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
    _check_beginning(tokens, sent)
    stop = _end_of_prompt(tokens, sent, str(choice["text"])[len(sent) :])
    start = _start_by_texts(tokens[:stop], prompt, answer)
    if start is None:
        start = _start_by_offsets(tokens, listed["text_offset"], stop, prompt, answer)
    return _reading(tokens[start:stop], listed["token_logprobs"][start:stop], answer)


def _check_beginning(tokens: Sequence[str], sent: str) -> None:
    """Refuse a prompt that begins with the token that the server adds itself."""
    first = tokens[0] if tokens else ""
    twice = bool(first) and list(tokens[:2]) == [first] * 2
    if twice and sent.startswith(first) and not sent.startswith(first * 2):
        raise RequestFailed(
            f"the model reads the token {first!r} twice at the beginning: the server adds it to "
            "the one that is written there; leave it out of the prompt"
        )


def _end_of_prompt(tokens: Sequence[str], sent: str, generated: str) -> int:
    """How many tokens stand before the generated one, and before one that ends the text."""
    for stop in range(max(0, len(tokens) - 2), len(tokens) + 1):
        if "".join(tokens[:stop]).endswith(sent):
            return stop
    # their texts are not quite the text: pieces of characters, or a space at the beginning
    stop = len(tokens)
    while generated and stop and "".join(tokens[stop:]) != generated:
        stop -= 1
    if not stop:
        stop = len(tokens) - 1
    last = tokens[stop - 1] if stop else ""
    if stop and not _is_piece(last) and not (last and sent.endswith(last)):
        stop -= 1  # it is no part of the text
    return stop


def _start_by_texts(tokens: Sequence[str], prompt: str | None, answer: str) -> int | None:
    """Where the answer's tokens begin, by their texts: they are the last ones.

    ``None`` if a token is a piece of a character, as its text is not known then.
    """
    start, length = len(tokens), 0
    while start and length < len(answer):
        start -= 1
        length += len(tokens[start])
    last = tokens[start:]
    if "".join(last) == answer:
        # vLLM gives pieces of a character no text, and the whole character to its last piece; the
        # first token is the prompt's
        while start > 1 and not tokens[start - 1] and not last[0].isascii():
            start -= 1
        if prompt is not None and not _is_end(tokens[:start], prompt):
            raise _other_text(tokens[max(0, start - 2) :], answer)
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


def _is_end(tokens: Sequence[str], prompt: str) -> bool:
    """Whether a prompt ends with the texts of its tokens, as far as these are known.

    Without this, a token whose space was lost would seem to begin after the prompt's last space.
    """
    rest = prompt
    for token in reversed(tokens):
        if not rest or _is_piece(token):
            return True
        if not rest.endswith(token):
            return False
        rest = rest[: len(rest) - len(token)]
    return True


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


def prompt_logprobs_body(model: str, prompt: str, answer: str, chat: bool) -> Json:
    """Request the prompt's and answer's tokens from vLLM, and one generated token, as it must.

    In a chat, the answer is the beginning of a message that is to be continued.
    """
    body: Json = {"model": model, "max_tokens": 1, "temperature": 0}
    extra = {"prompt_logprobs": 1, "return_token_ids": True}
    if not chat:
        return body | {"prompt": prompt + answer, "extra_body": extra}
    continued = {"add_generation_prompt": False, "continue_final_message": True}
    contents = chat_body(prompt)
    messages = [*contents["messages"], {"role": "assistant", "content": answer}]
    return body | contents | {"messages": messages, "extra_body": extra | continued}


def read_prompt_logprobs(choice: Json, prompt: str | None, answer: str) -> Reading:
    """Read the answer's tokens: the last ones. Their texts together are the answer.

    ``prompt`` is ``None`` where its text is not known, in a chat.
    """
    positions = choice.get("prompt_logprobs")
    if not isinstance(positions, list):
        raise RequestFailed(
            "the server answers without prompt_logprobs, which is vLLM's own; outside of a chat "
            f"try method='echo', or {_ALTERNATIVES}"
        )
    # each position lists the prompt's own token, and the likeliest one if that is another
    entries = [max(listed.values(), key=_rank) if listed else {} for listed in positions]
    tokens = [str(entry.get("decoded_token", "")) for entry in entries]
    start = _start_by_texts(tokens, prompt, answer)
    if start is None:
        raise _other_text(tokens[-len(answer) :], answer)
    return _reading(tokens[start:], [entry.get("logprob") for entry in entries[start:]], answer)


def tokens_body(model: str, prompt: str, chat: bool) -> Json:
    """Request a prompt's tokens, of a chat up to where the model's answer begins, from vLLM."""
    return next_token_body(model, prompt, 1, chat) | {"extra_body": {"return_token_ids": True}}


def read_by_tokens(alone: Json, both: Json, answer: str) -> Reading | None:
    """Read the answer's tokens: those that follow the tokens of the prompt.

    Args:
        alone: the response to :func:`tokens_body`.
        both: the response to :func:`prompt_logprobs_body`.
        answer: the answer.

    Returns:
        ``None`` if the server does not give its tokens.

    Raises:
        RequestFailed: the tokens of the prompt are no beginning of those of both.
    """
    before, after = (response.get("prompt_token_ids") for response in (alone, both))
    positions = both.get("prompt_logprobs")
    if not (isinstance(before, list) and isinstance(after, list) and isinstance(positions, list)):
        return None
    start = len(before)
    if after[:start] != before or len(positions) != len(after):
        raise RequestFailed(
            f"a token of the server's begins in the prompt and ends in the answer {answer!r}, so "
            "the answer has no probability of its own; let the answer begin with the space "
            "(' Paris'), and the prompt end without one"
        )
    entries = [positions[at][str(after[at])] for at in range(start, len(after))]
    tokens = [str(entry.get("decoded_token", "")) for entry in entries]
    return _reading(tokens, [entry.get("logprob") for entry in entries], answer)


def check_continued(alone: Json, continued: Json, reading: Reading, answer: str) -> None:
    """Check that an answer continues its chat where the model's own answer would begin.

    Some templates write a message that is to be continued in another way: they trim it, or leave
    out what stands before an answer.

    Args:
        alone: the response to :func:`tokens_body`.
        continued: the response to :func:`prompt_logprobs_body`.
        reading: what was read of that.
        answer: the answer.

    Raises:
        RequestFailed: it does not, or the server does not give its tokens.
    """
    before, after = (response.get("prompt_token_ids") for response in (alone, continued))
    if not (isinstance(before, list) and isinstance(after, list)):
        raise RequestFailed(
            "the server does not give the tokens of a chat (return_token_ids), by which its answer "
            "is located; vLLM 0.10.2 or later does. Otherwise write the chat template into the "
            "prompt as one string and use method='echo', or use Options or Generated"
        )
    if after[: len(before)] != before or len(after) - len(before) != len(reading.tokens):
        raise RequestFailed(
            f"the server's chat template does not continue the chat by the answer {answer!r} where "
            "the model's own answer begins (templates may trim a message, or write something "
            "before an answer); give the answer without white space around it, or write the "
            "template into the prompt as one string and use method='echo'"
        )


def _rank(entry: Json) -> int:
    return entry.get("rank") or 0


def _other_text(tokens: Sequence[str], answer: str) -> OtherText:
    return OtherText(
        f"the server's last tokens {list(tokens)!r} are not the answer {answer!r}: it changes the "
        f"text, or cuts characters in pieces that cannot be distinguished; {_ALTERNATIVES}"
    )


def _reading(tokens: Sequence[str], logprobs: Sequence[object], answer: str) -> Reading:
    values = [as_logprob(value) for value in logprobs]
    if len(values) != len(tokens) or not values or not all(map(math.isfinite, values)):
        raise RequestFailed(
            f"the server gives no log-probability for some token of the answer {answer!r} "
            f"({logprobs!r} for {list(tokens)!r}); {_ALTERNATIVES}"
        )
    return Reading(np.array(values, dtype=np.float64), tuple(tokens))
