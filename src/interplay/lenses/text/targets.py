"""Targets: the number, or the numbers, that an ablated prompt is scored by.

The targets here are functions of the log-probabilities of given answers' tokens, which a local
model and a server can both tell. A target of the user's own, for local models, is anything with a
method :meth:`Target.prepare`, which may read the logits as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

from interplay._types import FloatArray

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_CERTAIN = -1e-12
"""Log-probabilities are cut here before they are put on the logit scale, which keeps it finite."""


@dataclass(frozen=True)
class Readout:
    """What a model is fed after a prompt, and what is read of its logits there.

    Attributes:
        feeds: token sequences, each fed after the prompt on its own (one forward pass shares what
            they have in common); ``()`` feeds nothing.
        read: from the number of a feed of f tokens and the logits at the last f + 1 positions,
            ``(b, f + 1, vocabulary)``, to what is kept of them, ``(b, r)`` float64.
        combine: from what was kept of each feed to the values, ``(b,)``, or ``(b, k)``.
        outputs: the names of the k outputs; empty for values ``(b,)``.
    """

    feeds: tuple[tuple[int, ...], ...]
    read: Callable[[int, torch.Tensor], torch.Tensor]
    combine: Callable[[Sequence[FloatArray]], FloatArray]
    outputs: tuple[str, ...] = ()


class Target(Protocol):
    """What is measured of a model's next-token logits."""

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> Readout:
        """Fix the target's tokens."""
        ...


@dataclass(frozen=True)
class Response:
    """How likely a given response is, token by token after the prompt (teacher forcing).

    Attributes:
        text: the response, with its leading space where the prompt ends without one; ``None``: what
            the model itself answers to the whole prompt, decoded greedily.
        score: ``"logprob"``: the sum of the tokens' log-probabilities; ``"mean_logprob"``: their
            mean; ``"prob"``: the response's probability p, the exponential of the sum; ``"logit"``:
            log(p / (1 - p)), p on the logit scale; ``"token_logprobs"``: each token's
            log-probability, an output each.
    """

    text: str | None = None
    score: Literal["logprob", "mean_logprob", "prob", "logit", "token_logprobs"] = "logprob"

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> Readout:
        """See :meth:`Target.prepare`."""
        return _readout(self, tokenizer)

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        if self.score not in _SCORES:
            raise ValueError(f"score={self.score!r} is unknown; choose one of {', '.join(_SCORES)}")
        return (self.text or "",)

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """The outputs' names, from each answer's tokens as text."""
        return tuple(tokens[0]) if self.score == "token_logprobs" else ()

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """Values from each answer's tokens' log-probabilities, ``(b, tokens)`` each."""
        (each,) = logprobs
        total: FloatArray = each.sum(axis=1)
        if self.score == "token_logprobs":
            return each
        if self.score == "logprob":
            return total
        if self.score == "mean_logprob":
            return np.asarray(total / each.shape[1])
        if self.score == "prob":
            return np.asarray(np.exp(total))
        total = np.minimum(total, _CERTAIN)
        return np.asarray(total - np.log(-np.expm1(total)))


_SCORES = ("logprob", "mean_logprob", "prob", "logit", "token_logprobs")


@dataclass(frozen=True)
class Options:
    """How likely each of several answers is, an output each.

    Attributes:
        texts: the answers, of one or more tokens each, with their leading spaces.
        score: ``"prob"``: each answer's probability; ``"logprob"``: its logarithm; ``"share"``: its
            share of the answers' probabilities together.
    """

    texts: tuple[str, ...]
    score: Literal["prob", "logprob", "share"] = "prob"

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> Readout:
        """See :meth:`Target.prepare`."""
        return _readout(self, tokenizer)

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        texts = tuple(self.texts)
        if len(texts) < 2 or len(set(texts)) < len(texts):
            raise ValueError(
                f"texts={self.texts!r} are not two or more different answers; "
                "use Response for a single one"
            )
        if self.score not in ("prob", "logprob", "share"):
            raise ValueError(f"score={self.score!r} is unknown; choose one of prob, logprob, share")
        return texts

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """The outputs' names: the answers."""
        return tuple(self.texts)

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """Values from each answer's tokens' log-probabilities, ``(b, tokens)`` each."""
        totals = np.stack([each.sum(axis=1) for each in logprobs], axis=1)
        if self.score == "logprob":
            return totals
        if self.score == "share":
            totals -= np.logaddexp.reduce(totals, axis=1, keepdims=True)
        return np.asarray(np.exp(totals))


@dataclass(frozen=True)
class LogitDifference:
    """The next token's logit for one answer minus that for another.

    Attributes:
        positive: an answer of one token, with its leading space if it has one.
        negative: the other.
    """

    positive: str
    negative: str

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> Readout:
        """See :meth:`Target.prepare`."""
        for answer in self.answers:
            tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
            if len(tokens) != 1:
                raise ValueError(
                    f"the answer {answer!r} is {len(tokens)} tokens, but a logit difference needs "
                    "answers of one token (often with a leading space); use Response for longer"
                )
        return _readout(self, tokenizer)

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        return self.positive, self.negative

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """No names: there is one output."""
        return ()

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """The difference; of logits or of log-probabilities, which differ by what cancels here."""
        positive, negative = logprobs
        return np.asarray(positive[:, 0] - negative[:, 0])


AnswerTarget: TypeAlias = Response | Options | LogitDifference
"""The targets made of answers' log-probabilities."""


def _readout(target: AnswerTarget, tokenizer: PreTrainedTokenizerBase) -> Readout:
    """Feed each answer but its last token; keep its tokens' log-probabilities."""
    ids: list[tuple[int, ...]] = []
    for answer in target.answers:
        tokens = tuple(tokenizer(answer, add_special_tokens=False)["input_ids"])
        if not tokens:
            raise ValueError(f"the response {answer!r} has no tokens; give a response to score")
        ids.append(tokens)

    def read(answer: int, logits: torch.Tensor) -> torch.Tensor:
        import torch

        # one position at a time: the vocabulary in float64 is what takes memory here
        return torch.stack(
            [
                logits[:, at].double().log_softmax(dim=-1)[:, token]
                for at, token in enumerate(ids[answer])
            ],
            dim=1,
        )

    return Readout(
        feeds=tuple(tokens[:-1] for tokens in ids),
        read=read,
        combine=target.combine,
        outputs=target.outputs([[tokenizer.decode([t]) for t in tokens] for tokens in ids]),
    )
