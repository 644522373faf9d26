"""Nothing of a file, a server or a name acts on a terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

import interplay as ip
from interplay._types import visible
from interplay.ablation.terminal import Terminal
from interplay.cli.app import app, main

ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x1b]8;;http://evil\x1b\\click\u202e\u2066\r\x08"
HOSTILE = (f"a{ESCAPES}b", "[link=http://evil]click[/link][red]", "c", "=cmd()|'/C calc'!A0", "e")
HIDDEN = "\x1b\x07\x9b\u202e\u2066\r\x08"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An explanation in which every text that is printed is hostile."""
    game = ip.FunctionGame(
        lambda masks: masks[:, 0] + 2.0 * (masks[:, 1] & masks[:, 2]), 5, players=HOSTILE
    )
    explanation = ip.explain(game)
    decoder = explanation.provenance["decoder"]
    told = decoder | {"requested": HOSTILE[1], "diagnosis": {"summary": f"{ESCAPES}{HOSTILE[1]}"}}
    path = tmp_path_factory.mktemp("terminal") / "explanation.interplay"
    return replace(explanation, provenance=explanation.provenance | {"decoder": told}).save(path)


def printed(*arguments: object) -> str:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "400"}).output


@pytest.mark.parametrize(
    "command", [("show",), ("show", "--index", "SII", "--all"), ("verify", "--sample", "0")]
)
def test_commands(saved: Path, command: tuple[str, ...]) -> None:
    shown = printed(command[0], saved, *command[1:])
    assert not set(HIDDEN) & set(shown)
    if command[0] == "show":
        assert "⟨U+001B⟩]0;pwned⟨U+0007⟩⟨U+001B⟩[2J⟨U+009B⟩31m" in shown
        assert "[link=http://evil]click[/link][red]" in shown


def test_exceptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a\x1b[31mb"
    folder.mkdir()
    junk = folder / "junk"
    junk.write_text("no archive")
    monkeypatch.setattr(sys, "argv", ["interplay", "show", str(folder)])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    monkeypatch.setattr(sys, "argv", ["interplay", "show", str(junk)])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "⟨U+001B⟩" in said.err


def test_exports_and_the_notebook(saved: Path, tmp_path: Path) -> None:
    explanation = ip.load(saved)
    markdown = explanation.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    tables = markdown.split("### Provenance")[0]
    assert not set(HIDDEN) & set(tables)
    assert r"\[link=http://evil\]click" in tables
    assert not set(HIDDEN) & set(markdown)
    assert not set(HIDDEN) & set(explanation._repr_html_())


def test_what_python_prints(saved: Path) -> None:
    explanation = ip.load(saved)
    assert not set(HIDDEN) & set(str(explanation.interactions("FSII", order=2).top(9)))
    assert "U+001B" in str(explanation.interactions("SV"))
    game = ip.FunctionGame(
        lambda masks: masks[:, 0] + 2.0 * (masks[:, 1] & masks[:, 0]), 5, players=HOSTILE
    )
    assert "U+001B" in str(ip.explain(game).confirm(1))


def test_tables_and_styles_come_through() -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, force_terminal=True, width=80, color_system="standard")
    table = Table()
    table.add_column("x\x1b[2J")
    table.add_row("[bold]fine[/bold] \u202e")
    terminal.print(table)
    text = file.getvalue()
    assert "\x1b[1mfine\x1b[0m" in text
    assert "\x1b[2J" not in text
    assert "⟨U+202E⟩" in text


def test_visible_keeps_what_is_meant() -> None:
    assert visible("two\nlines\tand 👩‍👧 नमस्ते") == "two\nlines\tand 👩‍👧 नमस्ते"
    assert visible("\ud800") == "⟨U+D800⟩"
