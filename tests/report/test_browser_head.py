"""What a page says first, in Debian's chromium: the finding is on the first screen of each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.explanation.explanation import Explanation
from interplay.explanation.findings import findings
from interplay.report import html
from tests.report import pages
from tests.report.tabs import NEEDS_CHROMIUM, opened, ranked, value_of

pytestmark = NEEDS_CHROMIUM
AXE = Path(html.__file__).with_name("web") / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = ((1400, 900), (1000, 800), (390, 844))
MESSAGES = (
    ("system", "Answer in one word."),
    ("user", "Mrs Hill is allergic to penicillin. She drank tea."),
    ("assistant", "I noted that."),
    ("user", "Mr Cole is allergic to aspirin. What is Mrs Hill allergic to?"),
)


def chat() -> Explanation:
    """A chat, with what a template writes around its messages."""
    text, spans, turns = "", [], []
    for role, message in MESSAGES:
        text += f"<|im_start|>{role}\n"
        turns.append([role, len(text), len(text) + len(message)])
        for sentence in message.replace(". ", ".|").split("|"):
            start = text.find(sentence) if sentence in text else len(text)
            spans.append([start, start + len(sentence)])
            text += sentence + " "
        text = text.rstrip() + "<|im_end|>\n"
    description = pages.text_description(("a",)) | {
        "text": text,
        "spans": spans,
        "targets": [{"kind": "Response", "text": " penicillin", "score": "logit"}],
        "view": {"kind": "text", "title": "The input", "turns": turns},
    }
    names = tuple(text[start:stop] for start, stop in spans)
    return pages.explanation(pages.uncertain(pages.planted(len(spans), 20)), description, names)


def documents() -> Explanation:
    """Documents with ids."""
    names = tuple(f"[paper-{i}] {sentence}" for i, sentence in enumerate(pages.SENTENCES))
    description = pages.text_description(pages.SENTENCES, "\n\n") | {"by": "document"}
    return replace(pages.explanation(pages.text().spectrum, description, names), asked=None)


def not_usable() -> Explanation:
    """One that predicts nothing."""
    rng = np.random.default_rng(0)
    return ip.explain(ip.FunctionGame(lambda m: rng.normal(size=len(m)), 30), budget=60)


def interrupted() -> Explanation:
    """One of which ablations are missing."""
    made = pages.text()
    budget = made.provenance["budget"] | {"planned": 900, "interrupted": True}
    return replace(made, provenance=made.provenance | {"budget": budget})


def circuits() -> Explanation:
    """A map with circuits."""
    explained = pages.model_of_heads()
    return explained.with_circuits(pages.pruned(explained))


KINDS: dict[str, Callable[[], Explanation]] = {
    "text": pages.text,
    "documents": documents,
    "chat": chat,
    "heads": pages.model_of_heads,
    "training": pages.test_points,
    "fine-tuning": pages.examples,
    "not usable": not_usable,
    "interrupted": interrupted,
}
OTHERS: dict[str, Callable[[], Explanation]] = {
    "outputs": pages.outputs,
    "circuits": circuits,
    "large": pages.large,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Explanation, Path]]:
    folder = tmp_path_factory.mktemp("heads")
    explanations = {kind: make() for kind, make in (KINDS | OTHERS).items()}
    return {kind: (e, e.to_html(folder / f"{kind}.html")) for kind, e in explanations.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_screen_answers(
    browser: Any, made: dict[str, tuple[Explanation, Path]], kind: str
) -> None:
    """What was asked, what came out, what decides, and whether to trust it: without scrolling."""
    explanation, path = made[kind]
    told = findings(explanation)
    assert bool(told) == (kind != "not usable")
    with opened(browser, path, 1400) as page:
        for width, height in SCREENS:
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            first = ".finding" if told else ".no-finding"
            for part in ("h1", ".came-out", first, ".badge"):
                box = page.locator(f".head {part}").first.bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= height, (part, width)
        words = page.locator(".finding").all_inner_texts()
        assert len(words) == len(told) <= 3
        assert ("No finding is claimed" in page.locator(".head").inner_text()) == (not told)
        # everything that a finding is taken from is on the page
        for link in page.locator(".head a").all():
            assert page.locator(str(link.get_attribute("href"))).count() == 1


FROZEN = """const Real = ResizeObserver;
window.ResizeObserver = class extends Real {
  constructor(run) { super((...all) => window.frozen || run(...all)); }
};
addEventListener("resize", (event) => window.frozen && event.stopImmediatePropagation(), true);"""
"""Nothing is drawn again for another width from when the page says `frozen` on."""


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
@pytest.mark.parametrize("pointed", [False, True])
def test_no_drawing_makes_the_page_wider(
    browser: Any, made: dict[str, tuple[Explanation, Path]], kind: str, pointed: bool
) -> None:
    """Not even before it is drawn again, and it is no higher than what it stands on."""
    with opened(browser, made[kind][1], 1400, FROZEN) as page:
        page.wait_for_function("document.querySelector('.arcs rect, .frame path')")
        if pointed:
            page.locator(".stage .player").last.focus()
            assert page.locator(".tip").is_visible()
        page.evaluate("window.frozen = true")
        for width in (1000, 390, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        stage = page.evaluate("""() => [...document.querySelectorAll(".stage, .stage > *")]
          .map(e => [e.clientWidth, e.scrollWidth])""")
        assert all(inner <= outer for outer, inner in stage)


def test_a_text_that_becomes_shorter_leaves_no_empty_room(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    """Its drawing was as high as the narrow one's, which the text's own height did not undo."""
    heights = "() => [...document.querySelectorAll('.stage, .stage > *')].map(e => e.scrollHeight)"
    for kind in ("large", "documents"):
        with opened(browser, made[kind][1], 390) as page:
            page.set_viewport_size({"width": 1400, "height": 900})
            page.wait_for_timeout(200)
            after = page.evaluate(heights)
        with opened(browser, made[kind][1], 1400) as page:
            assert page.evaluate(heights) == after


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: run `npm ci` in report/web")
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    browser: Any, made: dict[str, tuple[Explanation, Path]], scheme: str, width: int
) -> None:
    """By the rules of axe-core, whose script needs a way around the page's policy."""
    found = []
    for kind in (*KINDS, *OTHERS) if scheme == "light" else ("text", "heads", "outputs"):
        with opened(browser, made[kind][1], width, color_scheme=scheme, bypass_csp=True) as page:
            if page.locator(".card").count():
                page.locator(".card .light").first.click()
                page.mouse.move(0, 0)
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            cells = page.locator(".heatmap td" if kind == "outputs" else ".stage .player")
            cells.last.focus()
            assert page.locator(".tip").is_visible()
            page.evaluate(AXE.read_text(encoding="utf-8"))
            violations = page.evaluate("axe.run().then(result => result.violations)")
            found += [
                (kind, one["id"], node["html"][:160])
                for one in violations
                for node in one["nodes"][:2]
            ]
    assert found == []


