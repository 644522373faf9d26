"""Which characters tokens stand for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import IntArray
from interplay.text.prompts.fields import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNDECODABLE = "�"
"""What stands for bytes that are no whole character."""


class TokenTexts:
    """The characters of tokens that stand inside a text, not at its beginning.

    Tokenizers with marks for word beginnings leave out the space before the first token that they
    decode. Tokens are therefore decoded after another token, whose text is then taken off.

    Args:
        tokenizer: a tokenizer.
        inside: whether they do stand inside a text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, inside: bool = True) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []
        if inside:
            self._before = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
        self._n_before = len(self._decoded([]))

    def __call__(self, tokens: Sequence[int]) -> str:
        """The text of some tokens; U+FFFD stands for what is no whole character."""
        return self._decoded(tokens)[self._n_before :]

    def _decoded(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            [*self._before, *tokens], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def spans(self, tokens: Sequence[int]) -> list[Span]:
        """The characters of each token in their text. Tokens inside one character share it."""
        until = [self(tokens[:n]) for n in range(len(tokens) + 1)]
        starts = [len(text.rstrip(UNDECODABLE)) for text in until[:-1]]
        return list(zip(starts, map(len, until[1:]), strict=True))

    def beginning_with(self, text: str) -> IntArray:
        """The tokens whose text begins with ``text``, special tokens left out."""
        return np.flatnonzero([written.startswith(text) for written in self._vocabulary])

    @cached_property
    def _vocabulary(self) -> list[str]:
        """The text of each token id; empty for special tokens and ids without a token."""
        known = set(self._tokenizer.get_vocab().values())
        added = getattr(self._tokenizer, "added_tokens_decoder", {}).items()
        known -= {token for token, entry in added if entry.special}
        known -= set(self._tokenizer.all_special_ids)
        return [self([token]) if token in known else "" for token in range(max(known) + 1)]
