"""The one verb: choose masks, evaluate them, decode the values, score the result."""

from __future__ import annotations

import time
from inspect import signature
from pathlib import Path
from typing import Literal

from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator, OnError
from interplay.explanation.adaptive import evaluate_until
from interplay.explanation.derive import derive
from interplay.explanation.explanation import Explanation
from interplay.explanation.provenance import provenance_of
from interplay.explanation.run_plan import Request
from interplay.extensions import BackendName, DecoderName
from interplay.game import Game


def explain(
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
    **options: object,
) -> Explanation:
    """Find the interactions that drive a game.

    Where the budget covers all 2^n masks, all of them are made and transformed exactly, whatever
    the decoder; the provenance says so. With the same seed, a larger budget makes the uniform
    ablations of a smaller one first, so that with a store only the difference is paid for; SPEX
    makes other ones for each budget.

    Ctrl-C once ends the run after the ablations in flight and explains what there is; the
    provenance and the report say so. Twice stops at once; a store keeps what was evaluated.

    Args:
        game: what to explain.
        decoder: ``"auto"``, which picks ``"gp"`` or ``"proxyspex"`` by cross-validation;
            ``"spex"`` or ``"lasso"``.
        budget: the most distinct evaluations of the game, held-out ones and stored ones included;
            by default 4 n log2 n, at least 100 and what the decoder needs. ``"auto"`` is
            ``until=1``.
        until: stop making ablations once the cross-validated R2 reaches this, or no longer grows,
            or the budget, now by default 8 n log2 n, is spent. The held-out ablations are made
            after that and have no part in it, so that their score is as honest as ever.
        order: the largest order of interaction; by default 5, for LASSO 1, and without a limit
            where all 2^n masks are made.
        holdout: the share (below 1) or number (from 10) of evaluations that take no part in the
            fit and score it; at least 10 are made.
        random_state: seed of the masks, the fit and the bootstrap.
        store: a file of ablations, made where it does not exist; what it holds is not evaluated
            again. Processes that run at the same time with one store share the work. Games without
            a fingerprint are never written to it.
        backend: where the game runs: ``"local"``, this process; ``"ray"``, a Ray cluster; or
            ``interplay.RayBackend(...)`` with its settings.
        batch_size: masks per call of the game, which is also what a kill may lose; by default as
            the game says.
        on_error: for a mask on which the game raises or gives a value that is not finite:
            ``"raise"``, or ``"skip"``, which goes on without at most 1 % of the masks.
        progress: show progress on stderr; by default where stderr is a terminal.
        **options: the decoder's own: for SPEX ``decoding="soft"`` or ``"hard"``.

    Raises:
        ValueError: an unknown decoder or back end, or a budget below what the decoder needs.
        GameError: the game failed; what was evaluated is in ``error.masks``, ``error.values``
            and in the store.
        StoreError: the store cannot be used; likewise.
        KeyboardInterrupt: interrupted twice, or before there was enough to decode; likewise.
    """
    started = time.perf_counter()
    request = Request.of(
        budget,
        until,
        decoder=decoder,
        order=order,
        holdout=holdout,
        random_state=random_state,
        options=options,
    )
    plan, stopped, evaluated = request.run_plan(game, ARGUMENTS), None, None
    with Evaluator.of(
        game,
        store=store,
        backend=backend,
        batch_size=batch_size,
        on_error=on_error,
        progress=progress,
    ) as evaluator:
        if request.until is not None:
            plan, stopped, evaluated = evaluate_until(request, evaluator)
        if evaluated is None:
            evaluated = evaluator(plan.masks)
    evaluated_at = time.perf_counter()
    derived = derive(plan, evaluated)
    finished = time.perf_counter()
    provenance = provenance_of(plan, derived, evaluated, evaluator) | {
        "until": stopped,
        "seconds": {
            "ablations": evaluated_at - started,
            "decoding": finished - evaluated_at,
            "total": finished - started,
        },
    }
    return Explanation(
        derived.decoded.spectrum,
        plan.players,
        derived.score,
        provenance,
        derived.made.fit,
        derived.made.held_out,
        game,
        surrogate=derived.decoded.surrogate,
    )


ARGUMENTS = tuple(signature(explain).parameters)
"""The names of the arguments of :func:`explain`."""
