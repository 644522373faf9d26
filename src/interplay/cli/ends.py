"""What a text run prints before it starts: the prompt, both ends, and what the model answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rich.markup import escape

from interplay import text as lens
from interplay._arrays import as_columns
from interplay._types import Json
from interplay.ablation.evaluator import Evaluator
from interplay.cli.tables import console
from interplay.explanation.explanation import Explanation
from interplay.fourier.masks import end_masks
from interplay.text.answers import ends

PromptGame: TypeAlias = lens.TextGame | lens.ApiGame


def with_answers(explanation: Explanation, answers: Json) -> Explanation:
    """An explanation whose provenance has what the model answers, and how likely that is."""
    return replace(explanation, provenance=explanation.provenance | {"answers": answers})


_SAME = 0.05
"""The most, in log-probability and as a share, by which a recorded value may differ unnoticed."""


def print_ends(game: PromptGame, store: Path, backend: str, recorded: Sequence[float] = ()) -> Json:
    """Print the values of the whole input and of the empty one, and what the model answers.

    Warns if the answer that is scored is one that the model hardly ever gives, and if a benchmark
    recorded another value of the whole input.

    Returns:
        The model's own answer and those scored, as JSON.
    """
    masks = end_masks(game.n_players)
    with Evaluator.of(game, store=store, backend=backend, progress=False) as evaluator:
        values = evaluator.values(masks)
    if isinstance(game, lens.TextGame):
        described = ends(game, values)
        own_answer, answers = described.own_answer, described.answers
    else:
        own_answer, answers = None, ()
    full, empty = (", ".join(f"{value:.4g}" for value in row) for row in values)
    line = f"whole input: {full}; empty input: {empty}"
    if own_answer is not None:
        line += f"; the model's own answer: {own_answer!r}"
    console.print(line, markup=False, highlight=False)
    if recorded:
        listed = ", ".join(f"{value:.4g}" for value in recorded)
        console.print(f"recorded by the benchmark: {listed}", markup=False, highlight=False)
        if not np.allclose(as_columns(values)[0], recorded, rtol=_SAME, atol=_SAME):
            console.print(
                "Warning: the benchmark recorded another value than this model gives. It may have "
                "had another model, dtype or start token; what follows is of this model.",
                style="yellow",
                markup=False,
            )
    for answer in answers:
        if answer.warning:
            console.print(f"Warning: {answer.warning}", style="yellow", markup=False)
    scored = [answer.to_json() for answer in answers]
    return {"own_answer": own_answer, "scored": scored}


def print_prompt(game: PromptGame) -> None:
    """Print the whole prompt, and what is scored."""
    console.print(game.prompt(np.ones(game.n_players, dtype=np.bool_)), markup=False, style="dim")
    targets = game.targets if isinstance(game, lens.TextGame) else (game.target,)
    scored = escape("; ".join(map(str, targets)))
    console.print(f"{game.n_players} players by {escape(game.masked.by)}; target: {scored}")
