r"""ProxySPEX (arXiv 2505.17495): boosted trees as a proxy, their exact Fourier transform, a refit.

1. Boosted trees are fitted to the ablations, once without each of five folds. Their depth and
   number are chosen by cross-validation. Early stopping finds the number, so no fold is fitted
   again for each number of trees. The proxy is the mean of the five fits.
2. The trees are transformed exactly (:mod:`interplay.decoders.trees`).
3. The spectrum is cut to its strongest terms, and their coefficients are refitted by ridge
   regression on all m ablations, with X the matrix of characters. The ridge shrinks towards the
   trees' coefficients F0,

   .. math:: \min_F \|y - X F\|^2 + \lambda m \|F - F_0\|^2,

   so :math:`\lambda = \infty` means no refit. The number of terms and lambda are cross-validated on
   the same folds; "all terms without a refit" is one of the choices. A refit therefore happens only
   where it helps on held-out masks.

The published procedure keeps 95 % of the energy and always refits, by ridge towards zero. On text
games the number of terms carries over from the folds to the final proxy better than a share of the
energy does, and shrinking towards the trees was never worse than shrinking towards zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from interplay._types import BoolArray, FloatArray, Json
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.forest import LEARNING_RATE, N_FOLDS, Fold, Forest, grow_all
from interplay.designs.base import Design
from interplay.designs.measures import Measure
from interplay.fourier.characters import characters
from interplay.fourier.spectrum import Spectrum, join_outputs

_SIZES = (10, 15, 22, 33, 50, 75, 112, 168, 250, 400)
"""The numbers of terms that a refitted spectrum may have; nobody reads larger explanations."""
_PENALTIES: tuple[float, ...] = (*np.logspace(-3, 2, 11).tolist(), np.inf)
"""lambda, in units of the number of masks."""


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    # the matrices are small: a second thread of BLAS gains little, and it waits busily
    with threadpool_limits(1, user_api="blas"):
        return refitted(design.masks, values, grow_all(design.masks, values, order, rng), order)


def refitted(
    masks: BoolArray, values: FloatArray, forests: Sequence[Forest | None], order: int
) -> Decoded:
    """Cut and refit the spectra of the trees (step 3), for each of k outputs.

    Args:
        masks: ``(m, n)``.
        values: ``(m, k)``.
        forests: from :func:`interplay.decoders.forest.grow_all`, one for each output.
        order: recorded in the settings.
    """
    outputs = [
        _refitted(masks, column, forest) for column, forest in zip(values.T, forests, strict=True)
    ]
    spectra, settings, diagnoses = (list(column) for column in zip(*outputs, strict=True))
    scores = [diagnosis["cv_r2"] for diagnosis in diagnoses if diagnosis]
    return Decoded(
        join_outputs(spectra),
        {"order": order, "outputs": settings},
        {"outputs": diagnoses, "cv_r2": scores},
    )


def _refitted(
    masks: BoolArray, values: FloatArray, forest: Forest | None
) -> tuple[Spectrum, Json, Json]:
    """Give the spectrum, the settings and the diagnosis of one output, ``values (m,)``."""
    n_players = masks.shape[1]
    mean, scale = float(values.mean()), float(values.std())
    if forest is None:
        return Spectrum.from_dict(n_players, {(): mean}), {"constant": True}, {}
    target = (values - mean) / scale
    trees_error = _mean([_squares(target[f.held], f.predictions) for f in forest.folds])
    errors = _refit_errors(masks, target, forest.folds)
    errors[None, np.inf] = trees_error
    size, penalty = min(errors, key=lambda candidate: errors[candidate])
    spectrum = forest.spectrum
    if size is not None:
        spectrum = spectrum.truncate(n_terms=size)
    if np.isfinite(penalty):
        spectrum = _refit(masks, target, spectrum, [penalty])[0]
    spectrum = spectrum * scale + Spectrum.from_dict(n_players, {(): mean})
    settings: Json = {
        "depth": forest.depth,
        "n_trees": [f.n_trees for f in forest.folds],
        "learning_rate": LEARNING_RATE,
        "folds": N_FOLDS,
        "terms_kept": size,
        "refit_penalty": penalty if np.isfinite(penalty) else None,
    }
    diagnosis: Json = {
        "cv_r2": 1.0 - errors[size, penalty],
        "cv_r2_trees": 1.0 - trees_error,
        "cv_r2_refitted": 1.0 - min(e for (_, lam), e in errors.items() if np.isfinite(lam)),
    }
    return spectrum, settings, diagnosis


def _refit_errors(
    masks: BoolArray, target: FloatArray, folds: Sequence[Fold]
) -> dict[tuple[int | None, float], float]:
    """Compute the cross-validated mean squared error of each (number of terms, lambda)."""
    errors: dict[tuple[int | None, float], list[float]] = {}
    for fold in folds:
        for size in _SIZES:
            cut = fold.spectrum.truncate(n_terms=size)
            held = characters(masks[fold.held], cut.supports)
            refitted = _refit(masks[fold.fit], target[fold.fit], cut, _PENALTIES)
            for penalty, spectrum in zip(_PENALTIES, refitted, strict=True):
                error = _squares(target[fold.held], held @ spectrum.coefficients)
                errors.setdefault((size, penalty), []).append(error)
    return {candidate: _mean(by_fold) for candidate, by_fold in errors.items()}


def _refit(
    masks: BoolArray, target: FloatArray, spectrum: Spectrum, penalties: Sequence[float]
) -> list[Spectrum]:
    """Refit by ridge towards the given coefficients; one factorisation serves all penalties."""
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
    design=Measure.design,
    decode=_decode,
    can_stop=True,
)
