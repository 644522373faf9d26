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
_ROWS = 512


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


def log_probabilities(
    body: Body, read: torch.Tensor, rows: IntArray, targets: IntArray
) -> FloatArray:
    """Return the log-probability of each target over the whole vocabulary, ``(targets,)``.

    Args:
        body: the model, opened.
        read: what the head reads at some tokens, ``(tokens, width)``.
        rows: the one before each target, ``(targets,)``.
        targets: tokens, ``(targets,)``.
    """
    import torch

    weight, bias = body.head.weight, getattr(body.head, "bias", None)
    block = len(weight) if body.finishes else _BLOCK
    of, wanted = (torch.from_numpy(each).to(read.device) for each in (rows, targets))
    total = read.new_full((len(read),), -torch.inf)
    right = read.new_empty(len(targets))
    for low in range(0, len(weight), block):
        here = slice(low, low + block)
        of_bias = None if bias is None else bias[here]
        for first in range(0, len(read), _ROWS):
            part = slice(first, first + _ROWS)
            logits = body.finish(torch.nn.functional.linear(read[part], weight[here], of_bias))
            total[part] = torch.logaddexp(total[part], logits.logsumexp(dim=1))
            inside = (of >= first) & (of < first + _ROWS) & (wanted >= low) & (wanted < here.stop)
            at = inside.nonzero()[:, 0]
            right[at] = logits[of[at] - first, wanted[at] - low]
    return (right - total[of]).double().cpu().numpy()
