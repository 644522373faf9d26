"""The table of docs/trust.md: each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
SECTIONS = ("Files from others", "An audit that cannot be fooled", "Numbers that mislead")


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_tests_of_the_page_exist(file: str, name: str) -> None:
    functions = {
        node.name
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions


def test_every_case_has_a_test() -> None:
    sections = dict(re.findall(r"^### (.*)\n\n((?:\|.*\n)+)", PAGE, re.M))
    assert tuple(sections) == SECTIONS
    for table in sections.values():
        head, _, *rows = table.splitlines()
        assert head == "| before | now | test |"
        assert len(rows) > 10
        for row in rows:
            cells = row.strip("|").split(" | ")
            assert len(cells) == 3, row
            assert cells[1].strip(), row
            assert "::test_" in cells[2], row
