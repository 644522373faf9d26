"""Newton: softmax models with an L2 penalty, fitted to many subsets of the same rows at once.

Models are arrays ``(q, p, m)`` for p coordinates of the rows and m subsets: q is the number of
classes, or 1 for two of them. What they give for rows is z ``(q, rows, m)``: the logits, or for two
classes the logits -z/sqrt(2) and z/sqrt(2), which is a rotation of those that sum to 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray

_STEPS = 60  # a handful is usual
_INNER_STEPS = 300  # per step; some ten to fifty are usual
_HALVINGS = 40  # of a step that goes too far
_HALF = np.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class Softmax:
    """What is minimised, for subsets of some rows.

    Attributes:
        rows: ``(rows, p)``.
        points: where logits are wanted besides, ``(k, p)``.
        labels: ``(rows,)``.
        n_classes: how many there are.
        weights: the penalty on each coordinate, ``(p, 1)``: half of it times the square.
    """

    rows: FloatArray
    points: FloatArray
    labels: IntArray
    n_classes: int
    weights: FloatArray

    def present(self, kept: BoolArray) -> BoolArray:
        """Which classes the rows that are kept, ``(rows, m)``, have: ``(classes, m)``."""
        return np.stack([kept[self.labels == label].any(axis=0) for label in range(self.n_classes)])


@dataclass(frozen=True, eq=False)
class Basis:
    """Where the curvature is nearly diagonal: that of a class is about V diag(total sizes) V^T.

    Attributes:
        vectors: V, ``(q or 1, p, p)``.
        sizes: for a total of p_c (1 - p_c) over the rows of 1, ``(q or 1, p, 1)``.
    """

    vectors: FloatArray
    sizes: FloatArray


def first_basis(softmax: Softmax) -> Basis:
    """That of models which know nothing, for rows on their principal axes."""
    sizes = np.square(softmax.rows).mean(axis=0)
    return Basis(np.eye(len(sizes))[None], sizes[None, :, None])


def basis_at(softmax: Softmax, model: FloatArray) -> Basis:
    """That of a model ``(q, p, 1)`` on all rows."""
    shares = _shares(softmax.rows @ model)[0]
    bends = shares * (1 - shares) if len(model) > 1 else shares[:1] * shares[1:]
    # a class whose probabilities are all 0 or 1 has no curvature, and any basis will do
    totals = np.maximum(bends.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    sizes, vectors = np.linalg.eigh(softmax.rows.T @ (softmax.rows * (bends / totals)))
    return Basis(vectors, np.maximum(sizes, 0.0)[:, :, None])


def fit(
    softmax: Softmax, kept: BoolArray, start: FloatArray, basis: Basis, tolerance: float
) -> tuple[FloatArray, BoolArray]:
    """Fit models to the rows that are kept.

    Args:
        softmax: what is minimised.
        kept: ``(rows, m)``.
        start: the model that subsets of all classes start from, ``(q, p, 1)``; others start from 0.
        basis: of the preconditioner.
        tolerance: no logit of a row or a point may move by more in the last step.

    Returns:
        The models ``(q, p, m)``, and which of them got there ``(m,)``. Classes that a subset lacks
        have weights of 0 and take no part. Without rows the model is 0.
    """
    rows, weights = softmax.rows, softmax.weights
    onehot = softmax.labels == np.arange(softmax.n_classes)[:, None]
    present = softmax.present(kept)
    fitted = np.where(present.all(axis=0), start, 0.0)
    reached = np.asarray(~kept.any(axis=0))
    live = np.flatnonzero(~reached)
    kept, present, models = kept[:, live], present[:, live], fitted[:, :, live]
    z = rows @ models
    values, shares = _losses(softmax, models, z, kept, present)
    change = np.full(len(live), np.inf)
    for _ in range(_STEPS):
        if not len(live):
            break
        gradient = rows.T @ _fold((shares - onehot[:, :, None]) * kept) + weights * models
        # far away rough steps will do; near by each gains the more digits
        precise = np.clip(0.1 * change, 1e-3, 0.1)
        step, moved, solved = _newton_step(softmax, basis, shares, kept, present, gradient, precise)
        change = np.maximum(_most(moved), _most(softmax.points @ step))
        slope = _inner(step, gradient)
        length = np.ones(len(live))
        for _ in range(_HALVINGS):
            there, z_there = models + length * step, z + length * moved
            new, shares = _losses(softmax, there, z_there, kept, present)
            # the slack is rounding's
            good = new <= values + 1e-4 * length * slope + 1e-12 * (1 + np.abs(values))
            if good.all():
                break
            length = np.where(good, length, length / 2)
        models, z, values = there, z_there, new
        done = solved & good & (length == 1) & (change <= tolerance)
        fitted[:, :, live] = models
        reached[live] = done
        if done.any():
            more = ~done
            live, values, change = live[more], values[more], change[more]
            kept, present = kept[:, more], present[:, more]
            models, z, shares = models[:, :, more], z[:, :, more], shares[:, :, more]
    return fitted, reached


def spread(z: FloatArray) -> FloatArray:
    """Logits ``(classes, rows, m)`` of z ``(q, rows, m)``."""
    return z if len(z) > 1 else np.concatenate([-_HALF * z, _HALF * z])


def _fold(residuals: FloatArray) -> FloatArray:
    """The transpose of :func:`spread`."""
    return residuals if len(residuals) > 2 else _HALF * (residuals[1:] - residuals[:1])


def _shares(z: FloatArray, present: BoolArray | None = None) -> tuple[FloatArray, FloatArray]:
    """The classes' probabilities, ``(classes, rows, m)``, and their logs."""
    logits = spread(z)
    if present is not None and not present.all():
        logits = np.where(present[:, None], logits, -np.inf)
    logits = logits - logits.max(axis=0)
    shares = np.exp(logits)
    total = shares.sum(axis=0)
    shares /= total
    logits -= np.log(total)
    return shares, logits


