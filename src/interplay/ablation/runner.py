"""Asks a game for values, never twice for the same mask."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from interplay._types import BoolArray, FloatArray
from interplay.ablation.store import Store
from interplay.errors import GameError
from interplay.game import Game, PlannedGame, call
from interplay.masks import distinct

DEFAULT_BATCH = 64
"""Masks per call for games that do not say how many they want."""


@dataclass(frozen=True)
class Evaluated:
    """The values of masks, and where they came from.

    Attributes:
        values: ``(m,)`` or ``(m, k)``.
        n_new: distinct masks that the game was asked for.
        n_stored: distinct masks that the store had.
    """

    values: FloatArray
    n_new: int
    n_stored: int


def evaluate(
    game: Game,
    masks: BoolArray,
    store: Store,
    *,
    fingerprint: str | None,
    batch_size: int | None = None,
    progress: bool,
) -> Evaluated:
    """The values of masks, from the store where it has them and from the game where not.

    The masks that are left are sorted by their cost, the dearest first, cut into batches, and each
    batch is committed to the store before the next is begun. Nothing but the masks, the game
    and ``batch_size`` decides how batches are cut.

    Args:
        game: the game.
        masks: ``(m, n)``; equal rows are evaluated once.
        store: where values are looked up and kept.
        fingerprint: the game's. Without one its values go to ``store`` under a name of this call
            only; give such a game a store in memory.
        batch_size: masks per call; ``None``: as the game says, or :data:`DEFAULT_BATCH`.
        progress: show a progress bar with rate and time left on stderr.

    Raises:
        GameError: the game failed; ``error.masks`` and ``error.values`` hold what is known.
        KeyboardInterrupt: likewise.
        StoreError: the store cannot be read or written.
        ValueError: ``batch_size`` is below 1.
    """
    planned = game if isinstance(game, PlannedGame) else None
    size = (
        batch_size if batch_size is not None else planned.batch_size if planned else DEFAULT_BATCH
    )
    if size < 1:
        raise ValueError(f"batch_size={size} is below 1")
    fingerprint = fingerprint or f"unnamed:{uuid.uuid4()}"
    unique, inverse = distinct(masks)
    found, values = store.get(fingerprint, unique)
    pending = np.flatnonzero(~found)
    cost = planned.cost(unique[pending]) if planned else np.ones(len(pending))
    dearest = np.argsort(-cost, kind="stable")
    pending, cost = pending[dearest], cost[dearest]
    n_outputs = _outputs(values) if found.any() else None
    try:
        with _progress_bar(progress and len(pending) > 0) as bar:
            task = bar.add_task(
                "ablating", total=len(unique), completed=int(found.sum()), **_pace(cost, 0, 0.0)
            )
            for start in range(0, len(pending), size):
                rows = pending[start : start + size]
                n_outputs = _evaluate_batch(game, unique[rows], store, fingerprint, n_outputs)
                done = start + len(rows)
                bar.update(
                    task, advance=len(rows), **_pace(cost, done, bar.tasks[task].elapsed or 0.0)
                )
    except KeyboardInterrupt as stop:
        found, values = store.get(fingerprint, unique)
        stop.add_note(
            f"{int(found.sum())} of {len(unique)} masks are evaluated: with a store they are kept, "
            "and they are this exception's attributes masks and values"
        )
        stop.masks, stop.values = unique[found], values  # type: ignore[attr-defined]
        raise
    except GameError as error:
        found, values = store.get(fingerprint, unique)
        raise GameError(
            f"{error} ({int(found.sum())} of {len(unique)} masks are evaluated and kept)",
            unique[found],
            values,
        ) from error.__cause__
    found, values = store.get(fingerprint, unique)
    return Evaluated(values[inverse], len(pending), len(unique) - len(pending))


def _evaluate_batch(
    game: Game, masks: BoolArray, store: Store, fingerprint: str, n_outputs: int | None
) -> int:
    """Evaluate and commit one batch; where the game raises, mask by mask, to name the culprit.

    Returns:
        The number of outputs, 0 for values ``(m,)``: later batches must agree with it.
    """
    try:
        values = call(game, masks, n_outputs)
    except GameError as error:
        if error.masks is not None and error.values is not None and len(error.masks):
            store.put(fingerprint, error.masks, error.values)
        if error.__cause__ is None or len(masks) == 1:
            raise
        for row in range(len(masks)):
            n_outputs = _evaluate_batch(game, masks[[row]], store, fingerprint, n_outputs)
        return n_outputs or 0
    store.put(fingerprint, masks, values)
    return _outputs(values)


def _outputs(values: FloatArray) -> int:
    return 0 if values.ndim == 1 else values.shape[1]


def _pace(cost: FloatArray, done: int, seconds: float) -> dict[str, Any]:
    """The rate in ablations per second, and the time left by cost rather than by count."""
    if not done or seconds <= 0.0:
        return {"rate": 0.0, "left": 0.0}
    spent = float(cost[:done].sum())
    return {"rate": done / seconds, "left": float(cost[done:].sum()) / max(spent, 1e-9) * seconds}


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate, left = task.fields["rate"], task.fields["left"]
        if not rate:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        return Text(f"{rate:,.1f}/s, {minutes}:{seconds:02d} left", style="progress.remaining")


def _progress_bar(enabled: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Pace(),
        console=Console(stderr=True),
        disable=not enabled,
    )
