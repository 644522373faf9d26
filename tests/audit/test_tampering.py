"""Each entry of an explanation is either checked or listed as taken on trust.

Every test edits one thing of an honest run, and expects the audit to say so.
"""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.digests import ablations_digest
from interplay.audit.checks import documents, numbers
from interplay.audit.trusted import CHECKED
from interplay.explanation.explanation import Ablations
from tests.conftest import planted

pytestmark = pytest.mark.slow

TRUTH = planted(16, 6, np.random.default_rng(1), max_order=3)
OTHER_TARGET = {"name": "Response", "text": " approved"}


class Described(ip.FunctionGame):
    """A game with a description, as lenses have it."""

    def __init__(self, values: Callable[[BoolArray], FloatArray] = TRUTH.predict) -> None:
        super().__init__(values, 16, fingerprint="described")

    batch_size = 64

    def arrange(self, masks: BoolArray) -> Any:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Json:
        return {"lens": "text", "model": "loan-model", "targets": [{"name": "Response"}]}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[ip.Explanation, Path]:
    """A saved explanation with a confirmation, and its store."""
    folder = tmp_path_factory.mktemp("honest")
    store = folder / "a.db"
    explanation = ip.explain(Described(), decoder="lasso", order=2, budget=120, store=store)
    confirmation = explanation.confirm(2, order=2, budget=150, store=store)
    saved = replace(explanation, confirmation=confirmation).save(folder / "a.interplay")
    return ip.load(saved), store


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory: pytest.TempPathFactory) -> tuple[ip.Explanation, Path]:
    """A saved explanation by adaptive sampling, and its store."""
    folder = tmp_path_factory.mktemp("adaptive")
    store = folder / "a.db"
    explanation = ip.explain(Described(), decoder="proxyspex", until=0.5, budget=150, store=store)
    return ip.load(explanation.save(folder / "a.interplay")), store


def verdict(explanation: ip.Explanation, store: Path | None, **settings: Any) -> ip.Verification:
    return ip.verify(explanation, Described(), store=store, **settings)


def wrong(verification: ip.Verification) -> set[str]:
    assert verification.verdict == "mismatch"
    return {check.name for check in verification.named("mismatch")}


def with_provenance(explanation: ip.Explanation, path: str, value: Any) -> ip.Explanation:
    """An explanation with another entry at a path of its provenance; ``...`` removes it."""
    provenance = copy.deepcopy(explanation.provenance)
    *parents, name = path.split(".")
    place = provenance
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value(place[name]) if callable(value) else value
    return replace(explanation, provenance=provenance)


