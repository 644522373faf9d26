"""Derive the masks, the spectrum, its uncertainty and its score again, and compare them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import nan
from typing import Any

import numpy as np

from interplay._arrays import EPSILON, as_columns, root_of_squares, unit_of
from interplay._types import FloatArray, Players, shown
from interplay.ablation.digests import masks_digest
from interplay.ablation.table import Evaluated
from interplay.audit.checks import (
    MISMATCH,
    Check,
    Entry,
    checked,
    documents,
    numbers,
    texts,
    unchecked,
)
from interplay.audit.record import (
    SCORE_TOLERANCE,
    check_completeness,
    check_record,
    claimed,
    version_remark,
)
from interplay.audit.stored import Lookup, Stored, stand_in
from interplay.errors import AblationError
from interplay.explanation.cheaper import cheaper_masks
from interplay.explanation.derive import Derived, derive
from interplay.explanation.explanation import Explanation
from interplay.explanation.run_plan import Request, RunPlan
from interplay.fourier.masks import describe, keys
from interplay.fourier.spectrum import Spectrum

SPECTRUM_TOLERANCE = 1e-6
"""How far a coefficient may lie from the derived one, as a share of the largest derived one."""
DEVIATION_TOLERANCE = 1e-4
"""The same for standard deviations, which are saved in single precision."""
_ROUNDINGS = 64
"""So many rounding errors of the mean are allowed to every coefficient."""
_MOST_PLANNED = 50
"""A budget of more than so many times the ablations that there are is not planned again."""
_LARGE_PLAN, _MOST_LARGE_PLANNED = 1 << 28, 4
"""The same where its masks have more entries than this."""


@dataclass(frozen=True)
class Derivation:
    """What was derived again, and how it compares.

    Attributes:
        checks: the checks.
        plan: the run plan; ``None`` if the record does not give one.
        derived: the spectrum and its score; ``None`` if they could not be derived.
    """

    checks: tuple[Check, ...]
    plan: RunPlan | None = None
    derived: Derived | None = None


def check_derivation(explanation: Explanation, stored: Stored | None, lookup: Lookup) -> Derivation:
    """Check the masks, the spectrum, its uncertainty, its score and the derivable record.

    Args:
        explanation: the explanation.
        stored: what the store has of its ablations; ``None``: there is no store.
        lookup: gives what the store has of other masks.
    """
    names = ("masks", "spectrum", "faithfulness", "record")
    if explanation.provenance.get("request") is None:
        reason = "the explanation does not record the request, from which everything is derived"
        return Derivation(tuple(unchecked(name, reason) for name in names))
    try:
        plan = _plan(explanation)
    except (ValueError, TypeError, KeyError) as error:
        detail = f"the recorded settings cannot be what ran: {error}"
        entry = texts("settings", str(explanation.provenance["request"]), None)
        return _stopped(checked("masks", detail, [entry]), names, "the masks differ")
    drawn = _drawn(explanation, plan)
    if drawn.status == "mismatch":
        return _stopped(drawn, names, "the masks differ", plan)
    if stored is not None and not stored.known.all():
        return _stopped(drawn, names, "the store lacks ablations", plan)
    evaluated = _evaluated(explanation, plan, stored, lookup)
    game = explanation.provenance["game"]
    try:
        derived = derive(plan, evaluated, explanation.cheaper, game["description"])
    except (AblationError, ValueError) as error:
        return _stopped(drawn, names, f"nothing could be derived: {error}", plan)
    except KeyboardInterrupt as interrupt:
        if getattr(interrupt, "masks", None) is None:
            raise
        return _stopped(drawn, names, f"nothing could be derived: {interrupt}", plan)
    split = [
        texts(f"the masks {part}", masks_digest(old.masks), masks_digest(new.masks))
        for part, old, new in (
            ("of the fit", explanation.fit, derived.inputs.fit),
            ("held out", explanation.held_out, derived.inputs.held_out),
        )
    ]
    checks = [
        checked("masks", drawn.detail, [*drawn.entries, *split]),
        *check_completeness(explanation, plan, lookup),
        *_spectrum(explanation, derived),
        _score(explanation, derived, stored),
        check_record(explanation, plan, derived),
    ]
    return Derivation(tuple(checks), plan, derived)


def _stopped(
    first: Check, names: tuple[str, ...], reason: str, plan: RunPlan | None = None
) -> Derivation:
    """A derivation that got no further than its masks."""
    return Derivation((first, *(unchecked(name, reason) for name in names[1:])), plan)


def _plan(explanation: Explanation) -> RunPlan:
    """The run plan of the recorded request.

    Raises:
        ValueError: the request cannot be what ran. TypeError and KeyError likewise.
    """
    request = Request.recorded(explanation.provenance)
    there, n_players = len(explanation.ablations), len(explanation.players)
    times = _MOST_PLANNED
    if request.budget is not None and request.budget * n_players > _LARGE_PLAN:
        times = _MOST_LARGE_PLANNED
    if request.budget is None or request.budget > times * max(there, 200):
        raise ValueError(
            f"a budget of {shown(request.budget)} is more than {times} times the {there} ablations"
        )
    return request.run_plan(stand_in(explanation))


def _drawn(explanation: Explanation, plan: RunPlan) -> Check:
    """Check that the seed draws the explanation's masks, each once."""
    used = explanation.ablations
    drawn = set(keys(plan.masks))
    entries = [
        texts(describe(mask), "an ablation", "an ablation" if key in drawn else "not drawn")
        for mask, key in zip(used.masks, keys(used.masks), strict=True)
    ]
    if plan.cheaper is not None or explanation.cheaper is not None:
        there = None if explanation.cheaper is None else masks_digest(explanation.cheaper.masks)
        planned = None if plan.cheaper is None else masks_digest(cheaper_masks(plan))
        entries.append(texts("masks of the cheaper game", there, planned))
    return checked("masks", "the seed and the settings draw these masks", entries)


