"""An explanation card: what was asked, of which model, how well, and what must not be concluded.

Everything on it is read from the explanation's JSON (:func:`interplay.report.export.record_of`),
and the last tables say where. It makes no legal claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from interplay._types import Json, visible
from interplay.explanation.differences import test_said
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import LEVEL
from interplay.report.export import (
    Findings,
    findings_of,
    inline,
    kind_of,
    record_of,
    score_of,
    table_of,
)
from interplay.report.governance import ABSENT, Asked, asked
from interplay.report.html import target_of, template_of

_LONGEST = 300
_INDICES = ("SV", "FSII", "BV", "FBII")
_MASKINGS = {
    "delete": "removed parts are deleted and the rest closes up, so that the model reads texts "
    "that nobody wrote",
    "attention": "removed parts stay and nothing attends to them, which no text can bring about",
    "resample": "removed parts are written again by the model itself, sampled, so that values are "
    "means over several texts",
    "mask_token": "removed parts become mask tokens, which the model may not know",
}
_OTHERS = {
    "components": "other items of the task",
    "training": "other training data or test points",
}
_NO_LEGAL_CLAIM = (
    "These tables show where the record has something that each text asks about. They are no "
    "assessment of conformity and no legal advice: what applies, and whether it is met, is for "
    "those who answer for the system to judge."
)


@dataclass(frozen=True)
class Card:
    """The card of one explanation, as plain text in parts.

    Attributes:
        title: what was explained.
        verdict: whether it may be used, why, and what to know first.
        asked: what was asked, as pairs of a name and a text.
        model: of which model, likewise.
        score: how well it predicts, likewise.
        kind: what the values of the findings are.
        findings: the strongest ones.
        cautions: what must not be concluded.
        again: how to derive it again.
        texts: what texts on records and transparency ask about.
    """

    title: str
    verdict: tuple[str, ...]
    asked: tuple[tuple[str, str], ...]
    model: tuple[tuple[str, str], ...]
    score: tuple[tuple[str, str], ...]
    kind: str
    findings: Findings
    cautions: tuple[str, ...]
    again: tuple[str, ...]
    texts: tuple[Asked, ...]


def as_card(parts: Sequence[tuple[str, Explanation]]) -> str:
    """Cards of explanations, each with a title, as Markdown in which nothing acts."""
    lines: list[str] = []
    for title, explanation in parts:
        lines += _markdown(card_of(title, explanation))
    return visible("\n".join(lines).rstrip("\n") + "\n")


def as_card_page(parts: Sequence[tuple[str, Explanation]]) -> str:
    """The same as one HTML page without a script."""
    cards = [card_of(title, explanation) for title, explanation in parts]
    return template_of("card.html").render(
        cards=cards, no_legal_claim=_NO_LEGAL_CLAIM, absent=ABSENT
    )


def card_of(title: str, explanation: Explanation) -> Card:
    """The card of an explanation."""
    record = record_of(title, explanation)
    return Card(
        title,
        tuple(_verdict(record["verdict"])),
        tuple(_asked(explanation, record)),
        tuple(_model(record["provenance"])),
        tuple(_score(explanation, record)),
        kind_of(record),
        findings_of(record, [term for term in record["interactions"]["terms"] if term["players"]]),
        tuple(_cautions(explanation, record)),
        tuple(_again(record["provenance"])),
        asked(record),
    )


def _verdict(verdict: Json) -> Iterator[str]:
    yield f"{verdict['level'].capitalize()}. {' '.join(verdict['reasons'])}"
    yield verdict["outlook"]
    for warning in verdict["warnings"]:
        yield f"{warning['code']}: {warning['message']}"


def _asked(explanation: Explanation, record: Json) -> Iterator[tuple[str, str]]:
    description = record["provenance"]["game"]["description"]
    yield (
        "question",
        (
            f"how the score depends on which of {len(record['players'])} players are kept, and "
            "which of them act together"
        ),
    )
    unit = description.get("by")
    named = ", ".join(map(_short, record["players"][:8]))
    more = ", ..." if len(record["players"]) > 8 else ""
    yield "players", f"{f'by {unit}: ' if unit else ''}{_short(named)}{more}"
    target = target_of(description)
    yield "score", _short(target) if target else ABSENT
    if record["outputs"]:
        yield "outputs", _short(", ".join(record["outputs"]))
    if isinstance(description.get("text"), str):
        yield "input", _short(description["text"])
    swaps = bool(explanation.removal.swapped)
    whole, nothing = explanation.removal.ends if swaps else ("with everything kept", "with nothing")
    for name, value in ((whole, explanation.full), (nothing, explanation.baseline)):
        if value is not None:
            yield (
                f"score {name}",
                ", ".join(f"{number:.4g}" for number in value.reshape(-1)),
            )
    masking = description.get("masking")
    if masking is not None:
        yield "removal", _masking(masking)
    imputation = description.get("imputation")
    if isinstance(imputation, dict):
        yield "removal", _imputation(imputation)


def _model(provenance: Json) -> Iterator[tuple[str, str]]:
    game = provenance["game"]
    for name in ("model", "architecture", "dtype", "adapters", "base_url", "revision"):
        if game["description"].get(name):
            yield name.replace("base_url", "server"), _short(str(game["description"][name]))
    yield (
        "fingerprint",
        game["fingerprint"]
        or (
            "none: the game cannot say what it computes, so that no hash shows that a model is "
            "this one"
        ),
    )
    if provenance.get("observed"):
        yield "as its server showed itself", _short(str(provenance["observed"]))


def _score(explanation: Explanation, record: Json) -> Iterator[tuple[str, str]]:
    budget = record["provenance"]["budget"]
    yield "faithfulness", score_of(record)
    yield "masks", f"{explanation.measure.description} (measure {explanation.measure})"
    yield (
        "ablations",
        f"{budget['spent']}: {budget['fit']} fitted, {budget['held_out']} held out",
    )
    yield "decoder", str(record["provenance"]["decoder"]["ran"])
    if record.get("confirmation") is None:
        yield "confirmation", "none: no interaction was tested by ablations made for it"
    else:
        yield "confirmation", test_said(explanation)


def _cautions(explanation: Explanation, record: Json) -> Iterator[str]:
    """What must not be concluded: what holds of every explanation, and what this one shows."""
    verdict, provenance = record["verdict"], record["provenance"]
    description = provenance["game"]["description"]
    if verdict["level"] in ("not usable", "unknown"):
        yield f"Anything: the explanation is {verdict['level']}; no value of it is a finding."
    elif verdict["level"] == "weak":
        yield "That it says most of what the model does: it is weak, and may miss the larger part."
    other = _OTHERS.get(description.get("lens"), "another input")
    yield (
        f"That it holds for {other}, another model, or another version of this one: it is about "
        "what is named here."
    )
    yield (
        "That the model is right, fair or safe, or that what it uses causes anything in the world: "
        "the values say what its score depends on."
    )
    singles = verdict["players"]["total"], verdict["players"]["distinguishable"]
    joint = verdict["interactions"]["total"], verdict["interactions"]["distinguishable"]
    if singles[1] is None or joint[1] is None:
        yield (
            "That a value differs from zero because it is listed: this decoder and measure give no "
            "intervals."
        )
    else:
        left_out = sum(total - certain for total, certain in (singles, joint))
        if left_out:
            yield (
                f"That what is not listed has no effect: {left_out} values cannot be told from "
                "zero, which does not show that they are zero."
            )
        if not record["faithfulness"]["exact"] and sum(total for total, _ in (singles, joint)):
            yield (
                f"That every finding is one: each {LEVEL:.0%} interval is taken by itself, so that "
                "of many values without an effect some look like findings."
            )
    for index in _INDICES:
        doubt = explanation.extrapolated(index)
        if doubt is not None:
            yield f"By {index}: {doubt}"
    masking = description.get("masking")
    if masking is not None:
        other = "other values" if explanation.removal.swapped else "other words"
        where = f"in place of those {explanation.removal.done()}"
        yield f"What it would do with {other} {where}: {_masking(masking)}."
    imputation = description.get("imputation")
    if isinstance(imputation, dict):
        yield (
            "What it would do with other background rows, or by another imputation: "
            f"{_imputation(imputation)}. Rows that mix both may be none that exist."
        )
    if record.get("confirmation") is None and not record["faithfulness"]["exact"]:
        yield "That the interactions were tested one by one: they are estimates of one fit."
    if provenance["game"]["fingerprint"] is None:
        yield "That a model at hand is the one that was explained: no fingerprint was recorded."


def _again(provenance: Json) -> Iterator[str]:
    versions = provenance["versions"]
    yield (
        f"Made on {provenance['created']} with interplay {versions.get('interplay', ABSENT)}, seed "
        f"{provenance['random_state']}."
    )
    yield (
        "Of a folder of a run, interplay verify FOLDER --sample 20 derives everything again from "
        "its store and evaluates 20 of its ablations with the model."
    )
    yield (
        "In Python: interplay.verify(explanation, game, store=...) with the game made as it was, "
        "and the store of the run."
    )
    yield f"SHA-256 of the fit's masks: {provenance['design']['masks_sha256']}"
    if provenance.get("ablations"):
        yield f"SHA-256 of all masks and values: {provenance['ablations']['sha256']}"


def _imputation(imputation: Json) -> str:
    settings = ", ".join(f"{name}: {value}" for name, value in imputation.items())
    return _short(f"removed features have values of background rows ({settings})")


def _masking(masking: Any) -> str:
    if isinstance(masking, dict) and masking.get("kind") == "swap":
        otherwise = masking.get("otherwise")
        rest = "all else is kept" if otherwise is None else _masking(otherwise)
        return f"what is swapped shows its other value; {rest}"
    kind = masking if isinstance(masking, str) else str(dict(masking).get("kind", masking))
    return _MASKINGS.get(kind, f"removed parts are replaced: {_short(str(masking))}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"


# --- Markdown -----------------------------------------------------------------------------------


def _markdown(card: Card) -> Iterator[str]:
    yield from (f"# Explanation card: {inline(card.title)}", "")
    yield from ("## May it be used?", "", f"**{inline(card.verdict[0])}**", "")
    yield from (f"- {inline(line)}" for line in card.verdict[1:])
    for heading, pairs in (
        ("What was asked", card.asked),
        ("Of which model", card.model),
        ("How well it was explained", card.score),
    ):
        yield from ("", f"## {heading}", "", *(f"- {inline(n)}: {inline(v)}" for n, v in pairs))
    yield from ("", "## What was found", "", f"{card.kind}.", "", *table_of(card.findings))
    yield from ("", "## What must not be concluded", "", *(f"- {inline(c)}" for c in card.cautions))
    yield from ("", "## How to derive it again", "", *(f"- {inline(a)}" for a in card.again))
    yield from ("", "## For records and reviews", "", inline(_NO_LEGAL_CLAIM))
    for text in card.texts:
        yield from ("", f"### {inline(text.source)}", "")
        yield from ("| asks about | recorded | entry |", "|---|---|---|")
        for fact in text.facts:
            entries = ", ".join(f"`{entry}`" for entry in fact.entries) or ABSENT
            yield f"| {inline(fact.asks)} | {inline(_short(fact.says))} | {entries} |"
        yield from ("", f"It also asks about {inline(text.elsewhere)}: {ABSENT}.")
    yield ""
