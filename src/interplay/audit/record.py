"""Check the entries of a provenance that follow from the run plan and the values."""

from __future__ import annotations

import numpy as np

from interplay._types import Json, plain
from interplay.ablation.evaluator import MOST_SKIPPED
from interplay.audit.checks import Check, Entry, checked, documents, numbers, texts, unchecked
from interplay.audit.stored import Lookup
from interplay.explanation.derive import Derived
from interplay.explanation.explanation import Explanation
from interplay.explanation.provenance import derived_provenance, versions
from interplay.explanation.run_plan import RunPlan
from interplay.fourier.masks import keys

SCORE_TOLERANCE = 1e-6
"""How far a recorded score, interval or other figure may lie from the derived one."""

_SHOWN = 20
_LONGEST = 100


def claimed(budget: Json) -> int:
    """How many masks had a value, as the record says."""
    return int(budget["evaluated"]) + int(budget["from_store"])


def check_completeness(explanation: Explanation, plan: RunPlan, lookup: Lookup) -> list[Check]:
    """A check that cannot be made, if masks that the seed draws are not in the explanation."""
    used = set(keys(explanation.ablations.masks))
    missing = np.array([key not in used for key in keys(plan.masks)], dtype=np.bool_)
    if not missing.any():
        return []
    in_store = lookup(plan.masks[missing])
    count = 0 if in_store is None else int(in_store.known.sum())
    reason = (
        f"{int(missing.sum())} of the {len(plan.masks)} masks that the seed draws have no value "
        "here, since the run was interrupted or skipped them; nothing shows that they were not "
        "left out on purpose"
    )
    if count:
        reason += f"; the store has values of {count} of them: explain the game again with it"
    return [unchecked("completeness", reason)]


def check_record(explanation: Explanation, plan: RunPlan, derived: Derived) -> Check:
    """Check the entries of the provenance that follow from the plan and the values."""
    provenance = explanation.provenance
    again = derived_provenance(plan, derived)
    if provenance.get("hints") is not None:
        again.setdefault("hints", None)  # a run without them records none
    if provenance.get("prior") is not None:
        again.setdefault("prior", None)
    if provenance.get("ablations") is None:  # their own check says so
        del again["ablations"]
    recorded = {
        name: {key: entry for key, entry in provenance.get(name, {}).items() if key in again[name]}
        if name in ("game", "budget", "cheaper")  # the others of their entries do not follow
        else provenance.get(name)
        for name in again
    }
    entries = [*documents("provenance", plain(recorded), plain(again), SCORE_TOLERANCE)]
    return checked(
        "record",
        "the recorded decoder, its settings and diagnosis, the design and the counts are the "
        f"derived ones{version_remark(provenance)}",
        [*entries, *_counts(explanation, plan)],
    )


def _counts(explanation: Explanation, plan: RunPlan) -> list[Entry]:
    """Compare the counts of the budget with each other."""
    budget = explanation.provenance["budget"]
    n_planned, n_used = len(set(keys(plan.masks))), len(set(keys(explanation.ablations.masks)))
    known, skipped = claimed(budget), budget["skipped"]
    is_whole = n_used == n_planned
    possible = 0 <= skipped <= MOST_SKIPPED * n_planned and not is_whole
    n_skipped = skipped if possible else 0
    n_known = known if n_used <= known <= n_planned - n_skipped and not is_whole else n_used
    return [
        numbers("provenance.budget: evaluated and from_store together", known, n_known),
        numbers("provenance.budget.skipped", skipped, n_skipped),
        numbers(
            "provenance.budget.left_out",
            budget.get("left_out", n_known - n_used),
            n_known - n_used,
        ),
        texts(
            "provenance.budget.interrupted",
            str(budget["interrupted"]),
            str(n_known + n_skipped < n_planned),
        ),
    ]


def version_remark(provenance: Json) -> str:
    """A remark if installed versions differ from the recorded ones, otherwise nothing."""
    recorded, installed = provenance["versions"], versions()
    differences = [
        f"{name} {recorded.get(name, 'none')} then, {installed.get(name, 'none')} now"[:_LONGEST]
        for name in sorted(recorded.keys() | installed.keys())
        if recorded.get(name) != installed.get(name)
    ]
    more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    listed = "; ".join(differences[:_SHOWN])
    return f" (other versions: {listed}{more})" if differences else ""
