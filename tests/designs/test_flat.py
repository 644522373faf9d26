"""The flat design: sizes, pairs, growth, and small games to the last mask."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay._types import BoolArray
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
        assert kept.max() - kept.min() <= 4, size
    np.testing.assert_array_equal(masks.sum(axis=0), len(masks) // 2)


def unknown(masks: BoolArray) -> float:
    """What is unknown of Shapley values, a share of their prior variance, given values at masks.

    The prior has independent coefficients of up to three players, and there is some noise.
    """
    n = masks.shape[1]
    sets = [s for order in (1, 2, 3) for s in combinations(range(n), order)]
    variances = np.array([(0.45, 0.1, 0.03)[len(s) - 1] / comb(n, len(s)) for s in sets])
    signs = np.where(masks, -1.0, 1.0)
    basis = np.column_stack([signs[:, s].prod(axis=1) for s in sets]) * np.sqrt(variances)
    posterior = np.linalg.inv(np.eye(len(sets)) + basis.T @ basis / 0.007)
    shapley = np.array([[(i in s) * (len(s) % 2) / len(s) for s in sets] for i in range(n)])
    shapley *= np.sqrt(variances)
    return float(np.trace(shapley @ posterior @ shapley.T) / np.trace(shapley @ shapley.T))


@pytest.mark.parametrize("n_masks", [36, 72, 144])
def test_masks_tell_more_of_shapley_values_than_random_ones_of_their_sizes(n_masks: int) -> None:
    rng, ratios = np.random.default_rng(0), []
    for seed in range(4):
        chosen = flat_design(n_masks, 12, np.random.default_rng(seed)).masks
        drawn = rng.permuted(chosen[::2], axis=1)
        ratios.append(unknown(chosen) / unknown(np.concatenate([drawn, ~drawn])))
    assert np.mean(ratios) < 0.8


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
