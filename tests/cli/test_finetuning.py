"""``interplay finetune`` on a small random model, and what other commands make of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from tests.cli.running import run
from tests.training.finetuning.tiny import EXAMPLES, language_model


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, examples and questions."""
    folder = tmp_path_factory.mktemp("finetune")
    for part in language_model():
        part.save_pretrained(folder / "model")
    rows: list[dict[str, Any]] = [
        {"prompt": row.prompt, "response": row.response, "tag": row.tag, "source": number // 2}
        for number, row in enumerate(EXAMPLES)
    ]
    written(folder / "train.jsonl", rows)
    asked = [
        {"prompt": "w1 w2", "answer": " w3", "name": "told twice"},
        {"prompt": "w4 w5", "answer": " w6", "against": " w7"},
    ]
    written(folder / "ask.jsonl", asked)
    return folder


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def options(inputs: Path, **changed: object) -> list[object]:
    given = {
        "model": inputs / "model",
        "examples": inputs / "train.jsonl",
        "questions": inputs / "ask.jsonl",
        "layers": 2,
        "vocabulary": "all",
        "learning-rate": 0.02,
        "threads": 1,
    } | changed
    return [part for name, value in given.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="module")
def made(inputs: Path) -> tuple[Path, str]:
    """The folder of a run, and what it printed."""
    out = inputs / "out"
    return out, run("finetune", *options(inputs), "--point", 0, "--undo", 0, "--out", out)


def test_a_run(made: tuple[Path, str], inputs: Path) -> None:
    out, said = made
    assert "6 players of 6 examples, 2 questions" in said
    assert "learned        mean log-probability of the examples' responses a token: -" in said
    assert "approximations only the last 2 layers of 3 tuned" in said
    assert "trained with another seed: Spearman's correlation" in said
    assert "full depth     not checked" in said
    assert "told twice" in said
    assert "What acts together, mean over the questions" in said
    assert "What acts together, question told twice" in said
    assert "pairs: redundant, same" in said  # the title may be on two lines
    assert "LDS (rank correlation" in said
    assert "Undoing told twice: " in said
    assert "without w1 w2 → w3 [0]; w1 w2 → w3 [1]" in said
    explanation = ip.load(out / "explanation.interplay")
    assert str(explanation.measure) == "uniform"
    assert explanation.provenance["game"]["description"]["model"] == "model"  # no path of here
    assert explanation.provenance["observed"]["seed"]["n_subsets"] == 12
    page = (out / "explanation.html").read_text(encoding="utf-8")
    assert "Checks of the training" in page
    again = run("finetune", *options(inputs), "--out", out, "--check", 0)
    assert "(0 evaluated, 64 from the store)" in again
    other = run("finetune", *options(inputs, epochs=5), "--out", out, code=2)
    assert "holds the explanation of another game" in other
    assert "They differ in: trainer" in " ".join(other.split())


def test_other_commands_read_its_folder(made: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = made
    shown = run("show", out, "--point", 1)
    assert "What acts together, question w4 w5 → w6 / w7" in shown
    audited = run("verify", out, "--allow-outside", "--sample", 3)
    assert "MATCH" in audited
    assert "MISMATCH" not in audited
    run("report", out, "--out", tmp_path / "report.html")
    assert "The fine-tuning examples" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_groups_and_clusters(inputs: Path, tmp_path: Path) -> None:
    grouped = run("finetune", *options(inputs, group="source", check=0), "--out", tmp_path / "a")
    assert "3 players of 6 examples" in grouped
    given = options(inputs, clusters=4, check=0, repeats=2)
    clustered = run("finetune", *given, "--out", tmp_path / "b")
    assert "4 players of 6 examples" in clustered
    assert "of the variance is noise" in clustered
    audited = run("verify", tmp_path / "b", "--allow-outside", "--sample", 2)
    assert "MISMATCH" not in audited


def test_a_plan_says_what_the_checks_cost(inputs: Path, tmp_path: Path) -> None:
    given = [*options(inputs), "--budget", 40, "--out", tmp_path / "out", "--plan"]
    said = run("finetune", *given)
    assert "to evaluate" in said
    assert "checks        26 more trainings" in said
    assert "none at full depth (--full-depth)" in said
    assert "8 at full depth, as long as ordinary fine-tunings" in run(
        "finetune", *given, "--full-depth", 8
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": "two"}, "--layers two is neither all nor a whole number from 1 on"),
        ({"layers": 0}, "--layers 0 is neither all nor a whole number"),
        ({"vocabulary": "few"}, "--vocabulary few is neither all nor a whole number"),
        ({"clusters": 7}, "--clusters 7 is not between 2 and the 6 examples"),
        ({"clusters": 2, "group": "source"}, "--group and --clusters were both given"),
        ({"group": "topic"}, "has no example with 'topic'"),
        ({"point": 2}, "--point 2 is not one of the 2 questions"),
        ({"undo": 2}, "--undo 2 is not one of the 2 questions"),
        ({"score": "margin"}, "questions[0] has no `against`"),
        ({"adapt": "some"}, "--adapt some is unknown"),
        ({"method": "some"}, "--method some is unknown"),
        ({"dtype": "bfloat16"}, "--dtype bfloat16 is unknown; choose one of float32"),
        ({"check": 3}, "3 subsets are too few"),
        ({"chat": None}, "no chat template"),
    ],
)
def test_bad_options_are_one_line(
    inputs: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    given = [part for part in options(inputs, **changed) if part is not None]
    given += ["--out", tmp_path / "out"]
    said = run("finetune", *given, code=2)
    assert message in " ".join(said.split())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "w1"}, "train.jsonl, line 2 has no 'response'"),
        ({"prompt": "w1", "response": ""}, "train.jsonl, line 2 has no response"),
    ],
)
def test_bad_lines_are_named(
    inputs: Path, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "train.jsonl", [{"prompt": "w1", "response": " w2"}, row])
    said = run("finetune", *options(inputs, examples=path), "--out", tmp_path / "out", code=2)
    assert message in " ".join(said.split())
