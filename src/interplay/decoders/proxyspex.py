r"""ProxySPEX (arXiv 2505.17495): boosted trees as a proxy, their exact Fourier transform, a refit.

1. Boosted trees are fitted to the ablations, once without each of five folds. Their depth and
   number are chosen by cross-validation; a fold's boosting path is followed once and stopped
   early, instead of being refitted for each number of trees. The proxy is the mean of the five.
2. The trees are transformed exactly (:mod:`interplay.decoders.trees`).
3. The spectrum is cut to the strongest terms, and the kept coefficients are refitted by ridge
   regression on all ablations. The ridge shrinks towards the trees' coefficients F0,

   .. math:: \min_F \|y - X F\|^2 + \lambda m \|F - F_0\|^2,

   so that :math:`\lambda = \infty` is no refit at all. How many terms stay (all of them being one
   choice) and lambda (infinity being one choice) are cross-validated on the same folds: a refit
   happens only where it helps on masks that it did not see.

The published procedure keeps 95 % of the energy and always refits, by ridge towards zero. On text
games the number of terms carries over from the folds to the final proxy better than a share of the
energy does, and shrinking towards the trees was never worse than shrinking towards zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.characters import characters
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.trees import fit_boosted, fourier, read_trees
from interplay.design import Design, uniform_design
from interplay.spectrum import Spectrum

_FOLDS = 5
_SCREENED = 2
_SHALLOW = 3
"""Trees of this depth compete with trees as deep as the order (the published depths: 3 and 5)."""
_RATE = 0.1
_PATIENCE = 30
_MAX_TREES = 1000
_SIZES = (10, 15, 22, 33, 50, 75, 112, 168, 250, 400)
"""How many terms a refitted spectrum may have; larger explanations are read by nobody."""
_PENALTIES: tuple[float, ...] = (*np.logspace(-3, 2, 11).tolist(), np.inf)
"""lambda, in units of the number of masks."""


@dataclass(frozen=True)
class _Fold:
    """A proxy fitted without one fifth of the masks."""

    depth: int
    n_trees: int
    spectrum: Spectrum
    fit: IntArray
    held: IntArray


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    n_players = design.masks.shape[1]
    spectra, settings, diagnoses = [], [], []
    # the matrices are small: a second BLAS thread gains little, and waits busily for the first
    with threadpool_limits(1, user_api="blas"):
        for column in values.T:
            spectrum, chosen, diagnosis = _decode_one(design.masks, column, order, rng)
            spectra.append(spectrum)
            settings.append(chosen)
            diagnoses.append(diagnosis)
    # the outputs share one support: each output's terms, with zeros where it has none
    width = max(s.members.shape[1] for s in spectra)
    sets = [
        np.pad(s.members, ((0, 0), (0, width - s.members.shape[1])), constant_values=n_players)
        for s in spectra
    ]
    blocks = [np.outer(s.coefficients, np.arange(len(spectra)) == j) for j, s in enumerate(spectra)]
    joined = Spectrum.from_members(n_players, np.concatenate(sets), np.concatenate(blocks))
    return Decoded(joined, {"order": order, "outputs": settings}, {"outputs": diagnoses})


def _decode_one(
    masks: BoolArray, values: FloatArray, order: int, rng: np.random.Generator
) -> tuple[Spectrum, Json, Json]:
    n_masks, n_players = masks.shape
    mean, scale = float(values.mean()), float(values.std())
    if scale <= 1e-12 * np.abs(values).max():
        return Spectrum.from_dict(n_players, {(): mean}), {"constant": True}, {}
    target = (values - mean) / scale
    seed = int(rng.integers(1 << 31))
    fold_of = rng.permutation(n_masks) % _FOLDS

    def fold(depth: int, i: int) -> _Fold:
        fit, held = np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)
        booster, n_trees = fit_boosted(
            masks[fit],
            target[fit],
            depth=depth,
            rate=_RATE,
            n_trees=_MAX_TREES,
            seed=seed,
            valid=(masks[held], target[held]),
            patience=_PATIENCE,
        )
        return _Fold(depth, n_trees, fourier(read_trees(booster, n_trees), n_players), fit, held)

    def run(depth: int, which: range) -> list[_Fold]:
        # LightGBM works outside the interpreter lock, each fold on a thread of its own
        with ThreadPoolExecutor(min(len(which), cpu_count() or 1)) as pool:
            return list(pool.map(lambda i: fold(depth, i), which))

    # the depth is chosen on the first folds; only the better one goes through the others
    screened = {
        depth: run(depth, range(_SCREENED)) for depth in sorted({min(_SHALLOW, order), order})
    }
    depth = min(screened, key=lambda d: _trees_error(masks, target, screened[d]))
    folds = screened[depth] + run(depth, range(_SCREENED, _FOLDS))
    trees_error = _trees_error(masks, target, folds)
    errors = _refit_errors(masks, target, folds)
    errors[None, np.inf] = trees_error
    size, penalty = min(errors, key=lambda candidate: errors[candidate])
    spectrum = _mean_spectrum([f.spectrum for f in folds])
    if size is not None:
        spectrum = spectrum.truncate(n_terms=size)
    if np.isfinite(penalty):
        spectrum = _refit(masks, target, spectrum, [penalty])[0]
    spectrum = spectrum * scale + Spectrum.from_dict(n_players, {(): mean})
    settings: Json = {
        "depth": depth,
        "n_trees": [f.n_trees for f in folds],
        "learning_rate": _RATE,
        "folds": _FOLDS,
        "terms_kept": size,
        "refit_penalty": penalty if np.isfinite(penalty) else None,
    }
    diagnosis: Json = {
        "cv_r2": 1.0 - errors[size, penalty],
        "cv_r2_trees": 1.0 - trees_error,
        "cv_r2_refitted": 1.0 - min(e for (_, lam), e in errors.items() if np.isfinite(lam)),
    }
    return spectrum, settings, diagnosis


def _trees_error(masks: BoolArray, target: FloatArray, folds: Sequence[_Fold]) -> float:
    """Cross-validated mean squared error of the trees as they are."""
    return _mean([_squares(target[f.held], f.spectrum.predict(masks[f.held])) for f in folds])


def _mean_spectrum(spectra: Sequence[Spectrum]) -> Spectrum:
    total = spectra[0]
    for spectrum in spectra[1:]:
        total = total + spectrum
    return total / len(spectra)


def _refit_errors(
    masks: BoolArray, target: FloatArray, folds: Sequence[_Fold]
) -> dict[tuple[int | None, float], float]:
    """Cross-validated mean squared error of each (number of terms, lambda)."""
    errors: dict[tuple[int | None, float], list[float]] = {}
    for fold in folds:
        for size in _SIZES:
            cut = fold.spectrum.truncate(n_terms=size)
            held = characters(masks[fold.held], cut.supports)
            refitted = _refit(masks[fold.fit], target[fold.fit], cut, _PENALTIES)
            for penalty, spectrum in zip(_PENALTIES, refitted, strict=True):
                error = _squares(target[fold.held], held @ spectrum.coefficients)
                errors.setdefault((size, penalty), []).append(error)
    return {candidate: _mean(some) for candidate, some in errors.items()}


def _refit(
    masks: BoolArray, target: FloatArray, spectrum: Spectrum, penalties: Sequence[float]
) -> list[Spectrum]:
    """Ridge towards the spectrum's own coefficients, for several penalties at one factorisation."""
    matrix = characters(masks, spectrum.supports)
    residual = target - matrix @ spectrum.coefficients
    weights, vectors = np.linalg.eigh(matrix.T @ matrix / len(masks))
    along = vectors.T @ (matrix.T @ residual / len(masks))
    return [
        Spectrum(
            spectrum.n_players,
            spectrum.supports,
            spectrum.coefficients + vectors @ (along / (np.maximum(weights, 0.0) + penalty)),
        )
        for penalty in penalties
    ]


def _squares(actual: FloatArray, predicted: FloatArray) -> float:
    return float(((actual - predicted) ** 2).mean())


def _mean(errors: Sequence[float]) -> float:
    return float(np.mean(errors))


PROXYSPEX = Decoder(
    name="proxyspex",
    order=5,
    max_order=None,
    min_masks=lambda n_players: 20,
    design=uniform_design,
    decode=_decode,
)
