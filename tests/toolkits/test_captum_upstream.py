"""The diff for captum applies to a copy of it, and works there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

captum = pytest.importorskip("captum", minversion="0.9")
DIFF = Path(__file__).parents[2] / "docs" / "upstream" / "captum.diff"
CODE = """
import json
import captum.attr
import torch
from captum.attr import Interplay, LLMAttribution, ShapleyValues
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
net.device = "cpu"
rows = torch.randn(2, 5)
values = [method(net).attribute(rows, target=1).tolist() for method in (Interplay, ShapleyValues)]
by_token = LLMAttribution(Interplay(net), tokenizer=None).include_per_token_attr
assert not hasattr(captum.attr, "Interplays")
print(json.dumps([captum.__file__, Interplay.__module__, by_token, values]))
"""


@pytest.mark.slow
def test_the_diff_applies_and_the_method_works(tmp_path: Path) -> None:
    folder = tmp_path / "captum"
    shutil.copytree(Path(captum.__file__).parent, folder)
    apply = ["git", "apply", "--unidiff-zero", str(DIFF)]
    subprocess.run(apply, cwd=tmp_path, check=True)
    assert "captum.attr.Interplay" in (folder / "attr" / "_core" / "llm_attr.py").read_text("utf-8")
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    file, module, by_token, (ours, theirs) = json.loads(printed)
    assert Path(file).parent == folder
    assert module == "interplay.toolkits.captum"
    assert by_token
    for row, expected in zip(ours, theirs, strict=True):
        assert row == pytest.approx(expected, abs=1e-6)
