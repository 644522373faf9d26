"""The exact Fourier transform of the values at all 2^n masks."""

from __future__ import annotations

import numpy as np

from interplay._arrays import pack
from interplay._types import FloatArray
from interplay.decoders.base import Decoded, Decoder
from interplay.designs.base import Design, table_design
from interplay.fourier.masks import every_mask, numbers_of
from interplay.fourier.sets import members
from interplay.fourier.spectrum import Spectrum
from interplay.fourier.transform import walsh_hadamard

_SHARE = 1e-13
"""A coefficient of at most this share of its output's range is a rounding error."""
_EPSILONS = 4 * float(np.finfo(np.float64).eps)
"""And so is one of at most this share of its output's largest value."""


def of_table(table: FloatArray) -> Spectrum:
    """The spectrum of a function of n players from all of its values.

    Args:
        table: ``(2**n, k)``. The number of a row is its mask; player ``i`` is bit ``i``.
    """
    n_players = len(table).bit_length() - 1
    coefficients = walsh_hadamard(table) / len(table)
    # coefficients of the size of rounding errors are zeros: each output has its own scale, and an
    # offset leaves the rounding of its own size
    rounding = _SHARE * np.ptp(table, axis=0) + _EPSILONS * np.abs(table).max(axis=0)
    zero = np.abs(coefficients) <= rounding
    zero[0] = False
    coefficients[zero] = 0.0
    keep = ~zero.all(axis=1)
    packed = pack(every_mask(n_players)[keep])
    return Spectrum.from_members(n_players, members(packed, n_players), coefficients[keep])


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    n_players = design.masks.shape[1]
    numbers = numbers_of(design.masks)
    if len(np.unique(numbers)) != 1 << n_players or len(numbers) != 1 << n_players:
        raise ValueError(
            f"{len(np.unique(numbers))} distinct masks came for {n_players} players, but "
            f'decoder="exact" needs all {1 << n_players}; use decoder="proxyspex"'
        )
    table = np.empty_like(values)
    table[numbers] = values
    return Decoded(of_table(table).truncate(order=order), {"order": order})


EXACT = Decoder(
    name="exact",
    order=64,
    max_order=None,
    min_masks=lambda n_players: 1 << n_players,
    design=lambda measure, n_masks, n_players, rng: table_design(n_players),
    decode=_decode,
    most_missing=0.0,
)
