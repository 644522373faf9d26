from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay._arrays import pack, unpack
from interplay.fourier import masks
from interplay.fourier.sets import members, pack_members, pack_sets, tuples


@given(n=st.integers(1, 40), m=st.integers(0, 60), seed=st.integers(0, 99))
def test_packing_round_trip(n: int, m: int, seed: int) -> None:
    rows = np.random.default_rng(seed).random((m, n)) < 0.3
    packed = pack(rows)
    np.testing.assert_array_equal(unpack(packed, n), rows)
    np.testing.assert_array_equal(pack_members(members(packed, n), n), packed)
    np.testing.assert_array_equal(pack_sets(tuples(members(packed, n), n), n), packed)
    if m:
        np.testing.assert_array_equal(masks.from_keys(masks.keys(rows), n), rows)


@given(n=st.integers(1, 30), m=st.integers(1, 200), seed=st.integers(0, 99))
def test_distinct(n: int, m: int, seed: int) -> None:
    rows = np.random.default_rng(seed).random((m, n)) < 0.5
    unique, inverse = masks.distinct(rows)
    np.testing.assert_array_equal(unique[inverse], rows)
    assert len(set(masks.keys(unique))) == len(unique)


@pytest.mark.parametrize("n", [3, 10, 14, 15, 64, 1000])
def test_uniform_is_distinct_reproducible_and_grows(n: int) -> None:
    count = min(500, 1 << n)
    drawn = masks.uniform(count, n, np.random.default_rng(1))
    assert drawn.shape == (count, n)
    assert len(set(masks.keys(drawn))) == count
    fewer = masks.uniform(count // 2, n, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn[: count // 2], fewer)
    n_others = (1 << n) - count
    if n_others:
        others = masks.uniform(min(n_others, 50), n, np.random.default_rng(2), exclude=drawn)
        assert not set(masks.keys(others)) & set(masks.keys(drawn))


def test_uniform_keeps_each_player_half_the_time() -> None:
    drawn = masks.uniform(20_000, 50, np.random.default_rng(0))
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(20_000)


def test_every_mask_is_its_number() -> None:
    table = masks.every_mask(5)
    np.testing.assert_array_equal(table @ (1 << np.arange(5)), np.arange(32))


def test_bad_masks() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) are not two-dimensional"):
        masks.as_masks([True, False, True])
    with pytest.raises(ValueError, match="other than 0 and 1"):
        masks.as_masks([[0, 2]])
    with pytest.raises(ValueError, match="2 players wide, but there are 3"):
        masks.as_masks([[0, 1]], 3)
    with pytest.raises(ValueError, match="have only 8 left; ask for at most 8"):
        masks.uniform(9, 3, np.random.default_rng(0))


def test_describe() -> None:
    mask = np.ones(100, dtype=bool)
    mask[[3, 7]] = False
    assert masks.describe(mask) == "mask keeping 98 of 100 players (removed: 3, 7)"
    assert masks.describe(~mask) == "mask keeping 2 of 100 players (kept: 3, 7)"
