"""BCH: every pattern of up to t errors, the rate beyond t, and agreement with galois."""

from itertools import combinations
from math import comb

import galois
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.decoders.spex.bch import bch_code, decode_hard, encode, locate, syndromes
from interplay.decoders.spex.chase import decode_parity

IN_USE = [(11, 5), (30, 5), (36, 5), (92, 5), (100, 5), (215, 5), (300, 5), (466, 5), (973, 5)]
IN_USE += [(1000, 5), (2000, 5), (64, 3), (30, 2), (30, 1), (20, 4), (50, 7), (2, 3), (1, 1)]


@pytest.mark.parametrize(
    ("low", "high", "masks"),
    [(12, 36, 84), (37, 92, 108), (93, 215, 123), (216, 466, 138), (467, 973, 153)],
)
def test_masks_per_bin_are_those_of_the_paper(low: int, high: int, masks: int) -> None:
    for n in (low, high):
        assert 3 * (bch_code(n, 5).n_parity + 1) == masks


def words(n: int, t: int, w: int, seed: int) -> np.ndarray:
    information = np.random.default_rng(seed).random((w, n)) < 0.5
    return np.hstack([information, encode(bch_code(n, t), information)])


@pytest.mark.parametrize(("n", "t"), IN_USE)
def test_up_to_t_errors_are_corrected(n: int, t: int) -> None:
    code = bch_code(n, t)
    rng = np.random.default_rng(0)
    for errors in range(t + 1):
        sent = words(n, t, 500, errors)
        received = sent.copy()
        for row in received:
            row[rng.choice(code.length, errors, replace=False)] ^= True
        corrected, counted = decode_hard(code, received)
        assert (corrected == sent).all()
        assert (counted == errors).all()


@pytest.mark.parametrize(("n", "t"), [(7, 2), (5, 3), (11, 5), (16, 3), (21, 2), (12, 4)])
def test_every_error_pattern_of_small_codes(n: int, t: int) -> None:
    code = bch_code(n, t)
    for errors in range(t + 1):
        patterns = np.array(list(combinations(range(code.length), errors)), dtype=np.intp)
        patterns = patterns.reshape(comb(code.length, errors), errors)
        received = np.zeros((len(patterns), code.length), dtype=bool)
        np.put_along_axis(received, patterns, True, axis=1)
        positions, counted = locate(code, syndromes(code, received))
        assert (counted == errors).all()
        assert (positions[:, :errors] == patterns).all()


@given(st.integers(1, 400), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_up_to_t_errors_are_corrected_anywhere(n: int, t: int, seed: int) -> None:
    code = bch_code(n, t)
    rng = np.random.default_rng(seed)
    sent = words(n, t, 5, seed)
    received = sent.copy()
    errors = rng.integers(0, min(t, code.length) + 1, size=5)
    for row, count in zip(received, errors, strict=True):
        row[rng.choice(code.length, count, replace=False)] ^= True
    corrected, counted = decode_hard(code, received)
    assert (corrected == sent).all()
    assert (counted == errors).all()


@pytest.mark.parametrize(("n", "t"), [(30, 5), (36, 5), (92, 3), (100, 3), (200, 2)])
def test_random_words_decode_at_the_rate_of_sphere_packing(n: int, t: int) -> None:
    code = bch_code(n, t)
    received = np.random.default_rng(1).random((40_000, code.length)) < 0.5
    corrected, counted = decode_hard(code, received)
    share = sum(comb(code.length, e) for e in range(t + 1)) / 2**code.n_parity
    assert np.mean(counted >= 0) == pytest.approx(share, abs=5 * np.sqrt(share / 40_000))
    done = counted >= 0
    assert not syndromes(code, corrected[done]).any()  # what decodes is a codeword
    assert ((corrected != received).sum(axis=1)[done] == counted[done]).all()
    assert (corrected[~done] == received[~done]).all()


@pytest.mark.parametrize(("n", "t"), [(30, 5), (100, 5)])
def test_one_error_too_many_is_never_called_t_plus_one(n: int, t: int) -> None:
    code = bch_code(n, t)
    rng = np.random.default_rng(2)
    sent = words(n, t, 20_000, 3)
    received = sent.copy()
    for row in received:
        row[rng.choice(code.length, t + 1, replace=False)] ^= True
    corrected, counted = decode_hard(code, received)
    assert counted.max() <= t
    assert not (corrected == sent).all(axis=1).any()
    assert np.mean(counted >= 0) < 0.1


@pytest.mark.parametrize(
    ("n", "t"), [(7, 2), (30, 5), (64, 3), pytest.param(1000, 5, marks=pytest.mark.slow)]
)
def test_agrees_with_galois(n: int, t: int) -> None:
    code = bch_code(n, t)
    # in Python: to compile its decoder takes galois longer than to run it (in fields of two bytes
    # it cannot do without)
    how = "python-calculate" if code.degree <= 8 else "auto"
    field = galois.GF(2**code.degree, compile=how)
    peer = galois.BCH(2**code.degree - 1, d=2 * t + 1, extension_field=field, alpha=field(2))
    assert peer.n - peer.k == code.n_parity
    sent = words(n, t, 40, 4)
    assert (np.array(peer.encode(galois.GF2(sent[:, :n].astype(np.uint8)))) == sent).all()
    rng = np.random.default_rng(5)
    received = sent.copy()
    for i, row in enumerate(received):
        row[rng.choice(code.length, i % (t + 3), replace=False)] ^= True
    theirs, their_count = peer.decode(
        galois.GF2(received.astype(np.uint8)), output="codeword", errors=True
    )
    ours, our_count = decode_hard(code, received)
    assert (our_count == np.asarray(their_count)).all()
    good = our_count >= 0
    assert (ours[good] == np.array(theirs)[good]).all()


def test_soft_decoding_mends_the_least_reliable_bits() -> None:
    code = bch_code(100, 5)
    rng = np.random.default_rng(6)
    supports = np.sort(np.array([rng.choice(100, 4, replace=False) for _ in range(50)]), axis=1)
    information = np.zeros((50, 100), dtype=bool)
    np.put_along_axis(information, supports, True, axis=1)
    soft = 1.0 - 2.0 * encode(code, information)
    for row in soft:  # five wrong bits with the smallest magnitudes: hard decoding cannot mend them
        row[rng.choice(code.n_parity, 5, replace=False)] *= -0.1
    rows, _ = decode_parity(code, soft)
    hard_rows, hard = decode_parity(code, soft, depth=10, n_patterns=1024)
    right = (hard[:, :4] == supports[hard_rows]).all(axis=1) & (hard[:, 4] == 100)
    assert set(hard_rows[right]) == set(range(50))
    assert len(set(rows)) < 50


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="use n_players >= 1"):
        bch_code(0, 5)
    with pytest.raises(ValueError, match=r"pass \(w, 57\)"):
        decode_hard(bch_code(30, 5), np.zeros((2, 30), dtype=bool))
    with pytest.raises(ValueError, match="fewer players"):
        bch_code(70_000, 5)
