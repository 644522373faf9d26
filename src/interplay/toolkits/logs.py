"""Explanations in the logs of experiments: MLflow, Weights & Biases and trackio.

What a log gets is read from the explanation and its provenance, which hold no keys: parameters
(what was asked, of which model, hashes), metrics (how well it was explained, what it took), and
files: the page, the card, JSON, and the saved explanation, which ``interplay.load`` reads again.
Each file's SHA-256 is among the parameters. The files hold the input that was explained.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from interplay._types import visible
from interplay.errors import MissingDependencyError
from interplay.explanation.explanation import FILE, Explanation
from interplay.extensions import unknown
from interplay.report.html import target_of

Parameters: TypeAlias = dict[str, str | int | float | bool]

PROJECT = "interplay"
"""The project, or MLflow's experiment by default, of a run that is started here."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LONGEST = 500
"""The most characters of a parameter: MLflow's servers take no more."""


def log(explanation: Explanation, to: str, *, name: str = "explanation") -> str:
    """Write an explanation into the active run of an experiment log, or into a new one.

    Args:
        explanation: what to log.
        to: ``"mlflow"``, ``"wandb"`` or ``"trackio"``. Where that writes to is set by its own
            means, such as ``mlflow.set_tracking_uri``.
        name: stands before every parameter and metric, and names the files' folder or artifact. Of
            several explanations in one run each needs its own.

    Returns:
        The id of the run.

    Raises:
        ValueError: ``to`` or ``name`` cannot be used, or the run has an explanation of this name
            (trackio takes it as a further step).
        MissingDependencyError: the package is not installed.
    """
    if to not in _WRITERS:
        raise unknown("to", to, _WRITERS)
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name={name!r} cannot name files everywhere; use up to 64 letters, digits, '_', and "
            "within it '.' and '-'"
        )
    try:
        package = import_module(to)
    except ImportError as error:
        raise MissingDependencyError(to, to, f"a log of {to}") from error
    with TemporaryDirectory() as folder:
        files = _files(explanation, Path(folder))
        given = {f"{name}/{key}": value for key, value in (parameters(explanation) | files).items()}
        measured = {f"{name}/{key}": value for key, value in metrics(explanation).items()}
        entry = _Entry(name, visible(explanation.title), given, measured, Path(folder))
        return _WRITERS[to](package, entry)


def parameters(explanation: Explanation) -> Parameters:
    """What was asked, of which model, by which seed and settings, and hashes of what came."""
    provenance = explanation.provenance
    game, request = provenance["game"], provenance.get("request") or {}
    description, verdict = game["description"], explanation.verdict
    named = {
        "verdict": verdict.level,
        "warnings": ", ".join(verdict.codes) or "none",
        "lens": description.get("lens"),
        "model": description.get("model"),
        "target": target_of(description),
        "players": len(explanation.players),
        "by": description.get("by"),
        "measure": str(explanation.measure),
        "decoder": provenance["decoder"]["ran"],
        "order": request.get("order"),
        "budget": provenance["budget"].get("limit"),
        "holdout": request.get("holdout"),
        "random_state": provenance["random_state"],
        "created": provenance["created"],
        "interplay": provenance["versions"].get("interplay"),
        "fingerprint": game["fingerprint"],
        "masks_sha256": provenance["design"]["masks_sha256"],
        "ablations_sha256": (provenance.get("ablations") or {}).get("sha256"),
    }
    return {key: _short(value) for key, value in named.items() if value not in (None, "")}


def metrics(explanation: Explanation) -> dict[str, float]:
    """How well it was explained, and what it took. What is not known is left out."""
    score, verdict = explanation.faithfulness, explanation.verdict
    budget, seconds = explanation.provenance["budget"], explanation.provenance["seconds"]
    numbers = {
        "ablations": budget["spent"],
        "held_out": budget["held_out"],
        "seconds": seconds["total"],
        "findings_players": verdict.certain_players,
        "findings_interactions": verdict.certain_interactions,
    }
    if score.known:
        numbers |= {"r2": score.r2, "r2_low": score.low, "r2_high": score.high}
    if explanation.ends is not None and explanation.ends.ndim == 1:
        numbers |= {"full": explanation.ends[0], "baseline": explanation.ends[1]}
    if explanation.confirmation is not None:
        verdicts = [tested.verdict for tested in explanation.confirmation.tested]
        numbers |= {"tested": len(verdicts), "tested_hold": verdicts.count("holds")}
    return {
        key: float(number)
        for key, number in numbers.items()
        if number is not None and math.isfinite(number)
    }


def _files(explanation: Explanation, folder: Path) -> Parameters:
    """Write the files, and return their hashes as parameters."""
    written = (
        explanation.to_html(folder / "explanation.html"),
        explanation.to_json(folder / "explanation.json"),
        explanation.to_card(folder / "card.md"),
        explanation.save(folder / FILE),
    )
    return {
        f"sha256/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in written
    }


def _short(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    text = visible(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _refuse(known: bool, name: str) -> None:
    if known:
        raise ValueError(
            f"the run has an explanation of the name {name!r} already; give log(..., name=...) "
            "another one"
        )


@dataclass(frozen=True)
class _Entry:
    """What is logged: its name, the title of a new run, parameters, metrics, a folder of files."""

    name: str
    title: str
    given: Mapping[str, Any]
    measured: Mapping[str, float]
    folder: Path


def _artifact(package: Any, entry: _Entry, run: Any) -> Any:
    """The files as an artifact of Weights & Biases, whose interface trackio follows."""
    artifact = package.Artifact(f"{entry.name}-{run.id}", type="explanation")
    artifact.add_dir(str(entry.folder))
    return artifact


# --- writers: the package and what is logged; the run's id ---------------------------------------


def _to_mlflow(mlflow: Any, entry: _Entry) -> str:
    active = mlflow.active_run()
    if active is None:
        with mlflow.start_run(run_name=entry.title):
            return _to_mlflow(mlflow, entry)
    run_id: str = active.info.run_id
    _refuse(f"{entry.name}/verdict" in mlflow.get_run(run_id).data.params, entry.name)
    mlflow.log_params(entry.given)
    mlflow.log_metrics(entry.measured)
    mlflow.log_artifacts(str(entry.folder), artifact_path=entry.name)
    return run_id


def _to_wandb(wandb: Any, entry: _Entry) -> str:
    run, started = wandb.run, False
    if run is None:
        quiet = wandb.Settings(console="off", disable_code=True, disable_git=True, silent=True)
        run, started = wandb.init(project=PROJECT, name=entry.title, settings=quiet), True
    try:
        _refuse(f"{entry.name}/verdict" in dict(run.config), entry.name)
        run.config.update(dict(entry.given))
        run.summary.update(dict(entry.measured))
        run.log_artifact(_artifact(wandb, entry, run))
    finally:
        if started:
            run.finish()
    return str(run.id)


def _to_trackio(trackio: Any, entry: _Entry) -> str:
    run, started = trackio.context_vars.current_run.get(), False
    if run is None:
        alone = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        run, started = trackio.init(project=PROJECT, name=entry.title, **alone), True
    try:
        # the configuration of a run cannot be added to, so that parameters are logged as texts
        run.log(dict(entry.given) | dict(entry.measured))
        run.log_artifact(_artifact(trackio, entry, run))
    finally:
        if started:
            trackio.finish()
    return str(run.id)


_WRITERS: dict[str, Callable[..., str]] = {
    "mlflow": _to_mlflow,
    "wandb": _to_wandb,
    "trackio": _to_trackio,
}
