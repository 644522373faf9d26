"""Scoring: how an item's scores follow from logits, for each kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.components.tasks import Item, LogitScore, Score
from interplay.text.prompts.tokens import Continuation, Encoder
from interplay.text.readouts import Readout, answers_readout, join_readouts
from interplay.text.targets import LogitFunction, Options, Response

if TYPE_CHECKING:
    import torch


def readout_of(
    item: Item,
    scores: Sequence[Score],
    predicts: str | None,
    encoder: Encoder,
    prompt: str,
    config: Any,
) -> Readout:
    """Make the readout that gives an item's scores.

    Args:
        item: the item.
        scores: the scores.
        predicts: what the logits predict (see ``Architecture.predicts``).
        encoder: of the model's tokenizer, for this item's kind of prompt.
        prompt: the item's prompt as the model reads it.
        config: the model's configuration, for the names of a classifier's classes.

    Returns:
        A readout whose values are ``(b, scores)``.

    Raises:
        ValueError: a mask token has an answer of several tokens, a wrong answer has the same tokens
            as the right one, or a class does not exist.
    """
    readouts: list[Readout] = []
    replaced: tuple[int, ...] = ()
    n_tokens, n_answers = 1, 0
    if any(not isinstance(score, LogitScore) for score in scores):
        n_answers = 1 + len(item.wrong)
        if predicts == "label":
            readouts.append(_labels(item, config))
        else:
            answers = _continuations(item, predicts, encoder, prompt)
            n_tokens = len(answers[0].tokens)
            replaced = max((answer.replaced for answer in answers), key=len)
            target: Options | Response = Response(item.answer)
            if item.wrong:
                target = Options((item.answer, *item.wrong), "logprob")
            readouts.append(answers_readout(target, answers, encoder.texts))
    functions = [score for score in scores if isinstance(score, LogitScore)]
    readouts += [_function(score, item).prepare(encoder.tokenizer) for score in functions]
    joined = join_readouts([*[item] * (n_answers > 0), *functions], readouts, replaced)

    def combine(readings: Sequence[FloatArray]) -> FloatArray:
        values = joined.combine(readings)
        values = values.reshape(len(values), -1)
        of_functions = iter(values[:, n_answers:].T)
        columns = [
            next(of_functions)
            if isinstance(score, LogitScore)
            else _named_score(score, values[:, :n_answers], n_tokens)
            for score in scores
        ]
        return np.stack(columns, axis=1)

    return replace(joined, combine=combine, outputs=())


def _named_score(score: Score, logprobs: FloatArray, n_tokens: int) -> FloatArray:
    """Compute a score ``(b,)`` from the log-probabilities of the answers, the right one first."""
    right = logprobs[:, 0]
    if score == "logprob":
        return right
    if score == "logprob_per_token":
        return np.asarray(right / n_tokens)
    if score == "prob":
        return np.asarray(np.exp(right))
    margin = right - logprobs[:, 1:].max(axis=1)
    return np.asarray(margin if score == "margin" else (margin > 0).astype(np.float64))


def _continuations(
    item: Item, predicts: str | None, encoder: Encoder, prompt: str
) -> list[Continuation]:
    """How an item's answers are written, the right one first."""
    texts = (item.answer, *item.wrong)
    if predicts == "next":
        parts = [[(prompt, False)]]
        ids = encoder(parts)
        answers = [encoder.continuations(parts, ids, text)[0] for text in texts]
    else:  # an answer stands in the place of a mask token
        tokens = encoder.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        answers = [Continuation(tuple(answer)) for answer in tokens]
        for text, answer in zip(texts, answers, strict=True):
            if len(answer.tokens) != 1:
                raise ValueError(
                    f"the answer {text!r} is {len(answer.tokens)} tokens, but a mask token stands "
                    "for one; give answers of one token"
                )
    right, *others = answers
    if right in others:
        raise ValueError(
            f"the answers {item.answer!r} and {item.wrong[others.index(right)]!r} are the same "
            f"tokens to this tokenizer ({encoder.tokenizer.convert_ids_to_tokens(right.tokens)}); "
            "give others"
        )
    return answers


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
