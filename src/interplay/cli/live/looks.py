"""What the studio shows of explanations: looks at a run while it grows, and the history."""

from __future__ import annotations

from math import ceil, log2
from pathlib import Path
from typing import Any

from interplay._arrays import as_columns
from interplay._types import Json, visible
from interplay.decoders.decode import get_decoder
from interplay.explanation.console import ORDER
from interplay.explanation.explanation import Explanation
from interplay.explanation.loading import load
from interplay.explanation.run_plan import Request, default_budget, needed
from interplay.report.document import view_of

_FIRST = 60
"""The fewest ablations of a first look, as of adaptive sampling."""
_SHOWN = 8


def growing(budget: int | None, n_players: int) -> list[int]:
    """The budgets at which a run is looked at: each about twice the one before it.

    Args:
        budget: the last; ``None``: the default for that many players.
        n_players: n.
    """
    last = default_budget(n_players) if budget is None else budget
    if n_players < 63:
        last = min(last, 1 << n_players)
    scale = n_players * log2(max(n_players, 2))
    first = max(_FIRST, needed(get_decoder("auto"), n_players, Request.holdout), ceil(scale / 2))
    steps = [last]
    while steps[0] // 2 >= first:
        steps.insert(0, steps[0] // 2)
    return steps


def look(explanation: Explanation) -> Json:
    """What is shown of an explanation while ablations still arrive."""
    output = 0 if explanation.outputs else None
    spectrum = explanation.spectrum.output(0)
    interactions = spectrum.to(explanation.index, order=ORDER, players=explanation.players)
    shaded = explanation.verdict.shaded_effects(interactions, 0)
    top, n_left_out = explanation.verdict.strongest(interactions, _SHOWN, output=output)
    low, high = top.low, top.high
    both = explanation.ends
    return {
        "level": explanation.verdict.level,
        "sentence": visible(explanation.verdict.sentence),
        "index": explanation.index,
        "pieces": view_of(explanation).get("pieces") or [],
        "effects": [float(effect) for effect in shaded],
        "full": explanation.verdict.full_shade(float(max(abs(shaded), default=0.0))),
        "ends": None if both is None else as_columns(both)[:, 0].tolist(),
        "top": [
            {
                "players": list(players),
                "labels": [visible(explanation.players[player]) for player in players],
                "value": float(value),
                "low": None if low is None else float(low[row]),
                "high": None if high is None else float(high[row]),
            }
            for row, (players, value) in enumerate(top)
        ],
        "n_left_out": n_left_out,
    }


def facts(name: str, file: Path) -> Json:
    """What the history says of a run."""
    try:
        explanation = load(file)
    except (ValueError, OSError) as error:
        return {"name": name, "error": visible(str(error))[:200]}
    score, provenance = explanation.faithfulness, explanation.provenance
    described: Any = provenance["game"]["description"]
    return {
        "name": name,
        "text": visible(str(described.get("text", "")))[:120],
        "created": provenance["created"],
        "n_players": len(explanation.players),
        "by": visible(str(described.get("by", ""))),
        "ablations": provenance["budget"]["spent"],
        "r2": score.r2 if score.known else None,
        "level": explanation.verdict.level,
        "confirmed": explanation.confirmation is not None,
    }
