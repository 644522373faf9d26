"""Forecast: what a larger budget would do, told from how errors typically fall with the budget."""

from __future__ import annotations

from math import ceil, floor, log10, sqrt

from interplay._types import Json
from interplay.explanation.faithfulness import Faithfulness
from interplay.explanation.verdict import Level

GOAL = 0.8
"""The R2 that a forecast of the budget aims at."""
NOISY = 0.2
"""From this share of noise in the variance on, noise is what limits R2."""
_LEAST = 0.1
"""Below this R2 nothing is forecast."""
_CHANCE = 3.0
"""Of noise, m ablations give a cross-validated R2 of up to about this over sqrt(m) by chance (0.31
with 46 players and 90 ablations)."""
_POWER = 0.7
"""The power of the number of ablations with which the error 1 - R2 typically falls."""


def outlook_of(
    level: Level, score: Faithfulness, cross_validated: float | None, provenance: Json
) -> tuple[int | None, str]:
    r"""The budget that would probably do, if that can be told, and what a larger one would do.

    From b ablations with the error e, the forecast for the goal is

    .. math:: b \Big(\frac{e}{1 - \mathrm{goal}}\Big)^{1 / 0.7}.

    e is the mean of 1 - R2 on the held-out masks, which are few, and 1 - R2 of the decoder's
    cross-validation, which is too low where the masks are. The power is about the median over
    games. Fits to parts of the ablations measure a game's own power too badly to help: see
    docs/benchmarks.md, also for how near such forecasts come.

    Args:
        level: the level of the verdict.
        score: the faithfulness.
        cross_validated: the decoder's own cross-validated R2, the mean over outputs; ``None`` if it
            has none.
        provenance: what ran.
    """
    unknown = "What a larger budget would do is unknown"
    if not score.known:
        return None, f"{unknown}."
    if score.exact:
        return None, "All masks were evaluated; there is nothing more to evaluate."
    if level == "usable":
        return None, "A larger budget is not needed to use it."
    if score.noise is not None and score.noise >= NOISY:
        return None, "Noise is what limits it: more repeats of each mask do more than more masks."
    if (provenance.get("until") or {}).get("stopped_since") == "it no longer grew":
        return None, "A larger budget would probably not do: R2 no longer grew from step to step."
    if cross_validated is None:
        return None, f"{unknown}: this decoder has no cross-validation to tell it by."
    error = sum(min(1.0 - r2, 1.0) for r2 in (score.r2, cross_validated)) / 2
    if error > 1.0 - _LEAST:
        return None, f"{unknown}: it predicts too little as yet to extrapolate from."
    if cross_validated < _CHANCE / sqrt(provenance["budget"]["fit"]):
        return None, f"{unknown}: what it predicts may be chance."
    if error <= 1.0 - GOAL:
        return None, (
            f"R2 is probably about {GOAL} already; more held-out masks (holdout) would show it."
        )
    factor = (error / (1.0 - GOAL)) ** (1.0 / _POWER)
    forecast = _rounded_up(factor * provenance["budget"]["spent"])
    n_players = provenance["game"]["n_players"]
    if n_players < 63 and forecast >= 1 << n_players:
        return 1 << n_players, f"All {1 << n_players:,} masks would give the exact answer."
    return forecast, (
        f"About {forecast:,} ablations would probably reach an R2 of {GOAL}, if the error falls as "
        "it typically does; it may take three times as many, or a third."
    )


def _rounded_up(count: float) -> int:
    """Round up to two digits: a forecast is not known any better."""
    unit = 10.0 ** max(floor(log10(max(count, 1.0))) - 1, 0)
    return int(ceil(count / unit) * unit)
