"""``interplay table``: a run, its audit, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

import interplay as ip
from tests.cli.running import run

skops = pytest.importorskip("skops.io")
TREE = "sklearn.tree._tree.Tree"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of a table with a text, numbers, one-hot columns and the target."""
    path = tmp_path_factory.mktemp("table")
    table = pd.DataFrame(
        {
            "city": ["a", "b", "c", "a", "b", "c"] * 5,
            "age": range(20, 50),
            "pet_cat": [1, 0, 0, 1, 0, 1] * 5,
            "pet_dog": [0, 1, 1, 0, 1, 0] * 5,
            "paid": ["yes", "no", "yes", "no", "no"] * 6,
        }
    )
    features = table.drop(columns="paid")
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression(max_iter=5_000))
    skops.dump(model.fit(features, table["paid"]), path / "model.skops")
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    skops.dump(tree.fit(features[["age", "pet_cat"]], table["paid"]), path / "tree.skops")
    table.to_csv(path / "train.csv", index=False)
    table.iloc[::-1].to_csv(path / "rows.csv", index=False)
    return path


def given(folder: Path, *more: Any, model: str = "model.skops") -> tuple[Any, ...]:
    files = ("--data", folder / "rows.csv", "--background", folder / "train.csv")
    return ("table", "--model", folder / model, *files, *more)


