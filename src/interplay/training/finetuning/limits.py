"""Limits: what can be tuned at all, and how many subsets at once fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interplay.components.architecture import find_architecture
from interplay.text.models import check_usable, context_length
from interplay.training.finetuning.body import Body, check_streams
from interplay.training.finetuning.maps import Map, find_maps
from interplay.training.finetuning.rendering import Encoded
from interplay.training.finetuning.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_SUBSETS = 64
"""The most subsets that are trained at once; more are no faster."""
_HELD = 3.0
"""Numbers that a training step holds per token, as a share of what the tuned layers' linear maps
read and write: the inputs and outputs of all steps of a layer, for the gradients."""
_BYTES = 4


def prepare(model: PreTrainedModel, settings: Settings) -> tuple[Body, tuple[Map, ...]]:
    """Find the layers of a model and the maps to tune, and check that they can be tuned.

    Raises:
        ValueError: they cannot, or a setting does not fit the model; the message says which.
    """
    check_usable(model)
    name = type(model).__name__
    try:
        architecture = find_architecture(model)
    except ValueError as error:
        raise ValueError(f"{name} cannot be fine-tuned on subsets: {error}") from error
    if architecture.predicts != "next":
        raise ValueError(
            f"{name} does not predict the next token; fine-tuning takes causal language models"
        )
    n_layers = len(architecture.layers)
    n_tuned = n_layers if settings.layers == "all" else int(settings.layers)
    if n_tuned > n_layers:
        raise ValueError(
            f"layers={n_tuned} is more than the {n_layers} layers of {name}; give at most "
            f"{n_layers}, or 'all'"
        )
    body = Body(model, architecture, n_layers - n_tuned)
    maps = find_maps(model, architecture, body.first, settings.targets)
    if settings.method == "lora":
        narrowest = min(maps, key=lambda each: min(each.weight.shape))
        if settings.rank > min(narrowest.weight.shape):
            raise ValueError(
                f"rank={settings.rank} is more than the rank of {narrowest.name}, whose weights "
                f"are {tuple(narrowest.weight.shape)}; give at most {min(narrowest.weight.shape)}"
            )
    check_streams(body)
    return body, maps


def check_lengths(
    model: PreTrainedModel, encoded: Sequence[Encoded], what: str, first: int = 0
) -> None:
    """Raise a ValueError if a text is longer than what the model reads.

    Args:
        model: the model.
        encoded: the texts.
        what: what they are called.
        first: the number of the first.
    """
    limit = context_length(model)
    for number, each in enumerate(encoded, first):
        if limit is not None and len(each.tokens) > limit:
            raise ValueError(
                f"{what}[{number}] has {len(each.tokens)} tokens, and the model reads {limit}; "
                "shorten it or leave it out"
            )


def subsets_at_once(
    settings: Settings,
    maps: Sequence[Map],
    all_maps: Sequence[Map],
    encoded: Sequence[Encoded],
    n_candidates: int,
) -> int:
    """Return how many subsets fit into the memory that is given.

    Args:
        settings: the settings.
        maps: the tuned maps.
        all_maps: all linear maps of the tuned layers.
        encoded: the examples.
        n_candidates: the tokens of the softmax of training.

    Raises:
        ValueError: not one fits.
    """
    whole = settings.adapt == "all"
    n_tokens = [len(each.tokens) - (1 if whole else each.n_prompt) for each in encoded]
    n_targets = [len(each.response) for each in encoded]
    shapes = [each.weight.shape for each in maps]
    sizes = [
        n_out * n_in if settings.method == "full" else settings.rank * (n_out + n_in)
        for n_out, n_in in shapes
    ]
    # with its gradient and Adam's two averages
    trained = 4 * sum(sizes) + 2 * max(sizes)
    per_token = _HELD * sum(sum(each.weight.shape) for each in all_maps)
    rows = min(settings.batch, len(encoded))
    held = rows * (np.mean(n_tokens) * per_token + np.mean(n_targets) * 3 * n_candidates)
    each = float(_BYTES * (trained + held)) / 1e9
    if each > settings.memory:
        raise ValueError(
            f"training one subset takes about {each:.2g} GB ({_BYTES * trained / 1e9:.2g} GB of "
            f"them for trained weights), above memory={settings.memory:g}; give more memory, or "
            "fewer layers, smaller minibatches, or method='lora'"
        )
    return min(MOST_SUBSETS, int(settings.memory / each))
