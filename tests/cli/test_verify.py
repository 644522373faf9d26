"""``interplay verify`` and ``interplay report`` on what each command leaves, in this process."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import transformers as hf
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import interplay as ip
from interplay.cli.app import app
from interplay.cli.demo import CASES
from interplay.cli.recipes import Recipe, read_recipe, write_recipe
from interplay.cli.trust import TYPED
from interplay.cli.verify import games_of
from interplay.report.export import schema
from tests.audit.test_verify import tamper
from tests.cli.test_training import written
from tests.components.test_units import SMALL
from tests.text.servers import Reply, serving, truthful
from tests.text.tiny import tiny, word_tokenizer

pytestmark = pytest.mark.slow

OUTSIDE = "--allow-outside"
"""The model of these runs lies beside their folders."""
ALL = " match, 0 mismatch, 0 not checked)"


def call(*arguments: object, code: int = 0) -> str:
    """What a command says, on lines of any length."""
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "100000"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a folder, a text, a task and a table."""
    path = tmp_path_factory.mktemp("verify")
    model = tiny(hf.AutoModelForCausalLM, hf.LlamaConfig(**SMALL, num_key_value_heads=2))
    model.save_pretrained(path / "model")
    word_tokenizer(framed=False).save_pretrained(path / "model")
    (path / "text.txt").write_text("w1 w2 w3.\nw4 w5 w6.\n\nw7 w8 w9.\n\nw2 w4 w6.\n")
    items = [
        {"prompt": f"w{n} w{n + 1} w3", "answer": f" w{n + 5}", "wrong": [f" w{n + 6}"]}
        for n in range(4)
    ]
    (path / "task.jsonl").write_text("\n".join(map(json.dumps, items)))
    images, labels = load_digits(n_class=3, return_X_y=True)
    rows = (
        [*image / 16, f"d{label}", f"s{n % 6}"]
        for n, (image, label) in enumerate(zip(images[:90], labels, strict=False))
    )
    written(path / "digits.csv", [*(f"p{n}" for n in range(64)), "digit", "source"], rows)
    return path


def text_options(inputs: Path) -> list[object]:
    return [
        *("text", "--model", inputs / "model", "--file", inputs / "text.txt"),
        *("--question", "w9", "--response", " w5", "--threads", 1),
    ]


@pytest.fixture(scope="module")
def words(inputs: Path) -> Path:
    """A run by word."""
    out = inputs / "words"
    call(*text_options(inputs), "--by", "word", "--budget", 90, "--confirm", 1, "--out", out)
    return out


@pytest.fixture(scope="module")
def drilled(inputs: Path) -> Path:
    """A drill-down."""
    out = inputs / "drilled"
    call(*text_options(inputs), "--by", "paragraph", "--drill", "line", "--drill", "word",
         "--target", "logit", "--out", out)  # fmt: skip
    return out


def test_a_text_by_word(words: Path) -> None:
    said = call("verify", words, "--sample", 5, OUTSIDE)
    assert ALL in said
    assert said.count("match: mask keeping") == 5
    assert "inputs: match (1 of 1)" in said
    recipe = read_recipe(words, TYPED)
    assert recipe is not None
    assert recipe.command == "text"
    assert recipe.options["file"] == (words / "inputs" / "file-text.txt").resolve()


@pytest.mark.slow
def test_a_text_until_it_is_good_enough(inputs: Path) -> None:
    out = inputs / "until"
    said = call(*text_options(inputs), "--by", "word", "--until", 0.5, "--out", out)
    until = ip.load(out / "explanation.interplay").provenance["until"]
    assert until["goal"] == 0.5
    assert f"Stopped since {until['stopped_since']}; the goal was a cross-validated R2" in said
    assert " match, 0 mismatch, 0 not checked)" in call("verify", out, OUTSIDE)


def test_a_drill_down_level_by_level(drilled: Path) -> None:
    levels = len(list(drilled.glob("level*.interplay")))
    assert levels > 1
    said = call("verify", drilled, OUTSIDE)
    assert said.count(ALL) == levels
    assert f"drilled, level {levels}" in said


