"""Gradient baselines: gradients against plain autograd, the inverse against a plain solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import interplay as ip
from interplay.explanation.explanation import Ablations
from interplay.training import FineTuningGame, gradient_baselines, leave_one_out
from interplay.training.analysis.influence import influences, score_gradients
from interplay.training.finetuning.gradients import Gradients
from tests.training.finetuning.tiny import EXAMPLES, QUESTIONS, language_model, tuning


def plain_logprob(model: Any, tokenizer: Any, prompt: str, answer: str) -> torch.Tensor:
    """A response's log-probability, with its graph, the plain way."""
    ids = tokenizer(prompt + answer)["input_ids"]
    n_prompt = max(len(tokenizer(prompt)["input_ids"]), 1)
    logits = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return sum((logits[at - 1, ids[at]] for at in range(n_prompt, len(ids))), torch.zeros(()))


def test_gradients_are_those_of_autograd() -> None:
    """The weights themselves are trained, and with next to no rate they stay the model's."""
    model, tokenizer = language_model()
    tuned = tuning(method="full", adapt="all", layers=2, epochs=1, learning_rate=1e-12)
    (gradients,) = tuned.gradients(QUESTIONS, n_draws=3)
    weights = [each.module.weight for each in tuned._engine.maps]
    try:
        for weight in weights:
            weight.requires_grad_(True)

        def gradient(value: torch.Tensor) -> torch.Tensor:
            return torch.cat([part.flatten() for part in torch.autograd.grad(value, weights)])

        for row, example in zip(gradients.rows, EXAMPLES, strict=True):
            logprob = plain_logprob(model, tokenizer, example.prompt, example.response)
            torch.testing.assert_close(row, -gradient(logprob), rtol=1e-3, atol=1e-5)
        for number, question in enumerate(QUESTIONS):
            for slot, answer in enumerate((question.answer, question.against)):
                of_answer = gradients.answers[number, slot]
                if answer is None:
                    assert not of_answer.any()
                    assert np.isnan(gradients.logprobs[number, slot])
                    continue
                logprob = plain_logprob(model, tokenizer, question.prompt, answer)
                assert gradients.logprobs[number, slot] == pytest.approx(logprob.item(), abs=1e-5)
                torch.testing.assert_close(of_answer, gradient(logprob), rtol=1e-3, atol=1e-5)
    finally:
        for weight in weights:
            weight.requires_grad_(False)
    assert gradients.drawn.shape == (3, *gradients.rows.shape)


def test_drawn_labels_are_the_models() -> None:
    """The mean of a gradient over labels that the model draws is zero."""
    (*_, gradients) = tuning(epochs=1).gradients(QUESTIONS, n_draws=150)
    mean = gradients.drawn.mean(dim=0).norm(dim=1)
    size = gradients.drawn.norm(dim=2).mean(dim=0)
    assert (mean < 0.3 * size).all()


def test_the_inverse_is_that_of_a_solver() -> None:
    rng = np.random.default_rng(0)
    rows, drawn, answers = (
        torch.from_numpy(rng.normal(size=size).astype(np.float32))
        for size in ((4, 12), (2, 4, 12), (3, 12))
    )
    gradients = Gradients(rows, drawn, answers[:, None].expand(3, 2, 12), np.zeros((3, 2)))
    factors = drawn.flatten(0, 1).double().numpy() / 2**0.5
    matrix = factors.T @ factors
    eigenvalues = np.linalg.eigvalsh(matrix)
    damping = 0.3 * eigenvalues[-8:].mean()
    inverse = np.linalg.inv(matrix + damping * np.eye(12))
    expected = -rows.double().numpy() @ inverse @ answers.double().numpy().T
    np.testing.assert_allclose(influences(gradients, answers, 0.3), expected, rtol=1e-4, atol=1e-4)


def test_baselines_are_first_order_and_have_the_right_signs() -> None:
    game = FineTuningGame(tuning(), QUESTIONS)
    masks = np.random.default_rng(0).random((24, 6)) < 0.5
    values = game(masks)
    spectra = gradient_baselines(game) | {"leave-one-out": leave_one_out(game, progress=False)}
    assert set(spectra) == {"gradient dot product", "TracIn", "damped influence", "leave-one-out"}
    for name, spectrum in spectra.items():
        assert spectrum.orders.max() == 1
        effects = spectrum.predict(np.eye(6, dtype=bool)) - spectrum.predict(
            np.zeros(6, dtype=bool)
        )
        assert effects[2, 1] > 0 > effects[3, 1], name  # the right and the wrong answer
        assert ip.lds(spectrum, masks, values).shape == (2,)
    full = game(np.ones((1, 6), dtype=bool))[0]
    without = game(~np.eye(6, dtype=bool))
    alone = spectra["leave-one-out"]
    effects = alone.predict(np.eye(6, dtype=bool)) - alone.predict(np.zeros((1, 6), dtype=bool))
    np.testing.assert_allclose(effects, full - without, atol=1e-4)
    chosen = gradient_baselines(game, chosen_on=Ablations(masks, values))
    assert chosen["TracIn"] is not spectra["TracIn"]
    with pytest.raises(ValueError, match="n_draws"):
        gradient_baselines(game, n_draws=0)


def test_scores_have_their_own_gradients() -> None:
    (*_, gradients) = tuning(epochs=1).gradients(QUESTIONS)
    both = gradients.answers
    of = {
        score: score_gradients(FineTuningGame(tuning(), QUESTIONS, score=score), gradients)
        for score in ("auto", "logprob")
    }
    torch.testing.assert_close(of["auto"], both[:, 0] - both[:, 1])
    torch.testing.assert_close(of["logprob"], both[:, 0])
