"""One self-contained HTML page of one explanation or several: no network, everything escaped.

What must be readable without a script, and all facts about the run, are rendered here; the bundled
script (``web/``) puts interactive views in the place of the static ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from interplay._types import Json, check, visible
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.cheaper import in_words
from interplay.explanation.differences import details_said, test_said, verdicts_said
from interplay.explanation.explanation import Explanation
from interplay.fourier.indices import get_index
from interplay.report.bundle import Bundle, bundle
from interplay.report.circuit_tables import as_rows
from interplay.report.circuits import series_of
from interplay.report.document import document, script_json, shown_terms, view_of
from interplay.report.head import head
from interplay.report.static import PLOT, lit, static

_INTERVAL = 200


@dataclass(frozen=True)
class _Body:
    """An explanation's part of a page.

    Attributes:
        title: what it begins with: what was asked, unless it was given another.
        html: all of it, its data for the script included.
        facts: what the index of a page of several says of it.
    """

    title: str
    html: Markup
    facts: tuple[str, ...]


def page(parts: Sequence[tuple[str, Explanation]], scripts: Bundle | None = None) -> str:
    """A self-contained page of one explanation, or of several with an index of them.

    Args:
        parts: explanations, each with a title.
        scripts: its script and style; by default those of a page that needs no server.

    Raises:
        FileNotFoundError: this installation's script was not built.
    """
    scripts = scripts or bundle()
    return template_of("page.html").render(
        parts=[
            _body(f"part{number}", title, explanation)
            for number, (title, explanation) in enumerate(parts, 1)
        ],
        policy=scripts.policy,
        script=Markup(scripts.script),
        style=Markup(scripts.style),
    )


def fragment(title: str, explanation: Explanation) -> str:
    """The part of a page that shows one explanation, without script, style and policy."""
    return f'<section class="part" id="part1">{_body("part1", title, explanation).html}</section>'


def _body(part: str, title: str, explanation: Explanation) -> _Body:
    """An explanation's part of a page.

    Args:
        part: the name of its place on the page.
        title: its title.
        explanation: it.
    """
    spectrum, provenance = explanation.spectrum, explanation.provenance
    shown = shown_terms(spectrum)
    description = provenance["game"]["description"]
    view = view_of(explanation)
    # a prompt's words on the map are no part of a circuit
    is_model = view["kind"] == "grid" and not view["others"]
    series = series_of(explanation, shown) if is_model else explanation.circuits
    data = document(explanation, shown, series)
    confirmation, faithfulness = explanation.confirmation, explanation.faithfulness
    begins = head(title, explanation)
    html = template_of("explanation.html").render(
        id=part,
        head=begins,
        words=[(name, get_index(name).meaning) for name in data["meanings"]],
        index=explanation.index,
        meaning=get_index(explanation.index).meaning,
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
        checks=_checks(provenance),
        cheaper=in_words(provenance) if "cheaper" in provenance["decoder"]["diagnosis"] else "",
        provenance_json=json.dumps(provenance, indent=2, ensure_ascii=False),
        outputs=explanation.outputs,
        target=target_of(description),
        static=static(explanation, shown, data),
        decisive=lit(explanation, data),
        removal=explanation.removal,
        circuits=as_rows(explanation, shown, series),
        circuits_by=series[0] if series else None,
        score_unit=data["units"][0],
        view_title=data["view"]["title"],
        uncertain=shown.deviations is not None,
        confirmation=confirmation,
        tested=[] if confirmation is None else _intervals(confirmation),
        verdicts=verdicts_said(explanation),
        details=details_said(explanation),
        tests=test_said(explanation),
        size=PLOT,
        width=_INTERVAL,
        data=Markup(script_json(data)),
    )
    facts = (
        explanation.verdict.level,
        f"R2 {faithfulness.r2:.3f}" if faithfulness.known else "R2 not known",
        f"{provenance['budget']['spent']:,} ablations",
        f"{len(spectrum):,} terms",
    )
    return _Body(
        begins["title"], Markup(html), facts
    )  # everything in it was escaped by the template


@cache
def template_of(name: str) -> Template:
    """A template of this room, which escapes everything that is put into it."""
    environment = Environment(
        loader=PackageLoader("interplay.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.get_template(name)


def target_of(description: Json) -> str:
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
    return "; ".join(dict.fromkeys(targets)) or ", ".join(dict.fromkeys(scores))


class _Check(TypedDict):
    name: str
    text: str
    warning: bool


class _Asked(TypedDict):
    name: str
    base: float | None
    tuned: float | None


class _Checks(TypedDict):
    checks: list[_Check]
    questions: list[_Asked]


def _checks(provenance: Json) -> Json | None:
    """What a game of the training lens observed of its training; ``None``: nothing of that kind."""
    observed = provenance.get("observed")
    try:
        check(observed, _Checks, "observed")
    except ValueError:  # a server's, or of another version
        return None
    return {name: (observed or {})[name] for name in _Checks.__annotations__}


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
