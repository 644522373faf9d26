"""Ridge regression of the values on the supports found, over all ablations.

The characters are +-1, so blocks of the design matrix are built by XOR of bytes and multiplied in
float32: entries of the normal matrix are whole numbers below 2^24 and therefore exact. Only the
normal matrix of each fold is kept; memory does not grow with the number of masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from interplay._arrays import as_columns, pack, unpack
from interplay.decoders.spex.bch import Bits, Ints
from interplay.fourier.characters import characters

Floats = NDArray[np.float64]
Packed = NDArray[np.uint8]

N_FOLDS = 5
ALPHAS = (1e-10, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 1e3)  # per mask, ascending
_BLOCK = 4096  # masks at a time


@dataclass(frozen=True, eq=False)
class Refit:
    """A fitted regression.

    Attributes:
        coefs: float64 (s,) or (s, k), Fourier coefficients in the order of the supports.
        alpha: float64 () or (k,), the penalty chosen for each output on the supports that were
            found.
        alpha_added: float64 () or (k,), the penalty on those that were only added. What was
            minimised is mean (f - f_hat)^2 + sum_S alpha_S F(S)^2, the empty set free.
        cv_r2: float64 () or (k,), the cross-validated R2 at these penalties.
    """

    coefs: Floats
    alpha: Floats
    alpha_added: Floats
    cv_r2: Floats


def with_singletons(supports: Packed, n: int) -> tuple[Packed, Bits]:
    """The supports, the empty set and all single players, each once.

    Args:
        supports: uint8 (s, ceil(n / 8)), packed little-endian.
        n: players.

    Returns:
        uint8 (s', ceil(n / 8)): the empty set, the singletons in order, then the other supports in
        theirs; and bool (s',), which of them were among the supports.
    """
    first = pack(np.vstack([np.zeros((1, n)), np.eye(n)]) > 0)
    bits = unpack(supports, n)
    orders = bits.sum(axis=1)
    larger = supports[orders > 1]
    _, index = np.unique(larger, axis=0, return_index=True)
    found = np.concatenate([[bool((orders == 0).any())], bits[orders == 1].any(axis=0)])
    return (
        np.concatenate([first, larger[np.sort(index)]]),
        np.concatenate([found, np.ones(len(index), dtype=np.bool_)]),
    )


def refit(
    masks: Bits,
    values: NDArray[np.floating],
    supports: Packed,
    *,
    found: Bits | None = None,
    folds: Ints | None = None,
    alphas: tuple[float, ...] = ALPHAS,
) -> Refit:
    """Fits the coefficients of given supports to all ablations.

    Penalties are chosen by cross-validation: one for supports that a decoder found, which are large
    and want next to none, and one for those only added, most of which are nothing (one penalty for
    both would keep the noise of a thousand singletons or shrink what was found). The empty set is
    free. All folds and penalties share the normal matrices of the folds.

    Args:
        masks: bool (m, n).
        values: (m,) or (m, k); the outputs share every factorisation.
        supports: packed uint8 (s, ceil(n / 8)); see ``with_singletons``.
        found: bool (s,), from ``with_singletons``. None: all were found.
        folds: labels intp (m,): masks of one label are left out together. For the coded masks use
            ``CodedDesign.folds``, because masks of one coset repeat each other's error and leaving
            out one of them would flatter the fit. None: each mask is its own label.
        alphas: penalties to try, per mask, ascending, all above 0.

    Returns:
        The fit.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or no support at all.
    """
    y = np.asarray(values, dtype=np.float64)
    m, n = masks.shape
    if y.ndim not in (1, 2) or len(y) != m or not np.isfinite(y).all():
        raise ValueError(
            f"values of shape {y.shape}, {np.count_nonzero(~np.isfinite(y))} of them not finite, "
            f"do not fit {m} masks; pass finite values of shape ({m},) or ({m}, k)."
        )
    if len(supports) == 0 or supports.shape[1] != -(-n // 8):
        raise ValueError(
            f"supports of shape {supports.shape} do not fit n={n} players; pass at least one row "
            f"of {-(-n // 8)} bytes."
        )
    labels = np.arange(m) if folds is None else np.asarray(folds)
    _, labels = np.unique(labels, return_inverse=True)
    fold = labels.reshape(-1) % N_FOLDS
    columns = as_columns(y)
    centre = columns.mean(axis=0)
    gram, cross, square = _normal(masks, columns - centre, supports, fold)
    sizes = np.bincount(fold, minlength=N_FOLDS).astype(np.float64)
    empty = np.asarray(supports.any(axis=1) == 0)
    added = np.zeros(len(supports), dtype=np.bool_)
    if found is not None:
        added |= np.logical_not(found)
    alpha, score = _choose(gram, cross, square, sizes, (empty, added), alphas)
    total, right = gram.sum(axis=0, dtype=np.float64), cross.sum(axis=0)
    coefs = np.empty((len(supports), columns.shape[1]))
    for pair in np.unique(alpha, axis=0):
        chosen = (alpha == pair).all(axis=1)
        penalty = m * np.where(added, pair[1], pair[0])
        coefs[:, chosen] = _solve(total, right[:, chosen], penalty, empty)
    if empty.any():
        coefs[np.flatnonzero(empty)[0]] += centre
    shape = y.shape[1:]
    return Refit(
        coefs.reshape(len(supports), *shape),
        alpha[:, 0].reshape(shape),
        alpha[:, 1].reshape(shape),
        score.reshape(shape),
    )


def _normal(
    masks: Bits, y: Floats, supports: Packed, fold: Ints
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """For each fold X X^T (folds, s, s), X y (folds, s, k), sums of y^2 and y (folds, 2, k)."""
    s, k = len(supports), y.shape[1]
    gram = np.zeros((N_FOLDS, s, s), dtype=np.float32)
    cross = np.zeros((N_FOLDS, s, k))
    sums = np.zeros((N_FOLDS, 2, k))
    for i in range(N_FOLDS):
        rows = np.flatnonzero(fold == i)
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            signs = characters(masks[part], supports, np.float32).T
            gram[i] += signs @ signs.T
            cross[i] += signs.astype(np.float64) @ y[part]
            sums[i] += np.stack([(y[part] ** 2).sum(axis=0), y[part].sum(axis=0)])
    return gram, cross, sums


def _solve(gram: Floats, right: Floats, penalty: Floats, empty: Bits) -> Floats:
    """Ridge solution (s, k) under penalties (s,); the empty set goes without."""
    matrix = gram.copy()
    matrix[np.diag_indices(len(matrix))] += np.where(empty, 1e-12 * penalty, penalty)
    try:
        return np.asarray(cho_solve(cho_factor(matrix, overwrite_a=True), right))
    except LinAlgError:  # more terms than masks and next to no penalty
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def _choose(
    gram: NDArray[np.float32],
    cross: Floats,
    sums: Floats,
    sizes: Floats,
    kinds: tuple[Bits, Bits],
    alphas: tuple[float, ...],
) -> tuple[Floats, Floats]:
    """Penalties (k, 2) with the least cross-validated error, and its R2 (k,).

    The penalty on what was added is searched first, next to none on what was found; then that on
    what was found.
    """
    empty, added = kinds
    total, right = gram.sum(axis=0, dtype=np.float64), cross.sum(axis=0)
    m, k = sizes.sum(), cross.shape[2]
    used = [i for i in range(N_FOLDS) if 0 < sizes[i] < m]
    spread = np.maximum(sums[:, 0].sum(axis=0) - sums[:, 1].sum(axis=0) ** 2 / m, 1e-300)

    def error(penalty: Floats, outputs: Ints) -> Floats:
        """Cross-validated error (len(outputs),) under penalties per mask (s,)."""
        out = np.zeros(len(outputs))
        for i in used:
            seen = (right - cross[i])[:, outputs]
            coefs = _solve(total - gram[i], seen, penalty * (m - sizes[i]), empty)
            inside = np.einsum("sk,sk->k", coefs, gram[i] @ coefs)
            out += sums[i, 0, outputs] + inside
            out -= 2.0 * np.einsum("sk,sk->k", coefs, cross[i][:, outputs])
        return np.asarray(
            np.maximum(out, 1e-13 * spread[outputs])
        )  # below this only rounding differs

    best = np.full((k, 2), alphas[0])
    least = np.full(k, np.inf)
    if added.any():

        def of_added(alpha: float) -> Floats:
            return error(np.where(added, alpha, alphas[0]), np.arange(k))

        best[:, 1], least = _search(of_added, alphas)
    for other in np.unique(best[:, 1]):
        outputs = np.flatnonzero(best[:, 1] == other)

        def of_found(alpha: float, other: float = other, outputs: Ints = outputs) -> Floats:
            return error(np.where(added, other, alpha), outputs)

        best[outputs, 0], least[outputs] = _search(of_found, alphas)
    return best, 1.0 - least / spread


def _search(
    error: Callable[[float], Floats], alphas: tuple[float, ...], step: int = 3
) -> tuple[Floats, Floats]:
    """Best penalty and its error for each output: every third, then the best ones' neighbours."""
    known: dict[int, Floats] = {}
    for i in range(0, len(alphas), step):
        known[i] = error(alphas[i])
        if i and (known[i] > known[i - step]).all():
            break  # the error has one valley
    for _ in range(step - 1):
        places = np.array(sorted(known))
        best = places[np.stack([known[i] for i in places]).argmin(axis=0)]
        for i in {int(j) for b in best for j in (b - 1, b + 1)}:
            if 0 <= i < len(alphas) and i not in known:
                known[i] = error(alphas[i])
    places = np.array(sorted(known))
    table = np.stack([known[i] for i in places])
    return np.asarray(alphas)[places[table.argmin(axis=0)]], table.min(axis=0)
