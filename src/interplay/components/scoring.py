"""Scoring: an item's scores read off logits, whatever the model's logits are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.components.tasks import Item, LogitScore, Score
from interplay.text.targets import LogitFunction, Options, Readout, Response

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def readout_of(
    item: Item,
    scores: Sequence[Score],
    answers: str | None,
    tokenizer: PreTrainedTokenizerBase,
    config: Any,
) -> Readout:
    """How an item's scores are read.

    Args:
        item: the item.
        scores: what is measured.
        answers: what the logits are about (see ``Anatomy.answers``).
        tokenizer: the model's.
        config: the model's configuration, for the names of a classifier's classes.

    Returns:
        A readout whose values are ``(b, scores)``.

    Raises:
        ValueError: an answer of several tokens for a mask, a wrong answer of the same tokens as the
            right one, or a class that does not exist.
    """
    readouts: list[Readout] = []
    n_tokens = 1
    if any(not isinstance(score, LogitScore) for score in scores):
        readouts.append(_logprobs(item, answers, tokenizer, config))
        if answers == "next":
            n_tokens = len(tokenizer(item.answer, add_special_tokens=False)["input_ids"])
    functions = [score for score in scores if isinstance(score, LogitScore)]
    readouts += [_function(score, item).prepare(tokenizer) for score in functions]
    first = np.cumsum([0, *(len(each.feeds) for each in readouts)]).tolist()
    feeds = tuple(fed for each in readouts for fed in each.feeds)
    if answers != "next" and any(feeds):
        several = next(
            answer
            for answer in (item.answer, *item.wrong)
            if len(tokenizer(answer, add_special_tokens=False)["input_ids"]) > 1
        )
        raise ValueError(
            f"the answer {several!r} is several tokens, but a mask token stands for one; give "
            "answers of one token"
        )

    def read(feed: int, logits: torch.Tensor) -> torch.Tensor:
        number = max(n for n, start in enumerate(first[:-1]) if start <= feed)
        return readouts[number].read(feed - first[number], logits)

    def combine(kept: Sequence[FloatArray]) -> FloatArray:
        each = [
            readout.combine(kept[start:stop])
            for readout, start, stop in zip(readouts, first, first[1:], strict=False)
        ]
        own = iter(each[-len(functions) :] if functions else ())
        return np.stack(
            [
                next(own) if isinstance(score, LogitScore) else _scored(score, each[0], n_tokens)
                for score in scores
            ],
            axis=1,
        )

    return Readout(feeds, read, combine)


def _scored(score: Score, logprobs: FloatArray, n_tokens: int) -> FloatArray:
    """A score ``(b,)`` from the log-probabilities of the answers, the right one first."""
    logprobs = logprobs.reshape(len(logprobs), -1)
    right = logprobs[:, 0]
    if score == "logprob":
        return right
    if score == "logprob_per_token":
        return np.asarray(right / n_tokens)
    if score == "prob":
        return np.asarray(np.exp(right))
    margin = right - logprobs[:, 1:].max(axis=1)
    return np.asarray(margin if score == "margin" else (margin > 0).astype(np.float64))


def _logprobs(
    item: Item, answers: str | None, tokenizer: PreTrainedTokenizerBase, config: Any
) -> Readout:
    """The log-probabilities of an item's answers, the right one first."""
    if answers == "label":
        return _labels(item, config)
    right, *others = tokenizer([item.answer, *item.wrong], add_special_tokens=False)["input_ids"]
    if right in others:
        raise ValueError(
            f"the answers {item.answer!r} and {item.wrong[others.index(right)]!r} are the same "
            f"tokens to this tokenizer ({tokenizer.convert_ids_to_tokens(right)}); give others"
        )
    if item.wrong:
        return Options((item.answer, *item.wrong), "logprob").prepare(tokenizer)
    return Response(item.answer).prepare(tokenizer)


def _labels(item: Item, config: Any) -> Readout:
    """The same for a classifier, whose answers are classes."""
    numbers = dict(config.label2id)
    for answer in (item.answer, *item.wrong):
        if answer not in numbers:
            raise ValueError(
                f"the answer {answer!r} is no class of the classifier; it has "
                f"{', '.join(map(repr, numbers))}"
            )
    columns = [numbers[answer] for answer in (item.answer, *item.wrong)]

    def read(feed: int, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1].double().log_softmax(dim=-1)[:, columns]

    return Readout(((),), read, lambda kept: kept[0])


def _function(score: LogitScore, item: Item) -> LogitFunction:
    return LogitFunction(lambda logits: score.function(logits, item), score.name)
