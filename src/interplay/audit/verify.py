"""Audit an explanation: check its ablations, its store, its masks, its spectrum and its game."""

from __future__ import annotations

from operator import index
from pathlib import Path
from secrets import randbelow

import numpy as np

from interplay._types import BoolArray, FloatArray, Json, shown
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.audit.checks import (
    MISMATCH,
    Check,
    Entry,
    Verification,
    checked,
    documents,
    left_out,
    numbers,
    texts,
    unchecked,
)
from interplay.audit.derivation import check_derivation
from interplay.audit.replayed import check_confirmation, check_stopping
from interplay.audit.stored import (
    Stored,
    check_ablations,
    check_asked,
    check_cheaper,
    check_circuits,
    check_decisive,
    check_store,
    count,
    read,
)
from interplay.audit.trusted import trusted
from interplay.explanation.explanation import Explanation
from interplay.extensions import BackendName
from interplay.fourier.masks import describe
from interplay.game import Game, described, fingerprint_of, hints_of, players_of, repeats_of

MODEL_TOLERANCE = 1e-3
"""How far a recorded value may lie from the game's, as a share of the range of the game's."""
COARSE_TOLERANCE = 5e-2
"""The same for models in half precision and behind a server. Their values depend on what else is
computed at the same time."""
_HALF = ("bfloat16", "float16")
_FEW = 2
"""So few values have no range; their size stands in for it."""


def verify(
    explanation: Explanation,
    game: Game | None = None,
    *,
    store: str | Path | None = None,
    sample: int = 20,
    tolerance: float | None = None,
    random_state: int | None = None,
    backend: BackendName | str | Backend = "local",
) -> Verification:
    """Derive an explanation again from its record, and compare.

    These are the checks:

    - ``ablations``: the hash of the masks and values is the one in the provenance.
    - ``store``: each ablation is in the store with the same value, bit by bit.
    - ``cheaper game``: so is each ablation of a cheaper game, if one was given.
    - ``masks``: the recorded seed and settings draw the same masks. If some of these are not in the
      explanation, ``completeness`` says so.
    - ``spectrum``, ``surrogate``, ``uncertainty``, ``faithfulness``, ``record``: the same decoder
      with the same seed derives the same from the values in the store, or from those in the
      explanation if no store is given. ``record`` are the decoder, its settings and diagnosis, the
      design and the counts.
    - ``stopping rule``: adaptive sampling stops where it stopped.
    - ``circuits``: the measured scores of circuits are those of the ablations and the store.
    - ``asked``: what the game was asked after the run has the values of the store.
    - ``decisive sets``: the values of necessary and sufficient sets are those of the ablations and
      the store, and what was predicted for them is what the spectrum predicts.
    - ``confirmation``: the store's values give the same figures and verdicts.
    - ``game``: the game has the fingerprint of the one that was explained, describes itself in the
      same way, and gives the same hints.
    - ``model``: the game gives the recorded values for a random sample of the masks.

    What cannot be compared with anything, such as the date, is listed in ``trusted``.

    A check for which something is missing has the status ``not checked`` and gives the reason. The
    verdict is then ``incomplete``, unless it is a mismatch.

    Example:
        >>> import interplay as ip
        >>> def both(masks):
        ...     return masks[:, 0] & masks[:, 1]
        >>> game = ip.FunctionGame(both, n_players=2, fingerprint="both, version 1")
        >>> explanation = ip.explain(game, store="runs.db")
        >>> print(ip.verify(explanation, store="runs.db").summary)
        MATCH (8 match, 0 mismatch, 0 not checked)

    Args:
        explanation: an explanation, from ``explain`` or :func:`interplay.load`.
        game: the game that was explained. By default it is the explanation's own; a loaded
            explanation has none.
        store: the file of ablations.
        sample: how many of the ablations the game evaluates again. 0: none; the game is then not
            needed, and its checks are ``left out``.
        tolerance: how far a value of the game may lie from the recorded one. The default is
            :data:`MODEL_TOLERANCE` times the range of the values that the game gives now, or
            :data:`COARSE_TOLERANCE` times it in half precision and behind a server.
        random_state: seed of the sample. By default it is a new one each time, which the check
            names: whoever made the run must not know which ablations are evaluated again.
        backend: where the game runs, as for ``explain``.

    Returns:
        The checks. ``print`` shows them; ``verdict`` is ``"match"``, ``"mismatch"`` or
        ``"incomplete"``.

    Raises:
        ValueError: ``sample`` or ``tolerance`` is negative.
        TypeError: ``explanation`` is none, but a path, say.
        StoreError: the store cannot be read.
        GameError: the game failed.
    """
    if not isinstance(explanation, Explanation):
        raise TypeError(
            f"verify takes an explanation, and got {shown(explanation)}; load it by "
            "interplay.load, or run `interplay verify` on a folder"
        )
    game = explanation.game if game is None else game
    if sample < 0:
        raise ValueError(f"sample={sample} is negative; give a number of ablations from 0 on")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance} is not a number from 0 on")
    seed = randbelow(1 << 32) if random_state is None else index(random_state)
    stored = None if store is None else read(explanation, Path(store))

    n_stored = 0 if store is None else count(explanation, Path(store))

    def lookup(masks: BoolArray) -> Stored | None:
        return None if store is None else read(explanation, Path(store), masks)

    derivation = check_derivation(explanation, stored, lookup)
    checks = [
        check_ablations(explanation),
        check_store(explanation, stored, store),
        *check_cheaper(explanation, store),
        *derivation.checks,
        *check_stopping(explanation, lookup),
        *check_confirmation(explanation, derivation, lookup, n_stored),
        *check_circuits(explanation, lookup),
        *check_decisive(explanation, lookup),
        *check_asked(explanation, lookup),
    ]
    if game is None and sample == 0:
        reason = "sample=0: the model was not asked for"
        checks += [left_out("game", reason), left_out("model", reason)]
    else:
        checks += _evaluated(explanation, game, sample, tolerance, seed, backend)
    has_hints = game is not None and _gives_hints(explanation, sample)
    return Verification(tuple(checks), trusted(explanation, stored is not None, has_hints))


