"""Explanations as JSON, by a published schema, and as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, Json, visible
from interplay.confirmation.verdict import Confirmation
from interplay.designs.measures import UNIFORM, measure_of
from interplay.explanation.decisive import DecisiveSet
from interplay.explanation.differences import outcome_of, test_said, verdicts_said
from interplay.explanation.explanation import Explanation
from interplay.explanation.faithfulness import Faithfulness
from interplay.explanation.findings import findings
from interplay.explanation.removal import Removal
from interplay.fourier.interactions import LEVEL

SCHEMA = "urn:interplay:explanations:1"
"""The identifier of the schema that exports follow; a change that breaks readers changes it."""
_ROWS = 15
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""How a text begins that a spreadsheet may run, full-width characters among them."""
_QUOTE = "'"
_SHOWN_PLAYERS = 200


def cell(text: object) -> str:
    """A text for a cell of a CSV file, quoted if a spreadsheet would take it for a formula.

    Example:
        >>> cell("=cmd()"), cell("plain"), cell("-2 + 3")
        ("'=cmd()", 'plain', "'-2 + 3")

    Args:
        text: such as a player's name or a title. Numbers are written as they are, without this.

    Returns:
        The text with control characters made visible, and an apostrophe before what begins with
        ``=``, ``+``, ``-``, ``@``, a tab or a line break, after spaces too.
    """
    shown = str(text)
    return f"{_QUOTE}{visible(shown)}" if _FORMULA.match(shown) else visible(shown)


@cache
def schema() -> Json:
    """The JSON Schema (draft 2020-12) of what :func:`as_json` writes."""
    text = files("interplay.report").joinpath("explanations.schema.json").read_text("utf-8")
    schema: Json = json.loads(text)
    return schema


def record_of(title: str, explanation: Explanation) -> Json:
    """One explanation as an item of ``explanations`` in the schema.

    Numbers are lists with an entry for each output; players are named by their place in
    ``players``.
    """
    spectrum, players, outputs = explanation.spectrum, explanation.players, explanation.outputs
    confirmation = explanation.confirmation
    interactions = spectrum.to(explanation.index, order=explanation.shown_order, players=players)
    ranked = interactions.top(len(interactions))
    intervals = {} if ranked.low is None else {"low": ranked.low, "high": ranked.high}
    energy = [
        explanation.measure.variance_by_order(spectrum.output(column))[1:, 0].tolist()
        for column in range(spectrum.n_outputs or 1)
    ]
    record: Json = {
        "title": title,
        "players": list(players),
        "outputs": list(outputs),
        "verdict": explanation.verdict.to_json(),
        "faithfulness": explanation.faithfulness.to_json(),
        "findings": [finding.to_json() for finding in findings(explanation)],
        "interactions": {
            "index": interactions.index,
            "order": interactions.order,
            "terms": _terms(
                ranked.sets,
                {
                    "values": ranked.values,
                    "findings": explanation.verdict.findings(ranked),
                    **intervals,
                },
            ),
        },
        "spectrum": {
            "energy_by_order": energy,
            "terms": _terms(spectrum.sets, {"coefficients": spectrum.coefficients}),
        },
        "provenance": explanation.provenance,
    }
    if explanation.ends is not None:
        full, baseline = explanation.ends.reshape(2, -1).tolist()
        record |= {"full": full, "baseline": baseline}
    if confirmation is not None:
        record["confirmation"] = asdict(confirmation)
    if explanation.compared is not None:
        outcome = outcome_of(explanation)
        record["comparison"] = {
            "names": list(explanation.compared),
            "output": explanation.first_output,
            "level": outcome.level,
            "words": outcome.words,
            "reasons": list(outcome.reasons),
            "agreement": explanation.agreement,
            "verdicts": list(verdicts_said(explanation)),
            "tests": test_said(explanation),
        }
    if explanation.decisive:
        record["decisive"] = [chosen.to_json() for chosen in explanation.decisive]
    return record


def _terms(
    sets: Sequence[tuple[int, ...]], numbers: dict[str, FloatArray | BoolArray | None]
) -> list[Json]:
    columns = {
        name: as_columns(np.asarray(values)).tolist()
        for name, values in numbers.items()
        if values is not None
    }
    return [
        {"players": list(members)} | {name: rows[row] for name, rows in columns.items()}
        for row, members in enumerate(sets)
    ]


