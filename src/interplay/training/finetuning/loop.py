"""The loop: Adam on minibatches, for many subsets in parallel, and what the trained models say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.training.finetuning.adapters import Adapters, Layout, Method, initial
from interplay.training.finetuning.body import Body
from interplay.training.finetuning.head import Candidates, log_probabilities
from interplay.training.finetuning.maps import Map
from interplay.training.finetuning.sequences import Fixed, Stream, stream_of

if TYPE_CHECKING:
    import torch

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_SCORED_TOKENS = 2048
"""The tokens of a pass that scores."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        method: ``"lora"`` or ``"full"``.
        rank: of the low-rank adapters.
        epochs: passes over the examples.
        batch: examples of a minibatch, kept or not.
    """

    method: Method
    rank: int
    epochs: int
    batch: int

    def minibatches(self, n_rows: int, seed: int) -> list[IntArray]:
        """Return the rows of each step, as a seed orders them."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        orders = [torch.randperm(n_rows, generator=generator).numpy() for _ in range(self.epochs)]
        return [
            order[first : first + self.batch]
            for order in orders
            for first in range(0, n_rows, self.batch)
        ]


def train(
    body: Body,
    maps: Sequence[Map],
    sequences: Sequence[Fixed],
    candidates: Candidates,
    recipe: Recipe,
    kept: BoolArray,
    seeds: IntArray,
    rates: FloatArray,
) -> Adapters:
    """Train one model for each subset.

    Args:
        body: the model, opened.
        maps: what is tuned.
        sequences: the examples.
        candidates: the tokens that the softmax is over.
        recipe: how to train.
        kept: which examples each subset keeps, ``(m, rows)``.
        seeds: ``(m,)``.
        rates: the learning rate of each subset, ``(m,)``.
    """
    import torch

    adapters = Adapters(maps, initial(maps, seeds, recipe.rank, recipe.method))
    parameters = adapters.flat()
    device = body.model.device
    adam = _Adam(parameters, torch.from_numpy(rates).to(device, torch.float32))
    weight, bias = candidates.weight, candidates.bias
    with adapters.in_place():
        for rows, subsets in _steps(recipe, kept, seeds):
            stream = stream_of(sequences, rows, subsets)
            owners = stream.owners[stream.at]
            counts = np.bincount(owners, minlength=len(kept))
            shares = torch.from_numpy(1.0 / counts[owners]).to(device, torch.float32)
            for parameter in parameters:
                parameter.requires_grad_(True)
            with torch.enable_grad():
                read = _read(body, adapters, stream, len(kept), stream.at)
                logits = body.finish(torch.nn.functional.linear(read, weight, bias))
                targets = torch.from_numpy(candidates.places(stream.targets)).to(device)
                losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
                gradients = torch.autograd.grad((losses * shares).sum(), parameters)
            for parameter in parameters:
                parameter.requires_grad_(False)
            adam.step(gradients, counts > 0)
    return adapters


def score(
    body: Body, adapters: Adapters, sequences: Sequence[Fixed], n_subsets: int
) -> list[FloatArray]:
    """Return the log-probabilities of each sequence's targets, ``(subsets, targets)`` each.

    Args:
        body: the model, opened.
        adapters: the trained parameters.
        sequences: the texts.
        n_subsets: how many subsets the adapters are of.
    """
    import torch

    values: list[FloatArray] = []
    n_tokens = np.array([sequence.n_tokens for sequence in sequences]) * n_subsets
    passes = np.cumsum(n_tokens) // _SCORED_TOKENS
    with torch.no_grad(), adapters.in_place():
        for numbers in (np.flatnonzero(passes == number) for number in np.unique(passes)):
            copies = np.repeat(numbers, n_subsets)
            stream = stream_of(sequences, copies, np.tile(np.arange(n_subsets), len(numbers)))
            rows, of = np.unique(stream.at, return_inverse=True)
            read = _read(body, adapters, stream, n_subsets, rows)
            logprobs = log_probabilities(body, read, of, stream.targets)
            counts = [n_subsets * len(sequences[number].targets) for number in numbers.tolist()]
            values += [
                part.reshape(n_subsets, -1) for part in np.split(logprobs, np.cumsum(counts)[:-1])
            ]
    return values


def base_scores(body: Body, sequences: Sequence[Fixed]) -> list[FloatArray]:
    """Return the log-probabilities of each sequence's targets before any training."""
    import torch

    if not sequences:
        return []
    counts = np.cumsum([len(sequence.targets) for sequence in sequences])
    with torch.no_grad():
        logprobs = log_probabilities(
            body,
            torch.cat([sequence.base for sequence in sequences]),
            np.arange(counts[-1]),
            np.concatenate([sequence.targets for sequence in sequences]),
        )
    return np.split(logprobs, counts[:-1])


def _read(
    body: Body, adapters: Adapters, stream: Stream, n_subsets: int, rows: IntArray
) -> torch.Tensor:
    """What the head reads at some tokens of a stream."""
    import torch

    adapters.layout = Layout.of(stream.owners, n_subsets, stream.states.device)
    read = body.run(stream.states, stream.positions, stream.segments)
    adapters.layout = None
    if len(rows) == len(read):
        return read
    return read.index_select(0, torch.from_numpy(rows).to(read.device))


def _steps(recipe: Recipe, kept: BoolArray, seeds: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield each step's kept rows, ascending, and the subset that each is for."""
    n_rows = kept.shape[1]
    unique, where = np.unique(seeds, return_inverse=True)
    orders = [recipe.minibatches(n_rows, int(seed)) for seed in unique]
    for step in range(len(orders[0])):
        present = np.zeros((len(unique), n_rows), dtype=np.bool_)
        for of_seed, minibatches in zip(present, orders, strict=True):
            of_seed[minibatches[step]] = True
        rows, subsets = np.nonzero((present[where] & kept).T)
        if len(rows):
            yield rows, subsets


class _Adam:
    """Adam (Kingma and Ba 2015) on stacked parameters; a subset without a gradient stands still."""

    def __init__(self, parameters: Sequence[torch.Tensor], rates: torch.Tensor) -> None:
        import torch

        self.parameters = parameters
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]
        self.rates = rates
        self.steps = np.zeros(len(rates), dtype=np.int64)

    def step(self, gradients: Sequence[torch.Tensor], moves: BoolArray) -> None:
        import torch

        self.steps += moves
        rows = (
            None if moves.all() else torch.from_numpy(np.flatnonzero(moves)).to(self.rates.device)
        )
        counts = self.steps[moves]
        one, two = (1 - beta**counts for beta in _BETAS)
        device = self.rates.device
        root = torch.from_numpy(np.sqrt(two)).to(device, torch.float32)[:, None, None]
        size = self.rates if rows is None else self.rates[rows]
        size = (size / torch.from_numpy(one).to(size))[:, None, None]
        for parameter, first, second, gradient in zip(
            self.parameters, self.first, self.second, gradients, strict=True
        ):
            if rows is None:
                _update(parameter, first, second, gradient, root, size)
                continue
            part, of_first, of_second = parameter[rows], first[rows], second[rows]
            _update(part, of_first, of_second, gradient[rows], root, size)
            parameter[rows], first[rows], second[rows] = part, of_first, of_second


def _update(
    parameter: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    gradient: torch.Tensor,
    root: torch.Tensor,
    size: torch.Tensor,
) -> None:
    """One step of Adam in place, in torch's order of operations."""
    one, two = _BETAS
    first.lerp_(gradient, 1 - one)
    second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
    below = second.sqrt().div_(root).add_(_EPSILON)
    parameter.sub_((first / below).mul_(size))
