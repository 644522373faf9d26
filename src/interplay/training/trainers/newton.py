"""Newton: softmax models with an L2 penalty, fitted to many subsets of the same rows at once.

Models are arrays ``(q, p, m)`` for p coordinates of the rows and m subsets. q is the number of
classes, or 1 for two classes. The predictions of a model for rows are reduced logits z,
``(q, rows, m)``. With three or more classes z are the logits. With two classes the logits are
-z/sqrt(2) and z/sqrt(2): they sum to 0, and z has their length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray

_STEPS = 60  # a handful is usual
_INNER_STEPS = 300  # per step; some ten to fifty are usual
_HALVINGS = 40  # of a step that does not lower the loss enough
_HALF = np.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class SoftmaxLoss:
    """The loss that is minimised: the negative log-likelihood of a subset's rows, with a penalty.

    Attributes:
        rows: the coordinates of all rows, ``(rows, p)``.
        points: the coordinates of the test points, ``(k, p)``.
        labels: the rows' classes, ``(rows,)``.
        n_classes: the number of classes.
        weights: the penalty on each coordinate, ``(p, 1)``: half of it times the square is added.
    """

    rows: FloatArray
    points: FloatArray
    labels: IntArray
    n_classes: int
    weights: FloatArray

    def present(self, kept: BoolArray) -> BoolArray:
        """Return which classes the rows kept, ``(rows, m)``, have: ``(classes, m)``."""
        return np.stack([kept[self.labels == label].any(axis=0) for label in range(self.n_classes)])


@dataclass(frozen=True, eq=False)
class Basis:
    """A basis in which the loss's curvature is nearly diagonal; it serves the preconditioner.

    The curvature of class c is about total_c V diag(eigenvalues) V^T. Here total_c is the sum over
    the rows kept of p_c (1 - p_c), p_c their probabilities; for two classes, of 2 p_0 p_1.

    Attributes:
        vectors: V, ``(q or 1, p, p)``.
        eigenvalues: ``(q or 1, p, 1)``.
    """

    vectors: FloatArray
    eigenvalues: FloatArray


def first_basis(loss: SoftmaxLoss) -> Basis:
    """Return the basis for models with equal probabilities, of rows on their principal axes."""
    eigenvalues = np.square(loss.rows).mean(axis=0)
    return Basis(np.eye(len(eigenvalues))[None], eigenvalues[None, :, None])


def basis_at(loss: SoftmaxLoss, model: FloatArray) -> Basis:
    """Return the basis for a model ``(q, p, 1)`` on all rows."""
    probs = _probabilities(loss.rows @ model)[0]
    curvature = probs * (1 - probs) if len(model) > 1 else probs[:1] * probs[1:]
    # a class whose probabilities are all 0 or 1 has no curvature: any basis serves it
    totals = np.maximum(curvature.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    eigenvalues, vectors = np.linalg.eigh(loss.rows.T @ (loss.rows * (curvature / totals)))
    return Basis(vectors, np.maximum(eigenvalues, 0.0)[:, :, None])


def fit(
    loss: SoftmaxLoss, kept: BoolArray, start: FloatArray, basis: Basis, tolerance: float
) -> tuple[FloatArray, BoolArray]:
    """Fit one model to each subset by Newton's method with a backtracking line search.

    Args:
        loss: the loss that is minimised.
        kept: which rows each subset has, ``(rows, m)``.
        start: the model that subsets of all classes start from, ``(q, p, 1)``; others start from 0.
        basis: the basis of the preconditioner.
        tolerance: the last step moves no reduced logit of a row or test point by more.

    Returns:
        The models ``(q, p, m)``, and which of them converged ``(m,)``. Classes that a subset lacks
        have weights of 0 and take no part. Without rows the model is 0.
    """
    rows, weights = loss.rows, loss.weights
    onehot = loss.labels == np.arange(loss.n_classes)[:, None]
    present = loss.present(kept)
    fitted = np.where(present.all(axis=0), start, 0.0)
    converged = np.asarray(~kept.any(axis=0))
    active = np.flatnonzero(~converged)
    kept, present, models = kept[:, active], present[:, active], fitted[:, :, active]
    z = rows @ models
    losses, probs = _losses(loss, models, z, kept, present)
    largest_change = np.full(len(active), np.inf)
    for _ in range(_STEPS):
        if not len(active):
            break
        gradient = rows.T @ _full_logits_transposed((probs - onehot[:, :, None]) * kept)
        gradient += weights * models
        # far from the optimum rough steps are enough; close to it a precise step gains many digits
        precision = np.clip(0.1 * largest_change, 1e-3, 0.1)
        step, z_step, solved = _newton_step(loss, basis, probs, kept, present, gradient, precision)
        largest_change = np.maximum(_largest(z_step), _largest(loss.points @ step))
        slope = _inner(step, gradient)
        length = np.ones(len(active))
        for _ in range(_HALVINGS):
            new_models, new_z = models + length * step, z + length * z_step
            new_losses, probs = _losses(loss, new_models, new_z, kept, present)
            # Armijo's condition, with a slack for rounding
            lower = new_losses <= losses + 1e-4 * length * slope + 1e-12 * (1 + np.abs(losses))
            if lower.all():
                break
            length = np.where(lower, length, length / 2)
        models, z, losses = new_models, new_z, new_losses
        done = solved & lower & (length == 1) & (largest_change <= tolerance)
        fitted[:, :, active] = models
        converged[active] = done
        if done.any():
            going = ~done
            active, losses, largest_change = active[going], losses[going], largest_change[going]
            kept, present = kept[:, going], present[:, going]
            models, z, probs = models[:, :, going], z[:, :, going], probs[:, :, going]
    return fitted, converged


def full_logits(z: FloatArray) -> FloatArray:
    """Expand reduced logits z ``(q, rows, m)`` to logits ``(classes, rows, m)``."""
    return z if len(z) > 1 else np.concatenate([-_HALF * z, _HALF * z])


def _full_logits_transposed(residuals: FloatArray) -> FloatArray:
    """Apply the transpose of :func:`full_logits`: ``(classes, rows, m)`` to ``(q, rows, m)``."""
    return residuals if len(residuals) > 2 else _HALF * (residuals[1:] - residuals[:1])


def _probabilities(
    z: FloatArray, present: BoolArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the classes' probabilities, ``(classes, rows, m)``, and their logs."""
    logits = full_logits(z)
    if present is not None and not present.all():
        logits = np.where(present[:, None], logits, -np.inf)
    logits = logits - logits.max(axis=0)
    probs = np.exp(logits)
    total = probs.sum(axis=0)
    probs /= total
    logits -= np.log(total)
    return probs, logits