def test_a_recipe_of_fewer_levels_than_there_are(drilled: Path, tmp_path: Path) -> None:
    out = copied(drilled, tmp_path)
    document = json.loads((out / "recipe.json").read_text())
    levels = document.pop("levels")
    (out / "levelx.interplay").write_text("no level")
    (out / "recipe.json").write_text(json.dumps(document | {"levels": []}))
    said = call("verify", out, OUTSIDE, code=1)
    assert "levelx.interplay" in said
    assert said.count("model: match") == 1
    assert said.count("no game was given") == len(levels)
    (out / "recipe.json").write_text(
        json.dumps(document | {"levels": [{"by": "word", "chosen": [10**12]}] * len(levels)})
    )
    said = call("verify", out, OUTSIDE, code=1)  # nobody is refined: the finer games are others
    assert said.count("this is another game") == len(levels)


def test_components(inputs: Path) -> None:
    out = inputs / "components"
    call("components", "--model", inputs / "model", "--task", inputs / "task.jsonl", "--layers",
         "1-2", "--keep", "0.5", "--threads", 1, "--budget", 40, "--out", out)  # fmt: skip
    assert ALL in call("verify", out, "--sample", 4, OUTSIDE)


def test_training(inputs: Path) -> None:
    out = inputs / "training"
    call("training", "--table", inputs / "digits.csv", "--label", "digit", "--group", "source",
         "--points", 3, "--out", out)  # fmt: skip
    assert ALL in call("verify", out)


def test_a_model_behind_a_server_and_no_key_on_disk(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret-123")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        given = ("text", "--model", "m", "--file", inputs / "text.txt", "--by", "line",
                 "--question", "It is", "--key-variable", "SOME_KEY", "--target",
                 "logit-difference", "--response", " good", "--against", " bad")  # fmt: skip
        out = tmp_path / "out"
        call(*given, "--base-url", server.url, "--out", out)
        before = len(server)
        with pytest.raises(ValueError, match="but no server is allowed; if you trust that server"):
            call("verify", out, "--sample", 3)
        assert len(server) == before
        said = call("verify", out, "--sample", 3, "--allow-server", f"{server.url}/")
        assert f"3 prompts go to {server.url}, with no key." in said
        assert server.requests[-1].headers["authorization"] == "Bearer none"
        assert ALL in said
        assert before + 3 <= len(server) <= before + 6
        for file in filter(Path.is_file, out.rglob("*")):
            assert b"sk-secret" not in file.read_bytes()
        hidden = server.url.replace("http://", "http://user:pass-word@")
        call(*given, "--base-url", hidden, "--out", tmp_path / "hidden")
        assert "pass-word" not in (tmp_path / "hidden" / "recipe.json").read_text()
        with pytest.raises(ValueError, match="does not hold the whole address of the server http"):
            call("verify", tmp_path / "hidden")
        assert "MATCH as far as" in call("verify", tmp_path / "hidden", "--sample", 0)


