"""Cheap before dear: a cheaper game helps where it can, harms nowhere, and an audit derives it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.errors import GameError
from interplay.explanation.cheaper import CHEAPER
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform

N_PLAYERS = 14


def shared(masks: BoolArray) -> FloatArray:
    """A function with many interactions of order 2 and 3, which takes many masks to learn."""
    rng = np.random.default_rng(3)
    total = np.zeros(len(masks))
    for _ in range(24):
        members = rng.choice(9, int(rng.integers(2, 4)), replace=False)
        total += rng.normal() * masks[:, members].all(axis=1)
    return total


def dear_values(masks: BoolArray) -> FloatArray:
    return shared(masks) + 0.8 * masks[:, 2] - 0.5 * (masks[:, 10] & masks[:, 11])


def cheap_values(masks: BoolArray) -> FloatArray:
    return 2.0 * shared(masks) + masks[:, 12] + 5.0


def unrelated(masks: BoolArray) -> FloatArray:
    return cheap_values(masks[:, ::-1])


DEAR = ip.FunctionGame(dear_values, N_PLAYERS, fingerprint="dear")
CHEAP = ip.FunctionGame(cheap_values, N_PLAYERS, fingerprint="cheap")
UNRELATED = ip.FunctionGame(unrelated, N_PLAYERS, fingerprint="unrelated")
TEST = uniform(400, N_PLAYERS, np.random.default_rng(77))


def explained(**options: Any) -> ip.Explanation:
    settings: dict[str, Any] = {"decoder": "gp", "measure": "uniform", "budget": 70}
    return ip.explain(DEAR, **settings | options)


def true_r2(explanation: ip.Explanation) -> float:
    return float(r2(dear_values(TEST), explanation.predict(TEST))[0])


@pytest.fixture(scope="module")
def with_cheaper(tmp_path_factory: pytest.TempPathFactory) -> tuple[ip.Explanation, Path]:
    store = tmp_path_factory.mktemp("cheaper") / "a.db"
    explanation = explained(cheaper=CHEAP, cheaper_budget=260, store=store)
    return ip.load(explanation.save(store.with_suffix(".interplay"))), store


def test_it_saves_ablations(with_cheaper: tuple[ip.Explanation, Path]) -> None:
    explanation, _ = with_cheaper
    told = explanation.provenance["decoder"]["diagnosis"][CHEAPER]
    assert told["used"]
    assert told["weights"][0] == pytest.approx(0.5, abs=0.1)
    assert told["cv_r2"] > told["cv_r2_alone"] + 0.1
    alone = explained()
    np.testing.assert_array_equal(explanation.held_out.masks, alone.held_out.masks)
    assert true_r2(explanation) > true_r2(alone) + 0.1
    assert true_r2(explanation) > true_r2(explained(budget=140))
    recorded = explanation.provenance[CHEAPER]
    assert recorded["fingerprint"] == "cheap"
    assert recorded["evaluated"] + recorded["from_store"] == recorded["n_ablations"] > 250
    assert explanation.provenance["request"]["cheaper_budget"] == 260
    assert "took part" in str(explanation)


def test_held_out_masks_take_no_part(with_cheaper: tuple[ip.Explanation, Path]) -> None:
    """Wrong values of both games on held-out masks change the score, and nothing else."""
    explanation, _ = with_cheaper
    held_out = {mask.tobytes() for mask in explanation.held_out.masks}

    def spoilt(values: Any) -> Any:
        def function(masks: BoolArray) -> FloatArray:
            is_held = np.array([mask.tobytes() in held_out for mask in masks])
            return np.where(is_held, 100.0, values(masks))

        return ip.FunctionGame(function, N_PLAYERS)

    again = ip.explain(
        spoilt(dear_values),
        decoder="gp",
        measure="uniform",
        budget=70,
        cheaper=spoilt(cheap_values),
        cheaper_budget=260,
    )
    np.testing.assert_array_equal(again.spectrum.coefficients, explanation.spectrum.coefficients)
    assert again.faithfulness.r2 != explanation.faithfulness.r2


@pytest.mark.parametrize("measure", ["uniform", "shapley"])
def test_an_unrelated_game_changes_no_bit(measure: str) -> None:
    options: dict[str, Any] = {"measure": measure}
    alone = explained(**options)
    explanation = explained(cheaper=UNRELATED, cheaper_budget=260, **options)
    assert not explanation.provenance["decoder"]["diagnosis"][CHEAPER]["used"]
    for name in ("supports", "coefficients", "deviations"):
        np.testing.assert_array_equal(
            getattr(explanation.spectrum, name), getattr(alone.spectrum, name)
        )
    assert explanation.faithfulness == alone.faithfulness
    assert "left out" in str(explanation)


def test_intervals_cover_the_truth(with_cheaper: tuple[ip.Explanation, Path]) -> None:
    explanation, _ = with_cheaper
    truth = ip.explain(DEAR, budget=2**N_PLAYERS, order=2).spectrum
    found = explanation.interactions("Fourier", order=2)
    assert found.low is not None
    assert found.high is not None
    values = np.array([truth[players] for players in found.sets])
    inside = (found.low - 1e-9 <= values) & (values <= found.high + 1e-9)
    assert inside.mean() > 0.85


@pytest.mark.parametrize("decoder", ["auto", "proxyspex", "lasso"])
def test_other_decoders(decoder: str) -> None:
    options: dict[str, Any] = {"decoder": decoder, "order": 2}
    explanation = explained(cheaper=CHEAP, cheaper_budget=260, **options)
    assert explanation.provenance["decoder"]["diagnosis"][CHEAPER]["used"]
    assert true_r2(explanation) > true_r2(explained(**options))


def test_several_outputs() -> None:
    """One output has a cheaper game, the other has none; constants do no harm."""

    def two(masks: BoolArray) -> FloatArray:
        return np.column_stack([dear_values(masks), unrelated(masks), np.ones(len(masks))])

    def cheap_two(masks: BoolArray) -> FloatArray:
        rng = np.random.default_rng(0)
        return np.column_stack([cheap_values(masks), rng.normal(size=len(masks)), masks[:, 0]])

    explanation = ip.explain(
        ip.FunctionGame(two, N_PLAYERS),
        cheaper=ip.FunctionGame(cheap_two, N_PLAYERS),
        decoder="gp",
        measure="uniform",
        budget=70,
        cheaper_budget=260,
    )
    told = explanation.provenance["decoder"]["diagnosis"][CHEAPER]
    assert told["used"]
    assert told["weights"][0] == pytest.approx(0.5, abs=0.15)
    assert told["weights"][2] == 0.0
    assert explanation.spectrum.deviations is not None
    assert explanation.spectrum.deviations.shape[:2] == explanation.spectrum.coefficients.shape


def test_an_audit_derives_it_from_the_store(with_cheaper: tuple[ip.Explanation, Path]) -> None:
    explanation, store = with_cheaper
    verification = ip.verify(explanation, DEAR, store=store)
    assert verification.verdict == "match", str(verification)
    assert {"cheaper game"} <= {check.name for check in verification.checks}
    assert any(entry.what == "cheaper" for entry in verification.trusted)


def test_an_audit_sees_changed_ablations(with_cheaper: tuple[ip.Explanation, Path]) -> None:
    explanation, store = with_cheaper
    used = explanation.cheaper
    assert used is not None
    changed = replace(
        explanation, cheaper=replace(used, values=used.values + 0.01 * used.masks[:, 0])
    )
    wrong = {check.name for check in ip.verify(changed, store=store, sample=0).named("mismatch")}
    assert {"cheaper game", "record"} <= wrong
    fewer = replace(explanation, cheaper=used[:-1])
    missing = replace(explanation, cheaper=None)
    for tampered in (fewer, missing):
        wrong = {check.name for check in ip.verify(tampered, sample=0).named("mismatch")}
        assert "masks" in wrong


def test_stored_ablations_are_not_made_again(with_cheaper: tuple[ip.Explanation, Path]) -> None:
    explanation, store = with_cheaper

    def refuse(masks: BoolArray) -> FloatArray:
        raise AssertionError("the store has all of them")

    again = ip.explain(
        ip.FunctionGame(refuse, N_PLAYERS, fingerprint="dear"),
        cheaper=ip.FunctionGame(refuse, N_PLAYERS, fingerprint="cheap"),
        decoder="gp",
        measure="uniform",
        budget=70,
        cheaper_budget=260,
        store=store,
    )
    assert again.provenance[CHEAPER]["evaluated"] == 0
    np.testing.assert_array_equal(again.spectrum.coefficients, explanation.spectrum.coefficients)


def test_all_masks_need_no_cheaper_game() -> None:
    def refuse(masks: BoolArray) -> FloatArray:
        raise AssertionError("it is not asked")

    explanation = ip.explain(
        ip.FunctionGame(lambda masks: masks.sum(axis=1), 5),
        cheaper=ip.FunctionGame(refuse, 5),
    )
    assert explanation.faithfulness.exact
    assert CHEAPER not in explanation.provenance


def test_a_cheaper_game_on_all_of_its_masks() -> None:
    """Its values are known then, so predictions of it have no error."""

    def small(masks: BoolArray) -> FloatArray:
        return masks[:, 0] * masks[:, 1] * 2.0 - masks[:, 2] * masks[:, 3] * masks[:, 4]

    explanation = ip.explain(
        ip.FunctionGame(lambda masks: small(masks) + 0.3 * masks[:, 5], 9),
        cheaper=ip.FunctionGame(small, 9),
        decoder="gp",
        measure="uniform",
        budget=40,
        cheaper_budget=1000,
    )
    assert explanation.provenance[CHEAPER]["n_ablations"] == 2**9
    assert explanation.provenance["decoder"]["diagnosis"][CHEAPER]["used"]
    assert explanation.faithfulness.r2 > 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cheaper": ip.FunctionGame(shared, 13)}, "has 13 players, and the game 14"),
        (
            {"cheaper": ip.FunctionGame(shared, 14, players=[f"word {i}" for i in range(14)])},
            "player 0 of the cheaper game is 'word 0'",
        ),
        ({"cheaper": DEAR}, "is the game itself"),
        ({"cheaper_budget": 100}, "without a cheaper game"),
        ({"cheaper": CHEAP, "cheaper_budget": 40}, "below budget=70"),
        ({"cheaper": CHEAP, "budget": None, "until": 0.9}, "until"),
        ({"cheaper": CHEAP, "budget": "auto"}, "until"),
        ({"cheaper": CHEAP, "decoder": "spex", "budget": 800}, 'decoder="auto"'),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explained(**options)


def test_a_game_without_a_fingerprint_is_not_cheaper_than_itself() -> None:
    game = ip.FunctionGame(shared, 14)
    with pytest.raises(ValueError, match="is the game itself"):
        ip.explain(game, cheaper=game, budget=70, progress=False)


def test_another_number_of_outputs() -> None:
    with pytest.raises(GameError, match="2 outputs"):
        explained(
            cheaper=ip.FunctionGame(lambda m: np.column_stack([shared(m), shared(m)]), N_PLAYERS)
        )
