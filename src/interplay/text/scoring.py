"""Scoring: how each kind of target is read off its kind of model, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from interplay._types import BoolArray, FloatArray
from interplay.text.embeddings import EmbeddingSimilarity
from interplay.text.inference.encoders import WholeReader
from interplay.text.inference.encoders import together as whole_together
from interplay.text.inference.generation import (
    AnswerReader,
    Generated,
    greedy_answer,
)
from interplay.text.inference.reader import Reader
from interplay.text.labels import Label, Labels
from interplay.text.models import context_length
from interplay.text.targets import (
    LogitDifference,
    LogitFunction,
    Options,
    Response,
    Target,
    together,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WholeTextTarget: TypeAlias = Label | Labels | EmbeddingSimilarity
AnyTarget: TypeAlias = Target | WholeTextTarget | Generated
"""What a local model can be scored by."""


@dataclass(frozen=True)
class Rows:
    """The token ids of some prompts.

    Attributes:
        ids: of each prompt.
        kept: where removed segments are masked by attention, which of the tokens may be attended
            to, ``(m, tokens)``: all prompts are the whole one then; else ``None``.
    """

    ids: Sequence[Sequence[int]]
    kept: BoolArray | None = None


@dataclass(frozen=True)
class Scorer:
    """Scores prompts by some targets.

    Attributes:
        targets: what is measured, the model's own answers filled in.
        outputs: the names of k outputs; empty for one.
        values: from prompts to their scores, ``(m,)`` or ``(m, k)``.
        feeds: the token sequences that are fed after each prompt.
        reader: of logits, which says how many tokens a call should have; ``None``: any number.
    """

    targets: tuple[AnyTarget, ...]
    outputs: tuple[str, ...]
    values: Callable[[Rows], FloatArray]
    feeds: tuple[tuple[int, ...], ...] = ((),)
    reader: Reader | None = None


def score_by(
    targets: Sequence[Any],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    whole: Sequence[int],
) -> Scorer:
    """Make ready to score.

    Args:
        targets: one or more, of one kind.
        model: a model of the kind that they are read off.
        tokenizer: its tokenizer.
        whole: the token ids of the prompt with nothing removed.

    Raises:
        ValueError: something that is no target, targets of different kinds, or a model that does
            not have what they read.
    """
    if not targets:
        raise ValueError("no target was given; give at least one")
    for each in targets:
        if isinstance(each, str) or not hasattr(each, "prepare"):
            raise ValueError(
                f"target={each!r} is no target; give Response({str(each)!r}) or the like"
            )
    kinds = {_kind(each) for each in targets}
    if len(kinds) > 1:
        raise ValueError(
            f"the targets {'; '.join(map(str, targets))} are read off a model in different ways "
            f"({', '.join(sorted(kinds))}); make a game for each kind"
        )
    (kind,) = kinds
    if kind == "whole texts":
        return _of_whole_texts(targets, model, tokenizer, whole)
    if model.get_output_embeddings() is None:
        raise ValueError(
            f"{type(model).__name__} is no causal language model, so it gives no answers; use "
            "Label for a classifier or EmbeddingSimilarity for an encoder, or load a causal model"
        )
    if kind == "answers":
        return _of_answers(targets, model, tokenizer, whole)
    return _of_logits(targets, model, tokenizer, whole)


def is_known(target: object) -> bool:
    """Whether its settings say all that a target computes: its functions have a name."""
    if isinstance(target, Generated | LogitFunction):
        return target.name is not None
    ours = (Response, Options, LogitDifference, Label, Labels, EmbeddingSimilarity)
    return isinstance(target, ours)


def _kind(target: object) -> str:
    if isinstance(target, Label | Labels | EmbeddingSimilarity):
        return "whole texts"
    return "answers" if isinstance(target, Generated) else "logits"


def _of_logits(
    targets: Sequence[Target],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    whole: Sequence[int],
) -> Scorer:
    """Targets read off a causal model's logits."""

    def answered(target: Target) -> Target:
        if not isinstance(target, Response) or target.text is not None:
            return target
        answer = greedy_answer(model, whole, tokenizer, target.max_tokens)
        return replace(target, text=answer)

    own = tuple(answered(target) for target in targets)
    readout = together(own, [target.prepare(tokenizer) for target in own])
    reader = Reader(model)
    limit = context_length(model)

    def check(ids: Sequence[Sequence[int]]) -> None:
        length = max(map(len, ids)) + max(map(len, readout.feeds))
        if limit is not None and length > limit:
            raise ValueError(
                f"the prompt and response are {length} tokens, above the model's context of "
                f"{limit}; shorten the text"
            )

    def values(rows: Rows) -> FloatArray:
        check(rows.ids)
        if rows.kept is None:
            return reader.values(rows.ids, readout)
        return reader.attending(rows.ids[0], rows.kept, readout)

    check([whole])
    return Scorer(own, readout.outputs, values, readout.feeds, reader)


def _of_whole_texts(
    targets: Sequence[WholeTextTarget],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    whole: Sequence[int],
) -> Scorer:
    """Targets read off a classifier's or encoder's output."""
    reader = WholeReader(model, tokenizer)
    readout = whole_together(targets, [each.prepare(reader, whole) for each in targets])

    def values(rows: Rows) -> FloatArray:
        attention = None if rows.kept is None else rows.kept.tolist()
        return reader.values(rows.ids, readout, attention)

    return Scorer(tuple(targets), readout.outputs, values)


def _of_answers(
    targets: Sequence[Generated],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    whole: Sequence[int],
) -> Scorer:
    """A score of the answers that a causal model writes."""
    if len(targets) > 1:
        raise ValueError(
            "several Generated targets would generate several times; let one scorer give "
            "several numbers, with outputs=, a name for each"
        )
    (target,) = targets
    reader = AnswerReader(model, tokenizer)
    readout = target.prepare(reader, whole)

    def values(rows: Rows) -> FloatArray:
        if rows.kept is not None:
            raise ValueError(
                "masking='attention' does not go with Generated, since what is written would "
                "attend to it; use 'delete' or Replace(text)"
            )
        return reader.values(rows.ids, readout)

    return Scorer((target,), target.outputs, values)
