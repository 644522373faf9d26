"""Ablations in growing batches, until there are enough of them."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2

import numpy as np

from interplay._types import BoolArray, Json
from interplay.ablation.runner import Evaluated
from interplay.decoders import DECODERS, run_decoder
from interplay.designs.spread import PlainDesign
from interplay.explanation.run_plan import Study, needed
from interplay.fourier.sets import finite_rows

_FIRST = 0.5
"""The first batch, in n log2 n."""
_LAST = 8
"""The last, where no budget is given."""
_GROWTH = 1.5
_GAIN = 0.01
"""R2 that two further batches, more than twice the ablations, must bring."""
_FEWEST = 60


def enough(
    study_of: Callable[[int | None], Study],
    budget: int | None,
    until: float,
    ask: Callable[[Study, BoolArray], Evaluated],
) -> tuple[Study, Json, Evaluated | None]:
    """The study with as many ablations as are needed, those of its fit made.

    Each batch contains the one before. After each, the decoder's own cross-validation says how much
    of the variance it predicts; the held-out masks are not looked at.

    Args:
        study_of: the study of a budget.
        budget: the most evaluations, held-out ones included; ``None``: 8 n log2 n.
        until: the cross-validated R2 that is enough.
        ask: makes ablations of a study.

    Returns:
        The study, what was decided at each step, and after an interruption the values of the
        fit's masks as far as they were made: nothing more is to be asked for.

    Raises:
        ValueError: ``until`` is not in (0, 1], or the decoder cannot stop; nothing was asked for.
    """
    if not 0.0 < until <= 1.0:
        raise ValueError(f"until={until} is not an R2 in (0, 1]")
    whole = study_of(budget)
    if not whole.requested.can_stop:
        able = " or ".join(f'"{name}"' for name, each in DECODERS.items() if each.can_stop)
        raise ValueError(
            f"decoder={whole.requested.name!r} has no cross-validated score, or no masks that "
            f"grow, to stop by; give a budget instead of until, or decoder={able}"
        )
    n_players = len(whole.players)
    scale = n_players * log2(max(n_players, 2))
    fewest = max(_FEWEST, needed(whole.requested, n_players, whole.request["holdout"]))
    most = max(fewest, ceil(_LAST * scale)) if budget is None else budget
    if n_players < 63:
        most = min(most, 1 << n_players)
    evaluations = max(fewest, ceil(_FIRST * scale))
    scores: list[float] = []
    steps: list[Json] = []
    while True:
        evaluations = min(evaluations, most)
        study = study_of(evaluations)
        if len(study.held) == 0:
            return study, _said(until, "all masks were made", steps), None
        made = ask(study, study.design.masks)
        if made.interrupted:
            return study, _said(until, "it was interrupted", steps), made
        known = finite_rows(made.values)  # what failed is left out
        design = PlainDesign(study.design.kind, study.design.masks[known])
        rng = np.random.default_rng(study.random_state)
        found = run_decoder(
            study.chosen, design, made.values[known], study.order, rng, study.options
        )
        scores.append(float(np.mean(found.diagnosis["cv_r2"] or [1.0])))
        steps.append({"ablations": len(study.design.masks), "cv_r2": scores[-1]})
        if scores[-1] >= until:
            return study, _said(until, "the goal was reached", steps), None
        if len(scores) > 2 and max(scores[-2:]) < max(scores[:-2]) + _GAIN:
            return study, _said(until, "it no longer grew", steps), None
        if evaluations >= most:
            return study, _said(until, "the budget was spent", steps), None
        evaluations = ceil(evaluations * _GROWTH)


def _said(until: float, why: str, steps: list[Json]) -> Json:
    return {"goal": until, "stopped_since": why, "steps": steps}
