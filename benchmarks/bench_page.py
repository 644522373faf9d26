"""The HTML page: its size, and how long it takes to be interactive and to respond.

    make bench-page

Planted functions of n players are explained and written as pages, once as a text of n words and
once as tiles. Chromium loads each page five times, in a fresh context each time; medians.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

import interplay as ip
from common import hierarchical
from interplay._types import BoolArray, FloatArray, IntArray, Json

SIZES = {20: 400, 200: 2_000, 1_000: 5_000}
"""Players, and the ablations of their explanation."""
LOADS = 5
WORDS = ("the", "river", "was", "never", "quite", "as", "deep", "or", "cold", "before")
ANSWER = """async (act) => {
  const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const change = (label, value) => {
    const labels = [...document.querySelectorAll("label")];
    const select = labels.find(l => l.textContent.startsWith(label)).querySelector("select");
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  const acts = {
    index: () => change("Index", "SII"),
    remove: () => document.querySelector("[data-player='3']").click(),
    hover: () => document.querySelector("[data-player='5']")
      .dispatchEvent(new PointerEvent("pointerover", {bubbles: true})),
  };
  await frame();
  const from = performance.now();
  acts[act]();
  await frame();
  return performance.now() - from;
}"""


class Planted:
    """A planted function that describes itself as a text of n words, or not at all."""

    batch_size = 1_000
    fingerprint = None

    def __init__(self, n_players: int, lens: str | None) -> None:
        rng = np.random.default_rng(0)
        self.n_players = n_players
        self.lens = lens
        self.players = [f"{WORDS[i % len(WORDS)]}" for i in range(n_players)]
        self.spectrum = hierarchical(n_players, rng)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        return self.spectrum.predict(masks)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Json:
        if self.lens is None:
            return {"lens": None}
        spans, at = [], 0
        for word in self.players:
            spans.append([at, at + len(word)])
            at += len(word) + 1
        return {"lens": "text", "text": " ".join(self.players), "spans": spans, "by": "word"}


def measure(browser: Browser, path: Path) -> dict[str, float]:
    """Measure the times of a page in milliseconds, medians."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: Any) -> None:
        found.setdefault(name, []).append(float(value))

    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        mark = "performance.getEntriesByName('interplay:{}')[0].startTime"
        interactive = page.evaluate(mark.format("interactive"))
        note("interactive", interactive)
        note("script", interactive - page.evaluate(mark.format("start")))
        for act in ("index", "remove", "hover"):
            note(act, page.evaluate(ANSWER, act))
        context.close()
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium: apt-get install chromium")
    print(
        "| players | shown as | terms | page, KiB | interactive, ms | of it script, ms "
        "| index switched, ms | word removed, ms | hover, ms |"
    )
    print("|" + "---|" * 9)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for n_players, budget in SIZES.items():
            for lens in ("text", None):
                explanation = ip.explain(Planted(n_players, lens), budget=budget, random_state=0)
                path = explanation.to_html(Path(folder) / f"{n_players}-{lens}.html")
                times = measure(browser, path)
                cells = " | ".join(
                    f"{times[name]:.0f}"
                    for name in ("interactive", "script", "index", "remove", "hover")
                )
                print(
                    f"| {n_players:,} | {lens or 'tiles'} | {len(explanation.spectrum)} "
                    f"| {path.stat().st_size / 1024:.0f} | {cells} |",
                    flush=True,
                )
        browser.close()


if __name__ == "__main__":
    main()
