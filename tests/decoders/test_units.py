"""a f + b gives a times the coefficients, and the same verdicts, whatever a and b."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import interplay as ip
from interplay import Spectrum, decode, spex
from interplay._arrays import LARGEST, Units, real_numbers, root_of_squares, varying
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.decode import run_decoder
from interplay.designs.base import PlainDesign
from interplay.designs.measures import Measure
from interplay.explanation.explanation import Explanation
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import every_mask, uniform

N = 12
TRUTH = Spectrum.from_dict(
    N,
    {(): 0.3, (0,): 1.0, (1,): -0.83, (2,): 0.61, (0, 1): 0.7, (1, 2): -0.52, (3, 4, 5): 0.37},
)
SMALL = 6
SMALL_TRUTH = Spectrum.from_dict(SMALL, {(): 0.3, (0,): 1.0, (1,): -0.83, (0, 1): 0.7, (2, 3): 0.2})
MASKS = {
    "exact": every_mask(SMALL),
    "spex": spex.design(N, 1200),
    **dict.fromkeys(
        ("auto", "gp", "proxyspex", "lasso"), uniform(160, N, np.random.default_rng(0))
    ),
}
FRESH = uniform(200, N, np.random.default_rng(1))
scales = st.floats(-150, 147).map(lambda exponent: 10.0**exponent)
"""Sizes up to the largest that is allowed."""
offsets = st.sampled_from([0.0, 1.0, -30.0, 1e4, -1e8, 1e10, 1e12])
"""In units of the size."""


def truth_of(decoder: str) -> Spectrum:
    return SMALL_TRUTH if decoder == "exact" else TRUTH


def values_on(decoder: str) -> np.ndarray:
    design = MASKS[decoder]
    return truth_of(decoder).predict(getattr(design, "masks", design))


def decoded(decoder: str, values: np.ndarray) -> Spectrum:
    return decode(MASKS[decoder], values, decoder=decoder)


PLAIN = {decoder: decoded(decoder, values_on(decoder)) for decoder in MASKS}


def same(spectrum: Spectrum, decoder: str, scale: float, offset: float) -> None:
    """Whether a spectrum of scale * (f + offset) is that of f, in its units.

    An offset leaves fewer digits to the values; trees then split elsewhere, and tiny terms change.
    """
    plain = PLAIN[decoder]
    least = 40 * np.finfo(float).eps * abs(offset)
    loose = 1e-9 if decoder in ("exact", "lasso") else 1e-6 if decoder == "spex" else 0.02
    for players in truth_of(decoder).sets:
        wanted = plain[players] + (offset if not players else 0.0)
        assert spectrum[players] / scale == pytest.approx(wanted, rel=1e-9, abs=loose + least)


@pytest.mark.parametrize("decoder", ["exact", "lasso", "spex"])
@given(scale=scales, offset=offsets, sign=st.sampled_from([1.0, -1.0]))
@settings(max_examples=25, deadline=None)
@example(scale=1e-150, offset=1e12, sign=1.0)
@example(scale=1e138, offset=1e12, sign=-1.0)
@example(scale=1e149, offset=0.0, sign=1.0)
def test_units_and_offsets_change_nothing_else(
    decoder: str, scale: float, offset: float, sign: float
) -> None:
    scale = sign * min(scale, LARGEST / (10 * max(abs(offset), 1.0)))
    same(decoded(decoder, scale * (values_on(decoder) + offset)), decoder, scale, offset)


@pytest.mark.parametrize("decoder", ["gp", "proxyspex", "auto"])
@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1e-150, 0.0), (-3e149, 0.0), (1e-150, 1e12), (1.0, 1e10), (1.0, 1e12), (-1e137, 1e12)],
)
def test_units_of_decoders_that_grow_trees(decoder: str, scale: float, offset: float) -> None:
    same(decoded(decoder, scale * (values_on(decoder) + offset)), decoder, scale, offset)


@pytest.mark.parametrize("decoder", sorted(set(MASKS) - {"spex"}))  # BLAS rounds its sums anew
@pytest.mark.parametrize("power", [-490, -1, 60, 480])
def test_powers_of_two_change_no_bit(decoder: str, power: int) -> None:
    scaled, plain = decoded(decoder, np.ldexp(values_on(decoder), power)), PLAIN[decoder]
    assert scaled.sets == plain.sets
    np.testing.assert_array_equal(scaled.coefficients, np.ldexp(plain.coefficients, power))
    if plain.deviations is not None:
        assert scaled.deviations is not None
        np.testing.assert_array_equal(scaled.deviations, np.ldexp(plain.deviations, power))


@pytest.mark.parametrize("decoder", sorted(MASKS))
def test_each_output_has_units_of_its_own(decoder: str) -> None:
    """Beside one that is 1e90 times as large, one with a huge offset, and a constant."""
    values = values_on(decoder)
    outputs = [1e60 * values, 1e-30 * values, values + 1e10, np.full(len(values), -7.3)]
    together = decoded(decoder, np.stack(outputs, axis=1))
    for column, (scale, offset) in enumerate([(1e60, 0.0), (1e-30, 0.0), (1.0, 1e10)]):
        same(together.output(column), decoder, scale, offset)
    constant = together.output(3)
    assert constant[()] == -7.3
    assert np.abs(constant.coefficients[constant.orders > 0]).max(initial=0.0) == 0.0


def test_exact_tables_keep_the_terms_of_small_outputs() -> None:
    masks = every_mask(4)
    small = 1e-9 * masks[:, 0] + 1e-12 * (masks[:, 1] & masks[:, 2])
    table = np.stack([1e12 * masks[:, 3] + masks[:, 0], small], axis=1)
    both = decode(masks, table, decoder="exact")
    assert both.output(1).to("Moebius")[(1, 2)] == pytest.approx(1e-12, rel=1e-9)
    assert both.output(0).to("Moebius")[(0,)] == pytest.approx(1.0, rel=1e-3)
    assert both.output(0)[(1, 2)] == 0.0


def explained(scale: float, offset: float, budget: int, decoder: str) -> Explanation:
    truth = SMALL_TRUTH if budget >= 1 << SMALL else TRUTH
    n_players = truth.n_players

    def values(masks: np.ndarray) -> np.ndarray:
        return np.asarray(scale * (truth.predict(masks) + offset))

    game = ip.FunctionGame(values, n_players)
    return ip.explain(game, decoder=decoder, budget=budget, progress=False)


@pytest.mark.parametrize(("decoder", "budget"), [("exact", 1 << SMALL), ("auto", 200)])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-150, 0.0), (1e148, 0.0), (1.0, 1e10), (1e-140, 1e11), (-1e136, 1e12)]
)
def test_verdicts_do_not_depend_on_units(
    decoder: str, budget: int, scale: float, offset: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if decoder == "exact":
        plain, other = (explained(*units, budget, decoder) for units in ((1, 0), (scale, offset)))
    else:  # 2^12 is above the budget
        plain, other = (_sampled(units, budget, decoder) for units in ((1.0, 0.0), (scale, offset)))
    assert other.verdict.level == plain.verdict.level
    assert other.verdict.codes == plain.verdict.codes
    assert other.faithfulness.r2 == pytest.approx(plain.faithfulness.r2, abs=0.02)
    index = "FSII"
    top = plain.interactions(index, order=2).top(3, min_order=1)
    assert other.interactions(index, order=2).top(3, min_order=1).sets == top.sets
    path = tmp_path_factory.mktemp("units") / "a.interplay"
    other.save(path)
    loaded = ip.load(path)
    assert loaded.verdict.level == plain.verdict.level
    tests = [e.confirm(top=2, budget=300, progress=False) for e in (plain, other)]
    assert [t.verdict for t in tests[0].tested] == [t.verdict for t in tests[1].tested]
    assert [t.verdict for t in tests[0].tested] == ["holds", "holds"]
    for before, after in zip(*(t.tested for t in tests), strict=True):
        assert after.players == before.players
        assert after.measured / scale == pytest.approx(before.measured, rel=0.01)
    assert other.to_html(path.with_suffix(".html")).exists()
    assert "not known" not in other.to_markdown(path.with_suffix(".md")).read_text()


def _sampled(units: tuple[float, float], budget: int, decoder: str) -> Explanation:
    scale, offset = units

    def values(masks: np.ndarray) -> np.ndarray:
        return np.asarray(scale * (TRUTH.predict(masks) + offset))

    return ip.explain(ip.FunctionGame(values, N), decoder=decoder, budget=budget, progress=False)


def test_what_varies_is_told_from_rounding_errors() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(-3, 4, size=(50, 1)) * np.finfo(float).eps
    for size in (1e-150, 1.0, 1e150):
        assert varying(size * (1.0 + noise)).tolist() == [False]
        assert varying(size * (1.0 + 1e-12 * rng.random((50, 1)))).tolist() == [True]
    assert varying(np.zeros(5)).tolist() == [False]
    values = 1e10 + np.array([0.0, 0.25, 0.5, 0.75])
    assert r2(values, values)[0] == 1.0
    assert r2(values, values + 0.25)[0] == pytest.approx(1 - 4 * 0.25**2 / 0.3125)
    constant = np.full((30, 1), 0.1) * 3
    assert Units.of(constant).numbers(constant).tolist() == [[0.0]] * 30
    assert Units.of(constant).offset[0] == constant[0, 0]


def test_a_change_of_units_is_exact() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 3)) * [1e-140, 1.0, 1e140] + [0.0, 1e9, 0.0]
    units = Units.of(values)
    numbers = units.numbers(values)
    assert (np.abs(numbers).max(axis=0) <= 1.0).all()
    assert (np.abs(numbers).max(axis=0) >= 0.4).all()
    np.testing.assert_array_equal(units.offset + units.size * numbers, values)
    with_gap = np.vstack([values, np.full(3, np.nan)])
    assert np.isnan(Units.of(with_gap).numbers(with_gap)[-1]).all()


def test_decoders_of_other_packages_see_numbers_of_size_one() -> None:
    seen = []

    def fit(design, values, order, rng):  # type: ignore[no-untyped-def]
        seen.append(values)
        effects = -values.T @ (design.masks - 0.5) / len(values) * 2
        sets = [(i,) for i in range(design.masks.shape[1])]
        spectrum = Spectrum.from_terms(design.masks.shape[1], sets, effects.T)
        return Decoded(spectrum, {"widths": [1.0, None]}, in_units=("widths",))

    decoder = Decoder("mine", 1, None, lambda n: 4, Measure.design, fit)
    masks = every_mask(3)
    values = np.stack([1e80 * masks[:, 0], 1e9 + masks[:, 1]], axis=1)
    result = run_decoder(
        decoder, PlainDesign("table", masks), values, 1, np.random.default_rng(0), {}
    )
    assert np.abs(seen[0]).max() <= 1.0
    assert result.spectrum.sets == [(), (0,), (1,)] or len(result.spectrum) == 4
    assert result.spectrum[()].tolist() == [0.0, 1e9]
    np.testing.assert_allclose(result.spectrum[(0,)] / [1e80, 1], [-0.5, 0], atol=1e-9)
    assert result.settings == {"widths": [pytest.approx(2.0**266), None]}


@pytest.mark.parametrize("values", [[1 + 2j, 0, 0, 0], np.array([1j, 0, 0, 0], dtype=object)])
def test_complex_values_are_refused(values: object) -> None:
    masks = every_mask(2)
    with pytest.raises(ValueError, match=r"complex numbers .*; give real ones"):
        decode(masks, values, decoder="exact")  # type: ignore[arg-type]
    with pytest.raises(ip.GameError, match=r"complex numbers .*; give real ones"):
        ip.explain(ip.FunctionGame(lambda masks: np.full(len(masks), 1j), 2), progress=False)


def test_what_is_no_number_is_refused() -> None:
    for values in (["1", "2"], np.array(["2020-01-01"], dtype="datetime64[D]"), [None, {}]):
        with pytest.raises(ValueError, match="give numbers"):
            real_numbers(values, "values")
    assert real_numbers([True, False], "values").tolist() == [1.0, 0.0]


@pytest.mark.parametrize("order", [2.5, 2.0, True, "2", np.float64(2), None])
def test_orders_are_whole_numbers(order: object) -> None:
    """Everywhere that an order is given; ``None`` is a default, where there is one."""
    explanation = explained(1.0, 0.0, 1 << SMALL, "exact")
    interactions = explanation.interactions("FSII", order=2)
    game = ip.FunctionGame(SMALL_TRUTH.predict, SMALL)
    calls = {
        "decode": lambda: decode(MASKS["exact"], values_on("exact"), decoder="exact", order=order),
        "explain": lambda: ip.explain(game, order=order, progress=False),
        "plan": lambda: ip.plan(game, order=order),
        "interactions": lambda: explanation.interactions("FSII", order=order),
        "to": lambda: explanation.spectrum.to("FSII", order=order),
        "truncate": lambda: explanation.spectrum.truncate(order=order),
        "filter": lambda: interactions.filter(1, order),
        "confirm": lambda: explanation.confirm(order=order, progress=False),
        "confirmation_cost": lambda: explanation.confirmation_cost(order=order),
        "top": lambda: interactions.top(order),
        "confirm top": lambda: explanation.confirm(order, progress=False),
        "bars": lambda: ip.plots.bars(explanation, order=order),
        "bars top": lambda: ip.plots.bars(explanation, top=order),
    }
    for name, call in calls.items():
        if order is None and name not in ("top", "confirm top", "bars top"):
            call()
            continue
        with pytest.raises(ValueError, match="is not a whole number"):
            call()


def test_squares_neither_vanish_nor_overflow() -> None:
    numbers = np.array([[3e-200, 4e-200], [3e200, 4e200], [0.0, 0.0], [3.0, 4.0]])
    assert root_of_squares(numbers, 1) == pytest.approx([5e-200, 5e200, 0.0, 5.0], rel=1e-12)
    coefficients = np.array([[1e150, 0.0], [0.0, 2e-150], [0.0, 1e-150]])
    spectrum = Spectrum.from_terms(3, [(), (0,), (1, 2)], coefficients)
    assert spectrum.truncate(n_terms=1).sets == [(), (0,)]
    assert spectrum.truncate(energy=0.5).sets == [(), (0,)]
    assert "(energy 1: 80.0%, 2: 20.0%)" in str(spectrum)
    assert spectrum.to("Fourier").top(2).sets == [(0,), (1, 2)]


def test_intervals_of_outputs_of_any_size() -> None:
    spectrum = decoded("gp", np.stack([1e-150 * values_on("gp"), 1e140 * values_on("gp")], axis=1))
    low, high = (spectrum.output(at).to("FSII", order=2) for at in (0, 1))
    both = spectrum.to("FSII", order=2)
    assert low.deviations is not None
    assert high.deviations is not None
    assert both.deviations is not None
    assert (both.deviations > 0).all()
    np.testing.assert_allclose(low.deviations / 1e-150, high.deviations / 1e140, rtol=0.1)
