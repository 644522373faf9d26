"""The functions of the race of indices: their exact indices, and the recorded complete games."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from estimates_cache import Cache, PeerRun  # noqa: E402
from interplay.fourier.masks import every_mask  # noqa: E402
from planted_games import INDICES, exact, planted, sets_of  # noqa: E402
from set_functions import SetFunction  # noqa: E402

N_PLAYERS = 13
RECORDED = sorted((BENCHMARKS / "games" / "complete").glob("*.npz"))


@pytest.mark.parametrize("name", planted(N_PLAYERS))
def test_exact_indices_of_planted_functions_are_those_of_their_tables(name: str) -> None:
    function = planted(N_PLAYERS)[name]
    table = SetFunction(N_PLAYERS, function(every_mask(N_PLAYERS)))
    of_terms, of_table = exact(function), exact(table)
    for index in INDICES:
        np.testing.assert_allclose(of_terms[index], of_table[index], atol=1e-12, err_msg=index)


def test_shapley_values_of_any_k_of_some_players_are_equal_shares() -> None:
    carriers = np.zeros((1, 100), dtype=np.bool_)
    carriers[0, :8] = True
    counted = np.zeros((1, 101))
    counted[0, 3:] = 5.0
    values = exact(SetFunction(100, carriers=carriers, counted=counted))["SV"]
    np.testing.assert_allclose(values, np.where(carriers[0], 5 / 8, 0.0), atol=1e-14)


def test_a_function_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).random((50, N_PLAYERS)) < 0.5
    for name, function in planted(N_PLAYERS).items():
        function.save(tmp_path / f"{name}.npz")
        again = SetFunction.load(tmp_path / f"{name}.npz")
        assert again.digest == function.digest
        np.testing.assert_array_equal(again(masks), function(masks))


def test_the_cache_gives_back_what_was_run(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "estimates.db")
    run = PeerRun("game", "method", "SV", 30, 0, np.array([0.5, -2.0]), 29, 0.1, None)
    slow = PeerRun("game", "method", "SV", 60, 0, None, 60, 30.0, "over 30 CPU s")
    cache.add_peer("digest", run)
    cache.add_peer("digest", slow)
    assert cache.has_peer("digest", "method", "SV", 30, 0)
    assert not cache.has_peer("digest", "method", "SV", 30, 1)
    assert cache.too_slow("digest", "method", "SV", 30) is None
    assert cache.too_slow("digest", "method", "SV", 90) == 60
    (first,), (second,) = cache.peers("digest", 30), cache.peers("digest", 60)
    np.testing.assert_array_equal(first.estimate, run.estimate)
    assert (first.evaluated, second.estimate, second.failure) == (29, None, "over 30 CPU s")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_games_are_complete(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        values, names, about = file["values"], file["names"], json.loads(str(file["about"]))
    assert 10 <= len(names) == about["n_players"] <= 14
    assert values.shape == (2 ** len(names),)
    assert np.isfinite(values).all()
    assert about["kind"] in ("text", "heads", "training")
    assert len(sets_of("FSII", len(names))) == len(names) * (len(names) + 1) // 2
