"""What terms that are not written down add up to near the intact input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interplay import Keep, Spectrum
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.designs.measures import get_measure
from interplay.explanation.faithfulness import r2

N = 40


def saturating(masks: np.ndarray) -> np.ndarray:
    """Whatever is removed has less effect the more is removed already: all orders, all weak."""
    weights = np.abs(np.random.default_rng(0).normal(size=N))
    return np.asarray(np.tanh((1.0 - masks) @ weights / 3))


def assert_covered(spectrum: Spectrum) -> None:
    """The removal of each player from the intact input, of both outputs, against its intervals."""
    intact = np.ones((1, N), dtype=np.bool_)
    without = np.repeat(intact, N, axis=0) ^ np.eye(N, dtype=np.bool_)
    single = saturating(intact) - saturating(without)
    removals = np.column_stack([single, 5.0 * (np.arange(N) == 3)])
    ends = np.array([[saturating(intact)[0], 5.0], [saturating(~intact)[0], 0.0]])
    told = replace(spectrum, ends=ends).to("Co-Moebius", order=1).filter()
    assert told.low is not None
    assert told.high is not None
    truth = removals[told.members[:, 0]]
    inside = (told.low <= truth) & (truth <= told.high)
    assert inside[:, 0].mean() >= 0.8
    widths = (told.high - told.low)[:, 0]
    assert widths.max() < 2 * np.abs(removals[:, 0]).max()


@pytest.mark.slow
@pytest.mark.parametrize("measure", [Keep(0.95), Keep(0.9), Keep(0.5, 0.97)], ids=str)
def test_a_saturating_function_near_the_intact_input(measure: object) -> None:
    law = get_measure(measure)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    design = law.design(500, N, rng)
    held = law.draw(300, N, rng)
    both = np.column_stack([saturating(design.masks), 5.0 * design.masks[:, 3]])
    scores = {}
    for kind in (design.kind, "uniform"):
        decoded = run_decoder(
            get_decoder("gp"),
            PlainDesign(kind, design.masks),
            both,
            5,
            np.random.default_rng(0),
            {},
        )
        assert decoded.surrogate is not None
        scores[kind] = [
            float(r2(saturating(held), spectrum.predict(held)[:, 0])[0])
            for spectrum in (decoded.surrogate, decoded.spectrum)
        ]
        if kind != "uniform":
            assert_covered(decoded.spectrum)
    assert min(scores[design.kind]) > 0.6
    # by its Fourier coefficients alone the same fit is worth nothing there
    assert scores["uniform"][1] < 0
