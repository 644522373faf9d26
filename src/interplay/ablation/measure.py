"""Measure: the values of chosen masks, for what goes on from an explanation."""

from __future__ import annotations

import sys
from pathlib import Path

from interplay._types import BoolArray, FloatArray
from interplay.ablation.backends import Backend
from interplay.ablation.runner import evaluate
from interplay.explanation.run_plan import described, open_store
from interplay.fourier.sets import as_columns
from interplay.game import Game, fingerprint_of


def measure(
    game: Game,
    masks: BoolArray,
    *,
    store: str | Path | None,
    backend: Backend,
    progress: bool | None,
) -> FloatArray:
    """The values of masks, ``(m, k)``; the arguments are those of ``explain``.

    Raises:
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; likewise.
    """
    with open_store(game, store) as ablations:
        evaluated = evaluate(
            game,
            masks,
            ablations,
            fingerprint=fingerprint_of(game),
            backend=backend,
            progress=sys.stderr.isatty() if progress is None else progress,
            description=described(game),
        )
    if evaluated.interrupted:
        raise KeyboardInterrupt("interrupted; with a store, what was evaluated is kept")
    return as_columns(evaluated.values)
