"""The gallery: real runs, recorded as small files, of which every build draws the pages anew.

``python docs/site/gallery.py`` makes the runs again, in some minutes on one core, and writes
``docs/gallery/NAME.interplay``; ``python docs/site/gallery.py --pictures`` takes a picture of the
first screen of each page, ``docs/img/gallery-NAME.png``, with Debian's chromium. The pages
themselves are not kept: a build writes them from the recorded explanations.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import interplay as ip

DOCS = Path(__file__).parents[1]
RECORDED = DOCS / "gallery"
PICTURES = DOCS / "img"
NAMES = ("handover", "review", "meeting", "agreement", "digits", "few")


def pages() -> dict[str, str]:
    """The HTML page of each recorded explanation, by its name on the site."""
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = Path(folder, f"{name}.html")
            ip.load(RECORDED / f"{name}.interplay").to_html(path)
            made[f"gallery/{name}.html"] = path.read_text(encoding="utf-8")
    return made


def record() -> None:
    """Make the runs again, with the packaged model, and write their explanations."""
    from interplay.cli.demo import CASES

    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    cases = {case.name: case for case in CASES}
    for name, case in cases.items():
        explanation = ip.explain(case.game(model, tokenizer), budget=case.budget)
        if name == "handover":
            explanation.necessary()
            explanation.sufficient()
        _keep(name, explanation)
    _keep("few", ip.explain(cases["review"].game(model, tokenizer), budget=40))
    for name, notebook in [
        ("meeting", "rag-answer"),
        ("agreement", "heads"),
        ("digits", "training-data"),
    ]:
        _keep(name, _of_notebook(notebook))


def _keep(name: str, explanation: ip.Explanation) -> None:
    explanation.save(RECORDED / f"{name}.interplay")
    print(name, explanation.faithfulness, flush=True)


def _of_notebook(name: str) -> ip.Explanation:
    """The explanation of a tutorial: its cells up to the one that makes it are run."""
    cells = json.loads((DOCS / "tutorials" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": name}
    for cell in cells:
        if cell["cell_type"] == "code" and "explanation" not in names:
            exec("".join(cell["source"]), names)
    explanation: ip.Explanation = names["explanation"]
    return explanation


def take_pictures() -> None:
    """Take a picture of the first screen of each page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        view = browser.new_page(viewport={"width": 1100, "height": 700})
        for name, page in pages().items():
            path = Path(folder, "page.html")
            path.write_text(page, encoding="utf-8")
            view.goto(path.as_uri())
            view.wait_for_timeout(500)
            view.screenshot(path=PICTURES / f"gallery-{Path(name).stem}.png")
        browser.close()


if __name__ == "__main__":
    take_pictures() if "--pictures" in sys.argv[1:] else record()
