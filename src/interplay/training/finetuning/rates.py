"""Rates: the learning rate that a fine-tuning takes if none is given."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from interplay._types import FloatArray
from interplay.training.finetuning.adapters import Method

LADDERS: dict[Method, tuple[float, ...]] = {
    "lora": tuple(2.5e-4 * 2**k for k in range(8)),
    "full": tuple(1e-5 * 2**k for k in range(8)),
}
"""The learning rates that are tried, ascending."""
SHARE = 0.95
"""The share of the best gain that is enough."""
RULE = (
    f"the smallest rate of a fixed ladder that reaches {SHARE:.0%} of the best gain in the mean "
    "log-probability of a response token, trained on all examples"
)


def find_rate(method: Method, trained: Callable[[FloatArray], FloatArray], base: float) -> float:
    """Find a learning rate on the whole set.

    The lowest rate that learns is taken, because higher ones learn the same in a rougher way: their
    values differ more between seeds.

    Args:
        method: the ladder's.
        trained: takes the rates of the ladder; returns for each the mean log-probability of a
            response token after training on all examples with it, NaN where training diverged.
        base: the same before any training.
    """
    ladder = np.array(LADDERS[method])
    gains = trained(ladder) - base
    gains = np.where(np.isfinite(gains), gains, -np.inf)
    if gains.max() <= 0:
        warnings.warn(
            f"no learning rate from {ladder[0]:g} to {ladder[-1]:g} raises the mean "
            f"log-probability of a response token ({base:.3f} before training); the model learns "
            "nothing from these examples",
            stacklevel=2,
        )
        return float(ladder[0])
    return float(ladder[np.flatnonzero(gains >= SHARE * gains.max())[0]])
