"""Derive the masks, the spectrum, its uncertainty and its score again, and compare them."""

from __future__ import annotations

import numpy as np

from interplay._arrays import as_columns
from interplay._types import FloatArray, Json, Players
from interplay.ablation.digests import masks_digest
from interplay.ablation.table import Evaluated
from interplay.audit.checks import Check, checked, numbers, texts, unchecked
from interplay.audit.stored import Stored, stand_in
from interplay.explanation.derive import Derived, derive
from interplay.explanation.explanation import Explanation
from interplay.explanation.provenance import versions
from interplay.explanation.run_plan import Request, RunPlan
from interplay.fourier.masks import describe, keys
from interplay.fourier.spectrum import Spectrum

SPECTRUM_TOLERANCE = 1e-6
"""How far a coefficient may lie from the saved one, as a share of the largest coefficient."""
DEVIATION_TOLERANCE = 1e-4
"""How far a standard deviation may lie from the saved one, which is in single precision."""
SCORE_TOLERANCE = 1e-6
"""How far a re-derived R2 and its interval may lie from the saved ones."""


def check_derivation(explanation: Explanation, stored: Stored | None) -> list[Check]:
    """Check the masks, the spectrum, its uncertainty and its score."""
    names = ("masks", "spectrum", "faithfulness")
    provenance = explanation.provenance
    if provenance.get("request") is None:
        reason = "the explanation is older than this check: it does not record the whole request"
        return [unchecked(name, reason) for name in names]
    try:
        plan = Request.recorded(provenance).run_plan(stand_in(explanation))
    except (ValueError, TypeError) as error:
        return [
            checked(
                "masks",
                f"the recorded settings cannot be what ran: {error}",
                [texts("settings", str(provenance["request"]), None)],
            ),
            *(unchecked(name, "the masks differ") for name in names[1:]),
        ]
    drawn = _drawn(explanation, plan)
    if drawn.status == "mismatch":
        return [drawn, *(unchecked(name, "the masks differ") for name in names[1:])]
    if stored is not None and not stored.known.all():
        return [drawn, *(unchecked(name, "the store lacks ablations") for name in names[1:])]
    derived = derive(plan, _evaluated(explanation, plan, stored))
    split = [
        texts(f"the masks {part}", masks_digest(old.masks), masks_digest(new.masks))
        for part, old, new in (
            ("of the fit", explanation.fit, derived.inputs.fit),
            ("held out", explanation.held_out, derived.inputs.held_out),
        )
    ]
    design = texts(
        "sha256 of the design",
        provenance["design"]["masks_sha256"],
        masks_digest(derived.inputs.design.masks),
    )
    masks = checked("masks", drawn.detail, [*drawn.entries, *split, design])
    return [masks, *_spectrum(explanation, derived), _score(explanation, derived, stored)]


def _drawn(explanation: Explanation, plan: RunPlan) -> Check:
    """Check that the seed draws the explanation's masks. Recorded failures may be missing."""
    used = explanation.ablations.masks
    drawn = set(keys(plan.masks))
    entries = [
        texts(describe(mask), "an ablation", "an ablation" if key in drawn else "not drawn")
        for mask, key in zip(used, keys(used), strict=True)
    ]
    budget = explanation.provenance["budget"]
    if not (budget["interrupted"] or budget["skipped"]):
        entries.append(texts("number of masks", str(len(used)), str(len(plan.masks))))
    return checked("masks", "the seed and the settings draw these masks", entries)


def _evaluated(explanation: Explanation, plan: RunPlan, stored: Stored | None) -> Evaluated:
    """The values of a run plan's masks, as in the run: NaN for masks that it did not evaluate."""
    used = explanation.ablations
    row_of = {key: row for row, key in enumerate(keys(plan.masks))}
    rows = [row_of[key] for key in keys(used.masks)]
    source = used.values if stored is None else stored.values
    values = np.full((len(plan.masks), *source.shape[1:]), np.nan)
    values[rows] = source
    noise = None
    if stored is not None and stored.noise is not None:
        noise = np.full_like(values, np.nan)
        noise[rows] = stored.noise
    budget = explanation.provenance["budget"]
    return Evaluated(values, noise, 0, len(used), budget["skipped"], budget["interrupted"])


def _version_remark(provenance: Json) -> str:
    """A remark if installed versions differ from the recorded ones, otherwise nothing."""
    recorded, installed = provenance["versions"], versions()
    differences = [
        f"{name} {recorded.get(name, 'none')} then, {installed.get(name, 'none')} now"
        for name in sorted(recorded.keys() | installed.keys())
        if recorded.get(name) != installed.get(name)
    ]
    return f" (other versions: {'; '.join(differences)})" if differences else ""


def _spectrum(explanation: Explanation, derived: Derived) -> list[Check]:
    """Check the spectrum and, if there are any, the surrogate and the standard deviations."""
    old, new = explanation.spectrum, derived.decoded.spectrum
    rederived = (
        f"re-derived by {derived.inputs.chosen.name}{_version_remark(explanation.provenance)}"
    )
    checks = [
        _terms(
            "spectrum",
            f"each coefficient is the one {rederived}",
            (_by_set(old, old.coefficients), _by_set(new, new.coefficients)),
            SPECTRUM_TOLERANCE,
        )
    ]
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
    deviations = (
        {}
        if spectrum.deviations is None
        else _by_set(spectrum, np.sqrt((spectrum.deviations**2).sum(axis=-1)))
        for spectrum in (old, new)
    )
    checks.append(
        _terms(
            "uncertainty",
            f"each coefficient's standard deviation is the one {rederived}",
            (next(deviations), next(deviations)),
            DEVIATION_TOLERANCE,
        )
    )
    return checks


def _by_set(spectrum: Spectrum, values: FloatArray) -> dict[Players, FloatArray]:
    return dict(zip(spectrum.sets, as_columns(values), strict=True))


def _terms(
    name: str,
    detail: str,
    sides: tuple[dict[Players, FloatArray], dict[Players, FloatArray]],
    share: float,
) -> Check:
    """Compare the values of all sets, recorded ones first, up to a share of the largest value."""
    old, new = sides
    largest = np.max([*old.values(), *new.values()], axis=0, initial=0.0, keepdims=False)
    least = np.min([*old.values(), *new.values()], axis=0, initial=0.0, keepdims=False)
    tolerance = share * np.maximum(largest, -least)
    entries = [
        numbers(
            f"players {', '.join(map(str, players))}" if players else "no players (the mean)",
            old.get(players),
            new.get(players),
            tolerance,
        )
        for players in sorted(old.keys() | new.keys(), key=lambda players: (len(players), players))
    ]
    return checked(name, detail, entries, np.atleast_1d(tolerance).tolist())


def _score(explanation: Explanation, derived: Derived, stored: Stored | None) -> Check:
    """Check the faithfulness and its interval."""
    old, new = explanation.faithfulness, derived.score
    entries = [
        numbers(name, recorded, found, SCORE_TOLERANCE)
        for name, recorded, found in (
            ("R2", old.r2, new.r2),
            ("low end of its interval", old.low, new.low),
            ("high end of its interval", old.high, new.high),
            ("R2 of each output", old.by_output, new.by_output),
        )
    ]
    if stored is not None and (old.noise is not None or new.noise is not None):
        entries.append(numbers("share of noise", old.noise, new.noise, SCORE_TOLERANCE))
    entries.append(texts("number of masks", str(old.n_masks), str(new.n_masks)))
    return checked(
        "faithfulness",
        f"the score is the one re-derived{_version_remark(explanation.provenance)}",
        entries,
        [SCORE_TOLERANCE],
    )
