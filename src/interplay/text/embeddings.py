"""The similarity of texts by their embeddings: a target of encoders, and a scorer of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from interplay._types import FloatArray
from interplay.extensions import check_known
from interplay.text.digests import model_digest, tokenizer_digest
from interplay.text.inference.encoders import EncoderReader, EncoderReadout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Pooling: TypeAlias = Literal["mean", "cls"]
"""The embedding of a text: the mean of its tokens' hidden states (special tokens included, tokens
masked by attention excluded), or the hidden state of its first token."""


@dataclass(frozen=True)
class EmbeddingSimilarity:
    """The cosine similarity of a text's embedding to that of a reference, from -1 to 1.

    Attributes:
        reference: the text to compare with; ``None``: the prompt with nothing removed.
        pooling: see :data:`Pooling`.
    """

    reference: str | None = None
    pooling: Pooling = "mean"

    def __post_init__(self) -> None:
        check_known("pooling", self.pooling, get_args(Pooling))

    def prepare(self, reader: EncoderReader, prompt: Sequence[int]) -> EncoderReadout:
        """See :meth:`interplay.text.inference.encoders.EncoderTarget.prepare`."""
        ids = prompt if self.reference is None else reader.tokenizer(self.reference)["input_ids"]
        embed = _embedding(reader, self.pooling)
        (reference,) = reader.values([ids], EncoderReadout(embed))

        def read(output: Any, attention: torch.Tensor) -> torch.Tensor:
            import torch

            embeddings = embed(output, attention)
            target = torch.tensor(reference, device=embeddings.device)
            return torch.cosine_similarity(embeddings, target[None], dim=1)[:, None]

        return EncoderReadout(read)

    def __str__(self) -> str:
        to = "the whole text" if self.reference is None else repr(self.reference)
        return f"similarity to {to}, {self.pooling} pooling"


@dataclass(frozen=True)
class AnswerSimilarity:
    """A score of an answer: the cosine similarity of its embedding to the original answer's.

    Made by :func:`answer_similarity`.

    Attributes:
        name: identifies what is computed, with a hash of the encoder's weights and tokenizer;
            ``None`` if hooks change what the encoder computes.
    """

    name: str | None
    _embed: Callable[[str], FloatArray]

    def __call__(self, answer: str, original: str) -> float:
        """The similarity, from -1 to 1."""
        a, b = self._embed(answer), self._embed(original)
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def answer_similarity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pooling: Pooling = "mean"
) -> AnswerSimilarity:
    """Make a scorer for :class:`interplay.text.Generated`: the similarity of answers in meaning.

    Args:
        model: an encoder, from ``load_model(..., task="embedding")``.
        tokenizer: its tokenizer.
        pooling: see :data:`Pooling`.

    Raises:
        ValueError: the model gives no hidden states.
    """
    check_known("pooling", pooling, get_args(Pooling))
    reader = EncoderReader(model, tokenizer)
    readout = EncoderReadout(_embedding(reader, pooling))
    embeddings: dict[str, FloatArray] = {}

    def embed(text: str) -> FloatArray:
        if text not in embeddings:
            (embeddings[text],) = reader.values([tokenizer(text)["input_ids"]], readout)
        return embeddings[text]

    weights = model_digest(model)
    name = None
    if weights is not None:
        identity = f"{weights} {tokenizer_digest(tokenizer)}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        name = f"cosine of {pooling} embeddings by {type(model).__name__} {digest}"
    return AnswerSimilarity(name, embed)


def _embedding(
    reader: EncoderReader, pooling: Pooling
) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """Make a function from an encoder's output and attention mask to embeddings ``(b, hidden)``."""
    kind = type(reader.model).__name__
    if reader.model.config.is_encoder_decoder:
        raise ValueError(f"{kind} has a decoder; give its encoder, model.get_encoder()")
    output = reader.output(reader.tokenizer("a")["input_ids"])
    if "last_hidden_state" not in output:
        raise ValueError(
            f"{kind} gives no hidden states to embed a text by; load an encoder with "
            "load_model(..., task='embedding')"
        )

    def embed(output: Any, attention: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = output.last_hidden_state.double()
        if pooling == "cls":
            if not attention[:, 0].all():
                raise ValueError(
                    "the first token is masked, but pooling='cls' is read off it; keep special "
                    "tokens, or use pooling='mean'"
                )
            return states[:, 0]
        weights = attention.double()[:, :, None]
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

    return embed
