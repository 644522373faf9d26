"""The decoder ``gp``: what it finds, and the intervals that it gives."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from interplay import Spectrum, decode
from interplay._types import FloatArray
from interplay.decoders.base import Decoded
from interplay.decoders.decode import run_decoder
from interplay.designs.base import PlainDesign
from interplay.designs.optimal import optimal_design
from interplay.explanation.faithfulness import r2
from interplay.extensions import DECODERS
from interplay.fourier.masks import every_mask, uniform
from tests.conftest import planted

N = 14


def hierarchical(seed: int) -> Spectrum:
    """Build a function of all sets of up to three of four players, and a little of every player."""
    rng = np.random.default_rng(seed)
    strong = sorted(rng.choice(N, 4, replace=False).tolist())
    terms = {(): 0.5} | {(player,): 0.1 * float(rng.normal()) for player in range(N)}
    for size in (1, 2, 3):
        for players in combinations(strong, size):
            terms[players] = terms.get(players, 0.0) + float(rng.normal()) * 0.6 ** (size - 1)
    return Spectrum.from_dict(N, terms)


def decoded(masks: np.ndarray, values: FloatArray, order: int = 5, seed: int = 0) -> Decoded:
    rng = np.random.default_rng(seed)
    return run_decoder(DECODERS["gp"], PlainDesign("given", masks), values, order, rng, {})


def noisy(truth: Spectrum, masks: np.ndarray, seed: int) -> FloatArray:
    return truth.predict(masks) + 0.1 * np.random.default_rng(seed).normal(size=len(masks))


@pytest.fixture(scope="module")
def runs() -> list[tuple[Spectrum, np.ndarray, Decoded]]:
    """Noisy hierarchical functions of several seeds, their masks, and what was decoded."""
    decoded_runs = []
    for seed in range(5):
        truth, masks = hierarchical(seed), uniform(160, N, np.random.default_rng(seed))
        decoded_runs.append((truth, masks, decoded(masks, noisy(truth, masks, seed), seed=seed)))
    return decoded_runs


def covered(truth: Spectrum, found: Spectrum, index: str) -> np.ndarray:
    """Tell for each interaction whether its interval holds the truth."""
    interactions, actual = found.to(index, order=3), truth.to(index, order=3)
    assert interactions.low is not None
    assert interactions.high is not None
    values = np.array([float(actual[players]) for players in interactions.sets])
    return np.asarray((interactions.low <= values) & (values <= interactions.high))


@pytest.mark.slow
@pytest.mark.parametrize("index", ["Fourier", "FSII", "SII"])
def test_intervals_have_their_nominal_coverage(
    runs: list[tuple[Spectrum, np.ndarray, Decoded]], index: str
) -> None:
    share = np.concatenate([covered(truth, found.spectrum, index) for truth, _, found in runs])
    assert 0.85 <= share.mean() <= 0.99


def test_intervals_of_terms_that_are_not_zero_cover_too(
    runs: list[tuple[Spectrum, np.ndarray, Decoded]],
) -> None:
    """Without this, intervals of the many zero coefficients could hide misses of strong ones."""
    share = np.concatenate(
        [
            covered(truth, found.spectrum, "Fourier")[
                [players in truth for players in found.spectrum.truncate(order=3).sets]
            ]
            for truth, _, found in runs
        ]
    )
    assert len(share) > 100
    assert 0.85 <= share.mean() <= 0.99


def test_the_prediction_interval_holds_on_fresh_masks(
    runs: list[tuple[Spectrum, np.ndarray, Decoded]],
) -> None:
    share = []
    for truth, masks, found in runs:
        assert found.surrogate is not None
        fresh = uniform(1000, N, np.random.default_rng(99), exclude=masks)
        wrong = np.abs(noisy(truth, fresh, 7) - found.surrogate.predict(fresh))
        share.append((wrong <= found.diagnosis["prediction_interval"][0]).mean())
    assert 0.85 <= np.mean(share) <= 0.95


@pytest.mark.slow
def test_the_prediction_interval_holds_for_the_optimal_design() -> None:
    """Its masks are harder to predict than uniform ones when they are left out."""
    share, wider, score_errors = [], [], []
    for seed in range(24):
        truth = hierarchical(seed)
        masks = optimal_design(2 * N + 4, N, np.random.default_rng(seed)).masks
        found = decoded(masks, noisy(truth, masks, seed), seed=seed)
        assert found.surrogate is not None
        fresh = uniform(1000, N, np.random.default_rng(99), exclude=masks)
        wrong = np.abs(noisy(truth, fresh, 7) - found.surrogate.predict(fresh))
        half = found.diagnosis["prediction_interval"][0]
        share.append((wrong <= half).mean())
        wider.append(half / np.quantile(wrong, 0.9))
        actual = r2(noisy(truth, fresh, 7), found.surrogate.predict(fresh))[0]
        scores = [found.diagnosis[key][0] for key in ("cv_r2", "cv_r2_same_masks")]
        score_errors.append(np.array(scores) - actual)
    assert 0.8 <= np.mean(share) <= 0.95, share
    assert np.exp(np.mean(np.log(wider))) < 1.15, wider
    uniform_masks, same_masks = np.mean(score_errors, axis=0)
    assert same_masks < -0.03
    assert abs(uniform_masks) < 0.6 * abs(same_masks)


def test_the_score_is_that_of_fresh_masks(
    runs: list[tuple[Spectrum, np.ndarray, Decoded]],
) -> None:
    """The cross-validated R2 estimates the surrogate's R2 on fresh masks."""
    for truth, masks, found in runs:
        assert found.surrogate is not None
        fresh = uniform(1000, N, np.random.default_rng(99), exclude=masks)
        actual = r2(noisy(truth, fresh, 7), found.surrogate.predict(fresh))[0]
        assert found.diagnosis["cv_r2"][0] == pytest.approx(actual, abs=0.03)


