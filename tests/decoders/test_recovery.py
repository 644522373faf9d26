"""Planted sparse functions, with and without noise: supports and coefficients come back."""

from __future__ import annotations

import numpy as np
import pytest

from interplay import Spectrum, decode, spex
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from interplay.extensions import DECODERS
from interplay.fourier.masks import every_mask, uniform
from tests.conftest import planted

HIERARCHICAL = {
    (): 0.7,
    (0,): 1.0,
    (1,): -0.8,
    (2,): 0.6,
    (7,): 0.5,
    (0, 1): 0.9,
    (1, 2): -0.7,
    (0, 1, 2): 0.6,
    (7, 20): 0.5,
}


def share_of_noise(values: np.ndarray, share: float) -> np.ndarray:
    return np.random.default_rng(5).normal(0, np.sqrt(share * values.var()), len(values))


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_proxyspex_recovers_supports_and_coefficients(noise: float) -> None:
    truth = Spectrum.from_dict(30, HIERARCHICAL)
    masks = uniform(1000, 30, np.random.default_rng(0))
    values = truth.predict(masks)
    found = decode(masks, values + share_of_noise(values, noise), decoder="proxyspex")
    strongest = found.truncate(n_terms=len(HIERARCHICAL) - 1)
    assert set(strongest.sets) == set(HIERARCHICAL)
    for players, coefficient in HIERARCHICAL.items():
        assert found[players] == pytest.approx(coefficient, abs=0.02 if noise == 0 else 0.06)
    fresh = uniform(500, 30, np.random.default_rng(1))
    assert r2(truth.predict(fresh), found.predict(fresh))[0] > (0.999 if noise == 0 else 0.98)


def test_proxyspex_keeps_the_mean_and_single_players() -> None:
    """A function of one player: the empty set stays in the support although it is not fitted."""
    masks = uniform(200, 12, np.random.default_rng(0))
    found = decode(masks, 5.0 + masks[:, 0], decoder="proxyspex")
    assert found[()] == pytest.approx(5.5, abs=1e-3)
    assert found[(0,)] == pytest.approx(-0.5, abs=1e-3)


@pytest.mark.slow
def test_proxyspex_never_exceeds_the_order() -> None:
    masks = uniform(600, 20, np.random.default_rng(0))
    values = planted(20, 10, np.random.default_rng(0), max_order=4).predict(masks)
    for order in (1, 2, 4):
        assert decode(masks, values, order=order).orders.max() <= order


def test_proxyspex_refit_or_not_is_what_cross_validation_says() -> None:
    """Dense noise-like functions are not refitted; sparse ones are."""
    rng = np.random.default_rng(0)
    masks = uniform(600, 25, rng)
    sparse = Spectrum.from_dict(25, {(0,): 1.0, (1,): 1.0, (0, 1): 1.0})
    decoder = DECODERS["proxyspex"]
    for values, refitted in (
        (sparse.predict(masks), True),
        (np.tanh(3 * (masks @ rng.normal(size=25))), None),
    ):
        decoded = decoder.decode(PlainDesign("given", masks), values[:, None], 5, rng)
        (settings,), (diagnosis,) = decoded.settings["outputs"], decoded.diagnosis["outputs"]
        assert diagnosis["cv_r2"] >= diagnosis["cv_r2_trees"]
        assert diagnosis["cv_r2"] >= diagnosis["cv_r2_refitted"]
        if refitted is not None:
            assert (settings["refit_penalty"] is not None) == refitted


@pytest.mark.parametrize(("order", "noise"), [(1, 0.0), (2, 0.0), (2, 0.05)])
def test_lasso_recovers(order: int, noise: float) -> None:
    truth = planted(15, 8, np.random.default_rng(3), max_order=order)
    masks = uniform(400, 15, np.random.default_rng(0))
    values = truth.predict(masks)
    found = decode(masks, values + share_of_noise(values, noise), decoder="lasso", order=order)
    assert set(truth.sets) <= set(found.sets)
    for players, coefficient in zip(truth.sets, truth.coefficients, strict=True):
        # its penalty pulls every coefficient towards zero, the more the noisier the values
        assert found[players] == pytest.approx(coefficient, abs=0.1 if noise == 0 else 0.25)


def test_exact() -> None:
    table = np.random.default_rng(0).normal(size=(256, 2))
    shuffled = np.random.default_rng(1).permutation(256)
    masks = every_mask(8)
    found = decode(masks[shuffled], table[shuffled], decoder="exact")
    np.testing.assert_allclose(found.predict(masks), table, atol=1e-12)
    sparse = planted(8, 6, np.random.default_rng(0))
    again = decode(masks, sparse.predict(masks), decoder="exact")
    assert again.sets == sparse.sets
    with pytest.raises(ValueError, match="100 masks are below the 256"):
        decode(masks[:100], table[:100], decoder="exact")


