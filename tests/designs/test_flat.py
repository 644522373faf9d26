"""The flat design: sizes, pairs, growth, and small games to the last mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.designs.flat import flat_design
from interplay.fourier.masks import keys


@given(st.integers(2, 12), st.integers(2, 300), st.integers(0, 5))
def test_distinct_pairs_of_flat_sizes(n_players: int, n_masks: int, seed: int) -> None:
    n_masks = min(n_masks, (1 << n_players) - 2)
    masks = flat_design(n_masks, n_players, np.random.default_rng(seed)).masks
    assert masks.shape == (n_masks, n_players)
    assert len(set(keys(masks))) == n_masks
    assert not (masks.all(axis=1) | ~masks.any(axis=1)).any()  # every run has both ends beside it
    np.testing.assert_array_equal(masks[:-1:2], ~masks[1::2])
    smaller = flat_design(n_masks // 2, n_players, np.random.default_rng(seed)).masks
    np.testing.assert_array_equal(masks[: n_masks // 2], smaller)


def test_sizes_and_players_are_balanced() -> None:
    masks = flat_design(6 * 2 * 19, 20, np.random.default_rng(0)).masks
    sizes = np.bincount(masks.sum(axis=1), minlength=21)
    np.testing.assert_array_equal(sizes[1:20], 12)
    for size in range(1, 20):
        kept = masks[masks.sum(axis=1) == size].sum(axis=0)
        assert kept.max() - kept.min() <= 2, size


def test_all_masks_and_one_more() -> None:
    masks = flat_design(62, 6, np.random.default_rng(0)).masks
    assert len(set(keys(masks))) == 62
    with pytest.raises(
        ValueError, match="63 distinct masks beside both ends do not exist for 6 players; there are"
    ):
        flat_design(63, 6, np.random.default_rng(0))


@pytest.mark.slow
def test_a_design_ends_where_a_large_size_is_exhausted() -> None:
    """Sizes of more sets than are listed, of which the last are drawn too."""
    masks = flat_design((1 << 15) - 3, 15, np.random.default_rng(0)).masks
    assert len(set(keys(masks))) == (1 << 15) - 3
