"""The one verb: choose ablations, make them, decode them, score the result."""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.backends import Backend, get_backend
from interplay.ablation.digests import ablations_digest, masks_digest
from interplay.ablation.runner import Evaluated, evaluate, store_key
from interplay.decoders import get_decoder, run_decoder
from interplay.decoders.base import Decoded, Decoder
from interplay.designs.spread import Design, PlainDesign
from interplay.errors import GameError, hand_over
from interplay.explanation.adaptive import enough
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.faithfulness import Faithfulness, faithfulness
from interplay.explanation.run_plan import MIN_HELD_OUT, Study, prepare
from interplay.fourier.sets import finite_rows
from interplay.game import Game, repeats_of

_REPORTED_PACKAGES = (
    "numpy",
    "scikit-learn",
    "lightgbm",
    "torch",
    "transformers",
    "openai",
    "ray",
)


def explain(
    game: Game,
    decoder: str = "auto",
    budget: int | str | None = None,
    order: int | None = None,
    holdout: float = 0.1,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: str | Backend = "local",
    batch_size: int | None = None,
    on_error: str = "raise",
    progress: bool | None = None,
    until: float | None = None,
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
        order: the largest order of interaction; by default 5, for LASSO 1, and without a limit
            where all 2^n masks are made.
        holdout: the share (below 1) or number (from 10) of evaluations that take no part in the
            fit and score it; at least 10 are made.
        store: a file of ablations, made where it does not exist; what it holds is not evaluated
            again. Processes that run at the same time with one store share the work. Games without
            a fingerprint are never written to it.
        random_state: seed of the masks, the fit and the bootstrap.
        backend: where the game runs: ``"local"``, this process; ``"ray"``, a Ray cluster; or
            ``interplay.RayBackend(...)`` with its settings.
        batch_size: masks per call of the game, which is also what a kill may lose; by default as
            the game says.
        on_error: for a mask on which the game raises or gives a value that is not finite:
            ``"raise"``, or ``"skip"``, which goes on without at most 1 % of the masks.
        progress: show progress on stderr; by default where stderr is a terminal.
        until: stop making ablations once the cross-validated R2 reaches this, or no longer grows,
            or the budget, now by default 8 n log2 n, is spent. The held-out ablations are made
            after that and have no part in it, so that their score is as honest as ever.
        **options: the decoder's own: for SPEX ``decoding="soft"`` or ``"hard"``.

    Raises:
        ValueError: an unknown decoder or back end, or a budget below what the decoder needs.
        GameError: the game failed; what was evaluated is in ``error.masks``, ``error.values``
            and in the store.
        StoreError: the store cannot be used; likewise.
        KeyboardInterrupt: interrupted twice, or before there was enough to decode; likewise.
    """
    started = time.perf_counter()
    runs_on = get_backend(backend)
    if budget == "auto":
        budget, until = None, 1.0 if until is None else until
    elif isinstance(budget, str):
        raise ValueError(f'budget={budget!r} is neither a number of evaluations nor "auto"')

    def study_of(evaluations: int | None) -> Study:
        return prepare(game, decoder, evaluations, order, holdout, random_state, options)

    study, stopped, interrupted = study_of(budget), None, None
    key, n_new = store_key(game, study.fingerprint), 0
    with study.open_store(store) as ablations:

        def ask(study: Study, masks: BoolArray) -> Evaluated:
            nonlocal n_new
            found = evaluate(
                game,
                masks,
                ablations,
                fingerprint=study.fingerprint,
                backend=runs_on,
                key=key,
                batch_size=batch_size,
                on_error=on_error,
                progress=sys.stderr.isatty() if progress is None else progress,
                description=study.description,
            )
            n_new += found.n_new
            return found

        if until is not None:
            study, stopped, interrupted = enough(study_of, budget, until, ask)
        evaluated = (
            ask(study, study.masks)
            if interrupted is None
            else _without_values(interrupted, len(study.held))
        )
    # what an earlier step made is in the store by now, but was not there before this run
    n_stored = evaluated.n_stored + evaluated.n_new - n_new
    evaluated = replace(evaluated, n_new=n_new, n_stored=n_stored)
    evaluated_at = time.perf_counter()
    derived = derive(study, evaluated)
    finished = time.perf_counter()
    provenance = _provenance(study, derived, evaluated, runs_on.name) | {
        "until": stopped,
        "seconds": {
            "ablations": evaluated_at - started,
            "decoding": finished - evaluated_at,
            "total": finished - started,
        },
    }
    return Explanation(
        derived.decoded.spectrum,
        study.players,
        derived.score,
        provenance,
        derived.made.fit,
        derived.made.held_out,
        game,
        surrogate=derived.decoded.surrogate,
    )


@dataclass(frozen=True)
class Derived:
    """What follows from a study and the values of its masks, by its seed alone.

    Attributes:
        made: the ablations that went into it, sorted.
        decoded: the spectrum.
        score: its faithfulness.
    """

    made: Made
    decoded: Decoded
    score: Faithfulness


def _without_values(evaluated: Evaluated, count: int) -> Evaluated:
    """With so many further masks, which have no value."""

    def longer(array: FloatArray) -> FloatArray:
        return np.concatenate([array, np.full((count, *array.shape[1:]), np.nan)])

    noise = None if evaluated.noise is None else longer(evaluated.noise)
    return replace(evaluated, values=longer(evaluated.values), noise=noise)


def derive(study: Study, evaluated: Evaluated) -> Derived:
    """Decode and score the values of a study's masks.

    The same study and the same values give the same result, which is what an audit relies on.

    Raises:
        GameError: too few masks have a value.
        KeyboardInterrupt: likewise, after an interruption.
    """
    made = _made(study, evaluated)
    decoded = run_decoder(
        made.chosen, made.design, made.fit_values, made.order, study.fit_rng, made.options
    )
    score = faithfulness(
        decoded.spectrum,
        made.held_out.masks,
        made.held_out.values,
        study.score_rng,
        exact=made.exact,
        noise=made.held_noise,
    )
    return Derived(made, decoded, score)


@dataclass(frozen=True)
class Made:
    """What a study came to: as planned, or what is left where some ablations have no value."""

    chosen: Decoder
    options: dict[str, object]
    order: int
    design: Design
    fit_values: FloatArray
    fit: Ablations
    held_out: Ablations
    held_noise: FloatArray | None
    exact: bool


def _made(study: Study, evaluated: Evaluated) -> Made:
    """Sort the values into those of the fit and those held out, and mind the missing ones.

    A few missing values of a design that hangs together are left to its decoder; with more, and
    for all masks, what there is goes to ProxySPEX, which takes any masks.
    """
    n_fit = len(study.design.masks)
    values, masks = evaluated.values, study.masks
    known = finite_rows(values)
    missing = 1.0 - float(known[:n_fit].mean())
    chosen, options, order = study.chosen, dict(study.options), study.order
    design, fit_values = study.design, values[:n_fit]
    fit_rows, held_rows = np.flatnonzero(known[:n_fit]), n_fit + np.flatnonzero(known[n_fit:])
    exact = len(study.held) == 0 and not missing
    too_few_held = not exact and len(held_rows) < min(MIN_HELD_OUT, max(len(study.held), 1))
    too_many_missing = chosen.most_missing is not None and missing > chosen.most_missing
    if too_few_held or too_many_missing or (missing and chosen.most_missing is None):
        if too_few_held:  # hold out some of all that there is
            rows = study.fit_rng.permutation(np.flatnonzero(known))
            fit_rows, held_rows = np.split(rows, [-max(MIN_HELD_OUT, len(rows) // 10)])
            fit_rows = np.sort(fit_rows)
        if chosen.most_missing is not None:
            any_masks = study.requested.most_missing is None
            chosen = study.requested if any_masks else get_decoder("proxyspex")
            options, order = {}, min(order, chosen.order)
        design = PlainDesign(f"part of {design.kind}", masks[fit_rows])
        fit_values = values[fit_rows]
    n_players = masks.shape[1]
    if not exact and (len(design.masks) < chosen.min_masks(n_players) or not len(held_rows)):
        raise _too_few(study, evaluated, known)
    fit = Ablations(masks[fit_rows], values[fit_rows])
    held_out = fit if exact else Ablations(masks[held_rows], values[held_rows])
    noise = evaluated.noise
    if noise is not None:
        noise = noise[fit_rows if exact else held_rows]
    return Made(chosen, options, order, design, fit_values, fit, held_out, noise, exact)


def _too_few(study: Study, evaluated: Evaluated, known: BoolArray) -> BaseException:
    """What to raise where what there is cannot be decoded and scored."""
    masks, values = study.masks[known], evaluated.values[known]
    what = f"only {len(masks)} of {len(known)} masks have a value, too few to decode and score"
    if not evaluated.interrupted:
        return GameError(what, masks, values)
    interrupt = KeyboardInterrupt(
        f"interrupted: {what}; with a store they are kept, and they are this exception's "
        "attributes masks and values"
    )
    return hand_over(interrupt, masks, values)


def _provenance(study: Study, derived: Derived, evaluated: Evaluated, backend: str) -> Json:
    made, decoded = derived.made, derived.decoded
    used = made.fit if made.exact else made.fit + made.held_out
    n_held = 0 if made.exact else len(made.held_out)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "platform": platform.platform(),
        "game": {
            "fingerprint": study.fingerprint,
            "n_players": len(study.players),
            "n_outputs": decoded.spectrum.n_outputs,
            "n_repeats": repeats_of(study.game),
            "description": study.description,
        },
        "request": study.request,
        "design": {"kind": made.design.kind, "masks_sha256": masks_digest(made.design.masks)},
        "ablations": {"sha256": ablations_digest(used.masks, used.values)},
        "decoder": {
            "requested": study.requested.name,
            "ran": decoded.settings.get("picked", made.chosen.name),
            "settings": decoded.settings,
            "diagnosis": decoded.diagnosis,
        },
        "budget": {
            "limit": study.budget,
            "planned": len(study.masks),
            "spent": len(made.fit) + n_held,
            "fit": len(made.fit),
            "held_out": n_held,
            "evaluated": evaluated.n_new,
            "from_store": evaluated.n_stored,
            "skipped": evaluated.n_skipped,
            "interrupted": evaluated.interrupted,
        },
        "random_state": study.random_state,
        "backend": backend,
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that have a part in an explanation."""
    found = {"interplay": version("interplay"), "python": platform.python_version()}
    for package in _REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
