"""Confirmations under the measure of the explanation."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interplay as ip
from interplay._types import BoolArray, FloatArray, Players
from interplay.confirmation.design import choose_design
from interplay.confirmation.patterns import averaged, derivatives, patterns, simulated_variance
from interplay.confirmation.sample import ends_of, mean_derivative, pattern_chances, sample_of
from interplay.confirmation.verdict import FAILS, HOLDS, UNCLEAR, Confirmation
from interplay.designs.measures import SHAPLEY, UNIFORM, Measure, get_measure
from interplay.explanation.explanation import Explanation
from interplay.fourier.masks import end_masks, every_mask, keys
from tests.confirmation.test_confirmation import TRUTH, N, Noisy, Recorder, changed, claiming
from tests.conftest import planted

MEASURES = ("uniform", "shapley", "keep:0.9", "keep:0.3-0.9", "uniform+keep:0.8")


class Table:
    """A complete game."""

    def __init__(self, values: FloatArray) -> None:
        self.values, self.n_players = values, len(values).bit_length() - 1

    def __call__(self, masks: BoolArray) -> FloatArray:
        return np.asarray(self.values[masks @ (1 << np.arange(self.n_players))])


def slow_mean(f: Table, players: Players, measure: Measure) -> float:
    """The mean derivative by its definition: size by size, all backgrounds of a size alike."""
    n_others = f.n_players - len(players)
    others = [player for player in range(f.n_players) if player not in players]
    low_high = measure.ranges
    total = 0.0
    for size in range(n_others + 1):
        backgrounds = np.zeros((comb(n_others, size), f.n_players), dtype=np.bool_)
        for row, kept in enumerate(combinations(others, size)):
            backgrounds[row, list(kept)] = True
        chance = 0.0
        for low, high in low_high:  # by the midpoint rule
            p = low + (high - low) * (np.arange(20_000) + 0.5) / 20_000
            binomial = comb(n_others, size) * p**size * (1 - p) ** (n_others - size)
            chance += float(binomial.mean()) / len(low_high)
        total += chance * float(derivatives(f(patterns(backgrounds, players))).mean())
    return total


def noisy_table(n_players: int, seed: int, spread: float = 1.0) -> Table:
    """A planted game with noise on every mask, and an empty input unlike all others."""
    rng = np.random.default_rng(seed)
    values = planted(n_players, 12, rng, max_order=3).predict(every_mask(n_players))
    values = values + spread * rng.normal(size=len(values))
    values[0] -= 10.0
    return Table(values)


# --- the quantity -------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_measured_and_predicted_on_a_complete_game(measure: str) -> None:
    f = noisy_table(6, 1)
    explanation = ip.explain(ip.FunctionGame(f, 6), budget=64, measure=measure)
    confirmation = explanation.confirm(4)
    assert confirmation.exact
    assert confirmation.measure == measure
    for one in confirmation.tested:
        truth = slow_mean(f, one.players, get_measure(measure))
        assert one.measured == pytest.approx(truth, abs=1e-6)
        assert one.predicted == pytest.approx(truth, abs=1e-6)
        index = {"uniform": "BII", "shapley": "SII"}.get(measure)
        if index is not None:
            assert one.predicted == pytest.approx(explanation.interactions(index)[one.players])


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=25)
def test_the_prediction_is_the_index_with_its_ends(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    spectrum = dataclasses.replace(planted(12, 10, rng, max_order=4), ends=rng.normal(size=2) * 9)
    players = tuple(sorted(rng.choice(12, size, replace=False).tolist()))
    for index, measure in (("SII", SHAPLEY), ("BII", UNIFORM)):
        expected = spectrum.to(index, order=size)[players]
        assert mean_derivative(spectrum, players, measure) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_sample_is_the_law(measure: str) -> None:
    """All backgrounds by their probabilities, or the ends exactly and the others drawn."""
    law, f = get_measure(measure), noisy_table(7, 3)
    players, larger = (1, 4), (1, 2, 4)
    ends = ends_of(7, 3, law)
    complete = sample_of(every_mask(7), ends[:0], True, larger, law)
    chances = pattern_chances(complete.outside, players, larger, law)
    np.testing.assert_allclose(chances.sum(axis=1), 4.0)  # one for each pattern of the pair
    rng = np.random.default_rng(0)
    drawn = law.draw(40_000, 7, rng)
    for sample, tolerance in (
        (complete, 1e-6),
        (sample_of(drawn, ends, False, larger, law), 0.1),
    ):
        effects = derivatives(averaged(f, sample.outside, players, larger, law))
        truth = slow_mean(f, players, law)
        assert float(sample.mean(effects)) == pytest.approx(truth, abs=tolerance)


def test_the_simulated_variance_is_that_of_the_law() -> None:
    f = noisy_table(8, 5)
    spectrum = ip.decode(every_mask(8), f(every_mask(8)), decoder="exact")
    players, larger = (0, 3), (0, 3, 6)
    for measure in (SHAPLEY, get_measure("keep:0.8")):
        ends = ends_of(8, 3, measure)
        drawn = measure.draw(2_000, 8, np.random.default_rng(0))
        sample = sample_of(drawn, ends, False, larger, measure)
        variance = simulated_variance(spectrum, players, larger, sample, measure)
        every = sample_of(every_mask(8), ends[:0], True, larger, measure)
        inner = (every.outside.sum(axis=1) > 0) & (every.outside.sum(axis=1) < 5)
        weights = every.exact * inner / (every.exact @ inner)
        effects = derivatives(averaged(f, every.outside, players, larger, measure))
        expected = weights @ effects**2 - (weights @ effects) ** 2
        assert variance == pytest.approx(expected, rel=0.1)


# --- estimates and their intervals --------------------------------------------------------------


def claimed(
    f: Table, spectrum: ip.Spectrum, measure: str = "shapley", n_repeats: int = 1
) -> Explanation:
    """An explanation that knows its ends and few masks, and claims a spectrum."""
    return claiming(spectrum, f, n_known=30, measure=measure, n_repeats=n_repeats)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["shapley", "keep:0.85"])
def test_estimates_are_unbiased_and_intervals_cover(measure: str) -> None:
    """300 confirmations of four claims in noisy complete games of 13 players.

    Each mask has its own noise and the empty input is far from all others. Nominally all four
    intervals hold in 95 % of the confirmations.
    """
    n_players, n_runs, law = 13, 300, get_measure(measure)
    covered, errors, halves = 0, [], []
    for game in range(3):
        f = noisy_table(n_players, game)
        exact = ip.decode(every_mask(n_players), f(every_mask(n_players)), decoder="exact")
        claims = exact.to("SII", order=3).top(4, min_order=2)
        spectrum = ip.Spectrum.from_dict(n_players, {s: float(exact[s]) for s in claims.sets})
        truth = {players: mean_derivative(exact, players, law) for players in claims.sets}
        explanation = claimed(f, spectrum, measure)
        for seed in range(n_runs // 3):
            tested = explanation.confirm(4, index="BII", budget=400, random_state=seed).tested
            assert len(tested) == 4
            covered += all(one.low <= truth[one.players] <= one.high for one in tested)
            errors += [one.measured - truth[one.players] for one in tested]
            halves += [(one.high - one.low) / 2 for one in tested]
    assert 0.92 * n_runs <= covered <= 0.99 * n_runs
    error = np.array(errors).reshape(3, -1, 4)
    assert (np.abs(error.mean(axis=1)) < 4 * error.std(axis=1) / np.sqrt(n_runs / 3)).all()


@pytest.mark.slow
def test_intervals_cover_in_random_games() -> None:
    """The ends have noise too, and a background that is drawn again has the same one again."""
    covered, n_runs = 0, 150
    truth = planted(13, 12, np.random.default_rng(2), max_order=2)
    claims = truth.to("SII").top(3, min_order=2)
    for seed in range(n_runs):
        explanation = claiming(
            truth, Noisy(truth, 2.0, seed), n_known=30, measure="shapley", n_repeats=2
        )
        tested = explanation.confirm(3, index="BII", budget=400, random_state=seed).tested
        index = truth.to("SII")
        covered += all(one.low <= index[one.players] <= one.high for one in tested)
    assert len(claims) == 3
    assert covered >= 0.92 * n_runs


@pytest.mark.parametrize("measure", ["shapley", "keep:0.8", "uniform+keep:0.8"])
def test_true_claims_hold_and_false_ones_do_not(measure: str) -> None:
    right = claiming(TRUTH, measure=measure).confirm(4, index="BII", budget=600)
    assert [one.verdict for one in right.tested] == [HOLDS] * 4
    assert all(one.agrees for one in right.tested)
    for players, coefficient in (((17, 18), 0.4), ((13, 14, 15), 0.3), ((0, 1), -0.4)):
        wrong = claiming(changed({players: coefficient}), measure=measure)
        (one,) = wrong.confirm(1, index="BII", budget=600).tested
        assert (one.players, one.verdict) == (players, FAILS)


def test_an_effect_at_the_ends_only() -> None:
    """Nothing is worth -8; no set of players has more of that than another of its size."""

    def f(masks: BoolArray) -> FloatArray:
        return np.where(masks.any(axis=1), TRUTH.predict(masks), -8.0)

    below = f(end_masks(N)[1:]).item() - TRUTH.predict(end_masks(N)[1:]).item()
    confirmation = claiming(TRUTH, f, measure="shapley").confirm(2, index="BII", budget=600)
    for one in confirmation.tested:
        s = len(one.players)
        expected = TRUTH.to("SII")[one.players] + (-1) ** s * below / (N - s + 1)
        assert one.predicted == pytest.approx(expected)
        assert one.agrees
        assert one.measured == pytest.approx(expected, abs=0.1)


# --- the design ---------------------------------------------------------------------------------


def test_the_ends_are_evaluated_for_every_set_and_backgrounds_grow_with_the_budget() -> None:
    known, sets = end_masks(N), [(0, 1), (4, 5, 6)]
    small, large = (choose_design(sets, known, budget, 0, SHAPLEY) for budget in (300, 600))
    assert len(small.backgrounds) < len(large.backgrounds)
    assert keys(large.backgrounds)[: len(small.backgrounds)] == keys(small.backgrounds)
    assert len(small.masks) <= 300
    assert len(large.masks) <= 600
    evaluated = set(keys(small.masks))
    for players in (*small.sets, *small.controls):
        assert set(keys(patterns(end_masks(N), players).reshape(-1, N))) <= evaluated
    assert len(ends_of(N, 3, UNIFORM)) == 0
    # the empty input is next to impossible among masks that keep nine in ten
    np.testing.assert_array_equal(ends_of(N, 3, get_measure("keep:0.9")), end_masks(N)[:1])


def test_few_backgrounds_give_no_interval() -> None:
    """Outside a set most backgrounds of few players are an end."""
    design = choose_design([(0, 1)], end_masks(5), 40, 0, SHAPLEY)
    assert design.complete
    sample = sample_of(np.eye(4, dtype=np.bool_)[:1], end_masks(4), False, (0, 1, 2), SHAPLEY)
    assert (len(sample.outside), sample.n_drawn) == (2, 0)
    np.testing.assert_allclose(sample.exact, [0.5, 0.5])


def test_no_mask_is_evaluated_twice(tmp_path: Path) -> None:
    recorder = Recorder()
    game = ip.FunctionGame(recorder, N, fingerprint="f")
    store = tmp_path / "a.db"
    explanation = ip.explain(game, budget=150, decoder="lasso", measure="shapley", store=store)
    cost = explanation.confirmation_cost(2, budget=400)
    before = len(recorder.keys)
    confirmation = explanation.confirm(2, budget=400, store=store)
    assert len(recorder.keys) == len(set(recorder.keys)) == before + confirmation.n_evaluated
    assert (cost.n_ablations, cost.n_new) == (confirmation.n_ablations, confirmation.n_evaluated)
    again = explanation.confirm(2, budget=400, store=store)
    assert (again.n_evaluated, again.tested) == (0, confirmation.tested)


def test_a_random_game_of_few_players_has_intervals() -> None:
    truth = planted(6, 6, np.random.default_rng(1), max_order=2)
    explanation = claiming(truth, Noisy(truth, 0.3, 0), n_known=64, measure="shapley", n_repeats=3)
    confirmation = explanation.confirm(2, index="BII")
    assert not confirmation.exact
    for one in confirmation.tested:
        assert one.low < one.measured < one.high
        assert one.low <= truth.to("SII")[one.players] <= one.high


# --- what is said and saved ---------------------------------------------------------------------


def test_the_text_names_the_measure_and_the_index(tmp_path: Path) -> None:
    for measure, method, quantity in (
        ("shapley", "of all sizes alike, and at the ends;", "Shapley interaction index"),
        (
            "keep:0.9",
            "that keep each player with probability 0.9, and at the ends;",
            "mean joint effect over masks that keep each player with probability 0.9",
        ),
    ):
        explanation = claiming(TRUTH, measure=measure, fingerprint="f")
        confirmation = explanation.confirm(1, budget=400)
        confirmed = dataclasses.replace(explanation, confirmation=confirmation)
        page = confirmed.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
        for text in (confirmation.summary, confirmed.to_markdown(tmp_path / "a.md").read_text()):
            assert f"backgrounds {method}" in text
            assert f"Measured is the {quantity}." in text
        assert f"(the {quantity})" in page
        assert ip.load(confirmed.save(tmp_path / "a.interplay")).confirmation == confirmation


def test_a_confirmation_of_an_earlier_version_is_over_uniform_masks() -> None:
    confirmation = claiming(TRUTH).confirm(1, budget=400)
    document = dataclasses.asdict(confirmation)
    assert document.pop("measure") == "uniform"
    assert Confirmation.from_json(document) == confirmation
    assert "Measured is" not in confirmation.summary
    assert confirmation.quantity == "the Banzhaf interaction index"
    assert UNCLEAR not in {one.verdict for one in confirmation.tested}


def test_an_audit_replays_it_under_the_measure(tmp_path: Path) -> None:
    store, game = tmp_path / "a.db", ip.FunctionGame(TRUTH.predict, N, fingerprint="f")
    for measure in ("shapley", "keep:0.8"):
        explanation = ip.explain(game, budget=150, decoder="lasso", measure=measure, store=store)
        confirmation = explanation.confirm(2, index="FSII", budget=300, store=store)
        for changed_field, status in (
            ({}, "match"),
            ({"measure": "keep:0.7"}, "mismatch"),
            ({"measure": "uniform"}, ("mismatch", "not checked")),
        ):
            recorded = dataclasses.replace(confirmation, **changed_field)
            stated = dataclasses.replace(explanation, confirmation=recorded)
            saved = ip.load(stated.save(tmp_path / "a.interplay"))
            verification = ip.verify(saved, game, store=store)
            assert verification["confirmation"].status in status
