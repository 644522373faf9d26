"""The trie design: distinct, nested masks that share their beginnings, and runs that use it."""

from __future__ import annotations

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray
from interplay.designs.optimal import optimal_design
from interplay.designs.trie import branching_depths, trie_design


def new_players(masks: BoolArray) -> float:
    """The kept players, a mask, that are read if each beginning is read once."""
    rows = masks[np.lexsort(masks.T[::-1])]
    new = np.ones_like(rows)
    new[1:] = np.cumsum(rows[1:] != rows[:-1], axis=1) > 0
    return float((new & rows).sum() / len(rows))


@pytest.mark.parametrize(("n_players", "n_masks"), [(1, 2), (2, 4), (5, 32), (12, 900), (40, 500)])
def test_masks_are_distinct_and_nested(n_players: int, n_masks: int) -> None:
    masks = trie_design(n_masks, n_players, np.random.default_rng(3)).masks
    assert len(np.unique(masks, axis=0)) == n_masks
    fewer = trie_design(n_masks // 2, n_players, np.random.default_rng(3)).masks
    assert (masks[: n_masks // 2] == fewer).all()


def test_there_are_no_more_masks_than_there_are() -> None:
    with pytest.raises(ValueError, match="only 8"):
        trie_design(9, 3, np.random.default_rng(0))


@pytest.mark.parametrize("n_players", [1, 2, 7, 8, 61])
def test_a_tree_branches_off_once_at_each_depth(n_players: int) -> None:
    depths = branching_depths(n_players)
    assert depths[0] == 0
    assert sorted(depths) == list(range(n_players))


def test_fewer_players_are_read_and_all_are_varied() -> None:
    masks = trie_design(700, 60, np.random.default_rng(0)).masks
    usual = optimal_design(700, 60, np.random.default_rng(0)).masks
    assert new_players(masks[120:]) < 0.65 * new_players(usual[120:])
    assert np.abs(masks.mean(axis=0) - 0.5).max() < 0.1


def test_a_run_by_token_is_recorded_and_derived_again() -> None:
    game = ip.FunctionGame(lambda masks: masks[:, 0] + 2.0 * (masks[:, 1] & masks[:, 2]), 16)
    explanation = ip.explain(game, per="token", budget=200, progress=False)
    assert explanation.provenance["design"]["kind"] == "trie"
    assert explanation.provenance["request"]["per"] == "token"
    assert explanation.faithfulness.r2 > 0.99
    assert ip.plan(game, per="token", budget=200, warm_up=False).design == "trie"
    with pytest.raises(ValueError, match='per="token"'):
        ip.explain(game, per="token", measure="shapley")
    with pytest.raises(ValueError, match="per"):
        ip.explain(game, per="word")
