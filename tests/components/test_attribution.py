"""Attributions by one backward pass, against differences of gates, edited weights and removal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

import interplay as ip
from interplay import components
from interplay._types import BoolArray, FloatArray
from interplay.game import HintingGame, hints_of
from tests.components.test_units import CAUSAL, FAMILIES, SMALL, made, task, tokenizer
from tests.text.tiny import tiny, word_tokenizer

AGREEMENT = Path(__file__).parents[2] / "examples" / "tasks" / "agreement.jsonl"
WORDS = word_tokenizer(framed=False)
STEP = 1e-3  # norms are in single precision, whatever the weights are
ITEMS = (
    components.Item("w1 w2 w3", " w20", (" w21 w4", " w22")),
    components.Item("w1 w2 w9 w4 w7", " w20 w25", (" w21",)),
    components.Item("w5 w6 w30 w8", " w23", (" w24",)),
)
"""Answers of several tokens: what an item's score depends on is read in several passes."""


def game(
    model: Any, players: Any = None, ablation: Any = "zero", scores: Any = "margin", **options: Any
) -> components.ComponentGame:
    return components.ComponentGame(
        model,
        WORDS,
        components.Task(ITEMS, scores),
        players or components.heads(model) + components.mlps(model),
        ablation,
        **options,
    )


def smooth(family: str = "llama") -> Any:
    """A small model in double precision whose scores are far from linear in its gates."""
    return tiny(hf.AutoModelForCausalLM, CAUSAL[family](), scale=4.0).double()


def at_gates(own: components.ComponentGame, gates: FloatArray) -> FloatArray:
    """The scores with gates between 0 and 1, mean over items, ``(m, k)``."""
    read = own._passes.readings(own._sequences, own._readouts, gates)
    values = [r.combine(by_feed) for r, by_feed in zip(own._readouts, read, strict=True)]
    return np.asarray(np.mean(values, axis=0))


def by_differences(
    own: components.ComponentGame, mask: BoolArray, step: float = STEP
) -> FloatArray:
    """The effect of closing each gate by central differences, ``(n, k)``."""
    steps = step * np.eye(own.n_players)
    above, below = at_gates(own, mask + steps), at_gates(own, mask - steps)
    return np.asarray((below - above) / (2 * step))


# --- against differences -------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_attribution_is_that_of_differences_in_every_family(family: str) -> None:
    # products of experts are not there in double precision
    model = made(family) if family == "mixtral" else made(family).double()
    players = components.heads(model) + components.mlps(model)
    own = components.ComponentGame(model, tokenizer(family), task(family), players)
    every = np.ones(len(players), dtype=bool)
    first = own.attribution()
    own(every[None])  # what the model caches in an inference must not be in the way
    np.testing.assert_array_equal(own.attribution(), first)
    expected = by_differences(own, every)
    assert first.shape == expected.shape == (len(players), 2)
    scale = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(first / scale, expected / scale, atol=3e-3)


@pytest.mark.parametrize(
    "ablation",
    [
        "zero",
        components.Zero(rescale=True),
        "mean",
        components.Mean(("w9 w8 w7", "w6")),
        "resample",
        components.Resample(("w9 w8 w7 w6 w5", "w31 w2")),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["units", "layers", "groups"])
def test_attribution_is_that_of_differences_for_every_ablation(ablation: Any, kind: str) -> None:
    model = smooth()
    units = components.heads(model, [1, 2]) + components.mlps(model, [1, 2])
    players = {
        "units": units,
        "layers": components.layers(model, [0, 2]),
        "groups": (*components.by_layers(units), components.Unit(0, "mlp")),
    }[kind]
    own = game(model, players, ablation)
    masks = np.random.default_rng(1).random((3, own.n_players)) < 0.7
    masks[0] = True
    expected = np.array([by_differences(own, mask)[:, 0] for mask in masks])
    for mask, of_mask in zip(masks, expected, strict=True):
        np.testing.assert_allclose(own.attribution(mask[None]), of_mask, rtol=3e-3, atol=3e-4)
    np.testing.assert_array_equal(own.attribution(), own.attribution(masks[:1]))
    np.testing.assert_allclose(own.attribution(masks), expected.mean(axis=0), rtol=3e-3, atol=3e-4)


def test_gates_of_zeros_and_ones_are_masks() -> None:
    model = smooth()
    for ablation in ("zero", components.Zero(rescale=True), "mean", "resample"):
        own = game(model, ablation=ablation)
        masks = np.random.default_rng(2).random((5, own.n_players)) < 0.5
        np.testing.assert_allclose(at_gates(own, masks.astype(float))[:, 0], own(masks), rtol=1e-6)


def test_a_small_step_has_the_effect_that_is_told_up_to_its_square() -> None:
    own = game(smooth(), ablation="mean")
    told, every = own.attribution(), np.ones((1, own.n_players))
    intact = at_gates(own, every)[0, 0]
    errors = []
    for step in (1e-2, 1e-3):
        effects = at_gates(own, every - step * np.eye(own.n_players))[:, 0] - intact
        errors.append(np.abs(effects - step * told).max() / step)
    assert errors[1] < 0.02 * np.abs(told).max()
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.3)


def test_the_real_model(smollm: tuple[Any, Any]) -> None:
    model, words = smollm
    whole = components.Task.from_file(AGREEMENT)
    few = components.Task(whole.items[:4])
    players = components.heads(model) + components.mlps(model)
    own = components.ComponentGame(model, words, few, players)
    told = own.attribution()
    strongest = np.argsort(-np.abs(told))[[0, 1, 2, 5, 20]]
    step = 0.02  # single precision: smaller steps drown in rounding
    gates = step * np.eye(own.n_players)[strongest]
    slopes = (at_gates(own, 1 - gates) - at_gates(own, 1 + gates))[:, 0] / (2 * step)
    np.testing.assert_allclose(told[strongest], slopes, rtol=0.02, atol=2e-3)


