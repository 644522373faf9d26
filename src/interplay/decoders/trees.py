r"""Boosted trees on masks, and their exact Fourier transform.

A tree on binary features is a sum over leaves of the leaf's value times the indicator of its path.
If the path requires each player of a set P to be kept (m_i = 1) or removed (m_i = 0), the indicator
is

.. math::
    \prod_{i \in P} \frac{1 + s_i \chi_i(m)}{2} = 2^{-|P|} \sum_{S \subseteq P}
    \Big(\prod_{i \in S} s_i\Big) \chi_S(m),
    \qquad s_i = -1 \text{ if kept, } +1 \text{ if removed,}

so a leaf of value v adds v 2^-|P| prod s_i to the coefficient of every subset S of P. This is the
transform of ProxySPEX (arXiv 2505.17495), written out over leaves instead of as a recursion. All
leaves whose paths have the same length, of all trees, are transformed at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray
from interplay.fourier.sets import Members, collapse
from interplay.fourier.spectrum import Spectrum

if TYPE_CHECKING:
    import lightgbm as lgb

_FIELD = re.compile(r"^(split_feature|left_child|right_child|leaf_value)=(.*)$", re.MULTILINE)
"""What is read of a tree in LightGBM's text form."""

Path: TypeAlias = tuple[tuple[int, int], ...]
"""The (player, sign) pairs on the way to a leaf; sign -1 where kept, +1 where removed."""


@dataclass(frozen=True)
class Tree:
    """A binary regression tree on masks.

    Attributes:
        player: the player on which each inner node splits, ``(splits,)``.
        removed: the child for masks that remove that player, ``(splits,)``; a child ``c >= 0`` is
            an inner node, ``c < 0`` the leaf ``~c``.
        kept: the child for masks that keep it, ``(splits,)``.
        value: the leaves' values, ``(splits + 1,)``.
    """

    player: npt.NDArray[np.int64]
    removed: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    value: FloatArray


def fit_boosted(
    masks: BoolArray,
    values: FloatArray,
    *,
    depth: int,
    rate: float,
    n_trees: int,
    seed: int,
    valid: tuple[BoolArray, FloatArray] | None = None,
    patience: int = 25,
) -> tuple[lgb.Booster, int]:
    """Fit gradient boosted trees for squared error.

    Args:
        masks: ``(m, n)``.
        values: ``(m,)``.
        depth: the largest depth of a tree.
        rate: the learning rate.
        n_trees: the most trees.
        seed: of LightGBM.
        valid: held-out masks and values. Boosting stops when the error on them has not fallen for
            ``patience`` trees.
        patience: see ``valid``.

    Returns:
        The booster and the number of its trees to use.
    """
    import lightgbm as lgb  # a second that only this decoder needs

    # One thread: at these sizes a second one gains little, and LightGBM's threads wait busily for
    # each other. With another process on the machine, two threads are 50 times slower than one.
    params = {
        "objective": "l2",
        "learning_rate": rate,
        "max_depth": depth,
        "num_leaves": 2**depth if depth <= 3 else 10 if depth <= 5 else 31,
        "min_data_in_leaf": int(np.clip(len(masks) // 50, 2, 20)),
        "max_bin": 3,
        "num_threads": 1,
        "force_row_wise": True,
        "deterministic": True,
        "seed": seed,
        "verbosity": -1,
    }
    train = lgb.Dataset(masks.astype(np.float32), values, params=params, free_raw_data=True)
    if valid is None:
        return lgb.train(params, train, n_trees), n_trees
    held_out = lgb.Dataset(valid[0].astype(np.float32), valid[1], reference=train, params=params)
    booster = lgb.train(
        params,
        train,
        n_trees,
        valid_sets=[held_out],
        callbacks=[lgb.early_stopping(patience, verbose=False)],
        keep_training_booster=True,  # without it the booster is written and read again
    )
    return booster, booster.best_iteration or n_trees


def read_trees(booster: lgb.Booster, n_trees: int | None = None) -> list[Tree]:
    """Read the trees of a booster that was fitted on masks.

    Parsing LightGBM's text form takes a hundredth of the time of its JSON form.
    """
    text = booster.model_to_string(num_iteration=n_trees if n_trees is not None else -1)
    trees = []
    for block in text.split("\nTree=")[1:]:
        fields = dict(_FIELD.findall(block))
        value = np.array(fields["leaf_value"].split(), dtype=np.float64)
        if len(value) == 1:
            none = np.zeros(0, dtype=np.int64)
            trees.append(Tree(none, none, none, value))
            continue
        player, left, right = (
            np.array(fields[name].split(), dtype=np.int64)
            for name in ("split_feature", "left_child", "right_child")
        )
        trees.append(Tree(player, left, right, value))
    return trees


def paths(tree: Tree) -> list[tuple[Path, float]]:
    """List the path and the value of each leaf that can be reached.

    A player on which a path splits twice is listed once. A path that contradicts itself is dropped.
    """
    leaves: list[tuple[Path, float]] = []
    stack: list[tuple[int, Path]] = [(0 if len(tree.player) else -1, ())]
    player, value = tree.player.tolist(), tree.value.tolist()
    children = ((1, tree.removed.tolist()), (-1, tree.kept.tolist()))
    while stack:
        node, path = stack.pop()
        if node < 0:
            leaves.append((path, value[~node]))
            continue
        split = player[node]
        required = next((sign for earlier, sign in path if earlier == split), None)
        for sign, child in children:
            if required is None:
                stack.append((child[node], (*path, (split, sign))))
            elif required == sign:
                stack.append((child[node], path))
    return leaves


def fourier(trees: Sequence[Tree], n_players: int) -> Spectrum:
    """Compute the exact Fourier transform of the sum of the trees.

    Returns:
        The spectrum. The empty set is always in its support. Coefficients that cancel between
        leaves to less than 1e-12 of the largest are left out.
    """
    by_length: dict[int, list[tuple[Path, float]]] = {}
    for tree in trees:
        for path, value in paths(tree):
            by_length.setdefault(len(path), []).append((path, value))
    width = max(by_length, default=0)
    sets: list[Members] = [np.full((1, width), n_players, dtype=np.int32)]
    coefficients: list[FloatArray] = [np.zeros(1)]
    for length, leaves in by_length.items():
        steps = np.array([p for p, _ in leaves], dtype=np.int32).reshape(len(leaves), length, 2)
        value = np.array([v for _, v in leaves]) / 2**length
        ascending = np.argsort(steps[:, :, 0], axis=1)
        players = np.take_along_axis(steps[:, :, 0], ascending, axis=1)
        signs = np.take_along_axis(steps[:, :, 1], ascending, axis=1)
        # every subset of the path: `chosen` is (2^length, length)
        chosen = (np.arange(2**length)[:, None] >> np.arange(length)) & 1 == 1
        subset = np.full((len(leaves), 2**length, width), n_players, dtype=np.int32)
        subset[:, :, :length] = np.where(chosen, players[:, None, :], n_players)
        subset.sort(axis=2)
        sign = np.where(chosen, signs[:, None, :], 1).prod(axis=2)
        sets.append(subset.reshape(subset.shape[0] * subset.shape[1], width))
        coefficients.append((value[:, None] * sign).reshape(-1))
    merged, values = collapse(np.concatenate(sets), np.concatenate(coefficients), n_players)
    keep = np.abs(values) > 1e-12 * np.abs(values).max(initial=0.0)
    keep[0] = True  # the empty set sorts first
    return Spectrum.from_members(n_players, merged[keep], values[keep])
