"""SPEX (arXiv 2502.13870): coded masks, decoded like an error-correcting code.

1. The design asks for coded masks in groups (:mod:`.design`). The Walsh-Hadamard transform of a
   group hashes the Fourier coefficients into bins (:mod:`.bins`).
2. In a bin that holds one coefficient, the signs of the delays are the parity bits of its set. A
   BCH code (:mod:`.bch`, :mod:`.chase`) decodes them to the players of the set and corrects the
   signs that noise has flipped.
3. The coefficients found are peeled off all their bins, and the rest is decoded again
   (:mod:`.peel`).
4. The sets found, the single players and the empty set are fitted to all ablations by ridge
   regression (:mod:`.refit`).
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import FloatArray, Json
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.exact import EXACT
from interplay.decoders.spex.design import CodedDesign, design, minimum_budget
from interplay.decoders.spex.peel import decode_coded
from interplay.decoders.spex.refit import refit, with_singletons
from interplay.designs.base import Design
from interplay.fourier.spectrum import Spectrum

_ERRORS = 5
"""t, the errors that the code corrects: the largest order, as in the paper."""


def _decode(
    design: Design,
    values: FloatArray,
    order: int,
    rng: np.random.Generator,
    *,
    decoding: str = "soft",
) -> Decoded:
    if not isinstance(design, CodedDesign):
        raise ValueError(
            f'decoder="spex" decodes coded masks, not {design.kind} ones; pass the design of '
            "interplay.spex.design(n_players, budget) in place of its masks, or use "
            'decoder="proxyspex"'
        )
    known = finite_rows(values)
    # to the code a missing value is noise; the refit leaves it out
    filled = values if known.all() else np.where(known[:, None], values, values[known].mean(axis=0))
    if design.plan.kind == "exact":
        return EXACT.decode(design, filled, order, rng)
    decoded, diagnosis = decode_coded(design, filled, decoding=decoding, order=order)
    supports, is_decoded = with_singletons(decoded, design.plan.n_players)
    fit = refit(
        design.masks[known],
        values[known],
        supports,
        is_decoded=is_decoded,
        folds=design.folds[known],
    )
    settings: Json = {
        "order": order,
        "decoding": decoding,
        "t": design.plan.t,
        "group_bits": list(design.plan.bits),
        "coded_masks": design.n_coded,
        "uniform_masks": len(design.masks) - design.n_coded,
        "refit_penalty": fit.penalty.tolist(),
        "refit_penalty_added": fit.penalty_added.tolist(),
    }
    return Decoded(
        Spectrum(design.plan.n_players, supports, fit.coefficients),
        settings,
        {**asdict(diagnosis), "summary": str(diagnosis), "cv_r2": fit.cv_r2.tolist()},
    )


def _design(n_masks: int, n_players: int, rng: np.random.Generator) -> CodedDesign:
    return design(n_players, n_masks, random_state=rng, t=_ERRORS)


SPEX = Decoder(
    name="spex",
    order=_ERRORS,
    max_order=_ERRORS,
    min_masks=lambda n_players: minimum_budget(n_players, t=_ERRORS),
    design=_design,
    decode=_decode,
    options={"decoding": ("soft", "hard")},
    most_missing=0.01,
)
