"""What is sent to a model that is not in this process: the prompt under a mask, and its length."""

from __future__ import annotations

import json

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.text.prompts.masking import TokenMasking
from interplay.text.prompts.prompt import MaskedPrompt

CHARACTERS_PER_TOKEN = 4
"""About, in English. The tokens that servers report correct the estimates for the caps, but not the
costs in a run plan."""


def sent(masked: MaskedPrompt, mask: BoolArray) -> str:
    """The prompt under one mask ``(n,)``: a text, or a chat's messages as JSON."""
    if masked.is_chat:
        return json.dumps(masked.messages(mask), ensure_ascii=False)
    return masked.render(mask)


def check_sendable(masked: MaskedPrompt) -> None:
    """Refuse prompts that only a local model can read.

    Raises:
        ValueError: the masking is of tokens, or nothing is left when every segment is removed.
    """
    if isinstance(masked.masking, TokenMasking):
        raise ValueError(
            f"masking={masked.masking.describe()['kind']!r} is of tokens, which a server does not "
            "take; use 'delete' or Replace(text)"
        )
    if sent(masked, np.zeros(masked.n_players, dtype=np.bool_)) in ("", "[]"):
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
    texts = [masked.text[start:stop] for start, stop in masked.spans]
    of_players = np.array(
        [len(text) - len(masking.replacement(text) or "") for text in texts], float
    )
    # the rest of the difference is white space between segments; each gets an equal part
    rest = len(sent(masked, everything)) - nothing - of_players.sum()
    return np.asarray(nothing + masks @ (of_players + rest / masked.n_players))
