"""The decoder ``auto``: of ``gp`` and ``proxyspex`` the better one by cross-validation.

The Gaussian process averaged with trees (``gp``) wins on most games of language models. A sparse
refit of the trees (``proxyspex``) wins where the function has only a few terms. Both start from the
same trees in the same folds, and both are scored on ablations that the folds left out.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._types import FloatArray
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.forest import grow_all
from interplay.decoders.gaussian.decoder import GAUSSIAN, averaged
from interplay.decoders.proxyspex import PROXYSPEX, refitted
from interplay.designs.base import Design
from interplay.designs.optimal import optimal_design

_EXACT = 1e-6
"""Share of the variance below which an error is rounding. If both fits are exact, the sparse one is
picked: it is easier to read.
"""
_MARGIN = 2.0
"""With m ablations ProxySPEX's error must be below the other's by the share of this over sqrt(m).
Without the margin ProxySPEX would be favoured: its error is the least of many settings'.
"""


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    masks = design.masks
    with threadpool_limits(1, user_api="blas"):
        forests = grow_all(masks, values, order, rng)
        candidates = {
            PROXYSPEX.name: refitted(masks, values, forests, order),
            GAUSSIAN.name: averaged(design, values, forests, order, rng),
        }
    score_keys = {PROXYSPEX.name: "cv_r2", GAUSSIAN.name: "cv_r2_same_masks"}
    scores = {
        name: float(np.mean(decoded.diagnosis[score_keys[name]] or [0.0]))
        for name, decoded in candidates.items()
    }
    bound = max((1 - scores[GAUSSIAN.name]) * (1 - _MARGIN / sqrt(len(masks))), _EXACT)
    picked = PROXYSPEX.name if 1 - scores[PROXYSPEX.name] <= bound else GAUSSIAN.name
    chosen = candidates[picked]
    varies = any(forest is not None for forest in forests)
    summary = _summary(picked, scores, bound) if varies else "all ablations have the same value"
    return replace(
        chosen,
        settings={"picked": picked, "cv_r2_of_each": scores} | chosen.settings,
        diagnosis={"summary": summary} | chosen.diagnosis,
    )


def _summary(picked: str, scores: dict[str, float], bound: float) -> str:
    """What was picked, by which rule.

    Args:
        picked: the decoder.
        scores: the cross-validated R2 of each.
        bound: the largest error, as a share of the variance, with which ProxySPEX is picked.
    """
    listed = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    return (
        f"{picked} was picked by its cross-validated R2 ({listed}; {PROXYSPEX.name} is picked from "
        f"{1 - bound:.3f} on, a margin above {GAUSSIAN.name}, since its R2 is that of the best of "
        "many settings)"
    )


AUTO = Decoder(
    name="auto",
    order=5,
    max_order=None,
    min_masks=lambda n_players: 20,
    design=optimal_design,
    decode=_decode,
    can_stop=True,
)
