r"""What gradients say of a fine-tuning, for comparison: first-order scores without retraining.

====================  =============================================================================
method                score of row i at question q
====================  =============================================================================
gradient dot product  :math:`-\nabla s_q \cdot \nabla L_i` at the end of the training on all rows
TracIn                the same, summed over the ends of the epochs, times the learning rate (Pruthi
                      et al. 2020, arXiv 2002.08484)
damped influence      :math:`-\nabla s_q^T (G + \lambda I)^{-1} \nabla L_i` at the end, with the
                      Gauss-Newton matrix G of all rows (Koh and Liang 2017, arXiv 1703.04730; Grosse
                      et al. 2023, arXiv 2308.03296)
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, FloatArray, whole
from interplay.ablation.evaluator import Evaluator
from interplay.explanation.explanation import Ablations
from interplay.explanation.faithfulness import rank_correlation
from interplay.fourier.spectrum import Spectrum
from interplay.training.finetuning.game import FineTuningGame

if TYPE_CHECKING:
    import torch

    from interplay.training.finetuning.checkpoints import Checkpoint

DAMPING = 0.1
"""The damping as a share of G's mean eigenvalue other than 0, as in arXiv 2308.03296."""
_DAMPINGS = tuple(10.0**power for power in range(-4, 4))
"""The shares that are tried where the damping is chosen on subsets."""
_KEY = 0x696E66


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients at one point of a training, in the p tuned parameters.

    Attributes:
        rows: of each row's loss, ``(rows, p)`` float32.
        questions: of each question's score, ``(k, p)``.
        fisher: factors of G: G is ``fisher.T @ fisher``, ``(draws, p)``; no draws: it was not asked
            for.
    """

    rows: torch.Tensor
    questions: torch.Tensor
    fisher: torch.Tensor


def gradient_baselines(
    game: FineTuningGame,
    *,
    n_draws: int = 4,
    chosen_on: Ablations | None = None,
    random_state: int = 0,
) -> dict[str, Spectrum]:
    """Score players by gradients, as first-order spectra by the name of the method.

    The model is trained once, on all rows, by the recipe of the game and with its seed. A spectrum
    predicts that a player adds its score wherever it is kept. Its unit is that of the score only for
    ``"damped influence"``; rank correlations (:func:`interplay.lds`) do not need one.

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
    everything = np.ones(len(game.tuning.examples), dtype=np.bool_)
    checkpoints = game.tuning.checkpoints(game.questions, everything, game.tuning.seed)
    generator = np.random.default_rng([_KEY, random_state])
    tracin = np.zeros((len(everything), len(game.questions)))
    for number, checkpoint in enumerate(checkpoints):
        last = number == len(checkpoints) - 1
        gradients = gradients_at(game, checkpoint, n_draws if last else 0, generator)
        dot = products(gradients)
        tracin += game.tuning.learning_rate * dot
    scores = {"gradient dot product": dot, "TracIn": tracin}
    shares = [DAMPING] if chosen_on is None else list(_DAMPINGS)
    solved = [influences(gradients, share) for share in shares]
    if chosen_on is not None:
        ranks = [
            np.nanmean(rank_correlation(chosen_on.values, chosen_on.masks @ of_players(game, rows)))
            for rows in solved
        ]
        solved = [solved[int(np.argmax(ranks))]]
    scores["damped influence"] = solved[0]
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


def gradients_at(
    game: FineTuningGame, checkpoint: Checkpoint, n_draws: int, rng: np.random.Generator
) -> Gradients:
    """Compute the gradients of all rows and questions at a checkpoint.

    Args:
        game: rows and questions.
        checkpoint: the model at one point of its training.
        n_draws: labels drawn for each row, for G.
        rng: draws them.
    """
    import torch

    def flat(value: torch.Tensor) -> torch.Tensor:
        parts = torch.autograd.grad(
            value, checkpoint.parameters, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.detach().reshape(-1) for part in parts])

    rows, fisher = [], []
    for number in range(len(game.tuning.examples)):
        logprobs = checkpoint.row_logits(number).log_softmax(dim=-1)
        targets = checkpoint.row_targets(number)
        rows.append(flat(-logprobs.gather(-1, targets[:, None]).sum()))
        chances = logprobs.detach().exp().double().numpy()
        for _ in range(n_draws):
            below = rng.random((len(chances), 1)) * chances.sum(axis=1, keepdims=True)
            drawn = np.minimum((chances.cumsum(axis=1) < below).sum(axis=1), chances.shape[1] - 1)
            labels = torch.as_tensor(drawn, device=logprobs.device)
            fisher.append(flat(-logprobs.gather(-1, labels[:, None]).sum()) / n_draws**0.5)
    questions = []
    for number, question in enumerate(game.questions):
        answer, against = checkpoint.question_logprobs(number).unbind()
        score = answer.exp() if game.score == "prob" else answer
        if question.against is not None and game.score in ("auto", "margin"):
            score = answer - against
        questions.append(flat(score))
    empty = torch.zeros((0, rows[0].numel()))
    return Gradients(
        torch.stack(rows), torch.stack(questions), torch.stack(fisher) if fisher else empty
    )


def products(gradients: Gradients) -> FloatArray:
    """What a step along each row's gradient adds to each score, ``(rows, k)``."""
    return np.asarray(-(gradients.rows @ gradients.questions.T).double().numpy())


def influences(gradients: Gradients, share: float) -> FloatArray:
    """What each row adds to each score by damped influence, ``(rows, k)``.

    With the factors F of G = F^T F, the inverse is
    :math:`(G + \\lambda)^{-1} = (1 - F^T (F F^T + \\lambda)^{-1} F) / \\lambda`.

    Args:
        gradients: with factors of G.
        share: the damping as a share of G's mean eigenvalue other than 0.
    """
    factors = gradients.fisher
    inner = (factors @ factors.T).double().numpy()
    eigenvalues = np.linalg.eigvalsh(inner)
    positive = eigenvalues[eigenvalues > 1e-7 * eigenvalues[-1]] if len(eigenvalues) else []
    damping = share * float(np.mean(positive)) if len(positive) else share
    by_rows = (factors @ gradients.rows.T).double().numpy()
    by_questions = (factors @ gradients.questions.T).double().numpy()
    inner[np.diag_indices_from(inner)] += damping
    inside = by_rows.T @ np.linalg.solve(inner, by_questions)
    return np.asarray((products(gradients) + inside) / damping)


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
