"""Adaptive circuits on planted functions: every subset's value is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay import components
from interplay._types import BoolArray, FloatArray
from interplay.components.analysis import rounds as module
from interplay.components.analysis import surface
from interplay.components.analysis.surface import Surface
from interplay.fourier.masks import every_mask
from interplay.game import Hints


class Triples:
    """Single players count a little, and eight triples of n players much, up or down."""

    def __init__(self, n: int, seed: int, fingerprint: str | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.n_players, self.fingerprint, self.n_evaluated = n, fingerprint, 0
        self.players = tuple(f"p{i}" for i in range(n))
        self._single = 0.5 * rng.normal(size=n)
        self._sets = [rng.choice(n, 3, replace=False) for _ in range(8)]
        self._size = rng.choice([-1, 1], 8) * rng.uniform(1.5, 3, 8)

    def truth(self, masks: BoolArray, /) -> FloatArray:
        joint = np.stack([masks[:, players].all(axis=1) for players in self._sets], axis=1)
        return np.asarray(masks @ self._single + joint @ self._size)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.n_evaluated += len(masks)
        return self.truth(masks)

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        return np.repeat(self.truth(masks)[:, None, None], 4, axis=1)


def explained(game: Triples, decoder: str = "gp", budget: int = 50) -> ip.Explanation:
    return ip.explain(
        game, decoder=decoder, budget=budget, measure=ip.Keep(0.25, 0.95), progress=False
    )


def of_size(game: Triples, n_kept: int) -> FloatArray:
    """The true values of all subsets of that size."""
    masks = every_mask(game.n_players)
    return game.truth(masks[masks.sum(axis=1) == n_kept])


@pytest.mark.parametrize(("seed", "n_kept"), [(0, 5), (2, 7)])
def test_rounds_cure_an_optimum_that_is_drawn_to_the_errors_of_its_spectrum(
    seed: int, n_kept: int
) -> None:
    game = Triples(14, seed)
    explanation = explained(game)
    by_rounds = {}
    for rounds in (0, 3):
        _, by_rounds[rounds] = components.prune(
            game, game, [n_kept], {"gp": explanation}, rounds=rounds, single=False, progress=False
        )
    truth = of_size(game, n_kept)
    least, most = float(np.median(truth)), float(truth.max())
    first, last = by_rounds[0], by_rounds[3]
    assert (first.rounds, first.spent, last.rounds) == (0, 0, 3)
    assert 10 <= last.spent <= 4 * 3 + 1
    # in shares of the way from the median subset to the best one
    assert (first.train[0] - least) / (most - least) < 0.4
    assert (last.train[0] - least) / (most - least) > 0.75
    assert abs(last.predicted - last.train[0]) < 0.5 * abs(first.predicted - first.train[0])
    assert last.note.startswith(f"3 rounds, {last.spent} further ablations: ")
    assert f"measured {last.train[0]:.4g}" in last.note


def test_the_best_evaluated_subset_is_kept() -> None:
    game = Triples(12, 1)
    explanation = explained(game, "lasso", 80)  # any decoder will do
    _, *chosen = components.prune(
        game, game, [8, 5], {"lasso": explanation}, rounds=2, single=False, progress=False
    )
    for choice in chosen:
        known = explanation.ablations
        before = known.values[known.masks.sum(axis=1) == choice.n_kept]
        assert choice.train[0] >= before.max(initial=-np.inf)
        assert choice.train[0] == pytest.approx(float(game.truth(choice.mask[None])[0]))
        assert "the best of" in choice.note


def test_faithful_is_the_subset_nearest_to_the_whole_model() -> None:
    game = Triples(10, 0)
    exact = ip.explain(game, decoder="exact", budget=1 << 10, progress=False)
    full = float(game.truth(np.ones((1, 10), dtype=np.bool_))[0])
    results = components.prune(
        game,
        game,
        [3, 5, 8],
        {"exact": exact},
        rounds=2,
        objective="faithful",
        n_random=10,
        progress=False,
    )
    assert len(results) == 1 + 3 * 3
    for choice in results[1:]:
        nearest = float(np.abs(of_size(game, choice.n_kept) - full).min())
        distance = abs(float(choice.train[0]) - full)
        if choice.method == "exact":
            assert distance == pytest.approx(nearest, abs=1e-9)
            assert choice.spent == 0  # all subsets were evaluated before
            assert "proven to be the nearest" in choice.note
        assert distance >= nearest - 1e-9
    best = components.prune(game, game, [5], {"exact": exact}, single=False, progress=False)[1]
    assert best.train[0] == pytest.approx(of_size(game, 5).max())


def test_faithful_rounds_come_nearer_and_single_importance_counts_both_ways() -> None:
    game = Triples(14, 2)
    full = float(game.truth(np.ones((1, 14), dtype=np.bool_))[0])
    explanation = explained(game)
    distances = []
    for rounds in (0, 2):
        _, chosen, single = components.prune(
            game,
            game,
            [7],
            {"gp": explanation},
            rounds=rounds,
            objective="faithful",
            progress=False,
        )
        distances.append(abs(float(chosen.train[0]) - full))
    assert distances[0] > 4.0
    assert distances[1] < 0.5
    alone = ~np.eye(14, dtype=np.bool_)
    importance = np.abs(full - game.truth(alone))
    assert importance[single.mask].min() >= importance[~single.mask].max()


def test_the_same_seed_gives_the_same_and_a_store_answers_the_second_time(tmp_path: Path) -> None:
    explanation = explained(Triples(14, 2, "triples"), "lasso")
    runs = []
    for state in (0, 0, 1):
        game = Triples(14, 2, "triples")
        _, *chosen = components.prune(
            game,
            game,
            [9, 5],
            {"lasso": explanation},
            rounds=3,
            single=False,
            store=tmp_path / "a.db",
            random_state=state,
            progress=False,
        )
        runs.append((game.n_evaluated, [(c.mask.tolist(), c.predicted, c.note) for c in chosen]))
    assert runs[0][0] > 0
    assert runs[1][0] == 0
    without_seconds = [
        [(mask, predicted, note.rsplit(",", 1)[0]) for mask, predicted, note in run]
        for _, run in runs
    ]
    assert without_seconds[0] == without_seconds[1]


def test_proposals_are_new_and_rounds_end_where_none_is_left() -> None:
    game = Triples(5, 0)
    explanation = ip.explain(
        game, decoder="lasso", budget=31, measure=ip.Keep(0.25, 0.95), progress=False
    )
    _, chosen = components.prune(
        game, game, [2], {"lasso": explanation}, rounds=50, single=False, progress=False
    )
    used = explanation.fit + explanation.held_out
    known = {tuple(mask) for mask in used.masks.tolist()}
    others = [
        mask for mask in every_mask(5).tolist() if sum(mask) == 2 and tuple(mask) not in known
    ]
    assert chosen.spent <= len(others)
    assert chosen.rounds < 50
    assert chosen.train[0] == of_size(game, 2).max()


def test_the_output_and_the_hints_of_the_explanation_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Two(Triples):
        hints = staticmethod(lambda: Hints("by hand", np.arange(1.0, 13.0)))

        def __call__(self, masks: BoolArray, /) -> FloatArray:
            return np.stack([self.truth(masks), -self.truth(masks)], axis=1)

        def item_scores(self, masks: BoolArray, /) -> FloatArray:
            return self(masks)[:, None, :]

    seen = []

    def fit(masks: BoolArray, values: FloatArray, hints: FloatArray | None) -> Surface:
        assert hints is not None
        np.testing.assert_allclose(values, -Two(12, 0).truth(masks))
        seen.append(hints.tolist())
        return surface.fit(masks, values, hints)

    monkeypatch.setattr(module, "fit", fit)
    game = Two(12, 0)
    explanation = ip.explain(
        game, decoder="gp", order=3, budget=40, measure=ip.Keep(0.25, 0.95), progress=False
    )
    chosen = components.prune(
        game, game, [5], {"gp": explanation}, rounds=1, output=1, single=False, progress=False
    )[1]
    assert seen == [list(range(1, 13))] * 3
    assert chosen.predicted == pytest.approx(chosen.train[1], abs=2.0)


def test_what_cannot_be_is_refused_before_anything_is_evaluated() -> None:
    game = Triples(14, 0, "triples")
    explanation = explained(game, "lasso")
    game.n_evaluated = 0
    spectra = {"lasso": explanation}

    def refused(match: str, sources: object = spectra, **others: object) -> None:
        with pytest.raises(ValueError, match=match):
            components.prune(game, game, [5], sources, progress=False, **others)  # type: ignore

    refused("objective='least' is unknown; choose one of best, faithful", objective="least")
    refused("rounds=-1 is below 0", rounds=-1)
    refused(r"rounds=1\.5 is not a whole number", rounds=1.5)
    refused(
        "none of lasso has any; give the explanation itself",
        {"lasso": explanation.spectrum},
        rounds=1,
    )
    other = Triples(14, 1, "others")
    with pytest.raises(ValueError, match=r"'lasso' explains a game .* give the game that was"):
        components.prune(other, other, [5], spectra, rounds=1)
    assert game.n_evaluated == 0
