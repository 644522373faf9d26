"""What a plan says is what the run then does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.fourier.masks import keys, sorted_by_prefix


class Priced:
    """A game of known cost: a token for each kept player, a millisecond for each token."""

    n_players = 25
    players = tuple(map(str, range(25)))
    fingerprint = "priced"
    batch_size = 20

    def __init__(self, *, paid: bool = False, megabytes: int = 0) -> None:
        self.evaluated: list[bytes] = []
        self.paid, self.megabytes = paid, megabytes

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.evaluated += keys(masks)
        held = np.ones(self.megabytes * 2**17)
        time.sleep(1e-3 * self.cost(masks).sum() + 1e-9 * held[:1].sum())
        return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {"lens": None, "paid": self.paid}


def test_a_plan_says_what_the_run_does(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    game = Priced()
    plan = ip.plan(game, budget=400, store=store, price=2e6)
    assert (plan.n_fit, plan.n_held_out, plan.decoder) == (360, 40, "auto")
    assert plan.warmed_up == plan.n_stored == len(game.evaluated) == 40
    assert plan.n_new == 360
    assert plan.batch_size == 20
    assert plan.tokens is not None
    assert plan.price == pytest.approx(2 * plan.tokens)
    warmed = list(game.evaluated)
    started = time.perf_counter()
    explanation = ip.explain(game, budget=400, store=store, progress=False)
    seconds = time.perf_counter() - started
    # nothing that the plan evaluated is evaluated again, and the rest costs what it estimated
    assert len(set(game.evaluated)) == len(game.evaluated) == 400
    spent = explanation.provenance["budget"]
    assert (spent["from_store"], spent["evaluated"]) == (40, 360)
    fresh = [key for key in game.evaluated if key not in warmed]
    kept = sum(bin(int.from_bytes(key, "little")).count("1") for key in fresh)
    assert plan.tokens == kept
    assert plan.seconds == pytest.approx(seconds, rel=0.5)
    done = ip.plan(game, budget=400, store=store)
    assert (done.n_new, done.n_stored, done.seconds) == (0, 400, 0.0)
    assert len(game.evaluated) == 400
    assert "400, free" in str(done)


def test_without_a_store_the_whole_run_is_still_to_be_evaluated() -> None:
    plan = ip.plan(Priced(), budget=300)
    assert (plan.n_new, plan.n_stored, plan.warmed_up) == (300, 0, 40)
    # a millisecond a token, 3,700 of them; the machine may be slower than that
    assert plan.seconds is not None
    assert 3.0 < plan.seconds < 60.0


def test_a_game_that_costs_money_is_not_measured_by_default() -> None:
    game = Priced(paid=True)
    plan = ip.plan(game, budget=300)
    assert game.evaluated == []
    assert (plan.warmed_up, plan.seconds, plan.memory) == (0, None, None)
    assert "not measured" in str(plan)
    assert ip.plan(game, budget=300, warm_up=True).warmed_up == 40


def test_memory_is_that_of_a_call() -> None:
    # in a process of its own: here the call could take what earlier tests have given back
    code = (
        "import interplay as ip; from tests.explanation.test_plan import Priced; "
        "print(ip.plan(Priced(megabytes=64), budget=300).memory)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 < int(done.stdout) / 2**20 < 140


def test_repeats_cost_each_time() -> None:
    def f(masks: BoolArray, seeds: IntArray) -> FloatArray:
        return masks.sum(axis=1) + 0.0

    plan = ip.plan(ip.FunctionGame(f, 30, n_repeats=3), budget=300)
    assert plan.n_repeats == 3
    assert "x 3 repeats" in str(plan)
    assert plan.tokens is None


def test_bad_requests() -> None:
    with pytest.raises(ValueError, match="does not say what its masks cost"):
        ip.plan(ip.FunctionGame(lambda m: m.sum(axis=1), 30), price=3.0)
    with pytest.raises(ValueError, match="budget=40 leaves"):
        ip.plan(Priced(), decoder="spex", budget=40)


@pytest.mark.parametrize("decoder", ["auto", "proxyspex", "spex", "lasso"])
def test_counts_are_those_of_the_run(decoder: str) -> None:
    game = ip.FunctionGame(lambda m: m[:, 0] * 1.0, 30)
    plan = ip.plan(game, decoder=decoder, budget=1500, warm_up=False)
    spent = ip.explain(game, decoder=decoder, budget=1500).provenance["budget"]
    assert (plan.n_fit, plan.n_held_out, plan.n_new) == (
        spent["fit"],
        spent["held_out"],
        spent["evaluated"],
    )
