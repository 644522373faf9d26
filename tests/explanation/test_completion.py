"""Where many of all masks were evaluated, a spectrum passes through them."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.explanation.completion import MOST_PLAYERS, SHARE
from interplay.explanation.derive import completed
from interplay.fourier.masks import end_masks, every_mask, keys

N = 9


def bent(masks: BoolArray) -> FloatArray:
    """A function with interactions of all orders."""
    rng = np.random.default_rng(3)
    inner = masks @ rng.normal(size=(masks.shape[1], 4)) - rng.normal(size=4)
    return np.asarray(np.tanh(2 * inner) @ rng.normal(size=4))


def noisy(masks: BoolArray, seeds: Any) -> FloatArray:
    return bent(masks) + 0.01 * np.sin(seeds)


@cache
def explained(budget: int, n_players: int = N, **given: Any) -> ip.Explanation:
    n_repeats = given.pop("n_repeats", 1)
    game = ip.FunctionGame(noisy if n_repeats > 1 else bent, n_players, n_repeats=n_repeats)
    given.setdefault("decoder", "gp")
    return ip.explain(game, budget=budget, random_state=0, progress=False, **given)


def exact(n_players: int = N) -> ip.Spectrum:
    masks = every_mask(n_players)
    return ip.decode(masks, bent(masks), decoder="exact", order=n_players)


def error(estimate: ip.Interactions, truth: ip.Interactions) -> float:
    values = np.array([[float(estimate[s]), float(truth[s])] for s in truth.sets if s])
    return float(((values[:, 0] - values[:, 1]) ** 2).sum() / (values[:, 1] ** 2).sum())


def test_measured_values_are_kept() -> None:
    explanation = explained(300)
    for ablations in (explanation.fit, explanation.held_out):
        np.testing.assert_allclose(explanation.predict(ablations.masks), ablations.values)
    assert explanation.faithfulness.r2 < 0.999  # of fits that did not know the masks


@pytest.mark.parametrize("index", ["SII", "FSII", "STII"])
def test_errors_vanish_with_what_is_unknown(index: str) -> None:
    truth = exact().to(index, order=2)
    errors = [error(explained(budget).interactions(index, order=2), truth) for budget in (100, 490)]
    assert errors[1] < errors[0] / 500


@pytest.mark.parametrize("index", ["SV", "SII", "FSII", "STII", "BII"])
def test_intervals_of_what_is_unknown(index: str) -> None:
    order = 1 if index == "SV" else 2
    truth, shares = exact().to(index, order=order), []
    for budget in (160, 260, 400):
        estimate = explained(budget).interactions(index, order=order)
        assert estimate.low is not None
        assert estimate.high is not None
        known = np.array([float(truth[s]) for s in estimate.sets])
        slack = 1e-9  # what is measured is certain
        inside = (estimate.low - slack <= known) & (known <= estimate.high + slack)
        shares.append(inside.mean())
    assert np.mean(shares) > 0.8


def test_what_is_measured_is_certain() -> None:
    """All masks of up to one player are evaluated: what each has alone is known."""
    estimate, truth = explained(300).interactions("STII", order=2), exact().to("STII", order=2)
    assert estimate.deviations is not None
    for players, value, deviation in zip(
        estimate.sets, estimate.values, estimate.deviations, strict=True
    ):
        if len(players) == 1:
            assert value == pytest.approx(float(truth[players]), abs=1e-9)
            assert deviation < 1e-9


def test_a_table_has_nearly_the_shapley_values_of_the_corrected_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = []

    def kept_too(decoded: Any, *rest: Any) -> Any:
        kept.append(decoded)
        return completed(decoded, *rest)

    monkeypatch.setattr("interplay.explanation.derive.completed", kept_too)
    values = explained(200).interactions("SV")
    before = kept[-1].spectrum.to("SV", order=1)
    largest = np.abs(values.values).max()
    for players in values.sets:
        assert float(values[players]) == pytest.approx(float(before[players]), abs=0.02 * largest)


@pytest.mark.parametrize(
    ("budget", "given"),
    [
        (int(SHARE * 2**N) - 1, {}),  # too few of all masks
        (300, {"order": 2}),  # an order was asked for
        (300, {"order": 5}),
        (300, {"n_repeats": 2}),  # measured values are noisy
        (300, {"measure": "uniform"}),
        (300, {"decoder": "proxyspex"}),
    ],
)
def test_other_runs_are_left_as_they_are(budget: int, given: dict[str, Any]) -> None:
    explanation = explained(budget, **given)
    fit = explanation.fit
    assert np.abs(explanation.predict(fit.masks) - fit.values).max() > 1e-6
    assert len(explanation.spectrum) < 2**N - 1


def test_many_players_have_no_table() -> None:
    assert len(explained(700, n_players=MOST_PLAYERS + 1).spectrum) < 2000


def test_a_quarter_of_all_masks_is_enough_and_both_ends_count() -> None:
    assert len(explained(int(SHARE * 2**N)).spectrum) >= 2**N - 1


def test_large_orders_are_not_listed_unasked() -> None:
    """They are mostly predicted, and huge: an index of order n is the Moebius transform."""
    explanation = explained(300)
    listed = explanation.interactions("FSII")
    assert max(map(len, listed.sets)) == listed.order == 5
    assert explanation.interactions("FSII", order=N).order == N


def test_an_output_that_does_not_vary(tmp_path: Path) -> None:
    def two(masks: BoolArray) -> FloatArray:
        return np.stack([bent(masks), np.full(len(masks), 3.0)], axis=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = ip.explain(
            ip.FunctionGame(two, N), budget=200, random_state=0, progress=False
        )
    explanation.save(tmp_path / "constant.interplay")
    values = ip.load(tmp_path / "constant.interplay").interactions("SV")
    assert values.deviations is not None
    assert np.isfinite(values.deviations).all()
    np.testing.assert_allclose(values.deviations[:, 1], 0.0, atol=1e-9)


def test_few_unknown_masks_are_predicted_as_before() -> None:
    """What the Shapley values lack is not pressed into a few predictions."""
    masks = every_mask(N)
    explanation = explained(500)
    ablations = explanation.fit + explanation.held_out
    known = set(keys(ablations.masks)) | set(keys(end_masks(N)))
    unknown = masks[[key not in known for key in keys(masks)]]
    errors = explanation.predict(unknown) - bent(unknown)
    assert np.abs(errors).max() < 0.7 * bent(masks).std()


def test_several_outputs(tmp_path: Path) -> None:
    def two(masks: BoolArray) -> FloatArray:
        return np.stack([bent(masks), 5.0 - 3.0 * bent(masks)], axis=1)

    explanation = ip.explain(ip.FunctionGame(two, N), budget=300, random_state=0, progress=False)
    np.testing.assert_allclose(explanation.predict(explanation.fit.masks), explanation.fit.values)
    values = explanation.interactions("FSII", order=2)
    assert values.deviations is not None
    assert values.deviations.shape == values.values.shape
    explanation.save(tmp_path / "two.interplay")
    loaded = ip.load(tmp_path / "two.interplay")
    np.testing.assert_allclose(loaded.interactions("FSII", order=2).values, values.values)