def test_the_real_model_with_edited_weights(smollm: tuple[Any, Any]) -> None:
    model, words = smollm
    few = components.Task(components.Task.from_file(AGREEMENT).items[:4])
    own = components.ComponentGame(model, words, few, components.heads(model, [0, 9, 15]))
    told, every, step = own.attribution(), np.ones((1, own.n_players), dtype=bool), 0.02
    for player in np.argsort(-np.abs(told))[:4]:
        unit = own._players[player]
        assert isinstance(unit, components.Unit)
        weight = model.model.layers[unit.layer].self_attn.o_proj.weight
        columns = slice(64 * unit.head, 64 * (unit.head + 1))
        before, values = weight[:, columns].clone(), []
        for scale in (1 - step, 1 + step):
            with torch.no_grad():
                weight[:, columns] = scale * before
                values.append(own(every)[0])
                weight[:, columns] = before
        assert told[player] == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.03)


# --- what it takes and leaves --------------------------------------------------------------------


def test_one_backward_pass_for_each_score(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    backward = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *a, **k: (calls.append(1), backward(*a, **k))[1]
    )
    model = smooth()
    for scores, n_backward in (("margin", 1), (("margin", "correct"), 1), (("margin", "prob"), 2)):
        calls.clear()
        own = game(model, scores=scores, hints="attribution")
        told = own.attribution()
        assert len(calls) == n_backward
        if "correct" in scores:
            assert told.shape == (own.n_players, 2)
            assert not told[:, 1].any()
        assert hints_of(own).cost == own.cost(np.ones((1, own.n_players)))[0] * (  # type: ignore[union-attr]
            2 + 2 * n_backward
        )


def test_a_step_has_no_derivative_even_where_it_is_taken_across_it() -> None:
    model = smooth()
    with torch.no_grad():
        model.lm_head.weight[:] = model.lm_head.weight[:1]  # all margins are 0
    own = game(model, scores=("logprob", "correct"))
    assert not own.attribution()[:, 1].any()


def test_the_model_stays_as_it_was() -> None:
    own = game(smooth())
    before = own.fingerprint
    own.attribution()
    assert own.fingerprint == before is not None
    assert all(parameter.grad is None for parameter in own.model.parameters())
    own.model.requires_grad_(False)
    assert own.attribution().any()  # only the gates' gradient is needed


def test_classifiers_and_half_precision() -> None:
    config = hf.LlamaConfig(**SMALL, num_labels=2, id2label={0: "bad", 1: "good"})
    config.label2id = {"bad": 0, "good": 1}
    model = tiny(hf.AutoModelForSequenceClassification, config, scale=4.0).double()
    items = components.Task((components.Item("w1 w2", "good", ("bad",)),))
    own = components.ComponentGame(model, WORDS, items, components.heads(model))
    expected = by_differences(own, np.ones(12, dtype=bool))[:, 0]
    np.testing.assert_allclose(own.attribution(), expected, rtol=3e-3, atol=3e-4)
    told = game(smooth().bfloat16()).attribution()
    exact = game(smooth()).attribution()
    assert np.corrcoef(told, exact)[0, 1] > 0.98


def test_what_has_no_gradient() -> None:
    model = smooth()
    step = components.LogitScore(lambda values, item: (values[:, 3] > 0).double(), "step")
    with pytest.raises(ValueError, match="item 0 has no derivative"):
        game(model, scores=step).attribution()
    with pytest.raises(ValueError, match=r"no derivative.*use hints=None"):
        game(model, scores=step, hints="attribution").hints()
    with pytest.raises(ValueError, match="needs a score that has a gradient"):
        game(model, scores="correct", hints="attribution")
    with pytest.raises(ValueError, match="hints='tokens' is unknown; choose attribution, or None"):
        game(model, hints="tokens")
    with pytest.raises(ValueError, match=r"hints=array\(.* is unknown; choose attribution"):
        game(model, hints=np.ones(2))
    with pytest.raises(ValueError, match="there are no masks; leave them out"):
        game(model).attribution(np.ones((0, 15), dtype=bool))


# --- hints ---------------------------------------------------------------------------------------


def test_hints_are_the_sizes_of_attributions() -> None:
    model = smooth()
    own = game(model, hints="attribution")
    hints = hints_of(own)
    assert isinstance(own, HintingGame)
    assert hints is not None
    assert hints.kind == "attribution"
    told = np.abs(own.attribution())
    np.testing.assert_allclose(hints.values, told / np.linalg.norm(told))
    both = game(model, scores=("margin", "logprob"), hints="attribution")
    shares = both.attribution() / np.linalg.norm(both.attribution(), axis=0)
    np.testing.assert_allclose(both.hints().values, np.linalg.norm(shares, axis=1))  # type: ignore[union-attr]


def test_hints_are_off_unless_asked_for_and_change_no_value() -> None:
    model = smooth()
    plain, hinting = game(model), game(model, hints="attribution")
    assert plain.hints() is None
    assert plain.fingerprint == hinting.fingerprint
    assert plain.describe() == hinting.describe()
    assert hinting.on(hinting.task).hints() is not None
    without, having = (ip.explain(one, decoder="gp", budget=60) for one in (plain, hinting))
    assert "hints" not in without.provenance
    assert having.provenance["hints"]["kind"] == "attribution"
    assert "weight_of_hints" in having.provenance["decoder"]["settings"]
    (of_game,) = (check for check in ip.verify(having, hinting).checks if check.name == "game")
    assert of_game.status == "match"
