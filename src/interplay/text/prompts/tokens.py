"""Tokens of prompts, with a chat template's special tokens distinguished from what people wrote."""

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
    """Turns a prompt's parts into token ids.

    Args:
        tokenizer: the model's tokenizer.
        chat: whether a chat template wrote the parts, its special tokens included. Otherwise the
            tokenizer adds its own. In a chat, special tokens that people wrote are plain text.
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
        self._checked = False

    def __call__(self, prompts: Sequence[Sequence[Part]]) -> list[list[int]]:
        """The token ids of each prompt."""
        ids: list[list[int]] = self.tokenizer(
            ["".join(text for text, _ in parts) for parts in prompts],
            add_special_tokens=not self.chat,
        )["input_ids"]
        if self.chat and self._special is not None:
            for row, parts in enumerate(prompts):
                if self._confusable(parts):
                    self._check_pieces(parts)
                    ids[row] = self._encode_in_pieces(parts)
        return ids

    def owners(self, prompt: MaskedPrompt, ids: Sequence[int]) -> IntArray:
        """The player of each token of the whole prompt, ``(tokens,)``; -1 for a fixed token.

        A token with characters of several players, or of a player and fixed text, belongs to the
        one with the most of them.

        Raises:
            ValueError: the tokenizer does not know which characters its tokens are, or the prompt
                holds special tokens that people wrote.
        """
        parts = prompt.parts(np.ones(prompt.n_players, dtype=np.bool_))
        if self.chat and self._confusable(parts):
            raise ValueError(
                "the chat's messages hold special tokens of the tokenizer as text, so they cannot "
                "be masked by tokens; use masking='delete' or a replacement"
            )
        text = prompt.render(np.ones(prompt.n_players, dtype=np.bool_))
        offsets("", self.tokenizer)  # refuses tokenizers without offsets
        encoded = self.tokenizer(
            text, add_special_tokens=not self.chat, return_offsets_mapping=True
        )
        assert list(encoded["input_ids"]) == list(ids)
        owner = np.full(len(text), -1, dtype=np.int64)
        for player, (start, stop) in enumerate(prompt.spans):
            owner[start:stop] = player
        token_owner = np.full(len(ids), -1, dtype=np.int64)
        for at, (start, stop) in enumerate(encoded["offset_mapping"]):
            candidates = [int(owner[c]) for c in range(start, stop) if not text[c].isspace()]
            if candidates:
                token_owner[at] = Counter(candidates).most_common(1)[0][0]
        return token_owner

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

    def _encode_in_pieces(self, parts: Sequence[Part]) -> list[int]:
        """Encode the template's special tokens, and each piece of text between them by itself."""
        assert self._special is not None
        ids: list[int] = []
        piece = ""

        def flush() -> None:
            nonlocal piece
            if piece:
                ids.extend(
                    self.tokenizer(piece, add_special_tokens=False, split_special_tokens=True)[
                        "input_ids"
                    ]
                )
            piece = ""

        for text, by_people in parts:
            at = 0
            for special in () if by_people else self._special.finditer(text):
                piece += text[at : special.start()]
                flush()
                ids.append(self.tokenizer.convert_tokens_to_ids(special.group()))
                at = special.end()
            piece += text[at:]
        flush()
        return ids

    def _check_pieces(self, parts: Sequence[Part]) -> None:
        """Refuse a tokenizer that encodes a text in pieces differently from the whole text.

        The two are compared without the special tokens that people wrote.

        Raises:
            ValueError: the two encodings differ.
        """
        if self._checked:
            return
        assert self._special is not None
        plain = [
            (self._special.sub("", text) if by_people else text, by_people)
            for text, by_people in parts
        ]
        whole = self.tokenizer("".join(text for text, _ in plain), add_special_tokens=False)
        if whole["input_ids"] != self._encode_in_pieces(plain):
            raise ValueError(
                "the chat's messages hold special tokens of the tokenizer as text, and this "
                "tokenizer cannot distinguish them from the chat template's; take them out of the "
                "text"
            )
        self._checked = True
