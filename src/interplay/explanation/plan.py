"""What a run will cost, before it is run."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Literal

import numpy as np
import psutil

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray
from interplay.ablation.backends.base import Backend
from interplay.ablation.backends.choose import get_backend
from interplay.ablation.blocks import cut
from interplay.ablation.evaluator import Evaluator, OnError
from interplay.ablation.table import Evaluated
from interplay.explanation.adaptive import budgets_until
from interplay.explanation.decoding_time import decoding_seconds
from interplay.explanation.run_plan import Request
from interplay.extensions import BackendName, DecoderName
from interplay.game import Game, as_planned, costs

_WARM_SECONDS = 3.0
_POLL_SECONDS = 0.02
_FIRST = 2


@dataclass(frozen=True)
class Plan:
    """What a run will evaluate and cost.

    Attributes:
        decoder: the decoder that will run.
        design: the kind of its masks.
        n_players: n.
        n_fit: distinct ablations of the fit; with ``until`` the most.
        n_held_out: distinct ablations held out.
        n_stored: those of them that the store has already, which are free.
        n_new: those that the game will evaluate.
        n_repeats: evaluations of each.
        batch_size: masks per call.
        tokens: of the new ablations, all repeats, as if each were evaluated whole (what an endpoint
            charges for); in the game's own unit of cost where that is not tokens; ``None`` for a
            game without costs.
        price: what the new ablations cost at the price given; ``None`` without one.
        warmed_up: ablations made for the measurement, which are in the store if there is one.
        seconds: estimated time of the new ablations in one process, from the measurement; ``None``
            without one.
        decoding: estimated seconds of the decoding, from smaller fits; with ``until`` of the last.
            ``None`` without a measurement.
        memory: the most bytes that a call took beyond what was taken before, on the GPU where the
            game runs on one; ``None`` without a measurement.
        until: the cross-validated R2 at which the run stops sooner; ``None``: it does not.
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
    decoding: float | None
    memory: int | None
    until: float | None = None

    def __str__(self) -> str:
        repeats = f" x {self.n_repeats} repeats" if self.n_repeats > 1 else ""
        most = "" if self.until is None else "at most "
        rows = [
            ("decoder", f"{self.decoder}, {self.design} masks of {self.n_players} players"),
            (
                "ablations",
                f"{most}{self.n_fit:,} for the fit + {self.n_held_out:,} held out = "
                f"{self.n_fit + self.n_held_out:,} distinct",
            ),
            ("in the store", f"{self.n_stored:,}, free"),
            ("to evaluate", f"{most}{self.n_new:,}{repeats}, in calls of {self.batch_size:,}"),
        ]
        if self.tokens is not None:
            rows.append(("tokens", f"about {self.tokens:,.0f}"))
        if self.price is not None:
            rows.append(("price", f"about {self.price:,.2f}"))
        if self.seconds is None:
            rows.append(("time", "not measured"))
        else:
            rows.append(("time", f"about {_duration(self.seconds)} ({self.warmed_up} tried)"))
        if self.decoding is not None:
            rows.append(("decoding", f"about {_duration(self.decoding)}"))
        if self.memory is not None:
            rows.append(("memory", f"{self.memory / 2**20:,.0f} MiB for a call"))
        return "\n".join(f"{name:<13} {text}" for name, text in rows)


