"""Adaptive sampling: when it stops, and what is evaluated until then."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import end_masks, keys
from interplay.report.export import schema
from tests.decoders.gaussian.test_decode import N, hierarchical

TRUTH = hierarchical(0)
NOISE = 0.1


class Recorder:
    """A function whose noise is the same for the same mask. It records the masks it evaluates."""

    def __init__(self, noise: float = 0.0, interrupt_at: int | None = None) -> None:
        self.noise, self.interrupt_at = noise, interrupt_at
        self.keys: list[bytes] = []

    def __call__(self, masks: BoolArray) -> FloatArray:
        self.keys += keys(masks)
        if self.interrupt_at is not None and len(self.keys) >= self.interrupt_at:
            self.interrupt_at = None
            os.kill(os.getpid(), signal.SIGINT)
        seeds = [np.frombuffer(key, np.uint8) for key in keys(masks)]
        noise = [np.random.default_rng(seed).normal() for seed in seeds]
        # the last bits of a product depend on the masks beside it
        return np.round(TRUTH.predict(masks) + self.noise * np.array(noise), 9)


def explained(f: Recorder, until: float, budget: int | str | None = None, **more: object):  # type: ignore[no-untyped-def]
    return ip.explain(
        ip.FunctionGame(f, N, fingerprint=f"{f.noise}"),
        decoder=more.pop("decoder", "gp"),  # type: ignore[arg-type]
        budget=budget,
        until=until,
        progress=False,
        **more,  # type: ignore[arg-type]
    )


def test_the_goal_is_reached(tmp_path: Path) -> None:
    f = Recorder()
    explanation = explained(f, 0.9)
    until = explanation.provenance["until"]
    assert (until["goal"], until["stopped_since"]) == (0.9, "the goal was reached")
    *before, last = until["steps"]
    assert last["cv_r2"] >= 0.9
    # a few masks may suggest any score
    assert last["ablations"] >= max(50, 3 * N)
    assert all(step["cv_r2"] < 0.9 for step in before if step["ablations"] >= max(50, 3 * N))
    assert until["steps"][-1]["ablations"] == len(explanation.fit)
    budget = explanation.provenance["budget"]
    # nothing was evaluated twice, and nothing that is not in the explanation
    assert len(f.keys) == len(set(f.keys)) == budget["spent"] == budget["evaluated"]
    assert budget["from_store"] == 0
    assert set(f.keys) == set(keys(explanation.ablations.masks))
    written = explanation.to_json(tmp_path / "a.json").read_text(encoding="utf-8")
    jsonschema.validate(json.loads(written), schema())
    assert json.loads(written)["explanations"][0]["provenance"]["until"] == until
    page = explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "since the goal was reached; the goal was a cross-validated R2 of 0.9" in page
    assert ip.load(explanation.save(tmp_path / "a.interplay")).provenance["until"] == until


@pytest.mark.slow
def test_it_no_longer_grows() -> None:
    """A goal that noise puts out of reach."""
    f = Recorder(NOISE)
    explanation = explained(f, 1.0)
    until = explanation.provenance["until"]
    assert until["stopped_since"] == "it no longer grew"
    scores = [step["cv_r2"] for step in until["steps"]]
    assert max(scores) < 1.0
    assert len(scores) > 2
    assert max(scores[-2:]) < max(scores[:-2]) + 0.01
    sizes = [step["ablations"] for step in until["steps"]]
    # half as many again each time; half is held out in turn at first, and two are the ends
    assert sizes[:4] == [28, 46, 67, 101]
    assert explanation.provenance["budget"]["spent"] < 8 * N * np.log2(N)
    automatic = explained(Recorder(NOISE), until=None, budget="auto")  # type: ignore[arg-type]
    assert automatic.provenance["until"] == until
    assert automatic.spectrum.coefficients.tobytes() == explanation.spectrum.coefficients.tobytes()


def test_the_budget_is_spent() -> None:
    f = Recorder(NOISE)
    explanation = explained(f, 1.0, budget=100)
    assert explanation.provenance["until"]["stopped_since"] == "the budget was spent"
    assert len(f.keys) == explanation.provenance["budget"]["spent"] == 100
    assert explanation.provenance["budget"]["limit"] == 100


def test_a_budget_below_the_first_batch_is_all_of_it() -> None:
    f = Recorder()
    explanation = explained(f, 0.2, budget=40)
    assert len(f.keys) == 40
    assert len(explanation.provenance["until"]["steps"]) == 1


def test_all_masks_of_a_small_game_are_evaluated() -> None:
    game = ip.FunctionGame(lambda masks: 1.0 * masks[:, 0] * masks[:, 1], 5)
    explanation = ip.explain(game, until=0.9)
    assert explanation.provenance["until"] == {
        "goal": 0.9,
        "budget": None,
        "stopped_since": "all masks were made",
        "steps": [],
    }
    assert explanation.faithfulness.exact
    assert explanation.provenance["decoder"]["ran"] == "exact"


def test_held_out_masks_are_evaluated_after_the_stop() -> None:
    """None of them is evaluated before the stop, so none can influence it."""
    f = Recorder()
    explanation = explained(f, 0.9, holdout=25)
    held = set(keys(explanation.held_out.masks))
    assert 25 < len(held) <= 100  # in turn
    assert set(f.keys[-len(held) :]) == held
    ends = set(keys(end_masks(N)))
    assert set(f.keys[: -len(held)]) == set(keys(explanation.fit.masks)) | ends


def test_it_is_what_a_plain_run_of_that_budget_finds() -> None:
    stopped = explained(Recorder(), 0.9)
    plain = ip.explain(
        ip.FunctionGame(Recorder(), N),
        decoder="gp",
        budget=stopped.provenance["budget"]["spent"],
        progress=False,
    )
    assert stopped.spectrum.supports.tobytes() == plain.spectrum.supports.tobytes()
    assert stopped.spectrum.coefficients.tobytes() == plain.spectrum.coefficients.tobytes()
    assert stopped.faithfulness == plain.faithfulness
    assert stopped.provenance["request"] == plain.provenance["request"]
    assert plain.provenance["until"] is None


@pytest.mark.slow
def test_the_store_comes_first_and_nothing_is_evaluated_twice(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    first, second, further = Recorder(), Recorder(), Recorder()
    one = explained(first, 0.8, store=store)
    two = explained(second, 0.8, store=store)
    assert second.keys == []
    budget = two.provenance["budget"]
    assert (budget["evaluated"], budget["from_store"]) == (0, budget["spent"])
    assert two.provenance["until"] == one.provenance["until"]
    three = explained(further, 0.9999, store=store)
    assert len(further.keys) == len(set(further.keys))
    assert not set(further.keys) & set(first.keys)
    budget = three.provenance["budget"]
    assert budget["evaluated"] == len(further.keys) > 0
    assert budget["evaluated"] + budget["from_store"] == budget["spent"]
    assert ip.verify(two, store=store).matches


def test_without_a_fingerprint_nothing_is_evaluated_twice_either() -> None:
    f = Recorder()
    explanation = ip.explain(ip.FunctionGame(f, N), decoder="gp", until=0.9, progress=False)
    assert len(f.keys) == len(set(f.keys)) == explanation.provenance["budget"]["evaluated"]


def test_after_an_interruption_nothing_more_is_evaluated() -> None:
    f = Recorder(NOISE, interrupt_at=57)
    explanation = explained(f, 1.0, batch_size=5)
    assert explanation.provenance["until"]["stopped_since"] == "it was interrupted"
    assert explanation.provenance["until"]["steps"]
    budget = explanation.provenance["budget"]
    assert budget["interrupted"]
    assert budget["evaluated"] == budget["spent"] == len(f.keys) == 57
    assert len(explanation.held_out) >= 10
    assert not set(keys(explanation.held_out.masks)) & set(keys(explanation.fit.masks))


@pytest.mark.slow
def test_failures_are_left_out_and_do_not_end_it() -> None:
    f = Recorder(NOISE)
    bad: list[bytes] = []

    def failing(masks: BoolArray) -> FloatArray:
        values = f(masks)
        if not bad and len(f.keys) > 110:
            bad.append(keys(masks)[0])
        values[[key in bad for key in keys(masks)]] = np.nan
        return values

    game = ip.FunctionGame(failing, N)
    explanation = ip.explain(game, decoder="gp", until=1.0, on_error="skip", progress=False)
    assert bad
    assert explanation.provenance["budget"]["skipped"] == 1
    until = explanation.provenance["until"]
    assert until["stopped_since"] == "it no longer grew"
    assert bad[0] not in keys(explanation.ablations.masks)


def test_several_outputs_are_judged_by_their_mean() -> None:
    f = Recorder()
    game = ip.FunctionGame(lambda m: np.stack([f(m), np.ones(len(m)), -f(m)], axis=1), N)
    explanation = ip.explain(game, decoder="gp", until=0.9, progress=False)
    assert explanation.provenance["until"]["stopped_since"] == "the goal was reached"
    assert min(explanation.faithfulness.by_output[::2]) > 0.8


def test_a_constant_game_needs_one_batch() -> None:
    explanation = ip.explain(ip.FunctionGame(lambda masks: np.ones(len(masks)), N), until=0.9)
    assert [step["cv_r2"] for step in explanation.provenance["until"]["steps"]] == [None]
    assert explanation.provenance["until"]["stopped_since"] == "the values do not vary"


@pytest.mark.parametrize("until", [0.0, -0.5, 1.01, float("nan")])
def test_a_goal_that_is_none(until: float) -> None:
    f = Recorder()
    with pytest.raises(ValueError, match=r"until=.* is not an R2 in \(0, 1\]"):
        explained(f, until)
    assert f.keys == []


@pytest.mark.parametrize("decoder", ["lasso", "spex"])
def test_a_decoder_without_a_stopping_rule_is_refused_before_anything_is_evaluated(
    decoder: str,
) -> None:
    f = Recorder()
    with pytest.raises(ValueError, match=f"decoder='{decoder}' .* give a budget instead of until"):
        explained(f, 0.9, decoder=decoder)
    assert f.keys == []


def test_a_budget_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="budget='much' is neither a number of evaluations nor"):
        ip.explain(ip.FunctionGame(Recorder(), N), budget="much")


@pytest.mark.parametrize("random_state", [0, 1])
def test_a_run_that_finds_nothing_waits_for_the_code(random_state: int) -> None:
    parities = {(0, 3, 7, 12, 15): 1.0, (1, 2, 6, 9, 13): -0.8, (4, 8, 11, 14, 16): 0.6}
    truth = ip.Spectrum.from_dict(20, parities)
    explanation = ip.explain(
        ip.FunctionGame(truth.predict, 20), until=0.95, random_state=random_state, progress=False
    )
    until = explanation.provenance["until"]
    scores = [step["cv_r2"] for step in until["steps"]]
    assert len(scores) > 2
    assert scores[-2] < 0.4 < 0.95 <= scores[-1]
    assert until["stopped_since"] == "the goal was reached"
    assert explanation.provenance["decoder"]["ran"] == "spex"
    assert set(truth.sets) <= set(explanation.spectrum.sets)