def test_a_run_and_its_audit(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--row", 1, "--one-hot", "--output", "yes", "--out", out)
    said = run(*given(folder, *options))
    assert "3 features of row 1; Pipeline.predict_proba; marginal over 30 of 30" in said
    explanation = ip.load(out / "explanation.interplay")
    assert explanation.players == ("city = b", "age = 48", "pet = dog")
    assert explanation.faithfulness.exact
    assert "pet = dog" in (out / "explanation.html").read_text(encoding="utf-8")
    assert {path.name for path in (out / "inputs").iterdir()} == {
        "model_file-model.skops",
        "data-rows.csv",
        "background-train.csv",
    }
    assert "(0 evaluated, 8 from the store)" in run(*given(folder, *options))
    assert "MATCH (" in run("verify", out)
    (out / "inputs" / "data-rows.csv").write_text("city,age,pet_cat,pet_dog\na,1,0,1\n")
    assert "MISMATCH (" in run("verify", out, code=1)


def test_what_decides(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--one-hot", "--output", "yes", "--out", out, "--decisive")
    said = " ".join(run(*given(folder, *options, "--threshold", 0.36)).split())
    assert "Necessary: without these players the answer changes: " in said
    assert "Sufficient: these players alone keep the answer: " in said
    assert "the threshold is 0.36 (as given)" in said
    chosen, _ = ip.load(out / "explanation.interplay").decisive
    assert (chosen.threshold, chosen.is_measured, chosen.n_evaluated) == (0.36, True, 0)
    assert "What decides" in (out / "explanation.html").read_text(encoding="utf-8")
    assert "MATCH (" in run("verify", out)
    refused = run(*given(folder, "--threshold", 0.5), code=2)
    assert "--threshold was given without --decisive" in " ".join(refused.split())


def test_types_are_trusted_by_name_only(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert f"types that are not trusted: {TREE}" in " ".join(
        run(*given(folder, "--out", out, model="tree.skops"), code=2).split()
    )
    said = run(*given(folder, "--out", out, "--trust-type", TREE, model="tree.skops"))
    assert "2 features of row 0; DecisionTreeClassifier.predict_proba" in said
    # the recipe of somebody else does not say what is trusted here
    assert f"the recipe wants to load {TREE}" in run("verify", out, code=2)
    assert "MATCH (" in run("verify", out, "--allow-pickle")
    assert json.loads((out / "recipe.json").read_text())["options"]["trust_type"] == [TREE]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--row", 30), "--row 30 is not one of the 30 rows"),
        (("--output", "maybe"), "output='maybe' is unknown; choose one of no, yes"),
        (("--without", "price"), "has no column 'price'; it has city, age, pet_cat"),
        (("--without", "aeg"), "it has city, age, pet_cat, pet_dog, paid (did you mean 'age'?)"),
        (("--without", "age"), "--without age is a column that the model takes"),
        (("--group", "pet"), "--group 'pet' is not of the form name=column,column"),
        (("--group", "pet=cat"), "names the column 'cat', which there is not"),
        (("--imputation", "mean"), "imputation='mean' is unknown"),
        (("--imputation", "gaussian"), "column 'city' holds others"),
        (("--call", "transform"), "has no transform"),
    ],
)
def test_bad_options_are_told(
    folder: Path, tmp_path: Path, options: tuple[Any, ...], message: str
) -> None:
    said = run(*given(folder, *options, "--out", tmp_path), code=2)
    assert message in " ".join(said.split())


def test_files_that_are_no_tables(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    model = ("table", "--model", folder / "model.skops", "--out", tmp_path / "out", "--data", other)
    other.write_text("")
    assert "is no CSV that can be read" in run(*model, code=2)
    other.write_text("city,age\n")
    assert "has no rows" in run(*model, code=2)
    other.write_text("city,age\na,1\n")
    assert "has no column 'pet_cat'" in run(*model, code=2)
    (tmp_path / "model.pkl").write_bytes(b"")
    said = run("table", "--model", tmp_path / "model.pkl", "--data", other, code=2)
    assert "a pickle can run code, and is never loaded" in " ".join(said.split())


def test_pandas_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    said = " ".join(run(*given(folder), code=2).split())
    assert 'needs the package pandas: pip install "interplay[tabular]"' in said


def test_what_is_expected_is_a_gate(folder: Path, tmp_path: Path) -> None:
    options = ("--row", 1, "--one-hot", "--output", "yes", "--out", tmp_path / "out")
    met, wrong = tmp_path / "met.toml", tmp_path / "wrong.toml"
    met.write_text("[[indifferent]]\nplayers = [1]\nmargin = 2.0\n")
    wrong.write_text("[[indifferent]]\nplayers = [0]\nmargin = 1e-6\n")
    said = run(*given(folder, *options, "--expect", met))
    assert "met: age = 48 changes the value by at most 2" in said
    said = run(*given(folder, *options, "--expect", wrong), code=4)
    assert "not met: city = b changes the value by at most 1e-06" in said
    assert (tmp_path / "out" / "explanation.interplay").exists()
    # what came of it is in the folder, and the audit hash that was printed last covers it
    record = json.loads((tmp_path / "out" / "expected.json").read_bytes())["expected"]
    assert [(one["what"], one["outcome"]) for one in record] == [
        ("city = b changes the value by at most 1e-06", "not met")
    ]
    manifest = (tmp_path / "out" / "manifest.sha256").read_bytes()
    assert b"  expected.json\n" in manifest
    assert hashlib.sha256(manifest).hexdigest() in said
    # what an earlier run was expected to show is not taken for a later one's
    run(*given(folder, *options))
    assert not (tmp_path / "out" / "expected.json").exists()
    assert b"expected.json" not in (tmp_path / "out" / "manifest.sha256").read_bytes()
    # what cannot be expected of one run is told before the model is loaded
    wrong.write_text("[unchanged]\nmargin = 0.1\n")
    said = run(*given(folder, *options, "--expect", wrong, model="none.skops"), code=2)
    assert "none.skops does not exist" in said
    said = run(*given(folder, *options, "--expect", wrong), code=2)
    assert "unchanged is expected of two runs" in " ".join(said.split())


def test_a_saved_run_is_drawn(folder: Path, tmp_path: Path) -> None:
    run(*given(folder, "--row", 1, "--out", tmp_path / "out"))
    drawn = [tmp_path / "a.svg", tmp_path / "a.png"]
    said = run("show", tmp_path / "out", "--view", "force", "--svg", drawn[0], "--png", drawn[1])
    assert all(path.exists() and path.name in said for path in drawn)
    said = run("show", tmp_path / "out", "--view", "forse", "--svg", drawn[0], code=2)
    assert "did you mean 'force'?" in " ".join(said.split())
