"""What toolkits ask of an explanation: a value per player and output, and whether it is exact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from interplay._types import FloatArray, Json
from interplay.explanation.explanation import Explanation
from interplay.extensions import DECODERS, INDICES, unknown
from interplay.fourier.interactions import Interactions

SINGLE = ("SV", "BV")
"""The indices that give each player one value."""
_WHOLE = 1 - 1e-9


def is_exact(explanation: Explanation) -> bool:
    """Whether the spectrum is that of a table of all masks, without noise, cut at no order."""
    score, n_repeats = explanation.faithfulness, explanation.provenance["game"]["n_repeats"]
    return score.exact and n_repeats == 1 and not score.r2 < _WHOLE  # a constant has no R2


def singles(explanation: Explanation, index: str) -> Interactions:
    """The values of single players.

    Raises:
        ValueError: the index is none of :data:`SINGLE`.
    """
    named = INDICES.named(index)
    if named not in SINGLE:
        raise unknown("index", index, SINGLE)
    return explanation.interactions(named)


def of_singles(explanation: Explanation, index: str) -> FloatArray:
    """The value of each player, ``(n, k)``; k = 1 for a single output.

    Raises:
        ValueError: as for :func:`singles`.
    """
    interactions = singles(explanation, index)
    n_players = len(explanation.players)
    return np.stack([np.atleast_1d(interactions[(player,)]) for player in range(n_players)])


def interval(explanation: Explanation, index: str) -> dict[str, FloatArray]:
    """The ends of each value's interval, ``(n, k)`` each; empty where there is no uncertainty.

    Players that are not listed have their value, zero, for both ends.

    Raises:
        ValueError: as for :func:`singles`.
    """
    interactions = singles(explanation, index)
    low, high = interactions.low, interactions.high
    if low is None or high is None:
        return {}
    ends = {name: of_singles(explanation, index) for name in ("low", "high")}
    for row, players in enumerate(interactions.sets):
        if len(players) == 1:
            ends["low"][players[0]] = low[row]
            ends["high"][players[0]] = high[row]
    return ends


def target_of(explanation: Explanation) -> Json:
    """The settings of what was scored, if it was one target of the text lens; else empty."""
    targets = explanation.provenance["game"]["description"].get("targets") or []
    return dict(targets[0]) if len(targets) == 1 else {}


def by_token(explanation: Explanation) -> bool:
    """Whether the outputs are the tokens of one response."""
    target = target_of(explanation)
    return target.get("kind") == "Response" and target.get("reduction") == "token"


def probabilities(explanation: Explanation) -> FloatArray | None:
    """The probability of each token of the response to the whole input, ``(k,)``.

    ``None`` if the outputs are no tokens, or the whole input was not evaluated.
    """
    full = explanation.full
    if full is None or not by_token(explanation):
        return None
    score = target_of(explanation)["score"]
    if score == "prob":
        return np.asarray(full)
    return np.asarray(np.exp(full) if score == "logprob" else 1 / (1 + np.exp(-full)))


def shapley_settings(settings: Mapping[str, Any], elsewhere: Mapping[str, str]) -> Json:
    """The arguments of ``explain`` for a method of another package that gives Shapley values.

    Without a ``measure`` it is ``"shapley"``, unless the decoder has masks of its own.

    Args:
        settings: the user's.
        elsewhere: arguments that the method has under another name, and what to give instead.

    Raises:
        ValueError: one of these is among the settings, or the decoder is unknown.
    """
    for name, instead in elsewhere.items():
        if name in settings:
            raise ValueError(f"{name}={settings[name]!r} is no setting here; give {instead}")
    decoder = DECODERS[settings.get("decoder", "auto")]
    has_own_masks = decoder.most_missing is not None
    of_shapley = decoder.measure == "uniform" and not has_own_masks
    return ({"measure": "shapley"} if of_shapley else {}) | dict(settings)