def as_json(parts: Sequence[tuple[str, Explanation]]) -> str:
    """Explanations, each with a title, as JSON that follows :func:`schema`."""
    records = [record_of(title, explanation) for title, explanation in parts]
    document = {"schema": SCHEMA, "explanations": records}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_markdown(parts: Sequence[tuple[str, Explanation]]) -> str:
    """Explanations, each with a title, for people to read, with an index of several."""
    records = [record_of(title, explanation) for title, explanation in parts]
    lines = ["# What acts together", ""]
    if len(records) > 1:
        lines += [
            f"{number}. {inline(record['title'])}: {record['verdict']['level']}. {score_of(record)}"
            for number, record in enumerate(records, 1)
        ]
        lines.append("")
    for number, record in enumerate(records, 1):
        before = f"{number}. " if len(records) > 1 else ""
        lines += [f"## {before}{inline(record['title'])}", "", *_markdown(record)]
    return visible("\n".join(lines).rstrip("\n") + "\n")


# --- Markdown -----------------------------------------------------------------------------------


def _markdown(record: Json) -> Iterable[str]:
    provenance, players = record["provenance"], record["players"]
    budget, description = provenance["budget"], provenance["game"]["description"]
    compared = record.get("comparison")
    if compared:
        yield f"**{inline(compared['words'])}.** {inline(' '.join(compared['reasons']))}"
        yield ""
    removal = Removal.of(description, len(players))
    yield from (f"- {inline(finding['sentence'])}" for finding in record.get("findings", ()))
    yield from [""] * bool(record.get("findings"))
    yield from _verdict(record["verdict"])
    yield f"**{score_of(record)}.**"
    yield ""
    design = provenance["design"]["kind"]
    in_turn = "" if measure_of(design) == UNIFORM else " in turn"
    yield (
        f"{budget['spent']} ablations ({budget['fit']} fitted, {budget['held_out']} held out"
        f"{in_turn}), "
        f"decoder {provenance['decoder']['ran']}, seed {provenance['random_state']}, "
        f"measure {(provenance.get('request') or {}).get('measure', UNIFORM)}, "
        f"{provenance['created']}."
    )
    if "full" in record:
        ends = [", ".join(f"{value:.4g}" for value in record[end]) for end in ("full", "baseline")]
        whole, nothing = removal.ends
        yield f"{whole.capitalize()}: {ends[0]}. {nothing.capitalize()}: {ends[1]}."
    for name in ("model", "template", "targets"):
        if description.get(name):
            yield f"{name.capitalize()}: {inline(_plain(description[name]))}."
    yield from _decisive(record.get("decisive", ()), removal)
    outputs = record["outputs"] or [record["interactions"]["index"]]
    terms, what = record["interactions"]["terms"], kind_of(record)
    yield from ("", f"### Interactions ({what})", "")
    yield from table_of(findings_of(record, of_order(terms, 2)))
    if "confirmation" in record:
        yield from _confirmation(record)
    yield from ("", f"### Single players ({what})", "")
    yield from table_of(findings_of(record, of_order(terms, 1)))
    yield from ("", "### Share of the variation by order", "")
    orders = max(map(len, record["spectrum"]["energy_by_order"]))
    yield from _rows(["output" if record["outputs"] else "", *map(str, range(1, orders + 1))])
    for name, energy in zip(outputs, record["spectrum"]["energy_by_order"], strict=True):
        total = sum(energy) or 1.0
        shares = [f"{part / total:.1%}" for part in energy]
        yield _row([name, *shares, *[""] * (orders - len(shares))])
    yield from ("", "### Players", "")
    for number, name in enumerate(players[:_SHOWN_PLAYERS]):
        yield f"- {number}: {inline(name)}"
    if len(players) > _SHOWN_PLAYERS:
        yield f"- ... and {len(players) - _SHOWN_PLAYERS} more"
    yield from ("", "### Provenance", "", *_fenced(provenance), "")


def _verdict(verdict: Json) -> Iterable[str]:
    """The level and the reasons, what a larger budget would do, and the warnings."""
    yield f"**{verdict['level'].capitalize()}.** {inline(' '.join(verdict['reasons']))}"
    yield inline(verdict["outlook"])
    yield ""
    for warning in verdict["warnings"]:
        yield f"- {inline(warning['code'])}: {inline(warning['message'])}"
    if verdict["warnings"]:
        yield ""


