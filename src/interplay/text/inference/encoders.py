"""Models that read a whole text at once: classifiers, and encoders that embed it.

A target of such a model makes an :class:`EncoderReadout` for an :class:`EncoderReader`. The reader
evaluates many texts in padded batches; each gets the output that it would get alone.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from interplay._types import FloatArray
from interplay.text.inference.batches import Batches, BatchStrategy, relative_tolerance
from interplay.text.inference.padding import Text, check_masked_tokens, choose_batch_strategy
from interplay.text.models import context_length, require_llm
from interplay.text.readouts import names_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CPU_TOKENS, _GPU_TOKENS = 1024, 65536
"""Tokens per forward pass to begin with."""
_SHORT = 6
"""Texts of fewer tokens are too short for an equivalence check; they are evaluated one by one."""


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

    Attributes:
        strategy: how texts are batched: ``"padded"``; ``"equal"``: with others of their length, for
            a model whose outputs change with padding; ``"single"``: one by one, for a model that
            takes no batches at all (a causal classifier without ``pad_token_id``). It is the first
            of these that passes the equivalence check with single texts. The first call with a text
            of 6 tokens or more makes the check; ``None`` before.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        require_llm("EncoderReader")
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.model = model
        self.tokenizer = tokenizer
        self.strategy: BatchStrategy | None = None
        self._batches = Batches(_CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS)
        self._accepted = inspect.signature(model.forward).parameters
        # the model's own pad comes first: positions or pooling may depend on it
        pads = (model.config.get_text_config().pad_token_id, tokenizer.pad_token_id, 0)
        self._pad = next(pad for pad in pads if pad is not None)
        # the segment of each special token; XLNet has one of its own for [CLS]
        kinds = tokenizer("") if "token_type_ids" in tokenizer.model_input_names else {}
        self._types = dict(
            zip(kinds.get("input_ids", ()), kinds.get("token_type_ids", ()), strict=True)
        )
        self._readout_positions: tuple[int, ...] | None = None
        """The positions, of 0 and -1, that the output is read off; ``None`` before the check."""

    @property
    def tokens_per_pass(self) -> int:
        """The most tokens of a forward pass; halved when memory does not suffice."""
        return self._batches.tokens

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
        texts = self._texts(prompts, attention)
        distinct = list(dict.fromkeys(texts))
        longest = max((ids for ids, _ in distinct), key=len, default=())
        if self.strategy is None and len(longest) >= _SHORT:
            self.strategy = self._choose_strategy(longest)
        if any(0 in mask for _, mask in distinct):
            self._check_masking(longest, distinct)
        values_of: dict[Text, FloatArray] = {}

        def evaluate(rows: list[int]) -> FloatArray:
            import torch

            with torch.inference_mode():
                read = readout.read(*self._forward([distinct[row] for row in rows]))
            return np.asarray(read.cpu().numpy())

        sizes = [len(ids) for ids, _ in distinct]
        for rows, values in self._batches.run(sizes, evaluate, self.strategy or "single"):
            values_of.update(zip((distinct[row] for row in rows), values, strict=True))
        if not texts:
            return np.empty((0, len(readout.outputs)) if readout.outputs else 0)
        stacked = np.stack([values_of[text] for text in texts])
        return stacked if readout.outputs or stacked.shape[1] != 1 else stacked[:, 0]

    def output(self, prompt: Sequence[int]) -> Any:
        """Compute what the model returns for one text, without gradients."""
        import torch

        with torch.inference_mode():
            return self._forward(self._texts([prompt], None))[0]

    def _texts(
        self, prompts: Sequence[Sequence[int]], attention: Sequence[Sequence[int]] | None
    ) -> list[Text]:
        """Pair each prompt with its attention mask, and check both."""
        masks = [(1,) * len(prompt) for prompt in prompts] if attention is None else attention
        if len(masks) != len(prompts):
            raise ValueError(f"{len(masks)} attention masks came for {len(prompts)} prompts")
        limit = context_length(self.model)
        texts = []
        for prompt, mask in zip(prompts, masks, strict=True):
            ids, attended = tuple(map(int, prompt)), tuple(map(int, mask))
            if len(ids) != len(attended) or not set(attended) <= {0, 1}:
                raise ValueError(
                    f"an attention mask of length {len(attended)} with the values "
                    f"{sorted(set(attended))} came for {len(ids)} tokens; give 0 or 1 for each"
                )
            if not any(attended):
                raise ValueError(
                    f"a text of {len(ids)} tokens has none that may be attended to; keep its "
                    "special tokens, or give a prompt with fixed words around {text}"
                )
            if limit is not None and len(ids) > limit:
                raise ValueError(
                    f"the text is {len(ids)} tokens, above the model's context of {limit}; "
                    "shorten it"
                )
            texts.append((ids, attended))
        return texts

    def _forward(self, texts: Sequence[Text]) -> tuple[Any, torch.Tensor]:
        """Evaluate one batch: what the model returns, and the attention mask ``(b, t)``."""
        import torch

        width = max(len(ids) for ids, _ in texts)
        ids = torch.full((len(texts), width), self._pad, dtype=torch.long)
        attention, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, (tokens, mask) in enumerate(texts):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            attention[row, : len(tokens)] = torch.tensor(mask)
            types[row, : len(tokens)] = torch.tensor([self._types.get(t, 0) for t in tokens])
        inputs = {"input_ids": ids, "attention_mask": attention}
        if self._types:
            inputs["token_type_ids"] = types
        arguments: dict[str, Any] = {
            name: tensor.to(self.model.device)
            for name, tensor in inputs.items()
            if name in self._accepted
        }
        if "use_cache" in self._accepted:
            arguments["use_cache"] = False
        return self.model(**arguments), attention.to(self.model.device)

    def _outputs_of(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """What targets read of each text of a batch: logits, or unmasked tokens' hidden states."""
        import torch

        with torch.inference_mode():
            output, attention = self._forward(texts)
            if "logits" in output:
                return list(output.logits.double())
            states = output.last_hidden_state.double()
            return [row[mask.bool()] for row, mask in zip(states, attention, strict=True)]

    def _choose_strategy(self, longest: tuple[int, ...]) -> BatchStrategy:
        strategy, reasons = choose_batch_strategy(
            self._outputs_of, longest, relative_tolerance(self.model)
        )
        if reasons:
            warnings.warn(
                f"{type(self.model).__name__} gives other outputs for a text in a batch than for "
                f"the text alone ({'; '.join(reasons)}); texts are evaluated "
                f"{'with others of their length' if strategy == 'equal' else 'one by one'}, which "
                "takes longer",
                stacklevel=3,
            )
        return strategy

    def _check_masking(self, longest: tuple[int, ...], texts: Sequence[Text]) -> None:
        """Refuse texts in which a masked token would influence the output."""
        if self._readout_positions is None:
            self._readout_positions = check_masked_tokens(
                self._outputs_of, self._substitute, longest, relative_tolerance(self.model)
            )
        for position in self._readout_positions:
            if any(not mask[position] for _, mask in texts):
                which, where = ("last", "after") if position else ("first", "before")
                raise ValueError(
                    f"{type(self.model).__name__} is read off the {which} token of the text, which "
                    f"therefore cannot be masked by attention; put fixed words {where} it, or use "
                    "another masking"
                )

    def _substitute(self, ids: tuple[int, ...], positions: Sequence[int]) -> tuple[int, ...]:
        """The same text with other, ordinary tokens at some positions."""
        special = {*self.tokenizer.all_special_ids, self._pad}
        size = self.model.config.get_text_config().vocab_size
        changed = list(ids)
        for position in positions:
            steps = range(ids[position] + 1, ids[position] + size)
            changed[position] = next(t % size for t in steps if t % size not in special)
        return tuple(changed)
