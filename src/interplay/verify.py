"""Audits an explanation: its store, its masks, its spectrum and its model, each asked again."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, FloatArray, Json, Players
from interplay.ablation.backends import Backend, get_backend
from interplay.ablation.runner import Evaluated, evaluate, over_repeats, store_key
from interplay.ablation.store import Store
from interplay.digests import ablations_digest, masks_digest
from interplay.explain import Derived, derive, versions
from interplay.explanation import Ablations, Explanation
from interplay.game import FunctionGame, Game, fingerprint_of
from interplay.masks import describe, keys
from interplay.sets import as_columns
from interplay.spectrum import Spectrum
from interplay.study import Study, prepare
from interplay.verification import (
    Check,
    Verification,
    checked,
    numbers,
    texts,
    unchecked,
)

SPECTRUM_TOLERANCE = 1e-6
"""How far a re-derived coefficient may lie from the saved one, as a share of the largest of all."""
DEVIATION_TOLERANCE = 1e-4
"""The same for standard deviations, which are saved in single precision."""
SCORE_TOLERANCE = 1e-6
"""How far a re-derived R2 and its interval may lie from the saved ones."""
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
    backend: str | Backend = "local",
) -> Verification:
    """Ask again whatever an explanation says, and compare.

    - ``ablations``: the hash of its masks and values is the one in its provenance.
    - ``store``: each of its ablations is in the store with the same value, bit by bit.
    - ``masks``: its seed and settings draw the same masks.
    - ``spectrum``, ``uncertainty``, ``faithfulness``: the same decoder with the same seed makes the
      same of the store's values (of the explanation's own, without a store).
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
    stored = None if store is None else _read(explanation, Path(store))
    checks = [_ablations(explanation), _store(explanation, stored, store)]
    checks += _derivation(explanation, stored)
    same = _game(explanation, game)
    checks.append(same)
    if game is None or same.status == "mismatch":
        why = "no game was given" if game is None else "this is another game"
        checks.append(unchecked("model", f"the model was not asked: {why}"))
    elif sample == 0:
        checks.append(unchecked("model", "the model was not asked: sample=0"))
    else:
        checks.append(
            _model(explanation, game, sample, tolerance, index(random_state), get_backend(backend))
        )
    return Verification(tuple(checks))


# --- what was kept ------------------------------------------------------------------------------


def _ablations(explanation: Explanation) -> Check:
    recorded = explanation.provenance.get("ablations", {}).get("sha256")
    if recorded is None:
        return unchecked("ablations", "the explanation is older than this check: it has no hash")
    used = explanation.ablations
    found = ablations_digest(used.masks, used.values)
    return checked(
        "ablations",
        "the hash of the saved masks and values is the recorded one",
        [texts("sha256", recorded, found)],
    )


@dataclass(frozen=True)
class _Stored:
    """What the store has of an explanation's ablations: a row for each, NaN where it has none."""

    known: BoolArray
    values: FloatArray
    noise: FloatArray | None


def _stand_in(explanation: Explanation) -> FunctionGame:
    """A game by what the provenance says of it, which cannot be asked."""

    def refuse(masks: BoolArray, *seeds: object) -> FloatArray:
        raise RuntimeError("a game that stands in for another was asked for values")

    recorded = explanation.provenance["game"]
    return FunctionGame(
        refuse,
        recorded["n_players"],
        explanation.players,
        recorded["fingerprint"],
        recorded["n_repeats"],
    )


def _read(explanation: Explanation, path: Path) -> _Stored | None:
    """Look the ablations up; ``None``: there is no such file, or it cannot have them."""
    if not path.exists() or explanation.provenance["game"]["fingerprint"] is None:
        return None
    game = _stand_in(explanation)
    used = explanation.ablations
    with Store(path) as store:
        known, found = store.get(store_key(game, game.fingerprint), used.masks)
    values = np.full_like(used.values, np.nan)
    noise = None
    if known.any():
        mean, spread = over_repeats(found, game.n_repeats)
        if mean.shape[1:] != values.shape[1:]:
            values = np.full((len(values), *mean.shape[1:]), np.nan)
        values[known] = mean
        if spread is not None:
            noise = np.full_like(values, np.nan)
            noise[known] = spread
    return _Stored(known, values, noise)


