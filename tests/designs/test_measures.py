"""Measures: their texts, their laws, and the masks that they draw to the last one."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from interplay import Keep, Measure
from interplay.designs.base import grows
from interplay.designs.measures import SHAPLEY, UNIFORM, get_measure, measure_of
from interplay.fourier.masks import keys

NEAR = (Keep(0.9), Keep(0.5, 0.97), get_measure(("uniform", Keep(0.9))))
ALL = (UNIFORM, SHAPLEY, *NEAR)

measures = st.sampled_from(ALL) | st.builds(
    lambda ends: Keep(min(ends), max(ends)),
    st.tuples(st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6)),
)


@given(measures)
def test_the_text_of_a_measure_is_read_back(measure: Measure) -> None:
    again = get_measure(str(measure))
    assert again.ranges == measure.ranges
    assert again == measure == str(measure)
    assert hash(again) == hash(measure)


def test_one_type_has_them_all() -> None:
    assert Keep(0.5) == UNIFORM == "uniform"
    assert Keep(0, 1) == SHAPLEY == "shapley"
    assert str(Keep(0.5, 0.97)) == "keep:0.5-0.97"
    mixed = get_measure(["uniform", Keep(0.9)])
    assert mixed == get_measure("uniform+keep:0.9") != get_measure("keep:0.9+uniform")
    assert measure_of("optimal") == UNIFORM
    assert measure_of("part of flat") == SHAPLEY
    for measure in NEAR:
        kind = measure.design(20, 20, np.random.default_rng(0)).kind
        assert measure_of(kind) == measure_of(f"part of {kind}") == measure
        assert grows(kind)


NO_MEASURES = (
    "keep|keep:|keep:1.5|keep:nan|keep:0.9-|keep:0.97-0.5|keep:1|keep:0|keep:1e-3|"
    "uniform+|keep:0.9 |Uniform|"
)


@pytest.mark.parametrize(
    "text", [*NO_MEASURES.split("|"), "+".join(["uniform"] * 9), f"keep:0.{'1' * 99}"]
)
def test_what_is_no_measure(text: str) -> None:
    with pytest.raises(ValueError, match=r"measure|Keep"):
        get_measure(text)


def test_what_is_no_measure_in_python() -> None:
    for ends in ((1.2,), (0.9, 0.5), (0.0,), (float("nan"),)):
        with pytest.raises(ValueError, match="no range of the probability"):
            Keep(*ends)
    with pytest.raises(ValueError, match="more than 30 digits; round them"):
        Keep(1e-40, 0.5)
    for none in ((), 3):
        with pytest.raises(ValueError, match="measure"):
            get_measure(none)  # type: ignore[arg-type]


@pytest.mark.parametrize("measure", ALL, ids=str)
@pytest.mark.parametrize("n_players", [2, 9, 40])
def test_the_law_of_sizes(measure: Measure, n_players: int) -> None:
    law = measure.size_law(n_players)
    wanted = np.zeros(n_players + 1)
    for low, high in measure.ranges:
        for size in range(1, n_players):

            def binomial(p: float, size: int = size) -> float:
                return comb(n_players, size) * p**size * (1 - p) ** (n_players - size)

            mean = quad(binomial, low, high)[0] / (high - low) if low < high else binomial(low)
            wanted[size] += mean / len(measure.ranges)
    np.testing.assert_allclose(law, wanted / wanted.sum(), atol=1e-9)
    masks = measure.draw(20_000, n_players, np.random.default_rng(0))
    sizes = np.bincount(masks.sum(axis=1), minlength=n_players + 1) / len(masks)
    if measure != UNIFORM:  # which may draw the ends
        np.testing.assert_allclose(sizes, law, atol=0.02)
    np.testing.assert_allclose(masks.mean(axis=0), masks.mean(), atol=0.02)
    assert not np.isnan(measure.size_law(20_000)).any()


@pytest.mark.parametrize("measure", NEAR, ids=str)
def test_a_design_is_nested_balanced_and_follows_the_law(measure: Measure) -> None:
    n_players, n_masks = 40, 600
    masks = measure.design(n_masks, n_players, np.random.default_rng(3)).masks
    assert len(set(keys(masks))) == n_masks
    smaller = measure.design(150, n_players, np.random.default_rng(3)).masks
    np.testing.assert_array_equal(masks[:150], smaller)
    law = measure.size_law(n_players)
    for part in (smaller, masks):
        sizes = np.bincount(part.sum(axis=1), minlength=n_players + 1)
        # the law's own scatter would be sqrt(law * m), several masks
        plenty = np.array([comb(n_players, k) for k in range(n_players + 1)]) > 2 * n_masks
        assert np.abs(sizes - law * len(part))[plenty].max() < 3
    for size in np.unique(masks.sum(axis=1)):
        kept = masks[masks.sum(axis=1) == size].sum(axis=0)
        assert kept.max() - kept.min() <= 2


@pytest.mark.parametrize("measure", [*NEAR, Keep(0.999), Keep(0.001)], ids=str)
@pytest.mark.parametrize("n_players", [1, 2, 3, 9])
def test_small_games_end_cleanly(measure: Measure, n_players: int) -> None:
    inner = max((1 << n_players) - 2, 0)
    masks = measure.design(600, n_players, np.random.default_rng(0)).masks
    assert len(masks) == len(set(keys(masks))) == inner
    assert not masks.all(axis=1).any()
    assert masks.any(axis=1).all()
    assert measure.draw(5, n_players, np.random.default_rng(0)).shape == (5, n_players)
