"""Explain a game: choose masks, evaluate them, decode the values, score the result."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Literal

from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator, OnError
from interplay.decoders.gaussian.learn import Prior
from interplay.designs.measures import AnyMeasure
from interplay.explanation.adaptive import evaluate_until
from interplay.explanation.cheaper_game import evaluate_cheaper, with_cheaper
from interplay.explanation.derive import derive
from interplay.explanation.explanation import Explanation
from interplay.explanation.fairness import fair_order
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
    measure: AnyMeasure | None = None,
    random_state: int = 0,
    store: str | Path | None = None,
    backend: BackendName | str | Backend = "local",
    batch_size: int | None = None,
    on_error: OnError = "raise",
    progress: bool | None = None,
    prior: Prior | None = None,
    cheaper: Game | None = None,
    cheaper_budget: int | None = None,
    **options: object,
) -> Explanation:
    """Find the interactions that drive a game of n players.

    ``explain`` chooses masks, evaluates the game on them, and lets a decoder fit a sparse Fourier
    spectrum to the values. The interactions follow from the spectrum. Some masks are held out of
    the fit; R2 on these is the faithfulness of the explanation.

    If the budget covers all 2^n masks, all of them are evaluated and transformed exactly, whatever
    the decoder. The provenance records this.

    With the same seed, the masks of a smaller budget are among those of a larger one. With a store,
    only the difference is evaluated.

    Ctrl-C ends the run after the ablations in flight, and the explanation is made from what was
    evaluated, as far as that is a fair sample of the masks. The provenance and the report show
    this. A second Ctrl-C stops the run at once; what was evaluated is still in the store.

    Example:
        >>> import interplay as ip
        >>> def sentiment(masks):
        ...     negated, _, good = masks.T
        ...     return good * (1.0 - 2.0 * negated)
        >>> game = ip.FunctionGame(sentiment, n_players=3, players=["not", "very", "good"])
        >>> explanation = ip.explain(game)
        >>> print(explanation.faithfulness)
        R2 = 1.000 on all 8 masks
        >>> print(explanation.interactions("FSII", order=2).top(2))
        FSII up to order 2: 2 sets, strongest first
          -2.  not × good
          +1.  good

    Args:
        game: the game to explain: one of this package's, a ``shapiq.Game``, or another function of
            masks that has ``n_players`` (see :class:`interplay.Game`).
        decoder: the algorithm. ``"auto"`` chooses by cross-validation between ``"gp"`` (a Gaussian
            process), ``"proxyspex"`` (boosted trees) and, where its masks have a code,
            ``"spex"``. ``"lasso"`` is another.
        budget: the most distinct evaluations of the game. Held-out and stored ones count too. The
            default is 4 n log2 n, but at least 100, at least what the decoder needs, and all 2^n
            masks up to 8 players. ``"auto"``
            means ``until=1``.
        until: turns on adaptive sampling. The game is evaluated in growing batches until the
            decoder's cross-validated R2 reaches this number, in (0, 1], or no longer grows, or the
            budget (8 n log2 n by default) is spent. With ``"auto"`` a run that predicts next to
            nothing goes on until its masks have a code. The held-out masks are evaluated after the
            stop. They have no influence on it, so it does not bias their score.
        order: the largest order of interaction. The default is 5, for LASSO 1. There is no limit if
            all 2^n masks are evaluated.
        holdout: the share (below 1) or number (10 or more) of the evaluations that are held out at
            once. At least 10 are. Under measures other than ``"uniform"`` about a hundred (or
            half) are held out in turn, in up to five parts: with few ablations the decoder runs up
            to six times.
        measure: the law under which masks are drawn and the faithfulness is judged. ``"shapley"``:
            all sizes alike, as for Shapley values and SII, k-SII, STII and FSII, which are several
            times more accurate then. ``"uniform"``: each player is kept with probability 1/2, as
            for Fourier coefficients and Banzhaf values. ``interplay.Keep(p)`` or
            ``interplay.Keep(low, high)``: near the intact input. A tuple is a mixture. By default
            it is ``"shapley"`` for ``"auto"`` and ``"gp"``, and ``"uniform"`` for the other
            decoders, for the training lens, and where all 2^n masks are evaluated.
        random_state: seed of the masks, the fit and the bootstrap.
        store: a file of ablations; it is made if it does not exist. Stored masks are not evaluated
            again. Processes that run at the same time with one store share the work. The values of
            a game without a fingerprint are never stored.
        backend: where the game runs: ``"local"`` (this process), ``"ray"`` (a Ray cluster), or
            ``interplay.RayBackend(...)`` with its settings.
        batch_size: the most masks per call of the game. A run that is killed loses at most one such
            batch. The default is the game's own batch size.
        on_error: what to do about a mask on which the game raises or returns a value that is not
            finite. ``"raise"`` stops the run. ``"skip"`` leaves out at most 1 % of the masks. It is
            for games without a value at the empty input too: indices then do not pass through the
            ends, and ``baseline`` is ``None``.
        progress: show progress on stderr. By default it is shown if stderr is a terminal.
        prior: what other games say of this one, as :func:`interplay.audit_prompts` learns it, for
            the decoders ``"gp"`` and ``"auto"``. It is recorded with its numbers.
        cheaper: a game of the same players that costs less and scores alike: the same model in half
            precision, or without its last layers (:func:`interplay.text.early_exit`), a smaller
            model, a shorter training. What it tells of this game saves ablations, where
            cross-validation shows that it does; else the result is what it is without. The
            faithfulness is that of held-out ablations of this game, as always. Its own ablations
            are stored under its own fingerprint. Not with ``until``, nor with ``"spex"``. See
            :mod:`interplay.explanation.cheaper`.
        cheaper_budget: the most evaluations of ``cheaper``, beside those on the masks of this game;
            by default 6 n log2 n, but not more than 3,000.
        **options: options of the decoder. SPEX has ``decoding="soft"`` or ``"hard"``.

    Returns:
        The explanation: the spectrum, its faithfulness, its ablations and its provenance.

    Raises:
        ValueError: the decoder or the back end is unknown, the budget is below what the decoder
            needs, or the cheaper game has other players.
        GameError: the game failed. What was evaluated is in ``error.masks`` and ``error.values``,
            and in the store.
        StoreError: the store cannot be used. What was evaluated is in the error, as above.
        KeyboardInterrupt: the run was interrupted twice, or before there were enough values to
            decode. What was evaluated is in the exception, as above.
    """
    started = time.perf_counter()
    request = Request.of(
        budget,
        until,
        decoder=decoder,
        order=order,
        holdout=holdout,
        random_state=random_state,
        measure=measure,
        options=options,
        prior=prior,
    )
    request = with_cheaper(request, game, cheaper, cheaper_budget)
    plan, stopped, evaluated = request.run_plan(game, ARGUMENTS), None, None
    request = replace(request, hints=plan.request.hints)  # they are asked for once
    evaluator_of = partial(
        Evaluator.of, store=store, backend=backend, batch_size=batch_size, progress=progress
    )
    first = None
    if cheaper is not None and plan.cheaper is not None:
        with evaluator_of(cheaper) as evaluator:
            first = evaluate_cheaper(plan, evaluator)
    with evaluator_of(game, on_error=on_error) as evaluator:
        if request.until is not None:
            plan, stopped, evaluated = evaluate_until(request, evaluator)
        if evaluated is None:
            evaluated = evaluator(plan.masks, order=fair_order(plan))
    evaluated_at = time.perf_counter()
    used = None if first is None else first.ablations
    derived = derive(plan, evaluated, used, evaluator.description)
    finished = time.perf_counter()
    provenance = provenance_of(plan, derived, evaluated, evaluator, first) | {
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
        derived.inputs.fit,
        derived.inputs.held_out,
        game,
        surrogate=derived.decoded.surrogate,
        held_predictions=derived.held_predictions,
        cheaper=used,
    )


ARGUMENTS = tuple(signature(explain).parameters)
"""The names of the arguments of :func:`explain`."""
