"""What a served model can be scored by, and by which method."""

from __future__ import annotations

from typing import TypeAlias

from interplay.text.inference.generation import Generated
from interplay.text.targets import LogitDifference, Options, Response

ApiTarget: TypeAlias = Response | Options | LogitDifference | Generated
"""What a served model can be scored by."""


def choose_method(target: ApiTarget, chat: bool, method: str | None) -> str:
    """The method for a target, checked against the target and the endpoint.

    Args:
        target: what is scored.
        chat: whether the endpoint is chat completions.
        method: the requested one; ``None``: the first that fits.

    Raises:
        ValueError: the endpoint cannot score the target, or cannot by this method.
    """
    if isinstance(target, Generated):
        target.check()
        possible = ["generate"]
    elif isinstance(target, Response):
        if chat:
            raise ValueError(
                "chat endpoints do not tell how likely a given response is; write the model's chat "
                "template into the prompt as one string, or use Options or Generated"
            )
        if not target.answers[0]:
            raise ValueError(
                "the response has no text; give the one to score (a server's own answer is not "
                "requested here), or use Generated"
            )
        if target.part is not None:
            raise ValueError(
                f"part={target.part!r} of a response needs a local model; with a server let the "
                "prompt end before the part, and give the part as the response"
            )
        possible = ["echo", "prompt_logprobs"]
    elif isinstance(target, Options | LogitDifference):
        possible = _options_methods(target, chat)
    else:
        raise ValueError(
            f"target={target!r} is nothing that a server can score; give Response(...), "
            "Options(...), LogitDifference(...) or Generated(...)"
        )
    if method is None:
        return possible[0]
    if method not in possible:
        raise ValueError(
            f"method={method!r} does not fit {type(target).__name__} and chat={chat}; choose "
            f"one of {', '.join(possible)}, or leave it out"
        )
    return method


def _options_methods(target: Options | LogitDifference, chat: bool) -> list[str]:
    answers = target.answers
    if not all(answers):
        raise ValueError(f"one of the answers {answers!r} is empty; give texts")
    long = [answer for answer in answers if len(answer.split()) > 1]
    if long and (chat or isinstance(target, LogitDifference)):
        raise ValueError(
            f"the answer {long[0]!r} is of several words, but "
            + ("chat endpoints tell" if chat else "a logit difference is of")
            + " the next token only; use answers of one token, or Options outside of a chat"
        )
    if chat:
        return ["top_logprobs"]
    of_prompts = ["echo", "prompt_logprobs"]
    return of_prompts if long else ["top_logprobs", *of_prompts]
