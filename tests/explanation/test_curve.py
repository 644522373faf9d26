from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay.explanation.curve import budget_curve
from tests.conftest import planted

TRUTH = planted(20, 6, np.random.default_rng(0), max_order=3)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["auto", "proxyspex"])
def test_the_last_point_is_the_explanations_own_score(decoder: str, tmp_path: Path) -> None:
    game = ip.FunctionGame(TRUTH.predict, 20)
    run = {"decoder": decoder, "measure": "uniform", "random_state": 5}
    explanation = ip.explain(game, budget=300, **run)
    curve = budget_curve(ip.load(explanation.save(tmp_path / "a.interplay")), points=3)
    assert (curve.decoder, curve.order, curve.n_held_out) == (
        "gp" if decoder == "auto" else decoder,
        *(5, 30),
    )
    assert curve.n_fit == (20, 73, 268)
    assert curve.scores[-1] == explanation.faithfulness
    assert curve.scores[0].r2 < curve.scores[-1].r2
    # the first part of such a design is the design of a smaller budget
    smaller = ip.explain(game, budget=105, holdout=30, **run)
    np.testing.assert_array_equal(smaller.fit.masks, explanation.fit.masks[:73])


def test_lasso_keeps_its_order() -> None:
    explanation = ip.explain(
        ip.FunctionGame(TRUTH.predict, 20), decoder="lasso", budget=300, order=2
    )
    curve = budget_curve(explanation, points=2)
    assert (curve.decoder, curve.order) == ("lasso", 2)
    assert curve.n_fit == (10, 268)
    assert curve.scores[-1] == explanation.faithfulness


@pytest.mark.slow
@pytest.mark.parametrize(("n_players", "decoder"), [(7, "proxyspex"), (20, "spex")])
def test_designs_that_cannot_be_divided_are_decoded_by_proxyspex(
    n_players: int, decoder: str
) -> None:
    truth = planted(n_players, 4, np.random.default_rng(1), max_order=2)
    explanation = ip.explain(ip.FunctionGame(truth.predict, n_players), decoder=decoder, budget=800)
    curve = budget_curve(explanation, points=2)
    assert (curve.decoder, curve.order) == ("proxyspex", 5)
    assert curve.n_held_out == (12 if n_players == 7 else 80)
    assert curve.n_fit[-1] == (116 if n_players == 7 else 718)
    assert curve.scores[-1].r2 > 0.9
    assert not curve.scores[-1].exact


def test_too_few() -> None:
    explanation = ip.explain(ip.FunctionGame(TRUTH.predict, 20), budget=32)
    with pytest.raises(ValueError, match="20 ablations are in the fit, too few for a curve"):
        budget_curve(explanation)
    with pytest.raises(ValueError, match="points=1 is below 2"):
        budget_curve(explanation, points=1)
