"""The decoder ``auto``: of ``gp``, ``proxyspex`` and ``spex`` the best one by cross-validation.

The Gaussian process averaged with trees (``gp``) wins on most games of language models. A sparse
refit of the trees (``proxyspex``) wins where the function has only a few terms. Both start from the
same trees in the same folds, and both are scored on ablations that the folds left out.

Neither finds an interaction among players that do not matter by themselves. ``spex`` does, if the
design has a code in it (:mod:`.mixed`). It is compared with the Gaussian process on the masks
outside the code, which took no part in its search.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._arrays import finite_rows
from interplay._types import BoolArray, FloatArray
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.forest import grow_all
from interplay.decoders.gaussian.decoder import GAUSSIAN, averaged
from interplay.decoders.gaussian.learn import Prior
from interplay.decoders.mixed import mixed_design
from interplay.decoders.proxyspex import PROXYSPEX, refitted
from interplay.decoders.spex.decoder import SPEX
from interplay.decoders.spex.design import CodedDesign
from interplay.designs.base import Design

_EXACT = 1e-6
"""Share of the variance below which an error is rounding. If both fits are exact, the sparse one is
picked: it is easier to read.
"""
_MARGIN = 2.0
"""With m ablations ProxySPEX's error must be below the other's by the share of this over sqrt(m).
Without the margin ProxySPEX would be favoured: its error is the least of many settings'. SPEX's
error, on fewer ablations, must be below that of the better of the two by the same rule.
"""
_FEWEST_OUTSIDE = 30
"""With fewer masks outside the code nothing is said of what the code finds."""


def _decode(
    design: Design,
    values: FloatArray,
    order: int,
    rng: np.random.Generator,
    hints: FloatArray | None = None,
    prior: Prior | None = None,
) -> Decoded:
    masks = design.masks
    with threadpool_limits(1, user_api="blas"):
        forests = grow_all(masks, values, order, rng)
        candidates = {
            PROXYSPEX.name: refitted(masks, values, forests, order),
            GAUSSIAN.name: averaged(design, values, forests, order, rng, hints, prior),
        }
        varying = np.array([forest is not None for forest in forests])
        by_code = _by_code(design, values, order, rng, varying)
    score_keys = {PROXYSPEX.name: "cv_r2", GAUSSIAN.name: "cv_r2_same_masks"}
    scores = {
        name: float(np.mean(decoded.diagnosis[score_keys[name]] or [0.0]))
        for name, decoded in candidates.items()
    }
    bound = _bound(scores[GAUSSIAN.name], len(masks))
    picked = PROXYSPEX.name if 1 - scores[PROXYSPEX.name] <= bound else GAUSSIAN.name
    summary = _summary(picked, scores, bound)
    if by_code is not None and scores[picked] < 1 - _EXACT:
        rival = scores[picked]
        if picked == GAUSSIAN.name:
            rival = _r2_outside(candidates[picked], design, values[:, varying], varying)
        candidates[SPEX.name], n_others = by_code, int(design.representative.sum())
        scores[SPEX.name] = _r2_outside(by_code, design, values[:, varying], varying)
        bound = _bound(rival, n_others)
        if 1 - scores[SPEX.name] <= bound:
            picked = SPEX.name
            found = candidates[picked].diagnosis["summary"]
            summary = f"{_summary_of_code(scores, n_others)}; {found}"
    chosen = candidates[picked]
    if not varying.any():
        summary = "all ablations have the same value"
    return replace(
        chosen,
        settings={"picked": picked, "cv_r2_of_each": scores} | chosen.settings,
        diagnosis=chosen.diagnosis | {"summary": summary},
    )


def _bound(r2: float, n_masks: int) -> float:
    """The largest error, as a share of the variance, with which another decoder is picked."""
    return max((1 - r2) * (1 - _MARGIN / sqrt(n_masks)), _EXACT)


def _by_code(
    design: Design, values: FloatArray, order: int, rng: np.random.Generator, varying: BoolArray
) -> Decoded | None:
    """Decode the code of a design.

    Args:
        design: the masks, ``(m, n)``.
        values: ``(m, k)``.
        order: the largest order.
        rng: of the run.
        varying: which outputs vary, ``(k,)``.

    Returns:
        What it gives; ``None`` where there is no code, or no interaction was found by it.
    """
    if not isinstance(design, CodedDesign) or not varying.any():
        return None
    if design.representative.sum() < _FEWEST_OUTSIDE:
        return None
    decoded = SPEX.decode(design, values, min(order, design.plan.t), rng)
    if decoded.residuals is None or (decoded.spectrum.orders < 2).all():
        return None
    return decoded


def _r2_outside(decoded: Decoded, design: Design, values: FloatArray, varying: BoolArray) -> float:
    """The mean cross-validated R2 on the masks outside the code, of the values that vary."""
    assert decoded.residuals is not None
    errors = decoded.residuals[:, varying]
    rows = design.representative & finite_rows(errors)
    spread = np.maximum(values[rows].var(axis=0), 1e-300)
    return float(np.mean(1 - (errors[rows] ** 2).mean(axis=0) / spread))


def _summary(picked: str, scores: dict[str, float], bound: float) -> str:
    """What was picked of ``gp`` and ``proxyspex``, by which rule.

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


def _summary_of_code(scores: dict[str, float], n_others: int) -> str:
    """What to say where ``spex`` was picked, by its R2 on so many masks outside the code."""
    others = ", ".join(f"{name} {r2:.3f}" for name, r2 in scores.items() if name != SPEX.name)
    return (
        f"{SPEX.name} was picked by its cross-validated R2 of {scores[SPEX.name]:.3f} on the "
        f"{n_others} masks outside its code ({others}): the values follow from a few interactions, "
        "also of players that do not matter by themselves"
    )


AUTO = Decoder(
    name="auto",
    order=5,
    max_order=None,
    min_masks=lambda n_players: 20,
    design=mixed_design,
    measure="shapley",
    decode=_decode,
    can_stop=True,
    takes_hints=True,
)
