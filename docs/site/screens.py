"""The pictures of docs/report.md: ``python docs/site/screens.py [joint heads text narrow]``.

The runs are made with the packaged model, in some minutes on one core, and kept in ``out/screens``:
a second call takes them from there. Pictures are taken by Debian's chromium, as those of the
gallery are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interplay as ip
from interplay.components import ComponentGame, Joint, Task, heads, mlps

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "img"
OUT = Path("out/screens")
STORE = OUT / "ablations.db"


def handover() -> ip.Explanation:
    """The handover of ``make demo``, as ``interplay text`` explains it: with the model's answer."""
    from interplay.cli.app import main
    from interplay.cli.demo import CASES

    (case,) = (case for case in CASES if case.name == "handover")
    folder = OUT / "handover"
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / "handover.txt"
    file.write_text(case.text, encoding="utf-8")
    question = case.prompt.removeprefix("{text}").strip()
    what = ["--file", str(file), "--by", case.by, "--question", question]
    how = ["--response", " penicillin", "--target", "prob", "--budget", str(case.budget)]
    command = ["text", "--model", "smollm2", "--threads", "1", *what, *how]
    if not folder.exists():
        sys.argv = ["interplay", *command, "--decisive", "--quiet", "--out", str(folder)]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
    return ip.load(folder / "explanation.interplay")


def of_heads() -> ip.Explanation:
    """Heads and MLPs of six layers on agreement of verbs."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    task = Task.from_file(ROOT / "examples" / "tasks" / "agreement.jsonl", "margin")
    train, _ = task.split(0.9)
    layers = range(9, 15)
    units = heads(model, layers) + mlps(model, layers)
    game = ComponentGame(model, tokenizer, train, units)
    return ip.explain(game, budget=600, store=STORE).with_truth_tables(store=STORE)


def of_joint() -> ip.Explanation:
    """Words and heads of four layers in one game."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    words = ip.text.TextGame(
        model,
        tokenizer,
        "The acting is not bad.",
        ip.text.LogitDifference(" positive", " negative"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    game = Joint(words, heads(model, layers=range(18, 22)))
    return ip.explain(game, budget=600, store=STORE).with_truth_tables(store=STORE)


def strongest_player(explanation: ip.Explanation) -> int:
    """The player that the strongest interaction has first."""
    return explanation.interactions(order=3).top(1, min_order=2).sets[0][0]


SCREENS: dict[str, tuple[Callable[[], ip.Explanation], int, int, str]] = {
    "joint": (of_joint, 1000, 760, "light"),
    "heads": (of_heads, 1000, 860, "dark"),
    "text": (handover, 1000, 1075, "light"),
    "narrow": (handover, 410, 844, "light"),
}
"""Of each picture: the run, the width and height in pixels, the colours."""


def take(browser: Any, name: str) -> None:
    """Take the picture of a page; on a map a player of the strongest interaction is chosen."""
    run, width, height, scheme = SCREENS[name]
    explanation = run()
    page = OUT / f"{name}.html"
    explanation.to_html(page)
    view = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    view.goto(page.resolve().as_uri())
    view.wait_for_timeout(500)
    if name in ("joint", "heads"):
        view.locator(f"[data-player='{strongest_player(explanation)}']").first.click()
        view.mouse.move(0, 0)
        view.evaluate("scrollTo(0, 0)")
    view.screenshot(path=PICTURES / f"report-{name}.png")
    view.close()
    print(name, explanation.faithfulness, flush=True)


def main() -> None:
    """Take the pictures that are named, or all."""
    from playwright.sync_api import sync_playwright

    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for name in sys.argv[1:] or SCREENS:
            take(browser, name)
        browser.close()


if __name__ == "__main__":
    main()
