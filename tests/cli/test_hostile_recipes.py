"""Folders of runs from somebody who means no good: a recipe is data, not authority.

Each hostile file is made here from an honest run.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import interplay as ip
from interplay.cli.app import app
from interplay.cli.recipes import read_recipe
from interplay.cli.trust import LARGEST, Trust, time_limit
from tests.text.servers import Reply, serving, truthful

Change = Callable[[dict[str, Any]], Any]


def call(*arguments: object) -> tuple[int, str]:
    """What a command says; its errors as the command line prints them."""
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "100000"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        if isinstance(done.exception, ValueError | ip.InterplayError | OSError):
            return 2, str(done.exception)
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest run with a model behind a server, which is gone."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "text.txt").write_text("One is here. Two is there. Three is gone.")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        code, said = call("text", "--model", "m", "--file", folder / "text.txt", "--question",
                          "It is", "--response", " good", "--base-url", server.url,
                          "--out", folder / "run")  # fmt: skip
    assert code == 0, said
    return folder / "run"


@pytest.fixture
def changed(run: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A copy of the run whose recipe was changed."""

    def changed(change: Change) -> Path:
        folder = tmp_path / "run"
        shutil.copytree(run, folder)
        recipe = json.loads((folder / "recipe.json").read_text())
        change(recipe)
        (folder / "recipe.json").write_text(json.dumps(recipe))
        return folder

    return changed


def options(**values: Any) -> Change:
    return lambda recipe: recipe["options"].update(values)


def file_at(path: str) -> Change:
    return options(file={"path": path, "sha256": "0" * 64})