def test_a_finding_and_its_card_light_up_what_they_name(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    _, path = made["text"]
    with opened(browser, path, 1400) as page:
        lit = "all => all.map(e => Number(e.dataset.player))"
        card = page.locator(".card").first
        players = [int(p) for p in str(card.get_attribute("data-players")).split(",")]
        assert card.locator("tbody tr").count() == 2 ** len(players)
        page.locator(".finding").first.hover()
        assert page.eval_on_selector_all(".player.lit", lit) == players
        page.mouse.move(0, 0)
        assert page.locator(".player.lit").count() == 0
        # by the keyboard, and it stays
        button = card.get_by_role("button", name="Light up")
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert page.eval_on_selector_all(".player.lit", lit) == players
        assert page.locator(".ranking tr.pinned").get_attribute("data-players") == ",".join(
            map(str, players)
        )
        page.locator(".finding .evidence").first.click()
        page.wait_for_url("**#part1-card0")
        assert page.locator(".card.pinned").count() == 1
        assert page.locator("section.part:visible").count() == 1


NO_WORDS = """() => {
  const words = [...document.querySelectorAll(".stage .words, .stage .fixed")]
    .flatMap((e) => [...e.getClientRects()])
    .map((r) => ({left: r.left, right: r.right, top: r.top + r.height / 4,
                  bottom: r.bottom - r.height / 4}));
  const crossed = [];
  for (const path of document.querySelectorAll(".stage .links path.link")) {
    const matrix = path.getScreenCTM();
    for (let at = 0; at <= path.getTotalLength(); at += 2) {
      const p = path.getPointAtLength(at).matrixTransform(matrix);
      if (words.some((w) => p.x > w.left && p.x < w.right && p.y > w.top && p.y < w.bottom))
        crossed.push([p.x, p.y]);
    }
  }
  return [document.querySelectorAll(".stage .links path.link").length, crossed.length];
}"""


@pytest.mark.parametrize("kind", ["text", "documents", "chat", "fine-tuning"])
def test_no_line_runs_through_words(
    browser: Any, made: dict[str, tuple[Explanation, Path]], kind: str
) -> None:
    _, path = made[kind]
    with opened(browser, path) as page:
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(100)
            n_paths, n_crossed = page.evaluate(NO_WORDS)
            assert n_crossed == 0
            assert (n_paths > 0) == (kind != "fine-tuning")


def test_messages_and_documents(browser: Any, made: dict[str, tuple[Explanation, Path]]) -> None:
    for script in (True, False):
        scope = ".stage" if script else ".static"
        with opened(browser, made["chat"][1], java_script_enabled=script) as page:
            assert page.locator(f"{scope} .bubble .role").all_inner_texts() == [
                role for role, _ in MESSAGES
            ]
            assert "im_start" not in page.locator(f".view {scope}").first.inner_text()
            n = len(made["chat"][0].players)
            assert page.locator(f"{scope} .segment").count() == n
    with opened(browser, made["documents"][1]) as page:
        assert page.locator(".stage .document .id").all_inner_texts() == [
            f"paper-{i}" for i in range(8)
        ]
        tops = [box.bounding_box()["y"] for box in page.locator(".stage .document").all()]
        assert tops == sorted(set(tops))  # one below the other


def test_what_was_asked_later_is_measured(browser: Any, tmp_path: Path) -> None:
    game = ip.FunctionGame(lambda m: 1.0 * (m[:, 2] | m[:, 5]), 14, fingerprint="or")
    explanation = ip.explain(game, budget=64, decoder="gp").with_truth_tables()
    with opened(browser, explanation.to_html(tmp_path / "a.html")) as page:
        assert "Either of 2 and 5 suffices" in page.locator(".finding").first.inner_text()
        assert page.locator(".card").first.locator(".guess").count() == 0
        for player in (2, 5):
            page.locator(f".stage [data-player='{player}']").click()
        assert value_of(page, "recorded") == 0.0


def test_single_player_indices_and_outputs_by_keys(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    explanation, path = made["training"]
    with opened(browser, path) as page:
        page.get_by_role("combobox", name="Index", exact=True).select_option("BV")
        page.get_by_role("button", name="Next output").focus()
        page.keyboard.press("Enter")  # from the mean, which is the last, to the first
        assert page.get_by_role("combobox", name="Output", exact=True).input_value() == "0"
        wanted = explanation.spectrum.output(0).to("BV", order=1).top(10)
        assert [value for _, value in ranked(page)] == pytest.approx(wanted.values.tolist())
        page.get_by_role("combobox", name="Index", exact=True).select_option("FSII")
        assert all(len(players) > 1 for players, _ in ranked(page))
