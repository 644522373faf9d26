"""Provenance: the versions, fingerprint, seeds, settings and counts of an explanation, as JSON."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from interplay._types import Json, plain
from interplay.ablation.digests import ablations_digest, masks_digest
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.table import Evaluated
from interplay.explanation.cheaper_game import CheaperRun
from interplay.explanation.derive import Derived
from interplay.explanation.run_plan import RunPlan

DERIVATION = 6
"""Raised where the same values come to give another spectrum, score or order of masks. An audit by
another version names it as the reason for differences."""
_REPORTED_PACKAGES = (
    "numpy",
    "scikit-learn",
    "lightgbm",
    "torch",
    "transformers",
    "openai",
    "ray",
)


def provenance_of(
    plan: RunPlan,
    derived: Derived,
    evaluated: Evaluated,
    evaluator: Evaluator,
    cheaper: CheaperRun | None = None,
) -> Json:
    """The provenance of an explanation, as JSON."""
    again = derived_provenance(plan, derived)
    observed = getattr(evaluator.game, "observed", None)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "platform": platform.platform(),
        "game": {
            "fingerprint": evaluator.fingerprint,
            **again.pop("game"),
            "n_repeats": evaluator.n_repeats,
            "description": evaluator.description,
        },
        **again,
        **({} if cheaper is None else {"cheaper": cheaper.to_json() | again["cheaper"]}),
        "budget": {
            **again["budget"],
            "evaluated": evaluated.n_new,
            "from_store": evaluated.n_stored,
            "skipped": evaluated.n_skipped,
            "interrupted": evaluated.interrupted,
            "left_out": evaluated.n_new + evaluated.n_stored - again["budget"]["spent"],
        },
        "random_state": plan.random_state,
        "backend": evaluator.backend.name,
        **({} if observed is None else {"observed": plain(observed())}),
    }


def derived_provenance(plan: RunPlan, derived: Derived) -> Json:
    """The entries of a provenance that follow from the run plan and the values, as JSON.

    An audit derives them again. The others are statements about the run and its game.
    """
    inputs, decoded = derived.inputs, derived.decoded
    used = inputs.fit if inputs.exact else inputs.fit + inputs.held_out
    used = used.with_ends(inputs.ends)
    n_held = 0 if inputs.exact else len(inputs.held_out)
    return {
        "game": {"n_players": len(plan.players), "n_outputs": decoded.spectrum.n_outputs},
        "request": plan.request.to_json(),
        **({} if plan.request.hints is None else {"hints": plan.request.hints.to_json()}),
        **({} if plan.request.prior is None else {"prior": plan.request.prior.to_json()}),
        **({} if inputs.cheaper is None else {"cheaper": inputs.cheaper.to_json()}),
        "design": {
            "kind": inputs.design.kind,
            "masks_sha256": masks_digest(inputs.design.masks),
        },
        "ablations": {"sha256": ablations_digest(used.masks, used.values)},
        "decoder": {
            "requested": plan.requested.name,
            "ran": decoded.settings.get("picked", inputs.chosen.name),
            # a decoder of another package may give any numbers, and what it gives must be saved
            "settings": plain(decoded.settings),
            "diagnosis": plain(decoded.diagnosis),
        },
        "budget": {
            "limit": plan.budget,
            "planned": plan.n_masks,
            "spent": len(used),
            "fit": len(inputs.fit),
            "held_out": n_held,
        },
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can influence an explanation."""
    installed = {
        "interplay": _version("interplay") or "",
        "interplay's derivation": str(DERIVATION),
        "python": platform.python_version(),
    }
    others = {package: _version(package) for package in _REPORTED_PACKAGES}
    return installed | {package: known for package, known in others.items() if known is not None}


@cache
def _version(package: str) -> str | None:
    """The version of an installed package; read once, since it takes milliseconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
