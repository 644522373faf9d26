"""What a design is, and the designs without structure: uniform masks, and all masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interplay._types import BoolArray
from interplay.fourier.masks import every_mask, uniform

GROWING = ("uniform", "spread")
"""Kinds of designs of which a part is a smaller one."""


class Design(Protocol):
    """The masks that a decoder asks for, with whatever it needs to know about their structure.

    Attributes:
        kind: ``"uniform"``, ``"spread"``, ``"table"`` (all 2^n masks), or the name of a coded
            design.
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
    """Masks without structure (see :class:`Design`)."""

    kind: str
    masks: BoolArray


def uniform_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Distinct masks, each player kept with probability 1/2 (ProxySPEX, arXiv 2505.17495).

    For the same generator a larger design starts with the smaller one.
    """
    return PlainDesign("uniform", uniform(n_masks, n_players, rng))


def table_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """All 2^n masks; neither ``n_masks`` nor ``rng`` matters."""
    return PlainDesign("table", every_mask(n_players))
