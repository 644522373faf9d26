"""Explanations in experiment logs: MLflow's local store, Weights & Biases offline, trackio."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from interplay.toolkits.logs import metrics, parameters

KEY = "sk-this-is-a-key-0123456789"
FILES = ["card.md", "explanation.html", "explanation.interplay", "explanation.json"]


@pytest.fixture(scope="module")
def explanation() -> ip.Explanation:
    def score(masks: Any) -> Any:
        return masks[:, 0] * 1.0 + 2.0 * (masks[:, 1] & masks[:, 2])

    return ip.explain(ip.FunctionGame(score, 12, players=["<b>", *"abcdefghijk"]), budget=80)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a log writes is in this folder, and a key is in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny has no other
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "wandb_files"))
    (tmp_path / "wandb_files").mkdir()


def holds_no_key(folder: Path) -> bool:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return not any(KEY.encode() in path.read_bytes() for path in files)


def test_what_is_logged(explanation: ip.Explanation) -> None:
    given, measured = parameters(explanation), metrics(explanation)
    provenance = explanation.provenance
    assert given["verdict"] == explanation.verdict.level
    assert given["players"] == 12
    assert given["measure"] == str(explanation.measure)
    assert given["masks_sha256"] == provenance["design"]["masks_sha256"]
    assert given["ablations_sha256"] == provenance["ablations"]["sha256"]
    assert "fingerprint" not in given  # a function has none
    assert measured["r2"] == explanation.faithfulness.r2
    assert measured["ablations"] == provenance["budget"]["spent"]
    assert (measured["full"], measured["baseline"]) == (3.0, 0.0)
    constant = ip.explain(ip.FunctionGame(lambda masks: masks[:, 0] * 0.0, 3))
    assert "r2" not in metrics(constant)


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[Any]:
    package = pytest.importorskip("mlflow")
    package.set_tracking_uri((tmp_path / "runs").as_uri())
    yield package
    while package.active_run():
        package.end_run()


def test_mlflow(explanation: ip.Explanation, mlflow: Any, tmp_path: Path) -> None:
    run_id = explanation.log("mlflow")
    assert mlflow.active_run() is None  # a run of its own was ended
    run = mlflow.get_run(run_id)
    assert run.info.run_name == explanation.title
    assert run.info.status == "FINISHED"
    given, measured = run.data.params, run.data.metrics
    for key, value in parameters(explanation).items():
        assert given[f"explanation/{key}"] == str(value)
    for key, number in metrics(explanation).items():
        assert measured[f"explanation/{key}"] == pytest.approx(number)
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="explanation"))
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for path in folder.iterdir():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert given[f"explanation/sha256/{path.name}"] == digest
    again = ip.load(folder / "explanation.interplay")
    assert again.provenance == explanation.provenance
    assert not ip.verify(again).named("mismatch")
    assert holds_no_key(tmp_path)


def test_several_in_one_run_of_mlflow(explanation: ip.Explanation, mlflow: Any) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("own", 1)
        for name in ("first", "second"):
            assert explanation.log("mlflow", name=name) == run.info.run_id
        with pytest.raises(ValueError, match="the run has an explanation of the name 'second'"):
            explanation.log("mlflow", name="second")
        assert mlflow.active_run() is not None
    given = mlflow.get_run(run.info.run_id).data.params
    assert {"own", "first/verdict", "second/verdict"} <= given.keys()


def test_wandb(explanation: ip.Explanation, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    assert explanation.log("wandb")
    assert wandb.run is None
    with wandb.init(project="own", settings=wandb.Settings(console="off", silent=True)) as run:
        assert explanation.log("wandb", name="loan") == run.id
        for key, value in parameters(explanation).items():
            assert run.config[f"loan/{key}"] == value
        for key, number in metrics(explanation).items():
            assert run.summary[f"loan/{key}"] == pytest.approx(number)
        with pytest.raises(ValueError, match="the run has an explanation of the name 'loan'"):
            explanation.log("wandb", name="loan")
    staged = [path.read_bytes() for path in (tmp_path / "wandb_files").rglob("staging/*")]
    digests = {hashlib.sha256(content).hexdigest() for content in staged}
    logged = {run.config[f"loan/sha256/{name}"] for name in FILES}
    assert logged <= digests
    assert holds_no_key(tmp_path)


def test_trackio(
    explanation: ip.Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    assert explanation.log("trackio")
    assert trackio.context_vars.current_run.get() is None
    run = trackio.init(project="own", embed=False, auto_log_cpu=False, auto_log_gpu=False)
    assert explanation.log("trackio", name="loan") == run.id
    trackio.finish()
    from trackio.sqlite_storage import SQLiteStorage

    (entry,) = SQLiteStorage.get_logs("own", run.name)
    for key, value in (parameters(explanation) | metrics(explanation)).items():
        assert entry[f"loan/{key}"] == value
    blobs = {path.name for path in (tmp_path / "trackio").rglob("blobs/sha256/*/*")}
    assert {entry[f"loan/sha256/{name}"] for name in FILES} <= blobs
    assert holds_no_key(tmp_path)


def test_what_is_refused(explanation: ip.Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="to='mlfow' is unknown; choose one of mlflow, wandb"):
        explanation.log("mlfow")
    for name in ("", "a/b", "..", "ü", "x" * 65):
        with pytest.raises(ValueError, match="cannot name files everywhere"):
            explanation.log("mlflow", name=name)
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ip.MissingDependencyError, match=r'pip install "interplay\[trackio\]"'):
        explanation.log("trackio")


def test_the_schema_of_what_is_logged(explanation: ip.Explanation) -> None:
    """Parameters and metrics are plain JSON, short enough for every log."""
    both = parameters(explanation) | metrics(explanation)
    assert json.loads(json.dumps(both, allow_nan=False)) == both
    assert all(len(str(value)) <= 500 for value in both.values())