def _losses(
    loss: SoftmaxLoss, models: FloatArray, z: FloatArray, kept: BoolArray, present: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return the losses, ``(m,)``, and the classes' probabilities, ``(classes, rows, m)``."""
    probs, log_probs = _probabilities(z, present)
    of_labels = log_probs[loss.labels, np.arange(len(loss.labels))]
    losses = -np.where(kept, of_labels, 0.0).sum(axis=0)
    return losses + _inner(models, loss.weights * models) / 2, probs


def _newton_step(
    loss: SoftmaxLoss,
    basis: Basis,
    probs: FloatArray,
    kept: BoolArray,
    present: BoolArray,
    gradient: FloatArray,
    precision: FloatArray,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Solve Hessian step = -gradient by preconditioned conjugate gradients.

    Args:
        loss: the loss.
        basis: the basis of the preconditioner.
        probs: the classes' probabilities, ``(classes, rows, m)``.
        kept: ``(rows, m)``.
        present: ``(classes, m)``.
        gradient: ``(q, p, m)``.
        precision: the share of its first norm to which the residual is reduced, ``(m,)``.

    Returns:
        The step; the change of the rows' reduced logits; and for which masks the residual, in the
        norm of the preconditioner, has come down to its share ``precision``, ``(m,)``.
    """
    rows, weights = loss.rows, loss.weights
    two_classes = len(gradient) == 1
    # a row's Hessian is 2 p_0 p_1 for two classes (in reduced logits), else diag(p) - p p^T
    curvature = (2 * probs[:1] * probs[1:] if two_classes else probs) * kept
    totals = (curvature if two_classes else curvature * (1 - probs)).sum(axis=1)
    scales = 1 / (totals[:, None] * basis.eigenvalues + weights.max())
    n_present = present.sum(axis=0)
    inverse = basis.vectors.swapaxes(1, 2)

    def centre(models: FloatArray) -> FloatArray:
        of_present = np.where(present[:, None], models, 0.0)
        return np.where(present[:, None], of_present - of_present.sum(axis=0) / n_present, 0.0)

    def precondition(residual: FloatArray) -> FloatArray:
        # what all classes have in common changes no probability; absent classes take no part
        centred = residual if two_classes else centre(residual)
        scaled = np.matmul(basis.vectors, scales * np.matmul(inverse, centred))
        return scaled if two_classes else centre(scaled)

    residual = -gradient
    direction = precondition(residual)
    norm = _inner(residual, direction)  # squared, as is its target
    target = precision**2 * norm
    step, z_step = np.zeros_like(gradient), np.zeros_like(curvature[: len(gradient)])
    for _ in range(_INNER_STEPS):
        going = norm > target
        if not going.any():
            break
        z_direction = rows @ direction
        curved = curvature * z_direction
        if not two_classes:
            curved -= curvature * (probs * z_direction).sum(axis=0)
        product = rows.T @ curved + weights * direction
        along = _inner(direction, product)
        going &= along > 0
        length = np.divide(norm, along, out=np.zeros_like(norm), where=going)
        step += length * direction
        z_step += length * z_direction
        residual -= length * product
        scaled = precondition(residual)
        new_norm = _inner(residual, scaled)
        ratio = np.divide(new_norm, norm, out=np.zeros_like(norm), where=going)
        direction = scaled + ratio * direction
        norm = np.where(going, new_norm, norm)
    return step, z_step, norm <= target


def _largest(change: FloatArray) -> FloatArray:
    """Return the largest change of a reduced logit, ``(m,)``."""
    return np.asarray(np.abs(change).max(axis=(0, 1)))


def _inner(left: FloatArray, right: FloatArray) -> FloatArray:
    """Compute the inner products of models, ``(m,)``."""
    return np.asarray(np.einsum("qpm,qpm->m", left, right))
