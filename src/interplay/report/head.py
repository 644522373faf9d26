"""What a page says first: what was asked, what came out, what was found, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from interplay._arrays import as_columns
from interplay._types import Json
from interplay.explanation.differences import EVIDENCE, outcome_of, shown_changes
from interplay.explanation.explanation import Explanation
from interplay.explanation.findings import findings
from interplay.explanation.sentences import Finding, Words, is_alike, one_alone
from interplay.explanation.titles import apart, question
from interplay.explanation.truth import (
    Entry,
    Known,
    TruthTable,
    column_of,
    is_of_mean,
    truth_tables,
)
from interplay.explanation.wording import (
    against_scored,
    named,
    number,
    score_of,
    signs,
    unit_of_score,
)

_ANSWER = 160
_NAMES = {
    "either": "either suffices",
    "stand in": "they stand in for each other",
    "both": "both are needed",
    "only together": "they act only together",
    "cancels": "one counters the other",
    "offset": "they offset each other",
    "repeat": "they repeat each other",
    "together": "they act together",
}
_KINDS = {
    "appeared": "appeared",
    "vanished": "vanished",
    "reversed": "changed its sign",
    "stronger": "grew",
    "weaker": "shrank",
}
_BADGES = {"usable": "Usable", "weak": "Weak", "not usable": "Not usable", "unknown": "Not known"}


def head(title: str, explanation: Explanation) -> dict[str, Any]:
    """The head of a page, for the template.

    Args:
        title: of the explanation on the page.
        explanation: it.
    """
    description = explanation.provenance["game"]["description"]
    verdict, tables = explanation.verdict, truth_tables(explanation)
    found = findings(explanation, tables=tables)
    words = Words(explanation)
    cards = _cards(explanation, tables, words)
    asked, answer = question(description, title), _answer(explanation.provenance)
    ends, comparison = explanation.ends, _comparison(explanation)
    full = None if ends is None or comparison else float(column_of(explanation, ends)[0])
    told = {warning.code: warning.message for warning in verdict.warnings}
    interrupted = told.pop("interrupted", "")
    return {
        "title": asked if title == explanation.title else title,
        "question": "" if title == explanation.title or asked == title else asked,
        "answer": answer,
        "not_scored": (
            ""
            if comparison
            else against_scored(description, full, answer, explanation.removal.ends[0])
        ),
        "ends": _ends(explanation),
        "with": explanation.removal.ends,
        "score": ("mean " if is_of_mean(explanation) else "") + score_of(description),
        "unit": unit_of_score(description),
        "signs": signs(description),
        "interrupted": interrupted,
        "badge": _BADGES[verdict.level],
        "reason": verdict.reasons[0] + _of_shown(explanation),
        "n_cautions": len(told),
        "first_caution": next(iter(told.values()), ""),
        "findings": [_sentence(finding, tables) for finding in found],
        "none": "" if found else _none(explanation),
        "comparison": comparison,
        "cards": cards,
        "of_first": bool(explanation.outputs) and not comparison and not is_of_mean(explanation),
        "error": number(words.error) if any(not t.is_measured for t in tables) else "",
        "repeats": words.repeats,
    }


def _of_shown(explanation: Explanation) -> str:
    """The R2 of the output that the page begins with, where the verdict is of several."""
    scores, first = explanation.faithfulness.by_output, explanation.first_output
    if first is None or len(scores[explanation.judged_outputs]) < 2:
        return ""
    score = "not known" if isnan(scores[first]) else f"{scores[first]:.2f}"
    return f" R2 of {explanation.outputs[first]}, which is shown first: {score}."


def _comparison(explanation: Explanation) -> dict[str, Any] | None:
    """What is said of two games that are compared; ``None``: it is of one."""
    if explanation.compared is None:
        return None
    ends, told = explanation.ends, apart(explanation.provenance["game"]["description"])
    _, n_outputs = explanation.sides
    both = None if ends is None else as_columns(ends)[:, explanation.sides]
    outcome = outcome_of(explanation)
    return {
        "names": explanation.compared,
        "apart": None
        if told in (None, explanation.compared)
        else list(zip(explanation.compared, told, strict=True)),
        "ends": None if both is None else [[number(value) for value in row] for row in both],
        "difference": explanation.outputs[explanation.first_output or 0],
        "of_first": explanation.outputs[:n_outputs][0] if n_outputs > 1 else "",
        "outcome": outcome,
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
    if explanation.compared is not None and verdict.level not in ("not usable", "unknown"):
        old, new = explanation.compared
        if outcome_of(explanation).level == "unclear":
            return "No finding is claimed: their difference is not predicted."
        return f"No player and no interaction is found that differs between {old} and {new}."
    if verdict.level == "not usable":
        return (
            "No finding is claimed: it is not shown that this explanation predicts better than "
            "chance."
        )
    if verdict.level == "unknown":
        return "No finding is claimed: there is no score by which it could be judged."
    if verdict.certain_players or verdict.certain_interactions:
        return (
            "No finding about the whole input: what changes it is small, or predicted with too "
            "large an error. Values that can be told from zero are below."
        )
    return "No finding: no value can be told from zero."


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
    numbers = [i for i, one in enumerate(tables) if set(one.players) <= set(finding.players)]
    return {
        "parts": parts,
        "kind": finding.kind,
        "players": ",".join(map(str, finding.players)),
        "card": numbers[0] if numbers else None,
        "evidence": finding.evidence,
    }


def _cards(
    explanation: Explanation, tables: tuple[TruthTable, ...], words: Words
) -> list[dict[str, Any]]:
    """Truth tables for the template; of a comparison with what both games say beside it."""
    if explanation.compared is None:
        return [_card(explanation, table, words, _name(table, words), []) for table in tables]
    names = {
        change.players: f"{_KINDS[change.kind]}, {EVIDENCE[change.confirmed]}"
        for change in shown_changes(explanation)
    }
    both = [Known(explanation, output) for output in explanation.sides]
    return [
        _card(
            explanation,
            table,
            words,
            names.get(table.players, ""),
            [known.entries(table.players) for known in both],
        )
        for table in tables
    ]


def _card(
    explanation: Explanation,
    table: TruthTable,
    words: Words,
    name: str,
    beside: Sequence[tuple[Entry, ...]],
) -> dict[str, Any]:
    """A truth table for the template, with bars on a scale of its own from the least value on.

    Args:
        explanation: what is shown.
        table: it.
        words: how values are written.
        name: what the set does.
        beside: entries of other outputs that are shown with it.
    """
    values = [entry.value for entry in table.entries]
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    return {
        "players": table.players,
        "labels": [explanation.players[player] for player in table.players],
        "value": table.value,
        "half": table.half,
        "name": name,
        "measured": table.is_measured,
        "note": _note(table, explanation.index),
        "entries": [
            {
                "kept": entry.kept,
                "said": _kept(entry.kept),
                "marks": [
                    "kept" if kept else words.removal.done((player,))
                    for player, kept in zip(table.players, entry.kept, strict=True)
                ],
                "value": words.number(entry.value),
                "beside": [number(other[row].value) for other in beside],
                "measured": entry.is_measured,
                "from": 100 * (min(entry.value, 0.0) - low) / span,
                "width": 100 * abs(entry.value) / span,
            }
            for row, entry in enumerate(table.entries)
        ],
    }


def _name(table: TruthTable, words: Words) -> str:
    """What a set does, in words; empty where the table does not show that it does something."""
    if not words.is_clear(table):
        return ""
    if one_alone(table):
        return "here one of them does nearly all"
    kind = words.of_table(table).kind
    if kind == "cancels" and len(table.players) == 2:
        singly = (table.without(player) for player in table.players)
        return _NAMES["offset" if is_alike(table.entries[0].value, *singly) else kind]
    return "" if kind == "together" and table.adds_up else _NAMES.get(kind, "")


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
