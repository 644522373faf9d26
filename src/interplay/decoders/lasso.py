"""LASSO on the Fourier characters of order 1 or 2: the baseline that the papers compare with."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from interplay._arrays import varying
from interplay._types import FloatArray
from interplay.decoders.base import Decoded, Decoder
from interplay.designs.base import Design
from interplay.designs.measures import Measure
from interplay.fourier.characters import characters
from interplay.fourier.sets import pack_sets
from interplay.fourier.spectrum import Spectrum

_FOLDS = 5
_MAX_CELLS = 100_000_000
"""The largest regression, masks times terms: about 800 MB."""


def _n_terms(n_players: int, order: int) -> int:
    return sum(comb(n_players, size) for size in range(1, order + 1))


def _check(n_masks: int, n_players: int, order: int) -> None:
    n_terms = _n_terms(n_players, order)
    if n_masks * n_terms > _MAX_CELLS:
        raise ValueError(
            f'decoder="lasso" with order={order} has {n_terms:,} terms for {n_players} players, '
            f"which with {n_masks:,} masks is beyond its limit of {_MAX_CELLS:,} cells; use "
            f'{"order=1 or " if order > 1 else ""}decoder="proxyspex"'
        )


def _decode(design: Design, values: FloatArray, order: int, rng: np.random.Generator) -> Decoded:
    from sklearn.linear_model import LassoCV  # half a second that only this decoder needs

    n_masks, n_players = design.masks.shape
    n_terms = _n_terms(n_players, order)
    sets = [s for size in range(1, order + 1) for s in combinations(range(n_players), size)]
    design_matrix = characters(design.masks, pack_sets(sets, n_players))
    fold_of = rng.permutation(n_masks) % _FOLDS
    folds = [(np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)) for i in range(_FOLDS)]
    coefficients = np.zeros((n_terms + 1, values.shape[1]))
    penalties: list[float | None] = []
    for j, (column, varies) in enumerate(zip(values.T, varying(values), strict=True)):
        scale = column.std()
        if not varies:
            coefficients[0, j] = column.mean()
            penalties.append(None)
            continue
        model = LassoCV(cv=folds, alphas=50, eps=1e-3, max_iter=10_000, tol=1e-4)
        model.fit(design_matrix, column / scale)
        coefficients[0, j] = model.intercept_ * scale
        coefficients[1:, j] = model.coef_ * scale
        penalties.append(float(model.alpha_ * scale))
    keep = np.any(coefficients != 0.0, axis=1)
    keep[0] = True
    nonzero = [s for s, is_nonzero in zip([(), *sets], keep.tolist(), strict=True) if is_nonzero]
    return Decoded(
        Spectrum.from_terms(n_players, nonzero, coefficients[keep]),
        {"order": order, "penalty": penalties, "folds": _FOLDS},
        in_units=("penalty",),
    )


LASSO = Decoder(
    name="lasso",
    order=1,
    max_order=2,
    min_masks=lambda n_players: 2 * _FOLDS,
    design=Measure.design,
    decode=_decode,
    check=_check,
)