@pytest.mark.slow
def test_it_beats_lasso_and_boosted_trees_on_what_is_hierarchical() -> None:
    """From few ablations: 70 of 14 players."""
    scores: dict[str, list[float]] = {"gp": [], "lasso": [], "trees": []}
    for seed in range(3):
        truth, masks = hierarchical(seed), uniform(70, N, np.random.default_rng(seed))
        values = noisy(truth, masks, seed)
        fresh = uniform(1000, N, np.random.default_rng(99), exclude=masks)
        rng = np.random.default_rng(seed)
        proxy = DECODERS["proxyspex"].decode(PlainDesign("given", masks), values[:, None], 5, rng)
        scores["trees"].append(proxy.diagnosis["outputs"][0]["cv_r2_trees"])
        lasso = decode(masks, values, decoder="lasso", order=2)
        found = decoded(masks, values, seed=seed).spectrum
        scores["lasso"].append(r2(truth.predict(fresh), lasso.predict(fresh))[0])
        scores["gp"].append(r2(truth.predict(fresh), found.predict(fresh))[0])
    mean = {name: np.mean(by_seed) for name, by_seed in scores.items()}
    assert mean["gp"] > mean["lasso"] + 0.02
    assert mean["gp"] > mean["trees"] + 0.02


def test_the_spectrum_is_the_surrogates_strongest_terms(
    runs: list[tuple[Spectrum, np.ndarray, Decoded]],
) -> None:
    for _, _, found in runs:
        assert found.surrogate is not None
        assert found.spectrum.orders[0] == 0
        assert len(found.spectrum) <= 201 < len(found.surrogate)
        for players, coefficient in found.spectrum:
            assert coefficient == found.surrogate[players]
        weakest = found.spectrum.energies[1:].min()
        omitted = [e for s, e in zip(found.surrogate.sets, found.surrogate.energies, strict=True)
                   if s not in found.spectrum]  # fmt: skip
        assert max(omitted) <= weakest
        share = found.diagnosis["share_of_variance_in_spectrum"]
        assert 0.9 < share <= 1.0
        assert found.settings["terms_of_surrogate"] == len(found.surrogate)


