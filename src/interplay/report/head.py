"""What a page says first: what was asked, what came out, what was found, and how sure that is."""

from __future__ import annotations

from typing import Any

from interplay._types import Json
from interplay.explanation.explanation import Explanation
from interplay.explanation.findings import findings
from interplay.explanation.sentences import Finding, error_of
from interplay.explanation.truth import TruthTable, column_of, is_of_mean, truth_tables
from interplay.explanation.wording import named, number, question, score_of, unit_of_score

_ANSWER = 160
_NAMES = {
    "either": "either suffices",
    "stand in": "they stand in for each other",
    "both": "both are needed",
    "only together": "they act only together",
    "cancels": "one counters the other",
    "repeat": "they repeat each other",
    "together": "they act together",
}
_BADGES = {"usable": "Usable", "weak": "Weak", "not usable": "Not usable", "unknown": "Not known"}


def head(title: str, explanation: Explanation) -> dict[str, Any]:
    """The head of a page, for the template.

    Args:
        title: of the explanation on the page.
        explanation: it.
    """
    description = explanation.provenance["game"]["description"]
    verdict, found = explanation.verdict, findings(explanation)
    tables = truth_tables(explanation)
    cards = [_card(explanation, table, found) for table in tables]
    asked = question(description, title)
    return {
        "title": asked if title == explanation.title else title,
        "question": "" if title == explanation.title or asked == title else asked,
        "answer": _answer(explanation.provenance),
        "ends": _ends(explanation),
        "score": ("mean " if is_of_mean(explanation) else "") + score_of(description),
        "unit": unit_of_score(description),
        "badge": _BADGES[verdict.level],
        "reason": verdict.reasons[0],
        "n_cautions": len(verdict.warnings),
        "first_caution": verdict.warnings[0].message if verdict.warnings else "",
        "findings": [_sentence(finding, tables) for finding in found],
        "none": "" if found else _none(explanation),
        "cards": cards,
        "of_first": bool(explanation.outputs) and not is_of_mean(explanation),
        "error": number(error_of(explanation)) if any(not t.is_measured for t in tables) else "",
    }


def _answer(provenance: Json) -> str:
    """The model's own answer, where the run asked for it."""
    answers = provenance.get("answers")
    answer = answers.get("own_answer") if isinstance(answers, dict) else None
    if not isinstance(answer, str) or not answer.strip():
        return ""
    line = answer.strip().splitlines()[0]
    is_all = line == answer.strip() and len(line) <= _ANSWER
    return line if is_all else f"{line[:_ANSWER].rstrip()} …"


def _ends(explanation: Explanation) -> tuple[str, str] | None:
    """The values with everything and with nothing."""
    if explanation.ends is None:
        return None
    full, empty = column_of(explanation, explanation.ends).tolist()
    return number(full), number(empty)


def _none(explanation: Explanation) -> str:
    """Why there is no finding."""
    verdict = explanation.verdict
    if verdict.level == "not usable":
        return "No finding is claimed: this explanation predicts no better than chance might."
    if verdict.level == "unknown":
        return "No finding is claimed: there is no score by which it could be judged."
    if verdict.certain_players or verdict.certain_interactions:
        return (
            "No finding about the whole input: what changes it is small, or predicted with too "
            "large an error. Values that can be told from zero are below."
        )
    return "Nothing could be told from zero."


def _sentence(finding: Finding, tables: tuple[TruthTable, ...]) -> dict[str, Any]:
    """A finding's words, the names of players in it, and the card that it comes from."""
    told: set[int] = set()
    parts: list[Json] = []
    for part in finding.parts:
        if isinstance(part, str):
            parts.append({"text": part, "player": None})
            continue
        label = named(finding.labels[part])
        is_new = part not in told and label not in ("", str(part))
        parts.append({"text": label if is_new else "", "player": part})
        told.add(part)
    numbers = [number for number, one in enumerate(tables) if one.players == finding.players]
    return {
        "parts": parts,
        "kind": finding.kind,
        "players": ",".join(map(str, finding.players)),
        "card": numbers[0] if numbers else None,
        "doubt": None if finding.doubt is None else number(finding.doubt),
    }


def _card(
    explanation: Explanation, table: TruthTable, found: tuple[Finding, ...]
) -> dict[str, Any]:
    """A truth table for the template, with bars on a scale of its own from the least value on."""
    values = [entry.value for entry in table.entries]
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    kinds = [finding.kind for finding in found if finding.players == table.players]
    return {
        "players": table.players,
        "labels": [explanation.players[player] for player in table.players],
        "value": table.value,
        "half": table.half,
        "name": _NAMES.get(kinds[0], "") if kinds else "",
        "measured": table.is_measured,
        "note": _note(table, explanation.index),
        "entries": [
            {
                "kept": entry.kept,
                "said": _kept(entry.kept),
                "value": number(entry.value),
                "measured": entry.is_measured,
                "from": 100 * (min(entry.value, 0.0) - low) / span,
                "width": 100 * abs(entry.value) / span,
            }
            for entry in table.entries
        ],
    }


def _note(table: TruthTable, index: str) -> str:
    """Why the table and the index may seem to disagree, or an empty text."""
    if not table.agrees:
        return f"{index}, a mean over many inputs, has the other sign: what else is kept matters."
    if table.adds_up and len(table.players) == 2:
        return f"Here they add up; over other inputs, of which {index} is a mean, they do not."
    return ""


def _kept(kept: tuple[bool, ...]) -> str:
    """Which of a set's players are kept, in words."""
    if all(kept):
        return "both kept" if len(kept) == 2 else "all kept"
    if not any(kept):
        return "neither kept" if len(kept) == 2 else "none kept"
    ordinals = ("the first", "the second", "the third")
    chosen = [name for name, is_kept in zip(ordinals, kept, strict=False) if is_kept]
    return f"only {' and '.join(chosen)} kept"