def score_of(record: Json) -> str:
    """The faithfulness of a record, in words."""
    score = record["faithfulness"]
    kind = "Faithfulness" if score["exact"] else "Held-out faithfulness"
    return f"{kind}: {Faithfulness.from_json(score)}"


def kind_of(record: Json) -> str:
    """The index and the order of a record's interactions, and whether they have intervals."""
    interactions = record["interactions"]
    kind = f"{interactions['index']}, order {interactions['order']}"
    with_intervals = any("low" in term for term in interactions["terms"])
    return f"{kind}, {LEVEL:.0%} intervals in brackets" if with_intervals else kind


@dataclass(frozen=True)
class Findings:
    """The strongest findings as texts.

    Attributes:
        header: the columns' names: the outputs, and the players.
        rows: a value for each output, with its interval, and the players.
        note: of what is no finding, how many there are.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def findings_of(record: Json, terms: Sequence[Json]) -> Findings:
    """The strongest findings of some terms of a record; of what is none, only the number."""
    outputs = record["outputs"] or [record["interactions"]["index"]]
    header = (*outputs, "players")
    compared = record.get("comparison")
    if compared:  # the difference says what is listed
        by = compared["output"]
        findings = [term for term in terms if term["findings"][by]]
        findings.sort(key=lambda term: -abs(term["values"][by]))
    else:
        findings = [term for term in terms if any(term["findings"])]
    left_out = sum(any(term["values"]) for term in terms) - len(findings)
    if not findings:
        none = f": {left_out} are not distinguishable from zero" if left_out else ""
        return Findings(header, (), f"None found{none}.")
    rows = []
    for term in findings[:_ROWS]:
        cells = []
        for column, value in enumerate(term["values"]):
            cell = f"{value:+.4g}" if term["findings"][column] else f"(zero?) {value:+.4g}"
            if "low" in term:
                cell += f" ({term['low'][column]:+.3g} to {term['high'][column]:+.3g})"
            cells.append(cell)
        players = " × ".join(f"{n} {record['players'][n]}" for n in term["players"])
        rows.append((*cells, players))
    note = f"{left_out} more are not distinguishable from zero." if left_out else ""
    return Findings(header, tuple(rows), note)


def table_of(findings: Findings) -> Iterable[str]:
    """The findings as a table of Markdown, with the note below."""
    if findings.rows:
        yield from _rows(findings.header)
        yield from map(_row, findings.rows)
        if findings.note:
            yield ""
    if findings.note:
        yield findings.note


def of_order(terms: Sequence[Json], order: int) -> list[Json]:
    """Terms of one player, or of two and more."""
    return [
        term for term in terms if (len(term["players"]) >= 2) == (order >= 2) and term["players"]
    ]


def _decisive(records: Sequence[Json], removal: Removal) -> Iterable[str]:
    if records:
        yield from ("", "### What decides", "")
    for chosen in map(DecisiveSet.from_json, records):
        yield f"- {inline(chosen.told(removal))}"


def _confirmation(record: Json) -> Iterable[str]:
    result, of_changes = Confirmation.from_json(record["confirmation"]), record.get("comparison")
    said = of_changes["tests"] if of_changes else result.summary
    verdicts = of_changes["verdicts"] if of_changes else [test.verdict for test in result.tested]
    yield from ("", "### Confirmed by ablations made for it", "", inline(said), "")
    yield from _rows(["verdict", "predicted", "measured", "players"])
    for tested, verdict in zip(result.tested, verdicts, strict=True):
        named = zip(tested.players, tested.labels, strict=True)
        measured = f"{tested.measured:+.3g} ({tested.low:+.3g} to {tested.high:+.3g})"
        yield _row(
            [
                verdict,
                f"{tested.predicted:+.3g}",
                measured,
                " × ".join(f"{number} {label}" for number, label in named),
            ]
        )


def _rows(names: Sequence[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(inline, cells))} |"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def inline(text: str) -> str:
    """Any text on one line, with nothing in it that Markdown or HTML would act on."""
    flat = visible(re.sub(r"\s+", " ", text).strip())
    return re.sub(r"([\\`*_{}\[\]<>|~#&$])", r"\\\1", flat)


def _fenced(value: Json) -> list[str]:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}json", text, fence]
