"""Pruning by several methods, on a game of items whose truth is known."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from interplay import Spectrum, components
from interplay._types import BoolArray, FloatArray
from interplay.components.analysis import pruning

N, ITEMS = 8, 40


class Planted:
    """Items whose scores are a function of the mask plus an item's own constant.

    Players 0 and 1 back each other up, 2 counts alone, 3 hurts.
    """

    n_players = N
    players = tuple(f"p{n}" for n in range(N))

    def __init__(self, seed: int, fingerprint: str | None = None) -> None:
        self.fingerprint = fingerprint
        self.n_evaluated = 0
        self._own = np.random.default_rng(seed).normal(size=ITEMS)

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        self.n_evaluated += len(masks)
        value = 3.0 * (masks[:, 0] | masks[:, 1]) + 1.0 * masks[:, 2] - 2.0 * masks[:, 3]
        return (value[:, None] + self._own)[:, :, None]

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        return np.asarray(self.item_scores(masks).mean(axis=1)[:, 0])


def true_spectrum() -> Spectrum:
    # or(a, b) = a + b - ab, by Moebius to Fourier: m_i = (1 - chi_i) / 2
    terms = {
        (): 3 * 0.75 + 0.5 - 1.0,
        (0,): -0.75,
        (1,): -0.75,
        (0, 1): -0.75,
        (2,): -0.5,
        (3,): 1.0,
    }
    return Spectrum.from_dict(N, terms)


@pytest.mark.parametrize(("n_random", "sizes"), [(0, [5]), (7, [2, 4, 6])])
def test_no_more_is_evaluated_than_is_counted(n_random: int, sizes: list[int]) -> None:
    game, judged = Planted(0), Planted(1)
    spectra = {"true": true_spectrum(), "none": Spectrum.from_dict(N, {(): 0.0})}
    components.prune(game, judged, sizes, spectra, n_random=n_random, progress=False)
    most = pruning.most_ablations(N, len(sizes), 2, rounds=0, n_random=n_random)
    assert game.n_evaluated <= most[0]
    assert judged.n_evaluated == most[1]


def test_the_spectrum_is_the_function() -> None:
    game = Planted(0)
    masks = np.array([[bool(n >> i & 1) for i in range(N)] for n in range(256)])
    constant = float(game._own.mean())
    np.testing.assert_allclose(true_spectrum().predict(masks) + constant, game(masks))


def test_each_method_chooses_what_it_says() -> None:
    game, test = Planted(0), Planted(1)
    found = components.prune(
        game, test, [2], {"true": true_spectrum()}, n_random=200, random_state=3, progress=False
    )
    by = {each.method: each for each in found}
    assert [each.method for each in found] == ["none", "true", "single", "random"]
    best = max(
        (np.isin(np.arange(N), chosen) for size in (2,) for chosen in combinations(range(N), size)),
        key=lambda mask: float(game(mask[None])[0]),
    )
    # one of the two that back each other up, and the one that counts
    assert game(by["true"].mask[None])[0] == pytest.approx(game(best[None])[0])
    assert by["true"].mask[2]
    assert by["true"].mask[:2].sum() == 1
    assert game(by["random"].mask[None])[0] == pytest.approx(game(best[None])[0])
    # single importance misses players that back each other up: all but 2 and 3 have importance 0
    assert by["single"].mask[2]
    assert by["none"].n_kept == N
    for each in found:
        assert each.train == pytest.approx(game(each.mask[None]))
        assert each.test == pytest.approx(test(each.mask[None]))
        assert each.low[0] < each.test[0] < each.high[0]
        spread = test._own.std() / np.sqrt(ITEMS)
        assert each.high[0] - each.low[0] == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_shares_numbers_and_their_limits() -> None:
    game, test = Planted(0), Planted(1)
    found = components.prune(
        game, test, [0.5, 7, 0.5], {"true": true_spectrum()}, single=False, progress=False
    )
    assert [each.n_kept for each in found] == [8, 7, 4]
    for keep in (0, -1, 9, 2.5):
        with pytest.raises(ValueError, match=f"keep={keep} is neither a share"):
            components.prune(game, test, [keep], {})


def test_other_players_are_refused() -> None:
    test = Planted(1)
    test.players = tuple(reversed(test.players))
    with pytest.raises(ValueError, match=r"make it by the latter's on\(task\)"):
        components.prune(Planted(0), test, [2], {})


def test_a_store_answers_the_second_time(tmp_path: Path) -> None:
    spectra = {"true": true_spectrum()}
    values = []
    for _ in range(2):
        game = Planted(0, fingerprint="planted")
        found = components.prune(
            game, Planted(1), [4], spectra, n_random=20, store=tmp_path / "a.db", progress=False
        )
        values.append([each.train[0] for each in found])
        n_evaluated = game.n_evaluated
    assert n_evaluated == 0
    assert values[0] == values[1]


def test_the_chosen_output_is_maximised() -> None:
    class Two(Planted):
        def item_scores(self, masks: BoolArray, /) -> FloatArray:
            one = super().item_scores(masks)
            return np.concatenate([one, -one], axis=2)

        def __call__(self, masks: BoolArray, /) -> FloatArray:
            return np.asarray(self.item_scores(masks).mean(axis=1))

    one = true_spectrum()
    both = Spectrum(N, one.supports, np.stack([one.coefficients, -one.coefficients], axis=1))
    for output, sign in ((0, 1), (1, -1)):
        _, chosen, *_ = components.prune(
            Two(0), Two(1), [3], {"true": both}, output=output, progress=False
        )
        assert bool(chosen.mask[3]) is (sign < 0)
        assert chosen.test[1] == pytest.approx(-chosen.test[0])


def test_what_is_right_on_all_items_may_still_be_wrong_on_others() -> None:
    items = np.ones((2, 6, 2))  # two masks, six items, two scores
    items[1, :3, 0] = 0.0
    items[:, :, 1] = np.random.default_rng(0).normal(size=(2, 6))
    low, high = pruning._interval(items, np.random.default_rng(0))
    for row, right in enumerate((6, 3)):
        exact = binomtest(right, 6).proportion_ci(0.95, "exact")
        assert (low[row, 0], high[row, 0]) == pytest.approx((exact.low, exact.high))
    assert (
        (low[:, 1] < items[:, :, 1].mean(axis=1)) & (items[:, :, 1].mean(axis=1) < high[:, 1])
    ).all()
