"""Scoring: how an item's scores follow from logits, for each kind of model."""

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
    predicts: str | None,
    tokenizer: PreTrainedTokenizerBase,
    config: Any,
) -> Readout:
    """Make the readout that gives an item's scores.

    Args:
        item: the item.
        scores: the scores.
        predicts: what the logits predict (see ``Architecture.predicts``).
        tokenizer: the model's.
        config: the model's configuration, for the names of a classifier's classes.

    Returns:
        A readout whose values are ``(b, scores)``.

    Raises:
        ValueError: a mask token has an answer of several tokens, a wrong answer has the same tokens
            as the right one, or a class does not exist.
    """
    readouts: list[Readout] = []
    n_tokens = 1
    if any(not isinstance(score, LogitScore) for score in scores):
        readouts.append(_logprobs(item, predicts, tokenizer, config))
        if predicts == "next":
            n_tokens = len(tokenizer(item.answer, add_special_tokens=False)["input_ids"])
    functions = [score for score in scores if isinstance(score, LogitScore)]
    readouts += [_function(score, item).prepare(tokenizer) for score in functions]
    starts = np.cumsum([0, *(len(readout.feeds) for readout in readouts)]).tolist()
    feeds = tuple(feed for readout in readouts for feed in readout.feeds)
    if predicts != "next" and any(feeds):
        longer = next(
            answer
            for answer in (item.answer, *item.wrong)
            if len(tokenizer(answer, add_special_tokens=False)["input_ids"]) > 1
        )
        raise ValueError(
            f"the answer {longer!r} is several tokens, but a mask token stands for one; give "
            "answers of one token"
        )

    def read(feed: int, logits: torch.Tensor) -> torch.Tensor:
        number = max(n for n, start in enumerate(starts[:-1]) if start <= feed)
        return readouts[number].read(feed - starts[number], logits)

    def combine(readings: Sequence[FloatArray]) -> FloatArray:
        values = [
            readout.combine(readings[start:stop])
            for readout, start, stop in zip(readouts, starts, starts[1:], strict=False)
        ]
        of_functions = iter(values[-len(functions) :] if functions else ())
        columns = [
            next(of_functions)
            if isinstance(score, LogitScore)
            else _named_score(score, values[0], n_tokens)
            for score in scores
        ]
        return np.stack(columns, axis=1)

    return Readout(feeds, read, combine)


def _named_score(score: Score, logprobs: FloatArray, n_tokens: int) -> FloatArray:
    """Compute a score ``(b,)`` from the log-probabilities of the answers, the right one first."""
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
    item: Item, predicts: str | None, tokenizer: PreTrainedTokenizerBase, config: Any
) -> Readout:
    """Read the log-probabilities of an item's answers, the right one first."""
    if predicts == "label":
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
    """Read the log-probabilities of a classifier's classes, the right one first."""
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

    return Readout(((),), read, lambda readings: readings[0])


def _function(score: LogitScore, item: Item) -> LogitFunction:
    return LogitFunction(lambda logits: score.function(logits, item), score.name)
