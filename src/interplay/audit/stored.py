"""Check the ablations in the explanation and in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray
from interplay.ablation.digests import ablations_digest
from interplay.ablation.evaluator import store_key
from interplay.ablation.store import Store
from interplay.ablation.table import over_repeats
from interplay.audit.checks import Check, Entry, checked, numbers, texts, unchecked
from interplay.errors import StoreError
from interplay.explanation.circuits import recorded_values
from interplay.explanation.decisive import ROUNDING
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.question import question_of
from interplay.fourier.masks import describe
from interplay.game import FunctionGame


def check_ablations(explanation: Explanation) -> Check:
    """Check the hash of the explanation's ablations against the one in its provenance."""
    recorded = explanation.provenance.get("ablations", {}).get("sha256")
    if recorded is None:
        return unchecked("ablations", "the explanation is older than this check: it has no hash")
    used = explanation.ablations
    digest = ablations_digest(used.masks, used.values)
    return checked(
        "ablations",
        "the hash of the saved masks and values is the recorded one",
        [texts("sha256", recorded, digest)],
    )


@dataclass(frozen=True)
class Stored:
    """What the store has of m ablations.

    Attributes:
        known: which of them the store has, ``(m,) bool``.
        values: their values, ``(m,)`` or ``(m, k)``; NaN for those that it has not.
        noise: for a game with repeats, the variance of each value; otherwise ``None``.
        caveats: what cannot be told of the store, in words (see :class:`Store`).
    """

    known: BoolArray
    values: FloatArray
    noise: FloatArray | None
    caveats: tuple[str, ...] = ()


Lookup: TypeAlias = Callable[[BoolArray], Stored | None]
"""What the store has of masks; ``None``: there is no store."""


def stand_in(explanation: Explanation) -> FunctionGame:
    """A game with the players and the fingerprint that the provenance records. It has no values."""

    def refuse(masks: BoolArray, *seeds: object) -> FloatArray:
        raise RuntimeError("this game stands in for the one that was explained; it has no values")

    recorded = explanation.provenance["game"]
    return FunctionGame(
        refuse,
        recorded["n_players"],
        players=explanation.players,
        fingerprint=recorded["fingerprint"],
        n_repeats=recorded["n_repeats"],
    )


def read(explanation: Explanation, path: Path, masks: BoolArray | None = None) -> Stored | None:
    """Look ablations up in a store. Neither the file nor its folder is changed.

    Args:
        explanation: whose game it is.
        path: the store.
        masks: ``(m, n)``; by default those of the explanation.

    Returns:
        ``None`` if there is no such file, or if the game has no fingerprint and is never stored.

    Raises:
        StoreError: the file is not a store, or the rows of these ablations are damaged or not of
            the recorded number of repeats.
    """
    game = stand_in(explanation)
    masks = explanation.ablations.masks if masks is None else masks
    return _of_game(path, game.fingerprint, game.n_repeats, masks, explanation.fit.values.shape[1:])


def _of_game(
    path: Path, fingerprint: str | None, n_repeats: int, masks: BoolArray, shape: tuple[int, ...]
) -> Stored | None:
    """What a store has of a game's masks, as :func:`read` says; values of this shape are expected.

    Raises:
        StoreError: as there.
    """
    if not path.exists() or fingerprint is None:
        return None
    with Store(path, read_only=True) as store:
        caveats = store.caveats
        known, repeats = store.get(store_key(fingerprint, n_repeats), masks)
    values = np.full((len(masks), *shape), np.nan)
    noise = None
    if known.any():
        if n_repeats > 1 and (repeats.ndim == 1 or repeats.shape[1] % n_repeats):
            raise StoreError(
                f"the store {path} holds values of shape {repeats.shape} for the game "
                f"{fingerprint!r}, which are not of {n_repeats} repeats; put back a copy of the "
                "file"
            )
        mean, variance = over_repeats(repeats, n_repeats)
        if mean.shape[1:] != values.shape[1:]:
            values = np.full((len(values), *mean.shape[1:]), np.nan)
        values[known] = mean
        if variance is not None:
            noise = np.full_like(values, np.nan)
            noise[known] = variance
    return Stored(known, values, noise, caveats)


def count(explanation: Explanation, path: Path) -> int:
    """How many ablations a store has of the explanation's game; 0 if there is no such file."""
    fingerprint = explanation.provenance["game"]["fingerprint"]
    if not path.exists() or fingerprint is None:
        return 0
    with Store(path, read_only=True) as store:
        return store.count(store_key(fingerprint, stand_in(explanation).n_repeats))


def _compared(used: Ablations, stored: Stored) -> list[Entry]:
    """Each ablation beside what the store has of it."""
    return [
        numbers(describe(mask), value, stored_value if known else None)
        for mask, value, stored_value, known in zip(
            used.masks, used.values, stored.values, stored.known, strict=True
        )
    ]


def check_store(explanation: Explanation, stored: Stored | None, path: str | Path | None) -> Check:
    """Check that the store has each of the explanation's ablations, with the same value.

    Args:
        explanation: the explanation.
        stored: its ablations in the store.
        path: the store.
    """
    if path is None:
        return unchecked("store", "no store was given; the explanation's own values are used below")
    if stored is None:
        reason = f"there is no store {path}"
        if explanation.provenance["game"]["fingerprint"] is None:
            reason = "a game without a fingerprint is never stored"
        return unchecked("store", f"{reason}; the explanation's own values are used below")
    used = explanation.ablations
    entries = _compared(used, stored)
    recorded = explanation.provenance.get("ablations", {}).get("sha256")
    if recorded is not None:
        digest = ablations_digest(used.masks[stored.known], stored.values[stored.known])
        entries.append(texts("sha256 of these entries in the store", recorded, digest))
    detail = f"each ablation is in {path} with the same value"
    return checked("store", "; ".join((detail, *stored.caveats)), entries)


