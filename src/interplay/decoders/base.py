"""What a decoder is: a design, and an algorithm from its values to a spectrum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from interplay._types import FloatArray, Json
from interplay.designs.base import Design
from interplay.designs.measures import Measure, MeasureName
from interplay.fourier.spectrum import Spectrum


@dataclass(frozen=True)
class Decoded:
    """The result of a decoder.

    Attributes:
        spectrum: the sparse spectrum.
        settings: the settings that ran, as chosen by the user or by cross-validation.
        diagnosis: what lets people judge the result: scores, sparsity and the like.
        in_units: the entries of ``settings`` and ``diagnosis`` that are lists of numbers in the
            units of the values: one for each output, or for each that varies.
        surrogate: everything that was learned, for prediction, if the spectrum is only its
            strongest terms; else ``None``.
        residuals: the errors of predictions that did not use the value they predict, ``(m,)`` or
            ``(m, k)``, NaN where there is none; ``None`` if the decoder has no such predictions.
    """

    spectrum: Spectrum
    settings: Json
    diagnosis: Json = field(default_factory=dict)
    surrogate: Spectrum | None = None
    in_units: tuple[str, ...] = ()
    residuals: FloatArray | None = None


@dataclass(frozen=True)
class Decoder:
    """An algorithm from ablations to a spectrum.

    Attributes:
        name: the name that users write.
        order: the default of the largest order of interaction.
        max_order: the largest order that users may set; ``None``: no limit.
        min_masks: the fewest masks it can decode, by the number of players.
        design: ``(measure, n_masks, n_players, rng)`` to its design under a measure, of at most
            ``n_masks`` masks; ``Measure.design`` if any masks serve.
        decode: ``(design, values (m, k), order, rng, **options)`` to a result; ``rng`` draws folds
            and seeds. The values come in units in which each output has a size of about 1, without
            an offset that is far larger; what is returned is converted to the game's units.
        check: ``(n_masks, n_players, order)``; raises a ValueError for what it cannot decode.
        options: further keywords that ``decode`` takes, and the values that each may have.
        most_missing: if the decoder needs its own design as a whole, the largest share of its masks
            that may lack a value (NaN); ``None``: it decodes any masks.
        can_stop: whether it works with a stopping rule: its ``diagnosis`` has ``cv_r2``, and a
            larger design starts with the smaller ones.
        takes_hints: whether ``decode`` takes the keyword ``hints``: the values of the game's
            :class:`interplay.game.Hints`, ``(n,)``; and ``prior``, what other games say of this
            one (:class:`interplay.decoders.gaussian.learn.Prior`).
        measure: the measure of a run for which none is asked. A decoder that needs its own design
            as a whole has no other.
        by_order: makes the decoder for a largest order, where its masks depend on that; ``None``:
            they do not.
    """

    name: str
    order: int
    max_order: int | None
    min_masks: Callable[[int], int]
    design: Callable[[Measure, int, int, np.random.Generator], Design]
    decode: Callable[..., Decoded]
    check: Callable[[int, int, int], None] = lambda n_masks, n_players, order: None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_missing: float | None = None
    can_stop: bool = False
    takes_hints: bool = False
    measure: MeasureName = "uniform"
    by_order: Callable[[int], Decoder] | None = None

    def for_order(self, order: int) -> Decoder:
        """The decoder with the masks that interactions of up to so many players need."""
        return self if self.by_order is None else self.by_order(order)