def _evaluated(
    explanation: Explanation, plan: RunPlan, stored: Stored | None, lookup: Lookup
) -> Evaluated:
    """The values of a run plan's masks, as in the run: NaN for masks that it did not evaluate.

    If the store has as many of the plan's masks as the run says that it knew, these are the ones.
    Otherwise they are those of the explanation: a store may have grown since an interrupted run.
    """
    budget = explanation.provenance["budget"]
    used = explanation.ablations
    in_store = None if stored is None else lookup(plan.masks)
    if in_store is not None and len(set(keys(plan.masks[in_store.known]))) == claimed(budget):
        values, noise = in_store.values, in_store.noise
    else:
        row_of = {key: row for row, key in enumerate(keys(used.masks))}
        rows = np.array([row_of.get(key, -1) for key in keys(plan.masks)])
        source = used.values if stored is None else stored.values
        values, noise = np.full((len(plan.masks), *source.shape[1:]), np.nan), None
        values[rows >= 0] = source[rows[rows >= 0]]
        if stored is not None and stored.noise is not None:
            noise = np.full_like(values, np.nan)
            noise[rows >= 0] = stored.noise[rows[rows >= 0]]
    return Evaluated(values, noise, 0, len(used), budget["skipped"], budget["interrupted"])


def _spectrum(explanation: Explanation, derived: Derived) -> list[Check]:
    """Check the spectrum and, if there are any, the surrogate and the standard deviations."""
    old, new = explanation.spectrum, derived.decoded.spectrum
    rederived = (
        f"re-derived by {derived.inputs.chosen.name}{version_remark(explanation.provenance)}"
    )
    checks = [
        _terms(
            "spectrum",
            f"each coefficient is the one {rederived}",
            (_by_set(old, old.coefficients), _by_set(new, new.coefficients)),
            SPECTRUM_TOLERANCE,
        )
    ]
    if old.ends is not None or new.ends is not None:
        ends = numbers("values of the full and of the empty input", old.ends, new.ends)
        entries = [ends]
        if old.end_doubts is not None:
            entries.append(numbers("doubts of these", old.end_doubts, new.end_doubts))
        status = checks[0].status if all(entry.matches for entry in entries) else MISMATCH
        checks[0] = replace(checks[0], entries=(*checks[0].entries, *entries), status=status)
    surrogates = (explanation.surrogate, derived.decoded.surrogate)
    if surrogates != (None, None):
        sides = [
            {} if surrogate is None else _by_set(surrogate, surrogate.coefficients)
            for surrogate in surrogates
        ]
        checks.append(
            _terms(
                "surrogate",
                f"each coefficient of all that was learned is the one {rederived}",
                (sides[0], sides[1]),
                SPECTRUM_TOLERANCE,
            )
        )
    if old.deviations is None and new.deviations is None:
        return checks
    deviations = [
        {}
        if spectrum.deviations is None
        else _by_set(spectrum, root_of_squares(spectrum.deviations.astype(np.float64), -1))
        for spectrum in (old, new)
    ]
    uncertainty = _terms(
        "uncertainty",
        f"each coefficient's standard deviation is the one {rederived}",
        (deviations[0], deviations[1]),
        DEVIATION_TOLERANCE,
    )
    return [*checks, replace(uncertainty, **_with_covariances(uncertainty, old, new))]


