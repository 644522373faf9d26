"""What a design is, and the two simplest designs: uniform masks, and all masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.fourier.masks import every_mask, uniform

GROWING = ("uniform", "optimal", "flat")
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
        representative: which masks are a fair sample of the measure, ``(m,) bool``. Those that a
            code adds to others are not.
    """

    @property
    def kind(self) -> str:
        """See above."""
        ...

    @property
    def masks(self) -> BoolArray:
        """See above."""
        ...

    @property
    def representative(self) -> BoolArray:
        """See above."""
        ...

    def without(self, rows: IntArray) -> Design:
        """The same without the masks of some rows, which must be representative."""
        ...

    def with_more(self, masks: BoolArray) -> Design:
        """The same with further masks of the measure at its end."""
        ...


@dataclass(frozen=True, eq=False)
class PlainDesign:
    """Masks and their kind, without further structure (see :class:`Design`).

    Attributes:
        some: which masks are representative; ``None``: all.
    """

    kind: str
    masks: BoolArray
    some: BoolArray | None = None

    @property
    def representative(self) -> BoolArray:
        """See :class:`Design`."""
        return np.ones(len(self.masks), dtype=np.bool_) if self.some is None else self.some

    def without(self, rows: IntArray) -> PlainDesign:
        """See :class:`Design`."""
        keep = all_but(rows, len(self.masks))
        return PlainDesign(self.kind, self.masks[keep], self.representative[keep])

    def with_more(self, masks: BoolArray) -> PlainDesign:
        """See :class:`Design`."""
        return PlainDesign(self.kind, *joined(self, masks))


def all_but(rows: IntArray, n_masks: int) -> BoolArray:
    """Which of so many masks are not among those rows."""
    keep = np.ones(n_masks, dtype=np.bool_)
    keep[rows] = False
    return keep


def joined(design: Design, masks: BoolArray) -> tuple[BoolArray, BoolArray]:
    """The masks of a design and further ones of its measure, and which are representative."""
    further = np.ones(len(masks), dtype=np.bool_)
    return (
        np.concatenate([design.masks, masks]),
        np.concatenate([design.representative, further]),
    )


def uniform_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Draw distinct masks, each player kept with probability 1/2 (ProxySPEX, arXiv 2505.17495).

    For the same generator a larger design starts with the smaller one.
    """
    return PlainDesign("uniform", uniform(n_masks, n_players, rng))


def table_design(n_players: int) -> PlainDesign:
    """List all 2^n masks."""
    return PlainDesign("table", every_mask(n_players))


def first_largest(values: FloatArray) -> int:
    """The place of the largest of variances of about 1, and of equal ones the first, ``(c,)``.

    Rounding differs between processors by some 1e-13. What differs by less than 1e-9 counts as
    equal, so that a seed draws the same masks everywhere.
    """
    return int((values >= values.max() - 1e-9).argmax())