def _store(explanation: Explanation, stored: _Stored | None, path: str | Path | None) -> Check:
    if path is None:
        return unchecked("store", "no store was given; the explanation's own values are used below")
    if stored is None:
        return unchecked(
            "store", f"there is no store {path}; the explanation's own values are used"
        )
    used = explanation.ablations
    entries = [
        numbers(describe(mask), value, found if known else None)
        for mask, value, found, known in zip(
            used.masks, used.values, stored.values, stored.known, strict=True
        )
    ]
    recorded = explanation.provenance.get("ablations", {}).get("sha256")
    if recorded is not None:
        digest = ablations_digest(used.masks[stored.known], stored.values[stored.known])
        entries.append(texts("sha256 of these entries in the store", recorded, digest))
    return checked("store", f"each ablation is in {path} with the same value", entries)


# --- what was made of it ------------------------------------------------------------------------


def _derivation(explanation: Explanation, stored: _Stored | None) -> list[Check]:
    """The masks, the spectrum, its uncertainty and its score, made again."""
    names = ("masks", "spectrum", "faithfulness")
    provenance = explanation.provenance
    request: Json | None = provenance.get("request")
    if request is None:
        why = "the explanation is older than this check: it does not say all that was asked for"
        return [unchecked(name, why) for name in names]
    try:
        study = prepare(
            _stand_in(explanation),
            request["decoder"],
            request["budget"],
            request["order"],
            request["holdout"],
            provenance["random_state"],
            request["options"],
        )
    except (ValueError, TypeError) as error:
        return [
            checked(
                "masks",
                f"the recorded settings cannot be what ran: {error}",
                [texts("settings", str(request), None)],
            ),
            *(unchecked(name, "the masks are others") for name in names[1:]),
        ]
    drawn = _drawn(explanation, study)
    if drawn.status == "mismatch":
        return [drawn, *(unchecked(name, "the masks are others") for name in names[1:])]
    if stored is not None and not stored.known.all():
        return [drawn, *(unchecked(name, "the store lacks ablations") for name in names[1:])]
    derived = derive(study, _evaluated(explanation, study, stored))
    split = [
        texts(f"the masks {of}", masks_digest(recorded.masks), masks_digest(found.masks))
        for of, recorded, found in (
            ("of the fit", explanation.fit, derived.made.fit),
            ("held out", explanation.held_out, derived.made.held_out),
        )
    ]
    design = texts(
        "sha256 of the design",
        provenance["design"]["masks_sha256"],
        masks_digest(derived.made.design.masks),
    )
    masks = checked("masks", drawn.detail, [*drawn.entries, *split, design])
    return [masks, *_spectrum(explanation, derived), _score(explanation, derived, stored)]


def _drawn(explanation: Explanation, study: Study) -> Check:
    """Whether the seed draws the explanation's masks, but for those that are said to be missing."""
    used = explanation.ablations.masks
    there = set(keys(study.masks))
    entries = [
        texts(describe(mask), "an ablation", "an ablation" if key in there else "not drawn")
        for mask, key in zip(used, keys(used), strict=True)
    ]
    budget = explanation.provenance["budget"]
    if not (budget["interrupted"] or budget["skipped"]):
        entries.append(texts("number of masks", str(len(used)), str(len(study.masks))))
    return checked("masks", "the seed and the settings draw these masks", entries)


def _evaluated(explanation: Explanation, study: Study, stored: _Stored | None) -> Evaluated:
    """The values of a study's masks, as the run had them."""
    used = explanation.ablations
    rows = {key: row for row, key in enumerate(keys(study.masks))}
    at = [rows[key] for key in keys(used.masks)]
    source = used.values if stored is None else stored.values
    values = np.full((len(study.masks), *source.shape[1:]), np.nan)
    values[at] = source
    noise = None
    if stored is not None and stored.noise is not None:
        noise = np.full_like(values, np.nan)
        noise[at] = stored.noise
    budget = explanation.provenance["budget"]
    return Evaluated(values, noise, 0, len(used), budget["skipped"], budget["interrupted"])


