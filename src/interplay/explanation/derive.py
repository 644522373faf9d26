"""From the values of a run plan's masks to a spectrum and its score, by the seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import BoolArray, FloatArray
from interplay.ablation.table import Evaluated
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import Design, PlainDesign
from interplay.errors import GameError, hand_over
from interplay.explanation.explanation import Ablations
from interplay.explanation.faithfulness import Faithfulness, faithfulness
from interplay.explanation.run_plan import MIN_HELD_OUT, RunPlan


@dataclass(frozen=True)
class Derived:
    """What follows from a run plan and the values of its masks, by its seed alone.

    Attributes:
        made: the ablations that went into it, sorted.
        decoded: the spectrum.
        score: its faithfulness.
    """

    made: Made
    decoded: Decoded
    score: Faithfulness


def derive(plan: RunPlan, evaluated: Evaluated) -> Derived:
    """Decode and score the values of a plan's masks.

    The same run plan and the same values give the same result, which is what an audit relies on.

    Raises:
        GameError: too few masks have a value.
        KeyboardInterrupt: likewise, after an interruption.
    """
    made = _made(plan, evaluated)
    decoded = run_decoder(
        made.chosen, made.design, made.fit_values, made.order, plan.fit_rng, made.options
    )
    score = faithfulness(
        decoded.spectrum,
        made.held_out.masks,
        made.held_out.values,
        plan.score_rng,
        exact=made.exact,
        noise=made.held_noise,
    )
    return Derived(made, decoded, score)


@dataclass(frozen=True)
class Made:
    """What a run plan came to: as planned, or what is left where some ablations have no value."""

    chosen: Decoder
    options: dict[str, object]
    order: int
    design: Design
    fit_values: FloatArray
    fit: Ablations
    held_out: Ablations
    held_noise: FloatArray | None
    exact: bool


def _made(plan: RunPlan, evaluated: Evaluated) -> Made:
    """Sort the values into those of the fit and those held out, and mind the missing ones.

    A few missing values of a design that hangs together are left to its decoder; with more, and
    for all masks, what there is goes to ProxySPEX, which takes any masks.
    """
    n_fit = len(plan.design.masks)
    values, masks = evaluated.values, plan.masks
    known = finite_rows(values)
    missing = 1.0 - float(known[:n_fit].mean())
    chosen, options, order = plan.chosen, dict(plan.options), plan.order
    design, fit_values = plan.design, values[:n_fit]
    fit_rows, held_rows = np.flatnonzero(known[:n_fit]), n_fit + np.flatnonzero(known[n_fit:])
    exact = len(plan.held_out) == 0 and not missing
    too_few_held = not exact and len(held_rows) < min(MIN_HELD_OUT, max(len(plan.held_out), 1))
    too_many_missing = chosen.most_missing is not None and missing > chosen.most_missing
    if too_few_held or too_many_missing or (missing and chosen.most_missing is None):
        if too_few_held:  # hold out some of all that there is
            rows = plan.fit_rng.permutation(np.flatnonzero(known))
            fit_rows, held_rows = np.split(rows, [-max(MIN_HELD_OUT, len(rows) // 10)])
            fit_rows = np.sort(fit_rows)
        if chosen.most_missing is not None:
            any_masks = plan.requested.most_missing is None
            chosen = plan.requested if any_masks else get_decoder("proxyspex")
            options, order = {}, min(order, chosen.order)
        design = PlainDesign(f"part of {design.kind}", masks[fit_rows])
        fit_values = values[fit_rows]
    n_players = masks.shape[1]
    if not exact and (len(design.masks) < chosen.min_masks(n_players) or not len(held_rows)):
        raise _too_few(plan, evaluated, known)
    fit = Ablations(masks[fit_rows], values[fit_rows])
    held_out = fit if exact else Ablations(masks[held_rows], values[held_rows])
    noise = evaluated.noise
    if noise is not None:
        noise = noise[fit_rows if exact else held_rows]
    return Made(chosen, options, order, design, fit_values, fit, held_out, noise, exact)


def _too_few(plan: RunPlan, evaluated: Evaluated, known: BoolArray) -> BaseException:
    """What to raise where what there is cannot be decoded and scored."""
    masks, values = plan.masks[known], evaluated.values[known]
    what = f"only {len(masks)} of {len(known)} masks have a value, too few to decode and score"
    if not evaluated.interrupted:
        return GameError(what, masks, values)
    interrupt = KeyboardInterrupt(
        f"interrupted: {what}; with a store they are kept, and they are this exception's "
        "attributes masks and values"
    )
    return hand_over(interrupt, masks, values)
