"""Whether the interactions of an efficient index add up."""

from __future__ import annotations

from math import comb

import numpy as np

from interplay import Interactions
from interplay._arrays import as_columns
from interplay._types import FloatArray


def efficiency_gap(interactions: Interactions, full: FloatArray, empty: FloatArray) -> FloatArray:
    """The sum of all interactions of one or more players less f(all) - f(none), ``()`` or ``(k,)``.

    It is zero up to rounding for an efficient index.
    """
    chosen = interactions.orders > 0
    total = as_columns(interactions.values)[chosen].sum(axis=0)
    if interactions.rest is not None:
        n = interactions.n_players
        for s in range(1, interactions.order + 1):
            unlisted = comb(n, s) - int((interactions.orders == s).sum())
            total = total + unlisted * np.atleast_1d(interactions.rest[s])
    return np.asarray(total - (np.atleast_1d(full) - np.atleast_1d(empty)))
