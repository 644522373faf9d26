"""The Python of the README and of the pages on the lenses runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

BLOCKS = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.S)


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)
    assert (tmp_path / "a.html").exists()
    top = names["explanation"].interactions("FSII", order=2).top(1, min_order=2)  # type: ignore[attr-defined]
    assert top.sets == [(1, 2)]


@pytest.mark.model
def test_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec("import interplay as ip\n" + BLOCKS[1], names)
    assert names["explanation"].faithfulness.exact  # type: ignore[attr-defined]
    exec(BLOCKS[3], names)  # nothing is left to be made
    assert "to evaluate   0, in calls of 0" in capsys.readouterr().out


@pytest.mark.model
def test_components(smollm: tuple[Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = smollm
    names = {"model": model, "tokenizer": tokenizer}
    exec("import interplay as ip\n" + BLOCKS[2], names)
    assert names["best"].proven  # type: ignore[attr-defined]
    assert "linear " in capsys.readouterr().out


@pytest.mark.model
def test_the_page_on_the_text_lens(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path("docs/text.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict[str, object] = {}
    exec("import numpy as np\nimport interplay as ip\n" + block, names)
    assert "<|im_start|>user\nThe door is green. Which colour has it?" in capsys.readouterr().out
    assert names["game"].players == ("Answer", "in", "one", "word.")  # type: ignore[attr-defined]


@pytest.mark.model
def test_the_page_on_the_components_lens(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path("docs/components.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(block, {})
    said = capsys.readouterr().out
    assert "linear " in said
    assert "spectrum 8 " in said


def test_the_page_on_the_training_lens(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path("docs/training.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(block, {})
    said = capsys.readouterr().out
    assert "redundancies, same class: " in said
    assert "random (2, 5)" in said


def test_the_page_on_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path("docs/plots.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (said,) = re.findall(r'get_title\("left"\).*  # (.*)', block)
    monkeypatch.chdir(tmp_path)
    exec(f"import matplotlib; matplotlib.use('Agg')\n{block}", {})
    assert capsys.readouterr().out == f"{said}\n"
    assert (tmp_path / "bars.pdf").exists()
    assert (tmp_path / "upset.png").exists()
