"""Circuits that a spectrum predicts to be best."""

from __future__ import annotations

import numpy as np
import pytest

import interplay as ip
from interplay import components
from interplay._types import BoolArray, FloatArray

N = 12
WEIGHTS = np.array([4.0, 4.0, 1.9, 1.8, 1.2, 0.9, 0.6, 0.4, 0.2, -0.3, -0.8, -1.5])
FRACTIONS = (0.1, 0.25, 0.5, 1.0)


def value(masks: BoolArray) -> FloatArray:
    """Weights, of which one of the first two players is enough."""
    return masks @ WEIGHTS - 4.0 * (masks[:, 0] & masks[:, 1])


def test_a_first_order_process_keeps_what_is_redundant() -> None:
    game = ip.FunctionGame(lambda masks: np.stack([0 * value(masks), value(masks)], axis=1), N)
    pairs = ip.explain(game, decoder="exact", progress=False)
    found = components.predicted_circuits(game, pairs, fractions=FRACTIONS, output=1)
    assert found.best.sum(axis=1).tolist() == [1, 3, 6, 12]
    assert value(found.best) == pytest.approx([4.0, 7.7, 10.4, 8.4])
    assert value(found.faithful[2:]) == pytest.approx([8.4, 8.4], abs=0.2)
    assert found.cost == 1 << N
    single = ip.explain(
        game, decoder="gp", order=1, measure="uniform", budget=200, random_state=1, progress=False
    )
    alone = components.predicted_circuits(game, single, fractions=FRACTIONS, output=1)
    assert alone.cost == 200
    assert alone.best.sum(axis=1).tolist() == [1, 3, 6, 12]
    assert np.flatnonzero(alone.best[1]).tolist() == [0, 1, 2]
    assert value(alone.best[1:2]) == pytest.approx([5.9])


def test_by_another_decoder() -> None:
    game = ip.FunctionGame(lambda masks: 1.0 * value(masks), N)
    explanation = ip.explain(game, decoder="proxyspex", budget=200, progress=False)
    found = components.predicted_circuits(game, explanation, fractions=FRACTIONS)
    assert value(found.best) == pytest.approx([4.0, 7.7, 10.4, 8.4])
    assert found.cost == 200


def test_what_is_refused() -> None:
    game = ip.FunctionGame(value, N)
    explanation = ip.explain(game, decoder="exact", progress=False)
    other = ip.FunctionGame(lambda masks: masks.sum(axis=1), N + 1)
    with pytest.raises(ValueError, match="predicted_circuits"):
        components.predicted_circuits(other, explanation)
    with pytest.raises(ValueError, match="output=1"):
        components.predicted_circuits(game, explanation, output=1)
    with pytest.raises(ValueError, match="is a part of 12 players"):
        components.predicted_circuits(game, explanation, fractions=(0.001, 1.0))
