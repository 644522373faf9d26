"""The table of docs/trust.md: each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
CASES = (*(f"A{n}" for n in range(1, 6)), *(f"B{n}" for n in range(6, 9)),
         *(f"C{n}" for n in range(9, 13)))  # fmt: skip


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_tests_of_the_page_exist(file: str, name: str) -> None:
    functions = {
        node.name
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions


def test_every_case_has_a_test() -> None:
    rows = re.findall(r"^\| ([ABC]\d+) \|(.*)\|$", PAGE, re.M)
    assert {case for case, _ in rows} == set(CASES)
    for case, row in rows:
        assert "::test_" in row.rsplit("|", 1)[-1], case
