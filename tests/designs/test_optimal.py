"""The optimal design: masks are distinct, nested, balanced, nearly uniform, and tell more.

The first masks are blocks and their complements, the next are chosen one by one.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from interplay import Spectrum
from interplay._types import BoolArray
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import Design, uniform_design
from interplay.designs.optimal import foldover, most_informative, optimal_design
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def imbalance(masks: BoolArray) -> float:
    """The mean squared correlation of two players."""
    signs = np.where(masks, -1.0, 1.0)
    products = signs.T @ signs / len(signs)
    n = len(products)
    return float(((products**2).sum() - (np.diagonal(products) ** 2).sum()) / (n * (n - 1)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_players", "n_masks"),
    [(1, 2), (2, 4), (3, 8), (5, 20), (10, 1024), (12, 1500), (14, 300), (15, 200), (300, 1200)],
)
def test_masks_are_distinct_and_smaller_designs_come_first(n_players: int, n_masks: int) -> None:
    masks = optimal_design(n_masks, n_players, generator()).masks
    assert masks.shape == (n_masks, n_players)
    assert len(np.unique(masks, axis=0)) == n_masks
    for fewer in (1, n_masks // 2, n_masks - 1):
        np.testing.assert_array_equal(
            optimal_design(fewer, n_players, generator()).masks, masks[:fewer]
        )


def test_more_masks_than_there_are() -> None:
    with pytest.raises(ValueError, match="9 distinct masks were asked for, but 3 players have"):
        optimal_design(9, 3, generator())


@pytest.mark.parametrize(("n_players", "n_masks"), [(12, 40), (20, 40), (40, 100), (100, 250)])
def test_players_come_to_be_balanced(n_players: int, n_masks: int) -> None:
    ours = optimal_design(n_masks, n_players, generator()).masks
    random = uniform(n_masks, n_players, generator())
    assert imbalance(ours) < 0.5 * imbalance(random)
    share = ours.mean(axis=0)
    assert np.abs(share - 0.5).mean() < np.abs(random.mean(axis=0) - 0.5).mean()


def test_each_mask_is_about_as_uniform_as_others() -> None:
    """The numbers of kept players have the deviation of uniform masks, sqrt(n) / 2, within 10 %."""
    sizes = np.concatenate(
        [optimal_design(100, 64, np.random.default_rng(s)).masks.sum(axis=1) for s in range(10)]
    )
    assert sizes.mean() == pytest.approx(32, abs=0.3)
    assert sizes.std() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(("n_players", "blocks"), [(9, 1), (20, 1), (40, 2), (64, 4)])
def test_blocks_are_nearly_orthogonal_and_complements_follow(n_players: int, blocks: int) -> None:
    masks = foldover(10**6, n_players, generator())
    assert len(masks) == blocks * 2 * n_players
    for number, block in enumerate(masks.reshape(blocks, 2, n_players, n_players)):
        np.testing.assert_array_equal(block[0], ~block[1])
        # the imbalance is 1/m for m uniform masks and 0 for orthogonal ones
        n_masks = number * 2 * n_players + n_players
        assert imbalance(masks[:n_masks]) < 0.35 / n_masks
    signs = np.where(masks, -1.0, 1.0)
    pairs = [signs[:, i] * signs[:, j] for i in range(n_players) for j in range(i)]
    # no pair can be mistaken for a player
    np.testing.assert_allclose(np.array(pairs) @ signs, 0.0, atol=1e-9)


def test_no_flip_of_a_single_player_raises_the_variance() -> None:
    """Against the dense posterior covariance of the players' coefficients."""
    n = 11
    signs = np.where(foldover(2 * n, n, generator()), -1.0, 1.0)
    for step in range(n):
        earlier = signs[:step]
        covariance = np.linalg.inv(n * np.eye(n) + earlier.T @ earlier / (0.5 + 0.3))
        flipped = signs[step] * (1.0 - 2.0 * np.eye(n))
        variances = np.einsum("ki,ij,kj->k", flipped, covariance, flipped)
        variance = signs[step] @ covariance @ signs[step]
        assert (variances <= variance * (1 + 1e-6)).all()
        if step:
            random = np.where(uniform(200, n, np.random.default_rng(step)), -1.0, 1.0)
            random_variances = np.einsum("ki,ij,kj->k", random, covariance, random)
            assert variance >= np.quantile(random_variances, 0.9) * (1 - 1e-9)


