"""Boosted trees in five folds, as spectra: the start of ProxySPEX and of the Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import cpu_count

import numpy as np

from interplay._arrays import varying
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.decoders.trees import fit_boosted, fourier, read_trees
from interplay.fourier.spectrum import Spectrum

N_FOLDS = 5
LEARNING_RATE = 0.1
_SCREENED, _LARGE = 2, 400
"""The folds that choose the depth: so many, or only one if it holds out so many masks."""
_SHALLOW = 3
"""Trees of this depth compete with trees as deep as the order (the published depths: 3 and 5)."""
_PATIENCE = 30
"""Boosting stops when the error on the fold has not fallen for so many trees."""
_MAX_TREES = 1000


@dataclass(frozen=True)
class Fold:
    """Boosted trees fitted without one fifth of the masks.

    Attributes:
        n_trees: the number of trees at which boosting stopped.
        spectrum: their exact transform.
        fit: the rows that they were fitted to.
        held: the rows of the fold, which they were not fitted to.
        predictions: of the values of ``held``.
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
        folds: the five folds.
        fold_of: the fold that held out each mask, ``(m,)``.
        held_predictions: for each mask the prediction of the trees not fitted to it, ``(m,)``.
    """

    depth: int
    folds: tuple[Fold, ...]
    fold_of: IntArray
    held_predictions: FloatArray

    @cached_property
    def spectrum(self) -> Spectrum:
        """The mean spectrum of the folds."""
        total = self.folds[0].spectrum
        for fold in self.folds[1:]:
            total = total + fold.spectrum
        return total / len(self.folds)


def grow(masks: BoolArray, target: FloatArray, fold_of: IntArray, order: int, seed: int) -> Forest:
    """Boost trees in folds, each with early stopping on its held-out masks.

    Args:
        masks: ``(m, n)``.
        target: ``(m,)``, of mean 0 and variance 1.
        fold_of: the fold that holds out each mask, 0 to ``N_FOLDS - 1``, ``(m,)``.
        order: the largest depth.
        seed: of LightGBM.
    """
    n_players = masks.shape[1]

    def fit_fold(depth: int, number: int) -> Fold:
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

    def fit_folds(depth: int, numbers: range) -> list[Fold]:
        # threads suffice: LightGBM releases the interpreter lock
        with ThreadPoolExecutor(min(len(numbers), cpu_count() or 1)) as pool:
            return list(pool.map(lambda number: fit_fold(depth, number), numbers))

    def error(folds: Sequence[Fold]) -> float:
        return float(np.mean([((target[f.held] - f.predictions) ** 2).mean() for f in folds]))

    # the first folds choose the depth; the other folds are fitted at that depth only
    n_screened = 1 if len(masks) >= N_FOLDS * _LARGE else _SCREENED
    depths = sorted({min(_SHALLOW, order), order})
    screened = {depth: fit_folds(depth, range(n_screened)) for depth in depths}
    depth = min(screened, key=lambda d: error(screened[d]))
    folds = screened[depth] + fit_folds(depth, range(n_screened, N_FOLDS))
    predictions = np.empty(len(masks))
    for fold in folds:
        predictions[fold.held] = fold.predictions
    return Forest(depth, tuple(folds), fold_of, predictions)


def grow_all(
    masks: BoolArray, values: FloatArray, order: int, rng: np.random.Generator
) -> list[Forest | None]:
    """Grow a forest for each of k outputs, in the same folds; ``None`` if it does not vary.

    Args:
        masks: ``(m, n)``.
        values: ``(m, k)``; each column is standardised.
        order: the largest depth.
        rng: draws the folds and the seed of LightGBM.
    """
    fold_of, seed = rng.permutation(len(masks)) % N_FOLDS, int(rng.integers(1 << 31))
    return [
        grow(masks, (column - column.mean()) / column.std(), fold_of, order, seed)
        if varies
        else None
        for column, varies in zip(values.T, varying(values).tolist(), strict=True)
    ]
