"""Adaptive sampling: growing batches of ablations until a stopping rule is met."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import FloatArray, Json
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.progress import tell
from interplay.ablation.table import Evaluated
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.decoders.spex.design import CodedDesign
from interplay.designs.base import PlainDesign
from interplay.designs.measures import UNIFORM
from interplay.explanation.run_plan import Request, RunPlan, needed
from interplay.extensions import DECODERS
from interplay.game import Game, hints_of

_FIRST = 0.5
"""The size of the first batch, as a multiple of n log2 n."""
_LAST = 8
"""The most evaluations if no budget is given, as a multiple of n log2 n."""
_GROWTH = 1.5
"""The factor by which the number of evaluations grows at each step."""
_GAIN = 0.01
"""The gain in R2 that two further batches, more than twice the ablations, must bring."""
_LITTLE = 0.4
"""With an R2 below this a run goes on until its design has a code, if it ever has. By chance, and
by few masks, a function that looks like noise has up to 0.3."""
_FEWEST = 60
"""The size of the first batch, at least."""
_RELIABLE, _RELIABLE_PER_PLAYER = 50, 3
"""A cross-validated R2 counts from so many masks on, or so many for each player if that is more: by
chance a few masks may suggest any."""


def budgets_until(request: Request, n_players: int) -> tuple[int, int]:
    """The fewest and the most evaluations under adaptive sampling.

    Raises:
        ValueError: ``until`` is not in (0, 1], or the decoder does not support a stopping rule.
    """
    until = request.until
    if until is None or not 0.0 < until <= 1.0:
        raise ValueError(f"until={until} is not an R2 in (0, 1]")
    decoder = get_decoder(request.decoder)
    if not decoder.can_stop:
        suitable = " or ".join(f'"{name}"' for name in DECODERS if get_decoder(name).can_stop)
        raise ValueError(
            f"decoder={decoder.name!r} has no stopping rule: it has no cross-validated score, or "
            "its masks for a larger budget are not those of a smaller one and some more; give a "
            f"budget instead of until, or decoder={suitable}"
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
    """Evaluate growing batches of masks until the stopping rule is met.

    Each batch contains the one before it. After each batch, the decoder's own cross-validation
    gives the share of the variance that it predicts. The held-out masks play no part in this and
    are not evaluated here.

    Args:
        request: its ``until`` is the cross-validated R2 at which to stop. Its ``budget`` is the
            most evaluations, held-out ones included; ``None``: 8 n log2 n.
        evaluator: evaluates the game.

    Returns:
        The run plan of the size that the stopping rule chose; the score at each step and the reason
        for stopping, as JSON; and, only after an interruption, the values of the plan's masks that
        are known. After an interruption nothing more is to be evaluated.

    Raises:
        ValueError: ``until`` is not in (0, 1], or the decoder does not support a stopping rule.
            Nothing was evaluated.
    """
    game = evaluator.game
    evaluations, most = budgets_until(request, int(game.n_players))
    if request.hints is None and get_decoder(request.decoder).takes_hints:
        request = replace(request, hints=hints_of(game))
    measured: Json = {}
    scores: list[float] = []
    steps: list[Json] = []

    def stopped(reason: str) -> Json:
        return {
            "goal": request.until,
            "budget": request.budget,
            "stopped_since": reason,
            "steps": steps,
        }

    while True:
        evaluations = min(evaluations, most)
        plan = replace(request, budget=evaluations).run_plan(game)
        if len(plan.held_out) == 0:
            return plan, stopped("all masks were made") | measured, None
        # the full table has no measure of its own
        measured = {} if plan.measure == UNIFORM else {"measure": str(plan.measure)}
        # a design that grows: every beginning is a smaller one, and a fair sample
        masks = np.concatenate([plan.ends, plan.design.masks])
        evaluated = evaluator(masks, order=np.arange(len(masks)))
        if evaluated.interrupted:
            padded = _with_unknown(evaluated, len(plan.held_out))
            return plan, stopped("it was interrupted"), padded
        values = evaluated.values[len(plan.ends) :]
        known = finite_rows(values)  # masks that failed are left out
        design, values = plan.design, values[known]
        if not known.all():
            representative = plan.design.representative[known]
            design = PlainDesign(plan.design.kind, plan.design.masks[known], representative)
        rng = np.random.default_rng(plan.random_state)
        decoded = run_decoder(plan.chosen, design, values, plan.order, rng, plan.options)
        cross_validated = decoded.diagnosis["cv_r2"]
        if not cross_validated:  # a constant has no R2
            steps.append({"ablations": len(plan.design.masks), "cv_r2": None})
            return plan, stopped("the values do not vary"), None
        score = float(np.mean(cross_validated))
        steps.append({"ablations": len(plan.design.masks), "cv_r2": score})
        tell(steps[-1])
        if len(plan.design.masks) >= max(_RELIABLE, _RELIABLE_PER_PLAYER * int(game.n_players)):
            scores.append(score)
        if scores and request.until is not None and scores[-1] >= request.until:
            return plan, stopped("the goal was reached"), None
        grows = len(scores) < 3 or max(scores[-2:]) >= max(scores[:-2]) + _GAIN
        largest = replace(request, budget=most)
        if not grows and not (scores[-1] < _LITTLE and _code_to_come(game, plan, largest)):
            return plan, stopped("it no longer grew"), None
        if evaluations >= most:
            return plan, stopped("the budget was spent"), None
        evaluations = ceil(evaluations * _GROWTH)


def _code_to_come(game: Game, plan: RunPlan, largest: Request) -> bool:
    """Whether the largest design has a code, which may find what is not found now."""
    if isinstance(plan.design, CodedDesign):
        return False
    return isinstance(largest.run_plan(game).design, CodedDesign)


def _with_unknown(evaluated: Evaluated, count: int) -> Evaluated:
    """Append rows for masks that have no value."""

    def padded(array: FloatArray) -> FloatArray:
        return np.concatenate([array, np.full((count, *array.shape[1:]), np.nan)])

    noise = None if evaluated.noise is None else padded(evaluated.noise)
    return replace(evaluated, values=padded(evaluated.values), noise=noise)
