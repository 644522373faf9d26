"""Whether an explanation may be used: the levels, the warnings, and what counts as a finding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, Json
from interplay.explanation.explanation import Explanation
from interplay.explanation.faithfulness import r2
from interplay.explanation.forecast import GOAL
from interplay.explanation.verdict import CODES, SHADE_FLOOR, Verdict, claims_of, told_from_zero
from interplay.fourier.masks import keys, uniform
from interplay.report.export import schema

N = 12
WEIGHTS = np.random.default_rng(0).normal(size=N)


def hashed(masks: BoolArray) -> FloatArray:
    """Values that no other mask tells anything about."""
    return (
        np.array([int.from_bytes(key, "little") * 2654435761 % 10007 for key in keys(masks)]) / 1e4
    )


def additive(masks: BoolArray) -> FloatArray:
    return masks @ WEIGHTS


@pytest.fixture(scope="module")
def good() -> Explanation:
    """Twelve effects and a little that no explanation predicts."""
    game = ip.FunctionGame(lambda masks: additive(masks) + 0.02 * hashed(masks), N)
    return ip.explain(game, decoder="gp", measure="uniform", budget=300)


@pytest.fixture(scope="module")
def useless() -> Explanation:
    """46 words with 100 ablations of a function that is all noise."""
    game = ip.FunctionGame(hashed, 46)
    return ip.explain(game, decoder="gp", measure="uniform", budget=100)


def scored(explanation: Explanation, **score: Any) -> Verdict:
    """The verdict on an explanation with another score."""
    return replace(explanation, faithfulness=replace(explanation.faithfulness, **score)).verdict


def ran(explanation: Explanation, **entries: Json) -> Verdict:
    """The verdict on an explanation with other entries in its provenance."""
    provenance = explanation.provenance
    changed = {name: {**(provenance.get(name) or {}), **entry} for name, entry in entries.items()}
    return replace(explanation, provenance=provenance | changed).verdict


def test_a_good_explanation_is_usable(good: Explanation) -> None:
    verdict = good.verdict
    assert verdict is good.verdict  # computed once
    assert (verdict.level, verdict.codes) == ("usable", ())
    assert verdict.certain_players == N
    assert verdict.certain_interactions is not None
    assert verdict.certain_interactions < 0.2 * verdict.n_interactions
    assert verdict.sentence.startswith("Usable. It predicts 99.9% of the variation")


def test_below_chance_is_not_usable_and_has_no_findings(useless: Explanation) -> None:
    assert useless.faithfulness.low < 0
    verdict = useless.verdict
    assert verdict.level == "not usable"
    assert {"below_chance", "may_be_chance"} & set(verdict.codes)
    assert {"interval_wide", "too_few_held_out"} <= set(verdict.codes)
    assert verdict.certain_interactions == verdict.certain_players == 0
    interactions = useless.interactions("FSII", order=3)
    assert not verdict.findings(interactions).any()
    shown, left_out = verdict.strongest(interactions, 10)
    assert len(shown) == 0
    assert left_out > 100
    assert len(verdict.strongest(interactions, 10, everything=True)[0]) == 10
    assert not verdict.shaded_effects(interactions, 0).any()


@pytest.mark.parametrize(
    ("r2", "low", "level", "code"),
    [
        (0.9, 0.5, "usable", None),
        (0.9, 0.49, "weak", None),
        (0.4, 0.01, "weak", None),
        (0.4, 0.0, "not usable", "may_be_chance"),
        (0.0, -0.1, "not usable", "below_chance"),
        (-3.6, -9.0, "not usable", "below_chance"),
    ],
)
def test_levels(good: Explanation, r2: float, low: float, level: str, code: str | None) -> None:
    verdict = scored(good, r2=r2, low=low, by_output=(r2,))
    assert verdict.level == level
    assert code is None or code in verdict.codes
    assert f"{r2:.0%}" in verdict.reasons[0] or f"R2 = {r2:.3f}" in verdict.reasons[0]


def test_few_held_out_masks_need_a_second_score(good: Explanation) -> None:
    diagnosis = good.provenance["decoder"]["diagnosis"]
    few = replace(good, faithfulness=replace(good.faithfulness, n_masks=10))
    assert few.verdict.level == "usable"
    assert few.verdict.codes == ("too_few_held_out",)
    for cv_r2, words in (([0.3], "its cross-validation says 0.300"), ([], "no cross-validation")):
        verdict = ran(few, decoder={"diagnosis": diagnosis | {"cv_r2": cv_r2}})
        assert verdict.level == "weak"
        assert words in verdict.reasons[1]


def test_a_wide_interval_and_noise(good: Explanation) -> None:
    assert scored(good, low=0.6, high=0.95, r2=0.8).codes == ("interval_wide",)
    noisy = scored(good, low=0.3, high=0.5, r2=0.4, noise=0.55)
    assert (noisy.level, noisy.codes) == ("weak", ("noise_bound",))
    assert "more repeats" in noisy.outlook


def test_a_constant_is_unknown() -> None:
    for n_players in (3, 20):
        game = ip.FunctionGame(lambda masks: np.full(len(masks), 7.0), n_players)
        verdict = ip.explain(game).verdict
        assert (verdict.level, verdict.codes) == ("unknown", ("constant",))
        assert verdict.n_interactions == verdict.n_players == 0


def test_held_out_masks_that_do_not_vary_give_no_score(good: Explanation) -> None:
    nan = float("nan")
    verdict = scored(good, r2=nan, low=nan, high=nan, varies=False, by_output=(nan,))
    assert (verdict.level, verdict.codes) == ("unknown", ("held_out_constant",))


def test_what_happened_in_the_run_is_warned_of(good: Explanation) -> None:
    verdict = ran(
        good,
        budget={"interrupted": True, "planned": 900, "skipped": 2},
        decoder={"requested": "spex", "ran": "proxyspex"},
    )
    assert verdict.codes == ("interrupted", "skipped", "other_decoder")
    assert "300 of 900" in verdict.warnings[0].message


def test_nothing_that_is_distinguishable_is_weak(good: Explanation) -> None:
    spectrum = good.spectrum
    deviations = np.full((len(spectrum), 1), 1e3) * (spectrum.orders > 0)[:, None]
    vague = replace(good, spectrum=replace(spectrum, deviations=deviations))
    assert (vague.verdict.level, vague.verdict.codes) == ("weak", ("nothing_distinguishable",))


def test_a_decoder_without_intervals_says_so() -> None:
    explanation = ip.explain(ip.FunctionGame(additive, N), decoder="proxyspex", budget=300)
    verdict = explanation.verdict
    assert "no_intervals" in verdict.codes
    assert verdict.certain_interactions is verdict.certain_players is None
    assert "carry no intervals" in verdict.reasons[1]
    assert verdict.findings(explanation.interactions("FSII", order=1).filter()).all()


def test_findings_have_intervals_without_zero(good: Explanation) -> None:
    interactions = good.interactions("FSII", order=3)
    assert interactions.low is not None
    assert interactions.high is not None
    expected = (interactions.low > 0) | (interactions.high < 0)
    np.testing.assert_array_equal(good.verdict.findings(interactions), expected)
    shown, left_out = good.verdict.strongest(interactions, 1000)
    assert len(shown) + left_out == len(interactions.filter())
    assert (np.diff(shown.strength) <= 0).all()


def test_numerical_zeros_of_an_exact_spectrum_are_no_findings() -> None:
    """0.1 and its like leave rounding errors of 1e-17 in the sets that do nothing."""

    def f(masks: BoolArray) -> FloatArray:
        small = 1e-7 * (masks[:, 2] & masks[:, 3])
        return np.stack([1e3 + 0.1 * masks[:, 0] + 0.3 * masks[:, 1], small], axis=1)

    explanation = ip.explain(ip.FunctionGame(f, 5))
    assert explanation.faithfulness.exact
    interactions = explanation.interactions("Moebius", order=5)
    findings = explanation.verdict.findings(interactions)
    sets = [
        {members for members, sure in zip(interactions.sets, column, strict=True) if sure}
        for column in findings.T
    ]
    assert sets[0] - {()} == {(0,), (1,)}
    assert sets[1] - {()} == {(2, 3)}
    assert explanation.verdict.certain_interactions == explanation.verdict.n_interactions == 1


def test_an_output_below_chance_has_no_findings(good: Explanation) -> None:
    def f(masks: BoolArray) -> FloatArray:
        return np.stack([additive(masks), hashed(masks)], axis=1)

    explanation = ip.explain(ip.FunctionGame(f, N), decoder="gp", budget=300)
    by_output = (0.99, -0.2)
    score = replace(explanation.faithfulness, r2=0.4, low=0.3, by_output=by_output)
    verdict = replace(explanation, faithfulness=score).verdict
    assert verdict.trusted == (True, False)
    assert "outputs_below_chance" in verdict.codes
    interactions = explanation.interactions("FSII", order=2)
    findings = verdict.findings(interactions)
    assert findings[:, 0].any()
    assert not findings[:, 1].any()
    assert not verdict.findings(interactions.output(1), 1).any()
    np.testing.assert_array_equal(verdict.findings(interactions.output(0), 0), findings[:, 0])


def test_an_effect_of_a_hundredth_of_the_range_is_shaded_as_such(good: Explanation) -> None:
    (span,) = good.verdict.ranges
    assert span == np.ptp(good.ablations.values)
    assert good.verdict.full_shade(0.01 * span) == SHADE_FLOOR * span
    assert good.verdict.full_shade(0.5 * span) == 0.5 * span


def test_an_end_that_is_predicted_badly_is_warned_of(good: Explanation) -> None:
    def measured(whole: float, empty: float) -> Explanation:
        ends = additive(np.array([[True] * N, [False] * N])) + np.array([whole, empty])
        return replace(good, spectrum=replace(good.spectrum, ends=ends))

    assert measured(0.0, 0.0).verdict.codes == ()
    assert measured(0.0, 0.0).extrapolated("SV") is None
    for name, odd in (("whole", measured(99.0, 0.0)), ("empty", measured(0.0, -50.0))):
        (warning,) = (w for w in odd.verdict.warnings if w.code.endswith("input_off"))
        assert warning.code == f"{name}_input_off"
        assert "where the model gave" in warning.message
        assert 'measure="shapley"' in warning.message


# --- what a larger budget would do --------------------------------------------------------------


def predicting(
    explanation: Explanation, held_out: float, cross_validated: list[float], **entries: Json
) -> Verdict:
    """The verdict on 300 ablations with another R2 held out, and by cross-validation."""
    score = replace(explanation.faithfulness, r2=held_out, low=0.0, by_output=(held_out,))
    decoder = {"diagnosis": {"cv_r2": cross_validated}}
    return ran(replace(explanation, faithfulness=score), decoder=decoder, **entries)


def test_the_budget_is_forecast_from_both_scores(good: Explanation) -> None:
    # the errors 0.5 and 0.3 are 0.4 in the mean, twice that of the goal: 300 * 2^(1 / 0.7)
    verdict = predicting(good, 0.5, [0.8, 0.6])
    assert verdict.budget == 810  # rounded up to two digits
    assert "About 810 ablations would probably reach an R2 of 0.8" in verdict.outlook
    assert "three times as many, or a third" in verdict.outlook
    assert predicting(good, -3.0, [0.8, 0.6]).budget == predicting(good, 0.0, [0.7]).budget == 1700


def test_where_all_masks_are_fewer_than_the_forecast(good: Explanation) -> None:
    verdict = predicting(good, 0.3, [0.4], game={"n_players": 9})
    assert verdict.budget == 512
    assert verdict.outlook == "All 512 masks would give the exact answer."


@pytest.mark.parametrize(
    ("held_out", "cross_validated", "words"),
    [
        (0.5, [], "this decoder has no cross-validation"),
        (0.1, [0.05], "predicts too little as yet"),
        (-4.0, [-9.0], "predicts too little as yet"),
        (0.8, [0.85], "more held-out masks (holdout) would show it"),
    ],
)
def test_no_budget_is_guessed(
    good: Explanation, held_out: float, cross_validated: list[float], words: str
) -> None:
    verdict = predicting(good, held_out, cross_validated)
    assert verdict.budget is None
    assert words in verdict.outlook


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_budget_is_told_for_noise(seed: int) -> None:
    rng, values = np.random.default_rng(seed + 100), {}

    def noise(masks: BoolArray) -> FloatArray:
        return np.array([values.setdefault(mask.tobytes(), rng.normal()) for mask in masks])

    explanation = ip.explain(ip.FunctionGame(noise, 46), budget=100, random_state=seed)
    assert explanation.verdict.budget is None
    assert "unknown" in explanation.verdict.outlook


def test_a_training_that_did_not_learn_is_weak(good: Explanation) -> None:
    check = {"name": "learned", "text": "-4.1 (base model), -4.1 (tuned)", "warning": True}
    verdict = ran(good, observed={"checks": [check]})
    assert (verdict.level, verdict.codes) == ("weak", ("did_not_learn",))
    for observed in ({"checks": [{**check, "warning": False}]}, {"checks": "x"}, {"checks": [1]}):
        assert ran(good, observed=observed).level == "usable"


def test_an_answer_that_the_model_hardly_ever_gives_is_weak(good: Explanation) -> None:
    warning = "the answer ' green' has the probability 5.9e-07 a token at the whole input"
    entry = {"text": " green", "probability": 5.9e-07, "warning": warning}
    answers = {"own_answer": "Red", "scored": [entry, {**entry, "warning": None}]}
    verdict = ran(good, answers=answers)
    assert (verdict.level, verdict.codes) == ("weak", ("negligible_answer",))
    assert warning in verdict.warnings[0].message
    assert ran(good, answers={**answers, "scored": []}).level == "usable"


def test_what_no_longer_grew_is_not_said_to_grow(good: Explanation) -> None:
    until = {"stopped_since": "it no longer grew", "steps": []}
    verdict = predicting(good, 0.5, [0.5], until=until)
    assert verdict.budget is None
    assert "R2 no longer grew" in verdict.outlook


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_forecast_is_about_what_it_takes(seed: int) -> None:
    """A cheap version of benchmarks/bench_forecast.py, within the factor that is told."""
    rng = np.random.default_rng(seed)
    terms = {(): 0.5} | {(i,): float(rng.normal()) for i in range(20)}
    while len(terms) < 45:
        members = rng.choice(8, int(rng.integers(2, 4)), replace=False)
        terms[tuple(sorted(members.tolist()))] = 0.7 * float(rng.normal())
    truth = ip.Spectrum.from_dict(40, terms)

    def made(budget: int) -> Explanation:
        game = ip.FunctionGame(truth.predict, 40)
        return ip.explain(game, decoder="proxyspex", budget=budget, random_state=seed)

    fresh = uniform(2000, 40, np.random.default_rng(seed))
    budgets = [round(100 * 2 ** (step / 2)) for step in range(10)]
    reached = next(
        budget
        for budget in budgets
        if r2(truth.predict(fresh), made(budget).predict(fresh))[0] >= GOAL
    )
    forecast = made(round(reached / 3)).verdict.budget
    assert forecast is not None
    assert reached / 3 <= forecast <= 3 * reached


# --- where it is shown --------------------------------------------------------------------------


def test_it_comes_first_everywhere(useless: Explanation, tmp_path: Path) -> None:
    reason = useless.verdict.reasons[0]
    html = useless.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert html.index('class="judged not-usable"') < html.index('class="headline"')
    assert reason in html
    assert 'data-code="too_few_held_out"' in html
    said = useless.to_markdown(tmp_path / "a.md").read_text(encoding="utf-8")
    assert said.index("**Not usable.**") < said.index("Held-out faithfulness")
    assert said.count("None found: ") == 2
    notebook = useless._repr_html_()
    assert notebook.index("<b>Not usable.</b>") < notebook.index("Held-out faithfulness")
    assert "rgba" not in notebook  # no row is there to be shaded
    (record,) = json.loads(useless.to_json(tmp_path / "a.json").read_text())["explanations"]
    assert record["verdict"] == useless.verdict.to_json()
    assert not any(sure for term in record["interactions"]["terms"] for sure in term["findings"])
    loaded = ip.load(useless.save(tmp_path / "a.interplay"))
    assert loaded.verdict == useless.verdict


def test_the_schema_and_the_documentation_have_all_codes() -> None:
    warning = schema()["$defs"]["verdict"]["properties"]["warnings"]["items"]
    codes = set(warning["properties"]["code"]["enum"])
    assert codes == set(CODES)
    documentation = Path("docs/report.md").read_text(encoding="utf-8")
    for code in codes:
        assert f"`{code}`" in documentation


def test_findings_are_counted_as_reports_show_them(good: Explanation) -> None:
    for index, order in (("FSII", 2), ("BII", 3), ("SV", 3)):
        entry = {"shown": {"index": index, "order": order}}
        shown = replace(good, provenance={**good.provenance, **entry})
        interactions = shown.interactions(index, order=order)
        together = interactions.orders >= 2
        findings = shown.verdict.findings(interactions)
        assert shown.verdict.certain_interactions == int((findings & together).sum())
        assert shown.verdict.certain_players == int((findings & (interactions.orders == 1)).sum())


def test_what_can_be_told_from_zero_is_tested_first(good: Explanation) -> None:
    interactions = good.interactions("FSII", order=2)
    (spread,) = good.verdict.ranges
    claims = claims_of(interactions, 1000, min_order=1, spread=spread)
    certain = told_from_zero(claims, (spread,))
    assert 0 < certain.sum() < len(certain)
    assert (np.diff(certain.astype(int)) <= 0).all()  # first all that can, then the others
    for part in (claims.take(certain), claims.take(~certain)):
        assert (np.diff(part.strength) <= 1e-12).all()
    tested = good.confirm(3, order=2, progress=False).tested
    strongest = claims_of(interactions, 3, min_order=2, spread=spread)
    assert [test.players for test in tested] == strongest.sets


def test_a_score_over_several_outputs_says_so(good: Explanation) -> None:
    def f(masks: BoolArray) -> FloatArray:
        return np.stack([additive(masks), 2.0 * additive(masks)], axis=1)

    explanation = ip.explain(ip.FunctionGame(f, N), decoder="gp", budget=300)
    assert "on average over 2 outputs" in explanation.verdict.reasons[0]
    assert "average" not in good.verdict.reasons[0]
