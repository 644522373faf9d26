"""Scoring: each kind of target is read off its kind of model, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from interplay._types import FloatArray
from interplay.text.answer_readouts import AnswerReadouts, Rows
from interplay.text.embeddings import EmbeddingSimilarity
from interplay.text.inference.encoders import EncoderReader, join_encoder_readouts
from interplay.text.inference.generation import AnswerReader, Generated
from interplay.text.inference.reader import Reader
from interplay.text.inference.seq2seq import AnswerTokens, Seq2SeqReader
from interplay.text.labels import Label, Labels
from interplay.text.models import context_length
from interplay.text.prompts.tokens import Continuation
from interplay.text.readouts import Readout
from interplay.text.targets import (
    AnswerTarget,
    Contrast,
    LogitDifference,
    LogitFunction,
    Options,
    Response,
    Target,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KnownEncoderTarget: TypeAlias = Label | Labels | EmbeddingSimilarity
AnyTarget: TypeAlias = Target | AnswerTarget | KnownEncoderTarget | Generated
"""The targets that score a local model's output."""


@dataclass(frozen=True)
class Scorer:
    """Scores prompts by some targets.

    Attributes:
        targets: the targets, with the model's own answers filled in.
        outputs: the names of the k outputs; empty for a single output.
        values: from m prompts to their scores, ``(m,)`` or ``(m, k)``.
        feeds: the token sequences that are appended to the whole prompt.
        n_cut: how many tokens are taken off its end before that.
        reader: the reader of logits, whose cache limits the tokens of a call; ``None``: no limit.
        readout: what is read off a causal model's logits after the whole prompt; ``None``: the
            targets are read off something else.
        readouts: the same after each of m prompts.
    """

    targets: tuple[AnyTarget, ...]
    outputs: tuple[str, ...]
    values: Callable[[Rows], FloatArray]
    feeds: tuple[tuple[int, ...], ...] = ((),)
    n_cut: int = 0
    reader: Reader | None = None
    readout: Readout | None = None
    readouts: Callable[[Rows], Sequence[Readout]] | None = None


def score_by(
    targets: Sequence[Any],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Rows,
) -> Scorer:
    """Make the scorer of some targets.

    Args:
        targets: one or more, of one kind.
        model: a model of the kind that they are read off.
        tokenizer: its tokenizer.
        prompt: the prompt with nothing removed, as a single row.

    Raises:
        ValueError: an object is no target, the targets are of different kinds, or the model does
            not have what they read.
    """
    if not targets:
        raise ValueError("no target was given; give at least one")
    for target in targets:
        if isinstance(target, str) or not (
            isinstance(target, AnswerTarget) or hasattr(target, "prepare")
        ):
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
        return _of_encoder_output(targets, model, tokenizer, prompt.ids[0])
    if model.get_output_embeddings() is None:
        raise ValueError(
            f"{type(model).__name__} is no causal language model, so it gives no answers; use "
            "Label for a classifier or EmbeddingSimilarity for an encoder, or load a causal model"
        )
    if kind == "answers":
        return _of_answers(targets, model, tokenizer, prompt.ids[0])
    if model.config.is_encoder_decoder:
        return _of_decoder(targets, model, tokenizer, prompt)
    return _of_logits(targets, model, tokenizer, prompt)


def is_known(target: object) -> bool:
    """Whether a target's settings identify what it computes: its function, if any, has a name."""
    if isinstance(target, Generated | LogitFunction):
        return target.name is not None
    packaged = (Response, Options, LogitDifference, Contrast, Label, Labels, EmbeddingSimilarity)
    return isinstance(target, packaged)


def read_off_encoder(targets: Sequence[object]) -> bool:
    """Whether a classifier's or an encoder's output is scored."""
    return any(_kind(target) == "encoder output" for target in targets)


def _kind(target: object) -> str:
    if isinstance(target, Label | Labels | EmbeddingSimilarity):
        return "encoder output"
    return "answers" if isinstance(target, Generated) else "logits"


def _of_logits(
    targets: Sequence[Target | AnswerTarget],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Rows,
) -> Scorer:
    """The scorer of targets that are read off a causal model's logits."""
    readouts = AnswerReadouts(targets, model, tokenizer, prompt)
    of_whole = readouts.of_whole
    reader = Reader(model)
    limit = context_length(model)

    def check(ids: Sequence[Sequence[int]], of_rows: Sequence[Readout]) -> None:
        length = max(map(len, ids)) + max(len(feed) for one in of_rows for feed in one.feeds)
        if limit is not None and length > limit:
            raise ValueError(
                f"the prompt and response are {length} tokens, above the model's context of "
                f"{limit}; shorten the text"
            )

    def checked(rows: Rows) -> list[Readout]:
        of_rows = readouts.of(rows)
        check(rows.ids, of_rows)
        return of_rows

    def values(rows: Rows) -> FloatArray:
        of_rows = checked(rows)
        if rows.kept is None:
            return reader.values(rows.ids, of_rows)
        return reader.attending(rows.ids[0], rows.kept, of_rows[0])

    check(prompt.ids, [of_whole])
    return Scorer(
        readouts.targets,
        of_whole.outputs,
        values,
        of_whole.feeds,
        of_whole.n_cut,
        reader,
        of_whole,
        checked,
    )


def _of_decoder(
    targets: Sequence[Target | AnswerTarget],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Rows,
) -> Scorer:
    """The scorer of targets that are read off an encoder-decoder's logits."""
    tokens_of = AnswerTokens(model, tokenizer)
    # an answer is written alike after every prompt
    prompt = replace(prompt, continuations=lambda answer: [Continuation(tokens_of(answer))])
    readouts = AnswerReadouts(targets, model, tokenizer, prompt)
    readout = readouts.of_whole
    reader = Seq2SeqReader(model, tokenizer, tokens_of.begin)
    reader.check(prompt.ids[0], readout)
    return Scorer(
        readouts.targets,
        readout.outputs,
        lambda rows: reader.values(rows.ids, readout, rows.kept),
        tuple((*tokens_of.begin, *feed) for feed in readout.feeds),
    )


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
    """The scorer of the answers that a language model writes."""
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
                "masking='attention' cannot be used with Generated, whose answers are written "
                "without an attention mask; use 'delete' or Replace(text)"
            )
        return reader.values(rows.ids, readout)

    return Scorer((target,), target.outputs, values, (reader.begin,))
