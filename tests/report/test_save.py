"""The page saves what it shows as SVG and as PNG, from disk, under its own policy."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.report import pages
from tests.report.tabs import NEEDS_CHROMIUM, PATIENCE

pytestmark = NEEDS_CHROMIUM


@pytest.mark.parametrize("make", [pages.text, pages.components], ids=["text", "components"])
def test_what_is_shown_is_saved(browser: Any, make: Any, tmp_path: Path) -> None:
    explanation = make()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(explanation.to_html(tmp_path / "page.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    if make is pages.text:  # as it is shown now
        page.locator(".board-place [data-player]").first.click()
    files = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {kind}").click()
        files[kind] = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == f"explanation.{kind.lower()}"
    assert trouble == []
    drawing = ElementTree.fromstring(files["SVG"])
    words = " ".join("".join(drawing.itertext()).split())
    assert " ".join(page.locator(".head h1").inner_text().split()) in words
    assert not {"script", "button", "input"} & {node.tag.split("}")[-1] for node in drawing.iter()}
    if make is pages.text:
        removed = [node for node in drawing.iter() if node.get("aria-checked") == "false"]
        assert removed
    assert files["PNG"].startswith(b"\x89PNG")
    width, height = struct.unpack(">II", files["PNG"][16:24])
    assert (width, height) == (2 * int(drawing.get("width")), 2 * int(drawing.get("height")))  # type: ignore[arg-type]
    # the file, opened by itself, looks like that: not one colour
    page.goto("about:blank")
    (tmp_path / "a.svg").write_bytes(files["SVG"])
    (tmp_path / "a.png").write_bytes(files["PNG"])
    page.goto((tmp_path / "a.svg").as_uri())
    assert page.locator("foreignObject .head").count() == 1
    context.close()
