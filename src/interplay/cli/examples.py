"""``interplay examples``: inputs for the commands of the documentation, ready to be run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from interplay.cli.tables import console

_INPUTS = {
    "context.txt": "twelve sentences, two of which say the same",
    "agreement.jsonl": "subjects and their verbs, for the heads of a transformer",
    "digits.csv": "scikit-learn's handwritten digits, a row each",
    "train.jsonl": "sixteen facts of two countries to fine-tune on; two say the same",
    "ask.jsonl": "two questions on them",
}
_COMMANDS = """\
interplay text --model smollm2 --file context.txt --by sentence \\
    --question "Therefore: The red key opens the" --response " garden" --target prob \\
    --budget 400 --out out/key
interplay components --model smollm2 --task agreement.jsonl --layers 9-11 --keep 0.66 \\
    --out out/heads
interplay training --table digits.csv --label digit --players 100 --remove 10 \\
    --out out/digits
interplay finetune --model smollm2 --examples train.jsonl --questions ask.jsonl \\
    --budget 500 --out out/facts"""


def examples_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write them; it is made if missing.")
    ] = Path(),
) -> None:
    """Write inputs for the commands of the docs into a folder, and print these commands.

    A file that is there already is left as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, what in _INPUTS.items():
        path = folder / name
        if path.exists():
            console.print(f"{path}: left as it is", markup=False, highlight=False)
            continue
        path.write_text(content(name), encoding="utf-8", newline="\n")
        console.print(f"{path}: {what}", markup=False, highlight=False)
    there = "" if folder == Path() else f"cd {folder}\n"
    console.print(f"\n{there}{_COMMANDS}", markup=False, highlight=False, soft_wrap=True)


def content(name: str) -> str:
    """The text of an input."""
    if name == "digits.csv":
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(_digits())
        return written.getvalue()
    return (files("interplay.cli") / "inputs" / name).read_text(encoding="utf-8")


def _digits() -> Iterator[list[object]]:
    """The header and the rows of scikit-learn's digits, which come with that package."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    yield [*(f"p{number}" for number in range(digits.data.shape[1])), "digit"]
    for pixels, digit in zip(digits.data.astype(int).tolist(), digits.target, strict=True):
        yield [*pixels, int(digit)]
