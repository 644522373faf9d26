"""Audit an explanation: check its ablations, its store, its masks, its spectrum and its game."""

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
"""How far a value of the game may lie from the recorded one, as a share of the range of values."""
COARSE_TOLERANCE = 5e-2
"""The same for models in half precision and behind a server. Their values depend on what else is
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
    """Derive an explanation again from its record, and compare.

    These are the checks:

    - ``ablations``: the hash of the masks and values is the one in the provenance.
    - ``store``: each ablation is in the store with the same value, bit by bit.
    - ``masks``: the recorded seed and settings draw the same masks.
    - ``spectrum``, ``surrogate``, ``uncertainty``, ``faithfulness``: the same decoder with the same
      seed derives the same from the values in the store, or from those in the explanation if no
      store is given.
    - ``game``: the game has the fingerprint of the one that was explained.
    - ``model``: the game gives the recorded values for a random sample of the masks.

    A check that cannot be made has the status ``not checked`` and gives the reason. It does not
    count as a mismatch.

    Example:
        >>> import interplay as ip
        >>> def both(masks):
        ...     return masks[:, 0] & masks[:, 1]
        >>> game = ip.FunctionGame(both, n_players=2, fingerprint="both, version 1")
        >>> explanation = ip.explain(game, store="runs.db")
        >>> print(ip.verify(explanation, store="runs.db").summary)
        MATCH (7 match, 0 mismatch, 0 not checked)

    Args:
        explanation: an explanation, from ``explain`` or :func:`interplay.load`.
        game: the game that was explained. By default it is the explanation's own; a loaded
            explanation has none.
        store: the file of ablations.
        sample: how many of the ablations the game evaluates again; 0: none.
        tolerance: how far a value of the game may lie from the recorded one. The default is
            :data:`MODEL_TOLERANCE` times the range of the output's values, or
            :data:`COARSE_TOLERANCE` times it in half precision and behind a server.
        random_state: seed of the sample.
        backend: where the game runs, as for ``explain``.

    Returns:
        The checks. ``print`` shows them; ``matches`` says whether there is no mismatch.

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
    identity = _game(explanation, game)
    checks.append(identity)
    if game is None or identity.status == "mismatch":
        reason = "no game was given" if game is None else "this is another game"
        checks.append(unchecked("model", f"the model was not evaluated: {reason}"))
    elif sample == 0:
        checks.append(unchecked("model", "the model was not evaluated: sample=0"))
    else:
        checks.append(_model(explanation, game, sample, tolerance, index(random_state), backend))
    return Verification(tuple(checks))


def _game(explanation: Explanation, game: Game | None) -> Check:
    """Check that the game is the one that was explained."""
    if game is None:
        return unchecked(
            "game",
            "the explanation has no game to evaluate, since it was loaded from a file; make the "
            "game again and call ip.verify(explanation, game, store=...)",
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
    """Evaluate the game on a random sample of the masks, and compare the values."""
    used = explanation.ablations
    rng = np.random.default_rng(random_state)
    chosen = np.sort(rng.permutation(len(used))[:sample])
    masks, values = used.masks[chosen], used.values[chosen]
    with Evaluator.of(game, backend=backend, progress=False) as evaluator:
        new_values = evaluator.values(masks)
    if values.ndim == 1:
        new_values = new_values[:, 0]
    allowed = _allowed(explanation) if tolerance is None else np.full(1, tolerance)
    entries = [
        numbers(describe(mask), value, new_value, allowed)
        for mask, value, new_value in zip(masks, values, new_values, strict=True)
    ]
    return checked(
        "model",
        f"the model gives the stored values for {len(masks)} of {len(used)} ablations, chosen at "
        f"random by seed {random_state}",
        entries,
        allowed.tolist(),
    )


def _allowed(explanation: Explanation) -> FloatArray:
    """How far each output may lie from its recorded value, ``(k,)``."""
    description = explanation.provenance["game"]["description"]
    coarse = description.get("paid") or str(description.get("dtype", "")).endswith(_HALF)
    share = COARSE_TOLERANCE if coarse else MODEL_TOLERANCE
    columns = as_columns(explanation.ablations.values)
    rounding = 1e-6 * np.abs(columns).max(axis=0)
    return np.asarray(np.maximum(share * np.ptp(columns, axis=0), rounding))
