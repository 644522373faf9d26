"""What is imported when: a command line answers at once, and a package costs what is used of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from interplay.cli.app import app
from interplay.cli.commands import LISTED, Deferred

HEAVY = (
    "IPython", "PIL", "accelerate", "icu4py", "jinja2", "joblib", "lightgbm", "matplotlib",
    "networkx", "onnxruntime", "openai", "pandas", "ray", "scipy", "sentencex", "sklearn", "skops",
    "torch", "transformers",
)  # fmt: skip
"""Packages that nothing needs before it computes."""


def imported_by(code: str) -> set[str]:
    """The packages that a new process has imported at its end."""
    code += "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_package_imports_nothing_but_what_is_used() -> None:
    assert not imported_by("import interplay").intersection((*HEAVY, "numpy", "rich", "typer"))


@pytest.mark.slow
def test_all_names_of_the_package_import_nothing_heavy() -> None:
    code = "import interplay; [getattr(interplay, name) for name in interplay.__all__]"
    assert not imported_by(code).intersection(HEAVY)


@pytest.mark.parametrize("argument", ["--help", "-h", "--version"])
def test_help_imports_no_command(argument: str) -> None:
    code = f"""
import sys
from interplay.cli.app import main
sys.argv = ["interplay", {argument!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
assert "interplay.cli.text" not in sys.modules"""
    assert not imported_by(code).intersection((*HEAVY, "numpy"))


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in LISTED if name != "store"])
def test_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from interplay.cli.app import main
sys.argv = ["interplay", {command!r}, "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code"""
    assert not imported_by(code).intersection(HEAVY)


def test_a_summary_is_the_first_sentence_of_the_help() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, listed in LISTED.items():
        command = commands[name]
        assert isinstance(command, Deferred)
        help_text = " ".join(command.loaded().help.split("\n\n")[0].split())
        assert help_text.startswith(listed.summary), name
