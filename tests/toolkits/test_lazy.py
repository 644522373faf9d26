"""The bridges are imported when they are first used, and say what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import interplay as ip
from interplay.errors import MissingDependencyError


def test_importing_interplay_imports_no_toolkit() -> None:
    toolkits = ("shapiq", "shap", "captum", "inseq", "mlflow")
    code = f"import interplay, sys; print([name for name in {toolkits} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed == "[]\n"


def test_an_unknown_toolkit_lists_those_there_are() -> None:
    assert "shapiq" in dir(ip.toolkits)
    with pytest.raises(AttributeError, match=r"there are .*shapiq \(did you mean 'shapiq'\?\)"):
        ip.toolkits.shapique  # noqa: B018
    assert not hasattr(ip.toolkits, "lime")


def test_a_missing_toolkit_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shapiq", None)
    for module in ("shapiq", "_shapiq_values"):
        monkeypatch.delitem(sys.modules, f"interplay.toolkits.{module}", raising=False)
    monkeypatch.delitem(vars(ip.toolkits), "shapiq", raising=False)
    with pytest.raises(MissingDependencyError, match=r'pip install "interplay\[shapiq\]"'):
        ip.toolkits.shapiq  # noqa: B018
