"""What is asked of a real, tiny fine-tuning: relations, harm, undoing, removal."""

from __future__ import annotations

import numpy as np

import interplay as ip
from interplay.training import (
    FineTuningGame,
    harmful,
    relations,
    removal_curves,
    undoing_set,
)
from tests.training.finetuning.tiny import QUESTIONS, tuning


def test_planted_examples_are_found() -> None:
    game = FineTuningGame(tuning(), QUESTIONS)
    explanation = ip.explain(game, budget=64, progress=False)
    of_copies = relations(explanation, point=0)
    assert of_copies.redundancies_same[0].players == (0, 1)
    (worst,) = harmful(explanation, points=[1], top=1)
    assert (worst.player, worst.tag) == (3, "wrong")
    assert worst.question == str(QUESTIONS[1])

    undone = undoing_set(explanation, game, 0, progress=False)
    assert undone.removed is not None
    assert {0, 1} <= set(undone.removed)  # half of what was learned: not while a copy is there
    assert undone.proven
    kept = np.ones((1, 6), dtype=bool)
    kept[0, list(undone.removed)] = False
    assert abs(game(kept)[0, 0] - undone.actual) < 1e-4
    assert undone.actual <= undone.level < undone.full

    (curve,) = removal_curves(
        game, [1], {"all": explanation.spectrum}, point=1, n_random=0, progress=False
    )
    assert not curve.masks[0, 3]
    assert curve.actual[0] > game(np.ones((1, 6), dtype=bool))[0, 1]
