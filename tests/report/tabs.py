"""Pages in Debian's chromium: opened, watched, and read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
PATIENCE = 600_000
"""Milliseconds for what a page does; a busy machine needs more than the usual 30 s."""


@contextmanager
def opened(
    browser: Any, path: Path, width: int = 1280, script: str = "", **settings: Any
) -> Iterator[Any]:
    """A page that must log nothing, raise nothing, ask for nothing and break no policy.

    A script may run before its own.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: trouble.append(request.url) if other(request) else None)
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error(e.violatedDirective))"
    )
    page.add_init_script(script)
    page.goto(path.as_uri())
    if settings.get("java_script_enabled", True):
        page.wait_for_selector("html[data-ready]")
    yield page
    assert trouble == []
    context.close()


def other(request: Any) -> bool:
    return not request.url.startswith(("file:", "data:image/png", "data:image/jpeg"))


def ranked(page: Any) -> list[tuple[tuple[int, ...], float]]:
    """The sets and values of the list of interactions."""
    rows = page.eval_on_selector_all(
        ".part:not([hidden]) .ranking tr[data-players]",
        "rows => rows.map(row => [row.dataset.players, Number(row.dataset.value)])",
    )
    return [(tuple(map(int, players.split(","))), value) for players, value in rows]


def choice(page: Any, label: str) -> Any:
    """The select with this label, in the part that is shown."""
    return page.get_by_role("combobox", name=label, exact=True)


def choose_output(page: Any, output: int) -> None:
    """Show an output: few have a button each, many are in a select."""
    each = page.locator(".part:not([hidden]) [role=group][aria-label=Output] button")
    if each.count():
        each.nth(output).click()
    else:
        choice(page, "Output").select_option(str(output))


def value_of(page: Any, what: str) -> float:
    return float(
        page.locator(f".part:not([hidden]) .whatif .{what}").first.get_attribute("data-value")
    )


def remove(page: Any, element: Any) -> None:
    """Remove a player: a click does that, but on a map, where a click chooses and Space removes."""
    element.click()
    if page.locator(".part:not([hidden]) .stage .frame").count():
        page.keyboard.press(" ")


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((all, v, i) => all + v * [0.2126, 0.7152, 0.0722][i], 0);
  let worst = {ratio: Infinity};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const seen = element.checkVisibility() && !element.closest("script, noscript");
    if (!seen || !walker.currentNode.data.trim()) continue;
    const behind = [];
    for (let e = element; e; e = e.parentElement) {
      behind.unshift(getComputedStyle(e).backgroundColor);
    }
    const svg = element.closest("svg");
    const ink = svg ? getComputedStyle(element).fill : getComputedStyle(element).color;
    const back = over(["white", ...behind]);
    const front = over([`rgb(${back})`, ink]);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = {ratio, text: walker.currentNode.data.slice(0, 60), ink, back};
  }
  return worst;
}"""
