"""The exact Fourier transform of the values at all 2^n masks."""

from __future__ import annotations

import numpy as np

from interplay._arrays import pack
from interplay._types import FloatArray, IntArray
from interplay.decoders.base import Decoded, Decoder
from interplay.designs.base import Design, table_design
from interplay.fourier.masks import every_mask
from interplay.fourier.sets import members
from interplay.fourier.spectrum import Spectrum
from interplay.fourier.transform import walsh_hadamard


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    n_players = design.masks.shape[1]
    numbers: IntArray = design.masks @ (1 << np.arange(n_players, dtype=np.int64))
    if len(np.unique(numbers)) != 1 << n_players or len(numbers) != 1 << n_players:
        raise ValueError(
            f"{len(np.unique(numbers))} distinct masks came for {n_players} players, but "
            f'decoder="exact" needs all {1 << n_players}; use decoder="proxyspex"'
        )
    table = np.empty_like(values)
    table[numbers] = values
    coefficients = walsh_hadamard(table) / (1 << n_players)
    # coefficients of the size of rounding errors are zeros
    size = np.abs(coefficients).max(axis=1)
    keep = size > 1e-13 * np.abs(values).max(initial=0.0)
    keep[0] = True
    packed = pack(every_mask(n_players)[keep])
    spectrum = Spectrum.from_members(n_players, members(packed, n_players), coefficients[keep])
    return Decoded(spectrum.truncate(order=order), {"order": order})


EXACT = Decoder(
    name="exact",
    order=64,
    max_order=None,
    min_masks=lambda n_players: 1 << n_players,
    design=table_design,
    decode=_decode,
    most_missing=0.0,
)
