"""Estimate what a run will cost, before it runs."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
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
from interplay.designs.measures import UNIFORM, AnyMeasure, measure_of
from interplay.explanation.adaptive import budgets_until
from interplay.explanation.cheaper import cheaper_masks
from interplay.explanation.cheaper_game import with_cheaper
from interplay.explanation.decoding_time import decoding_seconds
from interplay.explanation.fairness import fair_order
from interplay.explanation.run_plan import Request
from interplay.extensions import BackendName, DecoderName
from interplay.game import Game, as_planned, costs

_WARM_SECONDS = 3.0
"""No second call is measured after calls that took so long."""
_POLL_SECONDS = 0.02
"""How often the memory is read."""
_FIRST = 2
"""Masks that are evaluated before the measurement begins."""
_SHARE = 1 / 5
"""The most of a run's new masks that one measured call takes: a plan is not the run."""
_FEW = 16
"""So many masks a measured call may have in any case."""


@dataclass(frozen=True)
class CheaperPlan:
    """What the ablations of a cheaper game will cost; the attributes are as those of :class:`Plan`.

    Attributes:
        n_ablations: the number of distinct ablations, on the masks of the game and on more.
        n_stored: how many of these the store has already.
        n_new: how many of them the cheaper game will evaluate.
        n_repeats: how often each of them will be evaluated.
        batch_size: the most masks per call.
        tokens: the tokens of the new ablations. ``None`` for a game without costs.
        warmed_up: the number of ablations that were evaluated for the measurement.
        seconds: estimated time of the new ablations. ``None`` without a measurement.
        memory: the most bytes that a call took. ``None`` without a measurement of whole calls.
    """

    n_ablations: int
    n_stored: int
    n_new: int
    n_repeats: int
    batch_size: int
    tokens: float | None
    warmed_up: int
    seconds: float | None
    memory: int | None


