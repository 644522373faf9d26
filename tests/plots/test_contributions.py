"""Waterfall, force and beeswarm: what is drawn adds up to everything less nothing, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import interplay as ip
from interplay import plots
from interplay._types import BoolArray, FloatArray
from interplay.plots import style
from interplay.plots.contributions import ADD_UP, contributions

mpl.use("Agg")
N = 6


def values(masks: BoolArray) -> FloatArray:
    alone = masks @ np.array([1.5, -2.25, 0.125, 0.0, -0.5, -1.0])
    return np.asarray(alone - 3.0 + 2.0 * (masks[:, 0] & masks[:, 1] & masks[:, 4]))


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def exact() -> ip.Explanation:
    return ip.explain(ip.FunctionGame(values, N, players=["a", "$b$", "c", "d", "e", "f" * 99]))


def with_doubt(explanation: ip.Explanation, size: float) -> ip.Explanation:
    spectrum = explanation.spectrum
    deviations = np.full((*spectrum.coefficients.shape, 1), size)
    return replace(explanation, spectrum=replace(spectrum, deviations=deviations))


def steps_of(axes: Any) -> list[float]:
    return [bar.get_width() for bar in axes.patches]


def words_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("index", ADD_UP)
@pytest.mark.parametrize("top", [1, 3, 50])
def test_the_steps_add_up(exact: ip.Explanation, index: str, top: int) -> None:
    axes = plots.waterfall(exact, index=index, top=top)
    widths = steps_of(axes)
    assert exact.full is not None
    assert exact.baseline is not None
    assert sum(widths) == pytest.approx(float(exact.full - exact.baseline), abs=1e-12)
    # each begins where the one before ended; they begin at nothing and end at everything
    places = [bar.get_x() for bar in axes.patches]
    np.testing.assert_allclose(np.diff(places), widths[:-1], atol=1e-12)
    assert places[0] == exact.baseline
    assert places[-1] + widths[-1] == pytest.approx(float(exact.full), abs=1e-12)
    order = 1 if index == "SV" else 2
    strongest = exact.interactions(index, order=order).top(len(widths[:top]))
    np.testing.assert_allclose(widths[:top], strongest.values, rtol=1e-12)
    axes.figure.draw_without_rendering()


@pytest.mark.parametrize("index", ADD_UP)
def test_both_sides_of_a_force_add_up(exact: ip.Explanation, index: str) -> None:
    axes = plots.force(exact, index=index, top=3)
    sides = {style.PLUS: 0.0, style.MINUS: 0.0}
    total = 0.0
    for part in axes.patches:
        start, end = part.get_xy()[0, 0], part.get_xy()[2, 0]
        total += end - start
        colour = mpl.colors.to_hex(part.get_facecolor())
        if colour in sides:
            sides[colour] += end - start
    assert total == pytest.approx(float(exact.full - exact.baseline), abs=1e-12)  # type: ignore[operator]
    assert sides[style.PLUS] >= 0 >= sides[style.MINUS]
    # the strongest ones of both sides meet at the value of everything
    first = [part.get_xy()[2, 0] for part in axes.patches]
    assert min(abs(end - float(exact.full)) for end in first) < 1e-12  # type: ignore[arg-type]
    axes.figure.draw_without_rendering()


def test_the_rest_is_the_sum_of_those_that_are_not_drawn(exact: ip.Explanation) -> None:
    steps, what = contributions(exact, "shapley", 2, 2, 0)
    assert what == "Shapley values"
    shapley = exact.interactions("SV")
    others = [float(value) for key, value in shapley if key not in steps.interactions.sets]
    assert steps.rest == pytest.approx(sum(others), abs=1e-12)
    assert steps.n_rest == sum(abs(value) > 1e-9 for value in others) == 3  # player d does nothing
    axes = plots.waterfall(exact, top=2)
    assert [label.get_text() for label in axes.get_yticklabels()][-2] == "3 others together"


def test_what_may_be_zero_is_grey_and_still_part_of_the_sum(exact: ip.Explanation) -> None:
    doubtful = with_doubt(exact, 0.2)
    steps, _ = contributions(doubtful, "SV", 1, 10, 0)
    assert 0 < steps.findings.sum() < len(steps.findings)
    axes = plots.waterfall(doubtful)
    colours = [mpl.colors.to_hex(bar.get_facecolor()) for bar in axes.patches]
    assert [colour == style.NO_FINDING for colour in colours] == (~steps.findings).tolist()
    assert axes.get_xlabel() == "score; lines: 90 % intervals; grey: may be zero"
    assert sum(steps_of(axes)) == pytest.approx(exact.full - exact.baseline)  # type: ignore[operator]
    ((*_, (lines,)),) = axes.containers[1:]
    widths = [np.ptp(segment[:, 0]) for segment in lines.get_segments()]
    high, low = steps.interactions.high, steps.interactions.low
    np.testing.assert_allclose(widths, high - low)  # type: ignore[operator]
    assert any(" ± " in text for text in words_of(plots.force(doubtful)))


@pytest.mark.filterwarnings("ignore::interplay.errors.ExtrapolationWarning")
def test_one_player_and_a_thousand() -> None:
    one = ip.explain(ip.FunctionGame(lambda masks: -2.0 * masks[:, 0] - 1.0, 1))
    assert steps_of(plots.waterfall(one)) == [-2.0]
    assert len(plots.force(one).patches) == 1
    thousand = replace(
        one,
        players=tuple(f"word{number}" for number in range(1000)),
        spectrum=replace(
            ip.Spectrum.from_dict(1000, {(): 1.0, (3,): 0.5, (7, 9): 0.25}),
            ends=np.array([4.0, 0.5]),
        ),
        faithfulness=replace(one.faithfulness, exact=False),
    )
    for index in ("SV", "FSII"):
        axes = plots.waterfall(thousand, index=index, top=4)
        assert sum(steps_of(axes)) == pytest.approx(3.5)
        plots.force(thousand, index=index).figure.draw_without_rendering()
    rest = [label.get_text() for label in axes.get_yticklabels()][-2]
    assert rest == "all others together"  # all pairs have a share of what the ends add


def test_what_does_not_add_up_is_refused(exact: ip.Explanation) -> None:
    for plot in (plots.waterfall, plots.force):
        with pytest.raises(ValueError, match=r"index='BII' does not add up .* give one of SV"):
            plot(exact, index="BII")
        with pytest.raises(ValueError, match="top=0 is below 1"):
            plot(exact, top=0)
    useless = replace(exact.faithfulness, r2=-3.6, low=-9.0, exact=False, by_output=(-3.6,))
    broken = replace(exact, faithfulness=useless, spectrum=replace(exact.spectrum, ends=None))
    with pytest.raises(ValueError, match="no measured value of nothing or of everything"):
        plots.waterfall(broken)
    broken = replace(broken, spectrum=replace(exact.spectrum, ends=exact.ends))
    for plot in (plots.waterfall, plots.force):
        assert words_of(plot(broken)) == [
            "not usable: not shown to predict better than the mean does"
        ]
    assert words_of(plots.beeswarm(broken)) == ["none of the explanations is usable"]


def test_a_score_that_does_not_vary() -> None:
    still = ip.explain(ip.FunctionGame(lambda masks: np.ones(len(masks)), 3))
    for plot in (plots.waterfall, plots.force):
        assert words_of(plot(still)) == ["the score does not vary"]


def row_of_a_table(number: int) -> ip.Explanation:
    """A row with three features, as the tabular lens describes it."""
    row = [float(number), 1.0 - number, 3.0]
    game = ip.FunctionGame(
        lambda masks: masks @ np.array(row) + masks[:, 0] * masks[:, 1],
        3,
        players=[f"{name} = {value:g}" for name, value in zip("abc", row, strict=True)],
    )
    explanation = ip.explain(game)
    features = [{"name": name, "value": value} for name, value in zip("abc", row, strict=True)]
    provenance = dict(explanation.provenance)
    provenance["game"] = provenance["game"] | {"description": {"features": features}}
    return replace(explanation, provenance=provenance)


def dots_of(axes: Any) -> list[Any]:
    return [row.get_offsets()[:, 0] for row in axes.collections]


def test_the_dots_of_an_explanation_add_up() -> None:
    rows = [row_of_a_table(number) for number in range(5)]
    axes = plots.beeswarm(rows, top=1)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "2 others together"]
    total = sum(dots_of(axes))
    np.testing.assert_allclose(total, [row.full - row.baseline for row in rows])  # type: ignore[operator]
    everything = plots.beeswarm(rows)
    labels = [label.get_text() for label in everything.get_yticklabels()]
    assert sorted(labels) == ["a", "b", "c"]
    np.testing.assert_allclose(sum(dots_of(everything)), total)
    # a feature whose values differ is coloured by them, the other one is not
    colours = {
        label: len({tuple(colour) for colour in dots.get_edgecolors()})
        for label, dots in zip(labels, everything.collections, strict=True)
    }
    assert colours == {"a": 5, "b": 5, "c": 1}
    everything.figure.draw_without_rendering()


def test_views_are_drawn_into_files(exact: ip.Explanation, tmp_path: Path) -> None:
    written = [exact.to_svg(tmp_path / "new" / name, "waterfall") for name in ("a.svg", "b.svg")]
    first, second = (path.read_bytes() for path in written)
    assert first == second  # the same bytes
    assert first.startswith(b"<?xml")
    picture = exact.to_png(tmp_path / "a.png", "force", index="k-SII", top=2)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert plots.draw(exact, tmp_path / "c.svg", view="upset").exists()
    with pytest.raises(ValueError, match=r"view='waterfal' is unknown; .*mean 'waterfall'"):
        exact.to_svg(tmp_path / "d.svg", "waterfal")
    with pytest.raises(ValueError, match=r"d\.pdf is neither \.svg nor \.png"):
        plots.draw(exact, tmp_path / "d.pdf")


def test_roles_of_prompts(exact: ip.Explanation) -> None:
    roles = [["question", "document", "document", "document", "rules", ("rules", "last")]] * 2
    axes = plots.beeswarm([exact, with_doubt(exact, 0.4)], roles=roles)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    shapley = [exact.interactions("SV")[[player]] for player in range(N)]
    dots = dict(zip(labels, dots_of(axes), strict=True))
    assert set(labels) == {"question", "document", "rules", "last"}
    np.testing.assert_allclose(dots["document"], [sum(shapley[1:4])] * 2)
    np.testing.assert_allclose(dots["last"], [shapley[5]] * 2)
    assert axes.get_xlabel() == "effect on the score; hollow: may be zero"
    with pytest.raises(ValueError, match="1 lists of roles for 2 explanations"):
        plots.beeswarm([exact, exact], roles=roles[:1])
    with pytest.raises(ValueError, match="2 values for the 6 players of explanation 0"):
        plots.beeswarm(exact, values=[[1.0, 2.0]])
    with pytest.raises(ValueError, match="there is no explanation to draw"):
        plots.beeswarm([])
    with pytest.raises(ValueError, match="index='FSII' is none of single players"):
        plots.beeswarm(exact, index="FSII")