def test_each_output_of_an_exact_spectrum_has_its_own_rounding() -> None:
    """Terms of a small output stay beside a large one, and rounding errors of no output do."""
    large = Spectrum.from_dict(5, {(): 1e9, (0,): 3e8, (0, 1): 1e8})
    small = Spectrum.from_dict(5, {(): 0.2, (2,): 1e-6, (1, 3): 4e-7})
    masks = every_mask(5)
    values = np.stack([large.predict(masks), small.predict(masks)], axis=1)
    both = decode(masks, values, decoder="exact")
    assert both.sets == [(), (0,), (2,), (0, 1), (1, 3)]
    assert both[(1, 3)].tolist() == pytest.approx([0.0, 4e-7], rel=1e-6, abs=0.0)
    assert both[(0, 1)][1] == both[(2,)][0] == 0.0
    offset = decode(masks, 1e9 + small.predict(masks) * 1e6, decoder="exact")
    assert offset.sets == small.sets


@pytest.mark.parametrize(("decoder", "order"), [("proxyspex", 3), ("lasso", 2)])
def test_several_outputs_are_each_decoded_as_alone(decoder: str, order: int) -> None:
    rng = np.random.default_rng(0)
    masks = uniform(300, 12, rng)
    first, second = planted(12, 5, rng, max_order=2), planted(12, 5, rng, max_order=2)
    values = np.stack([first.predict(masks), 100 * second.predict(masks)], axis=1)
    both = decode(masks, values, decoder=decoder, order=order)
    assert both.coefficients.shape == (len(both), 2)
    fresh = uniform(200, 12, np.random.default_rng(9))
    assert r2(first.predict(fresh), both.output(0).predict(fresh))[0] > 0.99
    assert r2(100 * second.predict(fresh), both.output(1).predict(fresh))[0] > 0.99


@pytest.mark.parametrize("decoder", ["proxyspex", "lasso"])
def test_same_seed_same_bytes(decoder: str) -> None:
    masks = uniform(200, 15, np.random.default_rng(0))
    values = planted(15, 8, np.random.default_rng(0)).predict(masks)
    first, again = (decode(masks, values, decoder=decoder, random_state=3) for _ in range(2))
    assert first.supports.tobytes() == again.supports.tobytes()
    assert first.coefficients.tobytes() == again.coefficients.tobytes()


@pytest.mark.parametrize("decoder", ["proxyspex", "lasso", "exact"])
def test_a_constant_game(decoder: str) -> None:
    found = decode(every_mask(6), np.full(64, 1 / 3), decoder=decoder)
    assert found.sets == [()]
    assert found[()] == pytest.approx(1 / 3)


def test_bad_input() -> None:
    masks = uniform(100, 10, np.random.default_rng(0))
    with pytest.raises(
        ValueError, match="decoder='spx' is unknown; choose one of auto, gp, proxyspex"
    ):
        decode(masks, np.zeros(100), decoder="spx")
    with pytest.raises(ValueError, match=r"values of shape \(99,\) do not belong to masks"):
        decode(masks, np.zeros(99))
    with pytest.raises(ValueError, match=r"values\[3\] is nan"):
        decode(masks, np.where(np.arange(100) == 3, np.nan, 0.0))
    with pytest.raises(ValueError, match="5 masks are below the 20"):
        decode(masks[:5], np.zeros(5))
    with pytest.raises(ValueError, match=r"order=3 is not 1 to 2.*use decoder=\"proxyspex\""):
        decode(masks, np.zeros(100), decoder="lasso", order=3)
    with pytest.raises(ValueError, match="order=0 is not at least 1"):
        decode(masks, np.zeros(100), order=0)
    with pytest.raises(ValueError, match="decodes coded masks, not given ones; pass the design"):
        decode(uniform(1000, 10, np.random.default_rng(0)), np.zeros(1000), decoder="spex")
    wide = uniform(200, 1200, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"720,600 terms for 1200 players.*order=1 or decoder"):
        decode(wide, np.zeros(200), decoder="lasso", order=2)


def test_spex_from_a_design() -> None:
    truth = planted(60, 30, np.random.default_rng(0), max_order=5)
    design = spex.design(60, 3000, random_state=3)
    found = decode(design, truth.predict(design.masks), decoder="spex")
    assert set(truth.sets) <= set(found.sets)
    for players, coefficient in zip(truth.sets, truth.coefficients, strict=True):
        assert found[players] == pytest.approx(coefficient, abs=1e-6)
    # other decoders take the masks as well
    assert set(decode(design, truth.predict(design.masks), decoder="lasso").sets)


@pytest.mark.parametrize("decoder", ["proxyspex", "lasso"])
def test_repeated_masks_count_once(decoder: str) -> None:
    """Five copies of each ablation add nothing, and they do not leak between folds."""
    rng = np.random.default_rng(0)
    masks = uniform(60, 20, rng)
    values = planted(20, 8, rng).predict(masks) + rng.normal(size=60)
    once = decode(masks, values, decoder=decoder)
    again = decode(np.tile(masks, (5, 1)), np.tile(values, 5), decoder=decoder)
    assert again.sets == once.sets
    np.testing.assert_allclose(again.coefficients, once.coefficients, rtol=1e-6)


def test_designs_of_other_codes_are_decoded() -> None:
    truth = planted(30, 6, np.random.default_rng(0), max_order=2)
    design = spex.design(30, 500, t=2, random_state=0)
    found = decode(design, truth.predict(design.masks), decoder="spex", order=2)
    assert set(truth.sets) <= set(found.truncate(n_terms=6).sets) | {()}
    with pytest.raises(ValueError, match="min_bits=0 leaves one bin a group"):
        spex.design(100, 150, min_bits=0)
