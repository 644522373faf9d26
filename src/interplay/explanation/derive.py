"""Derive a spectrum and its score from the values of a run plan's masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from interplay._arrays import as_columns, finite_rows
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.ablation.table import Evaluated
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import Design, PlainDesign, all_but, grows
from interplay.designs.measures import SHAPLEY, UNIFORM, measure_of
from interplay.errors import GameError, hand_over
from interplay.explanation.cheaper import Cheaper
from interplay.explanation.completion import can_complete, completed
from interplay.explanation.correction import corrected, tightened, with_end_doubts
from interplay.explanation.explanation import Ablations
from interplay.explanation.fairness import ENOUGH_HELD_OUT, fair_order, fair_rows
from interplay.explanation.faithfulness import Faithfulness, faithfulness, judged_outputs
from interplay.explanation.run_plan import MIN_HELD_OUT, RunPlan

_INTERCHANGEABLE = ("table",)
"""Kinds of designs, beside those that grow, some of whose masks can be held out of the fit in place
of held-out masks."""


@dataclass(frozen=True)
class Derived:
    """The result of a run plan and the values of its masks.

    Attributes:
        inputs: the ablations of the fit and of the score, and the settings of the decoder.
        decoded: the spectrum, with what else the decoder gives.
        score: the faithfulness of the spectrum, or of the one that was fitted without the held-out
            ablations.
        held_predictions: what that one predicts for these; ``None`` if there is only one.
    """

    inputs: Inputs
    decoded: Decoded
    score: Faithfulness
    held_predictions: FloatArray | None


def derive(
    plan: RunPlan,
    evaluated: Evaluated,
    cheaper: Ablations | None = None,
    description: Json | None = None,
) -> Derived:
    """Decode the values of a plan's masks, and score the result.

    Under measures other than uniform, masks are held out in turn: each part of them is predicted by
    a fit to all others. Another decoding follows, of all ablations. The score is that of the
    former, so it errs on the low side.

    The same run plan and the same values give the same result. An audit relies on this.

    Args:
        plan: the run plan.
        evaluated: the values of its masks.
        cheaper: the ablations of a cheaper game (see :mod:`.cheaper`), if the plan has one.
        description: of the game. A comparison is judged by its difference.

    Raises:
        GameError: too few masks have a value.
        KeyboardInterrupt: too few masks have a value because the run was interrupted.
    """
    inputs = _inputs(plan, evaluated)
    if cheaper is not None and plan.cheaper is not None:
        inputs = replace(inputs, cheaper=Cheaper.of(plan, cheaper))
    held_out, rng = inputs.held_out, plan.fit_rng
    if plan.in_turn:
        predictions = _predicted_in_turn(inputs, rng)
        decoded = _decoded(inputs, held_out, rng)
    else:
        decoded = _decoded(inputs, held_out[:0], rng)
        predictions = decoded.spectrum.predict(held_out.masks)
    score = faithfulness(
        held_out.masks,
        held_out.values,
        predictions,
        plan.score_rng,
        exact=inputs.exact,
        noise=inputs.held_noise,
        measure=str(UNIFORM if inputs.exact else plan.measure),
        outputs=judged_outputs(description or {}, as_columns(held_out.values).shape[1]),
    )
    return Derived(inputs, decoded, score, predictions if plan.in_turn else None)


def _predicted_in_turn(inputs: Inputs, rng: np.random.Generator) -> FloatArray:
    """Predict each part of the held-out ablations from a fit to all the others."""
    held_out = inputs.held_out
    predictions = np.empty_like(held_out.values)
    for rows in (np.flatnonzero(inputs.turns == turn) for turn in np.unique(inputs.turns)):
        others = held_out[all_but(rows, len(held_out))]
        spectrum = _decoded(inputs, others, rng).spectrum
        predictions[rows] = spectrum.predict(held_out.masks[rows])
    return predictions


def _decoded(inputs: Inputs, more: Ablations, rng: np.random.Generator) -> Decoded:
    """Decode, and let indices pass through the ends.

    Under ``"shapley"`` the spectrum is corrected by its errors. Where many of all masks have values
    without noise, it passes through these.

    Args:
        inputs: of the run.
        more: held-out ablations that are fitted too.
        rng: of the fit.
    """
    design = inputs.design.with_more(more.masks) if len(more) else inputs.design
    values = np.concatenate([inputs.fit_values, more.values])
    # where all masks have values nothing is unknown of any order: what was asked for is listed
    order = design.masks.shape[1] if inputs.exact else inputs.order
    run = run_decoder if inputs.cheaper is None else inputs.cheaper.decode
    decoded = run(inputs.chosen, design, values, order, rng, inputs.options)
    if inputs.exact:
        decoded = replace(decoded, settings=decoded.settings | {"order": inputs.order})
    decoded = replace(decoded, spectrum=replace(decoded.spectrum, ends=inputs.ends))
    if measure_of(design.kind) == SHAPLEY:
        drawn = design.representative
        decoded = with_end_doubts(decoded, design.masks)
        decoded = corrected(decoded, design.masks[drawn], values[drawn])
        keeps_values = inputs.all_orders and inputs.held_noise is None
        if keeps_values and can_complete(decoded, values):
            decoded = completed(decoded, design.masks, values)
        else:
            decoded = tightened(decoded)
    return decoded


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
        turns: the part that each of these belongs to, of those that are held out in turn, ``(h,)``.
        ends: the values of the full and of the empty input, ``(2,)`` or ``(2, k)``; ``None`` if one
            has none, and if the ablations are all 2^n masks.
        held_noise: for a game with repeats, the variance of each value in ``held_out``; otherwise
            ``None``.
        exact: the ablations are all 2^n masks.
        all_orders: no largest order was asked for.
        cheaper: a cheaper game, decoded; ``None``: there is none.
    """

    chosen: Decoder
    options: dict[str, object]
    order: int
    design: Design
    fit_values: FloatArray
    fit: Ablations
    held_out: Ablations
    turns: IntArray
    ends: FloatArray | None
    held_noise: FloatArray | None
    exact: bool
    all_orders: bool
    cheaper: Cheaper | None = None


