"""The examples in docstrings run, and give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "interplay"
MODULES = [
    ".".join(("interplay", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]
TOOLKITS = [name for name in MODULES if name.startswith("interplay.toolkits.")]
"""Modules whose examples need packages of their own: tests/toolkits/test_docstrings.py."""


@pytest.mark.parametrize("name", [name for name in MODULES if name not in TOOLKITS])
def test_the_examples_of_a_module(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
