"""Scoring: each kind of target is read off its kind of model, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from interplay._types import BoolArray, FloatArray
from interplay.text.embeddings import EmbeddingSimilarity
from interplay.text.inference.encoders import EncoderReader, join_encoder_readouts
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
    join_readouts,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KnownEncoderTarget: TypeAlias = Label | Labels | EmbeddingSimilarity
AnyTarget: TypeAlias = Target | KnownEncoderTarget | Generated
"""The targets that score a local model's output."""


@dataclass(frozen=True)
class Rows:
    """The token ids of some prompts.

    Attributes:
        ids: the token ids of each of m prompts.
        kept: which tokens may be attended to, ``(m, tokens)``, if removed segments are masked by
            attention. Each of the m prompts is then the whole prompt. ``None`` otherwise.
    """

    ids: Sequence[Sequence[int]]
    kept: BoolArray | None = None


@dataclass(frozen=True)
class Scorer:
    """Scores prompts by some targets.

    Attributes:
        targets: the targets, with the model's own answers filled in.
        outputs: the names of the k outputs; empty for a single output.
        values: from m prompts to their scores, ``(m,)`` or ``(m, k)``.
        feeds: the token sequences that are appended to each prompt.
        reader: the reader of logits, whose cache limits the tokens of a call; ``None``: no limit.
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
    prompt: Sequence[int],
) -> Scorer:
    """Make the scorer of some targets.

    Args:
        targets: one or more, of one kind.
        model: a model of the kind that they are read off.
        tokenizer: its tokenizer.
        prompt: the token ids of the prompt with nothing removed.

    Raises:
        ValueError: an object is no target, the targets are of different kinds, or the model does
            not have what they read.
    """
    if not targets:
        raise ValueError("no target was given; give at least one")
    for target in targets:
        if isinstance(target, str) or not hasattr(target, "prepare"):
            raise ValueError(
                f"target={target!r} is no target; give Response({str(target)!r}) or the like"
            )
    kinds = {_kind(target) for target in targets}
    if len(kinds) > 1:
        raise ValueError(
            f"the targets {'; '.join(map(str, targets))} are read off a model in different ways "
            f"({', '.join(sorted(kinds))}); make a game for each kind"
        )
    (kind,) = kinds
    if kind == "encoder output":
        return _of_encoder_output(targets, model, tokenizer, prompt)
    if model.get_output_embeddings() is None:
        raise ValueError(
            f"{type(model).__name__} is no causal language model, so it gives no answers; use "
            "Label for a classifier or EmbeddingSimilarity for an encoder, or load a causal model"
        )
    if kind == "answers":
        return _of_answers(targets, model, tokenizer, prompt)
    return _of_logits(targets, model, tokenizer, prompt)


def is_known(target: object) -> bool:
    """Whether a target's settings identify what it computes: its function, if any, has a name."""
    if isinstance(target, Generated | LogitFunction):
        return target.name is not None
    packaged = (Response, Options, LogitDifference, Label, Labels, EmbeddingSimilarity)
    return isinstance(target, packaged)


def _kind(target: object) -> str:
    if isinstance(target, Label | Labels | EmbeddingSimilarity):
        return "encoder output"
    return "answers" if isinstance(target, Generated) else "logits"


def _of_logits(
    targets: Sequence[Target],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
) -> Scorer:
    """The scorer of targets that are read off a causal model's logits."""

    def with_answer(target: Target) -> Target:
        if not isinstance(target, Response) or target.text is not None:
            return target
        answer = greedy_answer(model, prompt, tokenizer, target.max_tokens)
        return replace(target, text=answer)

    targets = tuple(with_answer(target) for target in targets)
    readout = join_readouts(targets, [target.prepare(tokenizer) for target in targets])
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

    check([prompt])
    return Scorer(targets, readout.outputs, values, readout.feeds, reader)


def _of_encoder_output(
    targets: Sequence[KnownEncoderTarget],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
) -> Scorer:
    """The scorer of targets that are read off a classifier's or encoder's output."""
    reader = EncoderReader(model, tokenizer)
    readout = join_encoder_readouts(targets, [t.prepare(reader, prompt) for t in targets])

    def values(rows: Rows) -> FloatArray:
        attention = None if rows.kept is None else rows.kept.tolist()
        return reader.values(rows.ids, readout, attention)

    return Scorer(tuple(targets), readout.outputs, values)


def _of_answers(
    targets: Sequence[Generated],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
) -> Scorer:
    """The scorer of the answers that a causal model writes."""
    if len(targets) > 1:
        raise ValueError(
            "several Generated targets would generate several times; let one scorer give "
            "several numbers, with outputs=, a name for each"
        )
    (target,) = targets
    reader = AnswerReader(model, tokenizer)
    readout = target.prepare(reader, prompt)

    def values(rows: Rows) -> FloatArray:
        if rows.kept is not None:
            raise ValueError(
                "masking='attention' cannot be used with Generated, since the tokens of the answer "
                "would attend to what is masked; use 'delete' or Replace(text)"
            )
        return reader.values(rows.ids, readout)

    return Scorer((target,), target.outputs, values)
