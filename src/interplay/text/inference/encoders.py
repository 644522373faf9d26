"""Models that read a whole text at once: classifiers, and encoders that embed it.

A target of this kind makes a :class:`WholeReadout` for a :class:`WholeReader`, which evaluates many
texts in padded batches, each as if it were alone.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from interplay._types import FloatArray
from interplay.text.inference.batches import Batches, Way, tolerance
from interplay.text.inference.padding import Text, find_pinned, find_way
from interplay.text.models import context_length, require_llm
from interplay.text.targets import names_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CPU_TOKENS, _GPU_TOKENS = 1024, 65536
"""Tokens per forward pass to begin with."""
_SHORT = 6
"""Texts of fewer tokens are too short to find out anything with; they are evaluated singly."""


@dataclass(frozen=True)
class WholeReadout:
    """What is read of a model's output for a whole text.

    Attributes:
        read: from what the model returns (``logits`` of a classifier, ``last_hidden_state`` of an
            encoder) for b texts of up to t tokens, and its attention mask ``(b, t)``, 0 at padding
            and masked tokens, to ``(b, k)`` float64.
        outputs: the names of the k outputs; empty for values ``(m,)``, where k is 1.
    """

    read: Callable[[Any, torch.Tensor], torch.Tensor]
    outputs: tuple[str, ...] = ()


class WholeTarget(Protocol):
    """What is measured of a model that reads whole texts."""

    def prepare(self, reader: WholeReader, whole: Sequence[int]) -> WholeReadout:
        """Make ready for one model and one game.

        Args:
            reader: the model's reader.
            whole: the token ids of the prompt with nothing removed, special tokens included.

        Raises:
            ValueError: the model does not have what the target reads.
        """
        ...


def together(targets: Sequence[object], readouts: Sequence[WholeReadout]) -> WholeReadout:
    """Several readouts as one: the model runs once, the values stand side by side.

    Args:
        targets: what the readouts are of; an output without a name has its target's.
        readouts: one or more; a single one stays as it is.
    """
    if len(readouts) == 1:
        return readouts[0]

    def read(output: Any, attention: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.cat([each.read(output, attention) for each in readouts], dim=1)

    return WholeReadout(read, names_of(targets, [each.outputs for each in readouts]))


class WholeReader:
    """Reads targets off a classifier's or an encoder's output, for many texts at a time.

    Args:
        model: a Hugging Face model for sequence classification, or an encoder (``AutoModel``), in
            evaluation mode.
        tokenizer: its tokenizer.

    Attributes:
        way: how texts are batched: ``"padded"``; ``"equal"``, with others of their length, for a
            model that minds padding; ``"single"``, for one that takes no batches at all (a causal
            classifier without ``pad_token_id``). The first of them that gives what a few texts give
            alone; found out in the first call with a text of 6 tokens, ``None`` before.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        require_llm("WholeReader")
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.model = model
        self.tokenizer = tokenizer
        self.way: Way | None = None
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
        self._pinned: tuple[int, ...] | None = None
        """The places, 0 and -1, that the output is read off; ``None`` before that is known."""

    @property
    def tokens_per_pass(self) -> int:
        """The most tokens of a forward pass; halved when memory does not suffice."""
        return self._batches.tokens

    def values(
        self,
        prompts: Sequence[Sequence[int]],
        readout: WholeReadout,
        attention: Sequence[Sequence[int]] | None = None,
    ) -> FloatArray:
        """The readout's values. Texts that are the same are evaluated once.

        Args:
            prompts: m lists of token ids, special tokens included.
            readout: what to read.
            attention: for each token 1, or 0 for one that is masked: it stays in its place, and no
                other token attends to it. ``None``: nothing is masked.

        Returns:
            ``(m,)``, or ``(m, k)`` for named outputs.

        Raises:
            ValueError: an empty text, one above the model's context, masks of the wrong length, or
                a model in which tokens cannot be masked by attention.
        """
        texts = self._texts(prompts, attention)
        distinct = list(dict.fromkeys(texts))
        longest = max((ids for ids, _ in distinct), key=len, default=())
        if self.way is None and len(longest) >= _SHORT:
            self.way = self._find_way(longest)
        if any(0 in mask for _, mask in distinct):
            self._check_masking(longest, distinct)
        kept: dict[Text, FloatArray] = {}

        def evaluate(rows: list[int]) -> FloatArray:
            import torch

            with torch.inference_mode():
                read = readout.read(*self._forward([distinct[row] for row in rows]))
            return np.asarray(read.cpu().numpy())

        sizes = [len(ids) for ids, _ in distinct]
        for rows, values in self._batches.run(sizes, evaluate, self.way or "single"):
            kept.update(zip((distinct[row] for row in rows), values, strict=True))
        if not texts:
            return np.empty((0, len(readout.outputs)) if readout.outputs else 0)
        found = np.stack([kept[text] for text in texts])
        return found if readout.outputs or found.shape[1] != 1 else found[:, 0]

    def output(self, prompt: Sequence[int]) -> Any:
        """What the model returns for one text, in evaluation."""
        import torch

        with torch.inference_mode():
            return self._forward(self._texts([prompt], None))[0]

    def _texts(
        self, prompts: Sequence[Sequence[int]], attention: Sequence[Sequence[int]] | None
    ) -> list[Text]:
        masks = [(1,) * len(prompt) for prompt in prompts] if attention is None else attention
        if len(masks) != len(prompts):
            raise ValueError(f"{len(masks)} attention masks came for {len(prompts)} prompts")
        limit = context_length(self.model)
        texts = []
        for prompt, mask in zip(prompts, masks, strict=True):
            ids, kept = tuple(map(int, prompt)), tuple(map(int, mask))
            if len(ids) != len(kept) or not set(kept) <= {0, 1}:
                raise ValueError(
                    f"an attention mask of length {len(kept)} with the values {sorted(set(kept))} "
                    f"came for {len(ids)} tokens; give 0 or 1 for each"
                )
            if not any(kept):
                raise ValueError(
                    f"a text of {len(ids)} tokens has none that may be attended to; keep its "
                    "special tokens, or give a prompt with fixed words around {text}"
                )
            if limit is not None and len(ids) > limit:
                raise ValueError(
                    f"the text is {len(ids)} tokens, above the model's context of {limit}; "
                    "shorten it"
                )
            texts.append((ids, kept))
        return texts

    def _forward(self, texts: Sequence[Text]) -> tuple[Any, torch.Tensor]:
        """What the model returns for a batch, and its attention mask."""
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
        given: dict[str, Any] = {
            name: tensor.to(self.model.device)
            for name, tensor in inputs.items()
            if name in self._accepted
        }
        if "use_cache" in self._accepted:
            given["use_cache"] = False
        return self.model(**given), attention.to(self.model.device)

    def _plain(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """What targets are read off, for each text: logits, or hidden states of tokens kept."""
        import torch

        with torch.inference_mode():
            output, attention = self._forward(texts)
            if "logits" in output:
                return list(output.logits.double())
            states = output.last_hidden_state.double()
            return [row[kept.bool()] for row, kept in zip(states, attention, strict=True)]

    def _find_way(self, longest: tuple[int, ...]) -> Way:
        way, reasons = find_way(self._plain, longest, tolerance(self.model))
        if reasons:
            warnings.warn(
                f"{type(self.model).__name__} gives other outputs for a text in a batch than for "
                f"the text alone ({'; '.join(reasons)}); texts are evaluated "
                f"{'with others of their length' if way == 'equal' else 'one by one'}, which takes "
                "longer",
                stacklevel=3,
            )
        return way

    def _check_masking(self, longest: tuple[int, ...], texts: Sequence[Text]) -> None:
        """Refuse texts in which a masked token would show in the output."""
        if self._pinned is None:
            self._pinned = find_pinned(self._plain, self._other, longest, tolerance(self.model))
        for place in self._pinned:
            if any(not mask[place] for _, mask in texts):
                raise ValueError(
                    f"{type(self.model).__name__} is read off the {'last' if place else 'first'} "
                    "token of the text, which therefore cannot be masked by attention; put fixed "
                    f"words {'after' if place else 'before'} it, or remove segments otherwise"
                )

    def _other(self, ids: tuple[int, ...], places: Sequence[int]) -> tuple[int, ...]:
        """The same text with other, ordinary tokens in some places."""
        special = {*self.tokenizer.all_special_ids, self._pad}
        size = self.model.config.get_text_config().vocab_size
        changed = list(ids)
        for place in places:
            steps = range(ids[place] + 1, ids[place] + size)
            changed[place] = next(t % size for t in steps if t % size not in special)
        return tuple(changed)