@dataclass(frozen=True)
class Plan:
    """What a run will evaluate, and what it will cost.

    ``print(plan)`` shows it as a table.

    Attributes:
        decoder: the decoder that will run.
        design: the kind of its design.
        n_players: n.
        n_fit: the number of distinct ablations in the fit, beside which the full and the empty
            input are evaluated. With ``until`` it is the most.
        n_held_out: the number of distinct held-out ablations.
        n_stored: how many of all these ablations the store has already. They are free.
        n_new: how many of them the game will evaluate.
        n_repeats: how often each of them will be evaluated.
        batch_size: the most masks per call.
        tokens: the tokens of the new ablations, all repeats included, as if each were evaluated
            in full (this is what an endpoint charges for). If the game's unit of cost is not
            tokens, the number is in that unit. ``None`` for a game without costs.
        price: what the new ablations cost at the given price. ``None`` without a price.
        warmed_up: the number of ablations that were evaluated for the measurement. They are in the
            store if there is one.
        seconds: estimated time of the new ablations in one process. ``None`` without a measurement.
        decoding: estimated seconds of the decoding, from smaller fits; with ``until``, of the last
            decoding. ``None`` without a measurement.
        memory: the most bytes that a call took beyond those in use before it, on the GPU if the
            game runs on one. ``None`` without a measurement of whole calls.
        until: the cross-validated R2 at which the run stops early. ``None``: it does not.
        cheaper: the same of the cheaper game; ``None``: there is none, or it is not asked, since
            all masks of the game are evaluated.
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
    cheaper: CheaperPlan | None = None

    def __str__(self) -> str:
        repeats = f" x {self.n_repeats} repeats" if self.n_repeats > 1 else ""
        most = "" if self.until is None else "at most "
        distinct = self.n_stored + self.n_new
        n_ends = distinct - self.n_fit - self.n_held_out
        ends = f" + {n_ends} ends" if n_ends else ""
        in_turn = "" if measure_of(self.design) == UNIFORM else " in turn"
        rows = [
            ("decoder", f"{self.decoder}, {self.design} masks of {self.n_players} players"),
            (
                "ablations",
                f"{most}{self.n_fit:,} for the fit + {self.n_held_out:,} held out{in_turn}{ends} = "
                f"{distinct:,} distinct",
            ),
            ("in the store", f"{self.n_stored:,}, free"),
            ("to evaluate", f"{most}{self.n_new:,}{repeats}, in calls of {self.batch_size:,}"),
        ]
        rows += _tokens(self)
        if self.price is not None:
            rows.append(("price", f"about {self.price:,.2f}"))
        rows += _time(self)
        if self.decoding is not None:
            rows.append(("decoding", f"about {duration(self.decoding)}"))
        rows += _memory(self)
        if self.cheaper is not None:
            rows += [(f"cheaper {name}", text) for name, text in _of_cheaper(self.cheaper)]
        width = max(13, *(len(name) for name, _ in rows))
        return "\n".join(f"{name:<{width}} {text}" for name, text in rows)


def _tokens(planned: Plan | CheaperPlan) -> list[tuple[str, str]]:
    return [] if planned.tokens is None else [("tokens", f"about {planned.tokens:,.0f}")]


def _time(planned: Plan | CheaperPlan) -> list[tuple[str, str]]:
    if planned.seconds is None:
        return [("time", "not measured")]
    return [("time", f"about {duration(planned.seconds)} ({planned.warmed_up} tried)")]


def _memory(planned: Plan | CheaperPlan) -> list[tuple[str, str]]:
    if planned.memory is None:
        return []
    return [("memory", f"{planned.memory / 2**20:,.0f} MiB for a call")]


def _of_cheaper(planned: CheaperPlan) -> list[tuple[str, str]]:
    repeats = f" x {planned.n_repeats} repeats" if planned.n_repeats > 1 else ""
    return [
        (
            "ablations",
            f"{planned.n_ablations:,} distinct, {planned.n_stored:,} in the store; "
            f"{planned.n_new:,}{repeats} to evaluate, in calls of {planned.batch_size:,}",
        ),
        *_tokens(planned),
        *_time(planned),
        *_memory(planned),
    ]


def plan(
    game: Game,
    *,
    decoder: DecoderName | str = "auto",
    budget: int | Literal["auto"] | None = None,
    until: float | None = None,
    order: int | None = None,
    holdout: float = 0.1,
    measure: AnyMeasure | None = None,
    random_state: int = 0,
    store: str | Path | None = None,
    backend: BackendName | str | Backend = "local",
    batch_size: int | None = None,
    on_error: OnError = "raise",
    progress: bool | None = None,
    price: float | None = None,
    warm_up: bool | None = None,
    cheaper: Game | None = None,
    cheaper_budget: int | None = None,
    **options: object,
) -> Plan:
    """Estimate what ``explain`` with the same arguments will evaluate and cost.

    The counts are exact; with ``until`` they are upper limits. Time and memory are measured on one
    or two of the run's own calls; where a call is more than a fifth of the run, on a part of it,
    and the memory is not. With a store, the values from these calls are stored, and the run does
    not evaluate them again.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda masks: masks[:, 0] & masks[:, 1], n_players=20)
        >>> plan = ip.plan(game, budget=300, warm_up=False)
        >>> plan.n_fit, plan.n_held_out, plan.n_new
        (198, 100, 300)

    Args:
        game: as for ``explain``, like all arguments below that have no description here.
        decoder: see ``explain``.
        budget: see ``explain``.
        until: see ``explain``. The plan is for the most that the run may evaluate.
        order: see ``explain``.
        holdout: see ``explain``.
        measure: see ``explain``.
        random_state: see ``explain``.
        store: see ``explain``. Masks that are stored count as free.
        backend: see ``explain``. The measurement runs in this process, whatever the back end.
        batch_size: see ``explain``.
        on_error: see ``explain``. It applies to the measurement.
        progress: see ``explain``. It applies to the measurement.
        price: the price of a million tokens, in any currency, for a game that counts its cost in
            tokens.
        warm_up: ``True``: measure time and memory on one of the run's own calls, or on two if they
            are fast, and the decoding on smaller fits. ``False``: measure nothing. By default all
            is measured, but for a game whose evaluations cost money only the decoding.
        cheaper: see ``explain``. Its ablations are planned and measured too; the price is that of
            ``game`` alone.
        cheaper_budget: see ``explain``.
        **options: see ``explain``.

    Returns:
        The counts and estimates.

    Raises:
        ValueError: as for ``explain``; or a price was given for a game without costs.
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
        measure=measure,
        options=options,
    )
    request = with_cheaper(request, game, cheaper, cheaper_budget)
    get_backend(backend)
    run_plan = request.run_plan(game, ARGUMENTS)
    if request.until is not None:
        run_plan = replace(request, budget=budgets_until(request, game.n_players)[1]).run_plan(game)
    if price is not None and as_planned(game) is None:
        raise ValueError(f"price={price} was given, but {game!r} does not say what its masks cost")
    cost_of = partial(
        _ablations_of, store=store, batch_size=batch_size, progress=progress, warm_up=warm_up
    )
    of_game = cost_of(game, run_plan.masks[fair_order(run_plan)], on_error=on_error)
    first = None
    if cheaper is not None and run_plan.cheaper is not None:
        first = cost_of(cheaper, cheaper_masks(run_plan))
    decoding = None
    if warm_up is not False:
        decoding = decoding_seconds(run_plan, of_game.n_outputs)
        if first is not None and run_plan.cheaper is not None:
            decoding += decoding_seconds(run_plan.cheaper, of_game.n_outputs)
    costs_of_game = of_game.planned
    return Plan(
        decoder=run_plan.chosen.name,
        design=run_plan.design.kind,
        n_players=len(run_plan.players),
        n_fit=len(run_plan.design.masks),
        n_held_out=len(run_plan.held_out),
        n_stored=costs_of_game.n_stored,
        n_new=costs_of_game.n_new,
        n_repeats=costs_of_game.n_repeats,
        batch_size=costs_of_game.batch_size,
        tokens=costs_of_game.tokens,
        price=None
        if price is None or costs_of_game.tokens is None
        else costs_of_game.tokens * price / 1e6,
        warmed_up=costs_of_game.warmed_up,
        seconds=costs_of_game.seconds,
        decoding=decoding,
        memory=costs_of_game.memory,
        until=request.until,
        cheaper=None if first is None else first.planned,
    )


