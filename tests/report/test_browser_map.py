"""The map of components and their circuits in Debian's chromium."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import FloatArray
from interplay.components import Ranking, compare_circuits
from interplay.explanation.explanation import Explanation
from interplay.report import circuits
from tests.report import pages
from tests.report.tabs import CONTRAST, NEEDS_CHROMIUM, choice, opened, ranked, value_of

pytestmark = NEEDS_CHROMIUM


COVERED = """() => {
  const links = [...document.querySelectorAll(".stage .links .link")];
  for (const link of links) link.style.pointerEvents = "stroke";
  const labels = [...document.querySelectorAll(".others .cell, .titles span, .label span")];
  const near = [];
  for (const link of links) {
    const length = link.getTotalLength(), to = link.getScreenCTM();
    for (let i = 0; i <= 300; i++) {
      const { x, y } = link.getPointAtLength((length * i) / 300).matrixTransform(to);
      for (const label of labels) {
        const box = label.getBoundingClientRect();
        if (x < box.left || x > box.right || y < box.top || y > box.bottom) continue;
        if (document.elementFromPoint(x, y)?.matches(".link")) near.push(label.textContent);
      }
    }
  }
  return [links.length, labels.length, [...new Set(near)]];
}"""
"""How many arcs and labels there are, and which labels an arc stands over."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Explanation, Path]:
    explained = pages.model_of_heads()
    path = tmp_path_factory.mktemp("map") / "a.html"
    return explained, explained.with_circuits(pages.pruned(explained)).to_html(path)


def by_player(page: Any, of: str) -> list[Any]:
    """What a JavaScript expression says of each player's cell `e`, in the players' order."""
    pairs = page.eval_on_selector_all(
        ".player.cell[role]", f"all => all.map(e => [Number(e.dataset.player), {of}])"
    )
    return [value for _, value in sorted(pairs)]


def kept(page: Any) -> list[bool]:
    return by_player(page, "e.ariaChecked === 'true'")


def of_player(explained: Explanation, player: int) -> ip.Interactions:
    """What a player acts with: findings of two or more players, the strongest first."""
    ranked = explained.interactions("FSII", order=3)
    findings, _ = explained.verdict.strongest(ranked, len(ranked), min_order=2)
    rows = (findings.members == player).any(axis=1)
    return replace(
        findings,
        members=findings.members[rows],
        values=findings.values[rows],
        deviations=None if findings.deviations is None else findings.deviations[rows],
    )


def test_colours_stand_for_numbers(browser: Any, made: tuple[Explanation, Path]) -> None:
    explained, path = made
    interactions = explained.interactions("FSII", order=3)
    effects: FloatArray = np.abs(explained.verdict.shaded_effects(interactions, 0))
    with opened(browser, path) as page:
        ramp = page.locator(".ramp")
        assert ramp.get_by_text("FSII of each component alone, nats").is_visible()
        end = float(ramp.locator(".ticks span").last.text_content().split()[-1])
        full = explained.verdict.full_shade(float(effects.max()))
        assert full <= end <= 2 * full
        assert by_player(page, "Number(e.style.getPropertyValue('--a'))") == pytest.approx(
            (0.6 * effects / end).tolist(), abs=1e-3
        )
        left_out = int((effects == 0).sum())
        assert 0 < left_out < len(effects)
        assert f"({left_out} of {len(effects)})" in page.locator(".legend").text_content()
        # both axes are named
        assert page.locator(".titles").all_inner_texts() == ["head", "layer\n0\n1\n2\n3\n4\n5\nMLP"]
        assert page.locator(".frame .label").all_inner_texts() == ["0", "1"]
        # the strongest findings are joined, and the list names them
        arcs = page.locator(".frame .links .link")
        assert arcs.count() == len(ranked(page))


def test_without_intervals_the_legend_says_so(browser: Any, tmp_path: Path) -> None:
    with opened(browser, pages.components().to_html(tmp_path / "a.html")) as page:
        assert (
            "nothing says which of the values may be zero" in page.locator(".legend").text_content()
        )


