"""The widget in chromium: its module draws into the element of a minimal host, as notebooks do."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import interplay as ip
from interplay.report.bundle import bundle
from tests.report import pages
from tests.report.tabs import NEEDS_CHROMIUM, PATIENCE, ranked

HOST = """async ({script, traits}) => {
  document.body.innerHTML = "<style>body {margin: 40px} .notebook {position: relative}</style>"
    + "<p class='small'>a cell</p><div class='notebook'></div>";
  const url = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
  const { default: widget } = await import(url);
  const element = document.createElement("div");
  document.querySelector(".notebook").append(element);
  globalThis.end = await widget.render({ model: { get: (name) => traits[name] }, el: element });
}"""


@pytest.fixture(scope="module")
def explanation() -> ip.Explanation:
    return pages.text()


def test_the_traits_are_the_page(explanation: ip.Explanation) -> None:
    widget = explanation.widget()
    assert widget.page.startswith('<section class="part"')
    assert widget.css == bundle().style
    assert "https:" not in widget.css
    data, _ = explanation._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert explanation._repr_html_().startswith("<div")


def test_without_anywidget_the_static_view_remains(
    explanation: ip.Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interplay.report import widget

    widget._widget_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert explanation._repr_mimebundle_() is None
    assert explanation._display_()._mime_() == ("text/html", explanation._repr_html_())
    with pytest.raises(ip.MissingDependencyError, match=r'pip install "interplay\[notebook\]"'):
        explanation.widget()


class TestInChromium:
    pytestmark = NEEDS_CHROMIUM

    def test_a_notebook_s_element_holds_the_live_page(
        self, browser: Any, explanation: ip.Explanation
    ) -> None:
        widget = explanation.widget()
        traits = {"page": widget.page, "css": widget.css}
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.set_default_timeout(PATIENCE)
        trouble: list[str] = []
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(("blob:", "data:")) else trouble.append(asked.url)
            ),
        )
        page.goto("about:blank")
        page.evaluate(HOST, {"script": bundle("widget").script, "traits": traits})
        page.wait_for_selector("section.part[data-ready]")
        # the same findings as in Python
        shown = ranked(page)
        interactions = explanation.interactions(order=3)
        assert shown
        for players, value in shown:
            assert value == pytest.approx(float(interactions[players]), abs=1e-9)
        # it answers: without a player the prediction is another one
        before = page.locator(".whatif [data-value]").first.get_attribute("data-value")
        page.locator(".board-place [data-player]").first.click()
        after = page.locator(".whatif [data-value]").first.get_attribute("data-value")
        assert before != after
        # what hovers is inside the same root, beside what it is about
        page.mouse.move(1, 1)
        segment = page.locator(".board-place [data-player]").nth(1)
        segment.hover()
        tip = page.locator(".tip")
        tip.wait_for(state="visible")
        assert page.evaluate("document.querySelector('.tip')") is None
        about, at = tip.bounding_box(), segment.bounding_box()
        assert (
            min(
                abs(about["y"] - at["y"] - at["height"]),
                abs(at["y"] - about["y"] - about["height"]),
            )
            < 12
        )
        # links lead within it, and leave the notebook's address alone
        page.evaluate(
            "document.querySelector('.notebook > div > div').shadowRoot"
            ".querySelector('.badge a').click()"
        )
        assert page.url == "about:blank"
        # neither style reaches the other
        assert (
            page.evaluate("getComputedStyle(document.querySelector('p.small')).fontSize") == "16px"
        )
        page.evaluate("end()")
        assert page.locator("section.part").count() == 0
        assert trouble == []
        page.close()
