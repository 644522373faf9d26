"""What a plan says is what the run then does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.explanation import plan as plan_module
from interplay.fourier.masks import keys, sorted_by_prefix


class Clock:
    """The plan's clock: it goes on while the game works, and not while others use the machine."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(plan_module, "time", clock)
    return clock


class Priced:
    """A game of known cost: a token for each kept player, a millisecond for each token."""

    n_players = 25
    players = tuple(map(str, range(25)))
    fingerprint = "priced"
    batch_size = 20

    def __init__(
        self, clock: Clock | None = None, *, paid: bool = False, megabytes: int = 0
    ) -> None:
        self.evaluated: list[bytes] = []
        self.clock, self.paid, self.megabytes = clock, paid, megabytes

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.evaluated += keys(masks)
        held = np.ones(self.megabytes * 2**17)
        if self.megabytes:
            wait_until_measured()
        seconds = 1e-3 * self.cost(masks).sum() + 1e-9 * held[:1].sum()
        if self.clock is None:
            time.sleep(seconds)
        else:
            self.clock.now += seconds
        return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {"lens": None, "paid": self.paid}


def wait_until_measured() -> None:
    """Wait until a watcher, if there is one, has read this process's memory from now on."""
    if threading.active_count() > 1:
        before = Measured.count
        while Measured.count < before + 2:  # one of them may have begun before
            time.sleep(0.001)


class Measured:
    """How often the memory of a process was read."""

    count = 0
    read = psutil.Process.memory_info

    @staticmethod
    def memory_info(process: psutil.Process) -> Any:
        found = Measured.read(process)
        Measured.count += 1
        return found


def print_memory() -> None:
    """What a plan says of a game of 64 MiB, for a process of its own."""
    psutil.Process.memory_info = Measured.memory_info
    print(ip.plan(Priced(megabytes=64), budget=300).memory)


@pytest.mark.slow
def test_a_plan_says_what_the_run_does(tmp_path: Path, clock: Clock) -> None:
    store = tmp_path / "a.db"
    game = Priced(clock)
    plan = ip.plan(game, budget=400, store=store, price=2e6)
    assert (plan.n_fit, plan.n_held_out, plan.decoder) == (296, 102, "auto")
    assert plan.warmed_up == plan.n_stored == len(game.evaluated) == 40
    assert plan.n_new == 360
    assert plan.batch_size == 20
    assert plan.tokens is not None
    assert plan.price == pytest.approx(2 * plan.tokens)
    warmed = list(game.evaluated)
    started = clock.now
    explanation = ip.explain(game, budget=400, store=store, progress=False)
    seconds = clock.now - started
    # nothing that the plan evaluated is evaluated again, and the rest costs what it estimated
    assert len(set(game.evaluated)) == len(game.evaluated) == 400
    spent = explanation.provenance["budget"]
    assert (spent["from_store"], spent["evaluated"]) == (40, 360)
    fresh = [key for key in game.evaluated if key not in warmed]
    kept = sum(bin(int.from_bytes(key, "little")).count("1") for key in fresh)
    assert plan.tokens == kept
    assert plan.seconds == pytest.approx(seconds)
    done = ip.plan(game, budget=400, store=store)
    assert (done.n_new, done.n_stored, done.seconds) == (0, 400, 0.0)
    assert len(game.evaluated) == 400
    assert "400, free" in str(done)


@pytest.mark.slow
def test_without_a_store_the_whole_run_is_still_to_be_evaluated(clock: Clock) -> None:
    plan = ip.plan(Priced(clock), budget=300)
    assert (plan.n_new, plan.n_stored, plan.warmed_up) == (300, 0, 40)
    # a millisecond a token
    assert plan.tokens is not None
    assert 3000 < plan.tokens < 4500
    assert plan.seconds == pytest.approx(1e-3 * plan.tokens)


def test_a_call_that_is_much_of_the_run_is_not_made_whole() -> None:
    evaluated = []

    def value(masks: BoolArray) -> FloatArray:
        evaluated.extend(masks)
        return masks[:, 0] * 1.0

    plan = ip.plan(ip.FunctionGame(value, 12), budget=400, batch_size=200)
    assert plan.batch_size == 200
    assert 2 < plan.warmed_up == len(evaluated) <= 160
    assert plan.memory is None
    assert "memory" not in str(plan)


@pytest.mark.slow
def test_by_the_machines_clock() -> None:
    plan = ip.plan(Priced(), budget=300)
    assert plan.seconds is not None
    assert plan.seconds > 3.0  # a busy machine makes it more, and none makes it less


@pytest.mark.slow
def test_a_game_that_costs_money_is_not_measured_by_default(clock: Clock) -> None:
    game = Priced(clock, paid=True)
    plan = ip.plan(game, budget=300)
    assert game.evaluated == []
    assert (plan.warmed_up, plan.seconds, plan.memory) == (0, None, None)
    assert "not measured" in str(plan)
    assert ip.plan(game, budget=300, warm_up=True).warmed_up == 40


@pytest.mark.slow
def test_memory_is_that_of_a_call() -> None:
    # in a process of its own: here the call could take what earlier tests have given back
    code = "from tests.explanation.test_plan import print_memory; print_memory()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 < int(done.stdout) / 2**20 < 140


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_cheaper_game_is_planned_too(tmp_path: Path, clock: Clock) -> None:
    class Cheap(Priced):
        fingerprint = "cheap"

    game, cheap, store = Priced(clock), Cheap(clock), tmp_path / "a.db"
    settings: Any = {"budget": 120, "cheaper_budget": 250, "store": store, "decoder": "lasso"}
    plan = ip.plan(game, cheaper=cheap, price=1e6, **settings)
    assert plan.cheaper is not None
    assert plan.cheaper.warmed_up == plan.cheaper.n_stored == len(cheap.evaluated)
    assert plan.price == plan.tokens  # of the game alone
    assert "cheaper ablations" in str(plan)
    planned, warmed = len(game.evaluated), len(cheap.evaluated)
    started = clock.now
    explanation = ip.explain(game, cheaper=cheap, progress=False, **settings)
    assert len(game.evaluated) - planned == plan.n_new
    assert len(cheap.evaluated) - warmed == plan.cheaper.n_new
    recorded = explanation.provenance["cheaper"]
    assert recorded["n_ablations"] == plan.cheaper.n_ablations
    assert plan.seconds is not None
    assert plan.cheaper.seconds is not None
    assert plan.seconds + plan.cheaper.seconds == pytest.approx(clock.now - started)
    alone = ip.plan(game, **{**settings, "cheaper_budget": None})
    assert alone.cheaper is None
    with pytest.raises(ValueError, match="without a cheaper game"):
        ip.plan(game, **settings)
    with pytest.raises(ValueError, match="is the game itself"):
        ip.plan(game, cheaper=Priced(clock), **settings)
