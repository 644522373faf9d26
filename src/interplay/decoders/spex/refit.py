r"""Ridge regression of the values on the supports that were found, over all ablations.

The coefficients minimise

.. math:: \frac1m \sum_i \bigl( f(m_i) - \sum_S F(S) \chi_S(m_i) \bigr)^2
    + \sum_S \lambda_S F(S)^2;

the empty set goes without a penalty.

Characters are +1 and -1. The normal matrix is therefore exact in float32, as its entries are whole
numbers below 2^24. The design matrix is made in blocks and only the normal matrix of each fold is
kept, so that memory does not grow with the number of masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns
from interplay._types import BoolArray, ByteArray, FloatArray, IntArray
from interplay.fourier.characters import characters
from interplay.fourier.sets import members, pack_members

_N_FOLDS = 5
_PENALTIES = (1e-10, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 1e3)
"""lambda, in units of the number of masks, ascending."""
_MASKS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Refit:
    """A fitted regression.

    Attributes:
        coefficients: F(S) in the order of the supports, ``(s,)`` or ``(s, k)``.
        penalty: lambda of the supports that were decoded, ``()`` or ``(k,)``.
        penalty_added: lambda of those that were only added, ``()`` or ``(k,)``.
        cv_r2: the cross-validated R2 at these penalties, ``()`` or ``(k,)``.
        errors: of predictions by the folds that left a mask out, ``(m,)`` or ``(m, k)``.
    """

    coefficients: FloatArray
    penalty: FloatArray
    penalty_added: FloatArray
    cv_r2: FloatArray
    errors: FloatArray


def with_singletons(
    supports: ByteArray, n_players: int, singles: BoolArray | None = None
) -> tuple[ByteArray, BoolArray]:
    """Add the empty set and single players.

    Args:
        supports: packed, ``(s, ceil(n / 8))``.
        n_players: n.
        singles: which players to add, ``(n,)``; ``None``: all.

    Returns:
        The empty set, the single players, and the other supports in their order, each once, packed;
        and which of them were among the supports, ``(s',)``.
    """
    sets = members(supports, n_players)
    orders = (sets < n_players).sum(axis=1)
    is_given = np.zeros(n_players, dtype=np.bool_)
    is_given[sets[orders == 1, :1].ravel()] = True
    players = np.flatnonzero(is_given | (True if singles is None else singles))
    first = np.full((1 + len(players), 1), n_players, dtype=np.int32)
    first[1:, 0] = players
    larger = supports[orders > 1]
    _, rows = np.unique(larger, axis=0, return_index=True)
    flags = [[bool((orders == 0).any())], is_given[players]]
    return (
        np.concatenate([pack_members(first, n_players), larger[np.sort(rows)]]),
        np.concatenate([*flags, np.ones(len(rows), dtype=np.bool_)]),
    )


def refit(
    masks: BoolArray,
    values: FloatArray,
    supports: ByteArray,
    *,
    is_decoded: BoolArray | None = None,
    folds: IntArray | None = None,
    penalties: tuple[float, ...] = _PENALTIES,
) -> Refit:
    """Fit the coefficients of given supports to all ablations.

    Two penalties are chosen by cross-validation. Coefficients of supports that were decoded are
    large and need hardly any penalty. Most of those that were only added are zero. One penalty for
    both would either keep the noise of a thousand single players, or shrink what was decoded.

    Args:
        masks: ``(m, n)``.
        values: ``(m,)`` or ``(m, k)``.
        supports: packed, ``(s, ceil(n / 8))``; see :func:`with_singletons`.
        is_decoded: which supports were decoded, from :func:`with_singletons`, ``(s,)``; ``None``:
            all.
        folds: labels, ``(m,)``; masks of the same label are left out together. Coded masks need
            those of ``CodedDesign.folds``: masks of one group and delay err alike, and would
            flatter the fit if they were left out one by one. ``None``: each mask has its own.
        penalties: lambda to choose from, ascending, all above 0.

    Raises:
        ValueError: the values do not belong to the masks or are not finite, or the supports to the
            players; or there is no support.
    """
    numbers = np.asarray(values, dtype=np.float64)
    n_masks, n_players = masks.shape
    if numbers.ndim not in (1, 2) or len(numbers) != n_masks or not np.isfinite(numbers).all():
        raise ValueError(
            f"values of shape {numbers.shape}, {np.count_nonzero(~np.isfinite(numbers))} of them "
            f"not finite, do not fit {n_masks} masks; pass finite values of shape ({n_masks},) or "
            f"({n_masks}, k)"
        )
    if len(supports) == 0 or supports.shape[1] != -(-n_players // 8):
        raise ValueError(
            f"supports of shape {supports.shape} do not fit {n_players} players; pass at least one "
            f"row of {-(-n_players // 8)} bytes"
        )
    labels = np.arange(n_masks) if folds is None else np.asarray(folds)
    _, labels = np.unique(labels, return_inverse=True)
    fold_of = labels.reshape(-1) % _N_FOLDS
    columns = as_columns(numbers)
    mean = columns.mean(axis=0)
    is_empty = np.logical_not(supports.any(axis=1))
    is_added = np.zeros(len(supports), dtype=np.bool_)
    if is_decoded is not None:
        is_added |= np.logical_not(is_decoded)
    normal = _Normal.of(masks, columns - mean, supports, fold_of)
    chosen, cv_r2 = _choose(normal, is_empty, is_added, penalties)
    gram, cross = normal.gram.sum(axis=0, dtype=np.float64), normal.cross.sum(axis=0)
    coefficients = np.empty((len(supports), columns.shape[1]))
    errors = columns - mean
    for pair in np.unique(chosen, axis=0):
        outputs = (chosen == pair).all(axis=1)
        penalty = np.where(is_added, pair[1], pair[0])
        coefficients[:, outputs] = _solve(gram, cross[:, outputs], n_masks * penalty, is_empty)
        for i in range(_N_FOLDS):
            held, n_others = np.flatnonzero(fold_of == i), n_masks - normal.sizes[i]
            if len(held) and n_others:
                others = (cross - normal.cross[i])[:, outputs]
                fitted = _solve(gram - normal.gram[i], others, n_others * penalty, is_empty)
                for block in _blocks(held):
                    signs = characters(masks[block], supports, np.float32)
                    errors[np.ix_(block, outputs)] -= signs.astype(np.float64) @ fitted
    if is_empty.any():
        coefficients[np.flatnonzero(is_empty)[0]] += mean
    shape = numbers.shape[1:]
    return Refit(
        coefficients.reshape(len(supports), *shape),
        chosen[:, 0].reshape(shape),
        chosen[:, 1].reshape(shape),
        cv_r2.reshape(shape),
        errors.reshape(numbers.shape),
    )


def _blocks(rows: IntArray) -> list[IntArray]:
    """Cut rows so that a block's characters fit in memory."""
    return [rows[start : start + _MASKS_AT_ONCE] for start in range(0, len(rows), _MASKS_AT_ONCE)]


@dataclass(frozen=True, eq=False)
class _Normal:
    """What a regression needs to know of each fold. Made by :meth:`of`.

    Attributes:
        gram: X^T X of the fold's masks, ``(folds, s, s)`` float32.
        cross: X^T y, ``(folds, s, k)``.
        sums: of y, ``(folds, k)``.
        squares: the sums of y^2, ``(folds, k)``.
        sizes: the number of masks, ``(folds,)``.
    """

    gram: npt.NDArray[np.float32]
    cross: FloatArray
    sums: FloatArray
    squares: FloatArray
    sizes: FloatArray

    @classmethod
    def of(
        cls, masks: BoolArray, values: FloatArray, supports: ByteArray, fold_of: IntArray
    ) -> _Normal:
        """From masks ``(m, n)``, values ``(m, k)`` and the fold of each mask ``(m,)``."""
        n_terms, n_outputs = len(supports), values.shape[1]
        gram = np.zeros((_N_FOLDS, n_terms, n_terms), dtype=np.float32)
        cross = np.zeros((_N_FOLDS, n_terms, n_outputs))
        sums, squares = np.zeros((_N_FOLDS, n_outputs)), np.zeros((_N_FOLDS, n_outputs))
        for i in range(_N_FOLDS):
            rows = np.flatnonzero(fold_of == i)
            for block in _blocks(rows):
                signs = characters(masks[block], supports, np.float32).T
                gram[i] += signs @ signs.T
                cross[i] += signs.astype(np.float64) @ values[block]
                sums[i] += values[block].sum(axis=0)
                squares[i] += (values[block] ** 2).sum(axis=0)
        sizes = np.bincount(fold_of, minlength=_N_FOLDS).astype(np.float64)
        return cls(gram, cross, sums, squares, sizes)


def _solve(
    gram: FloatArray, cross: FloatArray, penalty: FloatArray, is_empty: BoolArray
) -> FloatArray:
    """Solve (X^T X + diag(penalty)) F = X^T y, ``(s, k)``; the empty set goes without a penalty."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    matrix = gram.copy()
    matrix[np.diag_indices(len(matrix))] += np.where(is_empty, 1e-12 * penalty, penalty)
    try:
        return np.asarray(cho_solve(cho_factor(matrix, overwrite_a=True), cross))
    except LinAlgError:  # more terms than masks, and hardly any penalty
        return np.asarray(np.linalg.lstsq(matrix, cross, rcond=None)[0])


def _choose(
    normal: _Normal, is_empty: BoolArray, is_added: BoolArray, penalties: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    """Choose the two penalties of least cross-validated error for each output.

    First that of the supports that were added, with the smallest one on those that were decoded;
    then that of the latter.

    Returns:
        The penalties, decoded and added, ``(k, 2)``; and the cross-validated R2, ``(k,)``.
    """
    gram, cross = normal.gram.sum(axis=0, dtype=np.float64), normal.cross.sum(axis=0)
    n_masks, n_outputs = normal.sizes.sum(), cross.shape[1]
    used = [i for i in range(_N_FOLDS) if 0 < normal.sizes[i] < n_masks]
    spread = normal.squares.sum(axis=0) - normal.sums.sum(axis=0) ** 2 / n_masks
    spread = np.maximum(spread, 1e-300)

    def error(penalty: FloatArray, outputs: IntArray) -> FloatArray:
        """Compute the sum of squared errors of some outputs under lambda ``(s,)``."""
        total = np.zeros(len(outputs))
        for i in used:
            own_gram, own_cross = normal.gram[i], normal.cross[i][:, outputs]
            n_others = n_masks - normal.sizes[i]
            others = (cross - normal.cross[i])[:, outputs]
            fitted = _solve(gram - own_gram, others, penalty * n_others, is_empty)
            inside = np.einsum("sk,sk->k", fitted, own_gram @ fitted)
            total += normal.squares[i, outputs] + inside
            total -= 2.0 * np.einsum("sk,sk->k", fitted, own_cross)
        # below this only rounding differs
        return np.asarray(np.maximum(total, 1e-13 * spread[outputs]))

    chosen = np.full((n_outputs, 2), penalties[0])
    least = np.full(n_outputs, np.inf)
    if is_added.any():

        def of_added(penalty: float) -> FloatArray:
            return error(np.where(is_added, penalty, penalties[0]), np.arange(n_outputs))

        chosen[:, 1], least = _search(of_added, penalties)
    for added in np.unique(chosen[:, 1]):
        outputs = np.flatnonzero(chosen[:, 1] == added)

        def of_decoded(
            penalty: float, added: float = added, outputs: IntArray = outputs
        ) -> FloatArray:
            return error(np.where(is_added, added, penalty), outputs)

        chosen[outputs, 0], least[outputs] = _search(of_decoded, penalties)
    return chosen, 1.0 - least / spread


def _search(
    error: Callable[[float], FloatArray], penalties: tuple[float, ...], step: int = 3
) -> tuple[FloatArray, FloatArray]:
    """Find the penalty of least error for each output: every third, then neighbours of the best.

    Args:
        error: the error of each output under a penalty, ``(k,)``; it falls and then rises.
        penalties: ascending.
        step: which penalties come first.

    Returns:
        The penalties and their errors, ``(k,)`` each.
    """
    known: dict[int, FloatArray] = {}
    for i in range(0, len(penalties), step):
        known[i] = error(penalties[i])
        if i and (known[i] > known[i - step]).all():
            break
    for _ in range(step - 1):
        tried = np.array(sorted(known))
        best = tried[np.stack([known[i] for i in tried]).argmin(axis=0)]
        for i in {int(near) for b in best for near in (b - 1, b + 1)}:
            if 0 <= i < len(penalties) and i not in known:
                known[i] = error(penalties[i])
    tried = np.array(sorted(known))
    table = np.stack([known[i] for i in tried])
    return np.asarray(penalties)[tried[table.argmin(axis=0)]], table.min(axis=0)