def check_cheaper(explanation: Explanation, path: str | Path | None) -> list[Check]:
    """Check that the store has each ablation of a cheaper game, with the same value.

    There is no check of an explanation without one. That the recorded hash is theirs is part of the
    check of the record.

    Args:
        explanation: the explanation.
        path: the store.

    Raises:
        StoreError: the store cannot be read.
    """
    name, used = "cheaper game", explanation.cheaper
    if used is None:
        return []
    recorded = explanation.provenance.get("cheaper") or {}
    fingerprint, n_repeats = recorded.get("fingerprint"), recorded.get("n_repeats", 1)
    stored = None
    if path is not None:
        shape = used.values.shape[1:]
        stored = _of_game(Path(path), fingerprint, n_repeats, used.masks, shape)
    if stored is None:
        reason = "no store was given" if path is None else f"there is no store {path}"
        if fingerprint is None:
            reason = "a game without a fingerprint is never stored"
        return [unchecked(name, f"{reason}; the explanation's own values are used")]
    entries = _compared(used, stored)
    return [checked(name, f"each of its ablations is in {path} with the same value", entries)]


def check_circuits(explanation: Explanation, lookup: Lookup) -> list[Check]:
    """Check the scores of measured circuits against the ablations and the store.

    There is no check of an explanation without circuits. Their scores on other items are those of
    another game, and are taken on trust.

    Args:
        explanation: the explanation.
        lookup: gives what the store has of masks.
    """
    if not explanation.circuits:
        return []
    used, entries, n_missing = explanation.ablations, [], 0
    for series in explanation.circuits:
        given = np.isfinite(series.measured).any(axis=1)
        masks, recorded = series.masks[given], series.measured[given]
        values, stored = recorded_values((used.masks, used.values), masks), lookup(masks)
        if stored is not None and as_columns(stored.values).shape == values.shape:
            values = np.where(stored.known[:, None], as_columns(stored.values), values)
        is_known = np.isfinite(values).any(axis=1)
        n_missing += int((~is_known).sum())
        rows = zip(masks[is_known], recorded[is_known], values[is_known], strict=True)
        entries += [
            numbers(f"{series.name}, {describe(mask)}", score, value) for mask, score, value in rows
        ]
    if n_missing and all(entry.matches for entry in entries):
        reason = f"the store lacks {n_missing} of the circuits, or no store was given"
        return [unchecked("circuits", reason)]
    return [checked("circuits", "the scores of circuits are those of the ablations", entries)]


def check_asked(explanation: Explanation, lookup: Lookup) -> list[Check]:
    """Check what was asked after the run against the store.

    There is no check of an explanation of which nothing was asked.

    Args:
        explanation: the explanation.
        lookup: gives what the store has of masks.
    """
    asked = explanation.asked
    if asked is None:
        return []
    stored = lookup(asked.masks)
    if stored is None or not stored.known.all():
        return [unchecked("asked", "the store lacks some of it, or no store was given")]
    entries = _compared(asked, stored)
    return [checked("asked", "what was asked after the run has the values of the store", entries)]


def check_decisive(explanation: Explanation, lookup: Lookup) -> list[Check]:
    """Check decisive sets: values against ablations and store, predictions against the spectrum.

    There is no check of an explanation without such sets. That no smaller set is enough is taken on
    trust.

    Args:
        explanation: the explanation.
        lookup: gives what the store has of masks.
    """
    if not explanation.decisive:
        return []
    used, entries, n_missing = explanation.ablations, list[Entry](), 0
    for chosen in explanation.decisive:
        name, output = f"{chosen.kind}, output {chosen.output}", chosen.output
        question = question_of(
            chosen.kind,
            (explanation.spectrum, explanation.players, explanation.ends),
            explanation.provenance["game"]["description"],
            explanation.verdict,
            output,
            chosen.threshold if chosen.rule == "given" else None,
        )
        entries.append(texts(f"{name}, rule", chosen.rule, question.rule))
        entries.append(texts(f"{name}, needed", str(chosen.needed), str(chosen.needed_as_tried)))
        for part in ("threshold", "full", "baseline"):
            recorded, now = getattr(chosen, part), getattr(question, part)
            if np.isfinite([recorded, now]).any():
                entries.append(numbers(f"{name}, {part}", recorded, now))
        sets = [(one.players, one.predicted, one.measured) for one in chosen.tried]
        if chosen.players is not None:
            sets.append((chosen.players, chosen.predicted, chosen.measured))
        masks = np.array([question.mask_of(players) for players, _, _ in sets], dtype=np.bool_)
        masks = masks.reshape(-1, len(explanation.players))
        values, stored = recorded_values((used.masks, used.values), masks), lookup(masks)
        if stored is not None and as_columns(stored.values).shape == values.shape:
            values = np.where(stored.known[:, None], as_columns(stored.values), values)
        rounding = ROUNDING * max(abs(question.full), abs(question.baseline))
        again = question.spectrum.predict(masks)
        for mask, one, by_spectrum, value in zip(
            masks, sets, again, values[:, output], strict=True
        ):
            where = f"{name}, {describe(mask)}"
            entries.append(numbers(f"{where}, predicted", one[1], by_spectrum, rounding))
            if np.isfinite(value) and np.isfinite(one[2]):
                entries.append(numbers(where, one[2], value))
            else:
                n_missing += int(np.isfinite(one[2]))
    if n_missing and all(entry.matches for entry in entries):
        reason = f"the store lacks {n_missing} of the sets, or no store was given"
        return [unchecked("decisive sets", reason)]
    return [checked("decisive sets", "their values are those of the ablations", entries)]