@pytest.mark.parametrize("n_known", [0, 7])
def test_each_mask_has_the_largest_variance_of_its_candidates(n_known: int) -> None:
    """Against the dense predictive variance, solved again at each step."""
    every = uniform(60, 6, generator())
    signs = np.where(every, -1.0, 1.0)
    products = signs @ signs.T
    prior = 0.05 + products / 6 + 0.5 * (products**2 - 6) / 30
    chosen = list(range(n_known))
    waiting = list(range(n_known, 60))
    for _ in range(15):
        candidates, waiting = waiting[:20], waiting[20:]
        known = prior[np.ix_(chosen, chosen)] + 0.3 * np.eye(len(chosen))
        cross = prior[np.ix_(chosen, candidates)]
        explained = (cross * np.linalg.solve(known, cross)).sum(axis=0)
        variance = np.diagonal(prior)[candidates] - explained
        best = candidates.pop(int((variance - 1e-9 * np.arange(20)).argmax()))
        chosen.append(best)
        waiting += candidates
    rows = most_informative(every[n_known:], 15, known=every[:n_known]) + n_known
    assert rows.tolist() == chosen[n_known:]


@pytest.mark.slow
@pytest.mark.parametrize(("n_players", "n_masks"), [(20, 40), (40, 90)])
def test_they_tell_more_than_as_many_uniform_masks(n_players: int, n_masks: int) -> None:
    """Held-out R2 of the Gaussian process on hierarchical functions, mean of eight."""
    scores = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        singles = {(i,): float(rng.normal()) for i in range(n_players)}
        strong = sorted(singles, key=lambda player: -abs(singles[player]))[: n_players // 3]
        pairs = {(a, b): 0.7 * float(rng.normal()) for (a,) in strong for (b,) in strong if a < b}
        truth = Spectrum.from_dict(n_players, singles | pairs)
        fresh = uniform(1000, n_players, rng)

        def score(design: Design, truth: Spectrum = truth, fresh: BoolArray = fresh) -> float:
            values = truth.predict(design.masks)
            decoded = run_decoder(get_decoder("gp"), design, values, 3, generator(), {})
            assert decoded.surrogate is not None
            return float(r2(truth.predict(fresh), decoded.surrogate.predict(fresh))[0])

        scores.append(
            [score(make(n_masks, n_players, rng)) for make in (optimal_design, uniform_design)]
        )
    ours, theirs = np.mean(scores, axis=0)
    assert ours > theirs + 0.02, (ours, theirs)


MASKS = """
import hashlib
import numpy as np
from interplay.designs.flat import flat_design
from interplay.designs.optimal import optimal_design
masks = b"".join(
    design(n_masks, n_players, np.random.default_rng(seed)).masks.tobytes()
    for design in (optimal_design, flat_design)
    for n_players, n_masks in ((12, 120), (20, 300), (30, 200), (64, 400))
    for seed in range(3)
)
print(hashlib.sha256(masks).hexdigest())
"""


def test_masks_do_not_depend_on_how_a_processor_rounds() -> None:
    kernels = ("Prescott", "Nehalem")  # any processor that runs this has both
    drawn = [
        subprocess.run(
            [sys.executable, "-c", MASKS],
            env=os.environ | given,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for given in ({}, *({"OPENBLAS_CORETYPE": kernel} for kernel in kernels))
    ]
    assert drawn[0] == drawn[1] == drawn[2]