def _losses(
    softmax: Softmax, models: FloatArray, z: FloatArray, kept: BoolArray, present: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """What is minimised, ``(m,)``, and the classes' probabilities ``(classes, rows, m)``."""
    shares, logs = _shares(z, present)
    right = logs[softmax.labels, np.arange(len(softmax.labels))]
    losses = -np.where(kept, right, 0.0).sum(axis=0)
    return losses + _inner(models, softmax.weights * models) / 2, shares


def _newton_step(
    softmax: Softmax,
    basis: Basis,
    shares: FloatArray,
    kept: BoolArray,
    present: BoolArray,
    gradient: FloatArray,
    precise: FloatArray,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Solve (second derivatives) step = -gradient by preconditioned conjugate gradients.

    Returns:
        The step; how it moves z of the rows; for which masks the residual, in the norm of the
        preconditioner, has come down to its share ``precise``, ``(m,)``.
    """
    rows, weights = softmax.rows, softmax.weights
    pair = len(gradient) == 1
    bends = (2 * shares[:1] * shares[1:] if pair else shares) * kept
    totals = (bends if pair else bends * (1 - shares)).sum(axis=1)
    scales = 1 / (totals[:, None] * basis.sizes + weights.max())
    n_present = present.sum(axis=0)
    back = basis.vectors.swapaxes(1, 2)

    def centre(models: FloatArray) -> FloatArray:
        inside = np.where(present[:, None], models, 0.0)
        return np.where(present[:, None], inside - inside.sum(axis=0) / n_present, 0.0)

    def precondition(rest: FloatArray) -> FloatArray:
        # the same for all classes changes nothing; those that are absent take no part
        inside = rest if pair else centre(rest)
        scaled = np.matmul(basis.vectors, scales * np.matmul(back, inside))
        return scaled if pair else centre(scaled)

    rest = -gradient
    direction = precondition(rest)
    size = _inner(rest, direction)
    enough = precise**2 * size
    step, moved = np.zeros_like(gradient), np.zeros_like(bends[: len(gradient)])
    for _ in range(_INNER_STEPS):
        going = size > enough
        if not going.any():
            break
        along = rows @ direction
        inner = bends * along
        if not pair:
            inner -= bends * (shares * along).sum(axis=0)
        product = rows.T @ inner + weights * direction
        bend = _inner(direction, product)
        going &= bend > 0
        length = np.divide(size, bend, out=np.zeros_like(size), where=going)
        step += length * direction
        moved += length * along
        rest -= length * product
        scaled = precondition(rest)
        new = _inner(rest, scaled)
        ratio = np.divide(new, size, out=np.zeros_like(size), where=going)
        direction = scaled + ratio * direction
        size = np.where(going, new, size)
    return step, moved, size <= enough


def _most(moved: FloatArray) -> FloatArray:
    """The most that any logit moves by, ``(m,)``."""
    return np.asarray(np.abs(moved).max(axis=(0, 1)))


def _inner(left: FloatArray, right: FloatArray) -> FloatArray:
    """Inner products of models, ``(m,)``."""
    return np.asarray(np.einsum("qpm,qpm->m", left, right))
