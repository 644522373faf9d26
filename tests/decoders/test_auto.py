"""The default decoder: what it picks, and what it records."""

from __future__ import annotations

import numpy as np
import pytest

import interplay as ip
from interplay import Spectrum, decode
from interplay._types import BoolArray, FloatArray
from interplay.decoders.base import Decoded
from interplay.decoders.decode import run_decoder
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from interplay.extensions import DECODERS
from interplay.fourier.masks import every_mask, uniform
from tests.decoders.gaussian.test_decode import N, hierarchical, noisy


def decoded(name: str, masks: BoolArray, values: FloatArray, seed: int = 0) -> Decoded:
    rng = np.random.default_rng(seed)
    return run_decoder(DECODERS[name], PlainDesign("given", masks), values, 5, rng, {})


def few_terms(masks: BoolArray) -> FloatArray:
    """A tree: each further player counts only where those before it are kept."""
    first, second, third, fourth, fifth, sixth = masks[:, [0, 3, 6, 9, 12, 10]].T
    deep = np.where(third, np.where(fourth, np.where(fifth, 5.0, 1.0), -2.0), 3.0)
    return np.where(first, np.where(second, deep, 0.0), 1.0 * sixth)


def same(a: Spectrum, b: Spectrum) -> bool:
    return (a.supports.tobytes(), a.coefficients.tobytes()) == (
        b.supports.tobytes(),
        b.coefficients.tobytes(),
    )


def test_a_hierarchical_function_goes_to_the_gaussian_process() -> None:
    masks = uniform(80, N, np.random.default_rng(0))
    values = noisy(hierarchical(0), masks, 0)
    found = decoded("auto", masks, values)
    assert found.settings["picked"] == "gp"
    scores = found.settings["cv_r2_of_each"]
    assert scores["gp"] > scores["proxyspex"]
    assert found.diagnosis["cv_r2_same_masks"] == pytest.approx([scores["gp"]])
    least = 1 - (1 - scores["gp"]) * (1 - 2 / np.sqrt(len(masks)))
    assert found.diagnosis["summary"] == (
        "gp was picked by its cross-validated R2 "
        f"(proxyspex {scores['proxyspex']:.3f}, gp {scores['gp']:.3f}; proxyspex is picked from "
        f"{least:.3f} on, a margin above gp, since its R2 is that of the best of many settings)"
    )
    # the result is the same as that of the decoder by name
    alone = decoded("gp", masks, values)
    assert same(found.spectrum, alone.spectrum)
    assert found.surrogate is not None
    assert alone.surrogate is not None
    assert same(found.surrogate, alone.surrogate)
    assert found.spectrum.deviations is not None


def test_a_function_of_few_terms_goes_to_proxyspex() -> None:
    masks = uniform(400, 16, np.random.default_rng(0))
    found = decoded("auto", masks, few_terms(masks))
    assert found.settings["picked"] == "proxyspex"
    scores = found.settings["cv_r2_of_each"]
    assert scores["proxyspex"] > scores["gp"]
    alone = decoded("proxyspex", masks, few_terms(masks))
    assert same(found.spectrum, alone.spectrum)
    assert found.spectrum.deviations is None
    assert found.surrogate is None


@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_function_goes_to_the_one_that_scores_better(seed: int) -> None:
    truth = Spectrum.from_dict(
        N, {(): 0.5, (0,): 1.0, (3,): -0.5, (0, 3): 0.7, (2 + seed, 9, 11): 0.6}
    )
    masks = uniform(150, N, np.random.default_rng(seed))
    found = decoded("auto", masks, truth.predict(masks), seed)
    scores = found.settings["cv_r2_of_each"]
    assert set(scores) == {"gp", "proxyspex"}
    assert scores[found.settings["picked"]] >= max(scores.values()) - 1e-6  # a tie is ProxySPEX's
    fresh = uniform(500, N, np.random.default_rng(99), exclude=masks)
    assert r2(truth.predict(fresh), found.spectrum.predict(fresh))[0] > 0.98


@pytest.mark.slow
def test_the_explanation_records_what_ran() -> None:
    game = ip.FunctionGame(few_terms, 16)
    decoder = ip.explain(game, budget=600).provenance["decoder"]
    assert (decoder["requested"], decoder["ran"]) == ("auto", "proxyspex")
    assert decoder["settings"]["picked"] == "proxyspex"
    assert "proxyspex was picked by its cross-validated R2" in decoder["diagnosis"]["summary"]


def test_several_outputs_share_one_decoder() -> None:
    """It is picked by the mean of their scores; a constant output is not counted."""
    truth, masks = hierarchical(0), uniform(80, N, np.random.default_rng(0))
    values = np.stack([noisy(truth, masks, 0), np.ones(80), -noisy(truth, masks, 1)], axis=1)
    found = decoded("auto", masks, values)
    picked = found.settings["picked"]
    assert len(found.diagnosis["cv_r2"]) == 2
    key = "cv_r2_same_masks" if picked == "gp" else "cv_r2"
    assert found.settings["cv_r2_of_each"][picked] == pytest.approx(np.mean(found.diagnosis[key]))
    assert found.spectrum.n_outputs == 3


def test_same_seed_same_bytes() -> None:
    masks = uniform(60, N, np.random.default_rng(0))
    values = noisy(hierarchical(2), masks, 0)
    first, again = (decode(masks, values, random_state=3) for _ in range(2))
    assert same(first, again)


def test_constant_and_too_few() -> None:
    found = decode(every_mask(6), np.full(64, 1 / 3))
    assert found.sets == [()]
    assert found[()] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="19 masks are below the 20 that decoder='auto' needs"):
        decode(every_mask(6)[:19], np.arange(19))


def test_of_ablations_that_do_not_vary_nothing_is_picked() -> None:
    found = decoded("auto", uniform(60, N, np.random.default_rng(0)), np.full(60, 0.25))
    assert found.diagnosis["summary"] == "all ablations have the same value"
    assert found.diagnosis["cv_r2"] == []
