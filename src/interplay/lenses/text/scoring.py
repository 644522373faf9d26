"""Scoring: how each kind of target is read off its kind of model, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from interplay._types import BoolArray, FloatArray
from interplay.lenses.text.embeddings import EmbeddingSimilarity
from interplay.lenses.text.labels import Label, Labels
from interplay.lenses.text.models import context_length
from interplay.lenses.text.reading.generation import (
    AnswerReader,
    Comparison,
    Generated,
    greedy_answer,
)
from interplay.lenses.text.reading.reader import Reader
from interplay.lenses.text.reading.whole import WholeReader, WholeReadout
from interplay.lenses.text.reading.whole import together as whole_together
from interplay.lenses.text.targets import (
    LogitDifference,
    LogitFunction,
    Options,
    Readout,
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


class Scorer(Protocol):
    """Scores prompts by some targets.

    Attributes:
        targets: what is measured, the model's own answers filled in.
        outputs: the names of k outputs; empty for one.
        feeds: the token sequences that are fed after each prompt.
        tokens_at_once: the most tokens that a call should have; ``None``: any number.
    """

    targets: tuple[AnyTarget, ...]
    outputs: tuple[str, ...]
    feeds: tuple[tuple[int, ...], ...]

    @property
    def tokens_at_once(self) -> int | None:
        """See above."""
        ...

    def values(self, rows: Rows) -> FloatArray:
        """The scores, ``(m,)`` or ``(m, k)``."""
        ...


def score_by(
    targets: Sequence[object],
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
        return _Whole(targets, model, tokenizer, whole)
    if model.get_output_embeddings() is None:
        raise ValueError(
            f"{type(model).__name__} is no causal language model, so it gives no answers; use "
            "Label for a classifier or EmbeddingSimilarity for an encoder, or load a causal model"
        )
    if kind == "answers":
        return _Answers(targets, model, tokenizer, whole)
    return _Causal(targets, model, tokenizer, whole)


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


class _Causal:
    """Targets read off a causal model's logits."""

    def __init__(
        self,
        targets: Sequence[object],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        whole: Sequence[int],
    ) -> None:
        def answered(target: Target) -> Target:
            if not isinstance(target, Response) or target.text is not None:
                return target
            answer = greedy_answer(model, whole, tokenizer, target.max_tokens)
            return replace(target, text=answer)

        own = [answered(target) for target in targets]  # type: ignore[arg-type]
        self.targets: tuple[AnyTarget, ...] = tuple(own)
        self._readout: Readout = together(own, [target.prepare(tokenizer) for target in own])
        self.outputs = self._readout.outputs
        self.feeds = self._readout.feeds
        self._reader = Reader(model)
        self._limit = context_length(model)
        self.check([whole])

    @property
    def tokens_at_once(self) -> int:
        """See :class:`Scorer`."""
        return self._reader.tokens_at_once

    def check(self, ids: Sequence[Sequence[int]]) -> None:
        """Refuse prompts above the model's context."""
        length = max(map(len, ids)) + max(map(len, self.feeds))
        if self._limit is not None and length > self._limit:
            raise ValueError(
                f"the prompt and response are {length} tokens, above the model's context of "
                f"{self._limit}; shorten the text"
            )

    def values(self, rows: Rows) -> FloatArray:
        """See :meth:`Scorer.values`."""
        self.check(rows.ids)
        if rows.kept is None:
            return self._reader.values(rows.ids, self._readout)
        return self._reader.attending(rows.ids[0], rows.kept, self._readout)


class _Whole:
    """Targets read off a classifier's or encoder's output."""

    feeds: tuple[tuple[int, ...], ...] = ((),)
    tokens_at_once: int | None = None

    def __init__(
        self,
        targets: Sequence[object],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        whole: Sequence[int],
    ) -> None:
        self.targets: tuple[AnyTarget, ...] = tuple(targets)  # type: ignore[arg-type]
        self._reader = WholeReader(model, tokenizer)
        self._readout: WholeReadout = whole_together(
            targets,
            [each.prepare(self._reader, whole) for each in targets],  # type: ignore[attr-defined]
        )
        self.outputs = self._readout.outputs

    def values(self, rows: Rows) -> FloatArray:
        """See :meth:`Scorer.values`."""
        attention = None if rows.kept is None else rows.kept.tolist()
        return self._reader.values(rows.ids, self._readout, attention)


class _Answers:
    """A score of the answers that a causal model writes."""

    feeds: tuple[tuple[int, ...], ...] = ((),)
    tokens_at_once: int | None = None

    def __init__(
        self,
        targets: Sequence[object],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        whole: Sequence[int],
    ) -> None:
        if len(targets) > 1:
            raise ValueError(
                "several Generated targets would generate several times; let one scorer give "
                "several numbers, with outputs=, a name for each"
            )
        (target,) = targets
        assert isinstance(target, Generated)
        self.targets: tuple[AnyTarget, ...] = (target,)
        self._reader = AnswerReader(model, tokenizer)
        self._readout: Comparison = target.prepare(self._reader, whole)
        self.outputs = target.outputs

    def values(self, rows: Rows) -> FloatArray:
        """See :meth:`Scorer.values`."""
        if rows.kept is not None:
            raise ValueError(
                "masking='attention' does not go with Generated, since what is written would "
                "attend to it; use 'delete' or Replace(text)"
            )
        return self._reader.values(rows.ids, self._readout)
