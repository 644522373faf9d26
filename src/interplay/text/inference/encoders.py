"""Models that read a whole text at once: classifiers, and encoders that embed it.

A target of such a model makes an :class:`EncoderReadout` for an :class:`EncoderReader`. The reader
evaluates many texts in padded batches; each gets the output that it would get alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from interplay._types import FloatArray
from interplay.text.inference.batches import BatchStrategy
from interplay.text.inference.padding import Text
from interplay.text.inference.texts import TextPasses
from interplay.text.models import require_llm
from interplay.text.readouts import names_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncoderReadout:
    """What is read off a model's output for a text.

    Attributes:
        read: computes the values ``(b, k)``, float64, of b texts of up to t tokens. Its arguments
            are what the model returns (``logits`` of a classifier, ``last_hidden_state`` of an
            encoder) and the attention mask ``(b, t)``, 0 at padding and masked tokens.
        outputs: the names of the k outputs; empty for values ``(m,)``, where k is 1.
    """

    read: Callable[[Any, torch.Tensor], torch.Tensor]
    outputs: tuple[str, ...] = ()


class EncoderTarget(Protocol):
    """A score of a classifier's or an encoder's output."""

    def prepare(self, reader: EncoderReader, prompt: Sequence[int]) -> EncoderReadout:
        """Prepare the readout for one model and one game.

        Args:
            reader: the model's reader.
            prompt: the token ids of the prompt with nothing removed, special tokens included.

        Raises:
            ValueError: the model does not have what the target reads.
        """
        ...


def join_encoder_readouts(
    targets: Sequence[object], readouts: Sequence[EncoderReadout]
) -> EncoderReadout:
    """Join several readouts into one: the model runs once and the values stand side by side.

    Args:
        targets: the target of each readout. Its text names an output that has no name.
        readouts: one or more; a single one is returned as it is.
    """
    if len(readouts) == 1:
        return readouts[0]

    def read(output: Any, attention: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.cat([readout.read(output, attention) for readout in readouts], dim=1)

    return EncoderReadout(read, names_of(targets, [readout.outputs for readout in readouts]))


class EncoderReader:
    """Reads targets off a classifier's or an encoder's output, for many texts at a time.

    Args:
        model: a Hugging Face model for sequence classification, or an encoder (``AutoModel``), in
            evaluation mode.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        require_llm("EncoderReader")
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.model = model
        self.tokenizer = tokenizer
        self._passes = TextPasses(model, tokenizer, self._outputs_of)

    @property
    def strategy(self) -> BatchStrategy | None:
        """How texts are batched; see :class:`interplay.text.inference.texts.TextPasses`."""
        return self._passes.strategy

    @property
    def tokens_per_pass(self) -> int:
        """The most tokens of a forward pass; halved when memory does not suffice."""
        return self._passes.batches.tokens

    def values(
        self,
        prompts: Sequence[Sequence[int]],
        readout: EncoderReadout,
        attention: Sequence[Sequence[int]] | None = None,
    ) -> FloatArray:
        """Compute a readout's values for many texts. Equal texts are evaluated once.

        Args:
            prompts: m lists of token ids, special tokens included.
            readout: what to read.
            attention: for each token 1, or 0 if it is masked: it keeps its position, and no other
                token attends to it. ``None``: nothing is masked.

        Returns:
            ``(m,)``, or ``(m, k)`` for named outputs.

        Raises:
            ValueError: a text is empty or longer than the model's context, a mask has the wrong
                length, or the model does not allow masking by attention.
        """

        def evaluate(texts: list[Text]) -> list[FloatArray]:
            import torch

            with torch.inference_mode():
                read = readout.read(*self._forward(texts))
            return list(read.cpu().numpy())

        values = self._passes(prompts, attention, evaluate)
        if not values:
            return np.empty((0, len(readout.outputs)) if readout.outputs else 0)
        stacked = np.stack(values)
        return stacked if readout.outputs or stacked.shape[1] != 1 else stacked[:, 0]

    def output(self, prompt: Sequence[int]) -> Any:
        """Compute what the model returns for one text, without gradients."""
        import torch

        with torch.inference_mode():
            return self._forward(self._passes.texts([prompt], None))[0]

    def _forward(self, texts: Sequence[Text]) -> tuple[Any, torch.Tensor]:
        """Evaluate one batch: what the model returns, and the attention mask ``(b, t)``."""
        arguments: dict[str, Any] = {**self._passes.inputs(texts, self.model.forward)}
        if "use_cache" in inspect.signature(self.model.forward).parameters:
            arguments["use_cache"] = False
        return self.model(**arguments), self._passes.attention(texts)

    def _outputs_of(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """What targets read of each text of a batch: logits, or unmasked tokens' hidden states."""
        import torch

        with torch.inference_mode():
            output, attention = self._forward(texts)
            if "logits" in output:
                return list(output.logits.double())
            states = output.last_hidden_state.double()
            return [row[mask.bool()] for row, mask in zip(states, attention, strict=True)]