def _same_packages(provenance: Json) -> str:
    """A remark where other versions than the recorded ones are at work."""
    then, now = provenance["versions"], versions()
    differ = [
        f"{name} {then.get(name, 'none')} then, {now.get(name, 'none')} now"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    return f" (other versions: {'; '.join(differ)})" if differ else ""


def _spectrum(explanation: Explanation, derived: Derived) -> list[Check]:
    old, new = explanation.spectrum, derived.decoded.spectrum
    where = f"re-derived by {derived.made.chosen.name}{_same_packages(explanation.provenance)}"
    checks = [
        _terms(
            "spectrum",
            f"each coefficient is the one {where}",
            (_by_set(old, old.coefficients), _by_set(new, new.coefficients)),
            SPECTRUM_TOLERANCE,
        )
    ]
    if old.deviations is None and new.deviations is None:
        return checks
    deviations = (
        {} if each.deviations is None else _by_set(each, np.sqrt((each.deviations**2).sum(axis=-1)))
        for each in (old, new)
    )
    checks.append(
        _terms(
            "uncertainty",
            f"each coefficient's standard deviation is the one {where}",
            (next(deviations), next(deviations)),
            DEVIATION_TOLERANCE,
        )
    )
    return checks


def _by_set(spectrum: Spectrum, values: FloatArray) -> dict[Players, FloatArray]:
    return dict(zip(spectrum.sets, as_columns(values), strict=True))


def _terms(
    name: str,
    detail: str,
    sides: tuple[dict[Players, FloatArray], dict[Players, FloatArray]],
    share: float,
) -> Check:
    old, new = sides
    largest = np.max([*old.values(), *new.values()], axis=0, initial=0.0, keepdims=False)
    least = np.min([*old.values(), *new.values()], axis=0, initial=0.0, keepdims=False)
    tolerance = share * np.maximum(largest, -least)
    entries = [
        numbers(
            f"players {', '.join(map(str, players))}" if players else "no players (the mean)",
            old.get(players),
            new.get(players),
            tolerance,
        )
        for players in sorted(old.keys() | new.keys(), key=lambda each: (len(each), each))
    ]
    return checked(name, detail, entries, np.atleast_1d(tolerance).tolist())


def _score(explanation: Explanation, derived: Derived, stored: _Stored | None) -> Check:
    old, new = explanation.faithfulness, derived.score
    entries = [
        numbers(name, one, other, SCORE_TOLERANCE)
        for name, one, other in (
            ("R2", old.r2, new.r2),
            ("low end of its interval", old.low, new.low),
            ("high end of its interval", old.high, new.high),
            ("R2 of each output", old.by_output, new.by_output),
        )
    ]
    if stored is not None and (old.noise is not None or new.noise is not None):
        entries.append(numbers("share of noise", old.noise, new.noise, SCORE_TOLERANCE))
    entries.append(texts("number of masks", str(old.n_masks), str(new.n_masks)))
    return checked(
        "faithfulness",
        f"the score is the one re-derived{_same_packages(explanation.provenance)}",
        entries,
        [SCORE_TOLERANCE],
    )


# --- what was asked -----------------------------------------------------------------------------


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
    backend: Backend,
) -> Check:
    used = explanation.ablations
    rng = np.random.default_rng(random_state)
    chosen = np.sort(rng.permutation(len(used))[:sample])
    some = Ablations(used.masks[chosen], used.values[chosen])
    with Store(None) as nothing_known:
        found = evaluate(game, some.masks, nothing_known, fingerprint=None, backend=backend).values
    allowed = _allowed(explanation) if tolerance is None else np.full(1, tolerance)
    entries = [
        numbers(describe(mask), value, now, allowed)
        for mask, value, now in zip(some.masks, some.values, found, strict=True)
    ]
    return checked(
        "model",
        f"the model gives the stored values for {len(some)} of {len(used)} ablations, chosen at "
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
