from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay._types import BoolArray, FloatArray
from interplay.decoders.trees import Tree, fit_boosted, fourier, read_trees
from interplay.fourier.masks import every_mask
from tests.conftest import planted


def walk(tree: Tree, mask: BoolArray) -> float:
    """A tree's value on a mask, node by node."""
    node = 0 if len(tree.player) else -1
    while node >= 0:
        node = int((tree.kept if mask[tree.player[node]] else tree.removed)[node])
    return float(tree.value[~node])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A random tree on six players that may split on the same player twice on a path."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    player: list[int] = []
    children: tuple[list[int], list[int]] = ([], [])
    leaves = 0

    def grow(depth: int) -> int:
        nonlocal leaves
        if depth == 0 or rng.random() < 0.2:
            leaves += 1
            return ~(leaves - 1)
        node = len(player)
        player.append(int(rng.integers(6)))
        for side in children:
            side.append(0)
        for side in children:
            side[node] = grow(depth - 1)
        return node

    grow(draw(st.integers(0, 6)))
    return Tree(
        np.array(player, dtype=np.int64),
        np.array(children[0], dtype=np.int64),
        np.array(children[1], dtype=np.int64),
        rng.normal(size=leaves),
    )


@given(forest=st.lists(trees(), min_size=1, max_size=4))
def test_the_transform_is_exact(forest: list[Tree]) -> None:
    masks = every_mask(6)
    expected = [sum(walk(tree, mask) for tree in forest) for mask in masks]
    spectrum = fourier(forest, 6)
    np.testing.assert_allclose(spectrum.predict(masks), expected, atol=1e-12)
    assert spectrum.sets[0] == ()


def fitted(depth: int) -> tuple[lgb.Booster, BoolArray, FloatArray]:
    rng = np.random.default_rng(depth)
    masks = rng.random((400, 40)) < 0.5
    values = planted(40, 15, rng).predict(masks)
    booster, _ = fit_boosted(masks, values, depth=depth, rate=0.1, n_trees=80, seed=0)
    return booster, masks, values


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_equals_the_boosters_own_predictions(depth: int) -> None:
    booster, _, values = fitted(depth)
    fresh = np.random.default_rng(9).random((300, 40)) < 0.5
    spectrum = fourier(read_trees(booster), 40)
    np.testing.assert_allclose(
        spectrum.predict(fresh), booster.predict(fresh.astype(np.float32)), atol=1e-10
    )
    assert spectrum.orders.max() <= depth
    truncated = fourier(read_trees(booster, 10), 40)
    np.testing.assert_allclose(
        truncated.predict(fresh),
        booster.predict(fresh.astype(np.float32), num_iteration=10),
        atol=1e-10,
    )
    assert abs(spectrum[()] - values.mean()) < 0.5


def test_early_stopping_follows_the_path_once() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((600, 20)) < 0.5
    noisy = planted(20, 5, rng).predict(masks) + rng.normal(0, 3, 600)
    booster, best = fit_boosted(
        masks[:400],
        noisy[:400],
        depth=3,
        rate=0.1,
        n_trees=1000,
        seed=0,
        valid=(masks[400:], noisy[400:]),
    )
    assert best < 200
    assert len(read_trees(booster, best)) == best
