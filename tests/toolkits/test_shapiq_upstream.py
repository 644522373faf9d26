"""The diff for shapiq applies to a copy of it, and works there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

shapiq = pytest.importorskip("shapiq", minversion="1.8")
DIFF = Path(__file__).parents[2] / "docs" / "upstream" / "shapiq.diff"
CODE = """
import json
import numpy as np
import shapiq
from shapiq.explainer import configuration
rows = np.random.default_rng(0).normal(size=(20, 5))
model = lambda rows: rows[:, 0] * rows[:, 1] + rows[:, 2]
by_name = {}
for approximator in ("interplay", "regression"):
    explainer = shapiq.TabularExplainer(
        model, rows, approximator=approximator, index="k-SII", max_order=2, sample_size=20,
        random_state=0,
    )
    values = explainer.explain(rows[3], budget=32)
    by_name[approximator] = [values[(0,)], values[(0, 1)], values[()]]
agnostic = shapiq.AgnosticExplainer(model, n_players=5, approximator="interplay")
print(json.dumps([shapiq.__file__, type(agnostic.approximator).__module__, by_name]))
"""


@pytest.mark.slow
def test_the_diff_applies_and_the_name_works(tmp_path: Path) -> None:
    folder = tmp_path / "shapiq"
    shutil.copytree(Path(shapiq.__file__).parent, folder)
    apply = ["git", "apply", "--unidiff-zero", "-p2", str(DIFF)]
    subprocess.run(apply, cwd=tmp_path, check=True)
    assert '"interplay"' in (folder / "explainer" / "configuration.py").read_text(encoding="utf-8")
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    file, module, by_name = json.loads(printed)
    assert Path(file).parent == folder
    assert module == "interplay.toolkits.shapiq"
    assert by_name["interplay"] == pytest.approx(by_name["regression"], abs=1e-6)