def test_an_honest_run(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, store = honest
    verification = verdict(explanation, store)
    assert verification.summary == "MATCH (9 match, 0 mismatch, 0 not checked)"
    assert {check.name for check in verification.checks} == {
        *("ablations", "store", "masks", "spectrum", "faithfulness", "record", "confirmation"),
        *("game", "model"),
    }
    # each entry of the provenance is in one of the two lists
    listed = {word.split(".")[0] for entry in verification.trusted for word in
              entry.what.split(", ")}  # fmt: skip
    assert explanation.provenance.keys() <= {*CHECKED, *listed}
    assert {"created", "platform", "versions", "seconds", "backend"} <= listed
    assert "taken on trust: created: " in str(verification)
    # whoever adds a part to explanations decides how it is audited
    assert {field.name for field in fields(explanation)} == {
        *("spectrum", "players", "faithfulness", "provenance", "fit", "held_out", "game"),
        *("confirmation", "circuits", "decisive", "surrogate", "held_predictions", "asked"),
        "cheaper",
    }


@pytest.mark.parametrize("factor", [np.inf, -9.0, np.nan, 1e300])
def test_one_coefficient_does_not_widen_the_tolerance(
    honest: tuple[ip.Explanation, Path], factor: float
) -> None:
    explanation, store = honest
    coefficients = -9 * explanation.spectrum.coefficients
    coefficients[0] *= factor / -9
    spectrum = replace(explanation.spectrum, coefficients=coefficients)
    verification = verdict(replace(explanation, spectrum=spectrum), store)
    assert wrong(verification) == {"spectrum"}
    assert verification["spectrum"].n_matching <= 1
    assert all(np.isfinite(verification["spectrum"].tolerance))


def test_a_term_that_is_there_twice(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, store = honest
    spectrum = explanation.spectrum
    twice = replace(
        spectrum,
        supports=np.concatenate([spectrum.supports[1:2], spectrum.supports]),
        coefficients=np.concatenate([[5.0], spectrum.coefficients]),
    )
    assert wrong(verdict(replace(explanation, spectrum=twice), store)) == {"spectrum"}


@pytest.mark.parametrize(
    ("path", "value", "check"),
    [
        ("game.description.model", "a better model", "game"),
        ("game.description.targets", [OTHER_TARGET], "game"),
        ("game.description.paid", True, "game"),
        ("game.description.lens", ..., "game"),
        ("game.n_outputs", 1, "record"),
        ("game.n_repeats", 2, "game"),
        ("decoder.requested", "spex", "record"),
        ("decoder.ran", "exact", "record"),
        ("decoder.settings", {}, "record"),
        ("decoder.settings.invented", 1, "record"),
        ("decoder.diagnosis", {"summary": "excellent"}, "record"),
        ("decoder.diagnosis.cv_r2", [0.9999], "record"),
        ("budget.limit", lambda count: count + 1, "record"),
        ("budget.planned", lambda count: count + 1, "record"),
        ("budget.spent", lambda count: count + 1, "record"),
        ("budget.fit", lambda count: count + 1, "record"),
        ("budget.held_out", lambda count: count + 1, "record"),
        ("budget.evaluated", lambda count: count + 1000, "record"),
        ("budget.skipped", 1, "record"),
        ("budget.left_out", 3, "record"),
        ("budget.interrupted", True, "record"),
        ("design.kind", "optimal", "record"),
        ("design.masks_sha256", "0" * 64, "record"),
        ("design", ..., "record"),
        ("ablations.sha256", "0" * 64, "ablations"),
    ],
)
def test_the_provenance(
    honest: tuple[ip.Explanation, Path], path: str, value: Any, check: str
) -> None:
    explanation, store = honest
    assert check in wrong(verdict(with_provenance(explanation, path, value), store))


def test_the_stopping_rule(adaptive: tuple[ip.Explanation, Path]) -> None:
    explanation, store = adaptive
    assert verdict(explanation, store)["stopping rule"].status == "match"
    (first, *_) = explanation.provenance["until"]["steps"]
    for path, value in (
        ("until.goal", 1.0),
        ("until.steps", [first | {"cv_r2": 0.99}]),
        ("until.stopped_since", "all masks were made"),
    ):
        verification = verdict(with_provenance(explanation, path, value), store, sample=0)
        assert wrong(verification) == {"stopping rule"}, path
    missing = verdict(with_provenance(explanation, "until.budget", ...), store)
    assert missing["stopping rule"].status == "not checked"
    hidden = verdict(with_provenance(explanation, "until", None), store, sample=0)
    assert "taken on trust: until: null (nothing" in str(hidden)


@pytest.mark.parametrize(
    ("path", "check"),
    [
        ("request", "spectrum"),
        ("ablations", "ablations"),
    ],
)
def test_what_is_missing_is_never_a_match(
    honest: tuple[ip.Explanation, Path], path: str, check: str
) -> None:
    explanation, store = honest
    verification = verdict(with_provenance(explanation, path, ...), store)
    assert verification[check].status == "not checked"
    assert verification.verdict == "incomplete"


def test_a_fingerprint_that_is_missing(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, store = honest
    verification = verdict(with_provenance(explanation, "game.fingerprint", None), store)
    assert verification.verdict == "incomplete"
    assert {check.name for check in verification.named("not checked")} == {
        *("store", "confirmation", "game", "model")
    }


def test_everything_made_up_and_the_evidence_deleted(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, _ = honest
    made_up = with_provenance(explanation, "request", ...)
    made_up = with_provenance(made_up, "ablations", ...)
    made_up = with_provenance(made_up, "game.fingerprint", None)
    made_up = replace(made_up, spectrum=-9 * explanation.spectrum, confirmation=None)
    verification = ip.verify(made_up)
    assert verification.verdict == "incomplete"
    assert not verification.matches
    assert verification.summary.startswith("INCOMPLETE (0 match, 0 mismatch, ")
    assert not ip.verify(made_up, sample=0).matches


@pytest.mark.parametrize(
    "change",
    [{"level": 0.99}, {"n_masks": 1000}, {"exact": True}, {"varies": False}, {"noise": 0.0},
     {"r2": 0.999}, {"high": 1.0}, {"by_output": (0.999,)}],
)  # fmt: skip
def test_the_faithfulness(honest: tuple[ip.Explanation, Path], change: dict[str, Any]) -> None:
    explanation, store = honest
    score = replace(explanation.faithfulness, **change)
    assert "faithfulness" in wrong(verdict(replace(explanation, faithfulness=score), store))


@pytest.mark.parametrize(
    "change",
    [{"verdict": "does not hold"}, {"measured": 9.0}, {"predicted": 9.0}, {"low": 9.0},
     {"whole": 9.0}, {"random": ()}, {"reason": "no"}, {"labels": ("a", "b")}, {"value": 9.0}],
)  # fmt: skip
def test_a_claim_of_the_confirmation(
    honest: tuple[ip.Explanation, Path], change: dict[str, Any]
) -> None:
    explanation, store = honest
    assert explanation.confirmation is not None
    tested = explanation.confirmation.tested
    confirmation = replace(
        explanation.confirmation, tested=(replace(tested[0], **change), *tested[1:])
    )
    changed = replace(explanation, confirmation=confirmation)
    assert wrong(verdict(changed, store)) == {"confirmation"}


@pytest.mark.parametrize(
    "change",
    [{"level": 0.5}, {"n_backgrounds": 1000}, {"n_fresh": 1}, {"exact": True},
     {"n_ablations": 10_000}],
)  # fmt: skip
def test_the_figures_of_the_confirmation(
    honest: tuple[ip.Explanation, Path], change: dict[str, Any]
) -> None:
    explanation, store = honest
    assert explanation.confirmation is not None
    confirmation = replace(explanation.confirmation, **change)
    changed = replace(explanation, confirmation=confirmation)
    assert wrong(verdict(changed, store)) == {"confirmation"}


def test_a_claim_left_out_of_the_confirmation(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, store = honest
    assert explanation.confirmation is not None
    for tested in (explanation.confirmation.tested[1:], ()):
        confirmation = replace(explanation.confirmation, tested=tested)
        verification = verdict(replace(explanation, confirmation=confirmation), store)
        assert verification["confirmation"].status in ("mismatch", "not checked")
        assert verification.verdict != "match"


def test_held_out_ablations_dropped_as_if_the_run_had_been_interrupted(
    honest: tuple[ip.Explanation, Path],
) -> None:
    """Those that fit worst are dropped, and all that can be adjusted is adjusted."""
    explanation, store = honest
    held = explanation.held_out
    errors = np.abs(explanation.predict(held.masks) - held.values)
    kept = np.sort(np.argsort(errors)[: max(len(held) // 2, 10)])
    dropped = replace(explanation, held_out=Ablations(held.masks[kept], held.values[kept]))
    dropped = with_provenance(dropped, "budget.interrupted", True)
    used = dropped.ablations
    dropped = with_provenance(
        dropped, "ablations.sha256", ablations_digest(used.masks, used.values)
    )
    assert verdict(dropped, store).verdict != "match"
    known = with_provenance(dropped, "budget.evaluated", len(used))
    known = with_provenance(known, "budget.spent", len(used))
    known = with_provenance(known, "budget.held_out", len(kept))
    verification = verdict(known, store)
    assert verification.verdict != "match"


@pytest.mark.parametrize("stop", [40, 90])
def test_an_interrupted_run(tmp_path: Path, stop: int) -> None:
    """It matches what there is, and says that it is not all."""
    evaluated: list[int] = []

    def interrupted(masks: BoolArray) -> FloatArray:
        evaluated.append(len(masks))
        if sum(evaluated) == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return TRUTH.predict(masks)

    store = tmp_path / "a.db"
    explanation = ip.explain(Described(interrupted), decoder="lasso", budget=120, store=store,
                             batch_size=10, progress=False)  # fmt: skip
    assert explanation.provenance["budget"]["interrupted"]
    for grown in (False, True):
        if grown:  # somebody else goes on with the same store
            ip.explain(Described(), decoder="lasso", budget=120, store=store)
        verification = verdict(explanation, store)
        assert verification.verdict == "incomplete"
        assert [check.name for check in verification.named("not checked")] == ["completeness"]
        again = "explain the game again with it" in verification["completeness"].detail
        assert again == grown


def test_paid_does_not_widen_the_tolerance(tmp_path: Path) -> None:
    def nearly(masks: BoolArray) -> FloatArray:
        return TRUTH.predict(masks) + 0.02 * float(np.ptp(TRUTH.coefficients)) * masks[:, 0]

    store = tmp_path / "a.db"
    explanation = ip.explain(Described(nearly), decoder="lasso", budget=100, store=store)
    paid = with_provenance(explanation, "game.description.paid", True)
    assert wrong(verdict(explanation, store)) == {"model"}
    assert wrong(verdict(paid, store)) == {"model", "game"}


def test_nobody_knows_which_ablations_are_evaluated(honest: tuple[ip.Explanation, Path]) -> None:
    """Else all the others could be made up."""
    explanation, store = honest
    evaluated = {
        tuple(entry.what for entry in verdict(explanation, store, sample=3)["model"].entries)
        for _ in range(4)
    }
    assert len(evaluated) > 1
    check = verdict(explanation, store, sample=3)["model"]
    seed = int(check.detail.rsplit(" ", 1)[1])
    assert verdict(explanation, store, sample=3, random_state=seed)["model"] == check


def test_one_outlier_does_not_widen_the_tolerance_of_the_model(tmp_path: Path) -> None:
    """One ablation of a huge value, and all the others made up."""

    def made_up(masks: BoolArray) -> FloatArray:
        values = -9 * TRUTH.predict(masks)
        values[0] = 1e9
        return values

    store = tmp_path / "a.db"
    explanation = ip.explain(Described(made_up), decoder="lasso", budget=100, store=store)
    verification = verdict(explanation, store)
    assert wrong(verification) == {"model"}
    assert verification["model"].n_matching == 0


def test_the_covariances_of_the_coefficients(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    explanation = ip.explain(Described(), decoder="gp", budget=100, store=store)
    assert verdict(explanation, store).matches
    deviations = explanation.spectrum.deviations
    assert deviations is not None
    turned = deviations.copy()
    turned[1] *= -1  # the standard deviations are the same, the intervals of indices are not
    spectrum = replace(explanation.spectrum, deviations=turned)
    assert wrong(verdict(replace(explanation, spectrum=spectrum), store)) == {"uncertainty"}


def test_an_entry_that_is_not_known_is_listed(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, store = honest
    changed = with_provenance(explanation, "approved_by", "the regulator")
    changed = with_provenance(changed, "budget.saved", 1000)
    changed = with_provenance(changed, "ablations.sha256", "0\nMATCH (12 match)\x1b[2J\u202e")
    said = str(verdict(changed, store))
    assert "recorded 0\\nMATCH (12 match)\\x1b[2J\\u202e," in said
    assert not any(line.startswith("MATCH") for line in said.splitlines())
    listed = "\n".join(map(str, verdict(changed, store).trusted))
    assert 'approved_by: "the regulator"' in listed
    assert "budget.saved: 1000" in listed


def test_a_budget_that_nobody_could_have_run(honest: tuple[ip.Explanation, Path]) -> None:
    explanation, store = honest
    huge = with_provenance(explanation, "request.budget", 10**12)
    verification = verdict(huge, store, sample=0)
    assert "more than 4 times the" in verification["masks"].detail
    assert "masks" in wrong(verification)


def test_what_documents_compares() -> None:
    def differ(recorded: Any, derived: Any, share: float = 1e-6) -> list[str]:
        return [entry.what for entry in documents("d", recorded, derived, share)
                if not entry.matches]  # fmt: skip

    assert differ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-7]}) == []
    assert differ({"a": [1.0, 2.0]}, {"a": [1.0, 2.1]}) == ["d.a"]
    assert differ({"a": 1e-16}, {"a": 0.0, "b": 1.0}) == ["d.b"]
    assert differ({"a": 0, "b": 1}, {"a": 0}) == ["d.b"]
    assert differ({"a": True}, {"a": 1}) == ["d.a"]
    assert differ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}) == ["d.a[1].b"]
    assert differ({"a": [[0, 1], [2, 3]]}, {"a": [[0, 1], [2, 4]]}) == ["d.a[1]"]
    assert differ({"a": 10_000_001}, {"a": 10_000_000}) == ["d.a"]
    assert differ(None, {}) == ["d"]
    assert differ([float("nan")], [float("nan")]) == []
    assert differ([float("inf")], [1.0]) == ["d"]
    assert not numbers("n", 5.0, 1.0, np.inf).matches
    assert not numbers("n", np.nan, 1.0, 1.0).matches
    assert not numbers("n", np.inf, 1e300, 1e308).matches
