"""The held-out scores of many prompts as one: each is of about ten masks, which is few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interplay._types import Json
from interplay.confirmation.changes import ALPHA

_RESAMPLES = 2000
_SEED = 0x9001
_CELLS = 2_000_000


@dataclass(frozen=True)
class Pooled:
    """R2 over the held-out masks of all prompts.

    Attributes:
        r2: 1 - SSE / SST, both sums over all prompts, of deviations from each prompt's own mean;
            ``None``: no prompt has held-out masks whose values vary.
        low: the lower end of its 90 % interval, from prompts that are drawn again; ``None`` below
            two prompts.
        high: its upper end.
        n_prompts: how many it is of.
        n_exact: how many more had all their masks evaluated, which takes no score.
    """

    r2: float | None
    low: float | None
    high: float | None
    n_prompts: int
    n_exact: int

    def to_json(self) -> Json:
        """It as JSON."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        exact = f"all masks of {self.n_exact} prompts were evaluated" if self.n_exact else ""
        if self.r2 is None:
            return f"{exact.capitalize()}." if exact else "No prompt has a held-out score."
        interval = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        end = f"; {exact}" if exact else ""
        return f"Held-out R2, pooled over {self.n_prompts} prompts: {self.r2:.3f}{interval}{end}."


def pooled_score(sums: Sequence[tuple[float, float, bool]], random_state: int) -> Pooled:
    """Pool the squared errors of prompts.

    Args:
        sums: of each prompt the sum of squared errors, that of squared deviations from the mean,
            and whether all its masks were evaluated.
        random_state: the seed of the interval.
    """
    n_exact = sum(exact for *_, exact in sums)
    pairs = np.array([(error, spread) for error, spread, exact in sums if not exact])
    if not len(pairs) or pairs[:, 1].sum() <= 0.0:
        return Pooled(None, None, None, 0, n_exact)
    error, spread = pairs.sum(axis=0)
    low = high = None
    if len(pairs) > 1:
        rng = np.random.default_rng([_SEED, random_state])
        n_resamples = max(200, min(_RESAMPLES, _CELLS // len(pairs)))
        scores = []
        for _ in range(n_resamples):
            again = pairs[rng.integers(len(pairs), size=len(pairs))].sum(axis=0)
            if again[1] > 0.0:
                scores.append(1.0 - again[0] / again[1])
        low, high = (float(end) for end in np.quantile(scores, (ALPHA, 1 - ALPHA)))
    return Pooled(float(1.0 - error / spread), low, high, len(pairs), n_exact)
