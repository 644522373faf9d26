"""Gradients of each example's loss and each answer's log-probability, in the tuned parameters.

The stacked passes that train many subsets give them too: each sequence is a subset of its own, and
all subsets have the same parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.components.architecture import lock_of
from interplay.training.finetuning.adapters import Adapters, Layout
from interplay.training.finetuning.body import Body
from interplay.training.finetuning.engine import Engine
from interplay.training.finetuning.head import Candidates, choose_candidates
from interplay.training.finetuning.loop import train
from interplay.training.finetuning.rendering import EncodedQuestion
from interplay.training.finetuning.sequences import Fixed, stream_of, text_of

if TYPE_CHECKING:
    import torch

_TARGETS = 512
"""The target tokens of a pass, about; each takes a row of logits."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients at one point of a training, in its p tuned parameters.

    Attributes:
        rows: of each example's loss, the sum over its learned tokens, ``(rows, p)`` float32.
        drawn: the same with labels drawn from the model in place of the example's, ``(draws, rows,
            p)``: the mean of their outer products is the Fisher matrix of the examples, which for a
            softmax is the Gauss-Newton matrix.
        answers: of the log-probability of each answer and of what it is against, ``(questions, 2,
            p)``; zero where it is against nothing.
        logprobs: these log-probabilities, ``(questions, 2)``; NaN where there is none.
    """

    rows: torch.Tensor
    drawn: torch.Tensor
    answers: torch.Tensor
    logprobs: FloatArray


def gradients_along(
    engine: Engine,
    asked: Sequence[EncodedQuestion],
    rate: float,
    n_draws: int,
    rng: np.random.Generator,
) -> Iterator[Gradients]:
    """Train on all examples, and yield gradients at the end of each epoch.

    Args:
        engine: the model with its examples.
        asked: the questions whose answers' gradients are wanted.
        rate: the learning rate.
        n_draws: labels drawn for each learned token at the end of the last epoch.
        rng: draws them.
    """
    given = [(each.answer, each.against or each.answer) for each in asked]
    answers = engine.fixed([text_of(encoded) for both in given for encoded in both])
    rows, settings, body = engine.rows(), engine.settings, engine.body
    kept, seeds = np.ones((1, len(rows)), dtype=np.bool_), np.array([settings.seed])
    for epoch in range(1, settings.epochs + 1):
        n_now = n_draws if epoch == settings.epochs else 0
        with lock_of(body.model), body.open():
            candidates = choose_candidates(body, rows, answers, settings.vocabulary)
            vocabulary = choose_candidates(body, rows, answers, None)
            recipe = engine.recipe(epoch)
            adapters = train(
                body, engine.maps, rows, candidates, recipe, kept, seeds, np.array([rate])
            )
            of_rows, drawn = of_examples(body, adapters, rows, candidates, n_now, rng)
            of_both, logprobs = of_answers(body, adapters, answers, vocabulary)
        of_both = of_both.view(len(asked), 2, -1)
        logprobs = logprobs.reshape(-1, 2)
        for number, each in enumerate(asked):
            if each.against is None:
                of_both[number, 1], logprobs[number, 1] = 0.0, np.nan
        yield Gradients(of_rows, drawn, of_both, logprobs)


def of_examples(
    body: Body,
    adapters: Adapters,
    rows: Sequence[Fixed],
    candidates: Candidates,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``rows`` and ``drawn`` of :class:`Gradients`.

    Args:
        body: the model, opened.
        adapters: the parameters of one model.
        rows: the examples.
        candidates: the tokens that the softmax of training is over.
        n_draws: labels drawn for each target.
        rng: draws them.
    """
    import torch

    losses, drawn = [], []
    for part in _parts(rows):
        copies = _copied(body, adapters, part, candidates)
        losses.append(-copies.gradients(candidates.places(copies.targets)))
        chances = copies.logprobs.detach().double().exp().cpu().numpy().cumsum(axis=1)
        of_part = []
        for _ in range(n_draws):
            points = rng.random((len(chances), 1)) * chances[:, -1:]
            of_part.append(copies.gradients((chances < points).sum(axis=1)))
        drawn.append(torch.stack(of_part) if of_part else losses[-1][None][:0])
    return torch.cat(losses), torch.cat(drawn, dim=1)


def of_answers(
    body: Body, adapters: Adapters, answers: Sequence[Fixed], vocabulary: Candidates
) -> tuple[torch.Tensor, FloatArray]:
    """Return gradients ``(answers, p)`` of log-probabilities ``(answers,)`` of texts.

    Args:
        body: the model, opened.
        adapters: the parameters of one model.
        answers: the texts.
        vocabulary: all tokens.
    """
    import torch

    gradients, values = [], []
    for part in _parts(answers):
        copies = _copied(body, adapters, part, vocabulary)
        places = vocabulary.places(copies.targets)
        gradients.append(copies.gradients(places))
        values.append(np.bincount(copies.owners, weights=copies.at(places).detach().cpu().numpy()))
    return torch.cat(gradients), np.concatenate(values)


@dataclass(frozen=True, eq=False)
class _Copies:
    """A model for each sequence, all with the same parameters, and what they say.

    Attributes:
        parameters: of all models, stacked.
        logprobs: of the candidates, ``(targets, candidates)``, with their graph.
        targets: tokens, ``(targets,)``.
        owners: the sequence of each target, ``(targets,)``.
    """

    parameters: list[torch.Tensor]
    logprobs: torch.Tensor
    targets: IntArray
    owners: IntArray

    def at(self, places: IntArray) -> torch.Tensor:
        """The log-probabilities of one candidate for each target, ``(targets,)`` float64."""
        import torch

        chosen = torch.from_numpy(places).to(self.logprobs.device)[:, None]
        return self.logprobs.gather(1, chosen)[:, 0].double()

    def gradients(self, places: IntArray) -> torch.Tensor:
        """The gradients of their sum over each sequence, ``(sequences, p)``."""
        import torch

        parts = torch.autograd.grad(self.at(places).sum(), self.parameters, retain_graph=True)
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def _copied(
    body: Body, adapters: Adapters, sequences: Sequence[Fixed], candidates: Candidates
) -> _Copies:
    import torch

    count = len(sequences)
    copied = [
        tuple(one.expand(count, -1, -1).clone().requires_grad_(True) for one in of_map)
        for of_map in adapters.parameters
    ]
    copies = Adapters(adapters.maps, copied)
    numbers = np.arange(count)
    stream = stream_of(sequences, numbers, numbers)
    with torch.enable_grad(), copies.in_place():
        copies.layout = Layout.of(stream.owners, count, stream.states.device)
        read = body.run(stream.states, stream.positions, stream.segments)
        copies.layout = None
        read = read.index_select(0, torch.from_numpy(stream.at).to(read.device))
        logits = torch.nn.functional.linear(read, candidates.weight, candidates.bias)
        logprobs = body.finish(logits).float().log_softmax(dim=1)
    return _Copies(copies.flat(), logprobs, stream.targets, stream.owners[stream.at])


def _parts(sequences: Sequence[Fixed]) -> Iterator[Sequence[Fixed]]:
    """Cut sequences into passes of some target tokens."""
    first = n_targets = 0
    for number, sequence in enumerate(sequences):
        if n_targets and n_targets + len(sequence.targets) > _TARGETS:
            yield sequences[first:number]
            first, n_targets = number, 0
        n_targets += len(sequence.targets)
    yield sequences[first:]