def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of a run and its inputs, to tamper with."""
    shutil.copytree(run.parent, tmp_path / "copy")
    return tmp_path / "copy" / run.name


def test_a_folder_that_moved_with_its_inputs(words: Path, tmp_path: Path) -> None:
    assert ALL in call("verify", copied(words, tmp_path), "--sample", 2, OUTSIDE)


def test_a_tampered_store(words: Path, tmp_path: Path) -> None:
    out = copied(words, tmp_path)
    explanation = ip.load(out / "explanation.interplay")
    tamper(out / "ablations.db", explanation.fit.masks[2], 0.7)
    record = tmp_path / "new" / "record.json"
    said = call("verify", out, "--sample", 0, "--record", record, code=1)
    told = re.search(r"store: mismatch \((\d+) of (\d+)\)", said)
    assert told
    assert int(told[2]) - int(told[1]) == 2  # the value, and the hash of all
    assert "spectrum: mismatch" in said
    assert re.search(r"MISMATCH \(\d match, \d mismatch, \d not checked, 2 left out\)", said)
    (found,) = json.loads(record.read_text())
    assert found["matches"] is False
    store = next(check for check in found["checks"] if check["name"] == "store")
    (entry, _) = [each for each in store["entries"] if not each["matches"]]
    assert entry["found"][0] == pytest.approx(entry["recorded"][0] + 0.7)


def test_a_tampered_explanation(words: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    out = copied(words, tmp_path)
    explanation = ip.load(out / "explanation.interplay")
    replace(explanation, spectrum=explanation.spectrum * 1.1).save(out / "explanation.interplay")
    said = call("verify", out, "--sample", 0, code=1)
    assert "spectrum: mismatch" in said


def test_a_changed_prompt(words: Path, tmp_path: Path) -> None:
    out = copied(words, tmp_path)
    text = out / "inputs" / "file-text.txt"
    text.write_text(text.read_text().replace("w7", "w17"))
    said = call("verify", out, OUTSIDE, code=1)
    assert "inputs: mismatch (0 of 1)" in said
    assert "game: not checked" in said
    assert "model: not checked" in said
    text.unlink()
    with pytest.raises(ValueError, match=r"needs .*text\.txt, which is not there; put it back"):
        call("verify", out, OUTSIDE)


def test_a_changed_model(words: Path, tmp_path: Path) -> None:
    out = copied(words, tmp_path)
    folder = out.parent / "model"
    model = hf.AutoModelForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data[7] *= 1.01
    model.save_pretrained(folder)
    said = call("verify", out, OUTSIDE, code=1)
    assert "game: mismatch" in said
    assert re.search("mismatch: fingerprint: recorded [0-9a-f]{64}, [0-9a-f]{64} now", said)


def test_a_folder_made_from_python(tmp_path: Path) -> None:
    game = ip.FunctionGame(lambda masks: 1.0 * (masks[:, 0] & masks[:, 1]), 12, fingerprint="f")
    store = tmp_path / "ablations.db"
    explanation = ip.explain(game, budget=100, store=store)
    explanation.save(tmp_path / "explanation.interplay")
    said = call("verify", tmp_path, code=3)
    assert "has no recipe of how its game was made, so the model is not evaluated" in said
    assert "ip.verify(ip.load(...), game, store=...)" in said
    assert "INCOMPLETE (6 match, 0 mismatch, 3 not checked): nothing differs, but" in said
    elsewhere = store.rename(tmp_path / "elsewhere.db")
    said = call("verify", tmp_path, "--store", elsewhere, code=3)
    assert " match, 0 mismatch, 3 not checked)" in said
    tamper(elsewhere, explanation.fit.masks[0], 1.0)
    call("verify", tmp_path / "explanation.interplay", "--store", elsewhere, code=1)


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', '{"format": 2}'])
def test_a_damaged_recipe(words: Path, tmp_path: Path, damage: str) -> None:
    shutil.copy(words / "explanation.interplay", tmp_path)
    (tmp_path / "recipe.json").write_text(damage)
    with pytest.raises(ValueError, match=r"is not a recipe|has format 2, but"):
        call("verify", tmp_path)


@pytest.mark.model
def test_the_recipe_of_the_demo(smollm: tuple[Any, Any], tmp_path: Path) -> None:
    case = CASES[0]
    write_recipe(Recipe("demo", {"name": case.name}, tmp_path / "ablations.db"), tmp_path)
    recipe = read_recipe(tmp_path)
    assert recipe is not None
    assert next(games_of(recipe)).fingerprint == case.game(*smollm).fingerprint
    with pytest.raises(ValueError, match="the demo has no case 'none'; it has review, handover"):
        next(games_of(Recipe("demo", {"name": "none"}, tmp_path)))
    with pytest.raises(ValueError, match="command='cook' is unknown"):
        next(games_of(Recipe("cook", {}, tmp_path)))


# --- report -------------------------------------------------------------------------------------


def test_a_report_of_several_runs(words: Path, drilled: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "all.html"
    said = call("report", words, drilled, "-o", page)
    count = 1 + len(list(drilled.glob("level*.interplay")))
    assert f"{count} explanations: {page}" in said
    html = page.read_text(encoding="utf-8")
    assert "words: Text of 12 players by word" in html
    assert "drilled, level 2: Text of" in html
    call("report", words, drilled, "-o", tmp_path / "all.json")
    document = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema())
    assert len(document["explanations"]) == count
    assert document["explanations"][0]["title"] == "words: Text of 12 players by word"
    saved = ip.load(words / "explanation.interplay")
    terms = document["explanations"][0]["interactions"]["terms"]
    np.testing.assert_allclose(
        [term["values"][0] for term in terms[:5]], saved.interactions("FSII", order=3).top(5).values
    )
    assert document["explanations"][0]["confirmation"]["tested"]
    call("report", words, "-o", tmp_path / "one", "--format", "md")
    assert "## words: Text of 12 players by word" in (tmp_path / "one").read_text(encoding="utf-8")


def test_bad_requests(words: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not say what to write; let it end in"):
        call("report", words, "-o", tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="holds no explanation; give the --out folder"):
        call("report", tmp_path, "-o", tmp_path / "a.html")
    assert "does not exist" in call("report", tmp_path / "no", "-o", tmp_path / "a.html", code=2)