def test_same_seed_same_bytes() -> None:
    truth, masks = hierarchical(0), uniform(60, N, np.random.default_rng(0))
    values = noisy(truth, masks, 0)
    one, two, other = (decode(masks, values, decoder="gp", random_state=seed) for seed in (3, 3, 4))
    assert one.supports.tobytes() == two.supports.tobytes()
    assert one.coefficients.tobytes() == two.coefficients.tobytes()
    assert one.deviations is not None
    assert two.deviations is not None
    assert one.deviations.tobytes() == two.deviations.tobytes()
    assert one.coefficients.tobytes() != other.coefficients.tobytes()


def test_several_outputs_in_their_own_units_one_of_them_constant() -> None:
    truth, other = hierarchical(0), hierarchical(1)
    masks = uniform(200, N, np.random.default_rng(0))
    fresh = uniform(500, N, np.random.default_rng(9), exclude=masks)

    def f(masks: np.ndarray) -> FloatArray:
        columns = (truth.predict(masks), np.full(len(masks), 7.0), 1e4 + 1e3 * other.predict(masks))
        return np.stack(columns, axis=1)

    found = decoded(masks, f(masks))
    assert found.surrogate is not None
    for spectrum in (found.spectrum, found.surrogate):
        predicted = spectrum.predict(fresh)
        np.testing.assert_allclose(predicted[:, 1], 7.0)
        assert min(r2(f(fresh), predicted)[[0, 2]]) > 0.95
    spectrum = found.spectrum
    assert spectrum.deviations is not None
    assert spectrum.deviations.shape == (len(spectrum), 3, len(spectrum) + 6)
    assert (spectrum.deviations[:, 1] == 0).all()
    scale = np.sqrt((spectrum.deviations**2).sum(axis=-1)).mean(axis=0)
    assert 100 < scale[2] / scale[0] < 10_000
    assert len(found.diagnosis["cv_r2"]) == len(found.diagnosis["prediction_interval"]) == 2
    assert spectrum.output(0).deviations is not None
    assert spectrum.mean_output().deviations is None
    np.testing.assert_allclose(
        spectrum.mean_output().predict(fresh), spectrum.predict(fresh).mean(axis=1)
    )


def test_constant_outputs_are_their_mean() -> None:
    masks = uniform(40, N, np.random.default_rng(0))
    found = decoded(masks, np.tile([1 / 3, -2.0], (40, 1)))
    assert found.spectrum.sets == [()]
    np.testing.assert_allclose(found.spectrum[()], [1 / 3, -2.0])
    assert found.spectrum.deviations is None
    one = decoded(masks, np.full(40, 1 / 3))
    assert one.spectrum[()] == pytest.approx(1 / 3)
    assert one.surrogate is not None
    assert one.surrogate.n_outputs is None


@pytest.mark.parametrize("n_players", [5, 40])
def test_the_fewest_masks(n_players: int) -> None:
    masks = uniform(20, n_players, np.random.default_rng(0))
    found = decoded(masks, 2.0 * masks[:, 0] - masks[:, 1])
    strongest = found.spectrum.truncate(n_terms=2)
    assert set(strongest.sets) == {(), (0,), (1,)}
    assert np.isfinite(found.diagnosis["cv_r2"]).all()
    with pytest.raises(ValueError, match="19 masks are below the 20 that decoder='gp' needs for"):
        decoded(masks[:19], np.zeros(19))


