"""The page in Debian's chromium: every kind of it is loaded, pointed at, filtered and asked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.explanation.explanation import Explanation
from interplay.training.analysis.relations import at_point
from tests.report import pages
from tests.report.tabs import (
    CONTRAST,
    NEEDS_CHROMIUM,
    PATIENCE,
    choice,
    choose_output,
    opened,
    ranked,
    remove,
    value_of,
)

pytestmark = NEEDS_CHROMIUM
WIDTHS = (1280, 400)
KINDS = {
    "through ends": pages.through_ends,
    "text": pages.text,
    "outputs": pages.outputs,
    "components": pages.components,
    "training": pages.training,
    "examples": pages.examples,
    "large": pages.large,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Explanation, Path]]:
    """Each kind of explanation and its page."""
    folder = tmp_path_factory.mktemp("pages")
    explanations = {name: make() for name, make in KINDS.items()}
    return {name: (e, e.to_html(folder / f"{name}.html")) for name, e in explanations.items()}


def same(shown: list[tuple[tuple[int, ...], float]], wanted: ip.Interactions) -> None:
    """The list shows these interactions in this order, ties aside, to 1e-9."""
    assert [value for _, value in shown] == pytest.approx(wanted.values.tolist(), abs=1e-9)
    assert shown
    for players, value in shown:
        assert value == pytest.approx(float(wanted[players]), abs=1e-9)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page(
    browser: Any, made: dict[str, tuple[Explanation, Path]], kind: str, width: int
) -> None:
    explanation, path = made[kind]
    spectrum = explanation.spectrum.output(0)
    n = spectrum.n_players
    with opened(browser, path, width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("[role=checkbox]").count() == n
        # the findings, as Python has them; some of the values are tiny and tied
        output = 0 if explanation.outputs else None
        findings, _ = explanation.verdict.strongest(
            spectrum.to("FSII", order=3), 10, min_order=2, output=output
        )
        same(ranked(page), findings)
        assert not page.locator(".ranking .unsure").count()
        # the list, as Python has it
        if spectrum.deviations is not None:
            choice(page, "Certainty").select_option("all")
        everything = spectrum.to("FSII", order=3).top(10, min_order=2)
        same(ranked(page), everything)
        sure = explanation.verdict.findings(everything, output)
        assert page.locator(".ranking .unsure").count() == (~sure).sum()
        # hovering tells a player's value and its strongest company
        first = page.locator("[data-player='0']").first
        first.hover()
        tip = page.locator(".tip")
        assert (
            f"FSII {float(spectrum.to('FSII', order=3)[[0]]):+.4g}".replace("-", "−")[:9]
            in tip.text_content()
        )
        page.mouse.move(0, 0)
        assert tip.is_hidden()
        # other indices and orders
        choice(page, "Index").select_option("SII")
        choice(page, "Up to order").select_option("2")
        same(ranked(page), spectrum.to("SII", order=2).top(10, min_order=2))
        # filters
        choice(page, "Show").select_option("one")
        assert all(len(players) == 1 for players, _ in ranked(page))
        choice(page, "Show").select_option("all")
        choice(page, "Sign").select_option("minus")
        assert all(value < 0 for _, value in ranked(page))
        page.get_by_label("Find a player").fill("3")
        assert ranked(page)
        names = explanation.players
        assert all(any(p == 3 or "3" in names[p] for p in players) for players, _ in ranked(page))
        # click two players away: the prediction is the spectrum's
        mask = np.ones(n, dtype=bool)
        assert value_of(page, "predicted") == pytest.approx(float(spectrum.predict(mask)), abs=1e-9)
        for player in (1, 3):
            remove(page, page.locator(f"[data-player='{player}']").first)
            mask[player] = False
            assert value_of(page, "predicted") == pytest.approx(
                float(spectrum.predict(mask)), abs=1e-9
            )
        assert page.locator("[role=checkbox][aria-checked=false]").count() == 2


@pytest.mark.parametrize("kind", ["outputs", "through ends"])
def test_every_index_at_every_order_is_what_python_computes(
    browser: Any, made: dict[str, tuple[Explanation, Path]], kind: str
) -> None:
    explanation, path = made[kind]
    with opened(browser, path) as page:
        choice(page, "Show").select_option("all")
        if explanation.spectrum.deviations is not None:
            choice(page, "Certainty").select_option("all")
        page.get_by_role("button", name="more").click()
        choose_output(page, 1)
        spectrum = explanation.spectrum.output(1)
        for index in ("FSII", "STII", "k-SII", "SII", "FBII", "BII", "Moebius", "Co-Moebius"):
            choice(page, "Index").select_option(index)
            for order in range(1, 5):
                choice(page, "Up to order").select_option(str(order))
                found = spectrum.to(index, order=order)
                shown = ranked(page)
                assert len(shown) == min(35, int((found.filter().values != 0).sum()))
                same(shown, found.top(len(shown)))


def test_intervals_are_those_of_python(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    explanation, path = made["text"]
    with opened(browser, path) as page:
        choice(page, "Index").select_option("SII")
        found = explanation.interactions("SII", order=3).top(1, min_order=2)
        assert found.low is not None
        assert found.high is not None
        text = page.locator(".ranking tbody tr").first.text_content()
        low, high = (f"{float(x[0]):+.4g}".replace("-", "−") for x in (found.low, found.high))
        assert f"{low} to {high}" in text
        assert "cover with 90 %" in page.locator("[data-about]").text_content()


def test_what_if_beside_what_was_recorded(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    explanation, path = made["outputs"]
    held = explanation.held_out
    with opened(browser, path) as page:
        page.get_by_role("button", name="Next recorded ablation").click()
        choose_output(page, 2)
        kept = [
            box.get_attribute("aria-checked") == "true"
            for box in page.locator("[role=checkbox]").all()
        ]
        assert kept == held.masks[0].tolist()
        assert value_of(page, "recorded") == held.values[0, 2]
        assert value_of(page, "predicted") == pytest.approx(
            float(explanation.spectrum.predict(held.masks[0])[2]), abs=1e-9
        )
        # dots: predictions on the held-out masks; a click shows the ablation
        dot = page.locator(".app .scatter circle").nth(7)
        assert float(dot.get_attribute("data-actual")) == held.values[7, 2]
        dot.dispatch_event("click")
        assert value_of(page, "recorded") == held.values[7, 2]
        page.get_by_role("button", name="Remove all").click()
        assert page.locator(".part .whatif").first.get_by_text("8 of 8 removed").is_visible()
        page.get_by_role("button", name="Keep all").click()
        assert page.locator("[role=checkbox][aria-checked=false]").count() == 0


def test_training_data_begin_with_the_mean_over_test_points(browser: Any, tmp_path: Path) -> None:
    explanation = pages.test_points()
    mean = at_point(explanation.spectrum, None)
    with opened(browser, explanation.to_html(tmp_path / "a.html")) as page:
        same(ranked(page), mean.to("FSII", order=3).top(10, min_order=2))
        page.get_by_role("button", name="Next recorded ablation").click()
        assert value_of(page, "recorded") == pytest.approx(explanation.held_out.values[0].mean())
        assert page.locator(".player img").count() == 12
        choose_output(page, 1)
        same(ranked(page), explanation.spectrum.output(1).to("FSII", order=3).top(10, min_order=2))


def test_of_the_mean_a_finding_is_one_of_some_output(browser: Any, tmp_path: Path) -> None:
    plain = pages.test_points()
    spectrum = pages.uncertain(plain.spectrum)
    assert spectrum.deviations is not None
    explanation = replace(plain, spectrum=replace(spectrum, deviations=20 * spectrum.deviations))
    interactions = explanation.spectrum.to("FSII", order=3)
    sure = explanation.verdict.findings(interactions).any(axis=1)
    together = (interactions.orders > 1) & (np.abs(interactions.values) > 0).any(axis=1)
    assert 0 < (sure & together).sum() < together.sum()
    with opened(browser, explanation.to_html(tmp_path / "a.html")) as page:
        listed = page.locator(".ranking [role=status]").text_content()
        assert f"of {(sure & together).sum():,} that pass the filters" in listed
        assert "at any output" in page.locator(".part").first.inner_text()


def test_the_nearest_recorded_ablation(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    explanation, path = made["components"]
    n = len(explanation.players)
    everything = np.concatenate([explanation.held_out.masks, explanation.fit.masks])
    values = np.concatenate([explanation.held_out.values, explanation.fit.values])
    distances = (~everything).sum(axis=1)
    with opened(browser, path) as page:
        assert page.locator(".whatif .recorded").text_content() == "not evaluated"
        assert f"differs in {distances.min()} " in page.locator(".whatif .note").text_content()
        page.get_by_role("button", name="Show the nearest").click()
        assert value_of(page, "recorded") == values[distances.argmin()]
        checked = page.locator("[role=checkbox][aria-checked=true]").count()
        assert checked == n - distances.min()


def test_the_keyboard_does_all(browser: Any, made: dict[str, tuple[Explanation, Path]]) -> None:
    _, path = made["text"]
    with opened(browser, path) as page:
        page.locator("[role=checkbox]").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        focused = page.locator(":focus")
        assert focused.get_attribute("data-player") == "2"
        assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        assert page.locator(".tip").is_visible()
        page.keyboard.press("Escape")
        assert page.locator(".tip").is_hidden()
        page.keyboard.press(" ")
        assert focused.get_attribute("aria-checked") == "false"
        page.keyboard.press("End")
        assert page.locator(":focus").get_attribute("data-player") == "7"
        page.keyboard.press("ArrowUp")
        assert int(page.locator(":focus").get_attribute("data-player")) < 7
        # one stop for all players, and the list's rows
        assert page.locator("[role=checkbox][tabindex='0']").count() == 1
        page.locator(".ranking tr[tabindex='0']").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert page.locator(".ranking tr.pinned").count() == 1
        assert page.locator(".player.lit").count() == len(ranked(page)[1][0])


def test_pointing_at_an_interaction_lights_its_players(
    browser: Any, made: dict[str, tuple[Explanation, Path]]
) -> None:
    _, path = made["text"]
    with opened(browser, path) as page:
        page.locator(".ranking tbody tr").nth(1).hover()
        lit = page.eval_on_selector_all(
            ".player.lit", "all => all.map(e => Number(e.dataset.player))"
        )
        assert tuple(lit) == ranked(page)[1][0] == (0, 3, 6)
        assert page.locator(".stage .links.strong path").count() == 1  # a set is one thing
        assert page.locator(".arcs path.lit").count() == 1


def test_strength_and_more(browser: Any, made: dict[str, tuple[Explanation, Path]]) -> None:
    explanation, path = made["large"]
    values = np.abs(explanation.interactions("FSII", order=3).filter(min_order=2).values)
    with opened(browser, path) as page:
        slider = page.get_by_role("slider")
        slider.fill("60")
        kept = int((values >= 0.6 * values.max()).sum())
        said = page.locator(".ranking [role=status]").text_content()
        assert f"of {kept} that pass" in said
        slider.fill("0")
        page.get_by_role("button", name="Show 25 more").click()
        assert len(ranked(page)) == 35


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lens", [None, "text", "components", "training", "examples"])
def test_hostile_input_is_text(browser: Any, tmp_path: Path, lens: str | None, width: int) -> None:
    found = pages.hostile(lens)
    path = ip.export([(pages.HOSTILE[1], found)], tmp_path / "a.html")
    with opened(browser, path, width) as page:
        n = len(pages.HOSTILE)
        choice(page, "Show").select_option("one")
        page.get_by_role("button", name="more").click()
        shown = page.locator(".ranking").inner_text()
        for text in pages.HOSTILE[:7] + pages.HOSTILE[-3:]:
            assert text in shown
        assert "⟨U+202E⟩evil" in shown
        assert "⟨U+0000⟩⟨U+0007⟩⟨U+001B⟩[31m" in shown
        assert "(blank)" in shown
        for player in range(n):
            element = page.locator(f"[data-player='{player}']").first
            assert element.bounding_box()["width"] > 5  # the empty ones too
            number = element.locator("sup")
            remove(page, number if number.count() else element)
        assert page.locator("[role=checkbox][aria-checked=false]").count() == n
        for output in range(4):
            choose_output(page, output)
        page.locator("summary").last.click()
        assert pages.HOSTILE[3] in page.locator("h1").text_content() + page.locator(
            "pre"
        ).inner_text().replace('\\"', '"')
        assert page.locator("h1").text_content() == pages.HOSTILE[1]
        assert page.evaluate("window.__pwned") is None
        assert page.locator("body script:not(.data), img, b, iframe").count() == 1  # the bundle
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_policy_would_stop_what_got_through(browser: Any, tmp_path: Path) -> None:
    """The policy is a second wall: markup that is put into a page by force does not run."""
    path = pages.text().to_html(tmp_path / "a.html")
    page = path.read_text(encoding="utf-8")
    assert re.search(r"default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-", page)
    assert "unsafe" not in page.split("</head>")[0].split("<style>")[0]
    forced = "<script>window.__pwned = 1</script><img src=x onerror='window.__pwned = 2'>"
    path.write_text(page.replace("<main>", "<main>" + forced), encoding="utf-8")
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert tab.evaluate("window.__pwned") is None
    context.close()


def test_several_explanations_one_at_a_time(browser: Any, tmp_path: Path) -> None:
    some = [("first <i>", pages.text()), ("second", pages.components())]
    path = ip.export(some, tmp_path / "a.html")
    with opened(browser, path) as page:
        assert page.locator("section.part:visible").count() == 1
        assert page.locator("nav a[aria-current]").text_content() == "first <i>"
        page.get_by_role("link", name="second").click()
        page.locator("section.part h1", has_text="second").wait_for()  # shown once the address is
        same(ranked(page), some[1][1].spectrum.to("FSII", order=3).top(10, min_order=2))
        assert page.locator("section.part:visible").count() == 1
        page.go_back()
        page.locator("section.part h1", has_text="first <i>").wait_for()
        assert page.locator("section.part:visible").count() == 1
        page.emulate_media(media="print")
        assert page.locator("section.part:visible").count() == 2
        assert page.locator(".controls:visible").count() == 0


@pytest.mark.parametrize("n_players", [1, 4, 40])
@pytest.mark.parametrize("varies", [False, True])
def test_games_of_little_to_show(
    browser: Any, tmp_path: Path, n_players: int, varies: bool
) -> None:
    game = ip.FunctionGame(lambda m: m[:, 0] * 1.0 if varies else np.full(len(m), 3.0), n_players)
    path = ip.explain(game, budget=100).to_html(tmp_path / "a.html")
    with opened(browser, path, 400) as page:
        page.locator("[data-player='0']").first.click()
        assert value_of(page, "predicted") == pytest.approx(0.0 if varies else 3.0, abs=1e-9)
        choice(page, "Show").select_option("all")
        assert ranked(page)[:1] == ([((0,), pytest.approx(1.0))] if varies else [])
        assert ("does not vary" in page.locator(".energy").text_content()) != varies


def test_without_script(browser: Any, made: dict[str, tuple[Explanation, Path]]) -> None:
    explanation, path = made["outputs"]
    with opened(browser, path, java_script_enabled=False) as page:
        notice = page.locator("noscript .warning")
        assert notice.bounding_box()["height"] > 20
        assert "JavaScript is off" in notice.text_content()
        assert page.get_by_text(str(explanation.faithfulness)).first.is_visible()
        assert page.locator(".static .segment").count() == 8
        top = explanation.spectrum.output(0).to("FSII", order=3).top(1, min_order=2)
        assert f"{float(top.values[0]):+.4g}" in page.locator(".static table").first.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser: Any, made: dict[str, tuple[Explanation, Path]], scheme: str) -> None:
    """WCAG AA, 4.5 to 1, for words on every shade, soft text and buttons."""
    _, path = made["text"]
    with opened(browser, path, color_scheme=scheme) as page:
        page.locator("[data-player='1']").first.click()
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst
