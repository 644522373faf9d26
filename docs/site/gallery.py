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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

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
            decisive = explanation.necessary(), explanation.sufficient()
            explanation = replace(explanation, decisive=decisive)
        _keep(name, explanation.with_truth_tables())
    _keep("few", ip.explain(cases["review"].game(model, tokenizer), budget=40))
    _keep("meeting", _of_notebook("rag-answer")["explanation"])
    _keep("agreement", _of_notebook("heads")["explanation"].with_truth_tables())
    names = _of_notebook("training-data")
    point = names["data_with"](names["unseen"][:1])  # one test point, to keep the file small
    game = names["TrainingGame"](names["Logistic"](), point, "margin")
    _keep("digits", ip.explain(game, budget=700, decoder="gp").with_truth_tables())


def _keep(name: str, explanation: ip.Explanation) -> None:
    replace(explanation, spectrum=_smaller(explanation.spectrum)).save(
        RECORDED / f"{name}.interplay"
    )
    print(name, explanation.faithfulness, flush=True)


def _smaller(spectrum: ip.Spectrum) -> ip.Spectrum:
    """The spectrum with deviations that say the same, to three digits, in a fifth of the space.

    Intervals depend on the products of their rows alone, so that they may be turned until half of
    them is zero.
    """
    if spectrum.deviations is None:
        return spectrum
    rows = spectrum.deviations.reshape(-1, spectrum.deviations.shape[-1])
    turned = np.linalg.qr(rows.T, mode="r").T
    mantissa, exponent = np.frexp(turned)
    turned = np.ldexp(np.round(mantissa * 2**10) / 2**10, exponent)
    turned[np.abs(turned) < 1e-6 * np.abs(turned).max()] = 0.0
    shape = (*spectrum.deviations.shape[:-1], turned.shape[1])
    return replace(spectrum, deviations=turned.reshape(shape))


def _of_notebook(name: str) -> dict[str, Any]:
    """What a tutorial has named once its explanation is made: its cells up to there are run."""
    cells = json.loads((DOCS / "tutorials" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": name}
    for cell in cells:
        if cell["cell_type"] == "code" and "explanation" not in names:
            exec("".join(cell["source"]), names)
    return names


def take_pictures() -> None:
    """Take a picture of the first screen of each page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        view = browser.new_page(viewport={"width": 1100, "height": 640})
        for name, page in pages().items():
            path = Path(folder, "page.html")
            path.write_text(page, encoding="utf-8")
            view.goto(path.as_uri())
            view.wait_for_timeout(500)
            view.screenshot(path=PICTURES / f"gallery-{Path(name).stem}.png")
        browser.close()


if __name__ == "__main__":
    take_pictures() if "--pictures" in sys.argv[1:] else record()
