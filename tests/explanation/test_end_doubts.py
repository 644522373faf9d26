"""How uncertain Shapley values are where the value of nothing is far from everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import every_mask

N = 10


def smooth(masks: BoolArray) -> FloatArray:
    weights = np.random.default_rng(0).uniform(0.5, 1.5, N) / N
    return np.asarray(0.7 + 0.15 * np.tanh(2 * (masks @ weights)))


def far_nothing(masks: BoolArray) -> FloatArray:
    """The prediction one player further is right: only nothing itself is far away."""
    return np.where(masks.any(axis=1), smooth(masks), 0.0)


def far_few(masks: BoolArray) -> FloatArray:
    """All small masks are far away, and by other amounts for other players."""
    weights = np.random.default_rng(1).uniform(0.0, 1.0, N)
    few = np.exp(-1.5 * masks.sum(axis=1)) * (1 + masks @ weights)
    return np.asarray(smooth(masks) - few)


def explained(function: object, **settings: object) -> ip.Explanation:
    game = ip.FunctionGame(function, N)  # type: ignore[arg-type]
    return ip.explain(game, decoder="gp", budget=120, progress=False, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [far_nothing, far_few])
def test_intervals_hold_and_tell_something(function: object) -> None:
    explanation = explained(function)
    table = function(every_mask(N))  # type: ignore[operator]
    truth = ip.decode(every_mask(N), table, decoder="exact", order=N).to("SV")
    told = explanation.interactions("SV").filter()
    assert told.low is not None
    assert told.high is not None
    actual = np.array([float(truth[players]) for players in told.sets])
    assert np.mean((told.low <= actual) & (actual <= told.high)) >= 0.8
    assert explanation.verdict.findings(told).any()


def test_an_error_at_the_end_alone_leaves_little_doubt() -> None:
    explanation = explained(far_nothing)
    error, doubt = explanation.spectrum.end_errors, explanation.spectrum.end_doubts
    assert doubt is not None
    assert abs(error[1]) > 0.5
    assert doubt[1] < 0.1 * abs(error[1])
    blind = ip.Spectrum(
        N,
        explanation.spectrum.supports,
        explanation.spectrum.coefficients,
        explanation.spectrum.deviations,
        explanation.spectrum.ends,
    )
    wide, narrow = blind.to("SV").deviations, explanation.spectrum.to("SV").deviations
    assert wide is not None
    assert narrow is not None
    assert narrow.max() < 0.5 * wide.min()


def test_it_is_saved(tmp_path: Path) -> None:
    explanation = explained(far_nothing)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert explanation.spectrum.end_doubts is not None
    assert again.spectrum.end_doubts is not None
    assert again.spectrum.end_doubts.tobytes() == explanation.spectrum.end_doubts.tobytes()
    one, two = (e.interactions("SV").high for e in (explanation, again))
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_ends_are_predicted_as_they_were_measured() -> None:
    explanation = explained(far_nothing)
    ends = np.repeat([[True], [False]], N, axis=1)
    assert explanation.predict(ends).tolist() == far_nothing(ends).tolist()
    assert explanation.predict(ends[1]) == 0.0
    masks = np.random.default_rng(0).random((20, N)) < 0.5
    assert explanation.surrogate is not None
    assert (explanation.predict(masks) == explanation.surrogate.predict(masks)).all()


def test_held_out_masks_are_of_all_sizes_where_some_are_used_up() -> None:
    """Of one player there are ten masks: all are evaluated, and some of them are held out."""
    explanation = ip.explain(ip.FunctionGame(far_few, N), decoder="gp", budget=400, progress=False)
    sizes = np.bincount(explanation.held_out.masks.sum(axis=1), minlength=N + 1)
    assert (sizes[1:-1] >= 3).all()
