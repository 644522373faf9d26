"""What becomes of players that are not kept, in words: removed, or swapped for another value."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, Json
from interplay.explanation.findings import findings
from interplay.explanation.removal import Removal
from interplay.report.card import as_card
from interplay.report.compact import compact
from interplay.report.head import head
from interplay.text.prompts.build import mask_prompt
from interplay.text.prompts.masking import Replace
from interplay.text.prompts.swap import Swap
from tests.report.conftest import browser  # noqa: F401
from tests.report.tabs import NEEDS_CHROMIUM, opened

TEXT = "Ms Reed has a debt. She works in Bonn. The desk is brown."
GENDER = {"gender": {"Ms": "Mr", "she": "he"}, "Bonn": "Rome"}
ALL_SWAPPED, SOME_SWAPPED = Swap(GENDER, otherwise=None), Swap(GENDER)


class Swapped(ip.FunctionGame):
    """A function of the players of a masked text, which says of itself what a text game says."""

    batch_size = 64

    def __init__(self, masking: Swap | str, values: Any) -> None:
        self.prompt = mask_prompt(TEXT, masking=masking)
        super().__init__(values, self.prompt.n_players, players=self.prompt.players)

    def arrange(self, masks: BoolArray) -> Any:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray) -> Any:
        return np.ones(len(masks))

    def describe(self) -> Json:
        contrast = {"kind": "Contrast", "positive": " no", "negative": " yes"}
        return self.prompt.describe() | {"lens": "text", "targets": [contrast]}


def both(masks: BoolArray) -> Any:
    """The last two players, which are what is swapped, are both needed."""
    return 2.0 * (masks[:, -2] & masks[:, -1]) - 1.0


def mixed(masks: BoolArray) -> Any:
    """The first sentence and what is swapped last are both needed; the second adds a little."""
    return 2.0 * (masks[:, 0] & masks[:, -1]) + 0.5 * masks[:, 1] - 1.0


def test_the_words_follow_from_what_is_swapped() -> None:
    plain = Removal.of({"masking": {"kind": "delete"}}, 3)
    assert plain == Removal(n_players=3)
    assert plain.without([0]) == ("without ", "")
    assert (plain.done(), plain.act(), plain.done([1])) == ("removed", "remove", "removed")
    assert plain.ends == ("with everything", "with nothing")
    some = Removal.of(Swapped(SOME_SWAPPED, both).describe(), 5)
    assert some.swapped == {3, 4}
    assert (some.done(), some.act()) == ("removed or swapped", "remove or swap")
    assert [some.done([player]) for player in (2, 3)] == ["removed", "swapped"]
    assert some.without([2, 3]) == ("with ", " changed")
    assert some.ends == ("as it is", "with everything removed or swapped")
    assert some.nothing_else([0, 1, 2]) == "with everything else swapped"
    assert some.nothing_else([3, 4]) == "with nothing else"
    every = Removal.of(Swapped(ALL_SWAPPED, both).describe(), 2)
    assert every.swapped == {0, 1}
    assert every.ends == ("as it is", "with everything swapped")
    # beside an image they are numbered as in their prompt, behind the regions
    image = {"lens": "images", "swapped": [[0, 2, 1, ["Mr"]], [4, 5, 2, ["he"]]]}
    assert Removal.of(image, 9).swapped == {7, 8}
    for wrong in ("a", [3], [[0, 1, "a", []]], [[0, 1, -1, []]]):
        assert Removal.of({"swapped": wrong}, 3) == Removal()


def test_sentences_of_what_is_swapped() -> None:
    told = [str(finding) for finding in findings(ip.explain(Swapped(ALL_SWAPPED, both)))]
    assert told[0] == (
        "Both 0 'gender: Ms → Mr, She → He' and 1 'Bonn → Rome' are needed: with the first swapped "
        "the margin falls from 1 (for 'no') to -1 (for 'yes'), with the second swapped it is -1, "
        "with both swapped -1."
    )
    told = [str(finding) for finding in findings(ip.explain(Swapped(SOME_SWAPPED, mixed)))]
    assert "without the first the margin falls" in told[0]
    assert "with the second swapped it is -0.5, with both changed -0.5." in told[0]
    alone = ip.explain(Swapped(ALL_SWAPPED, lambda m: 1.0 * m[:, 0] + 0.2 * m[:, 1] - 0.5))
    explanation = replace(alone, decisive=(alone.necessary(), alone.sufficient()))
    told = [str(finding) for finding in findings(explanation)]
    assert told[0].startswith(
        "With 0 'gender: Ms → Mr, She → He' swapped the margin falls from 0.7"
    )
    either = ip.explain(Swapped(ALL_SWAPPED, lambda m: 1.0 * (m[:, 0] | m[:, 1]) - 0.5))
    explanation = replace(either, decisive=(either.sufficient(),))
    told = [str(finding) for finding in findings(explanation)]
    assert any(" suffices: with everything else swapped the margin is 0.5." in one for one in told)


@pytest.mark.parametrize("masking", [ALL_SWAPPED, Swap(GENDER, Replace("[...]")), "delete"])
def test_every_report_says_what_became_of_players(tmp_path: Path, masking: Swap | str) -> None:
    game = Swapped(masking, both)
    explanation = ip.explain(game)
    explanation = replace(
        explanation,
        decisive=(explanation.necessary(), explanation.sufficient()),
        confirmation=explanation.confirm(1, index="FSII", order=2),
    )
    parts = [(explanation.title, explanation)]
    page = explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    words = re.sub(r"<script.*?</script>|<style>.*?</style>|<pre>.*?</pre>", " ", page, flags=re.S)
    markdown = explanation.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    markdown = re.sub(r"```.*?```", "", markdown, flags=re.S)
    texts = (words, str(explanation), markdown, as_card(parts))
    removed = [
        len(re.findall(r"\b[Rr]emove[sd]?\b|with nothing|[Ww]ithout (?:both|these|them|the )", one))
        for one in texts
    ]
    swapped = [len(re.findall(r"\bswapped\b", one)) for one in texts]
    if masking == "delete":
        assert min(removed) > 0 == max(swapped)
    elif masking is ALL_SWAPPED:
        assert removed == [0] * 4
        assert min(swapped) > 0
    else:
        assert min(swapped) > 0
    assert compact(parts)
    shown = head(explanation.title, explanation)
    marks = {
        mark for card in shown["cards"] for entry in card["entries"] for mark in entry["marks"]
    }
    assert marks == {"kept", "removed" if masking == "delete" else "swapped"}


@NEEDS_CHROMIUM[0]
@NEEDS_CHROMIUM[1]
def test_what_is_clicked_is_swapped(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    every = ip.explain(Swapped(ALL_SWAPPED, both)).to_html(tmp_path / "a.html")
    with opened(browser, every) as page:
        assert page.get_by_role("button", name="Swap all").count() == 1
        assert "to swap it." in page.locator(".board .controls").inner_text()
        assert "Nothing is swapped" in page.locator(".whatif").inner_text()
        page.locator("[data-player='0']").first.click()
        assert "1 of 2 swapped." in page.locator(".whatif").inner_text()
        assert "· swapped" in page.locator(".tip").inner_text()
        struck = "e => getComputedStyle(e).textDecorationLine"
        assert page.locator("[data-player='0'] .was").first.evaluate(struck) == "line-through"
        assert page.locator("[data-player='0'] .words").first.evaluate(struck) == "none"
    some = ip.explain(Swapped(SOME_SWAPPED, mixed)).to_html(tmp_path / "b.html")
    with opened(browser, some) as page:
        page.get_by_role("button", name="Remove or swap all").click()
        assert "3 of 5 removed, 2 swapped." in page.locator(".whatif").inner_text()
        assert page.locator("[data-player='1'] .words").first.evaluate(struck) == "line-through"
