"""Scoring: each kind of target is read off its kind of model, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from interplay._types import BoolArray, FloatArray
from interplay.text.embeddings import EmbeddingSimilarity
from interplay.text.inference.encoders import EncoderReader, join_encoder_readouts
from interplay.text.inference.generation import AnswerReader, Generated, own_answer
from interplay.text.inference.reader import Reader
from interplay.text.labels import Label, Labels
from interplay.text.models import context_length
from interplay.text.prompts.token_texts import UNDECODABLE, TokenTexts
from interplay.text.prompts.tokens import Continuation
from interplay.text.readouts import Readout, answers_readout, join_readouts
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
_Continuations: TypeAlias = tuple[tuple[Continuation, ...], ...]
"""How the answers of each target are written after a prompt."""


@dataclass(frozen=True)
class Rows:
    """The token ids of some prompts.

    Attributes:
        ids: the token ids of each of m prompts.
        continuations: from an answer to how it is written after each prompt, or after all.
        kept: which tokens may be attended to, ``(m, tokens)``, if removed segments are masked by
            attention. Each of the m prompts is then the whole prompt. ``None`` otherwise.
    """

    ids: Sequence[Sequence[int]]
    continuations: Callable[[str], Sequence[Continuation]]
    kept: BoolArray | None = None


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
    """

    targets: tuple[AnyTarget, ...]
    outputs: tuple[str, ...]
    values: Callable[[Rows], FloatArray]
    feeds: tuple[tuple[int, ...], ...] = ((),)
    n_cut: int = 0
    reader: Reader | None = None


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
    readouts = _Readouts(targets, model, tokenizer, prompt)
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

    def values(rows: Rows) -> FloatArray:
        of_rows = readouts.of(rows)
        check(rows.ids, of_rows)
        if rows.kept is None:
            return reader.values(rows.ids, of_rows)
        return reader.attending(rows.ids[0], rows.kept, of_rows[0])

    check(prompt.ids, [of_whole])
    return Scorer(
        readouts.targets, of_whole.outputs, values, of_whole.feeds, of_whole.n_cut, reader
    )


class _Readouts:
    """The readouts of some targets, for each way to write their answers after a prompt.

    Args:
        targets: the targets.
        model: a causal model, for its own answer.
        tokenizer: its tokenizer.
        prompt: the prompt with nothing removed.
    """

    def __init__(
        self,
        targets: Sequence[Target | AnswerTarget],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Rows,
    ) -> None:
        self._texts = TokenTexts(tokenizer)
        own_answer = partial(_with_own_answer, model, tokenizer, prompt.ids[0], self._texts)
        self.targets = tuple(map(own_answer, targets))
        self._of_users = [
            None if isinstance(target, AnswerTarget) else target.prepare(tokenizer)
            for target in self.targets
        ]
        (self._whole,) = self._written(prompt)
        self._separate = self._make(self._whole)
        self.of_whole = self._joined(self._whole, self._separate)
        self._known = {self._whole: self.of_whole}

    def of(self, rows: Rows) -> list[Readout]:
        """The readout of each row. Rows after which the answers are written alike share one."""
        written = self._written(rows)
        for continuations in set(written) - self._known.keys():
            self._known[continuations] = self._joined(continuations, self._make(continuations))
        return [self._known[continuations] for continuations in written]

    def _written(self, rows: Rows) -> list[_Continuations]:
        """How each target's answers are written after each row."""
        by_target: list[list[tuple[Continuation, ...]]] = []
        for target in self.targets:
            of_rows: list[tuple[Continuation, ...]]
            if not isinstance(target, AnswerTarget):
                of_rows = [()]
            elif isinstance(target, Response) and target.tokens is not None:
                of_rows = [(Continuation(target.tokens),)]
            else:
                by_answer = [rows.continuations(answer) for answer in target.answers]
                of_rows = list(zip(*by_answer, strict=True))
            by_target.append(of_rows * len(rows.ids) if len(of_rows) == 1 else of_rows)
        return list(zip(*by_target, strict=True))

    def _make(self, continuations: _Continuations) -> list[Readout]:
        made = []
        for number, (target, of_target) in enumerate(zip(self.targets, continuations, strict=True)):
            readout = self._of_users[number]
            if readout is None:
                assert isinstance(target, AnswerTarget)
                part = target.span if isinstance(target, Response) else None
                whole, names = self._whole[number], None
                if of_target is not whole:
                    names = self._separate[number].outputs
                    if isinstance(target, Response) and target.reduction == "token":
                        of_target = (_as_many(of_target[0], whole[0]),)
                readout = answers_readout(target, of_target, self._texts, part, names)
            made.append(readout)
        return made

    def _joined(self, continuations: _Continuations, readouts: list[Readout]) -> Readout:
        replaced = [one.replaced for of_target in continuations for one in of_target]
        return join_readouts(self.targets, readouts, max(replaced, key=len, default=()))


def _as_many(one: Continuation, whole: Continuation) -> Continuation:
    """A continuation with an output for each token: as many as after the whole prompt."""
    if len(one.tokens) == len(whole.tokens):
        return one
    if one.replaced or whole.replaced:
        raise ValueError(
            f"the response is {len(whole.tokens)} tokens after the whole prompt and "
            f"{len(one.tokens)} after an ablated one, since the tokenizer merges it with the "
            "prompt's end, so its tokens cannot be compared; use reduction='sum', or end the "
            "prompt in a line break"
        )
    return whole


def _with_own_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    texts: TokenTexts,
    target: Target | AnswerTarget,
) -> Target | AnswerTarget:
    """A target with the model's own answer, if it is what is scored."""
    if not isinstance(target, Response) or target.text is not None:
        return target
    tokens = own_answer(AnswerReader(model, tokenizer), texts, prompt, target.max_tokens)
    text = texts(tokens)
    whole = text.rstrip(UNDECODABLE)
    return replace(target, text=whole if whole == text else f"{whole}…", tokens=tokens)


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