def test_a_click_shows_what_a_component_acts_with(
    browser: Any, made: tuple[Explanation, Path]
) -> None:
    explained, path = made
    spectrum = explained.spectrum
    with opened(browser, path) as page:
        panel = page.locator(".partners")
        assert panel.get_by_role("heading").all_inner_texts() == [
            "Strongest alone",
            "Strongest together",
        ]
        page.locator("[data-player='4']").click()
        page.mouse.move(0, 0)
        assert kept(page) == [True] * 14  # nothing was removed
        assert panel.get_by_role("heading").first.inner_text().endswith("L0.H4")
        partners = of_player(explained, 4)
        lines = panel.locator("li")
        assert lines.count() == min(8, len(partners)) > 0
        for i, (players, value) in enumerate(list(partners)[: lines.count()]):
            text = lines.nth(i).inner_text()
            assert f"{float(value):+.4g}".replace("-", "−")[:6] in text
            assert all(explained.players[p] in text for p in players if p != 4)
        without = np.arange(14) != 4
        change = float(spectrum.predict(without) - spectrum.predict(np.ones(14, bool)))
        assert f"{change:+.4g}".replace("-", "−")[:6] in panel.inner_text()
        # the map shows the same, and the axes name what is lit
        lit = page.eval_on_selector_all(
            ".player.lit", "all => all.map(e => Number(e.dataset.player))"
        )
        assert 4 in lit
        assert set(lit) <= {p for players, _ in partners for p in players}
        assert "4" in page.locator(".titles .lit").all_inner_texts()
        panel.get_by_role("button", name="Remove it").click()
        assert [i for i, one in enumerate(kept(page)) if not one] == [4]
        assert value_of(page, "predicted") == pytest.approx(float(spectrum.predict(without)))
        panel.get_by_role("button", name="Close").click()
        assert page.locator(".cell.selected").count() == 0


def test_the_keyboard_moves_over_the_map(browser: Any, made: tuple[Explanation, Path]) -> None:
    _, path = made
    with opened(browser, path) as page:
        page.locator("[role=checkbox]").first.focus()
        at = lambda: page.locator(":focus").get_attribute("data-player")  # noqa: E731
        visited = []
        for key in ["ArrowRight"] * 6 + ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"]:
            page.keyboard.press(key)
            visited.append(at())
        # along the row to its MLP, where it ends; down to the MLP of the next layer; back
        assert visited == ["1", "2", "3", "4", "5", "12", "12", "13", "11", "5"]
        page.keyboard.press("Enter")
        assert page.locator(".cell.selected").get_attribute("data-player") == "5"
        assert page.locator(":focus").get_attribute("aria-checked") == "true"
        page.keyboard.press(" ")
        assert page.locator(":focus").get_attribute("aria-checked") == "false"
        page.keyboard.press("Escape")
        assert page.locator(".cell.selected").count() == 0


