r"""Where a good part of all masks was evaluated: a table of measured values, completed.

Up to :data:`MOST_PLAYERS` players the values of all masks fit into a table. From a share of
:data:`SHARE` on, the masks that were evaluated keep their measured values, and the others have
predictions. The spectrum is the exact transform of that table. Indices gain by this, since their
errors are sums over the masks that were not evaluated.

Shapley values are nearly those of the fit, corrected (see :mod:`.correction`): a linear function

.. math:: \sum_i \beta_i (m_i - 1/2)

is added to the predictions, and measured values stay as they are. The fewer masks are unknown, the
larger it would have to be, for values that are ever less in doubt. Its slopes are therefore those
of a ridge regression, in which the function is a priori as large as the errors of predictions, and
so is the noise of the Shapley values.

The covariance of the coefficients is that of errors at the masks that were not evaluated. They are
what the decoder says of the coefficients, at those masks, and independent errors as large as those
of predictions that left a mask out. Of the latter, :data:`_DRAWS` draws stand for all.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np

from interplay._arrays import as_columns, finite_rows, unpack
from interplay._types import BoolArray, FloatArray
from interplay.decoders.base import Decoded
from interplay.decoders.exact import of_table
from interplay.explanation.correction import by_player
from interplay.fourier.characters import synthesise
from interplay.fourier.masks import end_masks, every_mask, numbers_of
from interplay.fourier.spectrum import Spectrum
from interplay.fourier.transform import walsh_hadamard

MOST_PLAYERS = 12
"""The spectrum of a table has 2^n terms."""
MOST_VALUES = 2**14
"""The most values of a table, of all outputs together: each has an uncertainty of its own."""
SHARE = 0.25
"""The share of all masks that a table has measured, at least."""
_DRAWS = 64


def can_complete(decoded: Decoded, values: FloatArray) -> bool:
    """Whether a good part of all masks was measured, and it is known how uncertain the others are.

    A spectrum without deviations is a sparse one: what it leaves is noise, by its assumptions.

    Args:
        decoded: with the measured ends, if there are any.
        values: those of other masks, ``(m,)`` or ``(m, k)``.
    """
    spectrum = decoded.spectrum
    n_measured = int(finite_rows(values).sum()) + (0 if spectrum.ends is None else 2)
    enough = spectrum.n_players <= MOST_PLAYERS and n_measured >= SHARE * 2**spectrum.n_players
    small = (spectrum.n_outputs or 1) * 2**spectrum.n_players <= MOST_VALUES
    return enough and small and spectrum.deviations is not None


def completed(decoded: Decoded, masks: BoolArray, values: FloatArray) -> Decoded:
    """Complete the measured values with predictions to a table of all masks.

    Args:
        decoded: a spectrum with deviations, through the measured ends if there are any.
        masks: those that were evaluated, ``(m, n)``, without the ends.
        values: ``(m,)`` or ``(m, k)``; a row with a NaN counts as not evaluated.

    Returns:
        The same with the spectrum of the table.
    """
    spectrum = decoded.spectrum
    n = spectrum.n_players
    if spectrum.ends is not None:
        masks = np.vstack([masks, end_masks(n)])
        values = np.concatenate([values, spectrum.ends])
    known = finite_rows(values)
    measured = numbers_of(masks[known])
    unknown = np.ones(2**n, dtype=np.bool_)
    unknown[measured] = False

    learned = spectrum if decoded.surrogate is None else decoded.surrogate
    table = as_columns(learned.predict(every_mask(n))).copy()
    table[measured] = as_columns(values[known])
    if unknown.any():
        shapley, weights = spectrum.to("SV", order=1), _shapley_weights(n)
        missing = as_columns(by_player(shapley, shapley.values)) - weights @ table
        table[unknown] += _linear(unknown, weights[:, unknown], missing)
    whole = of_table(table)
    shape = spectrum.coefficients.shape[1:]
    whole = replace(
        whole,
        coefficients=whole.coefficients.reshape(-1, *shape),
        deviations=_deviations(decoded, whole, unknown).reshape(len(whole), *shape, -1),
        ends=spectrum.ends,
    )
    return replace(decoded, spectrum=whole, surrogate=None)


def _shapley_weights(n_players: int) -> FloatArray:
    """What the value of each mask counts in each Shapley value, ``(n, 2**n)``."""
    masks = every_mask(n_players)
    sizes = masks.sum(axis=1)
    ways = np.array([comb(n_players, size) for size in range(n_players + 1)])[sizes]
    present = 1.0 / (np.maximum(sizes, 1) * ways)
    absent = 1.0 / (np.maximum(n_players - sizes, 1) * ways)
    return np.asarray(np.where(masks, present[:, None], -absent[:, None]).T)


def _linear(unknown: BoolArray, weights: FloatArray, missing: FloatArray) -> FloatArray:
    """A linear function at the masks that are ``unknown``, to add to the Shapley values.

    Args:
        unknown: which of all masks, ``(2**n,)``.
        weights: what these u masks count in each Shapley value, ``(n, u)``.
        missing: what is to be added, ``(n, k)``.
    """
    n_players = len(missing)
    centred = every_mask(n_players)[unknown] - 0.5
    of_slopes = weights @ centred
    ridge = n_players / 4 * (weights**2).sum(axis=1).mean() * np.eye(n_players)
    slopes = np.linalg.solve(of_slopes.T @ of_slopes + ridge, of_slopes.T @ missing)
    return np.asarray(centred @ slopes)


def _deviations(decoded: Decoded, whole: Spectrum, unknown: BoolArray) -> FloatArray:
    """A factor of the covariance of a table's coefficients, ``(s, k, r)``."""
    spectrum = decoded.spectrum
    assert spectrum.deviations is not None
    n, rank = spectrum.n_players, spectrum.deviations.shape[-1]
    columns = spectrum.deviations.reshape(len(spectrum), -1)
    errors = synthesise(every_mask(n), spectrum.supports, columns).reshape(2**n, -1, rank)
    if decoded.residuals is not None:
        left_out = as_columns(decoded.residuals)
        squares = np.nan_to_num(left_out) ** 2  # a constant output has none
        count = np.maximum(np.isfinite(left_out).sum(axis=0), 1)
        size = np.sqrt(squares.sum(axis=0) / count / _DRAWS)
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (2**n, 1, _DRAWS))
        errors = np.concatenate([errors, size[:, None] * signs], axis=-1)
    errors[~unknown] = 0.0
    return np.asarray(walsh_hadamard(errors)[numbers_of(unpack(whole.supports, n))] / 2**n)
