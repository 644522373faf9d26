"""Recovery of planted functions, the refit, and what the decoder says of functions not sparse."""

import numpy as np
import pytest

from interplay import Spectrum
from interplay.decoders.spex import design
from interplay.decoders.spex.bins import transform
from interplay.decoders.spex.peel import decode_coded
from interplay.decoders.spex.refit import refit, with_singletons
from tests.decoders.spex.functions import planted, unpack


def score(n: int, packed: np.ndarray, coefficients: np.ndarray, f) -> float:
    masks = np.random.default_rng(99).random((2000, n)) < 0.5
    y = f(masks)
    guess = Spectrum(n, packed, coefficients).predict(masks)
    return float(1 - np.sum((y - guess) ** 2) / np.sum((y - y.mean()) ** 2))


def test_transform_is_the_aliased_sum() -> None:
    drawn = design(12, 1500, random_state=0, t=2)
    _, f = planted(12, 20, 1)
    u = transform(drawn, f(drawn.masks)[:, None])
    start = 0
    for c, b in enumerate(drawn.plan.bits):
        place = (np.arange(1 << b)[:, None] >> np.arange(b)) & 1
        matrix = (drawn.hashes[c][:, None] >> np.arange(b)) & 1
        for d in range(len(drawn.delays)):
            masks = (place @ matrix.T % 2).astype(bool) ^ drawn.delays[d] ^ drawn.offsets[c]
            direct = (1 - 2 * (place @ place.T % 2)) @ f(masks) / (1 << b)
            assert np.allclose(u[start : start + (1 << b), d, 0], direct)
        start += 1 << b


@pytest.mark.parametrize("decoding", ["soft", "hard"])
@pytest.mark.parametrize(
    ("n", "budget", "terms"),
    [(14, 4000, 30), (30, 5400, 60), (100, 8000, 100), (1000, 12_000, 100)],
)
def test_noiseless_functions_are_recovered(n: int, budget: int, terms: int, decoding: str) -> None:
    truth, f = planted(n, terms, 2)
    drawn = design(n, budget, random_state=1)
    packed, diagnosis = decode_coded(drawn, f(drawn.masks), decoding=decoding)
    assert set(unpack(packed, n)) == truth
    assert diagnosis.explained > 1 - 1e-9
    assert sum(diagnosis.unresolved) == 0
    every, is_decoded = with_singletons(packed, n)
    fit = refit(drawn.masks, f(drawn.masks), every, is_decoded=is_decoded, folds=drawn.folds)
    assert score(n, every, fit.coefficients, f) > 1 - 1e-9


def test_two_thousand_players() -> None:
    truth, f = planted(2000, 40, 3)
    drawn = design(2000, 9000, random_state=1)
    packed, _ = decode_coded(drawn, f(drawn.masks))
    assert set(unpack(packed, 2000)) == truth


@pytest.mark.slow
@pytest.mark.parametrize(("n", "budget"), [(30, 21_504), (100, 27_648), (1000, 43_008)])
def test_ten_decibels(n: int, budget: int) -> None:
    truth, f = planted(n, 100, 4)
    drawn = design(n, budget, random_state=1)
    y = f(drawn.masks)
    y += np.random.default_rng(0).normal(size=len(y)) * y.std() * 10**-0.5
    packed, _ = decode_coded(drawn, y)
    got = set(unpack(packed, n))
    assert len(got & truth) >= 100
    assert len(got - truth) <= 1
    every, is_decoded = with_singletons(packed, n)
    fit = refit(drawn.masks, y, every, is_decoded=is_decoded, folds=drawn.folds)
    assert score(n, every, fit.coefficients, f) > 0.998
    assert fit.cv_r2 == pytest.approx(1 - 1 / 11, abs=0.01)  # honest: the noise's share is missing


@pytest.mark.parametrize("n", [20, 100])
def test_pure_noise_gives_next_to_nothing(n: int) -> None:
    drawn = design(n, 10_000, random_state=1)
    for seed in range(5):
        packed, diagnosis = decode_coded(drawn, np.random.default_rng(seed).normal(size=10_000))
        assert len(packed) <= 3
        assert diagnosis.explained < 0.05


def test_constant_and_zero_functions() -> None:
    drawn = design(30, 3000, random_state=1)
    assert decode_coded(drawn, np.zeros(3000))[0].shape == (0, 4)
    assert unpack(decode_coded(drawn, np.full(3000, 2.5))[0], 30) == [()]


def test_many_outputs_join_their_supports() -> None:
    truth_a, f = planted(40, 20, 5)
    truth_b, g = planted(40, 20, 6)
    drawn = design(40, 8000, random_state=1)
    y = np.column_stack([f(drawn.masks), 1e-3 * g(drawn.masks)])
    packed, _ = decode_coded(drawn, y)
    assert set(unpack(packed, 40)) == truth_a | truth_b
    fit = refit(drawn.masks, y, packed, folds=drawn.folds)
    assert fit.coefficients.shape == (len(packed), 2)
    alone = refit(drawn.masks, y[:, 1], packed, folds=drawn.folds)
    assert np.allclose(fit.coefficients[:, 1], alone.coefficients, rtol=1e-6, atol=1e-12)


def test_order_caps_the_supports() -> None:
    _, f = planted(40, 40, 7)
    drawn = design(40, 8000, random_state=1)
    for order in (0, 1, 2, 3):
        got = unpack(decode_coded(drawn, f(drawn.masks), order=order)[0], 40)
        assert max(map(len, got)) <= order


def test_decoding_is_deterministic_and_sorted() -> None:
    _, f = planted(40, 40, 8)
    drawn = design(40, 8000, random_state=1)
    one, two = (decode_coded(drawn, f(drawn.masks))[0] for _ in range(2))
    assert one.tobytes() == two.tobytes()
    got = unpack(one, 40)
    assert got == sorted(got, key=lambda s: (len(s), s))


def test_scale_and_shift_do_not_matter() -> None:
    _, f = planted(40, 40, 9)
    drawn = design(40, 8000, random_state=1)
    y = f(drawn.masks) + np.random.default_rng(0).normal(size=8000)
    one = decode_coded(drawn, y)[0]
    assert one.tobytes() == decode_coded(drawn, 1e-6 * y)[0].tobytes()


def test_errors_say_what_to_do() -> None:
    drawn = design(30, 3000, random_state=1)
    with pytest.raises(ValueError, match='use "soft" or "hard"'):
        decode_coded(drawn, np.zeros(3000), decoding="firm")
    with pytest.raises(ValueError, match="do not fit 3000 masks"):
        decode_coded(drawn, np.zeros(2999))
    with pytest.raises(ValueError, match="1 of 3000 values are not finite"):
        decode_coded(drawn, np.r_[np.nan, np.zeros(2999)])
    with pytest.raises(ValueError, match="full table"):
        decode_coded(design(4, 100), np.zeros(16))
    with pytest.raises(ValueError, match="at least one row of 4 bytes"):
        refit(drawn.masks, np.zeros(3000), np.zeros((0, 4), dtype=np.uint8))