def _inputs(plan: RunPlan, evaluated: Evaluated) -> Inputs:
    """Divide the values between fit and score, and handle missing ones.

    After an interruption only a fair sample of the masks is used (see :mod:`.fairness`). Some
    decoders need a design whose masks depend on each other. Such a decoder handles a few missing
    values itself. If more are missing, or any of all 2^n masks, the decoder that was requested runs
    on the masks that have a value, or ProxySPEX if that decoder cannot work with any masks.

    If too few held-out masks have a value, the last masks of the fit are held out too. Those of an
    optimal design are a little harder to predict than uniform ones, so the score errs on the low
    side. Those of a coded design are not used for this: a spectrum may be right on them and nowhere
    else.
    """
    n_ends, n_fit = len(plan.ends), len(plan.design.masks)
    values, masks = evaluated.values[n_ends:], plan.masks[n_ends:]
    ends = evaluated.values[:n_ends] if n_ends else None
    if ends is not None and not finite_rows(ends).all():
        ends = None
    fair, known_fit = fair_rows(plan, evaluated)[n_ends:], finite_rows(values[:n_fit])
    chosen, options, order = plan.chosen, dict(plan.options), plan.order
    missing = 1.0 - float(known_fit.mean())
    if chosen.most_missing is not None and missing <= chosen.most_missing:
        fit_rows = np.flatnonzero(known_fit)
        needs_part = False
    else:
        fit_rows = np.flatnonzero(fair[:n_fit])
        needs_part = len(fit_rows) < n_fit
    design, fit_values = plan.design, values[:n_fit]
    held_rows = n_fit + np.flatnonzero(fair[n_fit:])
    turns = plan.turns[fair[n_fit:]]
    exact = len(plan.held_out) == 0 and not missing
    too_few_held = not exact and len(held_rows) < min(MIN_HELD_OUT, max(len(plan.held_out), 1))
    if too_few_held and not (design.kind in _INTERCHANGEABLE or grows(design.kind)):
        raise _too_few(plan, evaluated, fair)
    if too_few_held or needs_part:
        if too_few_held:
            in_order = fair_order(plan)[n_ends:] - n_ends
            in_order = in_order[fair[in_order] & (in_order < n_fit)]
            n_fair = int(fair.sum())
            n_wanted = max(MIN_HELD_OUT, min(ENOUGH_HELD_OUT, n_fair // 4), n_fair // 10)
            n_more = n_wanted - len(held_rows)
            fair_sample = in_order[design.representative[in_order]]
            others = fair_sample[max(len(fair_sample) - n_more, 0) :]
            fit_rows = np.setdiff1d(in_order, others)
            held_rows = np.concatenate([others, held_rows])
            turns = np.concatenate([np.zeros(len(others), dtype=np.int64), turns])
        if chosen.most_missing is not None:
            works_with_any_masks = plan.requested.most_missing is None
            chosen = plan.requested if works_with_any_masks else get_decoder("proxyspex")
            options, order = {}, min(order, chosen.order)
        representative = design.representative[fit_rows]
        design = PlainDesign(f"part of {design.kind}", masks[fit_rows], representative)
        fit_values = values[fit_rows]
    n_players = masks.shape[1]
    if not exact and (len(design.masks) < chosen.min_masks(n_players) or not len(held_rows)):
        raise _too_few(plan, evaluated, fair)
    fit = Ablations(masks[fit_rows], values[fit_rows])
    held_out = fit if exact else Ablations(masks[held_rows], values[held_rows])
    noise = evaluated.noise
    if noise is not None:
        noise = noise[n_ends:][fit_rows if exact else held_rows]
    return Inputs(
        chosen=chosen,
        options=options,
        order=order,
        design=design,
        fit_values=fit_values,
        fit=fit,
        held_out=held_out,
        turns=turns,
        ends=ends,
        held_noise=noise,
        exact=exact,
        all_orders=plan.request.order is None,
    )


def _too_few(plan: RunPlan, evaluated: Evaluated, fair: BoolArray) -> BaseException:
    """The exception for a run with too few values to decode and score."""
    known = finite_rows(evaluated.values)
    masks, values = plan.masks[known], evaluated.values[known]
    message = f"only {len(masks)} of {len(known)} masks have a value"
    if fair.sum() < len(masks):
        message += f", of which {fair.sum()} are a fair sample"
    message += ", too few to decode and score"
    if not evaluated.interrupted:
        return GameError(message, masks, values)
    interrupt = KeyboardInterrupt(
        f"interrupted: {message}; they are stored if a store was given, and they are this "
        "exception's attributes masks and values"
    )
    return hand_over(interrupt, masks, values)
