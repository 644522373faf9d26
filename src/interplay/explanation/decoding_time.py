"""Estimate how long a decoder will take, from smaller fits."""

from __future__ import annotations

import time
from math import log

import numpy as np

from interplay._types import FloatArray
from interplay.decoders.decode import run_decoder
from interplay.designs.base import Design
from interplay.explanation.run_plan import RunPlan

_SECONDS = 1.0
"""No larger fit is tried after one that takes so long."""
_FIRST = 50
"""The number of masks of the first fit, at least."""
_GROWTH = 2
"""The factor between the sizes of two fits."""
_SLOWEST = 3.0
"""The largest exponent of the extrapolation: that of a Cholesky decomposition."""


def decoding_seconds(plan: RunPlan, n_outputs: int) -> float:
    """Estimate the seconds of a run plan's decoding, or decodings (see :func:`.derive.derive`).

    The decoder fits a random function of pairs to growing numbers of masks, up to those of the
    plan, until a fit takes a second. The time of the whole fit is extrapolated from the last two
    fits, as a power of the number of masks.

    Args:
        plan: the run plan.
        n_outputs: k, the number of outputs of the game.
    """
    decoder, n_players, n_masks = plan.chosen, len(plan.players), len(plan.design.masks)
    size = min(n_masks, max(_FIRST, decoder.min_masks(n_players)))
    seconds: list[float] = []
    sizes: list[int] = []
    while True:
        rng = np.random.default_rng(0)
        design = (
            decoder.design(plan.measure, size, n_players, rng) if size < n_masks else plan.design
        )
        values = _pairs(design, n_outputs)
        started = time.perf_counter()
        run_decoder(decoder, design, values, plan.order, rng, plan.options)
        seconds.append(time.perf_counter() - started)
        sizes.append(len(design.masks))
        if size >= n_masks:
            return seconds[-1] * plan.n_decodings
        if seconds[-1] > _SECONDS and len(sizes) > 1:
            break
        size = min(n_masks, size * _GROWTH)
    exponent = log(seconds[-1] / seconds[-2]) / log(sizes[-1] / sizes[-2])
    growth = (n_masks / sizes[-1]) ** min(max(exponent, 1.0), _SLOWEST)
    return float(seconds[-1] * growth * plan.n_decodings)


def _pairs(design: Design, n_outputs: int) -> FloatArray:
    """The values ``(m, k)`` of random functions of single players and of pairs of neighbours."""
    rng = np.random.default_rng(1)
    signs = 1.0 - 2.0 * design.masks
    n_players = signs.shape[1]
    singles, pairs = rng.standard_normal((2, n_players, n_outputs))
    noise = 0.1 * rng.standard_normal((len(signs), n_outputs))
    return np.asarray(signs @ singles + (signs * np.roll(signs, 1, axis=1)) @ pairs + noise)
