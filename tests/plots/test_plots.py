"""Each plot is drawn and says what the explanation says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import interplay as ip
from interplay import plots
from interplay._types import BoolArray, FloatArray, Json
from interplay.plots import style

mpl.use("Agg")
NAMES = [name for name in plots.__all__ if name != "draw"]
ALL = [getattr(plots, name) for name in NAMES]
WORDS = ("not", "$bad$", "<b>at\tall</b>", "x" * 300, "film", "of", "the", "year")


class Review(ip.FunctionGame):
    """A text of a few words, with two outputs if so wanted."""

    batch_size = 64
    words: tuple[str, ...] = WORDS

    def __init__(self, several: bool = False, words: tuple[str, ...] = WORDS) -> None:
        self.words = words
        self.several = several
        super().__init__(self.values, len(words), players=words)

    def values(self, masks: BoolArray) -> FloatArray:
        first = masks[:, 4] - 2.0 * masks[:, 1] + 3.0 * (masks[:, 0] & masks[:, 1])
        triple = masks[:, 2] & masks[:, 5] & masks[:, 6]
        return np.stack([first, 1.0 * triple], axis=1) if self.several else first + triple

    def arrange(self, masks: BoolArray, /) -> Any:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Json:
        text, spans = "", []
        for word in self.words:
            text += " " if text else "It says:\n"
            spans.append([len(text), len(text) + len(word)])
            text += word
        outputs = ["bad $ly", "all"] if self.several else []
        return {"lens": "text", "text": f"{text}\n\nTherefore:", "spans": spans, "outputs": outputs}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def one() -> ip.Explanation:
    return ip.explain(Review())


@pytest.fixture(scope="module")
def several() -> ip.Explanation:
    return ip.explain(Review(several=True), budget=150)


def uncertain(explanation: ip.Explanation, size: float = 0.1) -> ip.Explanation:
    """With the same deviation for every coefficient."""
    spectrum = explanation.spectrum
    deviations = np.full((*spectrum.coefficients.shape, 1), size)
    return replace(explanation, spectrum=replace(spectrum, deviations=deviations))


def labels(axes: Any, axis: str = "y") -> list[str]:
    return [each.get_text() for each in getattr(axes, f"get_{axis}ticklabels")()]


def test_text_shades_every_word_by_its_own_effect(one: ip.Explanation) -> None:
    axes = plots.text(one)
    drawn = [text.get_text() for text in axes.texts]
    for word in ("not", "$bad$", "film", "year", "Therefore:", *map(str, range(8))):
        assert drawn.count(word) == 1, word
    assert "".join(word for word in drawn if set(word) == {"x"}) == "x" * 300
    assert not any(text.get_parse_math() for text in axes.texts if "$" in text.get_text())
    boxes = axes.patches  # in the players' order; the long word has several
    bad, film = boxes[1].get_facecolor(), boxes[-4].get_facecolor()
    assert bad[0] > bad[2] + 0.3  # orange: it lowers the score
    assert film[2] > film[0] + 0.1  # blue: it raises it, and by less
    inside = axes.get_xlim()[1]
    assert all(box.get_x() + box.get_width() <= inside + 2 for box in boxes)
    axes.figure.draw_without_rendering()


def test_bars(one: ip.Explanation) -> None:
    axes = plots.bars(one, order=2, top=3, min_order=1)
    found = one.interactions("FSII", order=2).top(3)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], found.values)
    assert labels(axes)[0] == style.joint_label(found, found.sets[0], 52)
    assert "0 not × 1 $bad$" in labels(axes)
    assert not axes.lines[1:]  # the zero line, and no interval
    assert axes.get_title("left") == "Strongest (FSII, order 2)"
    axes.figure.draw_without_rendering()


def test_bars_have_their_intervals(one: ip.Explanation) -> None:
    explanation = uncertain(one)
    axes = plots.bars(explanation, order=2, top=2)
    found, left_out = explanation.verdict.strongest(
        explanation.interactions("FSII", order=2), 2, min_order=2
    )
    assert found.sets == [(0, 1)]
    assert axes.get_xlabel().endswith(f"{left_out} more are not distinguishable from zero")
    ((*_, (spans,)),) = axes.containers[1:]
    assert found.low is not None
    assert found.high is not None
    ends = [sorted(segment[:, 0]) for segment in spans.get_segments()]
    np.testing.assert_allclose(ends, np.stack([found.low, found.high], axis=1))
    assert "90 % intervals" in axes.get_xlabel()
    above = plots.upset(explanation).axes[0]
    assert len(above.containers) == 2


def test_network(several: ip.Explanation) -> None:
    from matplotlib.patches import FancyArrowPatch

    axes = plots.network(several, top=4, output=0)
    interactions = several.interactions("FSII", order=3).output(0)
    found, left_out = several.verdict.strongest(interactions, 4, min_order=2, output=0)
    assert (found.sets, left_out) == ([(0, 1)], 0)  # the others are those of the other output
    pairs = [each for each in axes.patches if isinstance(each, FancyArrowPatch)]
    assert len(pairs) == sum(len(members) == 2 for members in found.sets)
    assert len(axes.lines) == sum(len(members) for members in found.sets if len(members) > 2)
    drawn = [text.get_text() for text in axes.texts]
    for player in {player for members in found.sets for player in members}:
        assert str(player) in drawn
    assert "output bad $ly" in axes.get_title("left")
    axes.figure.draw_without_rendering()


def test_upset(one: ip.Explanation) -> None:
    page = plots.upset(one, top=2)
    above, table, own = page.axes
    found = one.interactions("FSII", order=3).top(2, min_order=2)
    assert found.sets == [(0, 1), (2, 5, 6)]
    np.testing.assert_allclose([bar.get_height() for bar in above.patches], found.values)
    assert labels(table) == ["0 not", "1 $bad$", "2 <b>at all</b>", "5 of", "6 the"]
    joined = [line.get_ydata().tolist() for line in table.lines]
    assert joined == [[0, 1], [2, 3, 4]]
    assert len(own.patches) == 5
    page.draw_without_rendering()


def test_energy_by_order(one: ip.Explanation, several: ip.Explanation) -> None:
    axes = plots.energy(one)
    energy = one.spectrum.energy_by_order()[1:]
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, 100 * energy / energy.sum())
    both = plots.energy(several)
    assert len(both.containers) == 2
    legend = both.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["bad $ly", "all"]
    both.figure.draw_without_rendering()


def test_faithfulness_is_that_of_the_held_out(several: ip.Explanation) -> None:
    axes = plots.faithfulness(several, output=1)
    (dots,) = axes.collections
    held = several.held_out
    predicted = several.predict_held_out()
    np.testing.assert_allclose(dots.get_offsets(), np.stack([held.values, predicted], 2)[:, 1])
    assert axes.get_title("left") == f"{len(held)} held-out ablations, output all"
    (said,) = [text.get_text() for text in axes.texts]
    assert said == f"R² = {several.faithfulness.by_output[1]:.3f}"


def test_budget_says_which_decoder(several: ip.Explanation) -> None:
    axes = plots.budget(several, points=3)
    assert "(decoder proxyspex, order 5)" in axes.get_title("left")
    line = axes.lines[0]
    assert line.get_xdata()[-1] == len(several.fit) + len(several.held_out)  # in turn
    assert line.get_ydata()[-1] == pytest.approx(several.faithfulness.r2)
    assert len(line.get_xdata()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("plot", ALL, ids=NAMES)
def test_a_loaded_explanation_will_do(plot: Any, one: ip.Explanation, tmp_path: Path) -> None:
    assert plot(ip.load(one.save(tmp_path / "a.interplay"))) is not None


def test_given_axes_are_drawn_on(one: ip.Explanation) -> None:
    from matplotlib import pyplot

    page, places = pyplot.subplots(1, 8)
    for plot, place in zip(
        (
            plots.bars,
            plots.network,
            plots.energy,
            plots.faithfulness,
            plots.budget,
            plots.waterfall,
            plots.force,
            plots.beeswarm,
        ),
        places,
        strict=True,
    ):
        assert plot(one, ax=place) is place
    page.draw_without_rendering()


def test_a_thousand_players() -> None:
    words = tuple(f"word{number}" for number in range(1000))
    explanation = ip.explain(Review(words=words), decoder="lasso", budget=150)
    explanation = replace(
        explanation,
        spectrum=ip.Spectrum.from_dict(
            1000, {(): 0.0, (999,): 2.0, (3, 998): 1.0, **{(n,): 0.1 for n in range(50)}}
        ),
        faithfulness=replace(explanation.faithfulness, r2=0.9, low=0.8, by_output=(0.9,)),
    )
    drawn = {text.get_text() for text in plots.text(explanation).texts}
    assert set(words) <= drawn
    assert {"3", "998"} <= drawn
    assert "999" not in drawn  # numbered are only those that interact
    assert "998" in {text.get_text() for text in plots.network(explanation).texts}
    page = plots.upset(explanation)
    assert labels(page.axes[1]) == ["3 word3", "998 word998"]


def test_of_an_explanation_that_predicts_nothing_nothing_is_drawn(one: ip.Explanation) -> None:
    score = replace(one.faithfulness, r2=-3.6, low=-9.0, exact=False, by_output=(-3.6,))
    useless = replace(one, faithfulness=score)
    for axes in (plots.bars(useless), plots.network(useless), plots.upset(useless).axes[0]):
        (words,) = [text.get_text() for text in axes.texts]
        assert words == "not usable: not shown to predict better than the mean does"
    shades = [
        {patch.get_facecolor() for patch in plots.text(explanation).patches}
        for explanation in (useless, one)
    ]
    assert len(shades[0]) == 1
    assert len(shades[1]) > 2


def test_nothing_to_draw() -> None:
    still = ip.explain(ip.FunctionGame(lambda masks: np.ones(len(masks)), 4))
    for axes in (plots.bars(still), plots.network(still), plots.upset(still).axes[0]):
        assert [text.get_text() for text in axes.texts] == ["no interactions found"]
    assert "does not vary" in plots.energy(still).texts[0].get_text()
    assert plots.faithfulness(still) is not None


def test_bad_requests_are_refused(several: ip.Explanation) -> None:
    for plot in (plots.bars, plots.network, plots.upset, plots.text, plots.faithfulness):
        with pytest.raises(ValueError, match="output=2 is not one of the 2 outputs"):
            plot(several, output=2)
    with pytest.raises(ValueError, match="top=0 is below 1"):
        plots.bars(several, top=0)
    plain = ip.explain(ip.FunctionGame(lambda masks: masks[:, 0], 4))
    with pytest.raises(ValueError, match=r"has no text to shade; plots\.bars"):
        plots.text(plain)
    with pytest.raises(ValueError, match="6 ablations are in the fit, too few for a curve"):
        plots.budget(plain)


@pytest.mark.parametrize("plot", ALL, ids=NAMES)
def test_without_matplotlib_it_says_what_to_install(
    plot: Any, one: ip.Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ip.MissingDependencyError, match=r'pip install "interplay\[plot\]"'):
        plot(one)
