"""Tokens of prompts: a chat's own markers apart from what people wrote, and masking by token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import IntArray
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.prompts.segments import offsets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Part = tuple[str, bool]
"""Characters, and whether people wrote them, as in :meth:`MaskedPrompt.parts`."""


class Encoder:
    """From a prompt's parts to token ids.

    Args:
        tokenizer: the model's tokenizer.
        chat: whether the parts are of a chat template, which has written its special tokens
            already; else the tokenizer adds its own. In a chat, special tokens that people wrote
            are plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: bool) -> None:
        self.tokenizer = tokenizer
        self.chat = chat
        special = sorted(
            (
                token.content
                for token in getattr(tokenizer, "added_tokens_decoder", {}).values()
                if token.special
            ),
            key=len,
            reverse=True,
        )
        self._special = re.compile("|".join(map(re.escape, special))) if special else None
        self._proved = False

    def __call__(self, prompts: Sequence[Sequence[Part]]) -> list[list[int]]:
        """The token ids of each prompt."""
        ids: list[list[int]] = self.tokenizer(
            ["".join(text for text, _ in parts) for parts in prompts],
            add_special_tokens=not self.chat,
        )["input_ids"]
        if self.chat and self._special is not None:
            for row, parts in enumerate(prompts):
                if self._confusable(parts):
                    self._prove(parts)
                    ids[row] = self._apart(parts)
        return ids

    def owners(self, prompt: MaskedPrompt, ids: Sequence[int]) -> IntArray:
        """Whose each token of the whole prompt is, ``(tokens,)``: a player, or -1.

        A token with characters of several players, or of none, is the one's who has most of them.

        Raises:
            ValueError: the tokenizer cannot tell which characters its tokens are, or the prompt
                holds special tokens that people wrote.
        """
        parts = prompt.parts(np.ones(prompt.n_players, dtype=np.bool_))
        if self.chat and self._confusable(parts):
            raise ValueError(
                "the chat's messages hold special tokens of the tokenizer as text, with which "
                "masking by tokens does not go; use masking='delete' or a replacement"
            )
        text = prompt.render(np.ones(prompt.n_players, dtype=np.bool_))
        offsets("", self.tokenizer)  # refuses tokenizers that cannot tell
        encoded = self.tokenizer(
            text, add_special_tokens=not self.chat, return_offsets_mapping=True
        )
        assert list(encoded["input_ids"]) == list(ids)
        owner = np.full(len(text), -1, dtype=np.int64)
        for player, (start, stop) in enumerate(prompt.spans):
            owner[start:stop] = player
        result = np.full(len(ids), -1, dtype=np.int64)
        for at, (start, stop) in enumerate(encoded["offset_mapping"]):
            seen = [int(owner[c]) for c in range(start, stop) if not text[c].isspace()]
            if seen:
                result[at] = Counter(seen).most_common(1)[0][0]
        return result

    def _confusable(self, parts: Sequence[Part]) -> bool:
        """Whether what people wrote holds a special token."""
        written, buffer = [], ""
        for text, by_people in [*parts, ("", False)]:
            if by_people:
                buffer += text
            elif buffer:
                written.append(buffer)
                buffer = ""
        return self._special is not None and any(map(self._special.search, written))

    def _apart(self, parts: Sequence[Part]) -> list[int]:
        """Tokens of the stretches between the template's own special tokens, and these."""
        assert self._special is not None
        ids: list[int] = []
        stretch = ""

        def flush() -> None:
            nonlocal stretch
            if stretch:
                ids.extend(
                    self.tokenizer(stretch, add_special_tokens=False, split_special_tokens=True)[
                        "input_ids"
                    ]
                )
            stretch = ""

        for text, by_people in parts:
            at = 0
            for found in () if by_people else self._special.finditer(text):
                stretch += text[at : found.start()]
                flush()
                ids.append(self.tokenizer.convert_tokens_to_ids(found.group()))
                at = found.end()
            stretch += text[at:]
        flush()
        return ids

    def _prove(self, parts: Sequence[Part]) -> None:
        """Refuse a tokenizer that cuts stretches other than the whole, seen without markers.

        Raises:
            ValueError: it does.
        """
        if self._proved:
            return
        assert self._special is not None
        plain = [(self._special.sub("", text) if mine else text, mine) for text, mine in parts]
        whole = self.tokenizer("".join(text for text, _ in plain), add_special_tokens=False)
        if whole["input_ids"] != self._apart(plain):
            raise ValueError(
                "the chat's messages hold special tokens of the tokenizer as text, and this "
                "tokenizer cannot tell them from the chat template's; take them out of the text"
            )
        self._proved = True
