"""What the page shows without its script: one output, its findings and its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interplay._arrays import as_columns
from interplay._types import FloatArray, Json, Players, visible
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import Interactions
from interplay.fourier.spectrum import Spectrum
from interplay.report.picture import shaded_picture, shades

PLOT = 300
"""The side of the plot of predicted against actual."""
_ROWS = 15
_DOTS = 500
_SHADES = 5
_LIT = 2_000
"""The most characters of a text that is shown again for each decisive set."""


@dataclass(frozen=True)
class _Row:
    """A line of a table: ``share`` is the bar's length, 0 to 1; ``labels`` name the players.

    Of a comparison ``others`` has the values in both games.
    """

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    value: float
    share: float
    interval: tuple[float, float] | None
    others: tuple[float, ...] = ()


def static(explanation: Explanation, shown: Spectrum, data: Json) -> dict[str, Any]:
    """What is shown without the script, of the output that a page begins with."""
    first, several = explanation.first_output or 0, len(explanation.outputs) > 1
    spectrum, output = shown.output(first), first if several else None
    interactions = spectrum.to(explanation.index, order=data["order"], players=explanation.players)
    verdict = explanation.verdict
    together, n_uncertain = verdict.strongest(interactions, _ROWS, min_order=2, output=output)
    alone, n_uncertain_alone = verdict.strongest(interactions, _ROWS, max_order=1, output=output)
    full = verdict.full_shade(float(interactions.strength.max(initial=0.0)), first)
    both = _both(explanation, shown, data["order"])
    energy = explanation.measure.variance_by_order(spectrum.relative)[1:, 0]
    held_out, view = explanation.held_out, data["view"]
    return {
        "order": data["order"],
        "output": first,
        "directions": data["directions"][first],
        "singles": _rows(alone, full, both),
        "interactions": _rows(together, full, both),
        "n_uncertain": n_uncertain,
        "n_uncertain_alone": n_uncertain_alone,
        "text": _shaded(view["pieces"], explanation, interactions) if view.get("pieces") else None,
        "turns": [
            turn | {"pieces": _shaded(turn["pieces"], explanation, interactions)}
            for turn in view.get("turns", ())
        ],
        "blocks": view.get("blocks", False),
        "picture": shaded_picture(data["view"], explanation, interactions)
        if data["view"]["kind"] == "image"
        else None,
        "map": _shaded_map(data["view"], explanation, interactions)
        if data["view"]["kind"] == "grid"
        else None,
        "cards": data["view"]["cards"] if data["view"]["kind"] == "examples" else None,
        "energy": (energy / energy.sum()).tolist() if energy.sum() else [],
        "plot": _scatter(
            as_columns(held_out.values)[:, first],
            as_columns(explanation.predict_held_out())[:, first],
        ),
    }


def lit(explanation: Explanation, data: Json) -> list[dict[str, Any]]:
    """Each decisive set, with the text in which its players are lit, if that is not too long.

    Args:
        explanation: what is shown.
        data: what the script is given.
    """
    view = data["view"]
    cut = view["pieces"] if view["kind"] == "text" else []
    short = sum(len(text) for text, _ in cut) <= _LIT
    return [
        {
            "of": chosen,
            "pieces": [
                {"text": text, "lit": player is not None and player in (chosen.players or ())}
                for text, player in cut
            ]
            if short and chosen.players
            else [],
        }
        for chosen in explanation.decisive
    ]


def _both(explanation: Explanation, shown: Spectrum, order: int) -> list[dict[Players, float]]:
    """Of a comparison the values of each set in both games; else nothing."""
    if explanation.compared is None:
        return []
    values = shown.to(explanation.index, order=order)
    return [
        dict(zip(values.sets, as_columns(values.values)[:, column].tolist(), strict=True))
        for column in explanation.sides
    ]


def _rows(
    interactions: Interactions, full: float, both: Sequence[dict[Players, float]]
) -> list[_Row]:
    """The lines of a table; a bar of the length 1 stands for the value ``full``."""
    low, high = interactions.low, interactions.high
    return [
        _Row(
            tuple(interactions.players[player] for player in members),
            members,
            float(value),
            abs(float(value)) / full,
            None if low is None or high is None else (float(low[row]), float(high[row])),
            tuple(values.get(members, 0.0) for values in both),
        )
        for row, (members, value) in enumerate(interactions)
    ]


def _shaded(
    cut: list[tuple[str, int | None]], explanation: Explanation, interactions: Interactions
) -> list[dict[str, Any]]:
    """The prompt in pieces; those that are players carry their own effect and their number.

    Effects that are no findings are not shaded.
    """
    effects, full = shades(explanation, interactions)
    return [
        {"text": text, "player": None}
        if player is None
        else {
            "text": text,
            "player": player,
            "effect": effects[player],
            "shade": round(_SHADES * abs(effects[player]) / full),
        }
        for text, player in cut
    ]


def _shaded_map(view: Json, explanation: Explanation, interactions: Interactions) -> Json:
    """The map of layers by heads; cells carry the effect of their player, if it is a finding.

    Of several players in a cell it is the strongest effect. Players that are no part of the model,
    such as words, are ``others``, each with its name, its number and its effect.
    """
    effects, full = shades(explanation, interactions)

    def shaded(players: list[int]) -> Json:
        effect = max((effects[player] for player in players), key=abs)
        return {"effect": effect, "shade": round(_SHADES * abs(effect) / full)}

    rows = [
        {"layer": row["layer"], "cells": [cell and shaded(cell) for cell in row["cells"]]}
        for row in view["rows"]
    ]
    others = [
        {"text": visible(explanation.players[player]), "player": player} | shaded([player])
        for player in view["others"]
    ]
    return {"columns": view["columns"], "n_heads": view["n_heads"], "rows": rows, "others": others}


def _scatter(actual: FloatArray, predicted: FloatArray) -> dict[str, Any]:
    """Dots of predicted against actual in the unit square, at most ``_DOTS`` of them."""
    low = float(min(actual.min(), predicted.min()))
    high = float(max(actual.max(), predicted.max()))
    span = (high - low) or 1.0
    rows = np.unique(np.linspace(0, len(actual) - 1, min(len(actual), _DOTS)).astype(int))
    dots = [
        (
            (float(actual[row]) - low) / span * PLOT,
            (1 - (float(predicted[row]) - low) / span) * PLOT,
        )
        for row in rows
    ]
    return {"dots": dots, "low": low, "high": high}