def test_no_server_is_contacted_because_a_recipe_says_so(
    changed: Callable[[Change], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for you")
    with serving(lambda body, _: Reply(truthful(body))) as thief:
        folder = changed(options(base_url=thief.url, key_variable="AWS_SECRET_ACCESS_KEY"))
        code, said = call("verify", folder)
        assert code == 2
        assert "but no server is allowed" in said
        code, said = call("verify", folder, "--allow-server", "https://api.openai.com/v1")
        assert code == 2
        assert "but only https://api.openai.com/v1 is" in said
        assert not thief.requests
        # even if she trusts it: another server is another game, which is not evaluated
        code, said = call("verify", folder, "--allow-server", thief.url)
        assert code == 1
        assert "game: mismatch" in said
        assert not thief.requests


def test_the_key_is_the_verifiers_own_business(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-you")
    monkeypatch.setenv("MINE", "for-this-server")
    (tmp_path / "text.txt").write_text("One is here. Two is there. Three is gone.")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        code, said = call("text", "--model", "m", "--file", tmp_path / "text.txt", "--question",
                          "It is", "--response", " good", "--base-url", server.url,
                          "--key-variable", "AWS_SECRET_ACCESS_KEY",
                          "--out", tmp_path / "run")  # fmt: skip
        assert code == 0, said
        assert "not-for-you" in str(server.requests[-1].headers)
        for more, key in ((), "none"), (("--key-variable", "MINE"), "for-this-server"):
            before = len(server)
            code, said = call("verify", tmp_path / "run", "--allow-server", server.url, *more)
            assert code == 0, said
            asked = server.requests[before:]
            assert asked
            assert {a.headers["authorization"] for a in asked} == {f"Bearer {key}"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (file_at("/etc/passwd"), "outside of that folder"),
        (file_at("../text.txt"), "outside of that folder"),
        (file_at("inputs/../../text.txt"), "outside of that folder"),
        (lambda recipe: recipe.update(store="../elsewhere.db"), "outside of that folder"),
        (file_at("inputs/none.txt"), "is not there"),
        (file_at("pipe"), "neither a file nor a folder"),
        (file_at("link"), "outside of that folder"),
        (file_at("large"), f"above the {LARGEST:,} that are read"),
        (options(file={"path": "inputs/file-text.txt", "sha256": None}), "has no hash"),
        (options(file={"path": "inputs/file-text.txt"}), "is not a recipe"),
        (options(file={"path": 7, "sha256": ""}), "is not a recipe"),
        (options(question=["a"]), "question=['a'] is not of the type"),
        (options(concurrency="8"), "concurrency='8' is not of the type"),
        (options(concurrency=True), "concurrency=True is not of the type"),
        (options(shell="rm"), "options that `interplay text` does not have: shell"),
        (options(allow_pickle=1), "allow_pickle=1 is not of the type"),
        (lambda recipe: recipe.update(command="rm"), "command='rm' is unknown"),
        (lambda recipe: recipe.update(command=["text"]), "is not a recipe"),
        (lambda recipe: recipe.update(levels=[{"by": "word", "chosen": ["a"]}]), "not a recipe"),
        (
            lambda recipe: recipe.update(options=[]),
            "lacks options that `interplay text` needs: model",
        ),
        (lambda recipe: recipe.pop("store"), "is not a recipe"),
    ],
)
def test_what_a_recipe_may_not_do(
    changed: Callable[[Change], Path], change: Change, message: str
) -> None:
    folder = changed(change)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder.parent / "secret.txt")
    (folder.parent / "secret.txt").write_text("secret")
    with (folder / "large").open("wb") as file:
        file.truncate(LARGEST + 1)
    with serving(lambda body, _: Reply(truthful(body))) as server:
        recipe = json.loads((folder / "recipe.json").read_text())
        if isinstance(recipe["options"], dict):
            recipe["options"]["base_url"] = server.url
            (folder / "recipe.json").write_text(json.dumps(recipe))
        code, said = call("verify", folder, "--allow-server", server.url)
        assert code == 2
        assert any(part in said for part in message.split("|")), said
        assert not server.requests
    assert not (folder.parent / "elsewhere.db").exists()


@pytest.mark.parametrize("name", ["by", "fixed"])
def test_a_pattern_that_would_take_for_ever(
    changed: Callable[[Change], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("interplay.cli.text.PATTERN_SECONDS", 0.3)
    text = "a" * 60 + "!"
    pattern = "(a|aa)+$"
    known = {"path": "inputs/file-text.txt", "sha256": sha256(text.encode()).hexdigest()}
    change = options(**{name: f"regex:{pattern}" if name == "by" else pattern}, file=known)
    folder = changed(change)
    (folder / "inputs" / "file-text.txt").write_text(text)
    recipe = json.loads((folder / "recipe.json").read_text())
    server = recipe["options"]["base_url"]
    code, said = call("verify", folder, "--allow-server", server)
    assert code == 2
    assert "a regular expression of the recipe took more than" in said


@pytest.mark.parametrize("option", ["--docs", "--chat"])
@pytest.mark.parametrize(
    "content", ["[" * 200_000, '{"id": 1, "text": ' + "9" * 10_000 + "}", '{"id": "\x1b[2J"}', "\0"]
)
def test_a_document_that_is_no_json_is_one_error(tmp_path: Path, option: str, content: str) -> None:
    (tmp_path / "file").write_text(content)
    code, said = call("text", "--model", "m", option, tmp_path / "file", "--response", " good",
                      "--base-url", "http://127.0.0.1:9/v1", "--out", tmp_path / "run")  # fmt: skip
    assert code == 2
    assert "\x1b" not in said
    assert "No such option" not in said


def test_a_time_limit_ends_and_is_gone_after() -> None:
    """Within another one too, which goes on."""

    def for_ever() -> None:
        with time_limit(0.05, "slow"):
            while True:
                pass

    with pytest.raises(ValueError, match="slow"):
        for_ever()
    with time_limit(1000.0, "slow"):
        pass

    def within() -> None:
        with time_limit(0.2, "outer"):
            with time_limit(1000.0, "inner"):
                pass
            while True:
                pass

    with pytest.raises(ValueError, match="outer"):
        within()
    sys.stdout.flush()


@pytest.mark.parametrize("response", [" good", None])
def test_a_changed_input_is_told_before_anything_is_sent(
    changed: Callable[[Change], Path], response: str | None
) -> None:
    """Without a response the game asks the server for one when it is made."""
    with serving(lambda body, _: Reply(truthful(body))) as server:
        folder = changed(options(base_url=server.url, response=response))
        (folder / "inputs" / "file-text.txt").write_text("Something else. Quite another. End.")
        code, said = call("verify", folder, "--allow-server", server.url)
        assert code == 1
        assert "inputs: mismatch (0 of 1)" in said
        assert "so no game is made of them" in said
        assert "model: not checked" in said
        assert not server.requests


def test_weights_with_code_in_them_are_not_loaded(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    hf = pytest.importorskip("transformers")
    config = hf.LlamaConfig(
        vocab_size=40, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    from tests.text.tiny import word_tokenizer

    model = hf.AutoModelForCausalLM.from_config(config)
    config.save_pretrained(tmp_path)
    word_tokenizer(framed=False).save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no weights in safetensors.*allow_pickle"):
        ip.text.load_model(str(tmp_path))
    assert ip.text.load_model(str(tmp_path), allow_pickle=True)[0].num_parameters() > 0


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "sha256", "by", "chosen", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
documents = st.dictionaries(
    st.sampled_from(["format", "command", "options", "store", "levels"]), values, max_size=5
)


@given(document=documents | values, known=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_document(tmp_path_factory: pytest.TempPathFactory, document: Any, known: bool) -> None:
    folder = tmp_path_factory.mktemp("any")
    if known and isinstance(document, dict):
        document = {"format": 1, "command": "text", "store": "a.db", "levels": []} | document
    (folder / "recipe.json").write_text(json.dumps(document))
    try:
        recipe = read_recipe(folder, Trust())
        assert recipe is not None
        recipe.game(Trust())
    except (ValueError, OSError, ip.MissingDependencyError):
        pass
    finally:
        shutil.rmtree(folder)
