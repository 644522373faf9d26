"""What a run will cost, before it is run."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from interplay._types import IntArray
from interplay.ablation.backends import LocalBackend
from interplay.ablation.runner import Evaluated, cut, evaluate, store_key
from interplay.ablation.store import Store
from interplay.explanation.run_plan import Study, prepare
from interplay.game import Game, PlannedGame, repeats_of

_WARM_SECONDS = 3.0
_POLL_SECONDS = 0.02
_FIRST = 2


@dataclass(frozen=True)
class Plan:
    """What a run will make and cost.

    Attributes:
        decoder: the decoder that will run.
        design: the kind of its masks.
        n_players: n.
        n_fit: distinct ablations of the fit.
        n_held_out: distinct ablations held out.
        n_stored: those of them that the store has already, which are free.
        n_new: those that the game will be asked for.
        n_repeats: evaluations of each.
        batch_size: masks per call.
        tokens: of the new ablations, all repeats, as if each were evaluated whole (what an endpoint
            charges for); in the game's own unit of cost where that is not tokens; ``None`` for a
            game without costs.
        price: what the new ablations cost at the price given; ``None`` without one.
        warmed_up: ablations made for the measurement, which are in the store if there is one.
        seconds: estimated time of the new ablations in one process, from the measurement; ``None``
            without one.
        memory: the most bytes that a call took beyond what was taken before, on the GPU where the
            game runs on one; ``None`` without a measurement.
    """

    decoder: str
    design: str
    n_players: int
    n_fit: int
    n_held_out: int
    n_stored: int
    n_new: int
    n_repeats: int
    batch_size: int
    tokens: float | None
    price: float | None
    warmed_up: int
    seconds: float | None
    memory: int | None

    def __str__(self) -> str:
        repeats = f" x {self.n_repeats} repeats" if self.n_repeats > 1 else ""
        rows = [
            ("decoder", f"{self.decoder}, {self.design} masks of {self.n_players} players"),
            (
                "ablations",
                f"{self.n_fit:,} for the fit + {self.n_held_out:,} held out = "
                f"{self.n_fit + self.n_held_out:,} distinct",
            ),
            ("in the store", f"{self.n_stored:,}, free"),
            ("to evaluate", f"{self.n_new:,}{repeats}, in calls of {self.batch_size:,}"),
        ]
        if self.tokens is not None:
            rows.append(("tokens", f"about {self.tokens:,.0f}"))
        if self.price is not None:
            rows.append(("price", f"about {self.price:,.2f}"))
        if self.seconds is None:
            rows.append(("time", "not measured"))
        else:
            rows.append(("time", f"about {_duration(self.seconds)} ({self.warmed_up} tried)"))
        if self.memory is not None:
            rows.append(("memory", f"{self.memory / 2**20:,.0f} MiB for a call"))
        return "\n".join(f"{name:<13} {text}" for name, text in rows)


def plan(
    game: Game,
    decoder: str = "auto",
    budget: int | None = None,
    order: int | None = None,
    holdout: float = 0.1,
    store: str | Path | None = None,
    random_state: int = 0,
    batch_size: int | None = None,
    on_error: str = "raise",
    price: float | None = None,
    warm_up: bool | None = None,
    **options: object,
) -> Plan:
    """Say what ``explain`` with the same arguments will make and cost.

    Args:
        game: as for ``explain``, like the other arguments that have its names.
        decoder: see there.
        budget: see there.
        order: see there.
        holdout: see there.
        store: see there. What is in it counts as free, and what the measurement makes goes into it.
        random_state: see there.
        batch_size: see there.
        on_error: see there; for the measurement.
        price: of a million tokens, in any currency; for a game whose costs are tokens.
        warm_up: measure the time and memory on one of the run's own calls, or two where that is
            quick; by default unless the game says that its evaluations cost money.
        **options: see there.

    Raises:
        ValueError: as ``explain``; or a price for a game that knows no costs.
        GameError: the game failed in the measurement.
        StoreError: the store cannot be used.
    """
    study = prepare(game, decoder, budget, order, holdout, random_state, options)
    if price is not None and not isinstance(game, PlannedGame):
        raise ValueError(f"price={price} was given, but {game!r} does not say what its masks cost")
    measure = not study.description.get("paid") if warm_up is None else warm_up
    key = store_key(game, study.fingerprint)
    n_repeats = repeats_of(game)
    masks = study.masks
    cost = game.cost(masks) if isinstance(game, PlannedGame) else np.ones(len(masks))
    with study.open_store(store) as ablations:
        missing = ~ablations.get(key, masks)[0]
        blocks = [np.flatnonzero(missing)[rows] for rows in cut(game, masks[missing], batch_size)]
        size = max(map(len, blocks), default=0)
        warm, spent, warmed, memory = 0, 0.0, 0.0, 0
        if measure and blocks and len(blocks[0]) > 2 * _FIRST:
            # what is done once, like reading the weights, is not what a call takes
            first, blocks[0] = np.split(blocks[0], [_FIRST])
            warm += _evaluate(study, first, ablations, on_error).n_new
        for block in blocks[: 2 if measure else 0]:
            with _peak() as peak:
                started = time.perf_counter()
                made = _evaluate(study, block, ablations, on_error)
                seconds = time.perf_counter() - started
            warm, spent, memory = warm + made.n_new, spent + seconds, max(memory, peak.bytes)
            warmed += float(cost[block].sum()) * made.n_new / len(block)
            if made.interrupted or spent > _WARM_SECONDS:
                break
        if study.fingerprint is not None and store is not None:
            missing = ~ablations.get(key, masks)[0]
    new = float(cost[missing].sum())
    tokens = new * n_repeats if isinstance(game, PlannedGame) else None
    return Plan(
        decoder=study.chosen.name,
        design=study.design.kind,
        n_players=len(study.players),
        n_fit=len(study.design.masks),
        n_held_out=len(study.held),
        n_stored=int((~missing).sum()),
        n_new=int(missing.sum()),
        n_repeats=n_repeats,
        batch_size=size,
        tokens=tokens,
        price=None if price is None or tokens is None else tokens * price / 1e6,
        warmed_up=warm,
        seconds=new * spent / warmed if warmed else None if missing.any() else 0.0,
        memory=memory if warm else None,
    )


def _evaluate(study: Study, rows: IntArray, store: Store, on_error: str) -> Evaluated:
    return evaluate(
        study.game,
        study.masks[rows],
        store,
        fingerprint=study.fingerprint,
        backend=LocalBackend(),
        batch_size=len(rows),
        on_error=on_error,
        description=study.description,
        wait=False,
    )


class _Peak:
    bytes = 0


@contextmanager
def _peak() -> Iterator[_Peak]:
    """The most memory taken inside, beyond what was taken before."""
    peak, done = _Peak(), threading.Event()
    process = psutil.Process()
    gc.collect()  # what is freed meanwhile would hide what is taken
    before = process.memory_info().rss
    on_gpu = _reset_gpu()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            peak.bytes = max(peak.bytes, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.bytes = max(peak.bytes, process.memory_info().rss - before)
        if on_gpu is not None:
            import torch

            peak.bytes = torch.cuda.max_memory_allocated() - on_gpu


def _reset_gpu() -> int | None:
    """Start to watch the GPU's memory, where torch uses one; returns the bytes taken now."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.memory_allocated():
        return None
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
