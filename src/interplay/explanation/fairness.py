"""Which values of a run are a fair sample of its masks.

The masks of a run have an order that has nothing to do with their values. Every beginning of it is
a fair sample: masks of the fit and held-out ones in the proportion of the whole run, and of a
design that grows, a smaller design. A run evaluates its masks about in this order. If it is
interrupted, the masks up to the first that has no value are used. Which of the others have a value
depends on which masks are neighbours in a block, on other processes or on earlier runs; they stay
in the store.

A mask that failed does not end a beginning. But masks do not fail at random, so at most 1 % of a
beginning may have no value, and not more masks than failed.
"""

from __future__ import annotations

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import BoolArray, IntArray
from interplay.ablation.evaluator import MOST_SKIPPED
from interplay.ablation.table import Evaluated
from interplay.designs.base import GROWING
from interplay.explanation.run_plan import RunPlan


def fair_order(plan: RunPlan) -> IntArray:
    """The order of a plan's masks in which every beginning is a fair sample.

    It depends on the number of masks and the kind of design only.

    Returns:
        Row numbers of ``plan.masks``, ``(m,)``.
    """
    n_fit, n_held = len(plan.design.masks), len(plan.held_out)
    fit_rows = np.arange(n_fit)
    if plan.design.kind not in GROWING:
        fit_rows = np.random.default_rng(0).permutation(n_fit)
    places = [(np.arange(count) + 0.5) / max(count, 1) for count in (n_fit, n_held)]
    rows = np.concatenate([fit_rows, n_fit + np.arange(n_held)])
    return np.asarray(rows[np.argsort(np.concatenate(places), kind="stable")])


def fair_rows(plan: RunPlan, evaluated: Evaluated) -> BoolArray:
    """Which masks of a plan have a value and belong to a fair sample, ``(m,) bool``.

    They are all that have a value if the run was not interrupted. If no held-out mask has one, they
    were not asked for yet, and the order is that of the masks of the fit.
    """
    known = finite_rows(evaluated.values)
    if not evaluated.interrupted:
        return known
    n_fit = len(plan.design.masks)
    order = fair_order(plan)
    if not known[n_fit:].any():
        order = order[order < n_fit]
    n_missing, n_rows = np.cumsum(~known[order]), np.arange(1, len(order) + 1)
    most = np.minimum(evaluated.n_skipped, MOST_SKIPPED * n_rows)
    beginnings = n_rows[n_missing <= most]
    fair = np.zeros(len(known), dtype=np.bool_)
    fair[order[: beginnings.max(initial=0)]] = True
    return fair & known
