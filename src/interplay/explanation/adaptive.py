"""Adaptive sampling: ablations in growing batches, until a stopping rule ends them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import FloatArray, Json
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.table import Evaluated
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.explanation.run_plan import Request, RunPlan, needed
from interplay.extensions import DECODERS

_FIRST = 0.5
"""The first batch, in n log2 n."""
_LAST = 8
"""The last, where no budget is given."""
_GROWTH = 1.5
_GAIN = 0.01
"""R2 that two further batches, more than twice the ablations, must bring."""
_FEWEST = 60


def budgets_until(request: Request, n_players: int) -> tuple[int, int]:
    """The fewest and the most evaluations of a request that stops by itself.

    Raises:
        ValueError: ``until`` is not in (0, 1], or the decoder cannot stop.
    """
    until = request.until
    if until is None or not 0.0 < until <= 1.0:
        raise ValueError(f"until={until} is not an R2 in (0, 1]")
    decoder = get_decoder(request.decoder)
    if not decoder.can_stop:
        able = " or ".join(f'"{name}"' for name in DECODERS if get_decoder(name).can_stop)
        raise ValueError(
            f"decoder={decoder.name!r} has no cross-validated score, or no masks that "
            f"grow, to stop by; give a budget instead of until, or decoder={able}"
        )
    scale = n_players * log2(max(n_players, 2))
    fewest = max(_FEWEST, needed(decoder, n_players, request.holdout))
    most = max(fewest, ceil(_LAST * scale)) if request.budget is None else request.budget
    if n_players < 63:
        most = min(most, 1 << n_players)
    return max(fewest, ceil(_FIRST * scale)), most


def evaluate_until(
    request: Request, evaluator: Evaluator
) -> tuple[RunPlan, Json, Evaluated | None]:
    """The run plan with as many ablations as the stopping rule asks for, those of its fit made.

    Each batch contains the one before. After each, the decoder's own cross-validation says how much
    of the variance it predicts; the held-out masks are not looked at.

    Args:
        request: its ``until`` is the cross-validated R2 that is enough, its ``budget`` the most
            evaluations, held-out ones included; ``None``: 8 n log2 n.
        evaluator: of the game.

    Returns:
        The run plan, what was decided at each step, and after an interruption what is known of the
        plan's masks: nothing more is to be evaluated then.

    Raises:
        ValueError: ``until`` is not in (0, 1], or the decoder cannot stop; nothing was evaluated.
    """
    game = evaluator.game
    evaluations, most = budgets_until(request, int(game.n_players))
    scores: list[float] = []
    steps: list[Json] = []

    def stopped(why: str) -> Json:
        return {"goal": request.until, "stopped_since": why, "steps": steps}

    while True:
        evaluations = min(evaluations, most)
        plan = replace(request, budget=evaluations).run_plan(game)
        if len(plan.held_out) == 0:
            return plan, stopped("all masks were made"), None
        evaluated = evaluator(plan.design.masks)
        if evaluated.interrupted:
            unknown = _without_values(evaluated, len(plan.held_out))
            return plan, stopped("it was interrupted"), unknown
        known = finite_rows(evaluated.values)  # what failed is left out
        design = PlainDesign(plan.design.kind, plan.design.masks[known])
        rng = np.random.default_rng(plan.random_state)
        decoded = run_decoder(
            plan.chosen, design, evaluated.values[known], plan.order, rng, plan.options
        )
        scores.append(float(np.mean(decoded.diagnosis["cv_r2"] or [1.0])))
        steps.append({"ablations": len(plan.design.masks), "cv_r2": scores[-1]})
        if request.until is not None and scores[-1] >= request.until:
            return plan, stopped("the goal was reached"), None
        if len(scores) > 2 and max(scores[-2:]) < max(scores[:-2]) + _GAIN:
            return plan, stopped("it no longer grew"), None
        if evaluations >= most:
            return plan, stopped("the budget was spent"), None
        evaluations = ceil(evaluations * _GROWTH)


def _without_values(evaluated: Evaluated, count: int) -> Evaluated:
    """With so many further masks, which have no value."""

    def longer(array: FloatArray) -> FloatArray:
        return np.concatenate([array, np.full((count, *array.shape[1:]), np.nan)])

    noise = None if evaluated.noise is None else longer(evaluated.noise)
    return replace(evaluated, values=longer(evaluated.values), noise=noise)
