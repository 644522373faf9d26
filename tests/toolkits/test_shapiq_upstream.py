"""The diff for shapiq applies to a copy of it, and works there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toolkits.upstream import patched, printed_by

shapiq = pytest.importorskip("shapiq", minversion="1.8")
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
    folder = patched(shapiq, tmp_path, "-p2")
    assert '"interplay"' in (folder / "explainer" / "configuration.py").read_text(encoding="utf-8")
    file, module, by_name = printed_by(CODE, tmp_path)
    assert Path(file).parent == folder
    assert module == "interplay.toolkits.shapiq"
    assert by_name["interplay"] == pytest.approx(by_name["regression"], abs=1e-6)
