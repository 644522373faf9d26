"""Passes cut at layers: what is shared, in what order, and that values stay what they are."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interplay import components
from interplay.components import passes as passes_module
from interplay.components.patching import Site
from interplay.components.stages import Stage, plan_stages, run_stages, sort_rows
from interplay.text.inference.batches import Batches
from tests.components.test_game import game
from tests.components.test_units import N_HEADS, N_LAYERS, made

LAYERS, PER_LAYER = 5, 2


def sites(rng: np.random.Generator) -> list[Site]:
    """Players of two units in any layers, in any order."""
    layers = rng.permutation(np.repeat(np.arange(LAYERS), PER_LAYER)).reshape(-1, 2)
    owners = [np.flatnonzero((layers == layer).any(axis=1)) for layer in range(LAYERS)]
    module = torch.nn.Identity()
    return [Site(layer, "head", module, owners[layer]) for layer in range(LAYERS)]


def case(seed: int) -> tuple[list[Site], Any, Any, Any, Any, Any]:
    """Sites, gates, and rows before and after they are sorted."""
    rng = np.random.default_rng(seed)
    where = sites(rng)
    gates = np.hstack([rng.random((12, LAYERS)) < 0.7, np.ones((12, 1), dtype=bool)])
    row_gates, row_packs = rng.integers(12, size=30), rng.integers(3, size=30)
    order, differs = sort_rows(where, gates, row_gates, row_packs)
    return where, gates, row_gates[order], row_packs[order], order, differs


def kept_up_to(where: list[Site], gates: Any, layer: int) -> Any:
    below = [site.owners for site in where if site.layer <= layer]
    return gates[:, np.unique(np.concatenate(below))]


@given(st.integers(0, 10_000))
def test_rows_that_agree_up_to_a_layer_are_neighbours(seed: int) -> None:
    where, gates, row_gates, row_packs, order, differs = case(seed)
    assert sorted(order) == list(range(30))
    for layer in range(LAYERS):
        kept = kept_up_to(where, gates, layer)[row_gates]
        paths = {(pack, bytes(row)) for pack, row in zip(row_packs, kept, strict=True)}
        assert (differs <= layer).sum() == len(paths)


@given(st.integers(0, 10_000), st.sampled_from([(), (1,), (1, 2, 3, 4)]), st.integers(1, 40))
def test_every_row_is_run_once_from_the_states_of_its_own(
    seed: int, cuts: tuple[int, ...], max_held: int
) -> None:
    """States are sums of what is kept; logits are those of all layers, whatever is held."""
    where, gates, row_gates, row_packs, _, differs = case(seed)
    stages = plan_stages(differs, LAYERS, cuts, 300, 2_000)
    assert [stage.first for stage in stages[1:]] == [stage.stop for stage in stages[:-1]]
    assert (stages[0].first, stages[-1].stop, len(stages[-1].rows)) == (0, LAYERS, 30)
    assert {stage.first for stage in stages} <= {0, *cuts}
    run: list[tuple[int, int]] = []

    def forward(stage: Stage, rows: Any, states: torch.Tensor | None) -> torch.Tensor:
        run.extend((stage.first, int(row)) for row in rows)
        total = torch.from_numpy(row_packs[rows] * 1000.0) if states is None else states[:, 0, 0]
        for site in where[stage.first : stage.stop]:
            kept = gates[row_gates[rows]][:, site.owners] @ (2.0**site.owners)
            total = total + (site.layer + 1) * torch.from_numpy(kept)
        return total[:, None, None]

    def use(rows: Any, logits: torch.Tensor) -> list[tuple[int, float]]:
        return list(zip(rows.tolist(), logits[:, 0, 0].tolist(), strict=True))

    results = run_stages(stages, 300, Batches(2_000), 300 * max_held, forward, use)
    got = dict(pair for pairs in results for pair in pairs)
    whole = forward(Stage(0, LAYERS, np.arange(30)), np.arange(30), None)[:, 0, 0]
    assert [got[row] for row in range(30)] == whole.tolist()
    expected = [(stage.first, row) for stage in stages for row in stage.rows.tolist()]
    assert sorted(run[:-30]) == sorted(expected)


def test_the_cheapest_stages_are_chosen() -> None:
    alike = np.array([0] + [4] * 99)
    assert [
        (s.first, s.stop, len(s.rows)) for s in plan_stages(alike, 6, range(1, 6), 10, 1024)
    ] == [
        (0, 4, 1),
        (4, 6, 100),
    ]
    unlike = np.zeros(100, dtype=np.int64)
    assert len(plan_stages(unlike, 6, range(1, 6), 10, 1024)) == 1
    assert len(plan_stages(alike, 6, [], 10, 1024)) == 1
    few = np.array([0, 4])  # a pass more costs more than it saves
    assert len(plan_stages(few, 6, range(1, 6), 2, 1024)) == 1


def agreeing(n_masks: int, n_patterns: int, n_lower: int, n_players: int) -> Any:
    """Masks of few patterns in lower layers."""
    rng = np.random.default_rng(0)
    masks = rng.random((n_masks, n_players)) < 0.6
    masks[:, :n_lower] = masks[np.arange(n_masks) % n_patterns, :n_lower]
    return masks


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_masks_that_agree_below_a_layer_share_it(ablation: str) -> None:
    model = made("llama")
    own = game(model, components.heads(model), ablation)
    masks = agreeing(60, 4, 2 * N_HEADS, own.n_players)
    own(masks[:1])  # the equivalence check
    rows = dict.fromkeys(range(N_LAYERS), 0)
    handles = []
    for layer in rows:

        def count(_: Any, args: Any, layer: int = layer) -> None:
            rows[layer] += args[0].shape[:-1].numel()

        projection = model.model.layers[layer].self_attn.q_proj
        handles.append(projection.register_forward_pre_hook(count))
    values = own.item_scores(masks)
    assert max(rows[0], rows[1]) < rows[2] / 4
    for handle in handles:
        handle.remove()
    own._passes._cuts = ()
    np.testing.assert_allclose(own.item_scores(masks), values, rtol=1e-5, atol=1e-5)


def test_states_are_held_within_the_limits_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("llama")
    own = game(model, components.heads(model))
    masks = agreeing(60, 20, N_HEADS, own.n_players)
    values = own(masks)
    monkeypatch.setattr(passes_module, "max_held_tokens", lambda _: 100)
    np.testing.assert_allclose(own(masks), values, rtol=1e-5, atol=1e-6)


def test_models_that_cannot_be_cut_everywhere_are_cut_below_the_first_unit() -> None:
    """Here the third layer reads what the second one leaves behind, which a later start lacks."""
    model = made("llama")
    second, third = model.model.layers[1], model.model.layers[2]
    left = SimpleNamespace(states=None)

    def leave(_: Any, args: Any, output: Any) -> None:
        left.states = output

    def read(_: Any, args: Any, output: Any) -> Any:
        assert left.states is not None
        output, left.states = output + left.states, None
        return output

    second.register_forward_hook(leave)
    third.register_forward_hook(read)
    own = game(model, components.heads(model, [1, 2]))
    whole = own(np.ones((1, own.n_players), dtype=bool))
    assert own._passes._cuts == (1,)
    own._passes._cuts = ()
    np.testing.assert_allclose(own(np.ones((1, own.n_players), dtype=bool)), whole, rtol=1e-5)


def test_an_order_of_masks_is_kept_unless_it_saves_work() -> None:
    model = made("llama")
    own = game(model, components.heads(model))
    rng = np.random.default_rng(0)
    unlike = rng.random((12, own.n_players)) < 0.5
    assert own.arrange(unlike).tolist() == list(range(12))
    masks = agreeing(40, 4, 2 * N_HEADS, own.n_players)
    order = own.arrange(masks)
    assert sorted(order) == list(range(40))
    lower = [bytes(mask) for mask in masks[order, : 2 * N_HEADS]]
    assert sum(a != b for a, b in pairwise(lower)) == 3
    assert own.arrange(masks[:0]).shape == (0,)
