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
from functools import cache

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import BoolArray, FloatArray, Json
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.exact import EXACT
from interplay.decoders.spex.design import CodedDesign, design
from interplay.decoders.spex.peel import decode_coded
from interplay.decoders.spex.plan import minimum_budget
from interplay.decoders.spex.refit import refit, with_singletons
from interplay.designs.base import Design
from interplay.designs.measures import Measure
from interplay.fourier.spectrum import Spectrum

_ORDER, _MAX_ORDER = 5, 10
"""The default of the largest order, as in the paper; and the largest that there is."""
_MOST_ADDED = 2_000
"""The single players of more than so many are added to the regression only where they are
prominent: its time grows with the cube of its terms.
"""
_MASKS_AT_ONCE = 4096


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
    masks, numbers = (design.masks, values) if known.all() else (design.masks[known], values[known])
    singles = None if len(masks[0]) <= _MOST_ADDED else _prominent(masks, numbers)
    supports, is_decoded = with_singletons(decoded, design.plan.n_players, singles)
    fit = refit(masks, numbers, supports, is_decoded=is_decoded, folds=design.folds[known])
    residuals = np.full(values.shape, np.nan)
    residuals[known] = fit.errors
    settings: Json = {
        "order": order,
        "decoding": decoding,
        "t": design.plan.t,
        "group_bits": list(design.plan.bits),
        "coded_masks": design.n_coded,
        "further_masks": len(design.masks) - design.n_coded,
        "refit_penalty": fit.penalty.tolist(),
        "refit_penalty_added": fit.penalty_added.tolist(),
    }
    return Decoded(
        Spectrum(design.plan.n_players, supports, fit.coefficients),
        settings,
        {**asdict(diagnosis), "summary": str(diagnosis), "cv_r2": fit.cv_r2.tolist()},
        residuals=residuals,
    )


def _prominent(masks: BoolArray, values: FloatArray) -> BoolArray:
    """Which single players correlate with an output more than the largest of n by chance, ``(n,)``.

    Each of n correlations of pure noise, times the square root of the number of masks, is about
    normal, and the largest is about sqrt(2 ln n).
    """
    n_masks, n_players = masks.shape
    target = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-300)
    sums = np.zeros((n_players, target.shape[1]))
    for start in range(0, n_masks, _MASKS_AT_ONCE):
        block = slice(start, start + _MASKS_AT_ONCE)
        sums += masks[block].T.astype(np.float64) @ target[block]
    correlations = 2.0 * sums / n_masks  # the targets' mean is zero
    return np.asarray((correlations**2 * n_masks > 2.0 * np.log(n_players)).any(axis=1))


@cache
def _of_order(order: int) -> Decoder:
    """The decoder whose code corrects so many errors: the largest order that it finds."""

    def drawn(
        measure: Measure, n_masks: int, n_players: int, rng: np.random.Generator
    ) -> CodedDesign:
        return design(n_players, n_masks, random_state=rng, t=order)

    return Decoder(
        name="spex",
        order=_ORDER,
        max_order=_MAX_ORDER,
        min_masks=lambda n_players: minimum_budget(n_players, t=order),
        design=drawn,
        decode=_decode,
        options={"decoding": ("soft", "hard")},
        most_missing=0.01,
        by_order=_of_order,
    )


SPEX = _of_order(_ORDER)
