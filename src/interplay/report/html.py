"""One self-contained HTML page of one explanation or several: no network, everything escaped.

What must be readable without a script, and all facts about the run, are rendered here; the bundled
script (``web/``) puts interactive views in the place of the static ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from interplay._arrays import as_columns
from interplay._types import FloatArray, Json, visible
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import Interactions
from interplay.fourier.spectrum import Spectrum
from interplay.report.bundle import bundle
from interplay.report.document import (
    INDEX,
    document,
    script_json,
    shown_terms,
)

_ROWS = 15
_DOTS = 500
_PLOT = 300
_INTERVAL = 200
_SHADES = 5


@dataclass(frozen=True)
class _Body:
    """An explanation's part of a page.

    Attributes:
        html: all of it, its data for the script included.
        facts: what the index of a page of several says of it.
    """

    html: Markup
    facts: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """A line of a table: ``share`` is the bar's length, 0 to 1; ``labels`` name the players."""

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    value: float
    share: float
    interval: tuple[float, float] | None


def page(parts: Sequence[tuple[str, Explanation]]) -> str:
    """A self-contained page of one explanation, or of several with an index of them.

    Args:
        parts: explanations, each with a title.

    Raises:
        FileNotFoundError: this installation's script was not built.
    """
    return _template("page.html").render(
        parts=[(title, _body(explanation)) for title, explanation in parts],
        policy=bundle().policy,
        script=Markup(bundle().script),
        style=Markup(bundle().style),
    )


def _body(explanation: Explanation) -> _Body:
    """An explanation's part of a page."""
    spectrum, provenance = explanation.spectrum, explanation.provenance
    shown = shown_terms(spectrum)
    description = provenance["game"]["description"]
    data = document(explanation, shown)
    confirmation, faithfulness = explanation.confirmation, explanation.faithfulness
    html = _template("explanation.html").render(
        index=INDEX,
        n_terms=len(spectrum),
        n_shown=len(shown),
        share_shown=shown.relative.energies[shown.orders > 0].sum()
        / (spectrum.relative.energies[spectrum.orders > 0].sum() or 1.0),
        verdict=explanation.verdict,
        faithfulness=faithfulness,
        measure=explanation.measure,
        in_turn=explanation.held_predictions is not None,
        description=description,
        provenance=provenance,
        provenance_json=json.dumps(provenance, indent=2, ensure_ascii=False),
        outputs=explanation.outputs,
        target=_target(description),
        static=_static(explanation, shown, data),
        uncertain=shown.deviations is not None,
        confirmation=confirmation,
        tested=[] if confirmation is None else _intervals(confirmation),
        size=_PLOT,
        width=_INTERVAL,
        data=Markup(script_json(data)),
    )
    facts = (
        explanation.verdict.level,
        f"R2 {faithfulness.r2:.3f}" if faithfulness.known else "R2 not known",
        f"{provenance['budget']['spent']:,} ablations",
        f"{len(spectrum):,} terms",
    )
    return _Body(Markup(html), facts)  # everything in it was escaped by the template


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("interplay.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.get_template(name)


def _target(description: Json) -> str:
    """What was scored, in a line."""
    targets = [
        " ".join(
            [str(target.get("kind", ""))]
            + [
                f"{key}={json.dumps(value, ensure_ascii=False)}"
                for key, value in target.items()
                if key != "kind" and value is not None
            ]
        )
        for target in description.get("targets") or ()
    ]
    scores = description.get("scores") or [description.get("score") or ""]
    return "; ".join(targets) or ", ".join(scores)


def _static(explanation: Explanation, shown: Spectrum, data: Json) -> dict[str, Any]:
    """What is shown of the first output without the script."""
    spectrum = shown.output(0)
    interactions = spectrum.to(INDEX, order=data["order"], players=explanation.players)
    verdict, several = explanation.verdict, len(explanation.outputs) > 1
    together, n_uncertain = verdict.strongest(
        interactions, _ROWS, min_order=2, output=0 if several else None
    )
    alone, n_uncertain_alone = verdict.strongest(
        interactions, _ROWS, max_order=1, output=0 if several else None
    )
    full = verdict.full_shade(float(interactions.strength.max(initial=0.0)))
    energy = explanation.measure.variance_by_order(spectrum.relative)[1:, 0]
    held_out = explanation.held_out
    return {
        "order": data["order"],
        "singles": _rows(alone, full),
        "interactions": _rows(together, full),
        "n_uncertain": n_uncertain,
        "n_uncertain_alone": n_uncertain_alone,
        "text": _shaded(data["view"]["pieces"], explanation, interactions)
        if data["view"]["kind"] == "text"
        else None,
        "energy": (energy / energy.sum()).tolist() if energy.sum() else [],
        "plot": _scatter(
            as_columns(held_out.values)[:, 0], as_columns(explanation.predict_held_out())[:, 0]
        ),
    }


def _rows(interactions: Interactions, full: float) -> list[_Row]:
    """The lines of a table; a bar of the length 1 stands for the value ``full``."""
    low, high = interactions.low, interactions.high
    return [
        _Row(
            tuple(interactions.players[player] for player in members),
            members,
            float(value),
            abs(float(value)) / full,
            None if low is None or high is None else (float(low[row]), float(high[row])),
        )
        for row, (members, value) in enumerate(interactions)
    ]


def _shaded(
    cut: list[tuple[str, int | None]], explanation: Explanation, interactions: Interactions
) -> list[dict[str, Any]]:
    """The prompt in pieces; those that are players carry their own effect and their number.

    Effects that are no findings are not shaded.
    """
    effects = explanation.verdict.shaded_effects(interactions, 0).tolist()
    full = explanation.verdict.full_shade(max(map(abs, effects)))
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
    for tested in confirmation.tested:
        numbers += [
            tested.low,
            tested.high,
            tested.measured,
            tested.predicted,
            tested.largest_random or 0.0,
            -(tested.largest_random or 0),
        ]
    low, span = min(numbers), (max(numbers) - min(numbers)) or 1.0

    def at(value: float) -> float:
        return (value - low) / span * _INTERVAL

    def random_range(largest: float | None) -> tuple[float, float] | None:
        return None if largest is None else (at(-largest), at(largest) - at(-largest))

    return [
        {
            "of": tested,
            "zero": at(0.0),
            "low": at(tested.low),
            "high": at(tested.high),
            "measured": at(tested.measured),
            "predicted": at(tested.predicted),
            "random": random_range(tested.largest_random),
        }
        for tested in confirmation.tested
    ]
