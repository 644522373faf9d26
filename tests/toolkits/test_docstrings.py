"""The examples in the docstrings of the bridges run where the toolkits are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import test_docstrings

pytest.importorskip("shapiq", minversion="1.8")
for package in ("shap", "captum", "inseq"):
    pytest.importorskip(package)


@pytest.mark.parametrize("name", test_docstrings.TOOLKITS)
def test_the_examples_of_a_bridge(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_docstrings.test_the_examples_of_a_module(name, tmp_path, monkeypatch)
