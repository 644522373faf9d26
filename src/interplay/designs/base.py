"""What a design is, and the two simplest designs: uniform masks, and all masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interplay._types import BoolArray
from interplay.fourier.masks import every_mask, uniform

GROWING = ("uniform", "optimal", "flat", "trie")
"""Kinds of designs whose first masks are a smaller design of the same kind; :data:`STRATA` too."""
STRATA = "strata of "
"""How the kind of a stratified design begins, with its measure after it."""


def grows(kind: str) -> bool:
    """Whether the first masks of a design are a smaller one of its kind, or of a part of it."""
    return kind.endswith(GROWING) or STRATA in kind


class Design(Protocol):
    """The masks of a decoder, with whatever it needs to know about their structure.

    Attributes:
        kind: ``"uniform"``, ``"optimal"``, ``"flat"``, ``"strata of ..."`` with a measure,
            ``"table"`` (all 2^n masks), or the name of a coded design.
        masks: ``(m, n) bool``, distinct.
    """

    @property
    def kind(self) -> str:
        """See above."""
        ...

    @property
    def masks(self) -> BoolArray:
        """See above."""
        ...


@dataclass(frozen=True)
class PlainDesign:
    """Masks and their kind, without further structure (see :class:`Design`)."""

    kind: str
    masks: BoolArray


def uniform_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Draw distinct masks, each player kept with probability 1/2 (ProxySPEX, arXiv 2505.17495).

    For the same generator a larger design starts with the smaller one.
    """
    return PlainDesign("uniform", uniform(n_masks, n_players, rng))


def table_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """List all 2^n masks; neither ``n_masks`` nor ``rng`` matters."""
    return PlainDesign("table", every_mask(n_players))
