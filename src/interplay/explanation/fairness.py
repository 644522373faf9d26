"""Which values of a run are a fair sample of its masks.

The masks of a run have an order that has nothing to do with their values. Both ends come first.
Every beginning is a fair sample: held-out masks, masks of the fit, and of a design that grows, a
smaller design. The first held-out masks come early, one after each mask of the fit, until there are
enough for a score that means something; the others are spread evenly. A run evaluates its masks
about in this order.
If it is interrupted, the masks up to the first that has no value are used. Which of the others have
a value depends on which masks are neighbours in a block, on other processes or on earlier runs;
they stay in the store.

A mask that failed does not end a beginning. But masks do not fail at random, so at most 1 % of a
beginning may have no value, and not more masks than failed.
"""

from __future__ import annotations

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import BoolArray, IntArray
from interplay.ablation.evaluator import MOST_SKIPPED
from interplay.ablation.table import Evaluated
from interplay.designs.base import grows
from interplay.explanation.run_plan import RunPlan

ENOUGH_HELD_OUT = 20
"""From so many held-out masks on a score by itself says whether an explanation may be used."""


def fair_order(plan: RunPlan) -> IntArray:
    """The order of a plan's masks in which every beginning is a fair sample.

    It depends on the number of masks and the kind of design only.

    Returns:
        Row numbers of ``plan.masks``, ``(m,)``.
    """
    n_ends, n_fit, n_held = len(plan.ends), len(plan.design.masks), len(plan.held_out)
    fit_rows = np.arange(n_fit)
    if not grows(plan.design.kind):
        fit_rows = np.random.default_rng(0).permutation(n_fit)
    # how many masks of the fit come before each held-out one
    before = (np.arange(n_held) + 0.5) * n_fit / max(n_held, 1)
    n_early = min(ENOUGH_HELD_OUT, n_held)
    if n_held < n_fit:
        n_rest = n_held - n_early
        before[:n_early] = np.arange(1, n_early + 1)
        before[n_early:] = n_early + (np.arange(n_rest) + 0.5) * (n_fit - n_early) / max(n_rest, 1)
    first_held = n_ends + n_fit
    rows = np.concatenate([np.arange(first_held), first_held + np.arange(n_held)])
    rows[n_ends:first_held] = n_ends + fit_rows
    places = np.concatenate([np.zeros(n_ends), np.arange(n_fit) + 0.5, before])
    return np.asarray(rows[np.argsort(places, kind="stable")])


def fair_rows(plan: RunPlan, evaluated: Evaluated) -> BoolArray:
    """Which masks of a plan have a value and belong to a fair sample, ``(m,) bool``.

    They are all that have a value if the run was not interrupted. If no held-out mask has one, they
    were not asked for yet, and the order is that of the masks of the fit.
    """
    known = finite_rows(evaluated.values)
    if not evaluated.interrupted:
        return known
    first_held = len(plan.ends) + len(plan.design.masks)
    order = fair_order(plan)
    if not known[first_held:].any():
        order = order[order < first_held]
    missing = ~known[order]
    if evaluated.n_skipped:  # a run goes on without ends that failed
        missing &= order >= len(plan.ends)
    n_missing, n_rows = np.cumsum(missing), np.arange(1, len(order) + 1)
    most = np.minimum(evaluated.n_skipped, MOST_SKIPPED * n_rows)
    beginnings = n_rows[n_missing <= most]
    fair = np.zeros(len(known), dtype=np.bool_)
    fair[order[: beginnings.max(initial=0)]] = True
    return fair & known
