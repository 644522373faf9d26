"""Masking: what becomes of the segments of a text that are removed.

============== ====================================================================================
``"delete"``   The segment's characters are removed. The widest break in the white space around them
               stays. What is left is a new text, tokenized again. It shows what the model would say
               if the segment had never been written.
``Replace(t)`` The text t replaces each removed segment. It shows the same, with a visible gap.
``mask_token`` Each of the segment's tokens becomes the tokenizer's mask token. Everything keeps its
               position. For models trained with masks, such as BERT.
``attention``  The segment's tokens keep their positions, but no other token attends to them. It
               shows what the model would say if it could not look there. For models in which
               tokens depend on each other by attention only.
============== ====================================================================================

The first two change characters (:mod:`interplay.text.prompts.passage`), the other two tokens
(:mod:`interplay.text.prompts.tokens`). A masking that shows another value in the place of a removed
one is in :mod:`interplay.text.prompts.swap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.extensions import MASKINGS, MaskingName, unknown


class CharacterMasking(Protocol):
    """A masking that changes characters. What is left is tokenized again."""

    def replacement(self, segment: str, /) -> str | None:
        """What replaces a removed segment; ``None``: nothing, and the text closes up."""
        ...

    def describe(self) -> Json:
        """Its ``kind`` and settings, as JSON. They are a part of fingerprints."""
        ...


@runtime_checkable
class TokenMasking(Protocol):
    """A masking in which every token keeps its position."""

    def check(self, tokenizer: Any, /) -> None:
        """Refuse a tokenizer that lacks what is needed, with a ValueError."""
        ...

    def rows(
        self, ids: Sequence[int], kept: BoolArray, tokenizer: Any, /
    ) -> tuple[list[list[int]], BoolArray | None]:
        """The tokens under each mask.

        Args:
            ids: of the whole prompt, t tokens.
            kept: which of them are kept, ``(m, t)``.
            tokenizer: the model's.

        Returns:
            The ids of each of m prompts, and which tokens may be attended to, ``(m, t)``;
            ``None``: all.
        """
        ...

    def lengths(self, owners: IntArray, n_players: int, /) -> tuple[float, FloatArray]:
        """How many tokens the model reads with no player kept, and how many more for each player.

        Args:
            owners: the player of each token of the whole prompt; -1: none, it is always kept.
            n_players: n.

        Returns:
            A number and ``(n,)``.
        """
        ...

    def describe(self) -> Json:
        """As of :class:`CharacterMasking`."""
        ...


Masking: TypeAlias = CharacterMasking | TokenMasking
"""How segments are removed."""


@dataclass(frozen=True)
class Delete:
    """Masking by deletion."""

    def replacement(self, segment: str, /) -> None:
        """Nothing."""
        return

    def describe(self) -> Json:
        """Its kind."""
        return {"kind": "delete"}


@dataclass(frozen=True)
class Replace:
    """Masking that replaces each removed segment by a text.

    Attributes:
        text: the replacement, such as ``"[...]"``.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ValueError(f"text={self.text!r} is a {type(self.text).__name__}; give a text")

    def replacement(self, segment: str, /) -> str:
        """The text."""
        return self.text

    def describe(self) -> Json:
        """Its kind and the text."""
        return {"kind": "replace", "text": self.text}


@dataclass(frozen=True)
class MaskToken:
    """Masking by the tokenizer's mask token."""

    def check(self, tokenizer: Any, /) -> None:
        """Refuse a tokenizer without a mask token."""
        if tokenizer.mask_token_id is None:
            raise ValueError(
                "this tokenizer has no mask token, so masking='mask_token' does not fit it; "
                "use 'delete', 'attention' or Replace(text)"
            )

    def rows(
        self, ids: Sequence[int], kept: BoolArray, tokenizer: Any, /
    ) -> tuple[list[list[int]], None]:
        """Mask tokens in the positions of removed tokens."""
        return np.where(kept, ids, tokenizer.mask_token_id).tolist(), None

    def lengths(self, owners: IntArray, n_players: int, /) -> tuple[float, FloatArray]:
        """Always all tokens."""
        return float(len(owners)), np.zeros(n_players)

    def describe(self) -> Json:
        """Its kind."""
        return {"kind": "mask_token"}


@dataclass(frozen=True)
class Attention:
    """Masking by attention."""

    def check(self, tokenizer: Any, /) -> None:
        """Accept any tokenizer."""

    def rows(
        self, ids: Sequence[int], kept: BoolArray, tokenizer: Any, /
    ) -> tuple[list[list[int]], BoolArray]:
        """All tokens, and which of them may be attended to."""
        return [list(ids)] * len(kept), kept

    def lengths(self, owners: IntArray, n_players: int, /) -> tuple[float, FloatArray]:
        """Only the tokens that may be attended to."""
        counts = np.bincount(owners + 1, minlength=n_players + 1)
        return float(counts[0]), counts[1:].astype(np.float64)

    def describe(self) -> Json:
        """Its kind."""
        return {"kind": "attention"}


DELETE, MASK_TOKEN, ATTENTION = Delete(), MaskToken(), Attention()


def get_masking(masking: MaskingName | str | Masking) -> Masking:
    """Return the masking of a name, or the masking itself.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(masking, str):
        return masking
    if masking not in MASKINGS:
        raise unknown("masking", masking, [*MASKINGS, "Replace(text)"])
    named: Masking = MASKINGS[masking]
    return named
