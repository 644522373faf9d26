"""Ctrl-C before the first ablation: commands say what is stored, and end as shells expect."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BEGIN = [sys.executable, "-X", "importtime", "-m", "interplay.cli"]
LATE = "interplay.cli.options"
"""What every command imports when it is called."""
PATIENCE = 100


def arguments(command: str, folder: Path) -> list[str]:
    """Options with which the command would run."""
    table, text = folder / "table.csv", folder / "text.txt"
    rows = [f"{number % 7},{number % 5},{'ab'[number % 2]}" for number in range(60)]
    table.write_text("\n".join(["x,y,kind", *rows]) + "\n")
    text.write_text("Anna has two keys. The red key opens the garden.")
    prompts = folder / "prompts.jsonl"
    asked = {"messages": [{"role": "user", "content": "The red key opens the garden."}]}
    prompts.write_text(json.dumps(asked) + "\n")
    of_model = ["--model", "smollm2"]
    out = ["--out", str(folder / "out")]
    given = {
        "training": ["--table", table, "--label", "kind", "--players", 6, "--trainer", "logistic"],
        "text": [*of_model, "--file", text, "--response", " garden"],
        "components": [*of_model, "--task", EXAMPLES / "tasks" / "agreement.jsonl"],
        "finetune": [
            *of_model,
            "--examples",
            EXAMPLES / "finetuning" / "facts.jsonl",
            "--questions",
            EXAMPLES / "finetuning" / "facts_questions.jsonl",
        ],
        "audit": [*of_model, "--prompts", prompts, "--response", " garden"],
        "compare": ["old", "new"],
        "demo": [],
    }
    return [str(part) for part in (*given[command], *out)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["training", "text", "components", "finetune", "audit", "compare", "demo"]
)
def test_what_is_stored_is_told(command: str, tmp_path: Path) -> None:
    # the interpreter lists what it imports, by which the test knows that the command has begun
    process = subprocess.Popen(
        [*BEGIN, command, *arguments(command, tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("import time:") and line.endswith(f" {LATE}\n"):
                break
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
    lines = (line for line in said.splitlines() if not line.startswith("import time:"))
    told = " ".join(" ".join(lines).split())  # in the lines of a terminal
    assert "Traceback" not in told
    assert told.startswith("Interrupted. Ablations that were finished are stored")
    assert "The same command goes on from there." in told
    # of an interrupt within exec(), as of a named tuple, Python itself ends by the signal
    assert process.returncode in (130, -signal.SIGINT)  # a shell calls either 130
