"""What is sent to a model that is not in this process: the prompt under a mask, and its length."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.text.prompts.masking import TokenMasking
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.prompts.resample import Resample
from interplay.text.prompts.tools import TOOLS_ROLE

CHARACTERS_PER_TOKEN = 4
"""About, in English. The tokens that servers report correct the estimates for the caps, but not the
costs in a run plan."""


def sent(masked: MaskedPrompt, mask: BoolArray, version: int = 0) -> str:
    """The prompt under one mask ``(n,)``: a text, or a chat's messages as JSON.

    With tools, it is an object of ``messages`` and, if any are kept, ``tools``.
    """
    if masked.is_chat:
        messages: object = masked.messages(mask, version)
        if has_tools(masked):
            listed, *others = masked.messages(mask, version)
            tools = json.loads(listed["content"])
            messages = {"messages": others} | ({"tools": tools} if tools else {})
        return json.dumps(messages, ensure_ascii=False)
    return masked.render(mask, version)


def chat_body(prompt: str) -> Json:
    """The part of a request's body that a chat's prompt is: its messages, and its tools."""
    contents: Json | list[Json] = json.loads(prompt)
    return contents if isinstance(contents, dict) else {"messages": contents}


def has_tools(masked: MaskedPrompt) -> bool:
    """Whether a chat is sent with tools."""
    return masked.is_chat and masked.turns[0].message == {"role": TOOLS_ROLE}


def all_sent(masked: MaskedPrompt, mask: BoolArray) -> tuple[str, ...]:
    """The prompts over whose values that of a mask ``(n,)`` is the mean: one for each version."""
    (n_prompts,) = masked.n_prompts(np.asarray(mask)[None, :])
    return tuple(sent(masked, mask, version) for version in range(n_prompts))


def with_values(
    prompts: Sequence[Sequence[str]], scores: Mapping[str, FloatArray]
) -> tuple[IntArray, FloatArray]:
    """The masks of whose prompts all have scores, and their values, means over the prompts.

    Args:
        prompts: of each mask.
        scores: of prompts, ``(1,)`` or ``(1, k)`` each.

    Returns:
        The masks' places, ``(d,)``, and values, ``(d,)`` or ``(d, k)``.
    """
    complete = [all(prompt in scores for prompt in of_mask) for of_mask in prompts]
    done = np.flatnonzero(complete)
    if not len(done):
        return done, np.empty(0)
    return done, np.concatenate(
        [np.mean([scores[prompt] for prompt in prompts[row]], axis=0) for row in done.tolist()]
    )


def check_sendable(masked: MaskedPrompt) -> None:
    """Refuse prompts that only a local model can read.

    Raises:
        ValueError: the masking is of tokens, or writes segments again; or nothing is left when
            every segment is removed.
    """
    if isinstance(masked.masking, TokenMasking):
        raise ValueError(
            f"masking={masked.masking.describe()['kind']!r} is of tokens, which a server does not "
            "take; use 'delete' or Replace(text)"
        )
    if isinstance(masked.masking, Resample):
        raise ValueError(
            "Resample has the model write single steps of its prompt again, which needs a local "
            "model; use 'delete' or Replace(text)"
        )
    if sent(masked, np.zeros(masked.n_players, dtype=np.bool_)) in (
        "",
        "[]",
        '{"messages": []}',
    ):
        raise ValueError(
            "with every segment removed the prompt is empty; give a prompt with fixed words "
            "around {text}, mark a message fixed, or give a replacement"
        )


def lengths(masked: MaskedPrompt, masks: BoolArray) -> FloatArray:
    """About how many characters each prompt has, ``(m,)``, of masks ``(m, n)``."""
    everything = np.ones(masked.n_players, dtype=np.bool_)
    nothing = len(sent(masked, ~everything))
    masking = masked.masking
    assert not isinstance(masking, TokenMasking)
    of_players = masked.sizes(lambda text: len(text) - len(masking.replacement(text) or ""))
    for place in masked.swapped:
        of_players[place.player] = 0.0  # the alternative is about as long
    # the rest of the difference is white space between segments; each gets an equal part
    rest = len(sent(masked, everything)) - nothing - of_players.sum()
    return np.asarray(nothing + masks @ (of_players + rest / masked.n_players))
