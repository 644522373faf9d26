"""Shapley values are corrected by what a decoder leaves of the values, whatever the decoder."""

from __future__ import annotations

import numpy as np

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.decoders.base import Decoded
from interplay.explanation.correction import corrected


def pairs_and_triples(masks: BoolArray) -> FloatArray:
    kept = masks.astype(float)
    first, second, third = kept, np.roll(kept, -1, axis=1), np.roll(kept, -2, axis=1)
    return (np.arange(1, 13) * first * second).sum(axis=1) + 5 * (first * second * third)[:, 4]


def shapley(spectrum: ip.Spectrum) -> FloatArray:
    values = np.zeros(12)
    listed = spectrum.to("SV", order=1)
    values[[players[0] for players in listed.sets]] = listed.values
    return values


def test_a_decoder_without_intervals_is_corrected_too() -> None:
    """LASSO of order 1 leaves pairs and triples; their part of the Shapley values comes back."""
    game = ip.FunctionGame(pairs_and_triples, n_players=12)
    exact = shapley(ip.explain(game, budget=2**12).spectrum)
    explanation = ip.explain(game, decoder="lasso", measure="shapley", budget=2_000)
    (weight,) = explanation.provenance["decoder"]["diagnosis"]["weight_of_correction"]
    assert 0.5 < weight < 1
    ends = explanation.spectrum.ends
    alone = ip.decode(explanation.fit.masks, explanation.fit.values, decoder="lasso")
    error, without = (
        np.linalg.norm(values - exact)
        for values in (shapley(explanation.spectrum), shapley(alone) * 1.0)
    )
    assert ends is not None
    assert error < 0.3 * without


def test_rounding_errors_are_not_corrected() -> None:
    """What is fitted exactly stays as it is, and too few masks say nothing."""
    rng = np.random.default_rng(0)
    masks = rng.random((500, 6)) < 0.5
    masks = masks[~masks.all(axis=1) & masks.any(axis=1)]
    spectrum = ip.Spectrum.from_dict(6, {(): 1.0, (0,): 2.0})
    for rows, values in ((slice(None), spectrum.predict(masks)), (slice(20), rng.normal(size=500))):
        done = corrected(Decoded(spectrum, {}), masks[rows], values[: len(masks)][rows])
        np.testing.assert_allclose(
            done.spectrum.predict(masks), spectrum.predict(masks), rtol=0, atol=1e-12
        )
