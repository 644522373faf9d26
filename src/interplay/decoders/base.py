"""What a decoder is: a design that it wants, and a way from values to a spectrum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from interplay._types import Json
from interplay.designs.base import Design
from interplay.fourier.spectrum import Spectrum


@dataclass(frozen=True)
class Decoded:
    """What a decoder found.

    Attributes:
        spectrum: the sparse spectrum.
        settings: the settings that ran, as chosen by the user or by cross-validation.
        diagnosis: what the decoder noticed (scores, sparsity, ...), for people to judge the result.
        surrogate: the whole of what was learned, for prediction, where the spectrum is only its
            strongest terms; else ``None``.
    """

    spectrum: Spectrum
    settings: Json
    diagnosis: Json = field(default_factory=dict)
    surrogate: Spectrum | None = None


@dataclass(frozen=True)
class Decoder:
    """An algorithm from ablations to a spectrum.

    Attributes:
        name: what users write.
        order: the largest order of interaction, unless the user says otherwise.
        max_order: the largest order it can be asked for; ``None``: no limit.
        min_masks: the fewest masks it can decode, by the number of players.
        design: ``(n_masks, n_players, rng)`` to the masks it wants, at most ``n_masks``.
        decode: ``(design, values (m, k), order, rng, **options)`` to what it found; ``rng`` serves
            folds and seeds.
        check: ``(n_masks, n_players, order)``; raises a ValueError for what it cannot decode.
        options: further keywords that ``decode`` takes, and the values that each may have.
        most_missing: for a design whose masks belong together, the share of them that may lack a
            value (NaN) when it is decoded; ``None``: any masks will do.
        can_stop: its ``diagnosis`` has ``cv_r2``, and a larger design contains the smaller ones, so
            that ablations can be made until there are enough of them.
    """

    name: str
    order: int
    max_order: int | None
    min_masks: Callable[[int], int]
    design: Callable[[int, int, np.random.Generator], Design]
    decode: Callable[..., Decoded]
    check: Callable[[int, int, int], None] = lambda n_masks, n_players, order: None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_missing: float | None = None
    can_stop: bool = False
