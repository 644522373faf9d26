"""Examples as vectors, for clusters and near duplicates of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import FloatArray
from interplay.training.finetuning.examples import Example, checked_examples
from interplay.training.finetuning.rendering import encode_examples

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> FloatArray:
    """Embed examples by what a model reads in them: the mean of its last states over the tokens.

    The mean over all examples is subtracted, since the states of a language model have much in
    common, and each vector is scaled to the length 1: equal texts are at the distance 0, unrelated
    ones at about 1.4.

    Example::

        vectors = embeddings(model, tokenizer, examples)
        game = FineTuningGame(tuning, questions, clusters(vectors, 20))
        game = FineTuningGame(tuning, questions, near_duplicates(vectors, radius=0.3))

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        examples: the rows.

    Returns:
        ``(rows, width)``.
    """
    import torch

    states = []
    with torch.inference_mode():
        for row in encode_examples(tokenizer, checked_examples(examples)):
            ids = torch.tensor([row.tokens], device=model.device)
            # the backbone alone: its head would write out the whole vocabulary
            states.append(model.base_model(input_ids=ids).last_hidden_state[0].double().mean(dim=0))
    vectors = torch.stack(states).cpu().numpy()
    vectors = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))
