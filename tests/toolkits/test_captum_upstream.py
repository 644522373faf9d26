"""The diff for captum applies to a copy of it, and works there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toolkits.upstream import patched, printed_by

captum = pytest.importorskip("captum", minversion="0.9")
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
    folder = patched(captum, tmp_path)
    assert "captum.attr.Interplay" in (folder / "attr" / "_core" / "llm_attr.py").read_text("utf-8")
    file, module, by_token, (ours, theirs) = printed_by(CODE, tmp_path)
    assert Path(file).parent == folder
    assert module == "interplay.toolkits.captum"
    assert by_token
    for row, expected in zip(ours, theirs, strict=True):
        assert row == pytest.approx(expected, abs=1e-6)
