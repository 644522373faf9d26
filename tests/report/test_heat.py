"""The table of what each segment does to each output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interplay.explanation.explanation import Explanation
from tests.report import pages
from tests.report.tabs import NEEDS_CHROMIUM, choice, opened

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


def many() -> Explanation:
    """Six outputs of a text of thirty segments."""
    names = tuple(f"Sentence {player} of the text." for player in range(30))
    outputs = [f"token {output}, a long one that is cut into lines" for output in range(6)]
    description = pages.text_description(names) | {"outputs": outputs}
    return pages.explanation(pages.uncertain(pages.planted(30, 60, 6)), description, names)


INSIDE = """e => {
  const cell = e.closest("td, th");
  const box = cell.closest(".wide").getBoundingClientRect();
  const name = cell.parentElement.cells[0].getBoundingClientRect();
  const at = cell.getBoundingClientRect();
  return [at.left >= name.right - 1 && at.right <= box.right + 1, name.left - box.left];
}"""


@pytest.mark.parametrize("width", [1400, 390])
def test_the_keyboard_goes_from_cell_to_cell(browser: Any, tmp_path: Path, width: int) -> None:
    """The table scrolls in a box of its own, beside the names of its rows."""
    with opened(browser, many().to_html(tmp_path / "a.html"), width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".outputs .wide")
        assert box.evaluate("e => e.scrollWidth > e.clientWidth")
        grid = page.get_by_role("grid")
        assert grid.locator("[tabindex='0']").count() == 1
        grid.locator("[tabindex='0']").focus()
        assert page.locator(":focus").get_attribute("data-output") == "0"
        visited = []
        keys = ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowUp", "End"]
        for key in [*keys, "ArrowRight", "Control+End", "Control+Home", "ArrowDown", "End"]:
            page.keyboard.press(key)
            at = page.locator(":focus")
            visited.append((at.get_attribute("data-output"), at.get_attribute("data-player")))
            assert grid.locator("[tabindex='0']").count() == 1
        assert visited == [
            *(("0", "0"), ("0", "1"), ("1", "1"), ("1", "0"), ("0", "0"), ("0", "0"), ("0", "29")),
            *(("0", "29"), ("5", "29"), ("0", None), ("1", None), ("1", "29")),
        ]
        # the cell is in sight and not behind its row's name, which stands where it was
        for key in ["Home", *["ArrowRight"] * 30, *["ArrowLeft"] * 8, "End"]:
            page.keyboard.press(key)
            is_seen, shift = page.locator(":focus").evaluate(INSIDE)
            assert is_seen or key == "Home"
            assert abs(shift) < 4
        page.wait_for_timeout(100)  # what is scrolled is told later
        tip = page.locator(".tip")
        assert "Sentence 29" in tip.inner_text()
        assert "token 1" in tip.inner_text()
        assert page.locator(":focus").get_attribute("aria-describedby") == "tip"
        page.keyboard.press("ArrowLeft")
        assert "Sentence 28" in tip.inner_text()
        assert page.locator("[aria-describedby=tip]").count() == 1
        page.keyboard.press("Escape")
        assert tip.is_hidden()
        page.keyboard.press("Enter")
        assert page.locator(".heatmap tr.chosen").get_attribute("data-output") == "1"
        # tabbing leaves the table, whose place is kept
        page.keyboard.press("Tab")
        assert page.locator(".heatmap :focus").count() == 0
        page.keyboard.press("Shift+Tab")
        assert page.locator(":focus").get_attribute("data-player") == "28"
        choice(page, "Index").select_option("SII")
        assert grid.locator("[tabindex='0']").get_attribute("data-player") == "28"


def test_one_output_has_no_table(browser: Any, tmp_path: Path) -> None:
    with opened(browser, pages.text().to_html(tmp_path / "a.html")) as page:
        assert not page.locator(".heatmap").count()
