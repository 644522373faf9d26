"""What a served model can be scored by, and by which method."""

from __future__ import annotations

from typing import TypeAlias

from interplay.text.inference.generation import Generated
from interplay.text.targets import CLAIM_UNITS, AnswerTarget, LogitDifference, Response

ApiTarget: TypeAlias = AnswerTarget | Generated
"""What a served model can be scored by."""


def check_target(target: object) -> None:
    """Refuse what no served model can be scored by.

    Raises:
        ValueError: the object is no such target, has an answer without text, or needs the logits.
    """
    if isinstance(target, Generated):
        return
    if not isinstance(target, AnswerTarget):
        raise ValueError(
            f"target={target!r} is nothing that a server can score; give Response(...), "
            "Options(...), Contrast(...), LogitDifference(...) or Generated(...)"
        )
    if isinstance(target, Response):
        if not target.answers[0]:
            raise ValueError(
                "the response has no text; give the one to score (a server's own answer is not "
                "requested here), or use Generated"
            )
        if target.tokens is not None:
            raise ValueError(
                "the tokens of a response need a local model; give a server the text alone"
            )
        if target.reduction in CLAIM_UNITS:
            raise ValueError(
                f"reduction={target.reduction!r} needs a local model; with a server score "
                "judge_claims(...), or reduction='token', an output for each token"
            )
        if target.part is not None:
            raise ValueError(
                f"part={target.part!r} of a response needs a local model; with a server let the "
                "prompt end before the part, and give the part as the response"
            )
    if not all(target.answers):
        raise ValueError(f"one of the answers {target.answers!r} is empty; give texts")
    long = [answer for answer in target.answers if _is_long(answer)]
    if long and isinstance(target, LogitDifference):
        raise ValueError(
            f"the answer {long[0]!r} is of several words, but a logit difference is of the next "
            "token only; use answers of one token, or Contrast"
        )


def choose_method(target: ApiTarget, chat: bool, method: str | None, allow_bounds: bool) -> str:
    """The method for a target, checked against the target and the endpoint.

    Args:
        target: what is scored.
        chat: whether the endpoint is chat completions.
        method: the requested one; ``None``: the first that fits.
        allow_bounds: whether bounds may stand for values, which are of ``"top_logprobs"`` only.

    Raises:
        ValueError: the endpoint cannot score the target, or cannot by this method.
    """
    check_target(target)
    possible = _methods(target, chat)
    if allow_bounds and "top_logprobs" in possible:
        possible.remove("top_logprobs")
        possible.insert(0, "top_logprobs")
    if method is None:
        return possible[0]
    if method not in possible:
        raise ValueError(
            f"method={method!r} does not fit {target} and chat={chat}; choose one of "
            f"{', '.join(possible)}, or leave it out"
        )
    return method


def _methods(target: ApiTarget, chat: bool) -> list[str]:
    """The methods that fit; the first is the default."""
    if isinstance(target, Generated):
        return ["generate"]
    # in a chat, only vLLM tells how likely a given answer is
    of_answers = ["prompt_logprobs"] if chat else ["echo", "prompt_logprobs"]
    if isinstance(target, Response) or any(map(_is_long, target.answers)):
        return of_answers
    return ["top_logprobs", *of_answers] if chat else ["exact", "top_logprobs", *of_answers]


def _is_long(answer: str) -> bool:
    """Whether an answer is surely more than one token: it has several words."""
    return len(answer.split()) > 1