def test_circuits_step_by_step(browser: Any, made: tuple[Explanation, Path]) -> None:
    explained, path = made
    given = pages.pruned(explained)
    ends = explained.spectrum.ends
    assert ends is not None
    with opened(browser, path) as page:
        status = page.locator(".circuits [role=status]")
        assert "14 of 14 kept. Measured" in status.inner_text()
        assert "faithfulness f = 1.00" in status.inner_text()
        page.get_by_role("button", name="Smaller").click()
        assert kept(page) == given[2].mask.tolist()
        share = (given[2].train[0] - ends[1]) / (ends[0] - ends[1])
        assert f"Measured {given[2].train[0]:.4g}".replace("-", "−") in status.inner_text()
        assert f"f = {share:.2f}".replace("-", "−") in status.inner_text().replace("-", "−")
        assert f"On other items {given[2].test[0]:.4g}".replace("-", "−") in status.inner_text()
        recorded = page.locator(".whatif .recorded").get_attribute("data-value")
        assert recorded == str(given[2].train[0])  # the same, though it is no ablation of the run
        # the slider goes from one size to the next by a key
        slider = page.get_by_role("slider", name="Number of components kept")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert kept(page) == given[1].mask.tolist()
        assert slider.input_value() == "3"
        assert slider.get_attribute("aria-valuetext") == "3 of 14 kept"
        page.keyboard.press("ArrowRight")
        assert kept(page) == given[2].mask.tolist()
        # another series, of which nothing but the ends was measured
        choice(page, "Circuits").select_option("1")
        best = ip.optimize.best_subset(explained.spectrum, keep=9)
        assert kept(page) == best.mask.tolist()
        assert f"Predicted {best.value:.4g}".replace("-", "−") in status.inner_text()
        assert "not measured" in status.inner_text()
        # a component removed by hand is no circuit
        page.locator("[data-player='0']").focus()
        page.keyboard.press(" ")
        assert "another choice" in status.inner_text()
        page.get_by_role("button", name="Keep all").click()
        assert "14 of 14 kept" in status.inner_text()
        page.locator(".circuits summary").click()
        assert page.locator(".circuits tr[data-size]").count() == 15
        # the circuits stand under the map that they light up
        above = page.locator(".frame").bounding_box()
        below = page.locator(".circuits").bounding_box()
        assert above is not None
        assert below is not None
        assert 0 < below["y"] - (above["y"] + above["height"]) < 300
        page.locator(".circuits tr[data-size='2']").click()
        assert sum(kept(page)) == 2
        page.locator(".circuit-chart circle[data-size='5']").click()
        assert sum(kept(page)) == 5


def test_circuits_that_were_compared(browser: Any, tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    items = pages.ItemsOf(explained, np.array([0.5, 1.5, 2.0]))
    comparison = compare_circuits(items, {"by number": Ranking(-np.arange(14.0), cost=15)})
    nothing, whole = comparison.ends[:, 0]
    path = explained.with_circuits(comparison).to_html(tmp_path / "a.html")
    with opened(browser, path) as page:
        page.get_by_role("button", name="Smaller").click()  # half of the players
        assert kept(page) == [True] * 7 + [False] * 7
        score = comparison.of("by number").scores[0, -2, 0]
        status = page.locator(".circuits [role=status]").inner_text().replace("-", "−")
        assert f"On other items {score:.4g}, f = ".replace("-", "−") in status
        assert f"f = {(score - nothing) / (whole - nothing):.2f}".replace("-", "−") in status


ENDS_IN_A_CELL = """dot => {
  const middle = (e) => {
    const box = e.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const [x, y] = middle(dot);
  return [...document.querySelectorAll(".player.cell")]
    .map(middle)
    .some(([cx, cy]) => Math.abs(cx - x) < 3 && Math.abs(cy - y) < 3);
}"""


@pytest.mark.parametrize("shape", [(3, 9, False), (30, 9, True)])
def test_models_of_all_sizes_fit(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, bool]
) -> None:
    monkeypatch.setattr(circuits, "_SHARES", (0.2, 0.5))
    n_layers, n_heads, mlps = shape
    explained = pages.model_of_heads(n_layers, n_heads, 60, mlps)
    path = explained.to_html(tmp_path / "a.html")
    for width in (1280, 400):
        with opened(browser, path, width) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = [box.bounding_box() for box in page.locator(".player.cell").all()]
            assert len(boxes) == len(explained.players)
            assert min(box["width"] for box in boxes) >= 20
            assert min(box["height"] for box in boxes) >= 14
            # arcs end in the middle of cells, on paper too, which is laid out without a script
            for media in ("screen", "print"):
                page.emulate_media(media=media)
                dots = page.locator(".frame .links .dot").all()
                assert dots
                assert all(dot.evaluate(ENDS_IN_A_CELL) for dot in dots)


