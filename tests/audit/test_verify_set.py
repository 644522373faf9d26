"""An audit of a set of prompts, derived again from its folder; and what must not pass."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.audit.verify_set import verify_set
from interplay.cli.manifest import write_manifest
from tests.cli.running import run

N_PLAYERS, N_PROMPTS = 10, 6
SETTINGS: dict[str, Any] = {
    "budget": 32,
    "decoder": "gp",
    "measure": "uniform",  # one decoding, not one for each part that is held out
    "progress": False,
}
NAMES = tuple(f"part {number} of the text" for number in range(N_PLAYERS))


def value(number: int, masks: BoolArray) -> FloatArray:
    weights = np.random.default_rng(number).normal(size=N_PLAYERS) * np.arange(N_PLAYERS)
    return np.asarray(masks @ weights - 4.0 * masks[:, 8] * masks[:, 9])


def games() -> Iterator[ip.Game]:
    for number in range(N_PROMPTS):
        scored = partial(value, number)
        yield ip.FunctionGame(scored, N_PLAYERS, players=NAMES, fingerprint=f"game {number}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an audit that learns: six prompts with 32 ablations each."""
    folder = tmp_path_factory.mktemp("audit")
    audit = ip.audit_prompts(games(), folder=folder, **SETTINGS)
    assert any(prompt.learned_from for prompt in audit.prompts)
    audit.save(folder / "audit.json")
    audit.to_html()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "copy")


def test_an_untouched_audit_matches(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = verify_set(folder)
    assert result.matches, str(result)
    assert {"prompt 0: spectrum", "prompt 5: learned", "results", "page"} <= {
        check.name for check in result.checks
    }
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def in_document(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        document = json.loads((folder / "audit.json").read_text())
        change(document)
        (folder / "audit.json").write_text(json.dumps(document))

    return changed


def in_records(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / "records.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        change(records)
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records))

    return changed


def without_a_prompt(folder: Path) -> None:
    in_document(lambda document: document["prompts"].pop(2))(folder)


def without_an_explanation(folder: Path) -> None:
    document = json.loads((folder / "audit.json").read_text())
    (folder / document["prompts"][1]["file"]).unlink()


def exchanged(folder: Path) -> None:
    prompts = json.loads((folder / "audit.json").read_text())["prompts"]
    first, second = (folder / one["file"] for one in prompts[:2])
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def other_prior(folder: Path) -> None:
    """Priors that earlier prompts do not give."""
    for path in (folder / "prompts").glob("*.interplay"):
        explanation = ip.load(path)
        prior = explanation.provenance.get("prior")
        if prior is not None:
            prior = {**prior, "weight": prior["weight"] + 0.5}
            provenance = {**explanation.provenance, "prior": prior}
            replace(explanation, provenance=provenance).save(path)


def fewer_values(folder: Path) -> None:
    with sqlite3.connect(folder / "ablations.db") as store:
        store.execute("DELETE FROM ablation WHERE mask IN (SELECT mask FROM ablation LIMIT 9)")
    store.close()


def all_numbers(document: Any) -> None:
    """Change a number of each kind, and a row of the table."""
    first = document["findings"][0]
    first.update(shown=first["shown"] + 1, p_value=0.5, mean=9.0)
    first["interval"].reverse()
    document["findings"][1]["survives"] = not document["findings"][1]["survives"]
    document["pooled"]["r2"] = 0.999
    document["n_tested"] += 2
    document["summary"].append("All is well.")
    document["prompts"][3].update(r2=0.999, level="usable!", n_ablations=500)


def test_each_changed_number_is_found(folder: Path) -> None:
    in_document(all_numbers)(folder)
    result = verify_set(folder)
    differing = {
        entry.what
        for check in result.named("mismatch")
        for entry in check.entries
        if not entry.matches
    }
    assert {check.name for check in result.named("mismatch")} == {"prompt 3: record", "results"}
    assert differing >= {
        *(f"audit.findings[0].{name}" for name in ("shown", "p_value", "mean")),
        "audit.findings[0].interval",
        "audit.findings[1].survives",
        "audit.pooled.r2",
        "audit.n_tested",
        "audit.summary",
        *(f"prompt.{name}" for name in ("r2", "level", "n_ablations")),
    }


@pytest.mark.parametrize(
    ("tamper", "failing"),
    [
        (in_document(lambda d: d["findings"].pop()), {"results"}),
        (in_document(lambda d: d.update(least=0.5, random_state=1)), {"results"}),
        (in_document(lambda d: d["prompts"].reverse()), {"prompt 0: learned", "results"}),
        (in_document(lambda d: d.update(learn=False)), {"prompt 4: learned", "prompt 5: learned"}),
        (in_records(lambda r: r[2]["singles"].reverse()), {"prompt 2: record"}),
        (in_records(lambda r: r[2].update(range=9.0)), {"prompt 2: record"}),
        (in_records(lambda r: r[5].update(learned_from=2)), {"prompt 5: learned"}),
        (in_records(lambda r: r.pop(2)), {"prompt 2: record"}),
        (without_a_prompt, {"prompts", "results"}),
        (without_an_explanation, {"prompt 1: explanation"}),
        (exchanged, {"prompt 0: record"}),
        (other_prior, {"prompt 4: learned"}),
        (fewer_values, {"prompt 0: store"}),
    ],
)
def test_what_was_changed_is_found(
    folder: Path, tamper: Callable[[Path], None], failing: set[str]
) -> None:
    tamper(folder)
    result = verify_set(folder)
    assert result.verdict == "mismatch", str(result)
    assert failing <= {check.name for check in result.named("mismatch")}


def test_a_changed_page_is_found(folder: Path) -> None:
    page = folder / "audit.html"
    page.write_text(page.read_text().replace("prompts", "rows", 1))
    assert [check.name for check in verify_set(folder).named("mismatch")] == ["page"]


def test_the_command_says_what_differs_and_what_was_left_out(folder: Path) -> None:
    write_manifest(folder)
    printed = run("verify", folder, "--sample", "0")
    assert "MATCH" in printed
    assert "audit hash: " in printed
    assert "prompt 3: spectrum" not in printed  # it matches
    assert "INCOMPLETE" in run("verify", folder, code=3)  # the model was not asked
    page = next((folder / "prompts").glob("*.html"))
    page.write_text(page.read_text() + "<!-- -->")
    assert "mismatch" in run("verify", folder, "--sample", "0", code=1)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no audit\.json"):
        verify_set(tmp_path)
    (tmp_path / "audit.json").write_text('{"prompts": 3}')
    with pytest.raises(ValueError, match="is not what an audit writes"):
        verify_set(tmp_path)
