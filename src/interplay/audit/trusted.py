"""The entries of an explanation that an audit takes on trust."""

from __future__ import annotations

import json
from typing import Any

from interplay.audit.checks import Trusted
from interplay.explanation.explanation import Explanation
from interplay.explanation.provenance import versions

CHECKED = (
    *(
        "game",
        "request",
        "random_state",
        "hints",
        "prior",
        "cheaper",
        "design",
        "ablations",
        "decoder",
    ),
    *("budget", "until"),
)
"""The entries of a provenance that are compared, or from which the others are derived."""
_MOST_UNKNOWN = 100
_NO_WITNESS = "nothing else records it"
_REASONS = {
    "created": _NO_WITNESS,
    "platform": _NO_WITNESS,
    "backend": "values do not depend on it",
    "seconds": _NO_WITNESS,
}
_BUDGET = (
    *("limit", "planned", "spent", "fit", "held_out", "evaluated", "from_store"),
    *("skipped", "interrupted", "left_out"),
)
_GAME = ("fingerprint", "n_players", "n_outputs", "n_repeats", "description")


def trusted(
    explanation: Explanation, has_store: bool, has_hints: bool = False
) -> tuple[Trusted, ...]:
    """Everything in an explanation that an audit compares with nothing.

    Args:
        explanation: the explanation.
        has_store: whether the store of its ablations is there.
        has_hints: whether a game is there that gave its hints again.
    """
    provenance, budget = explanation.provenance, explanation.provenance["budget"]
    entries = [
        Trusted("versions", _shown(provenance.get("versions")), _versions_reason()),
        *(Trusted(name, _shown(provenance.get(name)), reason) for name, reason in _REASONS.items()),
        Trusted(
            "budget.evaluated, budget.from_store",
            f"{budget['evaluated']}, {budget['from_store']}",
            "their sum is checked, but not how much of it was evaluated for this run",
        ),
        Trusted(
            "request, random_state",
            f"{_shown(provenance.get('request'))}, {provenance['random_state']}",
            "everything is derived from them; others that derive the same cannot be told apart",
        ),
    ]
    if provenance.get("hints") is not None and not has_hints:
        reason = "what the game expected of its players; no game was there to say it again"
        entries.append(Trusted("hints", _shown(provenance["hints"]), reason))
    if provenance.get("prior") is not None:
        reason = "what other prompts of a set said of this one; they are not here"
        entries.append(Trusted("prior", _shown(provenance["prior"]), reason))
    if provenance.get("cheaper") is not None:
        told = {name: entry for name, entry in provenance["cheaper"].items() if name != "sha256"}
        reason = "no cheaper model was asked again; wrong values of it cannot raise the held-out R2"
        entries.append(Trusted("cheaper", _shown(told), reason))
    if explanation.confirmation is not None:
        entries.append(
            Trusted(
                "confirmation.n_evaluated",
                str(explanation.confirmation.n_evaluated),
                "nothing else records how many of its ablations were known before",
            )
        )
        entries.append(
            Trusted(
                "confirmation.order, confirmation.budget",
                f"{explanation.confirmation.order}, {explanation.confirmation.budget}",
                "others that test the same claims on the same masks cannot be told apart",
            )
        )
    else:
        reason = "nothing shows whether there was one that was left out"
        entries.append(Trusted("confirmation", "null", reason))
    if any(series.test_is_known for series in explanation.circuits):
        reason = "scores on other items are those of another game, which is not evaluated again"
        entries.append(Trusted("circuits.test, circuits.low, circuits.high", "given", reason))
    if explanation.decisive:
        reason = "the search is not repeated: that no smaller set does, and how much was evaluated"
        entries.append(
            Trusted(
                "decisive.predicted_size, decisive.proven, decisive.n_evaluated", "given", reason
            )
        )
    if explanation.ends is None and not has_store:
        reason = "nothing shows whether the full and the empty input were evaluated and left out"
        entries.append(Trusted("ends", "null", reason))
    if provenance.get("until") is None:
        reason = "nothing shows whether a stopping rule chose the budget"
        entries.append(Trusted("until", "null", reason))
    if not has_store and explanation.faithfulness.noise is not None:
        reason = "without a store there is nothing to derive it from"
        entries.append(Trusted("faithfulness.noise", f"{explanation.faithfulness.noise}", reason))
    if provenance.get("answers") is not None:
        reason = "only values are evaluated again, not what the model answers by itself"
        entries.append(Trusted("answers", _shown(provenance["answers"]), reason))
    if "observed" in provenance:
        reason = "what the server said of itself, or the game of its training"
        entries.append(Trusted("observed", _shown(provenance["observed"]), reason))
    if provenance.get("shown") is not None:
        reason = "it is what reports show first, and changes nothing that is computed"
        entries.append(Trusted("shown", _shown(provenance["shown"]), reason))
    if provenance.get("agreement") is not None:
        reason = "the values of both games on fresh masks, of which it speaks, are not in the file"
        entries.append(Trusted("agreement", _shown(provenance["agreement"]), reason))
    known_names = (*CHECKED, *_REASONS, "versions", "observed", "answers", "shown", "agreement")
    unknown = [name for name in provenance if name not in known_names]
    values = {name: provenance[name] for name in unknown}
    for part, known in ("game", _GAME), ("budget", _BUDGET):
        values |= {f"{part}.{name}": value for name, value in provenance[part].items()
                   if name not in known}  # fmt: skip
    reason = "this version does not know what it is"
    for name, value in list(values.items())[:_MOST_UNKNOWN]:
        entries.append(Trusted(name, _shown(value), reason))
    if len(values) > _MOST_UNKNOWN:
        more = f"{len(values) - _MOST_UNKNOWN:,} more entries"
        entries.append(Trusted(more, ", ".join(list(values)[_MOST_UNKNOWN:]), reason))
    return tuple(entries)


def _versions_reason() -> str:
    return f"{_NO_WITNESS}; now: {_shown(versions())}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
