"""Derive a spectrum and its score from the values of a run plan's masks."""

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
    """The result of a run plan and the values of its masks.

    Attributes:
        inputs: the ablations of the fit and of the score, and the settings of the decoder.
        decoded: the spectrum, with what else the decoder gives.
        score: the faithfulness of the spectrum.
    """

    inputs: Inputs
    decoded: Decoded
    score: Faithfulness


def derive(plan: RunPlan, evaluated: Evaluated) -> Derived:
    """Decode the values of a plan's masks, and score the result.

    The same run plan and the same values give the same result. An audit relies on this.

    Raises:
        GameError: too few masks have a value.
        KeyboardInterrupt: too few masks have a value because the run was interrupted.
    """
    inputs = _inputs(plan, evaluated)
    decoded = run_decoder(
        inputs.chosen, inputs.design, inputs.fit_values, inputs.order, plan.fit_rng, inputs.options
    )
    score = faithfulness(
        decoded.spectrum,
        inputs.held_out.masks,
        inputs.held_out.values,
        plan.score_rng,
        exact=inputs.exact,
        noise=inputs.held_noise,
    )
    return Derived(inputs, decoded, score)


@dataclass(frozen=True)
class Inputs:
    """The inputs of the fit and of the score.

    They are those of the run plan, unless some ablations have no value.

    Attributes:
        chosen: the decoder that runs.
        options: the decoder's options.
        order: the largest order of interaction.
        design: the masks of the fit.
        fit_values: their values, ``(m,)`` or ``(m, k)``; NaN in rows that the decoder is to leave
            out.
        fit: the ablations of the fit, all with values.
        held_out: the ablations of the score; those of the fit if they are all 2^n masks.
        held_noise: for a game with repeats, the variance of each value in ``held_out``; otherwise
            ``None``.
        exact: the ablations are all 2^n masks.
    """

    chosen: Decoder
    options: dict[str, object]
    order: int
    design: Design
    fit_values: FloatArray
    fit: Ablations
    held_out: Ablations
    held_noise: FloatArray | None
    exact: bool


def _inputs(plan: RunPlan, evaluated: Evaluated) -> Inputs:
    """Divide the values between fit and score, and handle missing ones.

    Some decoders need a design whose masks depend on each other. Such a decoder handles a few
    missing values itself. If more are missing, or any of all 2^n masks, the decoder that was
    requested runs on the masks that have a value, or ProxySPEX if that decoder cannot work with
    any masks.
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
        if too_few_held:  # divide all masks that have a value anew
            rows = plan.fit_rng.permutation(np.flatnonzero(known))
            fit_rows, held_rows = np.split(rows, [-max(MIN_HELD_OUT, len(rows) // 10)])
            fit_rows = np.sort(fit_rows)
        if chosen.most_missing is not None:
            works_with_any_masks = plan.requested.most_missing is None
            chosen = plan.requested if works_with_any_masks else get_decoder("proxyspex")
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
    return Inputs(chosen, options, order, design, fit_values, fit, held_out, noise, exact)


def _too_few(plan: RunPlan, evaluated: Evaluated, known: BoolArray) -> BaseException:
    """The exception for a run with too few values to decode and score."""
    masks, values = plan.masks[known], evaluated.values[known]
    message = f"only {len(masks)} of {len(known)} masks have a value, too few to decode and score"
    if not evaluated.interrupted:
        return GameError(message, masks, values)
    interrupt = KeyboardInterrupt(
        f"interrupted: {message}; they are stored if a store was given, and they are this "
        "exception's attributes masks and values"
    )
    return hand_over(interrupt, masks, values)
