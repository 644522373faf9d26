"""Hints in a run: read once, recorded, derived from again, and compared with the game's."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.explanation.curve import budget_curve
from interplay.game import Hints

N_PLAYERS = 24


class HintingGame:
    """Few players matter, and the game says which; it counts how often it was asked."""

    n_players = N_PLAYERS
    players = tuple(map(str, range(N_PLAYERS)))
    fingerprint = "few of 24"

    def __init__(self, values: FloatArray | None = None, cost: float = 0.0) -> None:
        self.given = np.where(np.arange(N_PLAYERS) < 5, 5.0, 1.0) if values is None else values
        self.cost_of_hints = cost
        self.n_asked = 0

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        strong = masks[:, :5] @ np.array([1.0, -2.0, 0.5, 1.5, -1.0])
        return np.asarray(strong + 2.0 * (masks[:, 0] & masks[:, 3]) + 0.1 * masks.sum(axis=1))

    def hints(self) -> Hints:
        self.n_asked += 1
        return Hints("planted", self.given, self.cost_of_hints)


def explained(game: Any, **options: Any) -> ip.Explanation:
    return ip.explain(game, **{"decoder": "gp", "measure": "uniform", "budget": 60} | options)


def test_a_run_reads_and_records_hints() -> None:
    game = HintingGame()
    explanation = explained(game, budget=40)
    assert game.n_asked == 1
    assert explanation.provenance["hints"] == Hints("planted", game.given).to_json()
    assert explanation.provenance["decoder"]["settings"]["weight_of_hints"] > 0.5
    plain = ip.FunctionGame(game, N_PLAYERS, fingerprint="few of 24")
    without = explained(plain, budget=40)
    assert "hints" not in without.provenance
    assert "weight_of_hints" not in without.provenance["decoder"]["settings"]
    assert explanation.faithfulness.r2 > without.faithfulness.r2
    np.testing.assert_array_equal(explanation.fit.masks, without.fit.masks)


def test_auto_takes_hints() -> None:
    assert explained(HintingGame(), decoder="auto").provenance["hints"]["kind"] == "planted"


@pytest.mark.parametrize("options", [{"decoder": "lasso"}, {"decoder": "proxyspex"}])
def test_other_decoders_do_not_ask(options: Any) -> None:
    game = HintingGame()
    assert "hints" not in explained(game, **options).provenance
    assert game.n_asked == 0


def test_the_exact_transform_does_not_ask() -> None:
    game = HintingGame()
    game.n_players, game.players = 5, game.players[:5]
    assert "hints" not in explained(game, budget=32).provenance
    assert game.n_asked == 0


def test_bad_hints_stop_a_run_before_it_costs_anything() -> None:
    with pytest.raises(ValueError, match=r"have shape \(3,\); \(24,\) is expected"):
        explained(HintingGame(np.ones(3)))


def test_adaptive_sampling_asks_once() -> None:
    game = HintingGame()
    explanation = explained(game, budget=200, until=1.0)
    assert len(explanation.provenance["until"]["steps"]) > 1
    assert game.n_asked == 1
    assert ip.verify(explanation, sample=0).named("mismatch") == []


def test_the_last_point_of_the_curve_is_the_explanation() -> None:
    explanation = explained(HintingGame())
    assert budget_curve(explanation, points=2).scores[-1].r2 == explanation.faithfulness.r2


def test_an_audit_derives_from_recorded_hints() -> None:
    game = HintingGame()
    explanation = explained(game)
    without_game = ip.verify(replace(explanation, game=None), sample=0)
    assert without_game.named("mismatch") == []
    assert "hints" in [entry.what for entry in without_game.trusted]
    with_game = ip.verify(explanation, game)
    assert with_game.named("mismatch") == []
    assert "hints" not in [entry.what for entry in with_game.trusted]
    assert "hints.values" in [entry.what for entry in with_game["game"].entries]


def test_hints_that_take_the_model_are_not_asked_for_in_vain() -> None:
    game = HintingGame(cost=100.0)
    explanation = explained(game)
    result = ip.verify(explanation, game, sample=0)
    assert game.n_asked == 1
    assert "hints" in [entry.what for entry in result.trusted]
    assert ip.verify(explanation, game, sample=5)["game"].status == "match"


def changed(explanation: ip.Explanation, hints: Any) -> ip.Explanation:
    return replace(explanation, provenance=explanation.provenance | {"hints": hints})


def test_other_hints_are_a_mismatch() -> None:
    game = HintingGame()
    explanation = explained(game)
    recorded = explanation.provenance["hints"]
    forged = changed(explanation, recorded | {"values": recorded["values"][::-1]})
    result = ip.verify(forged, game)
    assert {check.name for check in result.named("mismatch")} >= {"spectrum", "game"}
    left_out = ip.verify(changed(explanation, None), game)
    assert left_out["spectrum"].status == "mismatch"
    plain = ip.FunctionGame(game, N_PLAYERS, players=game.players, fingerprint="few of 24")
    made_up = ip.verify(changed(explained(plain, decoder="lasso"), recorded), sample=0)
    assert "record" in [check.name for check in made_up.named("mismatch")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hints: hints | {"values": hints["values"][:-1]}, r"provenance.hints have shape"),
        (lambda hints: hints | {"values": [-1.0, *hints["values"][1:]]}, "player 0 in prov"),
        (lambda hints: {"kind": "planted"}, "provenance.hints"),
        (lambda hints: [1.0], "provenance.hints"),
    ],
)
def test_hints_in_a_file_are_data(
    change: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    path, wrong = tmp_path / "right.interplay", tmp_path / "wrong.interplay"
    explanation = explained(HintingGame())
    explanation.save(path)
    assert ip.load(path).provenance["hints"] == explanation.provenance["hints"]
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(wrong, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".json"):
                document = json.loads(content)
                document["provenance"]["hints"] = change(document["provenance"]["hints"])
                content = json.dumps(document).encode()
            target.writestr(name, content)
    with pytest.raises(ValueError, match=message):
        ip.load(wrong)
