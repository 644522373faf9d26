"""Boosted trees in five folds, as spectra: what ProxySPEX starts from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import cpu_count

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.trees import fit_boosted, fourier, read_trees
from interplay.fourier.spectrum import Spectrum

N_FOLDS = 5
LEARNING_RATE = 0.1
_SCREENED = 2
_SHALLOW = 3
"""Trees of this depth compete with trees as deep as the order (the published depths: 3 and 5)."""
_PATIENCE = 30
_MAX_TREES = 1000


@dataclass(frozen=True)
class Fold:
    """Boosted trees fitted without one fifth of the masks.

    Attributes:
        n_trees: where boosting was stopped.
        spectrum: their exact transform.
        fit: the rows they were fitted to.
        held: the rows they were not.
        predictions: of the values of these.
    """

    n_trees: int
    spectrum: Spectrum
    fit: IntArray
    held: IntArray
    predictions: FloatArray


@dataclass(frozen=True, eq=False)
class Forest:
    """Boosted trees in five folds.

    Attributes:
        depth: of the trees, chosen by cross-validation.
        folds: the five.
        fold_of: the fold in which each mask was held out, ``(m,)``.
        held_predictions: for each mask the prediction of the fold that did not see it, ``(m,)``.
    """

    depth: int
    folds: tuple[Fold, ...]
    fold_of: IntArray
    held_predictions: FloatArray

    @cached_property
    def spectrum(self) -> Spectrum:
        """The mean of the folds."""
        total = self.folds[0].spectrum
        for fold in self.folds[1:]:
            total = total + fold.spectrum
        return total / len(self.folds)


def grow(masks: BoolArray, target: FloatArray, fold_of: IntArray, order: int, seed: int) -> Forest:
    """Boost trees in folds; the boosting path of each is followed once and stopped early.

    Args:
        masks: ``(m, n)``.
        target: ``(m,)``, of mean 0 and variance 1.
        fold_of: the fold, below :data:`N_FOLDS`, in which each mask is held out, ``(m,)``.
        order: the largest depth.
        seed: LightGBM's.
    """
    n_players = masks.shape[1]

    def one(depth: int, number: int) -> Fold:
        fit, held = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        booster, n_trees = fit_boosted(
            masks[fit],
            target[fit],
            depth=depth,
            rate=LEARNING_RATE,
            n_trees=_MAX_TREES,
            seed=seed,
            valid=(masks[held], target[held]),
            patience=_PATIENCE,
        )
        spectrum = fourier(read_trees(booster, n_trees), n_players)
        return Fold(n_trees, spectrum, fit, held, spectrum.predict(masks[held]))

    def run(depth: int, which: range) -> list[Fold]:
        # LightGBM works outside the interpreter lock, each fold on a thread of its own
        with ThreadPoolExecutor(min(len(which), cpu_count() or 1)) as pool:
            return list(pool.map(lambda number: one(depth, number), which))

    def error(folds: Sequence[Fold]) -> float:
        return float(np.mean([((target[f.held] - f.predictions) ** 2).mean() for f in folds]))

    # the depth is chosen on the first folds; only the better one goes through the others
    screened = {
        depth: run(depth, range(_SCREENED)) for depth in sorted({min(_SHALLOW, order), order})
    }
    depth = min(screened, key=lambda d: error(screened[d]))
    folds = screened[depth] + run(depth, range(_SCREENED, N_FOLDS))
    predictions = np.empty(len(masks))
    for fold in folds:
        predictions[fold.held] = fold.predictions
    return Forest(depth, tuple(folds), fold_of, predictions)


def varying(values: FloatArray) -> BoolArray:
    """Which outputs of ``(m, k)`` vary by more than rounding, ``(k,)``."""
    return np.asarray(values.std(axis=0) > 1e-12 * np.abs(values).max(axis=0))


def grow_all(
    masks: BoolArray, values: FloatArray, order: int, rng: np.random.Generator
) -> list[Forest | None]:
    """A forest for each of k outputs, in the same folds; ``None`` for one that does not vary.

    Args:
        masks: ``(m, n)``.
        values: ``(m, k)``; each column is standardised.
        order: the largest depth.
        rng: for the folds and LightGBM's seed.
    """
    fold_of, seed = rng.permutation(len(masks)) % N_FOLDS, int(rng.integers(1 << 31))
    return [
        grow(masks, (column - column.mean()) / column.std(), fold_of, order, seed) if some else None
        for column, some in zip(values.T, varying(values).tolist(), strict=True)
    ]