@dataclass(frozen=True)
class _Ablations:
    """What the ablations of one game will cost.

    Attributes:
        planned: that.
        n_outputs: the game's number of outputs; 1 if nothing was evaluated.
    """

    planned: CheaperPlan
    n_outputs: int


def _ablations_of(
    game: Game,
    masks: BoolArray,
    *,
    store: str | Path | None,
    batch_size: int | None,
    progress: bool | None,
    warm_up: bool | None,
    on_error: OnError = "raise",
) -> _Ablations:
    """Count the ablations of masks ``(m, n)``, and measure a few of them."""
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
    seconds = None if missing.any() else 0.0
    if measured.cost:
        seconds = new * measured.seconds / measured.cost
    return _Ablations(
        CheaperPlan(
            n_ablations=len(masks),
            n_stored=int((~missing).sum()),
            n_new=int(missing.sum()),
            n_repeats=evaluator.n_repeats,
            batch_size=measured.batch_size,
            tokens=None if as_planned(game) is None else new * evaluator.n_repeats,
            warmed_up=measured.n_masks,
            seconds=seconds,
            memory=measured.memory if measured.n_masks and measured.whole else None,
        ),
        measured.n_outputs,
    )


ARGUMENTS = tuple(signature(plan).parameters)
"""The names of the arguments of :func:`plan`."""


@dataclass
class _Measured:
    """The time and memory that a few of a run's own calls took.

    Attributes:
        batch_size: the number of masks in the largest call of the run.
        n_masks: the number of masks that were evaluated.
        seconds: the time of the measured calls.
        cost: the cost of their masks.
        memory: the most bytes that a call took.
        n_outputs: the game's number of outputs; 1 if nothing was evaluated.
        whole: whether the calls had as many masks as in the run.
    """

    batch_size: int
    n_masks: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    memory: int = 0
    n_outputs: int = 1
    whole: bool = True


def _measure(evaluator: Evaluator, masks: BoolArray, cost: FloatArray, n_calls: int) -> _Measured:
    """Make at most ``n_calls`` of the calls that the run would make, and time them."""
    missing = np.flatnonzero(~evaluator.known(masks))
    cuts = cut(evaluator.game, masks[missing], evaluator.batch_size, in_strides=True)
    # any of them: the first strides are smaller, so their calls share less
    picked = np.random.default_rng(0).permutation(len(cuts))
    blocks = [missing[cuts[number]] for number in picked]
    most = max(int(_SHARE * len(missing)), _FEW)
    whole = all(len(block) <= most for block in blocks[:n_calls])
    measured = _Measured(max(map(len, blocks), default=0), whole=whole)
    blocks = [block[:most] for block in blocks]
    if n_calls and blocks and len(blocks[0]) > 2 * _FIRST:
        # what happens only once, like reading the weights, is not part of the time of a call
        first, blocks[0] = np.split(blocks[0], [_FIRST])
        measured.n_masks += _evaluated(evaluator, masks[first]).n_new
    for block in blocks[:n_calls]:
        with _peak() as peak:
            started = time.perf_counter()
            evaluated = _evaluated(evaluator, masks[block])
            seconds = time.perf_counter() - started
        measured.n_masks += evaluated.n_new
        measured.seconds += seconds
        measured.memory = max(measured.memory, peak.bytes)
        measured.cost += float(cost[block].sum()) * evaluated.n_new / len(block)
        measured.n_outputs = as_columns(evaluated.values).shape[1]
        if evaluated.interrupted or measured.seconds > _WARM_SECONDS:
            break
    return measured


def _evaluated(evaluator: Evaluator, masks: BoolArray) -> Evaluated:
    return evaluator(masks, batch_size=len(masks), wait=False)


class _Peak:
    bytes = 0


@contextmanager
def _peak() -> Iterator[_Peak]:
    """Measure the most memory in use while the context lasts, beyond that in use before."""
    peak, done = _Peak(), threading.Event()
    process = psutil.Process()
    gc.collect()  # memory that is freed meanwhile would hide memory that is taken
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
    """Reset the peak of the GPU's memory, and return the bytes in use; ``None`` without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.memory_allocated():
        return None
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def duration(seconds: float) -> str:
    """Say how long something takes: ``"2.1 s"``, ``"14 min"``, ``"3 h 5 min"``."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
