"""Texts that a model reads at once: checked, padded, and evaluated in batches.

Each text gets the output that it would get alone. Whether padded batches do that is found by an
equivalence check with the model at hand (:mod:`interplay.text.inference.padding`).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from interplay.text.inference.batches import Batches, BatchStrategy, relative_tolerance
from interplay.text.inference.known import known
from interplay.text.inference.padding import (
    BatchOutputs,
    Text,
    check_masked_tokens,
    choose_batch_strategy,
)
from interplay.text.models import context_length

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CPU_TOKENS, _GPU_TOKENS = 1024, 65536
"""Tokens per forward pass to begin with."""
_SHORT = 6
"""Texts of fewer tokens are too short for an equivalence check; they are evaluated one by one."""
_Result = TypeVar("_Result")


class TextPasses:
    """Evaluates texts in batches.

    Args:
        model: a Hugging Face model that reads a whole text at once: a classifier, an encoder, or an
            encoder-decoder.
        tokenizer: its tokenizer.
        outputs_of: evaluates texts in one batch; see :mod:`interplay.text.inference.padding`.
        settings: what these outputs depend on besides the model and the text.

    Attributes:
        strategy: how texts are batched: ``"padded"``; ``"equal"``: with others of their length, for
            a model whose outputs change with padding; ``"single"``: one by one, for a model that
            takes no batches at all (a causal classifier without ``pad_token_id``). It is the first
            of these that passes the equivalence check with single texts. The first call with a text
            of 6 tokens or more makes the check; ``None`` before.
        batches: cuts rows into passes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        outputs_of: BatchOutputs,
        settings: Hashable = (),
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.strategy: BatchStrategy | None = None
        self.batches = Batches(_CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS)
        self._outputs_of = outputs_of
        self._settings = settings
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

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        attention: Sequence[Sequence[int]] | None,
        evaluate: Callable[[list[Text]], Sequence[_Result]],
        n_more: int = 0,
    ) -> list[_Result]:
        """Evaluate many texts. Equal texts are evaluated once.

        Args:
            prompts: m lists of token ids, special tokens included.
            attention: for each token 1, or 0 if it is masked: it keeps its position, and no other
                token attends to it. ``None``: nothing is masked.
            evaluate: from the texts of a pass to a result for each.
            n_more: how many tokens a pass has for each text besides the text's own.

        Returns:
            m results.

        Raises:
            ValueError: a text is empty or longer than the model's context, a mask has the wrong
                length, or the model does not allow masking by attention.
        """
        texts = self.texts(prompts, attention)
        distinct = list(dict.fromkeys(texts))
        longest = max((ids for ids, _ in distinct), key=len, default=())
        if self.strategy is None and len(longest) >= _SHORT:
            self.strategy = known(
                self.model,
                ("texts", self._settings, self._pad, *sorted(self._types.items())),
                len(longest),
                lambda: self._choose_strategy(longest),
            )
        if any(0 in mask for _, mask in distinct):
            self._check_masking(longest, distinct)
        result_of: dict[Text, _Result] = {}
        sizes = [len(ids) + n_more for ids, _ in distinct]
        strategy = self.strategy or "single"
        for rows, results in self.batches.run(
            sizes, lambda rows: evaluate([distinct[row] for row in rows]), strategy
        ):
            result_of.update(zip((distinct[row] for row in rows), results, strict=True))
        return [result_of[text] for text in texts]

    def inputs(self, texts: Sequence[Text], forward: Callable[..., Any]) -> dict[str, torch.Tensor]:
        """What a forward function is given for a batch, of what it takes, padded on the right.

        Args:
            texts: the b texts, of up to t tokens.
            forward: the function.

        Returns:
            ``input_ids``, ``attention_mask`` and, where the tokenizer gives them,
            ``token_type_ids``, each ``(b, t)``.
        """
        import torch

        width = max(len(ids) for ids, _ in texts)
        ids = torch.full((len(texts), width), self._pad, dtype=torch.long)
        attention, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, (tokens, mask) in enumerate(texts):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            attention[row, : len(tokens)] = torch.tensor(mask)
            types[row, : len(tokens)] = torch.tensor([self._types.get(t, 0) for t in tokens])
        tensors = {"input_ids": ids, "attention_mask": attention}
        if self._types:
            tensors["token_type_ids"] = types
        accepted = inspect.signature(forward).parameters
        return {
            name: tensor.to(self.model.device)
            for name, tensor in tensors.items()
            if name in accepted
        }

    def attention(self, texts: Sequence[Text]) -> torch.Tensor:
        """The attention mask of a batch, ``(b, t)``: 0 at padding and masked tokens."""
        import torch

        rows = [torch.tensor(mask) for _, mask in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.model.device)

    def texts(
        self, prompts: Sequence[Sequence[int]], attention: Sequence[Sequence[int]] | None
    ) -> list[Text]:
        """Pair each prompt with its attention mask, and check both; see :meth:`__call__`."""
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
                stacklevel=6,
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
