from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

import interplay as ip
from tests.report.hostile import HOSTILE, hostile_game
from tests.report.test_html import Collector


def seen(html: str) -> Collector:
    collector = Collector()
    collector.feed(html)
    return collector


def test_a_notebook_is_shown_what_was_found_and_nothing_acts() -> None:
    explanation = ip.explain(hostile_game())
    html = explanation._repr_html_()
    view = seen(html)
    assert set(view.tags) == {"div", "b", "table", "tr", "th", "td", "sub"}
    assert view.tags.count("b") == 2  # the verdict and the title
    assert {name for name, _ in view.attributes} == {"style"}
    for piece in HOSTILE:
        assert piece in view.text
    assert str(explanation.faithfulness) in view.text
    assert '<script>alert("x")</script>1 × a & b' not in view.text
    assert "a & b1 × <img src=x onerror=alert(1)>2+2" in view.text
    assert len(html) < 10_000


def test_of_many_outputs_the_first_are_shown() -> None:
    game = ip.FunctionGame(
        lambda masks: masks[:, :1] * np.arange(1.0, 7.0), 5, players=["x" * 500] * 5
    )
    view = seen(ip.explain(game)._repr_html_())
    assert "the first 4 of 6 outputs" in view.text
    assert re.search(r"…0\+1\+2\+3\+4", view.text)
    assert "none found" in view.text


def test_intervals_are_shown_and_names_that_are_numbers_once() -> None:
    explanation = ip.explain(ip.FunctionGame(lambda masks: masks[:, 0] & masks[:, 1], 4))
    spectrum = explanation.spectrum
    uncertain = replace(
        explanation, spectrum=replace(spectrum, deviations=0.1 * np.ones((len(spectrum), 1)))
    )
    view = seen(uncertain._repr_html_())
    found = uncertain.interactions("FSII", order=3).top(1, min_order=2)
    assert found.low is not None
    assert found.high is not None
    assert f"0 × 1+1{found.low[0]:+.3g} to {found.high[0]:+.3g}" in view.text
    assert "0 × 1+1single" in seen(explanation._repr_html_()).text
