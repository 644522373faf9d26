r"""What gradients say of a fine-tuning, for comparison: first-order scores without retraining.

====================  =============================================================================
method                score of row i at question q
====================  =============================================================================
gradient dot product  :math:`-\nabla s_q \cdot \nabla L_i` at the end of the training on all rows
TracIn                the same, summed over the ends of the epochs, times the learning rate (Pruthi
                      et al. 2020, arXiv 2002.08484)
damped influence      :math:`-\nabla s_q^T (G + \lambda I)^{-1} \nabla L_i` at the end, with the
                      Gauss-Newton matrix G of all rows (Koh and Liang 2017, arXiv 1703.04730;
                      Grosse et al. 2023, arXiv 2308.03296)
leave-one-out         :math:`s_q` after training on all rows less that after training without i
====================  =============================================================================

:math:`L_i` is the sum of the row's losses over its learned tokens, and :math:`s_q` the score of the
question. Gradients are with respect to the tuned parameters. A player's score is the sum over its
rows. For a softmax G is the Fisher matrix: the mean of outer products of gradients whose labels are
drawn from the model. With few draws it has few more directions than rows, and the inverse is taken
among these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import FloatArray, whole
from interplay.ablation.evaluator import Evaluator
from interplay.explanation.explanation import Ablations
from interplay.explanation.faithfulness import rank_correlation
from interplay.fourier.spectrum import Spectrum
from interplay.training.finetuning.game import FineTuningGame

if TYPE_CHECKING:
    import torch

    from interplay.training.finetuning.gradients import Gradients

DAMPING = 0.1
"""The damping as a share of G's mean eigenvalue other than 0, as in arXiv 2308.03296."""
_DAMPINGS = tuple(10.0**power for power in range(-4, 4))
"""The shares that are tried where the damping is chosen on subsets."""
_LEAST = 1e-6
"""Eigenvalues below this share of the largest are those of rounding."""


def gradient_baselines(
    game: FineTuningGame,
    *,
    n_draws: int = 4,
    chosen_on: Ablations | None = None,
    random_state: int = 0,
) -> dict[str, Spectrum]:
    """Score players by gradients, as first-order spectra by the name of the method.

    The model is trained once, on all rows, by the recipe of the game and with its seed. A spectrum
    predicts that a player adds its score wherever it is kept. Only that of ``"damped influence"``
    is in the unit of the score; rank correlations (:func:`interplay.lds`) need none.

    Args:
        game: what is fine-tuned and asked.
        n_draws: labels drawn for each row, for the Gauss-Newton matrix.
        chosen_on: subsets and their values on which the damping is chosen, by rank correlation.
            They should not be those that judge the methods. ``None``: the damping is a tenth of
            the mean eigenvalue.
        random_state: seed of the draws.

    Returns:
        ``"gradient dot product"``, ``"TracIn"`` and ``"damped influence"``.
    """
    whole("n_draws", n_draws, 1)
    points = game.tuning.gradients(game.questions, n_draws, random_state)
    tracin = np.zeros((len(game.tuning.examples), len(game.questions)))
    for gradients in points:
        of_scores = score_gradients(game, gradients)
        dot = products(gradients.rows, of_scores)
        tracin += game.tuning.learning_rate * dot
    scores = {"gradient dot product": dot, "TracIn": tracin}
    shares = (DAMPING,) if chosen_on is None else _DAMPINGS
    solved = [influences(gradients, of_scores, share) for share in shares]
    best = 0
    if chosen_on is not None:
        values, masks = chosen_on.values, chosen_on.masks
        ranks = [rank_correlation(values, masks @ of_players(game, rows)) for rows in solved]
        best = int(np.argmax([np.nanmean(of_share) for of_share in ranks]))
    scores["damped influence"] = solved[best]
    return {name: first_order(of_players(game, rows)) for name, rows in scores.items()}


def leave_one_out(
    game: FineTuningGame, *, store: str | Path | None = None, progress: bool | None = None
) -> Spectrum:
    """Score each player by training without it: n + 1 retrainings.

    Args:
        game: what is fine-tuned and asked.
        store: as for ``explain``; masks in the store are not evaluated again.
        progress: as for ``explain``.

    Returns:
        A first-order spectrum, as of :func:`gradient_baselines`.

    Raises:
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    n_players = int(game.n_players)
    masks = np.vstack([np.ones((1, n_players), dtype=np.bool_), ~np.eye(n_players, dtype=np.bool_)])
    with Evaluator.of(game, store=store, progress=progress) as evaluator:
        values = evaluator.values(masks)
    return first_order(values[0] - values[1:])


def score_gradients(game: FineTuningGame, gradients: Gradients) -> torch.Tensor:
    """Return the gradients of the scores, ``(k, p)``, from those of the log-probabilities."""
    import torch

    answers, others = gradients.answers.unbind(dim=1)
    if game.score == "logprob":
        return answers
    if game.score == "prob":
        chances = torch.as_tensor(np.exp(gradients.logprobs[:, 0])).to(answers)
        return answers * chances[:, None]
    return answers - others


def products(rows: torch.Tensor, of_scores: torch.Tensor) -> FloatArray:
    """Return what a step down each row's gradient adds to each score, ``(rows, k)``."""
    return np.asarray(-(rows @ of_scores.T).double().cpu().numpy())


def influences(gradients: Gradients, of_scores: torch.Tensor, share: float) -> FloatArray:
    r"""Return what each row adds to each score by damped influence, ``(rows, k)``.

    With the factors F of G = F^T F, the inverse is
    :math:`(G + \lambda)^{-1} = (1 - F^T (F F^T + \lambda)^{-1} F) / \lambda`.

    Args:
        gradients: with labels drawn.
        of_scores: the gradients of the scores, ``(k, p)``.
        share: the damping as a share of G's mean eigenvalue other than 0.
    """
    factors = gradients.drawn.flatten(0, 1) / len(gradients.drawn) ** 0.5
    inner = (factors @ factors.T).double().cpu().numpy()
    eigenvalues = np.linalg.eigvalsh(inner)
    damping = share * float(eigenvalues[eigenvalues > _LEAST * eigenvalues[-1]].mean())
    by_rows = -products(factors, gradients.rows)
    by_scores = -products(factors, of_scores)
    inner[np.diag_indices_from(inner)] += damping
    inside = by_rows.T @ np.linalg.solve(inner, by_scores)
    return np.asarray((products(gradients.rows, of_scores) + inside) / damping)


def of_players(game: FineTuningGame, scores: FloatArray) -> FloatArray:
    """Sum scores of rows ``(rows, k)`` over the rows of each player, ``(n, k)``."""
    sums = np.zeros((game.n_players, scores.shape[1]))
    np.add.at(sums, game.grouping.owners, scores)
    return sums


def first_order(scores: FloatArray) -> Spectrum:
    """Make the spectrum of the function that adds up the scores ``(n, k)`` of kept players."""
    n_players = len(scores)
    terms: Mapping[tuple[int, ...], FloatArray] = {
        (): scores.sum(axis=0) / 2,
        **{(player,): -scores[player] / 2 for player in range(n_players)},
    }
    return Spectrum.from_dict(n_players, terms)