def _evaluated(
    explanation: Explanation,
    game: Game | None,
    sample: int,
    tolerance: float | None,
    random_state: int,
    backend: BackendName | str | Backend,
) -> list[Check]:
    """Check the game and, if it is the one that was explained, its values."""
    if game is None:
        reason = "the model was not evaluated: no game was given"
        return [_nothing_to_evaluate(), unchecked("model", reason)]
    before = described(game)
    same = _is_explained(explanation, game)
    if not all(entry.matches for entry in same):
        model = unchecked("model", "the model was not evaluated: this is another game")
    elif explanation.provenance["game"]["fingerprint"] is None:
        model = unchecked(
            "model", "the model was not evaluated: nothing is recorded by which to tell it"
        )
    elif sample == 0:
        model = left_out("model", "sample=0: the model was not asked for")
    else:
        model = _model(explanation, game, sample, tolerance, random_state, backend)
    if _gives_hints(explanation, sample):
        hints = hints_of(game)
        half = str(before.get("dtype", "")).endswith(_HALF)
        same += documents(
            "hints",
            explanation.provenance["hints"],
            None if hints is None else hints.to_json(),
            COARSE_TOLERANCE if half else MODEL_TOLERANCE,
        )
    # a server may tell the names of its outputs with its first answer
    same += _description(explanation, before, described(game))
    identity = checked("game", "the game is the one that was explained", same)
    if explanation.provenance["game"]["fingerprint"] is None and identity.status != MISMATCH:
        identity = unchecked(
            "game", "the explanation has no fingerprint; its players and its description match"
        )
    return [identity, model]


def _gives_hints(explanation: Explanation, sample: int) -> bool:
    """Whether the game is asked for its hints again: not where that takes the model in vain."""
    recorded = explanation.provenance.get("hints")
    return recorded is not None and (sample > 0 or not recorded["cost"])


def _nothing_to_evaluate() -> Check:
    return unchecked(
        "game",
        "the explanation has no game to evaluate, since it was loaded from a file; make the "
        "game again and call ip.verify(explanation, game, store=...)",
    )


def _is_explained(explanation: Explanation, game: Game) -> list[Entry]:
    """Compare the game with the one that was explained, by its players and its fingerprint."""
    recorded = explanation.provenance["game"]
    entries = [
        texts("number of players", str(len(explanation.players)), str(game.n_players)),
        _names(explanation, game),
        texts("number of repeats", str(recorded["n_repeats"]), str(repeats_of(game))),
    ]
    if recorded["fingerprint"] is not None:
        entries.append(texts("fingerprint", recorded["fingerprint"], fingerprint_of(game)))
    return entries


def _names(explanation: Explanation, game: Game) -> Entry:
    """Compare the players' names; a field of JSON may bear its text.

    Earlier versions called fields so, not by their paths. The fingerprint tells which they are.
    """
    recorded, now = explanation.players, players_of(game)
    if recorded == now or len(recorded) != len(now):
        return texts("players' names", repr(recorded), repr(now))
    known = map(set[str], zip(now, _texts_of_fields(game), strict=False))
    return Entry(
        "players' names, of fields of JSON their texts, as earlier versions had them",
        repr(recorded),
        repr(now),
        all(name in names for name, names in zip(recorded, known, strict=False)),
    )


def _texts_of_fields(game: Game) -> list[str]:
    """The text of each player of a game of fields, else the names that the players have."""
    description = described(game)
    names = list(players_of(game))
    if description["lens"] != "text" or "field" not in str(description.get("by")).split(" and "):
        return names
    spans = description.get("segments", description.get("spans")) or ()
    written = [str(description["text"])[start:stop].strip() for start, stop in spans]
    return written + names[len(written) :]


def _description(explanation: Explanation, before: Json, after: Json) -> list[Entry]:
    """Compare the recorded description with those that the game gives before and after."""
    recorded = explanation.provenance["game"]["description"]
    name, folder = recorded.get("model"), before.get("model")
    if isinstance(name, str) and isinstance(folder, str) and "/" not in folder:
        recorded = recorded | {"model": name.rsplit("/", 1)[-1]}  # the folder may have moved
    entries = list(documents("description", recorded, before))
    if all(entry.matches for entry in entries):
        return entries
    return list(documents("description", recorded, after))


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
    allowed = _allowed(game, new_values) if tolerance is None else np.full(1, tolerance)
    if values.ndim == 1:
        new_values = new_values[:, 0]
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


def _allowed(game: Game, values: FloatArray) -> FloatArray:
    """How far each output may lie from its recorded value, ``(k,)``.

    It comes from the game and the values that it gives now, ``(m, k)``: recorded ones could have
    been made up so as to allow anything.
    """
    description = described(game)
    coarse = description.get("paid") or str(description.get("dtype", "")).endswith(_HALF)
    share = COARSE_TOLERANCE if coarse else MODEL_TOLERANCE
    size = np.abs(values).max(axis=0)
    spread = np.ptp(values, axis=0) if len(values) > _FEW else size
    # a plain function computes in double precision, a lens's model as a rule in single
    rounding = 1e-12 if description["lens"] is None else 1e-6
    return np.asarray(np.maximum(share * spread, rounding * size))
