"""The head: losses over candidate tokens, and log-probabilities over the whole vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import FloatArray, IntArray
from interplay.training.finetuning.body import Body
from interplay.training.finetuning.sequences import Fixed

if TYPE_CHECKING:
    import torch

_BLOCK = 2048
"""Tokens of the vocabulary whose logits are held at once: they stay in the processor's caches."""
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Candidates:
    """The tokens that the softmax of training is over.

    Attributes:
        tokens: which, ascending, ``(c,)``.
        weight: their rows of the head's weights, ``(c, width)``.
        bias: their part of the head's bias, or ``None``.
    """

    tokens: IntArray
    weight: torch.Tensor
    bias: torch.Tensor | None

    def places(self, targets: IntArray) -> IntArray:
        """Return where targets are among the candidates."""
        return np.searchsorted(self.tokens, targets)


def choose_candidates(
    body: Body, sequences: Sequence[Fixed], needed: Sequence[Fixed], vocabulary: int | None
) -> Candidates:
    """Choose the tokens that the softmax of training is over.

    Those are all targets, and the tokens to which the model gives most probability at the targets
    of the examples before any training.

    Args:
        body: the model, opened.
        sequences: the examples.
        needed: the questions, whose answers' tokens are candidates too.
        vocabulary: how many; all targets are taken, even if they are more. ``None``: all tokens.
    """
    import torch

    head = body.head
    weight, bias = head.weight.detach(), getattr(head, "bias", None)
    bias = None if bias is None else bias.detach()
    n_all = len(weight)
    if vocabulary is None or vocabulary >= n_all:
        return Candidates(np.arange(n_all), weight, bias)
    targets = np.unique(np.concatenate([each.targets for each in (*sequences, *needed)]))
    share = torch.zeros(n_all, device=weight.device)
    with torch.no_grad():
        for sequence in sequences:
            logits = body.finish(torch.nn.functional.linear(sequence.base, weight, bias))
            share += logits.softmax(dim=1).sum(dim=0)
    share[torch.from_numpy(targets).to(share.device)] = torch.inf
    # equal shares go by number, so that the choice is the same on every machine
    order = torch.argsort(share, descending=True, stable=True)[: max(vocabulary, len(targets))]
    tokens = order.sort().values
    chosen = weight[tokens].contiguous(), None if bias is None else bias[tokens]
    return Candidates(tokens.cpu().numpy(), *chosen)


def log_probabilities(body: Body, read: torch.Tensor, targets: IntArray) -> FloatArray:
    """Return the log-probability of each target over the whole vocabulary, ``(targets,)``.

    Args:
        body: the model, opened.
        read: what the head reads at the token before each target, ``(targets, width)``.
        targets: tokens, ``(targets,)``.
    """
    import torch

    weight, bias = body.head.weight, getattr(body.head, "bias", None)
    block = len(weight) if body.finishes else _BLOCK
    rows = _ROWS if block == _BLOCK else max(1, _ROWS * _BLOCK * 8 // block)
    values = []
    for first in range(0, len(read), rows):
        part = read[first : first + rows]
        wanted = torch.from_numpy(targets[first : first + rows]).to(part.device)
        total = part.new_full((len(part),), -torch.inf)
        right = part.new_empty(len(part))
        for low in range(0, len(weight), block):
            here = slice(low, low + block)
            logits = torch.nn.functional.linear(
                part, weight[here], None if bias is None else bias[here]
            )
            logits = body.finish(logits)
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
            inside = ((wanted >= low) & (wanted < low + block)).nonzero()[:, 0]
            right[inside] = logits[inside, wanted[inside] - low]
        values.append((right - total).double().cpu().numpy())
    return np.concatenate(values) if values else np.empty(0)
