"""An index that is read from an explanation of other masks than it looks at."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import interplay as ip
from interplay import Keep
from interplay.designs.measures import AnyMeasure, get_measure
from interplay.explanation.bands import Band

N = 30
ALL_SIZES = ("SV", "SII", "FSII", "STII", "k-SII")


def far_from_nothing(masks: np.ndarray) -> np.ndarray:
    return 5.0 * masks.any(axis=1) + masks @ np.linspace(0.0, 0.2, N)


def tame(masks: np.ndarray) -> np.ndarray:
    return masks @ np.linspace(0.0, 1.0, N) + (masks[:, 0] & masks[:, 7])


@cache
def explained(wild: bool, measure: AnyMeasure) -> ip.Explanation:
    game = ip.FunctionGame(far_from_nothing if wild else tame, N)
    return ip.explain(game, decoder="lasso", measure=measure, budget=300, progress=False)


@pytest.mark.parametrize(
    ("measure", "doubtful"),
    [
        ("uniform", (*ALL_SIZES, "Moebius")),
        ("shapley", ("Moebius",)),
        (("uniform", "shapley"), ("Moebius",)),
        (Keep(0.9), (*ALL_SIZES, "Moebius", "BV", "BII", "FBII", "Fourier")),
    ],
)
def test_what_contradicts_the_ends(measure: AnyMeasure, doubtful: tuple[str, ...]) -> None:
    explanation = explained(True, measure)
    for index in ip.INDICES:
        if index not in doubtful:
            assert explanation.extrapolated(index) is None, index
            explanation.interactions(index, order=1)
            continue
        with pytest.warns(ip.ExtrapolationWarning, match=f"^{index} is extrapolated") as caught:
            explanation.interactions(index, order=1)
        assert caught[0].filename == __file__
    assert ("empty_input_off" in explanation.verdict.codes) == ("SV" in doubtful)


@pytest.mark.parametrize("measure", ["uniform", "shapley", Keep(0.5, 0.97)])
def test_what_nothing_contradicts(measure: AnyMeasure) -> None:
    explanation = explained(False, measure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in ip.INDICES:
            explanation.interactions(index, order=1)
    assert not set(explanation.verdict.codes) & {"empty_input_off", "whole_input_off", "middle_off"}


def test_a_bad_middle_band() -> None:
    explanation = explained(False, "shapley")
    score = explanation.faithfulness
    bands = (Band(0.0, 0.25, 10, 0.01, 0.9), Band(0.25, 0.75, 10, 0.02, 0.1))
    middle = replace(explanation, faithfulness=replace(score, bands=bands))
    for index in ("BV", "BII", "FBII", "Fourier"):
        doubt = middle.extrapolated(index)
        assert doubt is not None
        assert "among masks that keep 25% to 75% of the players its R2 is 0.10" in doubt
        assert 'measure="uniform"' in doubt
    assert middle.extrapolated("SV") is None
    assert "middle_off" in middle.verdict.codes
    good = replace(score, bands=(bands[0], replace(bands[1], r2=0.9)))
    assert replace(explanation, faithfulness=good).extrapolated("BII") is None


def test_all_masks_and_unknown_scores_say_nothing() -> None:
    game = ip.FunctionGame(lambda masks: far_from_nothing(np.pad(masks, ((0, 0), (0, N - 8)))), 8)
    exact = ip.explain(game, measure=Keep(0.9), progress=False)
    assert exact.faithfulness.exact
    assert all(exact.extrapolated(index) is None for index in ip.INDICES)
    constant = ip.explain(ip.FunctionGame(lambda m: np.ones(len(m)), N), budget=100, progress=False)
    assert all(constant.extrapolated(index) is None for index in ip.INDICES)
    assert get_measure(exact.measure) == Keep(0.9)