def test_other_kinds_of_units_and_other_players(browser: Any, tmp_path: Path) -> None:
    units = [
        [[2, "head", 0], [2, "head", 1]],
        [[2, "mlp", 0]],
        [[5, pages.HOSTILE[0], 7]],
        [[5, pages.HOSTILE[0], 3]],
        [],
        [],
    ]
    description = {
        "lens": "components",
        "view": {"kind": "grid", "title": pages.HOSTILE[0]},
        "units": units,
        "n_heads": [2] * 6,
    }
    names = ("pair", "L2.MLP", "one", "two", *pages.HOSTILE[:2])
    spectrum = pages.uncertain(pages.planted(6, 20))
    explained = pages.explanation(spectrum, description, names, 60)
    given = [replace(one, method=pages.HOSTILE[0]) for one in pages.pruned(explained, (2, 4))]
    path = explained.with_circuits(given).to_html(tmp_path / "a.html")
    for script in (True, False):
        with opened(browser, path, java_script_enabled=script) as page:
            assert pages.HOSTILE[0] in page.locator("body").inner_text()
            if script:
                assert page.locator(".player.cell").count() == 7  # the pair has two cells
                assert page.locator(".several .cell").count() == 2
                assert page.locator(".others .cell").all_inner_texts() == list(pages.HOSTILE[:2])
                assert page.evaluate("window.__pwned") is None
            else:
                assert page.locator(".map tbody tr").count() == 2
                assert page.locator(".static .sizes tbody tr").count() == 3


@pytest.mark.parametrize("width", [1400, 390])
def test_no_arc_stands_over_a_label(browser: Any, tmp_path: Path, width: int) -> None:
    drawn = {"joint": pages.joint(), "heads": pages.model_of_heads()}
    for name, explained in drawn.items():
        with opened(browser, explained.to_html(tmp_path / f"{name}.html"), width) as page:
            page.locator(".stage .links .link").first.wait_for(state="attached")
            n_links, n_labels, covered = page.evaluate(COVERED)
            assert (n_links, covered) == (10, [])
            titles = page.locator(".titles").all_inner_texts()
            if name == "joint":
                assert n_labels == 5 + 2 + 1 + 4 + 1  # words, layers, "layer", heads, "head"
                assert titles == ["layer\n0\n1\n2\n3", "head"]  # below, where no arc goes
                words, map_ = page.locator(".others").bounding_box(), page.locator(".frame")
                assert words["y"] + words["height"] + 40 < map_.bounding_box()["y"]


def test_words_beside_the_map_without_a_script(browser: Any, tmp_path: Path) -> None:
    explained = pages.joint()
    effects = explained.verdict.shaded_effects(explained.interactions("FSII", order=3), 0)
    path = explained.to_html(tmp_path / "a.html")
    with opened(browser, path, java_script_enabled=False) as page:
        words = page.locator(".map-words .segment")
        numbered = [f"{name}{n}" for n, name in enumerate(explained.players[:5])]
        assert words.all_inner_texts() == numbered
        kinds = [word.get_attribute("class").split()[1] for word in words.all()]
        assert [kind[0] for kind in kinds] == ["p" if e >= 0 else "m" for e in effects[:5]]
        assert any(kind not in ("plus0", "minus0") for kind in kinds)
        heads = page.locator(".map thead tr").all_inner_texts()
        assert [row.split() for row in heads] == [["head"], ["layer", "0", "1", "2", "3"]]
        assert page.locator(".map tbody th").all_inner_texts() == ["3", "4"]
        cells = page.locator(".map tbody td").all_inner_texts()
        assert cells == [f"{effect:+.2g}" if effect else "" for effect in effects[5:]]
        assert "FSII of each player by itself" in page.locator("body").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser: Any, made: tuple[Explanation, Path], scheme: str) -> None:
    with opened(browser, made[1], color_scheme=scheme) as page:
        page.locator("[data-player='4']").click()
        page.get_by_role("button", name="Smaller").click()
        page.locator(".circuits summary").click()
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst


def test_the_map_without_a_script(browser: Any, made: tuple[Explanation, Path]) -> None:
    explained, path = made
    effects = explained.verdict.shaded_effects(explained.interactions("FSII", order=3), 0)
    with opened(browser, path, java_script_enabled=False) as page:
        cells = page.locator(".map tbody td").all_inner_texts()
        order = [*range(6), 12, *range(6, 12), 13]  # each layer's heads, then its MLP
        assert cells == [f"{effects[p]:+.2g}" if effects[p] else "" for p in order]
        assert page.locator(".static .sizes tbody tr").count() == 4
