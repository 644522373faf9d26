"""The one verb: choose ablations, make them, decode them, score the result."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import ceil, log2
from operator import index
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, Json
from interplay.ablation.runner import evaluate
from interplay.ablation.store import Store
from interplay.decoders import check_request, get_decoder, run_decoder
from interplay.decoders.base import Decoder
from interplay.evaluation import faithfulness
from interplay.explanation import Ablations, Explanation
from interplay.game import Game, PlannedGame, fingerprint_of
from interplay.interactions import names_of
from interplay.masks import uniform
from interplay.sets import pack

BACKENDS = ("local",)
_MIN_HELD_OUT = 10
_REPORTED_PACKAGES = ("numpy", "scikit-learn", "lightgbm", "torch", "transformers")


def default_budget(n_players: int) -> int:
    """4 n log2 n, the middle of the budgets of ProxySPEX (arXiv 2505.17495), at least 100."""
    return max(100, ceil(4 * n_players * log2(max(n_players, 2))))


def explain(
    game: Game,
    decoder: str = "proxyspex",
    budget: int | None = None,
    order: int | None = None,
    holdout: float = 0.1,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: str = "local",
    batch_size: int | None = None,
    progress: bool | None = None,
    **options: object,
) -> Explanation:
    """Find the interactions that drive a game.

    Where the budget covers all 2^n masks, all of them are made and transformed exactly, whatever
    the decoder; the provenance says so. With the same seed, a larger budget makes the uniform
    ablations of a smaller one first, so that with a store only the difference is paid for; SPEX
    makes other ones for each budget.

    Args:
        game: what to explain.
        decoder: ``"proxyspex"``, ``"spex"`` or ``"lasso"``.
        budget: the most distinct evaluations of the game, held-out ones and stored ones included;
            by default 4 n log2 n, at least 100 and what the decoder needs.
        order: the largest order of interaction; by default 5, for LASSO 1, and without a limit
            where all 2^n masks are made.
        holdout: the share (below 1) or number (from 10) of evaluations that take no part in the
            fit and score it; at least 10 are made.
        store: a file of ablations, made where it does not exist; what it holds is not evaluated
            again. Games without a fingerprint are never written to it.
        random_state: seed of the masks, the fit and the bootstrap.
        backend: where the game runs; ``"local"`` is this process.
        batch_size: masks per call of the game; by default as the game says.
        progress: show progress on stderr; by default where stderr is a terminal.
        **options: the decoder's own: for SPEX ``decoding="soft"`` or ``"hard"``.

    Raises:
        ValueError: an unknown decoder or back end, or a budget below what the decoder needs.
        GameError: the game failed; what was evaluated is in ``error.masks``, ``error.values``
            and in the store.
        StoreError: the store cannot be used.
    """
    started = time.perf_counter()
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    chosen = requested = get_decoder(decoder)
    largest = check_request(requested, order, options)
    n_players, random_state = int(game.n_players), index(random_state)
    fingerprint, description = fingerprint_of(game), _described(game)
    players = names_of(game.players, n_players)
    needed = _needed(requested, n_players, holdout)
    budget = max(default_budget(n_players), needed) if budget is None else _whole(budget)
    design_rng, held_rng, fit_rng, score_rng = (
        np.random.default_rng(seed) for seed in np.random.SeedSequence(random_state).spawn(4)
    )

    if n_players < 63 and budget >= 1 << n_players:
        chosen, options = get_decoder("exact"), {}
        largest = n_players if order is None else largest
        n_held = 0
    else:
        n_held = _n_held_out(holdout, budget)
        _check_budget(budget, n_held, n_players, requested, needed)
        requested.check(budget - n_held, n_players, min(largest, n_players))
    design = chosen.design(budget - n_held, n_players, design_rng)
    n_fit = len(design.masks)
    held = uniform(n_held, n_players, held_rng, exclude=design.masks)

    if store is not None and fingerprint is None:
        warnings.warn(
            f"{game!r} has no fingerprint, so its values are kept for this run only and not "
            f"written to {store}; give the game a fingerprint to store them",
            stacklevel=2,
        )
    show = sys.stderr.isatty() if progress is None else progress
    with Store(store if fingerprint is not None else None) as ablations:
        evaluated = evaluate(
            game,
            np.concatenate([design.masks, held]),
            ablations,
            fingerprint=fingerprint,
            batch_size=batch_size,
            progress=show,
        )
    evaluated_at = time.perf_counter()
    fit = Ablations(design.masks, evaluated.values[:n_fit])
    decoded = run_decoder(chosen, design, fit.values, largest, fit_rng, options)
    decoded_at = time.perf_counter()
    exact = n_held == 0
    held_out = fit if exact else Ablations(held, evaluated.values[n_fit:])
    score = faithfulness(decoded.spectrum, held_out.masks, held_out.values, score_rng, exact=exact)
    provenance: Json = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "platform": platform.platform(),
        "game": {
            "fingerprint": fingerprint,
            "n_players": n_players,
            "n_outputs": decoded.spectrum.n_outputs,
            "description": description,
        },
        "design": {"kind": design.kind, "masks_sha256": _sha256(design.masks)},
        "decoder": {
            "requested": requested.name,
            "ran": chosen.name,
            "settings": decoded.settings,
            "diagnosis": decoded.diagnosis,
        },
        "budget": {
            "limit": budget,
            "spent": n_fit + n_held,
            "fit": n_fit,
            "held_out": n_held,
            "evaluated": evaluated.n_new,
            "from_store": evaluated.n_stored,
        },
        "random_state": random_state,
        "backend": backend,
        "seconds": {
            "ablations": evaluated_at - started,
            "decoding": decoded_at - evaluated_at,
            "total": time.perf_counter() - started,
        },
    }
    return Explanation(decoded.spectrum, players, score, provenance, fit, held_out)


def _whole(budget: float) -> int:
    if int(budget) != budget:
        raise ValueError(f"budget={budget} is not a whole number of evaluations")
    return int(budget)


def _described(game: Game) -> Json:
    """What the game says of itself, checked to be JSON before anything is paid for."""
    description = {"lens": None} | (game.describe() if isinstance(game, PlannedGame) else {})
    try:
        json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"describe() of {game!r} is not JSON: {error}") from error
    return description


def _n_held_out(holdout: float, budget: int) -> int:
    """How many masks are held out: a share below 1, or a whole number."""
    if 0.0 < holdout < 1.0:
        return max(_MIN_HELD_OUT, round(float(holdout) * budget))
    if holdout != int(holdout) or holdout < _MIN_HELD_OUT:
        raise ValueError(
            f"holdout={holdout} is neither a share between 0 and 1 nor a whole number from "
            f"{_MIN_HELD_OUT} on, the fewest masks that a held-out score needs"
        )
    return int(holdout)


def _needed(decoder: Decoder, n_players: int, holdout: float) -> int:
    """The smallest budget that leaves the decoder enough beside what is held out."""
    fewest = decoder.min_masks(n_players)
    budget = fewest + _n_held_out(holdout, 0)
    while budget - _n_held_out(holdout, budget) < fewest:
        budget += 1
    return min(budget, 1 << n_players)


def _check_budget(budget: int, n_held: int, n_players: int, decoder: Decoder, needed: int) -> None:
    if budget < needed:
        raise ValueError(
            f"budget={budget} leaves {max(budget - n_held, 0)} ablations for the fit beside "
            f"{n_held} held out, below the {decoder.min_masks(n_players)} that "
            f"decoder={decoder.name!r} needs for n={n_players} players; use a budget of at least "
            f"{needed}"
            + (
                f", or 2^n = {1 << n_players} for all masks"
                if needed < 1 << n_players < 5000
                else ""
            )
            + (', or decoder="proxyspex"' if decoder.name == "spex" else "")
        )


def _versions() -> dict[str, str]:
    found = {"interplay": version("interplay"), "python": platform.python_version()}
    for package in _REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _sha256(masks: BoolArray) -> str:
    return hashlib.sha256(pack(masks).tobytes()).hexdigest()
