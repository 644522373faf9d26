"""The table of what each segment does to each output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report import pages
from tests.report.tabs import NEEDS_CHROMIUM, opened

pytestmark = NEEDS_CHROMIUM


@pytest.mark.parametrize("width", [1280, 400])
def test_outputs_by_segments(browser: Any, tmp_path: Path, width: int) -> None:
    explanation = pages.outputs()
    path = explanation.to_html(tmp_path / "a.html")
    with opened(browser, path, width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cells = page.locator(".heatmap td.heat")
        assert cells.count() == 3 * 8
        singles = explanation.spectrum.to("FSII", order=3)
        values = np.array([np.broadcast_to(singles[(player,)], 3) for player in range(8)]).T
        for at, value in enumerate(values.ravel()):
            label = cells.nth(at).get_attribute("aria-label")
            assert float(label.split(": ")[1].split(",")[0].replace("−", "-")) == pytest.approx(
                value, rel=1e-3, abs=1e-9
            )
        names = page.locator(".heatmap button")
        assert names.nth(1).inner_text() == "<b>aspirin</b>"
        assert names.nth(2).inner_text() == "output 2"
        names.nth(1).click()
        assert names.nth(1).get_attribute("aria-pressed") == "true"
        assert names.nth(0).get_attribute("aria-pressed") == "false"
        cells.nth(9).hover()
        assert "aspirin" in page.locator(".tip").inner_text()


def test_one_output_has_no_table(browser: Any, tmp_path: Path) -> None:
    with opened(browser, pages.text().to_html(tmp_path / "a.html")) as page:
        assert not page.locator(".heatmap").count()
