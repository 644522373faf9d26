"""One self-contained HTML page for an explanation: no script, no network, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from interplay._types import BoolArray, FloatArray, Json
from interplay.confirmation import Confirmation
from interplay.evaluation import Faithfulness
from interplay.interactions import Interactions
from interplay.sets import as_columns
from interplay.spectrum import Spectrum

INDEX = "FSII"
ORDER = 3
"""The index and order that the page shows."""
_ROWS = 15
_DOTS = 500
_PLOT = 300
_INTERVAL = 200


@dataclass(frozen=True)
class _Row:
    """A line of a table: ``share`` is the bar's length, 0 to 1; ``labels`` name the players."""

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    value: float
    share: float


def write_page(path: str | Path, parts: Sequence[tuple[str, Markup]]) -> Path:
    """Write a self-contained page of one explanation, or of several with links to them.

    Args:
        path: where to.
        parts: for each explanation a title and its body, from :func:`body`.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_template("page.html").render(parts=parts), encoding="utf-8")
    return path


def body(
    *,
    spectrum: Spectrum,
    players: tuple[str, ...],
    outputs: tuple[str, ...],
    faithfulness: Faithfulness,
    provenance: Json,
    masks: BoolArray,
    values: FloatArray,
    confirmation: Confirmation | None = None,
) -> Markup:
    """An explanation's part of a page.

    Args:
        spectrum: the spectrum, of one or k outputs; each output has a section.
        players: the players' names.
        outputs: the names of several outputs; else empty.
        faithfulness: the held-out score.
        provenance: as in ``Explanation.provenance``.
        masks: held-out masks, ``(m, n)``.
        values: the game's values on them, ``(m,)`` or ``(m, k)``.
        confirmation: of its interactions, where there is one.

    Returns:
        HTML.
    """
    predictions = as_columns(spectrum.predict(masks))
    actual = as_columns(values)
    description = provenance["game"]["description"]
    sections = []
    for column in range(actual.shape[1]):
        one = spectrum.output(column)
        found = one.to(INDEX, ORDER, players)
        energy = one.energy_by_order()[1:]
        sections.append(
            {
                "name": outputs[column] if outputs else "",
                "r2": faithfulness.by_output[column],
                "singles": _rows(found.top(_ROWS, max_order=1)),
                "interactions": _rows(found.top(_ROWS, min_order=2)),
                "text": _shaded(description, found) if description["lens"] == "text" else None,
                "energy": (energy / energy.sum()).tolist() if energy.sum() else [],
                "plot": _scatter(actual[:, column], predictions[:, column]),
            }
        )
    made = _template("explanation.html").render(
        index=INDEX,
        order=ORDER,
        n_terms=len(spectrum),
        faithfulness=str(faithfulness),
        exact=faithfulness.exact,
        description=description,
        provenance=provenance,
        provenance_json=json.dumps(provenance, indent=2, ensure_ascii=False),
        sections=sections,
        size=_PLOT,
        confirmation=confirmation,
        tested=[] if confirmation is None else _intervals(confirmation),
        width=_INTERVAL,
    )
    return Markup(made)  # everything in it was escaped by the template


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("interplay.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _rows(interactions: Interactions) -> list[_Row]:
    largest = float(interactions.strength.max(initial=0.0)) or 1.0
    return [
        _Row(
            tuple(interactions.players[player] for player in members),
            members,
            float(value),
            abs(float(value)) / largest,
        )
        for members, value in interactions
    ]


def _shaded(description: Json, found: Interactions) -> list[dict[str, Any]]:
    """The prompt in pieces; those that are players carry their own effect and their number."""
    text, spans = description["text"], description["spans"]
    effects = [float(found[[player]]) for player in range(found.n_players)]
    largest = max(map(abs, effects)) or 1.0
    pieces: list[dict[str, Any]] = []
    at = 0
    for player, (start, stop) in enumerate(spans):
        pieces.append({"text": text[at:start], "player": None})
        pieces.append(
            {
                "text": text[start:stop],
                "player": player,
                "effect": effects[player],
                "alpha": round(0.55 * abs(effects[player]) / largest, 3),
            }
        )
        at = stop
    pieces.append({"text": text[at:], "player": None})
    return pieces


def _scatter(actual: FloatArray, predicted: FloatArray) -> dict[str, Any]:
    """Dots of predicted against actual in the unit square, at most ``_DOTS`` of them."""
    low = float(min(actual.min(), predicted.min()))
    high = float(max(actual.max(), predicted.max()))
    span = (high - low) or 1.0
    rows = np.unique(np.linspace(0, len(actual) - 1, min(len(actual), _DOTS)).astype(int))
    dots = [
        (
            (float(actual[row]) - low) / span * _PLOT,
            (1 - (float(predicted[row]) - low) / span) * _PLOT,
        )
        for row in rows
    ]
    return {"dots": dots, "low": low, "high": high}


def _intervals(confirmation: Confirmation) -> list[dict[str, Any]]:
    """Each tested interaction, with its places on a scale that all have in common."""
    numbers = [0.0]
    for one in confirmation.tested:
        numbers += [one.low, one.high, one.measured, one.predicted, one.bar or 0.0, -(one.bar or 0)]
    low, span = min(numbers), (max(numbers) - min(numbers)) or 1.0

    def at(value: float) -> float:
        return (value - low) / span * _INTERVAL

    return [
        {
            "of": one,
            "zero": at(0.0),
            "low": at(one.low),
            "high": at(one.high),
            "measured": at(one.measured),
            "predicted": at(one.predicted),
            "random": None if one.bar is None else (at(-one.bar), at(one.bar) - at(-one.bar)),
        }
        for one in confirmation.tested
    ]
