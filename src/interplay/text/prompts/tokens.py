"""Tokens of prompts, with a chat template's special tokens distinguished from what people wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from interplay._types import IntArray
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.prompts.segments import offsets
from interplay.text.prompts.token_texts import TokenTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Part = tuple[str, bool]
"""Characters, and whether people wrote them, as in :meth:`MaskedPrompt.parts`."""
Tokens: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Continuation:
    """An answer as the tokenizer writes it after a prompt.

    Attributes:
        tokens: the tokens of the answer, and before them those of the characters of ``replaced``.
        replaced: the last tokens of the prompt that are not in the tokens of prompt and answer;
            mostly none.
    """

    tokens: Tokens
    replaced: Tokens = ()


class Encoder:
    """Turns a prompt's parts into token ids.

    Args:
        tokenizer: the model's tokenizer.
        chat: whether a chat template wrote the parts, its special tokens included. Otherwise the
            tokenizer adds its own, but to a text that begins with the token for the beginning of
            texts, such as a chat that is already in its template. In a chat, special tokens that
            people wrote are plain text.
        ended: whether tokens that the tokenizer adds at the end stay. Encoders read them; what a
            causal model continues has no end.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: bool, ended: bool = False) -> None:
        self.tokenizer = tokenizer
        self.chat = chat
        self.ended = ended
        self._n_end = 0 if ended else _n_added_at_end(tokenizer)
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

    @cached_property
    def texts(self) -> TokenTexts:
        """The characters of the tokenizer's tokens."""
        return TokenTexts(self.tokenizer)

    def __call__(self, prompts: Sequence[Sequence[Part]]) -> list[list[int]]:
        """The token ids of each prompt."""
        ids = self._encoded(["".join(text for text, _ in parts) for parts in prompts])
        if self.chat and self._special is not None:
            for row, parts in enumerate(prompts):
                if self._confusable(parts):
                    self._check_pieces(parts)
                    ids[row] = self._encode_in_pieces(parts)
        return ids

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        """The token ids of texts, with the special tokens that they need."""
        ids: list[list[int]] = [[] for _ in texts]
        for add in (False, True):
            rows = [row for row, text in enumerate(texts) if self._adds_special(text) == add]
            if rows:
                encoded = self.tokenizer([texts[row] for row in rows], add_special_tokens=add)
                for row, tokens in zip(rows, encoded["input_ids"], strict=True):
                    ids[row] = tokens[: len(tokens) - self._n_end] if add else tokens
        return ids

    def _adds_special(self, text: str) -> bool:
        begin = None if self.ended else self.tokenizer.bos_token
        return not self.chat and not (begin and text.startswith(begin))

    def continuations(
        self, prompts: Sequence[Sequence[Part]], ids: Sequence[Sequence[int]], answer: str
    ) -> list[Continuation]:
        """How an answer is written after each prompt.

        Args:
            prompts: the prompts' parts.
            ids: the token ids of each.
            answer: the answer; its special tokens count as such.

        Raises:
            ValueError: the answer has no tokens, or shares a token with the prompt's first one.
        """
        if not answer:
            raise ValueError("the response '' has no tokens; give a response to score")
        written = []
        joint_ids = self([[*parts, (answer, False)] for parts in prompts])
        for prompt, joint in zip(ids, joint_ids, strict=True):
            pairs = zip(prompt, joint, strict=False)
            n_same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            one = Continuation(tuple(joint[n_same:]), tuple(prompt[n_same:]))
            if not one.tokens:
                raise ValueError(f"the response {answer!r} has no tokens; give a response to score")
            if prompt and not n_same:
                raise ValueError(
                    f"the tokenizer merges the whole prompt with the answer {answer!r}, so nothing "
                    "is left that precedes it; give the prompt fixed words around {text}"
                )
            written.append(one)
        return written

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
            text, add_special_tokens=self._adds_special(text), return_offsets_mapping=True
        )
        assert list(encoded["input_ids"][: len(ids)]) == list(ids)
        owner = np.full(len(text), -1, dtype=np.int64)
        for player, (start, stop) in enumerate(prompt.spans):
            owner[start:stop] = player
        for place in prompt.swapped:
            owner[place.start : place.stop] = place.player
        token_owner = np.full(len(ids), -1, dtype=np.int64)
        for at, (start, stop) in enumerate(encoded["offset_mapping"][: len(ids)]):
            candidates = [int(owner[c]) for c in range(start, stop) if not text[c].isspace()]
            candidates = candidates or [int(player) for player in owner[start:stop]]
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


def _n_added_at_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """How many special tokens the tokenizer adds after a text."""
    plain, framed = (tokenizer("a", add_special_tokens=add)["input_ids"] for add in (False, True))
    for n_end in range(len(framed) - len(plain) + 1):
        stop = len(framed) - n_end
        if framed[stop - len(plain) : stop] == plain:
            return n_end
    return 0
