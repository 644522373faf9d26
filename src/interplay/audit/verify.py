"""Audits an explanation: its store, its masks, its spectrum and its model, each asked again."""

from __future__ import annotations

from operator import index
from pathlib import Path

import numpy as np

from interplay._arrays import as_columns
from interplay._types import FloatArray
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.audit.checks import Check, Verification, checked, numbers, texts, unchecked
from interplay.audit.derivation import check_derivation
from interplay.audit.stored import check_ablations, check_store, read
from interplay.explanation.explanation import Explanation
from interplay.extensions import BackendName
from interplay.fourier.masks import describe
from interplay.game import Game, fingerprint_of

MODEL_TOLERANCE = 1e-3
"""How far a value may lie from the stored one, as a share of the range of all stored values."""
COARSE_TOLERANCE = 5e-2
"""The same for models in half precision and behind a server, whose values depend on what else is
computed at the same time."""
_HALF = ("bfloat16", "float16")


def verify(
    explanation: Explanation,
    game: Game | None = None,
    *,
    store: str | Path | None = None,
    sample: int = 20,
    tolerance: float | None = None,
    random_state: int = 0,
    backend: BackendName | str | Backend = "local",
) -> Verification:
    """Ask again whatever an explanation says, and compare.

    - ``ablations``: the hash of its masks and values is the one in its provenance.
    - ``store``: each of its ablations is in the store with the same value, bit by bit.
    - ``masks``: its seed and settings draw the same masks.
    - ``spectrum``, ``surrogate``, ``uncertainty``, ``faithfulness``: the same decoder with the
      same seed makes the same of the store's values (of the explanation's own, without a store).
    - ``game``: the game has the fingerprint of the one that was explained.
    - ``model``: the game gives the stored values for a random sample of the masks.

    A check that could not be made is ``not checked``, with the reason, and is no mismatch.

    Args:
        explanation: what :func:`interplay.load` or ``explain`` returned.
        game: what was explained; by default the explanation's own, which a loaded one lacks.
        store: the file of ablations.
        sample: how many of the ablations to ask the game for again; 0: none.
        tolerance: how far the game's value may lie from the stored one; by default
            :data:`MODEL_TOLERANCE` times the range of each output's stored values,
            :data:`COARSE_TOLERANCE` times it in half precision and behind a server.
        random_state: seed of the sample.
        backend: where the game runs, as for ``explain``.

    Raises:
        ValueError: ``sample`` or ``tolerance`` is negative.
        StoreError: the store cannot be read.
        GameError: the game failed.
    """
    game = explanation.game if game is None else game
    if sample < 0:
        raise ValueError(f"sample={sample} is negative; give a number of ablations from 0 on")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance} is not a number from 0 on")
    stored = None if store is None else read(explanation, Path(store))
    checks = [check_ablations(explanation), check_store(explanation, stored, store)]
    checks += check_derivation(explanation, stored)
    same = _game(explanation, game)
    checks.append(same)
    if game is None or same.status == "mismatch":
        why = "no game was given" if game is None else "this is another game"
        checks.append(unchecked("model", f"the model was not asked: {why}"))
    elif sample == 0:
        checks.append(unchecked("model", "the model was not asked: sample=0"))
    else:
        checks.append(_model(explanation, game, sample, tolerance, index(random_state), backend))
    return Verification(tuple(checks))


def _game(explanation: Explanation, game: Game | None) -> Check:
    if game is None:
        return unchecked(
            "game",
            "the explanation has no game to ask, since it was loaded from a file; make the game "
            "again and call ip.verify(explanation, game, store=...)",
        )
    recorded = explanation.provenance["game"]["fingerprint"]
    entries = [
        texts("number of players", str(len(explanation.players)), str(game.n_players)),
        texts("players' names", repr(explanation.players), repr(tuple(map(str, game.players)))),
    ]
    if recorded is not None:
        entries.append(texts("fingerprint", recorded, fingerprint_of(game)))
    detail = "the game is the one that was explained" + (
        "" if recorded is not None else ", by its players; it has no fingerprint"
    )
    return checked("game", detail, entries)


def _model(
    explanation: Explanation,
    game: Game,
    sample: int,
    tolerance: float | None,
    random_state: int,
    backend: BackendName | str | Backend,
) -> Check:
    used = explanation.ablations
    rng = np.random.default_rng(random_state)
    chosen = np.sort(rng.permutation(len(used))[:sample])
    masks, values = used.masks[chosen], used.values[chosen]
    with Evaluator.of(game, backend=backend, progress=False) as evaluator:
        found = evaluator.values(masks)
    if values.ndim == 1:
        found = found[:, 0]
    allowed = _allowed(explanation) if tolerance is None else np.full(1, tolerance)
    entries = [
        numbers(describe(mask), value, now, allowed)
        for mask, value, now in zip(masks, values, found, strict=True)
    ]
    return checked(
        "model",
        f"the model gives the stored values for {len(masks)} of {len(used)} ablations, chosen at "
        f"random by seed {random_state}",
        entries,
        allowed.tolist(),
    )


def _allowed(explanation: Explanation) -> FloatArray:
    """How far each output may lie from its stored value, ``(k,)``."""
    description = explanation.provenance["game"]["description"]
    coarse = description.get("paid") or str(description.get("dtype", "")).endswith(_HALF)
    share = COARSE_TOLERANCE if coarse else MODEL_TOLERANCE
    columns = as_columns(explanation.ablations.values)
    rounding = 1e-6 * np.abs(columns).max(axis=0)
    return np.asarray(np.maximum(share * np.ptp(columns, axis=0), rounding))
