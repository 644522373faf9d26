"""What a new user meets first: typing errors, what is printed, the exit status, the examples."""

from __future__ import annotations

import copy
import json
import pickle
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.cli import tables
from interplay.cli.commands import LISTED
from interplay.cli.folders import saved
from tests.cli.running import WIDTH, run
from tests.text.servers import Reply, serving, truthful


def one_line(text: str) -> str:
    """Without the frames and the breaks of a terminal."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.fixture(scope="module")
def explanation() -> ip.Explanation:
    players = ["mean radius", "worst area", *(f"a long name, number {i}" for i in range(4))]
    game = ip.FunctionGame(
        lambda m: 3.0 * m[:, 0] * m[:, 1] - m[:, 2] * m[:, 3], 6, players=players
    )
    return ip.explain(game)


@pytest.fixture(scope="module")
def folder(explanation: ip.Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs") / "key"
    explanation.save(made / "explanation.interplay")
    return made


def test_the_version() -> None:
    assert run("--version") == f"interplay {ip.__version__}\n"


def test_help_is_in_panels_by_purpose() -> None:
    said = run("-h")
    assert said == run("--help")
    panels = re.findall(r"╭─ ([A-Z][\w ]+) ─", said)
    assert panels == ["Options", *dict.fromkeys(listed.panel for listed in LISTED.values())]


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("--by", "sentense", "sentence"),
        ("--target", "prb", "prob"),
        ("--decoder", "gpp", "gp"),
        ("--dtype", "float23", "float32"),
        ("--masking", "delet", "delete"),
        ("--measure", "shaply", "shapley"),
        ("--index", "FSI2", "FSII"),
        ("--backend", "locl", "local"),
        ("--reduction", "summ", "sum"),
        ("--on-error", "skp", "skip"),
    ],
)
def test_an_option_is_checked_before_a_model_is_loaded(
    option: str, value: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("interplay.text.load_model", load)
    text = tmp_path / "context.txt"
    text.write_text("Anna has the red key. It rains.")
    said = run("text", "--model", "m", "--file", text, "--response", " x", option, value, code=2)
    assert f"(did you mean '{meant}'?)" in one_line(said)


def test_a_path_or_command_that_is_spelt_wrong(folder: Path) -> None:
    said = one_line(run("show", folder.parent / "kee", code=2))
    assert re.search(r"kee does not exist \(did you mean '.*key'\?\)", said)
    assert "does not exist (did you" in one_line(
        run("verify", folder / "explanation.interpla", code=2)
    )
    assert "Did you mean 'show'?" in one_line(run("shwo", code=2))


def test_a_folder_without_an_explanation_says_what_to_give(folder: Path, tmp_path: Path) -> None:
    assert f"it holds runs: give one of them ({folder}" in one_line(
        run("show", folder.parent, code=2)
    )
    with pytest.raises(ValueError, match="holds no explanation; give the --out folder of a run"):
        saved(tmp_path)
    game = ip.FunctionGame(lambda m: m[:, 0] * 1.0, 4, fingerprint="4")
    ip.explain(game, store=tmp_path / "ablations.db")
    with pytest.raises(ValueError, match="the same command again goes on with it"):
        saved(tmp_path)


@pytest.mark.parametrize("name", [name for name in LISTED if name != "store"])
def test_help_is_wrapped_to_the_terminal_alone(name: str) -> None:
    said = run(name, "--help").split("╭")[0]
    for paragraph in re.split(r"\n\s*\n", said):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        for line, after in pairwise(lines):  # a line ends where no further word fits
            assert len(line) + 1 + len(after.split()[0]) > int(WIDTH) - 2, paragraph


@pytest.mark.model
def test_a_model_that_is_spelt_wrong() -> None:
    with pytest.raises(OSError, match=r"no model 'smolm2' \(did you mean 'smollm2'\?\)"):
        ip.text.load_model("smolm2")


def test_print_says_what_the_console_says(explanation: ip.Explanation, folder: Path) -> None:
    said = run("show", folder)
    assert re.sub(r"\W+", " ", said) == re.sub(r"\W+", " ", f"{explanation}\n")
    assert all(len(line) <= 80 for line in str(explanation).split("\n"))
    assert repr(explanation).startswith("<Explanation: Game of 6 players; R2 = ")


def test_one_way_to_write_a_set(explanation: ip.Explanation, tmp_path: Path) -> None:
    pair = "0 mean radius × 1 worst area"
    assert pair in str(explanation)
    assert pair in explanation.to_markdown(tmp_path / "a.md").read_text()
    assert "mean radius × worst area" in str(explanation.interactions())


@pytest.mark.parametrize("n_outputs", [1, 2, 3, 9])
def test_tables_fit_80_columns(n_outputs: int) -> None:
    def f(masks: Any) -> Any:
        values = np.stack([masks @ np.arange(6.0) * (j + 1) for j in range(n_outputs)], axis=1)
        return values + 1e6 * masks[:, :1] * masks[:, 1:2]

    players = [f"a long name, number {i}, of a part that says much" for i in range(6)]
    shown = str(ip.explain(ip.FunctionGame(f, 6, players=players)))
    assert all(len(line) <= 80 for line in shown.split("\n"))
    tables = shown[shown.index("Strongest") :]  # the sentences above them may shorten names
    assert "…" not in tables


def test_a_constant_lists_no_zeros() -> None:
    shown = str(ip.explain(ip.FunctionGame(lambda masks: np.full(len(masks), 3.0), 4)))
    assert "No player changes the value" in shown
    assert "┃" not in shown


def test_show_as_json_and_quietly(folder: Path) -> None:
    document = json.loads(run("show", folder, "--json"))
    assert document["explanations"][0]["players"][0] == "mean radius"
    assert run("show", folder, "--quiet") == ""
    assert not tables.console.quiet


def test_a_run_is_shown_as_it_was(tmp_path: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text("The film is long. The cast is fine. I liked the end. My sister slept.")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        arguments = (
            "text", "--model", "m", "--file", text, "--base-url", server.url, "--response", " good",
            "--question", "It is", "--budget", 16, "--out", out,
        )  # fmt: skip
        said = run(*arguments, "--index", "sii", "--order", 2, "--top", 1)
        assert "(SII, order 2)" in said
        assert said.count("│ 1 ") + said.count("│ 2 ") <= 2
        shown = run("show", out)
        assert "(SII, order 2)" in shown
        assert "(STII, order 3)" in run("show", out, "--index", "STII", "--order", 3)
        assert '"index":"SII"' in (out / "explanation.html").read_text()
        assert ip.load(out / "explanation.interplay").index == "SII"
        assert run(*arguments, "--quiet") == ""
        assert json.loads(run(*arguments, "--json"))["explanations"]
        assert "\nMATCH as far" in run("verify", out, "--sample", 0)


def test_an_explanation_is_pickled_without_its_game() -> None:
    game = ip.FunctionGame(lambda masks: masks[:, 0] * 1.0, 3)
    explanation = ip.explain(game)
    assert explanation.verdict.level == "usable"
    loaded = pickle.loads(pickle.dumps(explanation))
    assert loaded.game is None
    assert loaded.players == explanation.players
    assert str(loaded) == str(explanation)
    for copied in (copy.copy(explanation), copy.deepcopy(explanation)):
        assert copied.game is game
        assert copied.predict([True, False, True]) == explanation.predict([True, False, True])
    assert copy.deepcopy(explanation).provenance is not explanation.provenance


TOUR = Path(__file__).parents[2] / "docs" / "tour.md"


def test_examples_are_the_inputs_of_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("examples", "made")
    assert "cd made\n" in said
    written = {path.name for path in (tmp_path / "made").iterdir()}
    shell = TOUR.read_text(encoding="utf-8").partition("\ninterplay examples\n")[2]
    named = set(re.findall(r"[\w/.-]+\.(?:txt|jsonl|csv)\b", shell.partition("```")[0]))
    assert named == written
    assert named == set(re.findall(r"[\w/.-]+\.(?:txt|jsonl|csv)\b", said.partition("cd made")[2]))
    tasks = TOUR.parents[1] / "examples" / "tasks" / "agreement.jsonl"
    assert (tmp_path / "made" / "agreement.jsonl").read_bytes() == tasks.read_bytes()
    (tmp_path / "made" / "context.txt").write_text("mine")
    assert "context.txt: left as it is" in run("examples", "made")
    assert (tmp_path / "made" / "context.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_conversion_of_the_packaged_model_writes_no_carriage_returns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("transformers")
    from transformers import modeling_gguf_pytorch_utils as library

    from interplay.text.models import _conversion_shown

    before = library.tqdm
    with _conversion_shown():
        assert list(library.tqdm([1, 2, 3], desc="Converting")) == [1, 2, 3]
    assert library.tqdm is before
    assert capsys.readouterr().err == "converting the packaged model, once ...\n"