@pytest.mark.parametrize("n_players", [1, 2])
def test_one_and_two_players_have_too_few_masks(n_players: int) -> None:
    masks = every_mask(n_players)
    with pytest.raises(ValueError, match="masks are below the 20 that decoder='gp' needs"):
        decode(np.tile(masks, (20, 1)), np.tile(1.0 * masks[:, 0], 20), decoder="gp")


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_never_beyond_the_order(order: int) -> None:
    """Only the trees reach orders above 4: six players that count only together."""
    masks = every_mask(8)
    found = decoded(masks, 1.0 * masks[:, :6].all(axis=1), order)
    assert found.surrogate is not None
    assert found.spectrum.orders.max() == found.surrogate.orders.max() == order
    # all 64 coefficients of the six are 1 / 64 or its negative; shrunk, but of the right sign
    assert (found.spectrum[range(6)] > 0) == (order == 6)


@pytest.mark.parametrize("n_masks", [30, 60, 200])
def test_a_parity_without_lower_orders(n_masks: int) -> None:
    """The prior makes it unlikely. It is found, or no other set is reported in its place.

    The 30 masks lack one of the eight patterns of the three players. Only the prior determines the
    value there. That goes wrong, but only among sets of these players.
    """
    masks = uniform(n_masks, 12, np.random.default_rng(1))
    truth = Spectrum.from_dict(12, {(1, 5, 9): 1.0})
    found = decoded(masks, truth.predict(masks)).spectrum.to("Fourier")
    assert found.low is not None
    assert found.high is not None
    strong = ((found.low > 0) | (found.high < 0)) & (np.abs(found.values) > 0.05)
    significant = {
        players for players, is_strong in zip(found.sets, strong, strict=True) if is_strong
    }
    if n_masks == 30:
        assert len(np.unique(masks[:, [1, 5, 9]], axis=0)) == 7
        assert max(found.sets, key=lambda players: abs(found[players])) == (1, 5, 9)
        assert all(set(players) <= {1, 5, 9} for players in significant)
        return
    assert significant <= {(1, 5, 9)}
    if n_masks == 200:
        assert float(found[(1, 5, 9)]) == pytest.approx(1.0, abs=0.01)


def test_repeated_masks_count_once() -> None:
    masks = uniform(60, N, np.random.default_rng(0))
    values = noisy(hierarchical(0), masks, 0)
    once = decode(masks, values, decoder="gp")
    again = decode(np.tile(masks, (3, 1)), np.tile(values, 3), decoder="gp")
    assert again.sets == once.sets
    np.testing.assert_allclose(again.coefficients, once.coefficients, rtol=1e-6)


def test_noise_is_not_explained() -> None:
    """Of values that are noise nothing is predicted, and the intervals hold zero."""
    masks = uniform(150, N, np.random.default_rng(0))
    values = np.random.default_rng(1).normal(size=150)
    found = decoded(masks, values)
    assert found.diagnosis["cv_r2"][0] < 0.2
    zero = Spectrum.from_dict(N, {(): float(values.mean())})
    assert covered(zero, found.spectrum, "Fourier").mean() > 0.85


def test_a_sparse_function_is_decoded_from_enough_masks() -> None:
    truth = planted(N, 6, np.random.default_rng(2), max_order=3)
    masks = uniform(400, N, np.random.default_rng(0))
    found = decoded(masks, truth.predict(masks)).spectrum
    assert set(found.truncate(n_terms=6).sets) == set(truth.sets)
    for players, coefficient in truth:
        assert float(found[players]) == pytest.approx(float(coefficient), abs=0.05)


@pytest.mark.slow
def test_the_blend_weight_is_nearly_zero_where_the_trees_are_better_alone() -> None:
    """A decision tree with parities at its ends: the kernel has no order above 4."""
    masks = every_mask(10)
    signs = np.where(masks, -1.0, 1.0)
    inner = np.where(masks[:, 1], signs[:, 2:5].prod(axis=1), masks[:, 5])
    found = decoded(masks, np.where(masks[:, 0], inner, signs[:, 6:9].prod(axis=1)))
    assert found.settings["weight_of_gaussian_process"][0] < 0.01
    assert found.diagnosis["cv_r2"][0] > 0.99