def _with_covariances(uncertainty: Check, old: Spectrum, new: Spectrum) -> dict[str, Any]:
    """The status and the entries of a check, with one more for the covariances of all pairs."""
    largest = nan
    if old.deviations is not None and new.deviations is not None and old.sets == new.sets:
        sides = [
            np.moveaxis(spectrum.deviations.astype(np.float64).reshape(len(old), -1, rank), 1, 0)
            / unit
            for unit in (unit_of(new.deviations),)  # squares of very small numbers are zero
            for spectrum in (old, new)
            if spectrum.deviations is not None
            for rank in (spectrum.deviations.shape[-1],)
        ]
        before, now = (side @ side.transpose(0, 2, 1) for side in sides)
        if before.shape == now.shape and now.size:
            largest = float(np.abs(before - now).max() / (float(np.abs(now).max()) or 1.0))
    entry = Entry(
        "largest difference of a covariance, as a share of the largest variance",
        (largest,),
        (0.0,),
        largest <= DEVIATION_TOLERANCE,
    )
    entries = (*uncertainty.entries, entry)
    return {"entries": entries, "status": uncertainty.status if entry.matches else MISMATCH}


def _by_set(spectrum: Spectrum, values: FloatArray) -> dict[Players, FloatArray]:
    """The values by set; ``nan`` for a set that is there more than once."""
    by_set: dict[Players, FloatArray] = {}
    for players, value in zip(spectrum.sets, as_columns(values), strict=True):
        by_set[players] = np.full_like(value, nan) if players in by_set else value
    return by_set


def _terms(
    name: str,
    detail: str,
    sides: tuple[dict[Players, FloatArray], dict[Players, FloatArray]],
    share: float,
) -> Check:
    """Compare the values of all sets, recorded ones first, up to a share of the largest derived.

    The empty set may differ by a share of its own value too. It does not count among the others: an
    offset says nothing of their size but that of their rounding errors.
    """
    old, new = sides
    others = [value for players, value in new.items() if players]
    mean = np.abs(next((value for players, value in new.items() if not players), np.zeros(1)))
    tolerance = share * np.max(np.abs(others), axis=0) if others else np.zeros_like(mean)
    tolerance = tolerance + _ROUNDINGS * EPSILON * mean
    entries = [
        numbers(
            f"players {', '.join(map(str, players))}" if players else "no players (the mean)",
            old.get(players),
            new.get(players),
            tolerance if players else tolerance + share * mean,
        )
        for players in sorted(old.keys() | new.keys(), key=lambda players: (len(players), players))
    ]
    return checked(name, detail, entries, np.atleast_1d(tolerance).tolist())


def _score(explanation: Explanation, derived: Derived, stored: Stored | None) -> Check:
    """Check the faithfulness and its interval."""
    recorded, again = asdict(explanation.faithfulness), asdict(derived.score)
    if stored is None:  # the explanation itself does not hold the noise of each value
        recorded["noise"] = again["noise"]
    entries = list(documents("faithfulness", recorded, again, SCORE_TOLERANCE))
    old, new = explanation.held_predictions, derived.held_predictions
    if old is not None or new is not None:
        tolerance = 0.0 if new is None else SPECTRUM_TOLERANCE * float(np.ptp(new))
        entries.append(numbers("predictions of the held-out masks", old, new, tolerance))
    return checked(
        "faithfulness",
        f"the score is the one re-derived{version_remark(explanation.provenance)}",
        entries,
        [SCORE_TOLERANCE],
    )