def plan(
    game: Game,
    *,
    decoder: DecoderName | str = "auto",
    budget: int | Literal["auto"] | None = None,
    until: float | None = None,
    order: int | None = None,
    holdout: float = 0.1,
    random_state: int = 0,
    store: str | Path | None = None,
    backend: BackendName | str | Backend = "local",
    batch_size: int | None = None,
    on_error: OnError = "raise",
    progress: bool | None = None,
    price: float | None = None,
    warm_up: bool | None = None,
    **options: object,
) -> Plan:
    """Say what ``explain`` with the same arguments will evaluate and cost.

    Args:
        game: as for ``explain``, like the other arguments that have its names.
        decoder: see there.
        budget: see there.
        until: see there. What is planned is the most that the run may evaluate.
        order: see there.
        holdout: see there.
        random_state: see there.
        store: see there. What is in it counts as free, and what the measurement makes goes into it.
        backend: see there. The measurement is made in this process, whatever the back end.
        batch_size: see there.
        on_error: see there; for the measurement.
        progress: see there; for the measurement.
        price: of a million tokens, in any currency; for a game whose costs are tokens.
        warm_up: measure the time and memory on one of the run's own calls, or two where that is
            quick, and the decoding on smaller fits; by default the calls only unless the game says
            that its evaluations cost money; ``False``: neither.
        **options: see there.

    Raises:
        ValueError: as ``explain``; or a price for a game that knows no costs.
        GameError: the game failed in the measurement.
        StoreError: the store cannot be used.
    """
    request = Request.of(
        budget,
        until,
        decoder=decoder,
        order=order,
        holdout=holdout,
        random_state=random_state,
        options=options,
    )
    get_backend(backend)
    run_plan = request.run_plan(game, ARGUMENTS)
    if request.until is not None:
        run_plan = replace(request, budget=budgets_until(request, game.n_players)[1]).run_plan(game)
    has_costs = as_planned(game) is not None
    if price is not None and not has_costs:
        raise ValueError(f"price={price} was given, but {game!r} does not say what its masks cost")
    masks = run_plan.masks
    cost = costs(game, masks)
    with Evaluator.of(
        game, store=store, batch_size=batch_size, on_error=on_error, progress=progress
    ) as evaluator:
        missing = ~evaluator.known(masks)
        measured = _measure(
            replace(evaluator, progress=False),
            masks,
            cost,
            n_calls=2
            if warm_up or (warm_up is None and not evaluator.description.get("paid"))
            else 0,
        )
        if evaluator.fingerprint is not None and store is not None:
            missing = ~evaluator.known(masks)
    new = float(cost[missing].sum())
    tokens = new * evaluator.n_repeats if has_costs else None
    return Plan(
        decoder=run_plan.chosen.name,
        design=run_plan.design.kind,
        n_players=len(run_plan.players),
        n_fit=len(run_plan.design.masks),
        n_held_out=len(run_plan.held_out),
        n_stored=int((~missing).sum()),
        n_new=int(missing.sum()),
        n_repeats=evaluator.n_repeats,
        batch_size=measured.batch_size,
        tokens=tokens,
        price=None if price is None or tokens is None else tokens * price / 1e6,
        warmed_up=measured.n_masks,
        seconds=new * measured.seconds / measured.cost
        if measured.cost
        else None
        if missing.any()
        else 0.0,
        decoding=None if warm_up is False else decoding_seconds(run_plan, measured.n_outputs),
        memory=measured.memory if measured.n_masks else None,
        until=request.until,
    )


ARGUMENTS = tuple(signature(plan).parameters)


@dataclass
class _Measured:
    """What a few of a run's own calls took.

    Attributes:
        batch_size: masks of the largest call of the run.
        n_masks: masks that were evaluated.
        seconds: what the calls took that count.
        cost: of their masks.
        memory: the most bytes that one took.
        n_outputs: of the game; 1 where nothing was evaluated.
    """

    batch_size: int
    n_masks: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    memory: int = 0
    n_outputs: int = 1


def _measure(evaluator: Evaluator, masks: BoolArray, cost: FloatArray, n_calls: int) -> _Measured:
    """Make up to so many of the calls that the run would make, and time them."""
    missing = np.flatnonzero(~evaluator.known(masks))
    blocks = [missing[rows] for rows in cut(evaluator.game, masks[missing], evaluator.batch_size)]
    measured = _Measured(max(map(len, blocks), default=0))
    if n_calls and blocks and len(blocks[0]) > 2 * _FIRST:
        # what is done once, like reading the weights, is not what a call takes
        first, blocks[0] = np.split(blocks[0], [_FIRST])
        measured.n_masks += _evaluated(evaluator, masks[first]).n_new
    for block in blocks[:n_calls]:
        with _peak() as peak:
            started = time.perf_counter()
            made = _evaluated(evaluator, masks[block])
            seconds = time.perf_counter() - started
        measured.n_masks += made.n_new
        measured.seconds += seconds
        measured.memory = max(measured.memory, peak.bytes)
        measured.cost += float(cost[block].sum()) * made.n_new / len(block)
        measured.n_outputs = as_columns(made.values).shape[1]
        if made.interrupted or measured.seconds > _WARM_SECONDS:
            break
    return measured


def _evaluated(evaluator: Evaluator, masks: BoolArray) -> Evaluated:
    return evaluator(masks, batch_size=len(masks), wait=False)


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
