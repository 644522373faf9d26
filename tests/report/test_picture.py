"""An image with its regions on the page: what is drawn, what is not, and how it works there."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import Json
from interplay.images import Constant, ImageGame, ImageTextGame
from interplay.report.picture import picture
from tests.report.tabs import NEEDS_CHROMIUM, opened, ranked, value_of

PHOTO = np.random.default_rng(0).integers(1, 256, (30, 60, 3), dtype=np.uint8)
JPEG = base64.b64encode(b"\xff\xd8 a picture").decode()


def recorded(**changed: Any) -> Json:
    square = [[0, 0, 2, 0, 2, 2, 0, 2]]
    of_image = {"jpeg": JPEG, "map": [4, 2], "outlines": [square, []], "places": [[1, 1], [3, 0]]}
    return {"picture": of_image | changed}


def test_outlines_are_drawn_in_units_of_their_own() -> None:
    view = picture(recorded(), 2)
    assert view is not None
    assert (view["width"], view["height"]) == (640, 320)
    assert view["paths"] == ["M0,0L320,0L320,320L0,320Z", ""]
    assert view["places"] == [[240.0, 240.0], [560.0, 80.0]]
    assert view["pieces"] == []
    with_words = picture(recorded() | {"pieces": [["Is it ", None], ["dark", 2]]}, 3)
    assert with_words is not None
    assert with_words["pieces"] == [("Is it ", None), ("dark", 2)]


@pytest.mark.parametrize(
    "changed",
    [
        {"jpeg": 'x" onload="alert(1)'},
        {"jpeg": ""},
        {"jpeg": "A" * (1 << 21)},
        {"map": [0, 2]},
        {"outlines": [[["0,0L9,9"]], []]},
        {"outlines": [[]]},
        {"places": [[1, 1]]},
        {"places": None},
    ],
)
def test_what_a_file_may_hold_instead(changed: Json) -> None:
    assert picture(recorded(**changed), 2) is None
    assert picture({}, 2) is None
    assert picture(recorded(), 3) is None


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a game of regions, and of one of regions and words, with a hostile name."""
    folder = tmp_path_factory.mktemp("pages")
    halves = {"<b>left</b>": (0, 0, 30, 30), "right": (30, 0, 60, 30)}
    image = ImageGame(
        lambda images: images[:, 0, 0, 0] * 1.0 + images[:, 0, 59, 0], PHOTO, regions=halves,
        fill=Constant(0.0),
    )  # fmt: skip
    both = ImageTextGame(
        lambda images, texts: images[:, 0, 0, 0] * np.array(["dark" in text for text in texts]),
        PHOTO, "Is it dark", regions=halves, fill=Constant(0.0), prompt="Look: {text}",
    )  # fmt: skip
    return {
        "image": ip.explain(image, budget=4).to_html(folder / "image.html"),
        "both": ip.explain(both, budget=32).to_html(folder / "both.html"),
    }


def test_the_page_without_a_script(pages: dict[str, Path]) -> None:
    text = pages["image"].read_text(encoding="utf-8")
    assert '<image href="data:image/jpeg;base64,' in text
    assert "<title>&lt;b&gt;left&lt;/b&gt;</title>" in text
    assert "<b>left</b>" not in text
    static = pages["both"].read_text(encoding="utf-8").partition('class="static"')[2]
    assert 'class="segment' in static


class TestBrowser:
    pytestmark = NEEDS_CHROMIUM

    def test_regions_are_removed_and_restored(self, browser: Any, pages: dict[str, Path]) -> None:
        with opened(browser, pages["image"]) as page:
            regions = page.locator("path.player.region")
            assert regions.count() == 2
            assert regions.first.get_attribute("aria-label") == "0: <b>left</b>"
            whole = float(PHOTO[0, 0, 0]) + float(PHOTO[0, 59, 0])
            assert value_of(page, "predicted") == pytest.approx(whole)
            regions.first.click()
            assert value_of(page, "predicted") == pytest.approx(float(PHOTO[0, 59, 0]))
            assert "removed" in regions.first.get_attribute("class")
            page.keyboard.press(" ")
            assert value_of(page, "predicted") == pytest.approx(whole)
            # the picture was read, under the page's policy
            box = page.locator(".stage svg.regions image").bounding_box()
            assert box["width"] == pytest.approx(2 * box["height"], rel=0.02)

    def test_regions_and_words(self, browser: Any, pages: dict[str, Path]) -> None:
        with opened(browser, pages["both"]) as page:
            assert page.locator(".stage .region").count() == 2
            assert page.locator(".stage .segment").count() == 3
            assert ranked(page)[0][0] == (0, 4)
            page.locator(".stage .segment").nth(2).click()
            assert value_of(page, "predicted") == pytest.approx(0.0, abs=1e-9)
