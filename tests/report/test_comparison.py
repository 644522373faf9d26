"""Reports of a comparison begin with what changed, in words, on a page and on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import interplay as ip
from interplay import plots
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.explanation.differences import outcome_of, verdicts_said
from interplay.explanation.explanation import Explanation
from interplay.explanation.findings import findings
from interplay.explanation.truth import truth_tables
from interplay.report.export import schema
from tests.report import pages
from tests.report.tabs import NEEDS_CHROMIUM, opened, ranked
from tests.report.test_browser_head import AXE, SCREENS

N = len(pages.SENTENCES)


class Sentences(ip.FunctionGame):
    """A probability by the sentences of a text, which describes itself as the text lens does."""

    batch_size = 64

    def __init__(self, values: Callable[[BoolArray], FloatArray], **more: Any) -> None:
        super().__init__(values, N, players=list(pages.SENTENCES), fingerprint=values.__name__)
        self.more = more

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Json:
        return pages.text_description(pages.SENTENCES) | self.more


def old_value(masks: BoolArray) -> FloatArray:
    return np.asarray(0.1 + 0.5 * (masks[:, 0] | masks[:, 6]) + 0.2 * (masks[:, 3] & masks[:, 5]))


def new_value(masks: BoolArray) -> FloatArray:
    """0 and 6 no longer stand in for each other, 3 and 5 have the other sign, 1 and 2 are new."""
    return np.asarray(
        0.4
        + 0.2 * masks[:, 0]
        - 0.2 * (masks[:, 3] & masks[:, 5])
        + 0.1 * (masks[:, 1] & masks[:, 2])
    )


def made_of(
    other: Callable[[BoolArray], FloatArray], names: tuple[str, str], **settings: Any
) -> ip.Comparison:
    games = (Sentences(old_value, dtype="torch.float32"), Sentences(other, dtype="torch.bfloat16"))
    settings = {"decoder": "gp", "budget": 120, "progress": False} | settings
    return ip.compare(*games, names=names, **settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ip.Comparison, Path]]:
    """Comparisons, each with the page of its saved file."""
    comparisons = {
        "changed": made_of(new_value, ("old", "new"), margin=0.05),
        "untested": made_of(new_value, ("old", "new"), confirm=0),
        "the same": made_of(old_value, ("old", "again"), margin=0.05),
        "exact": made_of(new_value, ("old", "new"), budget=2**N),
        "hostile": made_of(new_value, pages.HOSTILE[:2], budget=2**N),
    }
    folder = tmp_path_factory.mktemp("comparisons")
    written = {}
    for kind, comparison in comparisons.items():
        loaded = ip.load(comparison.explanation.save(folder / f"{kind}.interplay"))
        written[kind] = (comparison, loaded.to_html(folder / f"{kind}.html"))
    return written


def values_of(interactions: Any) -> dict[tuple[int, ...], Any]:
    return dict(zip(interactions.sets, interactions.values.tolist(), strict=True))


def of(made: dict[str, tuple[ip.Comparison, Path]], kind: str) -> Explanation:
    return made[kind][0].explanation


def test_reports_begin_with_the_difference(made: dict[str, tuple[ip.Comparison, Path]]) -> None:
    explanation = of(made, "changed")
    assert explanation.compared == ("old", "new")
    assert explanation.first_output == 2
    assert explanation.title.startswith("old and new compared: ")
    told = findings(explanation)
    assert 1 <= len(told) <= 3
    kinds = {finding.players: finding.kind for finding in told}
    assert kinds.items() <= {c.players: c.kind for c in made["changed"][0].changes()}.items()
    assert told[0].evidence == "confirmed"
    assert all("FSII" in str(finding) and " to " in str(finding) for finding in told)
    # a value that can be negative is not clipped to a probability's range
    (table, *_) = truth_tables(explanation)
    difference = new_value(np.ones((1, N), np.bool_)) - old_value(np.ones((1, N), np.bool_))
    assert table.entries[0].value == pytest.approx(float(difference[0]))
    one = ip.explain(Sentences(old_value), decoder="gp", budget=60, progress=False)
    assert (one.compared, one.first_output, one.agreement) == (None, 0, None)


def test_what_came_of_it(made: dict[str, tuple[ip.Comparison, Path]]) -> None:
    outcomes = {kind: outcome_of(of(made, kind)) for kind in made}
    assert outcomes["changed"].words == "Changed; different by more than 0.05"
    assert outcomes["changed"].level == "changed"
    assert "are confirmed by fresh ablations" in outcomes["changed"].reasons[0]
    assert outcomes["untested"].words == "Change seen, not tested"
    assert outcomes["the same"].words == "The same; equivalent within 0.05"
    assert outcomes["the same"].level == "no change"
    assert findings(of(made, "the same")) == ()
    assert all(finding.evidence == "not tested" for finding in findings(of(made, "untested")))
    # what is recorded of the margin is kept, and listed as taken on trust
    agreement = of(made, "changed").agreement
    assert agreement is not None
    assert agreement["n_masks"] == 100
    assert agreement["n_within"] < 95
    checked = ip.verify(of(made, "changed"), None)
    assert any(entry.what == "agreement" for entry in checked.trusted)


def test_noise_is_said_to_be_none(made: dict[str, tuple[ip.Comparison, Path]]) -> None:
    def noisy(masks: BoolArray) -> FloatArray:
        noise = [np.random.default_rng(row.tolist()).normal(scale=0.02) for row in masks]
        return old_value(masks) + np.array(noise)

    comparison = made_of(noisy, ("old", "new"))
    outcome = outcome_of(comparison.explanation)
    assert outcome.level == "unclear"
    assert outcome.words in ("Not known what changed", "No change confirmed")


def test_the_outputs_of_several(tmp_path: Path) -> None:
    def two(masks: BoolArray) -> FloatArray:
        return np.stack([old_value(masks), new_value(masks)], axis=1)

    def swapped(masks: BoolArray) -> FloatArray:
        return two(masks)[:, ::-1]

    games = [ip.FunctionGame(values, N) for values in (two, swapped)]
    comparison = ip.compare(*games, budget=2**N, confirm=2, progress=False)
    explanation = comparison.explanation
    assert explanation.first_output == 4
    # what was tested of the first output says nothing of the second
    assert any(change.confirmed for change in comparison.changes())
    assert not any(change.confirmed for change in comparison.changes(output=1))
    assert "2 of 6 outputs" not in explanation._repr_html_()
    assert "3 of 6 outputs" in explanation._repr_html_()


def test_text_json_markdown_and_plots(
    made: dict[str, tuple[ip.Comparison, Path]], tmp_path: Path
) -> None:
    explanation = of(made, "changed")
    told = [str(finding) for finding in findings(explanation)]
    printed = " ".join(str(explanation).split())
    assert "Changed; different by more than 0.05." in printed
    assert all(sentence in printed for sentence in told)
    assert "old → new" in printed
    assert "not confirmed" in printed or "confirmed" in printed
    document = json.loads(explanation.to_json(tmp_path / "a.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema()).validate(document)
    (record,) = document["explanations"]
    assert record["comparison"]["names"] == ["old", "new"]
    assert record["comparison"]["output"] == 2
    assert [finding["sentence"] for finding in record["findings"]] == told
    said = explanation.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    assert "**Changed; different by more than 0.05.**" in said
    compact = explanation._repr_html_()
    assert compact.index("new less old") < compact.index(">old<")
    assert "Changed; different by more than 0.05." in compact
    # the largest difference stands first, though other outputs have larger values
    singles = explanation.interactions(order=3)
    shown, _ = explanation.verdict.strongest(singles, 5, max_order=1, by=2)
    sizes = np.abs(shown.values[:, 2]).tolist()
    assert sizes == sorted(sizes, reverse=True)
    pytest.importorskip("matplotlib")
    assert "new less old" in plots.bars(explanation).get_title(loc="left")
    assert "output old" in plots.bars(explanation, output=0).get_title(loc="left")


def test_verdicts_of_tests_are_about_the_change(
    made: dict[str, tuple[ip.Comparison, Path]],
) -> None:
    explanation = of(made, "changed")
    assert explanation.confirmation is not None
    assert verdicts_said(explanation) == tuple(
        "confirmed" if test.low > 0 or test.high < 0 else "not confirmed"
        for test in explanation.confirmation.tested
    )
    # another test, of the old game alone, keeps its own words
    other = replace(explanation.confirmation, output=0)
    assert set(verdicts_said(replace(explanation, confirmation=other))) <= {
        *("holds", "does not hold", "unclear")
    }


@pytest.mark.parametrize(
    ("agreement", "message"),
    [
        ({"margin": 0.1, "share": 0.95, "n_masks": 5, "n_within": 6}, "n_within is 6; at most 5"),
        ({"margin": 0.0, "share": 0.95, "n_masks": 5, "n_within": 5}, "a margin above 0"),
        ({"margin": 0.1, "share": 1.0, "n_masks": 5, "n_within": 5}, "a share between 0 and 1"),
        ({"margin": 0.1, "share": 0.9, "n_masks": 0, "n_within": 0}, "n_masks is 0; at least 1"),
        ({"margin": 0.1}, "agreement has no"),
    ],
)
def test_a_record_of_the_margin_that_cannot_be_is_refused(
    made: dict[str, tuple[ip.Comparison, Path]], tmp_path: Path, agreement: Json, message: str
) -> None:
    explanation = of(made, "changed")
    provenance = explanation.provenance | {"agreement": agreement}
    with pytest.raises(ValueError, match=message):
        replace(explanation, provenance=provenance).save(tmp_path / "a.interplay")


@pytest.mark.parametrize("value", [True, {}, {"names": ["a"]}, {"names": ["a", "b"]}])
def test_a_record_of_no_two_games_is_refused(
    made: dict[str, tuple[ip.Comparison, Path]], tmp_path: Path, value: Any
) -> None:
    explanation = of(made, "changed")
    game = explanation.provenance["game"]
    description = game["description"] | {"compared": value}
    provenance = explanation.provenance | {"game": game | {"description": description}}
    with pytest.raises(ValueError, match=r"description\.compared"):
        replace(explanation, provenance=provenance).save(tmp_path / "a.interplay")


@pytest.mark.model
def test_a_model_with_a_head_that_is_zeroed(tmp_path: Path) -> None:
    """All ablations of a model, and of the same without the head by which *not* turns *bad*."""
    torch = pytest.importorskip("torch")
    plain, tokenizer = ip.text.load_model("smollm2", threads=1)
    edited, _ = ip.text.load_model("smollm2", threads=1)
    projection = edited.model.layers[21].self_attn.o_proj.weight
    width = projection.shape[1] // edited.config.num_attention_heads
    with torch.no_grad():
        projection[:, width : 2 * width] = 0.0
    score = ip.text.LogitDifference(" positive", " negative")
    prompt = "Movie review: {text}\nThe sentiment of this review is"
    games = [
        ip.text.TextGame(
            model, tokenizer, "The acting is not bad.", score, by="word", prompt=prompt
        )
        for model in (plain, edited)
    ]
    comparison = ip.compare(*games, names=("plain", "edited"), budget=32, progress=False)
    explanation = comparison.explanation
    assert explanation.faithfulness.exact
    assert outcome_of(explanation).words == "Changed"
    first = findings(explanation)[0]
    assert first.players == (3, 4)
    assert str(first).startswith("3 'not' and 4 'bad.' act together ")
    whole = np.ones((1, 5), np.bool_)
    full = [float(game(whole)[0]) for game in games]
    page = explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    head = page[page.index("<h1") : page.index("</header>", page.index("<h1"))]
    assert "plain and edited compared: " in head
    assert f"{full[0]:.2g} → {full[1]:.2g}" in head
    assert "plain</bdi>: " not in head  # no entry of the two records tells them apart


@pytest.mark.browser
class TestPage:
    pytestmark = NEEDS_CHROMIUM

    @pytest.mark.parametrize("script", [True, False])
    @pytest.mark.parametrize("kind", ["changed", "untested", "the same", "exact"])
    def test_the_first_screen_says_what_changed(
        self,
        browser: Any,
        made: dict[str, tuple[ip.Comparison, Path]],
        kind: str,
        script: bool,
    ) -> None:
        explanation, path = of(made, kind), made[kind][1]
        told = findings(explanation)
        with opened(browser, path, 1400, java_script_enabled=script) as page:
            for width, height in SCREENS:
                page.set_viewport_size({"width": width, "height": height})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                first = ".finding" if told else ".no-finding"
                for part in ("h1", ".apart", ".came-out", ".outcome", first, ".badge"):
                    box = page.locator(f".head {part}").first.bounding_box()
                    assert box is not None
                    assert box["y"] + box["height"] <= height, (part, width)
            title = page.locator("h1").inner_text()
            assert title.startswith(f"{' and '.join(explanation.compared or ())} compared: ")
            assert page.locator(".apart").inner_text().startswith("old: float32; ")
            ends = (
                "0.8 → 0.8 with everything" if kind == "the same" else "0.8 → 0.5 with everything"
            )
            assert ends in page.locator(".came-out").inner_text()
            outcome = outcome_of(explanation)
            assert page.locator(".outcome").inner_text().startswith(f"{outcome.words}. ")
            assert page.locator(".finding").count() == len(told)
            for link in page.locator(".head a").all():
                assert page.locator(str(link.get_attribute("href"))).count() == 1

    def test_colours_cards_and_tables_are_of_the_difference(
        self, browser: Any, made: dict[str, tuple[ip.Comparison, Path]]
    ) -> None:
        explanation, path = of(made, "changed"), made["changed"][1]
        wanted = explanation.spectrum.output(2).to("FSII", order=2)
        strongest, _ = explanation.verdict.strongest(wanted, 10, min_order=2, output=2)
        shaded = explanation.verdict.shaded_effects(wanted, 2)
        with opened(browser, path) as page:
            assert dict(ranked(page)) == pytest.approx(dict(strongest), abs=1e-9)
            colours = page.eval_on_selector_all(
                ".stage [role=checkbox]",
                "all => all.map(e => [e.style.getPropertyValue('--a'), e.matches('.minus')])",
            )
            alphas = [float(alpha) for alpha, _ in colours]
            sizes = np.abs(shaded) * max(alphas) / np.abs(shaded).max()
            assert alphas == pytest.approx(sizes.tolist(), abs=2e-3)
            assert [is_minus for _, is_minus in colours] == [
                values_of(wanted).get((player,), 0.0) < 0 for player in range(N)
            ]
            assert "more in new" in page.locator(".legend").first.inner_text()
            outputs = page.get_by_role("group", name="Output", exact=True)
            pressed = "[aria-pressed=true]"
            assert outputs.locator(pressed).inner_text() == "new less old"
            for output, name in ((0, "old"), (1, "new"), (2, "new less old")):
                outputs.get_by_role("button", name=name, exact=True).focus()
                page.keyboard.press("Enter")
                assert outputs.locator(pressed).inner_text() == name
                interactions = explanation.spectrum.output(output).to("FSII", order=2)
                top, _ = explanation.verdict.strongest(interactions, 10, min_order=2, output=output)
                assert dict(ranked(page)) == pytest.approx(dict(top), abs=1e-9)
        with opened(browser, path, java_script_enabled=False) as page:
            table = page.locator(".static table.rows").first
            assert table.locator("thead th").all_inner_texts() == [
                *("Players together", "old → new", "FSII of the difference")
            ]
            both, own = table.locator("tbody tr").first.locator("td.value").all_inner_texts()
            values = values_of(explanation.spectrum.to("FSII", order=2))[strongest.sets[0]]
            shown = [float(text) for text in (*both.split(" → "), own.split()[0])]
            assert shown == pytest.approx(values, rel=0.02)
            is_coloured = [
                bool(page.locator(f".static .segment >> nth={player}").evaluate(
                    "e => /(plus|minus)[1-9]/.test(e.className)"
                ))
                for player in range(N)
            ]  # fmt: skip
            assert is_coloured == [
                round(5 * abs(effect) / explanation.verdict.full_shade(max(abs(shaded)), 2)) > 0
                for effect in shaded
            ]
            card = page.locator(".card").first
            heads = card.locator("thead th").all_inner_texts()
            assert heads[-3:] == ["old", "new", "difference"]

    def test_names_that_are_markup_stay_text(
        self, browser: Any, made: dict[str, tuple[ip.Comparison, Path]]
    ) -> None:
        with opened(browser, made["hostile"][1]) as page:
            assert page.evaluate("window.__pwned") is None
            assert pages.HOSTILE[0] in page.locator("h1").inner_text()

    @pytest.mark.skipif(not AXE.exists(), reason="no axe-core: run `npm ci` in report/web")
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1400, 390])
    def test_axe_finds_nothing(
        self, browser: Any, made: dict[str, tuple[ip.Comparison, Path]], scheme: str, width: int
    ) -> None:
        found = []
        for kind in ("changed", "the same"):
            path = made[kind][1]
            with opened(browser, path, width, color_scheme=scheme, bypass_csp=True) as page:
                page.evaluate(AXE.read_text(encoding="utf-8"))
                violations = page.evaluate("axe.run().then(result => result.violations)")
                found += [(kind, one["id"], one["nodes"][0]["html"][:160]) for one in violations]
        assert found == []
