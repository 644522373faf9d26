"""What is decoded and what scores is a fair sample of the run's masks, whatever was evaluated."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.ablation.backends.base import Blocks
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.retry import BlockResult, BlockSettings, evaluate_block
from interplay.ablation.table import Evaluated
from interplay.explanation.derive import derive
from interplay.explanation.fairness import fair_order, fair_rows
from interplay.explanation.faithfulness import r2
from interplay.explanation.run_plan import Request, RunPlan
from interplay.fourier.masks import keys, sorted_by_prefix, uniform
from interplay.game import Game

pytestmark = pytest.mark.slow

N = 24


def strongest_first(seed: int, n_players: int = N) -> ip.Spectrum:
    """A function whose first players matter most, alone and together."""
    rng = np.random.default_rng(seed)
    terms: dict[tuple[int, ...], float] = {(): 0.5, (0, 1): -1.0, (0, 1, 2): 1.0, (1, 3): 0.7}
    terms |= {(i,): float(rng.normal()) * 2 * 0.8**i for i in range(n_players)}
    return ip.Spectrum.from_dict(n_players, terms)


@dataclass
class Sentences:
    """A game that wants calls of neighbours, as the text lens does. Ctrl-C is pressed in it."""

    truth: ip.Spectrum = field(default_factory=lambda: strongest_first(0))
    batch_size: int = 16
    interrupt_at: int | None = None
    fails: Callable[[BoolArray], BoolArray] | None = None
    fingerprint: str | None = "sentences"
    asked: list[bytes] = field(default_factory=list)

    @property
    def n_players(self) -> int:
        return self.truth.n_players

    @property
    def players(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.n_players)))

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {"lens": None}

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.asked += keys(masks)
        if self.interrupt_at is not None and len(self.asked) >= self.interrupt_at:
            self.interrupt_at = None
            os.kill(os.getpid(), signal.SIGINT)
        # the last bits of a product depend on the masks beside it
        values = np.round(self.truth.predict(masks), 9)
        return values if self.fails is None else np.where(self.fails(masks), np.nan, values)


def explained(game: Game, decoder: str = "lasso", **more: object) -> ip.Explanation:
    return ip.explain(game, decoder=decoder, progress=False, **more)  # type: ignore[arg-type]


def plan_of(decoder: str, budget: int, seed: int = 0) -> RunPlan:
    game = ip.FunctionGame(lambda masks: masks[:, 0], N)
    return Request(decoder=decoder, budget=budget, random_state=seed).run_plan(game)


def evaluated_on(plan: RunPlan, known: BoolArray, truth: ip.Spectrum) -> Evaluated:
    values = np.where(known, truth.predict(plan.masks), np.nan)
    return Evaluated(values, None, int(known.sum()), 0, 0, not known.all())


def held_out_of(length: int, budget: int) -> float:
    """The held-out masks of a beginning: first half of it, until they are 20; then evenly."""
    return 20 + (length - 40) * (budget / 10 - 20) / (budget - 40)


def test_few_and_many_held_out_masks() -> None:
    game = ip.FunctionGame(lambda masks: masks[:, 0], N)
    for holdout, halves in ((12, 24), (30, 40), (0.6, 200)):
        plan = Request("lasso", 200, holdout=holdout).run_plan(game)
        order = fair_order(plan)
        np.testing.assert_array_equal(np.sort(order), np.arange(200))
        assert order[:2].tolist() == [0, 1]  # the ends
        held = np.cumsum(order[2:] >= 2 + len(plan.design.masks)) / np.arange(1, 199)
        assert (held[1:halves] >= 0.5).all() if holdout == 0.6 else True
        assert held[min(halves, 40) - 1] == pytest.approx(0.6 if holdout == 0.6 else 0.5, abs=0.02)


@pytest.mark.parametrize("decoder", ["lasso", "gp", "spex"])
def test_every_beginning_of_the_order_is_a_fair_sample(decoder: str) -> None:
    plan = plan_of(decoder, 1000)
    n_fit = len(plan.design.masks)
    order = fair_order(plan)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(plan.masks)))
    assert order[:2].tolist() == [0, 1]  # the ends
    order = order[2:] - 2
    for length in (20, 40):  # enough for a score that means something, as early as possible
        assert (order[:length] >= n_fit).sum() == length / 2
    for length in (100, 300, 500, 1000):
        beginning = order[:length]
        fit, held = beginning[beginning < n_fit], beginning[beginning >= n_fit]
        np.testing.assert_array_equal(held, n_fit + np.arange(len(held)))
        # of balanced designs about as many are held out as of others
        assert abs(len(held) - held_out_of(length, 1000)) <= (4 if decoder in ("gp", "auto") else 1)
        if decoder == "spex":  # coded masks are not in random order by themselves
            assert abs(np.median(fit) / n_fit - 0.5) < 0.12
        else:  # a smaller design
            np.testing.assert_array_equal(fit, np.arange(len(fit)))
        # each player is kept in about half of the masks
        kept = plan.masks[fit].mean(axis=0)
        assert np.abs(kept - 0.5).max() < 4 * 0.5 / np.sqrt(len(fit))


@given(st.lists(st.booleans(), min_size=200, max_size=200), st.integers(0, 200))
def test_what_comes_after_the_first_mask_without_a_value_is_not_used(
    others: list[bool], length: int
) -> None:
    plan = plan_of("lasso", 200)
    order = fair_order(plan)
    known = np.zeros(200, dtype=np.bool_)
    known[order] = others
    known[order[:length]] = True
    known[order[length : length + 1]] = False
    known[-1] = True  # a held-out mask, so that they were asked for
    known[order[length : length + 1]] = False
    fair = fair_rows(plan, evaluated_on(plan, known, strongest_first(0)))
    if known.all():
        assert fair.all()
        return
    first = int(np.flatnonzero(~known[order])[0])
    if known[len(plan.design.masks) :].any():
        np.testing.assert_array_equal(np.sort(order[:first]), np.flatnonzero(fair))
    # an audit knows the used masks only, and finds the same
    used = Evaluated(np.where(fair, 1.0, np.nan), None, 0, int(fair.sum()), 0, True)
    np.testing.assert_array_equal(fair_rows(plan, used), fair)


def test_after_one_block_of_neighbours_nothing_is_claimed() -> None:
    """Blocks of a stride are neighbours, and no fair sample before the stride is complete."""
    game = Sentences(batch_size=12, interrupt_at=13)
    with pytest.raises(KeyboardInterrupt, match="24 of 120 masks have a value, of which") as caught:
        explained(game, "auto", budget=120)
    assert "are a fair sample, too few to decode and score" in str(caught.value)
    assert len(caught.value.masks) == 24  # type: ignore[attr-defined]
    assert len(caught.value.values) == 24  # type: ignore[attr-defined]


@pytest.mark.parametrize("interrupt_at", [1, 40, 100])
def test_large_blocks_are_cut_into_strides_that_are_fair_samples(interrupt_at: int) -> None:
    """The reported case: 60 ablations that all lacked the first sentence gave R2 = 0.968."""
    explanation = explained(Sentences(batch_size=60, interrupt_at=interrupt_at), budget=120)
    masks = explanation.ablations.masks
    assert abs(masks[:, 0].mean() - 0.5) < 0.2
    assert len(explanation.held_out) >= 10
    assert len(masks) == explanation.provenance["budget"]["evaluated"]  # nothing is lost


@pytest.mark.parametrize("interrupt_at", [250, 420, 570])
def test_an_interrupted_run_uses_whole_strides(interrupt_at: int, tmp_path: Path) -> None:
    game = Sentences(interrupt_at=interrupt_at)
    explanation = explained(game, budget=600, store=tmp_path / "a.db")
    budget = explanation.provenance["budget"]
    assert budget["interrupted"]
    assert budget["evaluated"] == len(game.asked) < 600
    assert budget["spent"] + budget["left_out"] == budget["evaluated"]
    assert budget["left_out"] > 0
    assert abs(budget["held_out"] - held_out_of(budget["spent"], 600)) <= 1
    whole = explained(Sentences(), budget=600)
    for part, all_of_it in (
        (explanation.fit, whole.fit),
        (explanation.held_out, whole.held_out),
    ):
        np.testing.assert_array_equal(part.masks, all_of_it.masks[: len(part)])
    assert abs(explanation.fit.masks[:, 0].mean() - 0.5) < 0.15
    # what is left out is stored, and used as soon as it completes a stride
    again = explained(Sentences(), budget=600, store=tmp_path / "a.db")
    assert again.provenance["budget"]["from_store"] == len(game.asked)
    assert again.provenance["budget"]["left_out"] == 0
    assert again.spectrum.coefficients.tobytes() == whole.spectrum.coefficients.tobytes()
    assert again.faithfulness == whole.faithfulness


def test_interrupted_twice_and_with_a_store_of_neighbours(tmp_path: Path) -> None:
    """Nothing that another run has left in the store is taken for a fair sample."""
    store = tmp_path / "a.db"
    plan = plan_of("lasso", 600)
    lacking = plan.masks[~plan.masks[:, 0]]
    with Evaluator.of(Sentences(), store=store, progress=False) as evaluator:
        evaluator(lacking)
    game = Sentences(interrupt_at=150)
    explanation = explained(game, budget=600, store=store)
    assert explanation.provenance["budget"]["left_out"] > 100
    assert abs(explanation.fit.masks[:, 0].mean() - 0.5) < 0.15
    second = Sentences(interrupt_at=50)
    longer = explained(second, budget=600, store=store)
    assert len(longer.fit) > len(explanation.fit)
    np.testing.assert_array_equal(longer.fit.masks[: len(explanation.fit)], explanation.fit.masks)


@dataclass(frozen=True)
class Backwards:
    """A back end whose results come in any order, and that stops with most blocks in flight."""

    n_done: int
    name: str = "backwards"

    def run(
        self,
        game: Game,
        fingerprint: str | None,
        blocks: Blocks,
        settings: BlockSettings,
        max_masks: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        taken = [block for block in blocks if block is not None]
        picked = np.random.default_rng(1).permutation(len(taken))[: self.n_done]
        for number in picked:
            rows, masks = taken[number]
            yield rows, evaluate_block(game, masks, settings, max_masks)


def test_results_out_of_order_and_a_lost_worker() -> None:
    game = ip.FunctionGame(strongest_first(0).predict, N)
    backend = Backwards(n_done=23)  # of 25
    explanation = explained(game, budget=500, batch_size=20, backend=backend)
    budget = explanation.provenance["budget"]
    assert budget["evaluated"] == 460
    assert budget["spent"] % 20 == 0
    assert budget["left_out"] == 460 - budget["spent"] > 0
    whole = explained(game, budget=500)
    np.testing.assert_array_equal(
        explanation.fit.masks, whole.fit.masks[: len(explanation.fit.masks)]
    )


@pytest.mark.parametrize("decoder", ["lasso", "spex"])
def test_failures_do_not_end_a_beginning_but_are_few(decoder: str) -> None:
    """At most 1 % of what is used has failed, since masks do not fail at random."""
    plan = plan_of(decoder, 1000)
    order, truth = fair_order(plan), strongest_first(0)
    failed = np.zeros(1000, dtype=np.bool_)
    failed[order[[10, 250, 260, 270]]] = True
    known = np.zeros(1000, dtype=np.bool_)
    known[order[:290]] = True
    values = np.where(known & ~failed, truth.predict(plan.masks), np.nan)
    evaluated = Evaluated(values, None, 286, 0, 4, True)
    fair = fair_rows(plan, evaluated)
    # 4 of 290 are too many, and so are 3 of 270; 2 of 260 are not
    np.testing.assert_array_equal(
        np.flatnonzero(fair), np.sort(np.setdiff1d(order[:260], order[[10, 250]]))
    )
    used = Evaluated(np.where(fair, values, np.nan), None, 0, int(fair.sum()), 4, True)
    np.testing.assert_array_equal(fair_rows(plan, used), fair)


@pytest.mark.parametrize(
    ("decoder", "budget", "interrupt_at"),
    [("lasso", 600, 300), ("proxyspex", 300, 120), ("gp", 150, 140), ("spex", 1200, 700)],
)
def test_an_interrupted_run_is_verified(
    decoder: str, budget: int, interrupt_at: int, tmp_path: Path
) -> None:
    """With held-out masks of its own, and with some of the fit in their place."""
    game = Sentences(interrupt_at=interrupt_at, batch_size=10)
    explanation = explained(game, decoder, budget=budget, store=tmp_path / "a.db")
    assert explanation.provenance["budget"]["interrupted"]
    verification = ip.verify(explanation, store=tmp_path / "a.db")
    assert not verification.named("mismatch")
    assert [check.name for check in verification.named("not checked")] == ["completeness"]


def test_an_adaptive_run_that_is_interrupted_is_verified(tmp_path: Path) -> None:
    game = Sentences(interrupt_at=110, batch_size=10)
    explanation = explained(game, "gp", until=1.0, store=tmp_path / "a.db")
    assert explanation.provenance["until"]["stopped_since"] == "it was interrupted"
    plan = Request.recorded(explanation.provenance).run_plan(game)
    used = {*keys(explanation.ablations.masks)}
    assert used == set(keys(plan.masks[: len(used)]))
    assert not ip.verify(explanation, store=tmp_path / "a.db").named("mismatch")


def test_coded_masks_are_not_held_out_in_place_of_uniform_ones() -> None:
    """Sets that coded masks cannot tell apart would look well predicted on coded masks."""
    plan, truth = plan_of("spex", 800), strongest_first(0)
    order = fair_order(plan)
    known = np.zeros(800, dtype=np.bool_)
    known[order[:18]] = True  # with 9 held-out masks
    with pytest.raises(KeyboardInterrupt, match="too few to decode and score"):
        derive(plan, evaluated_on(plan, known, truth))
    known[order[:794]] = True  # six missing: SPEX takes them for noise
    plan = plan_of("spex", 800)
    derived = derive(plan, evaluated_on(plan, known, truth))
    assert derived.inputs.chosen.name == "spex"
    assert derived.inputs.design is plan.design
    assert len(derived.inputs.held_out) == 80


@pytest.mark.parametrize("decoder", ["lasso", "spex"])
def test_the_order_of_evaluation_changes_no_result(decoder: str) -> None:
    budget = 1000
    sharing = explained(Sentences(), decoder, budget=budget)
    plain = explained(
        ip.FunctionGame(lambda masks: np.round(strongest_first(0).predict(masks), 9), N),
        decoder,
        budget=budget,
    )
    assert sharing.spectrum.coefficients.tobytes() == plain.spectrum.coefficients.tobytes()
    assert sharing.faithfulness == plain.faithfulness
    np.testing.assert_array_equal(sharing.fit.masks, plain.fit.masks)


def test_the_interval_covers_the_truth_wherever_a_run_is_interrupted() -> None:
    """A cheap version of benchmarks/bench_interruption.py: about 95 % of the intervals."""
    decoder, budget = "lasso", 400
    covered, excess = [], []
    for seed in range(20):
        truth = strongest_first(seed)
        noise = 0.2 * truth.predict(uniform(500, N, np.random.default_rng(0))).std()

        def f(masks: BoolArray, truth: ip.Spectrum = truth, noise: float = noise) -> FloatArray:
            drawn = [np.random.default_rng(list(key)).normal() for key in keys(masks)]
            return truth.predict(masks) + noise * np.array(drawn)

        fresh = uniform(2000, N, np.random.default_rng(seed + 1000))
        fresh_values = f(fresh)
        for share in (0.1, 0.3, 0.6, 0.9):
            plan = plan_of(decoder, budget, seed)
            known = np.zeros(budget, dtype=np.bool_)
            rng = np.random.default_rng(seed)
            order = fair_order(plan)
            known[order[: int(share * budget)]] = True
            # what an incomplete stride adds: neighbours
            rest = order[int(share * budget) :]
            known[rest[~plan.masks[rest, 0] & (rng.random(len(rest)) < 0.5)]] = True
            values = np.where(known, f(plan.masks), np.nan)
            derived = derive(plan, Evaluated(values, None, int(known.sum()), 0, 0, True))
            actual = float(r2(fresh_values, derived.decoded.spectrum.predict(fresh))[0])
            covered.append(derived.score.low <= actual <= derived.score.high)
            excess.append(derived.score.r2 - actual)
    assert np.mean(covered) > 0.88
    assert abs(np.mean(excess)) < 0.05
